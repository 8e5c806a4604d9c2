"""Approvals in the journal: policies, requests, decisions, and what a payment needs."""
