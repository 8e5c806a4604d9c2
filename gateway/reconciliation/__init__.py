"""Reconciliation: books, matching, decisions and balance tables."""
