"""Statements: watched accounts, their entries, days and balances, and the questions to banks about them."""
