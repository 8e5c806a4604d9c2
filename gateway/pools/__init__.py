"""Cash pools and linked payments: mandates, runs, moves and ways back."""
