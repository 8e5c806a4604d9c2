"""Handlers of the acts about reconciliation: books, matching, decisions, the month's table."""
