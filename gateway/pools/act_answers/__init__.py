"""Handlers of the acts about cash pools and linked payments."""
