"""Notices to persons by e-mail, chat services and signed web-hooks: a process of its own that reads the journal.

The process is outside of the money path. It has no key of the vault, so that it cannot read sealed values, and it
writes only its own state file. A notice has kinds, counts and ids of the gateway, never a link.
"""
