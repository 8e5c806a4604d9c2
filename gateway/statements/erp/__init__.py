"""The questions of an ERP about balances, entries and statements."""
