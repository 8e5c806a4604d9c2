"""What happens to a payment, decided without any input or output: pure, total, one table."""
