"""Evidence: the ledger's truth at a time, secrets in raw bytes, and what a journal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.desk.demo_evidence import defects, executed, journalled, leaks
from gateway.desk.demo_site import first_fault, plans
from gateway.simbank.faults import Fault
from gateway.simbank.ledger import Account, Conduct, Ledger, Meddling
from protocols.canon.money import Money
from protocols.twin import Booked, Instruction

NUMBER, NAME = "0000123456789012345", "示例甲公司"


@pytest.mark.parametrize(
    "data",
    [
        b"x" + NUMBER.encode() + b"y",
        b"77" + NUMBER.encode() + b"77",
        f"..{NAME}..".encode(),
        f"..{NAME}..".encode("gbk"),
        f"{NAME}".encode("utf-16-le"),
        b"\x00\x01demo-password\x00",
    ],
)
def test_a_readable_secret_is_found(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "journal.db-wal"
    file.write_bytes(b"\x00" * 5000 + data + b"\xff" * 100)
    found = leaks([file], frozenset({NUMBER}), frozenset({NAME, "demo-password"}))
    assert [leak.file for leak in found] == ["journal.db-wal"]
    assert NUMBER not in found[0].hint
    assert NAME not in found[0].hint


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_bytes(b"000012345678901234 6 GW000000000000000101 " + "示例甲".encode())
    missing = tmp_path / "journal.db-wal"
    assert leaks([file, missing], frozenset({NUMBER}), frozenset({NAME})) == []


def test_the_ledger_stands_where_the_clock_says(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    ledger = Ledger(lambda: 1_000_000, [Account("0000100", NAME, Money(10_000, "CNY"))], file=file)
    asked = Instruction("R1", "0000100", "0000900", NAME, Money(150, "CNY"), "货款", False)
    ledger.book(asked, Meddling(return_s=5.0))
    ledger.close()
    (before,), (after,) = executed("sample", file, 1_000_001), executed("sample", file, 1_005_000)
    assert (before.booked, after.booked) == (Booked.SETTLED, Booked.RETURNED)
    assert (before.reference, before.debtor, before.creditor, before.minor) == ("R1", "0000100", "0000900", 150)


def test_a_bank_that_books_twice_shows_both(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    accounts = [Account("0000100", NAME, Money(10_000, "CNY"))]
    ledger = Ledger(lambda: 1_000_000, accounts, Conduct(dedup=False), file=file)
    asked = Instruction("R1", "0000100", "0000900", NAME, Money(150, "CNY"), "货款", False)
    ledger.take(asked)
    ledger.take(asked)
    ledger.close()
    assert [one.reference for one in executed("sample", file, 1_000_001)] == ["R1", "R1"]


def test_defects_are_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    lines = ('{"event": "payment.settled"}', '{"event": "lane.halted", "ts": "2", "reason": "defect:X"}', "Traceback")
    log.write_text("\n".join(lines), "utf-8")
    assert defects(log) == ["lane.halted at 2: defect:X", "not a line of the log: Traceback"]


def test_no_journal_no_payments(tmp_path: Path) -> None:
    assert journalled(tmp_path) == []


def test_first_faults_follow_from_the_seed() -> None:
    (plan,), (other,) = plans(("sample",), 1), plans(("sample",), 2)
    references = [f"{n:020d}" for n in range(3000)]
    struck = [first_fault(plan, reference) for reference in references]
    assert struck == [first_fault(plan, reference) for reference in references]
    assert struck != [first_fault(other, reference) for reference in references]
    assert {fault for fault in struck if fault} == set(Fault) - {Fault.PROBE_SILENCE}
    assert 0.05 < sum(fault is not None for fault in struck) / len(struck) < 0.2
