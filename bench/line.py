"""The journal's time for a line of a batch, by step: `python -m bench.line`, one thread, warm, CPU a line.

A batch of 1,000 orders is admitted, leaves in bundles of 200, is answered, and its events are confirmed, by the units
that the daemon commits. Other programs disturb such figures less than rates: the smallest of several laps counts.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.anatomy import ACCOUNTS, Stopwatch, admission_of
from bench.orders import batch
from bench.own_journal import own_journal
from gateway.kernel.clock import SystemEntropy
from gateway.kernel.commit import outbox
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.rows import AttemptRow, Evidence, OutboxRow, OutboxState, PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Rules, Send, Source
from gateway.payments.rows import batches, bundles, transition
from gateway.payments.rows.batches import BatchAdmission, NewBatch
from gateway.payments.rows.bundles import BundleRow, BundleSend
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.erp import commands, fingerprint
from protocols.erp.words import CommandType, SubmitBatch

LINES, MOST, MARKED, LAPS = 1000, 200, 200, 5
FORM = ReferenceForm(20, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ACTOR = "lane:sample.main"
Allotted = tuple[BundleRow, tuple[PaymentRow, ...]]


class BatchSteps:
    """The steps of one batch through the journal, each timed on its own."""

    def __init__(self, committer: Committer, watch: Stopwatch, lines: int) -> None:
        self._committer = committer
        self._lines = lines
        self._watch = watch
        self._messages: list[OutboxRow] = []

    def run(self, number: int) -> None:
        """Run all steps of batch number `number`."""
        numbers = range(number * self._lines, (number + 1) * self._lines)
        read = partial(
            commands.parse_command, CommandType.BATCH_SUBMIT, "application/json", batch("L", numbers, ACCOUNTS[0])
        )
        command = self._watch.time("ERP's batch: read", read)
        assert isinstance(command, SubmitBatch), command
        asked = _asked(command)
        new: NewBatch = self._commit("journal: accept", lambda tx: batches.admit(tx, asked, SystemEntropy()))
        left = [row.payment for row in new.items]
        while left:
            making = partial(bundles.allot, payment=left[0], most=MOST, form=FORM, epoch=1)
            found: Allotted = self._commit("journal: make the bundle", making)
            sent = self._commit("journal: about to send", partial(_sending, found=found))
            rows = [one.row_after for one in sent]
            self._commit("journal: the bank's word", partial(_answered, bundle=found[0].bundle, rows=rows))
            gone = {row.payment for row in rows}
            left = [payment for payment in left if payment not in gone]
        ids = [mail.message_id for mail in self._messages]
        for start in range(0, len(ids), MARKED):
            some = tuple(ids[start : start + MARKED])
            self._commit("journal: events confirmed", partial(outbox.mark, message_ids=some, state=OutboxState.SENT))
        self._messages.clear()

    def _commit(self, part: str, unit: Callable[[Tx], Any]) -> Any:
        done = self._watch.time(part, lambda: self._committer.commit([unit]))
        self._messages.extend(done.hand_over.messages)
        [result] = done.results
        return result


def _asked(command: SubmitBatch) -> BatchAdmission:
    reply = Reply(None, None)
    items = tuple(
        replace(admission_of(order), reply=reply, batch=command.id, item_no=number)
        for number, order in enumerate(command.orders, 1)
    )
    return BatchAdmission(
        sender="erp",
        bank="sample",
        lane="sample.main",
        batch=command.id,
        kind=command.kind,
        fingerprint=fingerprint.batch_fingerprint(command),
        total=Money(command.sum_minor),
        items=items,
        whole=True,
        reply=reply,
        actor="user:erp",
    )


def _rules(_kind: object) -> Rules:
    return Rules()


def _sending(tx: Tx, found: Allotted) -> Sequence[Any]:
    bundle, rows = found
    bundles.sending(tx, bundle, rows, BundleSend("2026-11-24", ("1",), "business", b"x" * 200 * len(rows)))
    return [
        transition.apply(
            tx,
            row.payment,
            Send(tx.now_ms),
            epoch=1,
            actor=ACTOR,
            version=row.version,
            rules=_rules,
            attempt=AttemptRow(
                row.payment, 1, 1, "gw1", "2026-11-24", ("1",), "business", b"", "order", tx.now_ms, "never"
            ),
        )
        for row in rows
    ]


def _answered(tx: Tx, bundle: str, rows: Sequence[PaymentRow]) -> None:
    bundles.answered(tx, bundle, b"y" * 200 * len(rows))
    for row in rows:
        outcome = Outcome(Fate.SETTLED, "S", "done", bank_serial=row.bank_ref)
        transition.apply(
            tx,
            row.payment,
            Answered(tx.now_ms, Fate.SETTLED, Source.SUBMIT, attempt=1),
            epoch=1,
            actor=ACTOR,
            rules=_rules,
            evidence=Evidence(Source.SUBMIT, b"", Fate.SETTLED, "S", "done"),
            outcome=outcome,
        )


def measure(folder: Path, laps: int = LAPS, lines: int = LINES) -> Stopwatch:
    """Process `laps` batches of `lines` orders with a journal in `folder`, and measure their steps."""
    watch = Stopwatch()
    with own_journal(folder) as journal:
        lap = BatchSteps(journal.committer, watch, lines)
        for number in range(laps):
            lap.run(number)
            watch.lap(lines)
    return watch


def main() -> int:
    """Run the measurement and print the table."""
    with tempfile.TemporaryDirectory(prefix="bankgw-line-") as folder:
        watch = measure(Path(folder))
    for part, each_us in watch.best.items():
        print(f"{each_us:6.1f} us  {part}")
    print(f"{sum(watch.best.values()):6.1f} us  all of these")
    return 0


if __name__ == "__main__":
    sys.exit(main())
