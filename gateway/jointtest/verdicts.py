"""What a case's end is called, and which evidence counts as whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """How a case stands. `OPEN` has not been played in this round."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    BLOCKED = "blocked"
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"


TITLES: dict[Verdict, tuple[str, str]] = {
    Verdict.OPEN: ("not played", "未执行"),
    Verdict.PASSED: ("passed", "通过"),
    Verdict.FAILED: ("failed", "不通过"),
    Verdict.WAITING: ("waiting", "等待"),
    Verdict.BLOCKED: ("blocked by the bank", "受银行阻塞"),
    Verdict.NOT_APPLICABLE: ("not applicable", "不适用"),
    Verdict.WAIVED: ("waived", "豁免"),
}
"""Each verdict in English and Chinese."""
DECIDED = frozenset({Verdict.PASSED, Verdict.NOT_APPLICABLE, Verdict.WAIVED})
"""The verdicts that a run may be closed with."""


class Seen(StrEnum):
    """Where something was seen. What a twin showed is never the bank's word."""

    BANK = "bank"
    TWIN = "twin"


class Cause(StrEnum):
    """Who makes the case's special condition: the gateway's own side, the bank, our proxy on the line, a person."""

    ERP = "erp"
    BANK = "bank"
    PROXY = "proxy"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its reason. `until` is set when waiting, `owner` when waived, `seen` when something was played."""

    verdict: Verdict
    why: str = ""
    until: datetime | None = None
    owner: str = ""
    seen: Seen | None = None

    def __post_init__(self) -> None:
        if self.verdict is Verdict.WAITING and (self.until is None or self.until.tzinfo is None):
            raise ValueError("a waiting case says until when, with a time zone")
        if self.verdict is Verdict.WAIVED and not (self.owner and self.why):
            raise ValueError("a waiver needs an owner and a reason")
