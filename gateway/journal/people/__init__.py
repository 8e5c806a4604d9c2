"""Persons with signing keys, and proposals that need two of them."""
