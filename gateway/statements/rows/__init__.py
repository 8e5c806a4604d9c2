"""Statements in the journal: entries, closed days, evidence, claims and questions."""
