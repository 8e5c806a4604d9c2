"""Persons who sign, and what two of them propose and approve."""
