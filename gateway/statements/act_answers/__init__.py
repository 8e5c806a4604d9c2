"""Handlers of the acts about own accounts: their state today, and statements from files."""
