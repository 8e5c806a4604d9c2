"""The benchmark of reconciliation: generated statement lines with their truth, and the results of matching them."""
