"""Receipts (电子回单): fetched, linked to payments and entries, missing."""
