"""Notices to persons by e-mail, chat services and signed web-hooks: a process of its own that reads the journal.

It is outside of the money path: it holds no key of the vault, so that it cannot read what is sealed, and can write
nothing but its own state file. A notice carries kinds, counts and ids of the gateway, never a link.
"""
