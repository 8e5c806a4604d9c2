"""Payments: the life of a payment, from the order to its end."""
