"""Reconciliation measured: generated statement lines with their truth, and what the matching makes of them."""
