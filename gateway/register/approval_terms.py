"""The settings for approvals: the environment that they are for, and how long a request for them is open."""

from __future__ import annotations

from dataclasses import dataclass

TEST, LIVE = "test", "live"


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """The settings for approvals. `environment` is TEST or LIVE: an approval for one does not count in the other. A
    request is open for `valid_ms` and overdue after `escalates_ms`."""

    environment: str = TEST
    valid_ms: int = 259_200_000
    escalates_ms: int = 14_400_000


DEFAULT_TERMS = ApprovalTerms()
