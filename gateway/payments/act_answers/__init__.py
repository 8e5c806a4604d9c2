"""Handlers of the acts about payments: find, show, release, withdraw, rebuild."""
