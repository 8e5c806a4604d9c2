"""The notices process over a real journal: each event is told once, through crashes; and failures to read or write."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.kernel.meters import NoticeMeters
from gateway.kernel.sql import reading, schema
from gateway.notices import journal_look, state_file
from gateway.notices.couriers import Courier, NoticeNotTaken
from gateway.notices.daemon_page import PageNotRead
from gateway.notices.kinds import NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination, NoticeFile
from gateway.notices.notice_queue import Notice
from gateway.notices.process import NoticeParts, NoticeProcess
from tests.gateway.approvals.test_approval_holds import OVER, PAYEE, release, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, approve, hand, propose
from tests.gateway.cli.test_resolve import booked as booked
from tests.gateway.people.test_people_acts import let_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.world import World

K = NoticeKind
OPS = {"form": "email", "to": ["ops@example.com"], "gather_s": 0, "gap_s": 0}
SMTP = {"host": "127.0.0.1", "port": 25, "security": "loopback", "sender": "bankgw@example.com"}


class Died(BaseException):
    """The process ends here."""


@dataclass
class Lives:
    """Several processes over one journal, one after the other. For each destination it has the notices that were
    accepted, in order."""

    world: World
    file: dict[str, Any] = field(default_factory=lambda: {"destinations": {"ops": OPS}, "smtp": SMTP})
    took: list[tuple[str, Notice]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    ahead_s: float = 0.0
    process: NoticeProcess | None = None
    meters: NoticeMeters = field(default_factory=lambda: NoticeMeters(CollectorRegistry()))
    troubles: list[dict[str, str]] | None = field(default_factory=list)
    breaks: set[str] = field(default_factory=set)

    @property
    def state(self) -> Path:
        return self.world.folder / "notices.json"

    def start(self) -> Lives:
        """Start another process."""
        if self.process is not None:
            self.process.close()
        made = NoticeFile.model_validate(self.file)
        names = {json.dumps(to.model_dump(mode="json"), sort_keys=True): name for name, to in made.destinations.items()}
        engine = reading.connect(self.world.url, None, 1)

        def courier(to: NoticeDestination) -> Courier:
            name = names.get(json.dumps(to.model_dump(mode="json"), sort_keys=True), f"old {to.to[0]}")

            def bring(notice: Notice) -> None:
                if name in self.refuses:
                    raise NoticeNotTaken("not now")
                if name in self.breaks:
                    raise LookupError("a defect")
                self.took.append((name, notice))

            return bring

        parts = NoticeParts(engine, self.state, courier, self.now_ms, self.meters, {"gw1": self.page}, self.companies)
        self.process = NoticeProcess(made, parts)
        return self

    def page(self) -> list[dict[str, str]]:
        """The troubles on the daemon's page; it cannot be read while they are None."""
        if self.troubles is None:
            raise PageNotRead("ConnectionRefusedError")
        return list(self.troubles)

    def companies(self, subject: str) -> frozenset[str]:
        return frozenset({"jia"} if subject.startswith("boc") else ())

    def now_ms(self) -> int:
        return round((self.world.clock.seconds() + self.ahead_s) * 1000)

    def rounds(
        self, number: int = 2, step_s: float = 1.0, alive: bool = True
    ) -> list[tuple[str, NoticeKind, tuple[str, ...]]]:
        """Run this many rounds; returns the notices that were accepted in them. A daemon that is `alive` writes."""
        assert self.process is not None
        before = len(self.took)
        for _ in range(number):
            if alive:
                with sqlite3.connect(self.world.folder / "journal.db") as db:
                    db.execute("update units set at_ms = max(at_ms, ?) where node = 'gw1'", (self.now_ms(),))
            self.process.round()
            self.process.settle(5)
            self.ahead_s += step_s
        return [(name, notice.kind, notice.keys) for name, notice in self.took[before:]]


@pytest.fixture
def lives(four_eyes: Operator) -> Iterator[Lives]:
    made = Lives(four_eyes.world)
    made.start().rounds()
    yield made
    assert made.process is not None
    made.process.close()


def payment_of(world: World, order: str) -> str:
    return str(world.query("select payment from payments where order_id = ?", order)[0][0])


def test_the_first_life_begins_with_what_happens_from_then_on(lives: Lives) -> None:
    assert lives.took == [] and lives.rounds() == []


def test_a_request_for_approval_is_told_once(lives: Lives, four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    assert lives.rounds() == [("ops", K.APPROVAL_WAITING, ("kingdee/AP-1",))]
    assert lives.rounds(5) == [] and lives.start().rounds(5) == []


def test_a_request_that_nobody_answers_is_told_again_late_ending_and_ended(lives: Lives, four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    lives.rounds()
    told = lives.rounds(40, 60)
    assert [kind for _name, kind, _keys in told] == [K.APPROVAL_WAITING, K.APPROVAL_EXPIRING, K.EXPIRED]
    assert lives.rounds(5, 600) == []


def test_a_hold_that_is_no_approval_is_told_and_one_that_is_over_is_not(lives: Lives, four_eyes: Operator) -> None:
    lives.file["destinations"]["ops"] = {**OPS, "gather_s": 60}
    lives.start()
    lives.rounds(80)  # the change itself
    for n in range(2):
        submit(four_eyes, f"AP-{n}", 100, maker="zhao", creditor=PAYEE)
    assert four_eyes.world.state("AP-1") == "held"
    assert lives.rounds(80) == [("ops", K.HELD, (payment_of(four_eyes.world, "AP-1"),))]
    submit(four_eyes, "AP-2", 100, maker="zhao", creditor=PAYEE)
    lives.rounds()
    release(four_eyes, "kingdee:AP-2")
    four_eyes.world.run(5)
    assert four_eyes.world.state("AP-2") == "settled"
    assert K.HELD not in [kind for _name, kind, _keys in lives.rounds(80)]


def from_the_beginning(lives: Lives) -> Lives:
    """The next life reads the whole trail again."""
    said = json.loads(lives.state.read_text())
    said["cursors"] = dict.fromkeys(said["cursors"], 0)
    lives.state.write_text(json.dumps(said))
    return lives.start()


def test_doubt_is_told_while_it_lasts(booked: tuple[World, Operator, str]) -> None:
    world, operator, payment = booked
    lives = Lives(world).start()
    assert lives.rounds() == []
    assert ("ops", K.DOUBTFUL, (payment,)) in from_the_beginning(lives).rounds()
    approve(operator, LI, propose(operator, WANG, "kingdee:AP-1", "settled"))
    world.run(2)
    assert K.DOUBTFUL not in [kind for _name, kind, _keys in from_the_beginning(lives).rounds()]
    assert lives.process is not None
    lives.process.close()


def test_security_is_told_with_what_was_done_and_to_whom(lives: Lives, four_eyes: Operator) -> None:
    let_in(four_eyes, hand("newcomer", 2990), "viewer@*")
    ((_name, kind, keys),) = lives.rounds()
    assert (
        kind is K.SECURITY and "person.enrolled person:newcomer" in keys and "person.admitted person:newcomer" in keys
    )


def test_each_destination_has_its_own_queue(lives: Lives, four_eyes: Operator) -> None:
    lives.file["destinations"]["treasury"] = {**OPS, "to": ["treasury@example.com"], "kinds": ["held"]}
    lives.start().rounds()
    lives.took.clear()
    lives.refuses = {"ops"}
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    for n in range(2, 4):
        submit(four_eyes, f"AP-{n}", 100, maker="zhao", creditor=PAYEE)
    told = lives.rounds()
    assert [(name, kind) for name, kind, _keys in told] == [("treasury", K.HELD)]
    lives.refuses = set()
    assert {kind for _name, kind, _keys in lives.rounds(20)} == {K.APPROVAL_WAITING, K.HELD}
    assert lives.meters.failed.labels("ops")._value.get() >= 1 and lives.meters.waiting.labels("ops")._value.get() == 0


# ---- crashes ----


def test_a_notice_is_written_down_before_it_is_sent_and_has_one_id(lives: Lives, four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    process = lives.process
    assert process is not None
    process.round()
    while not lives.took:
        pass  # the courier's thread
    # The process dies here: the notice was sent, and the state file does not say so.
    lives.start()
    assert lives.rounds() == [("ops", K.APPROVAL_WAITING, ("kingdee/AP-1",))]
    (_one, first), (_other, second) = lives.took
    assert first.id == second.id and first.keys == second.keys
    assert lives.start().rounds(5) == []


@pytest.mark.parametrize("at", range(4))
def test_no_event_is_lost_or_told_as_another_wherever_it_dies(
    lives: Lives, four_eyes: Operator, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies at the n-th saving of its state, before or after the file is replaced."""
    left = [at // 2]
    real = state_file.save

    def save(path: Path, text: str) -> None:
        if left[0] == 0 and at % 2:
            real(path, text)
        if left[0] == 0:
            left[0] -= 1
            raise Died
        left[0] -= 1
        real(path, text)

    submit(four_eyes, "AP-1", OVER, maker="zhao")
    monkeypatch.setattr(state_file, "save", save)
    with pytest.raises(Died):
        lives.rounds(5)
    monkeypatch.setattr(state_file, "save", real)
    lives.start().rounds(5)
    told = [notice for _name, notice in lives.took if notice.kind is K.APPROVAL_WAITING]
    assert told and all(notice.keys == ("kingdee/AP-1",) for notice in told)
    assert len({notice.id for notice in told}) == 1


def test_a_damaged_state_is_no_empty_state(lives: Lives) -> None:
    for text in ("", "{", "[]", '{"cursors": {}}'):
        lives.state.write_text(text)
        with pytest.raises(state_file.BadState, match="move it away"):
            lives.start()
    lives.state.unlink()
    lives.start().rounds()


# ---- the journal ----


def test_a_journal_that_is_away_stops_nothing(
    lives: Lives, four_eyes: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    path = lives.world.folder / "journal.db"

    def away(_conn: Any) -> Any:
        raise SQLAlchemyError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(journal_look, "heads", away)
        assert lives.rounds(3) == []
    assert path.exists() and lives.rounds() == [("ops", K.APPROVAL_WAITING, ("kingdee/AP-1",))]


def test_entries_that_are_gone_and_a_journal_from_the_past_are_told(
    lives: Lives, four_eyes: Operator, tmp_path: Path
) -> None:
    shutil.copy(lives.state, tmp_path / "kept.json")
    submit(four_eyes, "AP-1", 100, maker="zhao")
    lives.rounds()
    said = json.loads(lives.state.read_text())
    ((node, seq),) = said["cursors"].items()
    said["cursors"][node] = seq + 1_000
    lives.state.write_text(json.dumps(said))
    assert ("ops", K.SECURITY, ("journal.older node:gw1",)) in lives.start().rounds()
    assert lives.rounds() == []
    with sqlite3.connect(lives.world.folder / "journal.db") as db:
        db.execute("delete from audit where seq <= ?", (seq - 2,))
    shutil.copy(tmp_path / "kept.json", lives.state)
    assert any("audit.gap node:gw1" in keys for _name, kind, keys in lives.start().rounds(3) if kind is K.SECURITY)


def test_a_trail_that_is_far_behind_is_read_in_parts(lives: Lives, four_eyes: Operator) -> None:
    for n in range(3):
        submit(four_eyes, f"AP-{n}", OVER + n, maker="zhao")
    engine = reading.connect(lives.world.url, None, 1)
    with engine.connect() as conn:
        cursors: dict[str, int] = {"gw1": 0}
        whole = journal_look.trail_part(conn, {"gw1": 0})
        found: list[NoticeEvent] = []
        for _ in range(10_000):
            part = journal_look.trail_part(conn, cursors, span=7)
            found += part.events
            if cursors == part.cursors:
                break
            cursors = dict(part.cursors)
        assert cursors == whole.cursors and sorted(found, key=str) == sorted(whole.events, key=str)


def test_it_can_neither_write_nor_read_what_is_sealed(lives: Lives, four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    engine = reading.connect(lives.world.url, None, 1)
    with engine.connect() as conn:
        with pytest.raises(SQLAlchemyError):
            conn.execute(insert(schema.meta), {"name": "x", "value": "y"})
        with pytest.raises(KeyError):
            conn.info["bankgw.vault"]
        sealed = conn.execute(select(schema.approval_requests.c.body)).scalars().all()
    assert sealed and all(b"kingdee" not in one for one in sealed)


# ---- destinations ----


def test_a_change_of_destinations_is_told_where_it_was_and_where_it_is(lives: Lives) -> None:
    lives.file["destinations"] = {
        "ops": {**OPS, "to": ["thief@example.com"]},
        "new": {**OPS, "to": ["new@example.com"]},
    }
    told = lives.start().rounds(4)
    assert {name for name, kind, _keys in told if kind is K.SECURITY} == {"ops", "new", "old ops@example.com"}
    by_name = {name: keys for name, _kind, keys in told}
    assert by_name["old ops@example.com"] == ("notices.changed destination:ops",)
    assert set(by_name["ops"]) == {"notices.changed destination:ops", "notices.changed destination:new"}
    assert lives.start().rounds(4) == [], "it is told once"


def test_a_destination_that_was_taken_away_is_told_even_if_the_process_dies_first(
    lives: Lives, four_eyes: Operator
) -> None:
    lives.file["destinations"] = {"new": {**OPS, "to": ["new@example.com"]}}
    lives.refuses = {"old ops@example.com"}
    lives.start().rounds(3)
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    lives.refuses = set()
    told = lives.start().rounds(30)
    assert ("old ops@example.com", K.SECURITY, ("notices.changed destination:ops",)) in told
    assert [kind for name, kind, _keys in told if name.startswith("old")] == [K.SECURITY]


def test_the_daily_notice(lives: Lives) -> None:
    lives.file["alive_at"] = "00:00"
    told = lives.start().rounds(48, 3_600)
    assert [kind for _name, kind, _keys in told] in ([K.ALIVE] * 2, [K.ALIVE] * 3)
