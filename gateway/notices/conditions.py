"""Conditions that last, such as a lane that is down: persons are notified once of each, and once of its end. Pure.

A condition stays known while its source cannot be read, so that a restart of the daemon or of this process does not
cause a second notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import settings as conf
from gateway.notices.kinds import CONDITIONS, NoticeEvent, NoticeKind, kind_of_trouble

SEPARATOR = " · "
"""Stands between a condition's subject and its details in the key of its event."""
MOST_KNOWN = 2_000
# A report, statement or receipt that came late, or that is not waited for any more, is no news.
_END_IS_TOLD = CONDITIONS - {NoticeKind.REPORT_FAILED, NoticeKind.STATEMENT_MISSING, NoticeKind.RECEIPT_MISSING}
_MOST_TEXT = 80


@dataclass(frozen=True, slots=True)
class Condition:
    """A present condition. `subject` names it within its kind; `detail` is shown with it. If `step` changes, persons
    are notified again: a certificate has a step for each number of days that was reached.
    """

    kind: NoticeKind
    subject: str
    detail: str = ""
    step: str = ""
    companies: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The condition as a notice lists it."""
        return f"{self.subject}{SEPARATOR}{self.detail}" if self.detail else self.subject


@dataclass(slots=True)
class KnownCondition:
    """A condition that was found. `source` is where; `told` is the step that was told last, None if none was."""

    kind: NoticeKind
    subject: str
    source: str
    key: str
    since_ms: int
    seen_ms: int
    told: str | None = None
    companies: tuple[str, ...] = ()


Known = dict[str, KnownCondition]
"""The known conditions by kind and subject."""


def update(known: Known, source: str, present: Sequence[Condition], now_ms: int, lasting_ms: int) -> list[NoticeEvent]:
    """Take over the present conditions of a source; returns the events.

    A condition is reported when it has lasted for `lasting_ms`, and is over when it has been absent for as long. So a
    lane that goes up and down every few seconds is one condition.
    """
    events: list[NoticeEvent] = []
    for one in present:
        name = f"{one.kind.value}/{one.subject}"
        found = known.get(name)
        if found is None:
            if len(known) >= MOST_KNOWN:
                continue
            found = known[name] = KnownCondition(one.kind, one.subject, source, one.key, now_ms, now_ms)
        found.source, found.key, found.seen_ms = source, one.key, now_ms
        found.companies = tuple(sorted(one.companies))
        if found.told != one.step and now_ms - found.since_ms >= lasting_ms:
            found.told = one.step
            events.append(NoticeEvent(one.kind, one.key, one.companies))
    there = {f"{one.kind.value}/{one.subject}" for one in present}
    for name, found in tuple(known.items()):
        if found.source == source and name not in there and now_ms - found.seen_ms >= lasting_ms:
            del known[name]
            if found.told is not None and found.kind in _END_IS_TOLD:
                gone = f"{found.kind.value} {found.subject}"
                events.append(NoticeEvent(NoticeKind.OVER, gone, frozenset(found.companies)))
    return events


def still_there(known: Known, kind: NoticeKind, keys: Sequence[str]) -> list[str]:
    """The keys whose condition is still known, with the same or another detail."""
    return [key for key in keys if f"{kind.value}/{key.partition(SEPARATOR)[0]}" in known]


def told(known: Known) -> Iterator[KnownCondition]:
    """The conditions that were told and are not over."""
    return (one for one in known.values() if one.told is not None)


class CompanyMap:
    """The companies that a lane or a bank works for, by the settings."""

    def __init__(self, settings: conf.Settings) -> None:
        self._of: dict[str, set[str]] = {}
        for account in settings.accounts:
            for name in (account.bank, f"{account.bank}.{account.lane}"):
                self._of.setdefault(name, set()).add(account.company)

    def of(self, subject: str) -> frozenset[str]:
        """The companies of a lane, a bank, or a subject that begins with one of them; empty for anything else."""
        first = subject.partition(" ")[0]
        return frozenset(self._of.get(subject, self._of.get(first, set())))


def of_troubles(said: Iterable[Mapping[str, Any]], companies: Callable[[str], frozenset[str]]) -> list[Condition]:
    """The conditions that the daemon's page names as troubles. Troubles of an unexpected form are left out."""
    found = {}
    for one in said:
        trouble, subject, step = (one.get(name) for name in ("trouble", "subject", "step"))
        if not isinstance(trouble, str) or not isinstance(subject, str):
            continue
        kind = kind_of_trouble(trouble)
        if kind is None:
            continue
        subject = subject.replace(SEPARATOR, " ")[:_MOST_TEXT]
        runbook = one.get("runbook")
        detail = [runbook[:_MOST_TEXT]] if isinstance(runbook, str) else []
        if isinstance(step, str) and step:
            detail.insert(0, step[:_MOST_TEXT])
        # The kind says what a lane or a certificate has; the other kinds gather several troubles.
        of_one = kind in (NoticeKind.LANE_DOWN, NoticeKind.CERTIFICATE_ENDS)
        name = subject if of_one else f"{trouble} {subject}"
        made = Condition(kind, name, ", ".join(detail), step if isinstance(step, str) else "", companies(subject))
        found[kind, name] = made
    return list(found.values())
