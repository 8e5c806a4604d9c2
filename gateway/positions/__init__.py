"""Positions: balances of all accounts over days, in the tree of accounts."""
