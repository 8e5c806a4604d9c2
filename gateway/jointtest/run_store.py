"""A run's journal: one JSON object a line, each durable before its action. A run lasts days and rounds.

Every line names the hash of the line before, so that a line that was changed or taken out shows. What a case will
publish is written before it is published: whoever goes on with a run asks about it and never publishes it again. The
line of a verdict has the digest of the try's files as they are at that moment.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt

FILE, EVIDENCE = "journal.jsonl", "evidence"
_FIRST = "0" * 64


class BadJournal(ValueError):
    """The run's journal was altered or damaged; the text says which line and what to do."""


@dataclass(frozen=True, slots=True)
class CaseAttempt:
    """One try of a case. `published` are its commands: message id, routing key, order ids, SHA-256.

    `digest` is that of the try's files when the verdict was written. It is empty while a try goes on.
    `verdicts` are all its verdicts, the oldest first: the word, the digest of the files, the person who recorded it.
    `steps` are the marks of the steps of a case of one's own, by number (`RunStore.mark`).
    """

    round: int
    case: str
    number: int
    started: datetime
    published: tuple[Mapping[str, Any], ...] = ()
    ended: datetime | None = None
    finding: CaseFinding = CaseFinding(CaseVerdict.OPEN)
    facts: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    steps: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    verdicts: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the try, under which its evidence is stored: `R2-settles.payment-1`."""
        return f"R{self.round}-{self.case}-{self.number}"


@dataclass(slots=True)
class Run:
    """The content of the journal: tries in order, and decisions about the whole run.

    `lines` is the number of its lines, `head` the hash of the last one.
    """

    id: str = ""
    bank: str = ""
    opened: datetime | None = None
    rounds: int = 0
    closed: datetime | None = None
    cases: tuple[str, ...] = ()
    versions: dict[int, Mapping[str, str]] = field(default_factory=dict)
    tries: list[CaseAttempt] = field(default_factory=list)
    acts: list[Mapping[str, Any]] = field(default_factory=list)
    lines: int = 0
    head: str = _FIRST

    def latest(self, case: str, round_: int | None = None) -> CaseAttempt | None:
        """The last try of a case, in one round or in any."""
        return next((one for one in reversed(self.tries) if one.case == case and round_ in (None, one.round)), None)

    def of_round(self, round_: int) -> dict[str, CaseAttempt]:
        """The last try of each case in a round."""
        return {one.case: one for one in self.tries if one.round == round_}

    def standing(self) -> dict[str, CaseAttempt]:
        """The standing of each case, by its last try of any round."""
        return {one.case: one for one in self.tries}


class RunStore:
    """The journal of one run, open for writing. `now` is aware."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self.file = folder / FILE
        self._now = now
        _cut(self.file)
        self.run = read_run(folder)

    # ---- writing ----

    def open(self, run_id: str, bank: str, cases: Sequence[str]) -> None:
        """Begin a run, and record its id, bank and cases."""
        self._write("opened", run=run_id, bank=bank, cases=list(cases))

    def add_cases(self, cases: Sequence[str]) -> None:
        """Record cases that came after the run began."""
        self._write("cases", cases=list(cases))

    def begin_round(self, versions: Mapping[str, str]) -> int:
        """Begin the next round; returns its number."""
        self._write("round", round=self.run.rounds + 1, versions=dict(versions))
        return self.run.rounds

    def start(self, case: str) -> CaseAttempt:
        """Begin a new try of a case in this round."""
        before = self.run.latest(case, self.run.rounds)
        self._write("started", round=self.run.rounds, case=case, number=1 if before is None else before.number + 1)
        return self.run.tries[-1]

    def publishing(
        self, one: CaseAttempt, message_id: str, key: str, orders: Sequence[Mapping[str, Any]], body: bytes
    ) -> None:
        """Record the command that will be published now. `orders`: id, own account, kind and minor units of each."""
        self._write(
            "publishing",
            round=one.round,
            case=one.case,
            number=one.number,
            message_id=message_id,
            key=key,
            orders=list(orders),
            sha256=hashlib.sha256(body).hexdigest(),
        )

    def mark(self, one: CaseAttempt, step: int, **said: Any) -> None:
        """Record how far a step of a case of one's own has come. Later marks of the same step add to earlier ones.

        `published` is the number of the try's commands before the step, `script` the digest of all steps; `faults` is
        the twin's count before the step's fault; `why` is there when the step has passed.
        """
        self._write("step", round=one.round, case=one.case, number=one.number, step=step, **said)

    def end(self, one: CaseAttempt, finding: CaseFinding, facts: Mapping[str, Any] = {}, by: str = "") -> None:
        """Record a verdict, and the digest of the try's files. A later verdict of the same try replaces both."""
        self._write(
            "verdict",
            round=one.round,
            case=one.case,
            number=one.number,
            verdict=finding.verdict.value,
            why=finding.why,
            until=None if finding.until is None else finding.until.isoformat(),
            owner=finding.owner,
            seen=None if finding.seen is None else finding.seen.value,
            facts=dict(facts),
            by=by,
            files=files_digest(self._digests(one)),
        )

    def act(self, what: str, by: str, **details: Any) -> None:
        """Record an act of a person that is not about one try: a business date, the close."""
        self._write("act", act=what, by=by, **details)

    def close(self, by: str) -> None:
        """Record that the run is over."""
        self._write("closed", by=by)

    def _digests(self, one: CaseAttempt) -> dict[str, str]:
        """The SHA-256 of each file of a try."""
        folder = self.folder / EVIDENCE / one.name
        return {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in folder.rglob("*")
            if file.is_file()
        }

    def _write(self, what: str, **said: Any) -> None:
        line: dict[str, Any] = {"what": what, "at": self._now().isoformat(), **said, "before": self.run.head}
        line["hash"] = _hash(line)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        _take(self.run, line)


def files_digest(digests: Mapping[str, str]) -> str:
    """One digest for the files of a try: SHA-256 over a line for each, sorted: its SHA-256, two spaces, its name.

    `sha256sum * | LC_ALL=C sort -k2 | sha256sum` in the try's folder prints the same.
    """
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests, key=str.encode)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hash(line: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in line.items() if name != "hash"}
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def read_run(folder: Path) -> Run:
    """The run in this folder's journal, without changing the file. Raises BadJournal."""
    file = folder / FILE
    return run_of(file.read_bytes(), str(file)) if file.exists() else Run()


def run_of(journal: bytes, name: str) -> Run:
    """The run in the bytes of a journal; `name` is for errors. Raises BadJournal."""
    run = Run()
    for line in _lines(journal, name):
        _take(run, line)
    return run


def _cut(file: Path) -> None:
    """Remove a last line of the journal that was not written whole."""
    if file.exists():
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            with file.open("r+b") as cut:
                cut.truncate(whole)


def _lines(data: bytes, file: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal, each checked against the one before. Raises BadJournal."""
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
    run.lines, run.head = run.lines + 1, line["hash"]
    if what == "opened":
        run.id, run.bank, run.opened, run.cases = line["run"], line["bank"], at, tuple(line["cases"])
    elif what == "cases":
        run.cases = (*run.cases, *line["cases"])
    elif what == "round":
        run.rounds = line["round"]
        run.versions[run.rounds] = line["versions"]
        run.closed = None
    elif what == "started":
        run.tries.append(CaseAttempt(line["round"], line["case"], line["number"], at))
    elif what in ("publishing", "verdict", "step"):
        index = next(n for n in range(len(run.tries) - 1, -1, -1) if _is(run.tries[n], line))
        run.tries[index] = _with(run.tries[index], line, at)
    elif what == "closed":
        run.closed = at
        run.acts.append(line)
    else:
        run.acts.append(line)


def _is(one: CaseAttempt, line: Mapping[str, Any]) -> bool:
    return (one.round, one.case, one.number) == (line["round"], line["case"], line["number"])


def _with(one: CaseAttempt, line: Mapping[str, Any], at: datetime) -> CaseAttempt:
    if line["what"] == "publishing":
        said = {name: line[name] for name in ("message_id", "key", "orders", "sha256")}
        return replace(one, published=(*one.published, said), digest="")
    if line["what"] == "step":
        told = {name: line[name] for name in ("published", "script", "faults", "why") if name in line}
        steps = {**one.steps, line["step"]: {**one.steps.get(line["step"], {}), **told}}
        return replace(one, steps=steps, digest="")
    until = line["until"]
    finding = CaseFinding(
        CaseVerdict(line["verdict"]),
        line["why"],
        None if until is None else datetime.fromisoformat(until),
        line["owner"],
        None if line["seen"] is None else SeenAt(line["seen"]),
    )
    facts = {**one.facts, **line["facts"], **({"by": line["by"]} if line["by"] else {})}
    # Journals of earlier versions have no digests.
    digest = line.get("files", "")
    verdicts = (*one.verdicts, (finding.verdict.value, digest, line["by"]))
    return replace(one, ended=at, finding=finding, facts=facts, digest=digest, verdicts=verdicts)
