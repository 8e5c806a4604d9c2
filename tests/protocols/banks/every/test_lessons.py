"""Lessons of real messages that hold for every bank: dates, texts under one code, the summary before the detail.

The others stand in `test_lists.py` (rows that cannot be read, fees by their mark, names that last, balances that are
none), `test_rules.py` and `test_faults.py`. The table of operations in docs/lookup/banks.md is tested here, too.
"""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import resources

import pytest

from gateway.capabilities import OPERATIONS, standing, tried
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.kit import codes
from protocols.trial import trial
from tests.protocols.banks.every.bench import EVERY, answering, bundled, table

SUMMARISED = tuple(name for name in EVERY if "wants_summary" in trial(name).faults)


def texts(name: str) -> list[tuple[codes.Row, str]]:
    """The rows of the code table that depend on a text, each with such a text."""
    found = codes.load(resources.files(f"protocols.banks.{name}").joinpath("codes.toml").read_bytes(), name)
    rows = [row for row in found.rows if row.code and row.text and row.outcome != "duplicate"]
    plain = [
        (row, re.sub(r"[\\^$().*+?]|\[.*?\]", "", row.text.pattern.split("|")[0]).strip()) for row in rows if row.text
    ]
    return [(row, text) for row, text in plain if row.text is not None and row.text.search(text)]


SHARED = [(name, row, text) for name in EVERY for row, text in texts(name)]


@pytest.mark.parametrize(("name", "row", "text"), SHARED)
def test_a_text_under_a_shared_code_decides(name: str, row: codes.Row, text: str) -> None:
    """If the bank uses one code for several meanings, the meaning of the text takes precedence over that of the code
    alone."""
    found = codes.load(resources.files(f"protocols.banks.{name}").joinpath("codes.toml").read_bytes(), name)
    asked = "never" if row.operation == "*" else row.operation
    assert row.code is not None
    assert found.look_up(asked, row.layer, row.code.replace("*", "0"), text) == row.outcome


def test_some_bank_has_a_code_with_several_meanings() -> None:
    assert SHARED


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in SUMMARISED for kind in bundled(name)])
def test_where_the_bank_wants_the_summary_first_the_detail_is_not_asked_before(name: str, kind: Kind) -> None:
    made = table(name, **trial(name).faults["wants_summary"])
    bundle, reference = made.bundle(kind, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    told = made.bundle_fate(kind, reference)
    assert [told[item.reference].fate for item in bundle.items] == [Fate.SETTLED] * 2


def test_some_bank_wants_the_summary_first() -> None:
    assert SUMMARISED


@pytest.mark.parametrize("name", answering("lines"))
def test_an_entry_has_the_day_that_the_bank_booked_it_on(name: str) -> None:
    """A range of days is requested some days later: the entry's day is the one in the answer, neither the range's day
    nor today."""
    made = table(name)
    first, booked = made.today, {}
    for minor in (101, 102, 103):
        made.pay(made.order(Kind.PAYMENT, minor=minor), made.reference())
        booked[minor] = made.today
        made.stage.time.later(86_400)
        made.stage.sign_on()
    found = made.walk(made.own[0], first, made.today - timedelta(days=1))
    assert {line.amount.minor: line.bank_date for line in found} == booked


@pytest.mark.parametrize("name", EVERY)
def test_what_is_called_reconstructed_is_an_operation_that_can_be_switched_on(name: str) -> None:
    bank = tried(name, switched=True)
    assert bank.profile.guessed <= OPERATIONS.keys()
    assert {one for one, how in standing(bank).items() if how == "reconstructed"} == bank.profile.guessed
    assert not bank.profile.guessed or bank.profile.reconstructed
