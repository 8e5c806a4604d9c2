"""Evidence: the ledger's state at a given time, the search for secrets in raw bytes, and the content of a journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.evidence import EvidenceLine, _steps, carrier, climb, defects, executed, journalled, leaks, left
from gateway.demo.stage import FAULTS, first_fault, plans
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow
from gateway.payments.rows import bundles
from gateway.payments.rows.bundles import BundleRow
from gateway.payments.rows.timeline import Moment
from gateway.simbank.faults import BankFault
from gateway.simbank.ledger import BookingFault, BookingRules, Ledger, LedgerAccount
from protocols.canon.money import Money
from protocols.canon.order import Kind
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
    ledger = Ledger(lambda: 1_000_000, [LedgerAccount("0000100", NAME, Money(10_000, "CNY"))], file=file)
    asked = Instruction("R1", "0000100", "0000900", NAME, Money(150, "CNY"), "货款", False)
    ledger.book(asked, BookingFault(return_s=5.0))
    ledger.close()
    (before,), (after,) = executed("sample", file, 1_000_001), executed("sample", file, 1_005_000)
    assert (before.booked, after.booked) == (Booked.SETTLED, Booked.RETURNED)
    assert (before.reference, before.debtor, before.creditor, before.minor) == ("R1", "0000100", "0000900", 150)


def test_a_bank_that_books_twice_shows_both(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    accounts = [LedgerAccount("0000100", NAME, Money(10_000, "CNY"))]
    ledger = Ledger(lambda: 1_000_000, accounts, BookingRules(dedup=False), file=file)
    asked = Instruction("R1", "0000100", "0000900", NAME, Money(150, "CNY"), "货款", False)
    ledger.book_once(asked)
    ledger.book_once(asked)
    ledger.close()
    assert [one.reference for one in executed("sample", file, 1_000_001)] == ["R1", "R1"]


def test_defects_are_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    lines = ('{"event": "payment.settled"}', '{"event": "lane.halted", "ts": "2", "reason": "defect:X"}', "Traceback")
    log.write_text("\n".join(lines), "utf-8")
    assert defects(log) == ["lane.halted at 2: defect:X", "not a line of the log: Traceback"]


def test_no_journal_no_payments(tmp_path: Path) -> None:
    assert journalled(tmp_path, tmp_path / "vault.key") == []


def _entry(name: str, attempt: int = 0) -> AuditEntry:
    return AuditEntry("gw1", 1, 0, "lane:a.main", f"payment.{name}", "P1", {"attempt": attempt} if attempt else {})


def _attempt(number: int, wire: bytes, policy: str) -> AttemptRow:
    return AttemptRow("P1", number, 1, "gw1", "2026-11-24", (), "business", wire, None, 0, policy)


@pytest.mark.parametrize(
    ("entries", "wires", "policy", "count", "wrong"),
    [
        ("send:1 sent_settled", "A", "never", 1, ()),
        # Not one byte left: the message is prepared anew, and counts as the first.
        ("send:1 not_sent send:2", "AB", "never", 1, ()),
        ("send:1 not_sent", "A", "never", 0, ()),
        ("send:1 overdue_sending not_sent_overdue send:2", "AB", "never", 1, ()),
        ("send:1 overdue_sending not_sent_moot", "A", "never", 1, ()),
        ("send:1 silent replay:2", "AA", "replay_safe", 2, ()),
        ("send:1 not_sent send:2 silent replay:3", "ABB", "query_first", 2, ()),
        ("send:1 silent replay:2 replay_not_sent", "AB", "never", 1, ()),
        ("send:1 silent replay:2", "AA", "never", 2, ("send 2: the bank's rules never allow a repeat",)),
        ("send:1 silent replay:2 replay:3", "AAB", "replay_safe", 3, ("send 3: other bytes than those of send 1",)),
    ],
)
def test_repeats_are_judged(entries: str, wires: str, policy: str, count: int, wrong: tuple[str, ...]) -> None:
    told = [_entry(name, int(number or 0)) for name, _, number in (word.partition(":") for word in entries.split())]
    rows = [_attempt(number, wire.encode(), policy) for number, wire in enumerate(wires, start=1)]
    assert left(told, rows) == (count, wrong)


def test_a_climb_in_one_line() -> None:
    steps = [
        EvidenceLine(1_000, "payment.admitted", "after=ready"),
        EvidenceLine(1_000, "told the ERP", "payment.accepted to bankgw.events"),
        EvidenceLine(1_000, "told the ERP", "payment.accepted to its reply queue"),
        EvidenceLine(2_000, "written down, then sent", "9 bytes"),
        EvidenceLine(2_100, "bank's word (submit)", "00 OK."),
        EvidenceLine(2_100, "told the ERP", "payment.processing to bankgw.events"),
        EvidenceLine(6_000, "bank's word (enquiry)", "BOOK"),
        EvidenceLine(6_000, "told the ERP", "payment.settled to bankgw.events"),
        EvidenceLine(9_000, "bank's word (returns)", "BOOK"),
    ]
    known = "= accepted 0.0 s sent 0.1 s submit: 00 OK. = processing 4.0 s enquiry: BOOK = settled"
    assert climb(steps) == known
    more = [
        *steps,
        EvidenceLine(12_000, "bank's word (returns)", "BOOK camt.053"),
        EvidenceLine(15_000, "bank's word (returns)", "BOOK camt.053"),
    ]
    assert climb(more) == f"{known} 10.0 s returns: BOOK camt.053", "a further word once"
    at_once = [
        EvidenceLine(2_000, "written down, then sent", "9 bytes"),
        EvidenceLine(2_100, "bank's word (submit)", "2422 bytes 7"),
        EvidenceLine(2_100, "told the ERP", "payment.settled to bankgw.events"),
        EvidenceLine(22_000, "bank's word (returns)", "7"),
    ]
    assert climb(at_once) == "0.0 s sent 0.1 s submit: 2422 bytes 7 = settled", "the same word in another message"


def test_first_faults_follow_from_the_seed() -> None:
    (plan,), (other,) = plans(("sample",), 1), plans(("sample",), 2)
    references = [f"{n:020d}" for n in range(3000)]
    struck = [first_fault(plan, reference) for reference in references]
    assert struck == [first_fault(plan, reference) for reference in references]
    assert struck != [first_fault(other, reference) for reference in references]
    assert {fault for fault in struck if fault} == set(FAULTS) - {BankFault.PROBE_SILENCE}
    assert 0.05 < sum(fault is not None for fault in struck) / len(struck) < 0.2


def test_an_item_of_a_bundle_shows_the_bundles_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = BundleRow("B1", "pab.main", Kind.BATCH_ITEM, "R9", 1, True, "2026-11-24", (), "business", b"x" * 1956)
    found: list[Any] = [(bundle, (None, None, None)), None, (replace(bundle, wire=None), (None,))]
    monkeypatch.setattr(bundles, "of_payment", lambda _conn, _payment: found.pop(0))
    conn: Any = None
    carried = carrier(conn, "P1")
    assert carried == "1956 bytes with all 3 orders of R9"
    assert (carrier(conn, "P2"), carrier(conn, "P3")) == ("", "")
    alone, together = _attempt(1, b"abc", "never"), _attempt(1, b"", "never")
    assert [step.detail for step in _steps([Moment(0, alone), Moment(0, together)], carried)] == [
        "3 bytes to port business, epoch 1",
        f"{carried} to port business, epoch 1",
    ]
