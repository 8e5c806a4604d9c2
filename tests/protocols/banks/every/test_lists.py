"""Lessons of real lists of entries and returns: stable ids, fees by their mark, unreadable rows.

A twin that can put an unreadable row in front of its lists says so in its trial: the fault `odd_rows`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.statement import Direction, Line
from protocols.kit.walk import number_of
from protocols.trial import trial
from tests.protocols.banks.every.bench import Table, answering, bundled, table

LINES = answering("lines")
ODD = tuple(name for name in LINES if "odd_rows" in trial(name).faults)
SECOND = {name: fault for name in LINES for fault in ("odd_row", "odd_entry") if fault in trial(name).faults}
"""Banks whose twin can make an account's second entry one that cannot be read."""
DATED = tuple(name for name in LINES if "line_ids_from" in trial(name).options)
"""Banks of whose entries' ids the form changes on a day."""
ODD_RETURNS = tuple(name for name in answering("returns") if "odd_rows" in trial(name).faults)
FEE = 150


def busy(name: str, *, odd: bool = False, **twin_options: bool) -> Table:
    """A day with two equal payments, a third of another amount, and a fee for each."""
    made = table(name, BookingRules(fee_minor=FEE), **(trial(name).faults["odd_rows"] if odd else twin_options))
    for minor in (101, 101, 102):
        made.pay(made.order(Kind.PAYMENT, minor=minor), made.reference())
    return made


def named(lines: list[Line]) -> dict[tuple[str, int], tuple[Direction, int, bool]]:
    """The entries by their id. Fails if two have the same id."""
    found = {(one.bank_line_id, one.occurrence): (one.direction, one.amount.minor, one.fee) for one in lines}
    assert len(found) == len(lines), "two entries have one name"
    return found


@pytest.mark.parametrize("name", LINES)
def test_an_entry_has_one_name_in_today_s_list_and_in_the_history(name: str) -> None:
    made = busy(name)
    day = made.today
    today = named(made.walk(made.own[0], day, day))
    made.stage.time.later(86_400)
    made.stage.sign_on()
    assert named(made.walk(made.own[0], day, day)) == today
    assert sorted(minor for _, minor, _ in today.values() if minor != FEE) == [101, 101, 102]


@pytest.mark.parametrize("name", DATED)
def test_an_id_says_what_its_entry_moves_from_a_day_on_and_is_as_it_was_before(name: str) -> None:
    """Entries with one number then have different ids. Entries that were reported before the change keep theirs."""
    told = []
    for since in ("2026-01-01", "2099-01-01"):
        made = table(name, BookingRules(fee_minor=FEE), {"line_ids_from": since})
        for minor in (101, 102):
            made.pay(made.order(Kind.PAYMENT, minor=minor), made.reference())
        told.append(named(made.walk(made.own[0], made.today, made.today)))
    assert all(line.endswith(f"-D{minor}") for (line, _), (_, minor, _) in told[0].items())
    assert [number_of(line) for line, _ in told[0]] == [line for line, _ in told[1]]


@pytest.mark.parametrize("name", LINES)
def test_a_payment_of_a_fee_s_amount_is_no_fee(name: str) -> None:
    """The bank's mark of a fee decides, where it has one: neither the amount nor the place in the list."""
    made = busy(name)
    made.pay(made.order(Kind.PAYMENT, minor=FEE), made.reference())
    fees = [line for line in made.walk(made.own[0], made.today, made.today) if line.fee]
    assert len(fees) in (0, 4) and all(line.amount == Money(FEE) for line in fees)


@pytest.mark.parametrize("name", LINES)
def test_a_balance_in_a_row_is_the_books_or_none(name: str) -> None:
    made = busy(name)
    told = {entry.balance_after for entry in made.stage.ledger.entries(made.own[0], made.today, made.today)}
    assert {line.balance for line in made.walk(made.own[0], made.today, made.today)} <= {None, *told}


@pytest.mark.parametrize("days", [0, 1], ids=["today", "history"])
@pytest.mark.parametrize("name", ODD)
def test_an_unreadable_entry_hides_no_other(name: str, days: int) -> None:
    usual, odd = busy(name), busy(name, odd=True)
    told = []
    for made in (usual, odd):
        day = made.today
        made.stage.time.later(86_400 * days)
        made.stage.sign_on()
        told.append(named(made.walk(made.own[0], day, day)))
    assert sorted(told[0].values()) == sorted(told[1].values())


@pytest.mark.parametrize("days", [0, 1], ids=["today", "history"])
@pytest.mark.parametrize("name", SECOND)
def test_an_entry_that_becomes_unreadable_is_left_out_alone_and_said(name: str, days: int) -> None:
    usual, odd = busy(name), table(name, BookingRules(fee_minor=FEE), **trial(name).faults[SECOND[name]])
    for minor in (101, 101, 102):
        odd.pay(odd.order(Kind.PAYMENT, minor=minor), odd.reference())
    told = []
    for made in (usual, odd):
        day = made.today
        made.stage.time.later(86_400 * days)
        made.stage.sign_on()
        told.append(sorted(minor for _, minor, _ in named(made.walk(made.own[0], day, day)).values()))
    missing = [minor for minor in set(told[0]) if told[0].count(minor) != told[1].count(minor)]
    assert len(told[1]) == len(told[0]) - 1 and len(missing) == 1
    assert len(odd.findings) == 1


def test_every_bank_is_tried_with_an_unreadable_entry() -> None:
    assert {*LINES} == {*ODD, *SECOND}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in ODD for kind in bundled(name)])
def test_an_unreadable_row_hides_no_line_of_a_bundle(name: str, kind: Kind) -> None:
    made = table(name, **trial(name).faults["odd_rows"])
    bundle, reference = made.bundle(kind, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    told = made.bundle_fate(kind, reference)
    assert [told[item.reference].fate for item in bundle.items] == [Fate.SETTLED] * 2


@pytest.mark.parametrize("name", ODD_RETURNS)
def test_a_returned_payment_is_found_beside_rows_that_cannot_be_read(name: str) -> None:
    made = table(name, **trial(name).faults["odd_rows"])
    reference = made.reference()
    made.pay(made.order(Kind.PAYMENT, purpose="货款 #return"), reference)
    made.stage.time.later(int(timedelta(hours=24).total_seconds()))
    made.stage.sign_on()
    assert reference in [one.reference for one in made.returns()]


@pytest.mark.parametrize("name", ODD)
def test_an_unreadable_entry_keeps_no_enquiry_from_being_asked(name: str) -> None:
    made = table(name, **trial(name).faults["odd_rows"])
    reference = made.reference()
    made.pay(made.order(Kind.PAYMENT), reference)
    made.walk(made.own[0], made.today, made.today)
    assert made.fate(reference).fate is Fate.SETTLED


def test_some_twins_have_unreadable_rows() -> None:
    assert ODD and ODD_RETURNS and DATED == ("boc", "cmb", "spdb")
