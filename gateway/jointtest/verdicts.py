"""The verdicts on a case, and whose evidence counts as what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CaseVerdict(StrEnum):
    """The verdict on a case. `OPEN`: not played in this round."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    BLOCKED = "blocked"
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"


TITLES: dict[CaseVerdict, tuple[str, str]] = {
    CaseVerdict.OPEN: ("not played", "未执行"),
    CaseVerdict.PASSED: ("passed", "通过"),
    CaseVerdict.FAILED: ("failed", "不通过"),
    CaseVerdict.WAITING: ("waiting", "等待"),
    CaseVerdict.BLOCKED: ("blocked by the bank", "受银行阻塞"),
    CaseVerdict.NOT_APPLICABLE: ("not applicable", "不适用"),
    CaseVerdict.WAIVED: ("waived", "豁免"),
}
"""Each verdict in English and Chinese."""
DECIDED = frozenset({CaseVerdict.PASSED, CaseVerdict.NOT_APPLICABLE, CaseVerdict.WAIVED})
"""The verdicts with which a run may be closed."""


class SeenAt(StrEnum):
    """The side on which something was observed. An observation at a twin never counts as one at the bank."""

    BANK = "bank"
    TWIN = "twin"


class ConditionCause(StrEnum):
    """The side that causes the case's special condition: the gateway, the bank, our relay, a person."""

    ERP = "erp"
    BANK = "bank"
    PROXY = "proxy"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class CaseFinding:
    """A verdict with its reason. `until` is set when waiting, `owner` when waived, `seen` when something was played."""

    verdict: CaseVerdict
    why: str = ""
    until: datetime | None = None
    owner: str = ""
    seen: SeenAt | None = None

    def __post_init__(self) -> None:
        if self.verdict is CaseVerdict.WAITING and (self.until is None or self.until.tzinfo is None):
            raise ValueError("a waiting case says until when, with a time zone")
        if self.verdict is CaseVerdict.WAIVED and not (self.owner and self.why):
            raise ValueError("a waiver needs an owner and a reason")
