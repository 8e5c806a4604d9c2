"""Reconciliation in the journal: books, decisions, matchings and balance tables."""
