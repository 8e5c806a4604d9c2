"""Receipts in the journal: files, tickets, and what a bank is asked for them."""
