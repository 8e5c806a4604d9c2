"""A unit or a group that fails: its numbers and audit entries, and what survives a crash."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from twisted.python.failure import Failure

from gateway.kernel.commit import audit
from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import driver, schema
from gateway.kernel.sql.databases import count
from gateway.payments.rows import admission as payments_admission
from tests.gateway.kernel.bench import LANE, Journal, admit, order, vault
from tests.gateway.kernel.payee_units import put


def test_a_wrong_statement_is_the_units_own_fault(journal: Journal) -> None:
    def wrong(tx: Tx) -> None:
        tx.fresh.execute(text("select * from no_such_table"))

    first, second = journal.group([wrong, put("a")])
    assert isinstance(first, Failure)
    assert second == "a"
    assert journal.hands.task.seconds() == 0.0


def test_numbers_and_audit_of_a_group_that_failed_are_not_used_twice_nor_left_out(journal: Journal) -> None:
    drawn: list[int] = []

    def draw(tx: Tx) -> range:
        numbers = draw_serials(tx, LANE, 2)
        audit.append(tx, "x", "drawn", LANE)
        return numbers

    def poison(tx: Tx) -> None:
        draw(tx)
        raise ValueError("poison")

    for _ in range(5):
        for value in journal.group([draw, poison, draw]):
            if not isinstance(value, Failure):
                drawn += value
    other = Journal(journal.url, "n2")
    drawn += other.do(lambda tx: draw_serials(tx, LANE, 100))
    other.close()
    assert len(drawn) == len(set(drawn)) == 120
    assert journal.count(schema.audit) == 10
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []


def test_a_group_that_fails_at_its_very_end_leaves_no_gap_in_the_audit(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []

    def fail_once(conn: Connection, statement: Any, values: Any) -> int:
        if not failed:
            failed.append(statement)
            raise ValueError("a failure after everything was written")
        return driver.run_write(conn, statement, values)

    journal.do(put("a"))
    monkeypatch.setattr("gateway.kernel.commit.committer.run_write", fail_once)
    assert journal.group([put("b"), put("c")]) == ["b", "c"]
    assert len(failed) == 1
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    assert journal.count(schema.audit) == 3


def test_numbers_are_not_given_out_again_after_a_restart(journal: Journal) -> None:
    first = journal.do(lambda tx: draw_serials(tx, LANE, 3))
    other = Journal(journal.url, "n2")
    second = other.do(lambda tx: draw_serials(tx, LANE, 300))
    third = journal.do(lambda tx: draw_serials(tx, LANE, 3))
    numbers = [*first, *second, *third]
    assert len(numbers) == len(set(numbers)) == 306
    other.close()


CRASH = """
import os, sys
from pathlib import Path
from tests.gateway.kernel.bench import ManualClock, admission, order, vault
from tests.world.entropy import SeededEntropy
from gateway.payments.rows import admission as admitting
from tests.world.inline_executor import InlineExecutor
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.group_commit import SqlStore
from gateway.wiring import PORTS

hands = ManualClock()
class DyingExecutor(InlineExecutor):
    def run(self, work, then):
        def end(result):
            os._exit(9)     # committed, and nobody was told
        super().run(work, end)
store = SqlStore(sys.argv[1], None, hands, "n1", vault(), PermitLog(Path(sys.argv[2]), vault(), "n1"),
                 executor=DyingExecutor(hands), reading=InlineExecutor(hands), entropy=SeededEntropy(3), ports=PORTS)
for n in range(20):
    store.write(lambda tx, n=n: admitting.admit(tx, admission(order(f"a{n}")), tx.entropy)).addCallback(print)
hands.task.advance(0)
hands.task.advance(0)
"""


def test_what_was_committed_survives_a_crash_before_anybody_was_told(sqlite_url: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    script = textwrap.dedent(CRASH)
    arguments = [sys.executable, "-c", script, sqlite_url, str(tmp_path / "permits")]
    done = subprocess.run(
        arguments, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (9, ""), done.stderr
    journal = Journal(sqlite_url)
    assert journal.read(lambda conn: count(conn, schema.payments)) == 20
    again = journal.group([admit(order(f"a{n}")) for n in range(20)])
    assert {one.kind for one in again} == {payments_admission.Admittance.REPLAYED}
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()
