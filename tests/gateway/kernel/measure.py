"""The cost of an admission and two changes: `python -m tests.gateway.kernel.measure [payments] [units a commit]`.

CPU microseconds of this process, with the commits, one thread, SQLite with a synced log in a fresh folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.kernel.clock import SystemEntropy
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Evidence, PaymentRow
from gateway.kernel.commit.store import Tx, Unit
from gateway.kernel.core.states import Answered, Send, Source
from gateway.kernel.sql import migrations
from gateway.payments.rows import transition as applying
from protocols.canon.outcome import Fate, Outcome
from tests.gateway.kernel.bench import NOW_MS, Journal, admit, attempt, order, vault

WIRE = b"<pay/>" * 350
YES = Outcome(Fate.SETTLED, "0000", "交易成功", "S-1")


def send(row: PaymentRow) -> Callable[[Tx], object]:
    made = attempt(row.payment, wire=WIRE)
    return lambda tx: applying.apply(tx, row.payment, Send(NOW_MS), epoch=1, actor="node:n1", attempt=made)


def settle(row: PaymentRow) -> Callable[[Tx], object]:
    answered = Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT)
    seen = Evidence(Source.SUBMIT, WIRE, Fate.SETTLED, "0000")
    return lambda tx: applying.apply(tx, row.payment, answered, epoch=1, actor="node:n1", evidence=seen, outcome=YES)


def measure(journal: Journal, name: str, units: Sequence[Unit[Any]], cap: int) -> list[Any]:
    """Commit the units `cap` at a time and print what each cost."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    results = [value for start in range(0, len(units), cap) for value in journal.group(units[start : start + cap])]
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    print(f"{name:8} {cpu_s / len(units) * 1e6:6.0f} us CPU each, {len(units) / wall_s:6.0f} units/s")
    return results


def main(payments: int = 5000, cap: int = 50) -> None:
    """Run the measurement and print three lines."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/journal.db"
        migrations.upgrade(url)
        journal = Journal(url, permits=PermitLog(Path(folder) / "permits", vault(), "n1"), entropy=SystemEntropy())
        journal.group([admit(order(f"warm{n}", creditor=f"{n:019d}")) for n in range(200)])
        admitted = measure(
            journal, "admit", [admit(order(f"AP-{n}", creditor=f"{n % 500:019d}")) for n in range(payments)], cap
        )
        rows = [one.row for one in admitted]
        measure(journal, "send", [send(row) for row in rows], cap)
        measure(journal, "settled", [settle(row) for row in rows], cap)
        journal.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
