"""Commands that need no daemon: check settings, back up, restore, verify the audit trail, rename.

Commands call these modules and never import the journal themselves. Each module opens the journal's database by itself.
If it cannot, it raises an exception with a sentence for the person at the terminal.
"""
