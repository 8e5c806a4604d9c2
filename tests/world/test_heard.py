"""A bank receives a message that was never written down, and the check of `heard` finds it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.record import read_executions, read_heard
from protocols.canon.money import Money
from protocols.twin import Duplicate, Instruction
from tests.world import heard, sim
from tests.world.batching import batch
from tests.world.world import World

ASKED = Instruction("R1", "0000000000000001", "0000000000000099", "乙", Money(1), "货款", False)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


def _books(file: Path) -> Ledger:
    return Ledger(lambda: 0, [LedgerAccount("0000000000000001", "甲", Money(100))], file=file)


def test_what_a_bank_has_heard_outlives_it_and_books_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    books = _books(file)
    books.hear("R1")
    books.book_once(ASKED)
    books.hear("R1")
    with pytest.raises(Duplicate):
        books.book_once(ASKED)
    books.close()
    assert len(_books(file).executions) == len(read_executions(file)) == 1
    assert read_heard(file) == {"R1": 2}


def _found(world: World) -> list[str]:
    engine = create_engine(world.url)
    try:
        with engine.connect() as conn:
            return [ref for ref, _text in heard.unwritten(_arrived(world), heard.written(conn))]
    finally:
        engine.dispose()


def _arrived(world: World) -> heard.Sends:
    return heard.Sends({(bank, ref): n for bank, site in world.banks.items() for ref, n in site.ledger.heard.items()})


def test_every_message_of_an_honest_gateway_has_its_attempt(tmp_path: Path) -> None:
    """The same holds for messages that are dropped, repeated or bundled."""
    world = World(
        tmp_path,
        banks=("sample", "pab"),
        plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE), ScriptedFault(BankFault.DROP_AFTER)]),
    )
    world.start()
    world.run(3)
    world.submit("AP-1", bank="sample")
    world.submit("AP-2", bank="sample")
    world.submit("AP-3", bank="pab")
    world.submit_batch("batch.submit", batch(world, "B-1", [100, 200, 300], bank="sample"))
    world.run(300)
    assert sum(_arrived(world).values()) >= 5, "the banks were spoken to"
    assert any(count > 1 for count in _arrived(world).values()), "one was repeated"
    assert _found(world) == []


def test_a_message_that_was_never_written_down_is_seen(tmp_path: Path) -> None:
    """The bank knows the reference and books once, so only the count of received messages shows it."""
    world = World(tmp_path)
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.run(5)
    [(_bank, ref)] = _arrived(world)
    assert _found(world) == []
    with sqlite3.connect(world.folder / "journal.db") as db:
        db.execute("delete from attempts")
    assert _found(world) == [ref]
