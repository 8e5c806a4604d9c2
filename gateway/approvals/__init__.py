"""Approvals: which orders wait for approvers, whose approval counts, and what they sign."""
