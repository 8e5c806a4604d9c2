"""Pools in the journal: mandates, runs, moves, links, and the facts that a run is planned by."""
