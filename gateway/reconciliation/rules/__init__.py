"""Reconciliation (自动对账) as pure functions: rows in, decisions out. No database, no clock.

`matching.decide` is the whole of it; `increment.Register` decides again only what new rows can change.
"""
