"""Handlers of the acts about persons: enrolment, roles, delegations, signing in and sessions."""
