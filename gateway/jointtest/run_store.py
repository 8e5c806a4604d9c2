"""A run's journal: one JSON object a line, each durable before anything is done about it. A run spans days and rounds.

Every line names the hash of the line before, so that a line that was changed or taken out shows. What a case will
publish is written before it is published: whoever goes on with a run asks about it and never publishes it again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt

FILE = "journal.jsonl"
_FIRST = "0" * 64


class BadJournal(ValueError):
    """The run's journal is not what was written; the text says which line and what to do."""


@dataclass(frozen=True, slots=True)
class Try:
    """One time a case was played. `published` are its commands: message id, routing key, order ids, SHA-256."""

    round: int
    case: str
    number: int
    started: datetime
    published: tuple[Mapping[str, Any], ...] = ()
    ended: datetime | None = None
    finding: CaseFinding = CaseFinding(CaseVerdict.OPEN)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its evidence is called: `R2-settles.payment-1`."""
        return f"R{self.round}-{self.case}-{self.number}"


@dataclass(slots=True)
class Run:
    """What the journal tells: tries in order, and what was decided about the whole run."""

    id: str = ""
    bank: str = ""
    opened: datetime | None = None
    rounds: int = 0
    closed: datetime | None = None
    cases: tuple[str, ...] = ()
    versions: dict[int, Mapping[str, str]] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    acts: list[Mapping[str, Any]] = field(default_factory=list)

    def latest(self, case: str, round_: int | None = None) -> Try | None:
        """The last try of a case, in one round or in any."""
        return next((one for one in reversed(self.tries)
                     if one.case == case and round_ in (None, one.round)), None)  # fmt: skip

    def of_round(self, round_: int) -> dict[str, Try]:
        """The last try of each case in a round."""
        return {one.case: one for one in self.tries if one.round == round_}

    def standing(self) -> dict[str, Try]:
        """How each case stands: its last try of any round."""
        return {one.case: one for one in self.tries}


class RunStore:
    """The journal of one run, open for writing. `now` is aware."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self.file = folder / FILE
        self._now = now
        self._last = _FIRST
        self.run = Run()
        _cut(self.file)
        for line in _lines(self.file):
            self._last = line["hash"]
            _take(self.run, line)

    # ---- writing ----

    def open(self, run_id: str, bank: str, cases: Sequence[str]) -> None:
        """Begin a run."""
        self._write("opened", run=run_id, bank=bank, cases=list(cases))

    def begin_round(self, versions: Mapping[str, str]) -> int:
        """Begin the next round; returns its number."""
        self._write("round", round=self.run.rounds + 1, versions=dict(versions))
        return self.run.rounds

    def start(self, case: str) -> Try:
        """A new try of a case in this round."""
        before = self.run.latest(case, self.run.rounds)
        self._write("started", round=self.run.rounds, case=case, number=1 if before is None else before.number + 1)
        return self.run.tries[-1]

    def publishing(self, one: Try, message_id: str, key: str, orders: Sequence[Mapping[str, Any]], body: bytes) -> None:
        """Say what will be published now. `orders`: id, own account, kind and minor units of each."""
        self._write("publishing", round=one.round, case=one.case, number=one.number, message_id=message_id, key=key,
                    orders=list(orders), sha256=hashlib.sha256(body).hexdigest())  # fmt: skip

    def end(self, one: Try, finding: CaseFinding, facts: Mapping[str, Any] = {}, by: str = "") -> None:
        """A verdict. A later one of the same try replaces it."""
        self._write("verdict", round=one.round, case=one.case, number=one.number, verdict=finding.verdict.value,
                    why=finding.why, until=None if finding.until is None else finding.until.isoformat(),
                    owner=finding.owner, seen=None if finding.seen is None else finding.seen.value, facts=dict(facts),
                    by=by)  # fmt: skip

    def act(self, what: str, by: str, **details: Any) -> None:
        """An act of a person that is not about one try: a business date, the close."""
        self._write("act", act=what, by=by, **details)

    def close(self, by: str) -> None:
        """The run is over."""
        self._write("closed", by=by)

    def _write(self, what: str, **said: Any) -> None:
        line: dict[str, Any] = {"what": what, "at": self._now().isoformat(), **said, "before": self._last}
        line["hash"] = _hash(line)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        self._last = line["hash"]
        _take(self.run, line)


def _hash(line: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in line.items() if name != "hash"}
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def read_run(folder: Path) -> Run:
    """What the journal of this folder tells, for whoever only looks: the file stays as it is. Raises BadJournal."""
    run = Run()
    for line in _lines(folder / FILE):
        _take(run, line)
    return run


def _cut(file: Path) -> None:
    """Take away a last line that was not written whole."""
    if file.exists():
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            with file.open("r+b") as cut:
                cut.truncate(whole)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal, each checked against the one before. Raises BadJournal."""
    if not file.exists():
        return
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    before = _FIRST
    for number, text in enumerate(whole.splitlines(), start=1):
        line: dict[str, Any] = {}
        try:
            line = json.loads(text)
            sound = line["before"] == before and line["hash"] == _hash(line)
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise BadJournal(f"{file}: line {number} is not what was written; take the file from a copy")
        before = line["hash"]
        yield line


def _take(run: Run, line: Mapping[str, Any]) -> None:
    at = datetime.fromisoformat(line["at"])
    what = line["what"]
    if what == "opened":
        run.id, run.bank, run.opened, run.cases = line["run"], line["bank"], at, tuple(line["cases"])
    elif what == "round":
        run.rounds = line["round"]
        run.versions[run.rounds] = line["versions"]
        run.closed = None
    elif what == "started":
        run.tries.append(Try(line["round"], line["case"], line["number"], at))
    elif what in ("publishing", "verdict"):
        index = next(n for n in range(len(run.tries) - 1, -1, -1) if _is(run.tries[n], line))
        run.tries[index] = _with(run.tries[index], line, at)
    elif what == "closed":
        run.closed = at
        run.acts.append(line)
    else:
        run.acts.append(line)


def _is(one: Try, line: Mapping[str, Any]) -> bool:
    return (one.round, one.case, one.number) == (line["round"], line["case"], line["number"])


def _with(one: Try, line: Mapping[str, Any], at: datetime) -> Try:
    if line["what"] == "publishing":
        said = {name: line[name] for name in ("message_id", "key", "orders", "sha256")}
        return Try(one.round, one.case, one.number, one.started, (*one.published, said), one.ended, one.finding,
                   one.facts)  # fmt: skip
    until = line["until"]
    finding = CaseFinding(
        CaseVerdict(line["verdict"]), line["why"], None if until is None else datetime.fromisoformat(until),
        line["owner"],
        None if line["seen"] is None else SeenAt(line["seen"]),
    )  # fmt: skip
    facts = {**one.facts, **line["facts"], **({"by": line["by"]} if line["by"] else {})}
    return Try(one.round, one.case, one.number, one.started, one.published, at, finding, facts)
