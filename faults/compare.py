"""Compares the banks' ledgers, the journal and what the ERP received, line by line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection, create_engine, text

from gateway.demo import evidence
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import ExpectedAnswer, Story
from gateway.demo.verdict import BrokenPromise, Executed, FindingKind, Journalled, Verdict, judge
from gateway.kernel.sql import databases, vault, vaults
from gateway.pools.rows import pool_moves
from gateway.pools.rows.pool_moves import PoolMove, PoolRun
from gateway.settings.agreement import TREASURY
from gateway.simbank.record import read_executions
from protocols.canon.outcome import State
from tests.world import heard

_PAYMENTS = text("SELECT payment, order_id, state, seq, bank, bank_ref, attempt, sender FROM payments")
_WAITING = text("SELECT count(*) FROM outbox WHERE state = 'waiting'")
_DOUBTED = text("""
SELECT at_ms FROM audit WHERE entry IN ('payment.taken_over', 'payment.silent', 'payment.sent_unclear') ORDER BY at_ms
""")
_SENDS = text("""
SELECT p.lane, p.bank, p.bank_ref, max(a.epoch) FROM payments p JOIN attempts a ON a.payment = p.payment
GROUP BY p.lane, p.bank, p.bank_ref HAVING max(CASE WHEN a.node = :node THEN 1 ELSE 0 END) = 1
""")
_RULES = text("SELECT entry, count(*) FROM audit WHERE entry LIKE 'payment.%' GROUP BY entry")


@dataclass(frozen=True, slots=True)
class Books:
    """The journal's final state, for the comparison."""

    payments: tuple[Journalled, ...]
    waiting: int
    doubted_ms: tuple[int, ...]
    rules: Mapping[str, int]
    sends: heard.Sends = field(default_factory=Counter)
    runs: tuple[PoolRun, ...] = ()
    moves: tuple[PoolMove, ...] = ()

    def of(self, treasury: bool) -> tuple[Journalled, ...]:
        """The part of the journal about the payments of pools, or about all others."""
        return tuple(row for row in self.payments if (row.sender == TREASURY) is treasury)


def read_journal(url: str, vault_key: Path) -> Books:
    """Read everything that the comparison needs. The bytes of payments that were sent more than once are decrypted and
    compared."""
    engine = databases.connect(url, connections=1, writing=False)
    vaults.attach(engine, vault.load(vault_key))
    try:
        with engine.connect() as conn:
            rows = conn.execute(_PAYMENTS).all()
            payments = tuple(_journalled(conn, *row) for row in rows)
            waiting = int(conn.execute(_WAITING).scalar_one())
            doubted = tuple(int(at_ms) for (at_ms,) in conn.execute(_DOUBTED))
            rules = {str(entry).removeprefix("payment."): int(n) for entry, n in conn.execute(_RULES)}
            sends = heard.written(conn)
            runs = tuple(pool_moves.listing(conn, limit=sys.maxsize))
            moves = tuple(move for run in runs for move in pool_moves.moves_of(conn, run.run))
    finally:
        engine.dispose()
    return Books(payments, waiting, doubted, rules, sends, runs, moves)


def unwritten(books: Books, ledgers: Mapping[str, Path]) -> list[BrokenPromise]:
    """Messages that a bank received without an attempt in the journal: they were sent before they were written down."""
    return [
        BrokenPromise(FindingKind.DISAGREES, ref, said)
        for ref, said in heard.unwritten(heard.heard(ledgers), books.sends)
    ]


def _journalled(
    conn: Connection,
    payment: str,
    order: str,
    state: str,
    seq: int,
    bank: str,
    reference: str,
    attempt: int,
    sender: str,
) -> Journalled:
    told = (attempt, ()) if attempt < 2 else evidence.sends(conn, payment, attempt)
    return Journalled(payment, order, State(state), seq, bank, reference, *told, sender=sender)


def late_words(url: str, ledgers: Mapping[str, Path], node: str, woken_ms: int, epochs: Mapping[str, int]) -> list[str]:
    """References of sends that a bank received from a node after that node had lost its lane.

    What the right owner sent again since, byte for byte, says nothing about the first one.
    """
    late = {
        (bank, one.instruction.reference)
        for bank, ledger in ledgers.items()
        for one in read_executions(ledger)
        if one.at_ms >= woken_ms
    }
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            sends = conn.execute(_SENDS, {"node": node}).all()
    finally:
        engine.dispose()
    return [ref for lane, bank, ref, epoch in sends if epoch < epochs.get(lane, 0) and (bank, ref) in late]


@dataclass(frozen=True, slots=True)
class Result:
    """The campaign's verdict. Counts are of orders or commands, not of findings."""

    verdict: Verdict
    findings: tuple[BrokenPromise, ...]
    kills: int
    faults: Counter[str]
    pool_moves: int = 0

    def count(self, wrong: FindingKind) -> int:
        """The number of orders or commands with a finding of this kind."""
        return len({finding.about for finding in self.findings if finding.wrong is wrong})

    @property
    def payments(self) -> int:
        """The number of orders that were accepted or refused: all that the ERP sent."""
        return len(self.verdict.fates)

    @property
    def holds(self) -> bool:
        """Whether the campaign has no finding."""
        return not self.findings

    def last_line(self) -> str:
        """The one line of the verdict."""
        kinds = sum(1 for count in self.faults.values() if count)
        return (
            f"faults: {self.kills} kills, {self.faults.total()} faults of {kinds} kinds, {self.payments} payments, "
            f"{self.count(FindingKind.DUPLICATED)} duplicated, {self.count(FindingKind.LOST)} lost, "
            f"{self.count(FindingKind.DISAGREES)} contradicted, {self.pool_moves} pool moves"
        )


def compare(
    story: Story,
    news: Sequence[ReceivedNews],
    unrouted: Sequence[ReceivedNews],
    executed: Iterable[Executed],
    books: Books,
    kills: int,
    faults: Counter[str],
    defects: Sequence[BrokenPromise] = (),
    moved: int = 0,
) -> Result:
    """Compare all records and return the verdict. `executed` are the executions of the ERP's orders. `moved` are the
    banks' executions for pools, which `faults.pool_judge` judges."""
    executed = list(executed)
    verdict = judge(story, [*news, *_addressed(story, unrouted)], executed, books.of(treasury=False))
    findings = [*verdict.findings, *defects]
    if books.waiting:
        what = f"{books.waiting} messages were never confirmed by the broker"
        findings.append(BrokenPromise(FindingKind.LOST, "outbox", what))
    booked = {one.creditor for one in executed}
    for fate in verdict.fates:
        if fate.in_doubt and fate.order.creditor in booked:
            text_ = f"left in doubt, though the bank's book says {fate.booked.value if fate.booked else '?'}"
            findings.append(BrokenPromise(FindingKind.LOST, fate.order.id, text_))
    return Result(verdict, tuple(findings), kills, faults, moved)


def _addressed(story: Story, unrouted: Sequence[ReceivedNews]) -> list[ReceivedNews]:
    """The messages without a receiver. A reply whose queue was deleted counts as delivered, because the ERP's staff
    finds it in the parking queue."""
    wanted = {command.message_id: command.answer for command in story.commands}
    return [
        replace(one, where=ExpectedAnswer.REPLY) if wanted.get(one.correlation) is ExpectedAnswer.REPLY else one
        for one in unrouted
    ]
