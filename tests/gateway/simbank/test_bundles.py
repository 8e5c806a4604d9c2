"""Many instructions in one message: all of them are booked or none, each has its own fate, and one reference names the
message."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gateway.simbank.ledger import CHINA, BookingFault, BookingRules
from gateway.simbank.record import read_executions
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.twin import Booked, DuplicateBundle, Instruction
from tests.gateway.simbank.test_ledger import OUTSIDE, TODAY, A, B, Hands, asked, books


def alike(count: int) -> list[Instruction]:
    """Instructions that differ only in their reference."""
    return [asked(f"L{number}") for number in range(count)]


def held_minor(ledger_holding: object) -> int:
    assert hasattr(ledger_holding, "frozen")
    return int(ledger_holding.frozen.minor) - 500


def test_lines_that_are_alike_are_booked_each() -> None:
    ledger = books(Hands())
    bookings = ledger.take_bundle("B1", alike(3))
    assert [one.instruction.reference for one in bookings] == ["L0", "L1", "L2"]
    assert len({one.bank_serial for one in bookings}) == 3
    assert [one.booked for one in ledger.bundle("B1")] == [Booked.SETTLED] * 3
    assert {one.instruction.bundle for one in ledger.bundle("B1")} == {"B1"}
    assert len(ledger.entries(A, TODAY, TODAY)) == 3


def test_a_known_bundle_books_nothing_again() -> None:
    ledger = books(Hands())
    ledger.take_bundle("B1", alike(2))
    with pytest.raises(DuplicateBundle):
        ledger.take_bundle("B1", alike(2))
    assert len(ledger.executions) == 2
    assert ledger.duplicates == 1


def test_a_line_whose_reference_is_known_is_refused_and_the_first_one_stands() -> None:
    ledger = books(Hands())
    ledger.book_once(asked("L1"))
    bookings = ledger.take_bundle("B1", [asked("L0"), asked("L1"), asked("L0")])
    assert [(one.booked, one.reason) for one in bookings] == [
        (Booked.SETTLED, ""),
        (Booked.REFUSED, "duplicate"),
        (Booked.REFUSED, "duplicate"),
    ]
    found = ledger.find("L1")
    assert found is not None and found.booked is Booked.SETTLED
    assert ledger.doubles() == []


def test_a_fault_may_meet_one_line_only() -> None:
    ledger = books(Hands())
    bookings = ledger.book_bundle("B1", alike(3), (BookingFault(refuse="refused_by_bank"), BookingFault()))
    assert [one.booked for one in bookings] == [Booked.REFUSED, Booked.SETTLED, Booked.SETTLED]


def test_hidden_lines_are_left_out_of_the_answer() -> None:
    hands = Hands()
    ledger = books(hands)
    ledger.book_bundle("B1", alike(2), (BookingFault(hide_s=60), BookingFault()))
    assert [one.instruction.reference for one in ledger.bundle("B1")] == ["L1"]
    hands.later(60)
    assert len(ledger.bundle("B1")) == 2
    assert ledger.bundle("B2") == ()


def test_a_bundle_is_one_line_of_the_record(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    ledger = books(Hands(), file=file)
    ledger.take_bundle("B1", alike(3))
    ledger.close()
    assert [one.instruction.reference for one in read_executions(file)] == ["L0", "L1", "L2"]
    # The last line is cut, because the process died while it wrote. None of the three was booked.
    file.write_bytes(file.read_bytes()[:-20])
    again = books(Hands(), file=file)
    assert again.bundle("B1") == () and again.executions == []
    again.close()


def test_books_read_back_know_the_bundle(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    first = books(Hands(), file=file)
    first.take_bundle("B1", [replace(one, collects=True) for one in alike(2)])
    first.close()
    again = books(Hands(), file=file)
    assert [one.instruction for one in again.bundle("B1")] == [one.instruction for one in first.bundle("B1")]
    with pytest.raises(DuplicateBundle):
        again.take_bundle("B1", alike(1))
    again.close()


def test_a_collection_brings_money_and_holds_none() -> None:
    hands = Hands()
    ledger = books(hands)
    ledger.book_once(replace(asked("C1", 90_000, purpose="#late"), collects=True))
    pending = ledger.holding(A)
    assert pending is not None and held_minor(pending) == 0 and pending.book == Money(100_000)
    hands.later(30)
    after = ledger.holding(A)
    assert after is not None and after.book == Money(190_000)
    (line,) = ledger.entries(A, TODAY, date(2026, 11, 25))
    assert (line.direction, line.counterparty_account) == (Direction.CREDIT, OUTSIDE)


def test_a_collection_from_an_account_of_this_bank_takes_it_there() -> None:
    ledger = books(Hands())
    ledger.book_once(replace(asked("C1", 1_000, to=B), collects=True))
    mine, theirs = ledger.holding(A), ledger.holding(B)
    assert mine is not None and theirs is not None
    assert (mine.book, theirs.book) == (Money(101_000), Money(-1_000))


def test_a_collection_that_comes_back_takes_the_money_out_again() -> None:
    hands = Hands()
    ledger = books(hands)
    ledger.book_once(replace(asked("C1", purpose="#return"), collects=True))
    hands.later(60)
    held = ledger.holding(A)
    assert held is not None and held.book == Money(100_000)


def test_a_past_day_is_told_as_it_ended() -> None:
    hands = Hands()
    ledger = books(hands)
    ledger.book_once(asked("R1", 1_000))
    hands.later(1_200)  # past midnight
    assert ledger.now().astimezone(CHINA).date() == date(2026, 11, 25)
    ledger.book_once(asked("R2", 2_000))
    yesterday, today = ledger.holding(A, TODAY), ledger.holding(A)
    assert yesterday is not None and today is not None
    assert (yesterday.book, yesterday.previous_day, yesterday.frozen) == (Money(99_000), Money(100_000), Money(0))
    assert (today.book, today.previous_day) == (Money(97_000), Money(99_000))


def test_where_nothing_comes_back_nothing_does() -> None:
    hands = Hands()
    ledger = books(hands, BookingRules(returns=False, return_share=1.0))
    ledger.book(asked("R1", purpose="#return"), BookingFault(return_s=0))
    hands.later(600)
    found = ledger.find("R1")
    assert found is not None and found.booked is Booked.SETTLED
