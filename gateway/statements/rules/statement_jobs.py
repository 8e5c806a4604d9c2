"""The names of the jobs that close an account's days, and how many days back they are tried again."""

from __future__ import annotations

from hashlib import sha256

DAYS_BACK = 7
"""A day that did not close is tried again for so many days; then a person must find what is missing."""


def account_key(account: str) -> str:
    """A short name for an account's jobs that does not show its number."""
    return sha256(account.encode()).hexdigest()[:24]


def statement_job(account: str) -> str:
    """The job that closes the days of a watched account."""
    return f"statement:{account_key(account)}"
