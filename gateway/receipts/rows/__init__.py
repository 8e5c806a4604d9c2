"""Receipts in the journal: files, tickets, and the questions to banks about them."""
