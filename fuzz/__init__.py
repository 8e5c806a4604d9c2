"""Coverage-guided fuzzing of everything that reads a bank's bytes: `make fuzz SECONDS=60`."""
