"""What the settings say of approvals: which environment they are for, and how long a request for them is open."""

from __future__ import annotations

from dataclasses import dataclass

TEST, LIVE = "test", "live"


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """`environment` is TEST or LIVE: an approval of one is none in the other. A request is open for `valid_ms`, and
    late after `escalates_ms`."""

    environment: str = TEST
    valid_ms: int = 259_200_000
    escalates_ms: int = 14_400_000


DEFAULT_TERMS = ApprovalTerms()
