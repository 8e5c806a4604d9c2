"""The judge of linked payments in `deaths` finds each violation. The tests give it links and a bank's lines, without a
bank.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import site
from gateway.simbank.record import Execution
from protocols.canon.money import Money
from protocols.twin import Instruction
from tests.world.linked_deaths import Link, early, unshown
from tests.world.wire import WireLog, moves_from, read_lines

MEMBER = "00001"


def link(order: str, leg: bool = True) -> Link:
    made = (f"run-{order}", f"leg-{order}", 1234, f"L-{order}", "in_doubt") if leg else (None,) * 5
    return Link(order, "done", order, f"R-{order}", 1234, "settled", MEMBER, *made)


def heard(reference: str) -> Mapping[str, Any]:
    return {"heard": reference}


def executed(reference: str, refused: str = "") -> Mapping[str, Any]:
    asked = Instruction(reference, "00000", MEMBER, "x", Money(1234, "CNY"), "", False, "", False)
    return {"execution": Execution(1, asked, "s", 0, 0, refused).to_plain()}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([heard("L-A"), executed("L-A"), heard("R-A"), heard("L-B"), executed("L-B"), heard("R-B")], []),
        ([heard("L-A"), heard("L-B"), executed("L-B"), heard("R-A"), executed("L-A"), heard("R-B")], []),
        ([heard("L-A"), executed("L-A"), heard("R-A"), heard("R-B"), heard("L-B"), executed("L-B")], ["B"]),
        ([heard("L-A"), heard("R-A"), executed("L-A"), heard("L-B"), executed("L-B"), heard("R-B")], ["A"]),
        ([heard("L-A"), executed("L-A", "no"), heard("R-A"), heard("L-B"), executed("L-B"), heard("R-B")], ["A", "B"]),
        ([heard("L-A"), executed("L-A"), heard("R-A"), heard("R-A"), heard("R-A")], []),
    ],
)
def test_an_order_before_its_money_is_seen(lines: list[Mapping[str, Any]], found: list[str]) -> None:
    assert [text.split()[0] for text in early([link("A"), link("B")], lines)] == found


def test_an_order_that_goes_without_a_leg_is_seen() -> None:
    lines = [heard("L-A"), executed("L-A"), heard("R-A"), heard("R-B")]
    assert len(list(early([link("A"), link("B", leg=False)], lines))) == 1


OPENING = Money.parse(site.OPENING).minor
LEG, ORDER = {"leaves": "Move", "reference": "L-A"}, {"leaves": "Pay", "reference": "R-A"}
ENOUGH = {"told": "Balance", "account": MEMBER, "minor": OPENING + 1234}
ENTRY = {"told": "Entries", "account": MEMBER, "references": ["L-A"]}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([LEG, ENOUGH, ORDER], 0),
        ([LEG, ENTRY, ORDER], 0),
        ([LEG, ENOUGH, ORDER, ORDER], 0),
        ([LEG, ENOUGH], 0),
        ([LEG], 0),
        ([LEG, ORDER], 1),
        ([LEG, ORDER, ENOUGH], 1),
        ([ENOUGH, LEG, ORDER], 1),
        ([ENOUGH, ORDER, LEG], 0),
        ([ENOUGH, {**ENOUGH, "account": "00000"}, ORDER], 0),
        ([ENOUGH, {**ENOUGH, "minor": OPENING + 1233}, ORDER, LEG, ENOUGH, ORDER], 1),
        ([{**ENOUGH, "account": "00000"}, ORDER, LEG], 1),
        ([ORDER, LEG, ENOUGH], 1),
        ([ORDER], 1),
        ([LEG, {**ENOUGH, "minor": OPENING + 1233}, ORDER], 1),
        ([LEG, {**ENOUGH, "account": "00000"}, ORDER], 1),
        ([LEG, {**ENTRY, "references": ["L-B"]}, ORDER], 1),
    ],
)
def test_an_order_whose_money_nobody_had_shown_is_seen(said: list[Mapping[str, Any]], found: int) -> None:
    """The judge does not read the bank's own books: the money may be there, but the gateway cannot know that."""
    assert len(list(unshown([link("A")], said, MEMBER))) == found


def test_the_wire_is_read_from_bytes(tmp_path: Path) -> None:
    move = b"<Operation>Move</Operation><Reference>L1</Reference><DebtorAccount>00002</DebtorAccount>"
    money = b"<Account>00001</Account><Currency>CNY</Currency><Book>12.34</Book>"
    noted = WireLog(tmp_path / "wire")
    noted.leaves(move)
    noted.leaves(b"<Operation>Fate</Operation><Reference>L1</Reference>")
    noted.told(b"<Operation>Balance</Operation>" + money[:40])
    noted.told(b"<Operation>Balance</Operation>" + money)
    noted.told(b"<Operation>Entries</Operation><Account>00001</Account><Reference>L1</Reference>")
    assert read_lines(tmp_path / "wire") == [
        {"leaves": "Move", "reference": "L1"},
        {"told": "Balance", "account": "00001", "minor": 1234},
        {"told": "Entries", "account": "00001", "references": ["L1"]},
    ]
    assert [moves_from(move, one) for one in ("00002", "00001")] == [True, False]
    assert not moves_from(move.replace(b"Move", b"Pay"), "00002")
