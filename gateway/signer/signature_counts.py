"""What was signed so far: sums of the day for the ceilings, signatures of each attempt, and what was signed for each
reference. It is read from the log of signatures at the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from gateway.control.offline.signature_log import LoggedSignature, PaymentSignature
from gateway.signer.judgement import NotJudgedGood
from gateway.signer.signer_file import SignerKey
from protocols.canon.money import Money
from protocols.canon.order import Kind

KEPT_DAYS: Final = 7
"""So many days what was signed for a reference stays known; an older order's state is the journal's alone."""
DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class _Signed:
    """What was signed with one key for one reference."""

    at_ms: int
    content: str
    attempts: Counter[int]


class SignatureCounts:
    """Counts signatures. `check` raises NotJudgedGood, `add` counts what was written into the log."""

    def __init__(self, zone: tzinfo, most_each: int) -> None:
        self._zone = zone
        self._most_each = most_each
        self._day_ends_ms = 0
        self._sums: Counter[tuple[str, str]] = Counter()
        self._questions: Counter[str] = Counter()
        self._signed: dict[tuple[str, str, str], _Signed] = {}
        self._ceilings: dict[str, Mapping[str, int]] = {}

    def load(self, log: Iterable[LoggedSignature], now_ms: int) -> None:
        """Count what the log has."""
        for one in log:
            self.add(one)
        self._turn(now_ms)

    def check(self, key: str, table: SignerKey, wanted: Iterable[PaymentSignature], now_ms: int) -> None:
        """Raise NotJudgedGood if one of these signatures is over a ceiling, or is a second message of its reference."""
        self._turn(now_ms)
        ceilings = self._ceilings.get(key)
        if ceilings is None:
            ceilings = self._ceilings[key] = {kind.value: table.most_minor(kind) for kind in Kind}
        more: Counter[str] = Counter()
        for one in wanted:
            known = self._signed.get((key, one.lane, one.reference))
            if known is not None and known.content != one.content:
                raise NotJudgedGood("another_message", f"another message was signed for {one.reference}")
            if known is not None and known.attempts[one.attempt] >= self._most_each:
                raise NotJudgedGood("too_many", f"attempt {one.attempt} of {one.reference} was signed too often")
            if one.currency != table.currency or not ceilings[one.kind]:
                raise NotJudgedGood("kind_not_signed", f"the settings have no ceiling of {one.kind} in {one.currency}")
            more[one.kind] += one.amount_minor if known is None else 0
        for kind, minor in more.items():
            most = ceilings[kind]
            if minor and self._sums[key, kind] + minor > most:
                said = Money(most, table.currency)
                raise NotJudgedGood("over_ceiling", f"{kind}: the ceiling of the day is {said} {table.currency}")

    def check_question(self, key: str, table: SignerKey, now_ms: int) -> None:
        """Raise NotJudgedGood if no further message that moves no money is signed today."""
        self._turn(now_ms)
        if self._questions[key] >= table.questions_per_day:
            raise NotJudgedGood("over_ceiling", "the number of questions of the day was signed", later=True)

    def add(self, one: LoggedSignature) -> None:
        """Count a signature."""
        self._turn(one.at_ms)
        if not isinstance(one, PaymentSignature):
            self._questions[one.key] += 1
            return
        name = (one.key, one.lane, one.reference)
        known = self._signed.get(name)
        if known is None:
            known = self._signed[name] = _Signed(one.at_ms, one.content, Counter())
            self._sums[one.key, one.kind] += one.amount_minor
        known.attempts[one.attempt] += 1

    def _turn(self, now_ms: int) -> None:
        """Begin a new day. A clock that was set back begins none: the sums of the later day go on."""
        if now_ms < self._day_ends_ms:
            return
        midnight = datetime.fromtimestamp(now_ms / 1000, self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
        self._day_ends_ms = int((midnight + timedelta(days=1)).timestamp() * 1000)
        self._sums.clear()
        self._questions.clear()
        before_ms = now_ms - KEPT_DAYS * DAY_MS
        self._signed = {name: one for name, one in self._signed.items() if one.at_ms >= before_ms}
