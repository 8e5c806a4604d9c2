"""Handlers of the acts about approvals: waiting requests, decisions, the policy in force."""
