from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from twisted.internet.defer import Deferred

from gateway.kernel.checkpoints import checkpoints, merkle
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint, Checkpoint, Checkpoints
from gateway.kernel.checkpoints.witness import Witness, WitnessResult
from gateway.kernel.commit import audit, outbox
from gateway.kernel.commit.group_commit import SqlStore
from gateway.kernel.commit.payment_cache import PaymentCache
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.wiring import PORTS
from tests.gateway.kernel.bench import NO_REACTOR, ManualClock, vault
from tests.world.inline_executor import InlineExecutor

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
ORIGIN = "bankgw/n1"
POINT = Checkpoint(ORIGIN, 3, merkle.leaf(b"x"), "0" * 64, "2026-11-24T00:00:00Z")


class Maker:
    """A store that makes checkpoints on a clock moved by hand."""

    def __init__(self, url: str, folder: Path) -> None:
        self.hands, self.folder, self.url = ManualClock(), folder, url
        self.start()

    def start(self) -> None:
        inline = InlineExecutor(self.hands)
        self.store = SqlStore(
            self.url, NO_REACTOR, self.hands, "n1", vault(), NoPermits(), executor=inline, reading=inline, ports=PORTS
        )
        self.done(self.store.open())
        self.maker = Checkpoints(
            self.store, self.hands, "n1", KEY, self.folder / "points", lambda: self.store.head, 60.0
        )
        self.maker.start()
        self.pass_(1.5)

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.hands.task.advance(0.1)

    def done(self, waiting: Deferred[Any]) -> object:
        self.pass_(1)
        assert waiting.called
        return waiting.result

    def note(self, count: int) -> None:
        def append_entries(tx: Tx) -> None:
            for n in range(count):
                audit.append(tx, "uid:1", "thing.done", f"{n}")

        self.done(self.store.write(append_entries))

    def messages(self) -> list[checkpoints.PublishedCheckpoint]:
        found = self.done(self.store.read(lambda conn: outbox.unsent(conn, "n1")))
        assert isinstance(found, list)
        return [checkpoints.read_published(row.body) for row in found if row.routing_key == checkpoints.QUEUE]

    def sizes(self) -> list[int]:
        return [checkpoints.opened(word.note, KEY.public_key()).size for word in self.messages()]

    def deliver(self) -> None:
        rows = self.done(self.store.read(lambda conn: outbox.unsent(conn, "n1")))
        assert isinstance(rows, list)
        self.done(self.store.write(lambda tx: outbox.mark(tx, [row.message_id for row in rows], OutboxState.SENT)))


@pytest.fixture
def maker(sqlite_url: str, tmp_path: Path) -> Iterator[Maker]:
    made = Maker(sqlite_url, tmp_path)
    yield made
    made.done(made.store.close())


def test_one_is_made_after_a_minute_and_one_at_once_for_a_thousand_entries(maker: Maker) -> None:
    maker.note(5)
    maker.pass_(50)
    assert maker.sizes() == []
    maker.pass_(10)
    assert maker.sizes() == [5]
    maker.note(1_000)
    maker.pass_(2)
    assert maker.sizes() == [5, 1_005]
    maker.pass_(200)
    assert maker.sizes() == [5, 1_005], "nothing new, nothing made"
    maker.deliver()
    maker.pass_(200)
    assert maker.sizes() == [], "its own delivery is no reason for another"
    maker.note(1)
    maker.pass_(61)
    assert maker.sizes() == [1_007]


def test_a_checkpoint_leaves_the_writers_memory_of_payments_alone(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaymentCache, "distrust", lambda _self: pytest.fail("it was forgotten"))
    for size in (1_000, 2_000):
        maker.note(1_000)
        maker.pass_(2)
        assert maker.sizes()[-1] == size


def test_what_was_delivered_is_not_kept(maker: Maker) -> None:
    for _ in range(3):
        maker.note(1_000)
        maker.pass_(2)
        maker.deliver()
    rows = maker.done(maker.store.read(lambda conn: conn.execute(select(schema.outbox)).all()))
    assert isinstance(rows, list) and len(rows) == 1


def test_the_next_life_continues_and_the_witness_follows(maker: Maker, tmp_path: Path) -> None:
    maker.note(1_500)
    maker.pass_(2)
    maker.note(7)
    maker.done(Deferred.fromCoroutine(maker.maker.stop()))
    maker.done(maker.store.close())
    maker.start()
    maker.note(1_100)
    maker.pass_(2)
    words = maker.messages()
    witness = Witness(tmp_path / "witness", (checkpoints.public_words(KEY.public_key(), ORIGIN),))
    assert [witness.receive(word.octets()) for word in words] == [
        WitnessResult(ORIGIN, size) for size in (1_500, 1_507, 2_607)
    ]
    assert witness.receive(words[1].octets()) == WitnessResult(ORIGIN, 1_507), "delivered twice"
    notes = checkpoints.kept(tmp_path / "points")
    assert notes == [word.note for word in words]
    assert checkpoints.kept(tmp_path / "witness" / "bankgw%2Fn1.txt") == notes


def test_an_entry_that_was_rewritten_between_gets_no_checkpoint(maker: Maker) -> None:
    maker.note(10)
    with closing(sqlite3.connect(maker.url.removeprefix("sqlite:///"))) as conn, conn:
        conn.execute("UPDATE audit SET hash = ? WHERE seq = 4", ("1" * 64,))
    maker.pass_(65)
    assert maker.sizes() == []


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.key"
    made = checkpoints.load_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert checkpoints.load_key(path).private_bytes_raw() == made.private_bytes_raw()
    words = checkpoints.public_words(made.public_key(), ORIGIN)
    origin, public = checkpoints.read_public(words)
    assert (origin, public.public_bytes_raw()) == (ORIGIN, made.public_key().public_bytes_raw())
    with pytest.raises(BadCheckpoint, match="is not a checkpoint key"):
        checkpoints.read_public(words.replace("+", "+0", 1))


def test_a_note_is_that_of_the_standard() -> None:
    note = checkpoints.sign(POINT, KEY)
    lines = note.split("\n")
    assert lines[:2] == [ORIGIN, "3"] and lines[5] == "" and lines[6].startswith(f"\N{EM DASH} {ORIGIN} ")
    assert checkpoints.opened(note, KEY.public_key()) == POINT
    assert checkpoints.split(note + "\n" + note) == [note, note]


@pytest.mark.parametrize("change", [("3\n", "4\n"), ("hash 0", "hash 1"), ("time 2026", "time 2027")])
def test_an_altered_note_is_not_believed(change: tuple[str, str]) -> None:
    note = checkpoints.sign(POINT, KEY)
    assert change[0] in note
    with pytest.raises(BadCheckpoint, match="was altered"):
        checkpoints.opened(note.replace(*change, 1), KEY.public_key())


def test_a_note_of_another_key_or_of_nobody_is_not_believed(tmp_path: Path) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    with pytest.raises(BadCheckpoint, match="another key"):
        checkpoints.opened(checkpoints.sign(POINT, other), KEY.public_key())
    with pytest.raises(BadCheckpoint, match="not a signed checkpoint"):
        checkpoints.opened("hello", KEY.public_key())
    witness = Witness(tmp_path)
    word = checkpoints.PublishedCheckpoint(checkpoints.sign(POINT, KEY), (), ())
    assert witness.receive(word.octets()).alarm and witness.receive(b"{}").alarm


def test_a_proof_that_does_not_fit_its_root_is_an_alarm(tmp_path: Path) -> None:
    witness = Witness(tmp_path, (checkpoints.public_words(KEY.public_key(), ORIGIN),))
    leaves = [merkle.leaf(b"%d" % n) for n in range(3)]
    word = checkpoints.PublishedCheckpoint(checkpoints.sign(POINT, KEY), (), merkle.between(0, leaves))
    seen = witness.receive(word.octets())
    assert seen.alarm and "does not match its own proof" in seen.why
    said = json.loads(word.octets())
    said["added"].reverse()
    assert witness.receive(json.dumps(said).encode()).alarm
