"""The demo's end of day: its comparisons, and that it finds each fault."""

from __future__ import annotations

import base64
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import pytest

from gateway import capabilities
from gateway.demo import end_of_day, stage
from gateway.demo.end_of_day import DayTotals, branch_faults, receipt_faults, receipt_subject, told, totals
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import Execution
from protocols.canon.money import Money
from protocols.trial import banks, trial
from protocols.twin import Instruction

DAY = date(2026, 11, 25)
NOON_MS = int(datetime(2026, 11, 25, 12, tzinfo=CHINA).timestamp() * 1000)
HOUR_MS = 3_600_000
OWN, SECOND = "00000000000017", "00000000000025"


def execution(minor: int, payer: str = OWN, payee: str = "0000000000000000033", **more: Any) -> Execution:
    collects = bool(more.pop("collects", False))
    asked = Instruction("R1", payer, payee, "示例乙", Money(minor), "货款", collects=collects)
    return Execution(1, asked, "B1", NOON_MS, more.pop("decided_ms", NOON_MS), **more)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (execution(100), DayTotals(1, 0, 100)),
        (execution(100, collects=True), DayTotals(1, 100, 0)),
        (execution(100, SECOND, OWN), DayTotals(1, 100, 0)),
        (execution(100, OWN, SECOND), DayTotals(1, 0, 100)),
        (execution(100, SECOND), DayTotals()),
        (execution(100, refused="no"), DayTotals()),
        (execution(100, returned_ms=NOON_MS + 1), DayTotals(2, 100, 100)),
        (execution(100, returned_ms=NOON_MS + HOUR_MS), DayTotals(1, 0, 100)),
        (execution(100, decided_ms=NOON_MS + HOUR_MS), DayTotals()),
        (execution(100, decided_ms=NOON_MS - 13 * HOUR_MS), DayTotals()),
    ],
)
def test_the_record_makes_the_days_totals(one: Execution, wanted: DayTotals) -> None:
    assert totals([one], OWN, DAY, NOON_MS + 1_000) == wanted


def test_a_statement_tells_its_own_totals() -> None:
    said = {"count": 3, "credit_count": 1, "credit_sum": "0.29", "debit_count": 2, "debit_sum": "1234567.10"}
    assert told(said) == DayTotals(3, 29, 123_456_710)


def test_a_receipt_of_another_entry_or_another_file_is_seen() -> None:
    data = b"%PDF-1.4\n% 7 12.50\n"
    said = {"data": base64.b64encode(data).decode(), "sha256": sha256(data).hexdigest(), "size": len(data)}
    assert not list(receipt_faults({"amount": "12.50"}, said))
    assert list(receipt_faults({"amount": "12.51"}, said))
    assert list(receipt_faults({"amount": "12.50"}, {**said, "size": 1}))
    assert list(receipt_faults({"amount": "12.50"}, {**said, "sha256": "0"}))


def test_a_receipt_is_asked_for_by_what_the_bank_finds_it_by() -> None:
    line = {"bank_date": "2026-11-25", "bank_line_id": "B7", "matched_payment": "P1"}
    assert receipt_subject(line, OWN, by_payment=True) == {"payment": "P1"}
    entry = {"account": OWN, "bank_date": "2026-11-25", "bank_line_id": "B7"}
    assert receipt_subject(line, OWN, by_payment=False) == entry


def test_a_branch_too_few_or_too_many_is_seen() -> None:
    one = {"cnaps": "000000000000", "name": "示例银行某支行"}
    known = [("000000000000", "示例银行某支行")]
    assert not list(branch_faults({"branches": [one]}, known))
    assert list(branch_faults({"branches": []}, known))
    assert list(branch_faults({"branches": [one]}, [*known, ("000000000017", "另一支行")]))


def test_what_is_asked_is_what_banks_declare() -> None:
    """Each question is offered by some bank, and the sender may ask it."""
    built = {name: capabilities.tried(name).questions for name in banks()}
    assert sum(one.lines is not None for one in built.values()) >= 8
    assert [name for name, one in built.items() if one.directory is not None] == ["pab"]
    able = [name for name, one in built.items() if one.receipt is not None]
    assert "sample" in able and any(trial(name).demo.get("receipts_today", True) for name in able)
    [sender] = stage.senders("erp", ("sample",)).values()
    assert set(end_of_day.READY) <= set(sender["operations"])
