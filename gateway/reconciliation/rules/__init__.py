"""Reconciliation (自动对账) as pure functions: rows in, decisions out. No database, no clock.

`matching.decide` decides all rows; `increment.MatchingRegister` decides again only the rows that new rows can affect.
"""
