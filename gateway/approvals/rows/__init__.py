"""Approvals in the journal: policies, requests, decisions, and the approvers that a payment needs."""
