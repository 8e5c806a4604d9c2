"""Cases and manifests that several tests use."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway import capabilities
from gateway.jointtest.cases import Case, derive


@cache
def sample_cases() -> tuple[Case, ...]:
    """The cases of the teaching bank."""
    return derive(capabilities.tried("sample"))


def result(verdict: str, **more: Any) -> dict[str, Any]:
    """One case in the form of `pack.cases_of`."""
    return {
        "title": "t",
        "title_zh": "题",
        "verdict": verdict,
        "why": "why",
        "round": 1,
        "try": 1,
        "until": None,
        "owner": None,
        "seen": "twin",
        "by": None,
        "started": "2026-11-28T01:00:00+00:00",
        "ended": "2026-11-28T01:00:02+00:00",
        "facts": {},
        "versions": {"gateway": "1", "front_end": "V2"},
        "evidence": "R1-x-1",
        **more,
    }
