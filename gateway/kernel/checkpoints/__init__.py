"""Signed checkpoints of the audit chains, their verification, and a sample witness."""
