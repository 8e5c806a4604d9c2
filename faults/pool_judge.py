"""Judges what cash pools moved: by the banks' ledgers against the plans of the runs, and by each pool's own rules.

What the matcher or the daemon makes of a move is no evidence here. A plan is what was to be moved, a ledger what was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from faults.pools import OPENING_MINOR, CampaignPool
from gateway.demo.verdict import MAY_BE, BrokenPromise, FindingKind, Journalled
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun, RunState
from gateway.pools.rules.pool import DownRule, PoolChild, UpRule
from gateway.simbank.record import Execution
from protocols.canon.outcome import State
from protocols.twin import Booked

_DOUBT = (State.IN_DOUBT, State.ESCALATED)
_UNMOVED = (State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED, State.HELD)


@dataclass(frozen=True, slots=True)
class PoolEvidence:
    """The facts to compare: the plans, the orders made from them, the banks' executions by `now_ms`, and the balances
    in the banks' own books. `asked` are the names that persons gave to runs."""

    pools: Sequence[CampaignPool]
    asked: Collection[str]
    runs: Sequence[PoolRun]
    moves: Sequence[PoolMove]
    payments: Sequence[Journalled]
    ledgers: Mapping[str, Sequence[Execution]]
    books: Mapping[str, int]
    now_ms: int

    def done(self, bank: str) -> list[Execution]:
        """The instructions that are or will be executed and were not refused, for accounts that only pools use."""
        alone = {account for one in self.pools if one.bank == bank for account in one.alone}
        return [
            one
            for one in self.ledgers.get(bank, ())
            if not one.refused and {one.instruction.debtor_account, one.instruction.creditor_account} & alone
        ]


def moved(evidence: PoolEvidence) -> int:
    """How many times the banks moved money of pools."""
    return sum(len(evidence.done(bank)) for bank in evidence.ledgers)


def judge(evidence: PoolEvidence) -> Iterator[BrokenPromise]:
    """Every broken promise about the pools."""
    yield from _runs(evidence)
    yield from _orders(evidence)
    for bank in evidence.ledgers:
        yield from _executions(evidence, bank)
    for one in evidence.pools:
        yield from _ceilings(evidence, one)
        yield from _amounts(evidence, one)
        yield from _balances(evidence, one)
    yield from _sums(evidence)


# ---- runs and their orders ----


def _runs(evidence: PoolEvidence) -> Iterator[BrokenPromise]:
    """Check that each run was requested and is done, and that each pool was run at its slots."""
    slots = {one.name: {slot.name for slot in one.pool.slots} for one in evidence.pools}
    for run in evidence.runs:
        if run.slot not in slots.get(run.pool, set()) and run.slot not in evidence.asked:
            yield BrokenPromise(FindingKind.DISAGREES, run.run, "a run that nobody asked for, and no slot of its pool")
        if run.state not in (RunState.DONE, RunState.UNMOVED):
            yield BrokenPromise(FindingKind.LOST, run.run, "the run is not done")
    for name, named in slots.items():
        if named and not any(run.pool == name and run.slot in named for run in evidence.runs):
            yield BrokenPromise(FindingKind.LOST, name, "no slot of the pool was run")


def _orders(evidence: PoolEvidence) -> Iterator[BrokenPromise]:
    """Check that each move is ended, that each ordered move is one payment, and that the journal's state of the payment
    is the bank's."""
    found: dict[str, list[Journalled]] = {}
    for row in evidence.payments:
        found.setdefault(row.order_id, []).append(row)
    for move in evidence.moves:
        rows = found.pop(move.order_id, [])
        if move.state is MoveState.PLANNED:
            yield BrokenPromise(FindingKind.LOST, move.order_id, "the move is planned, and neither ordered nor refused")
        if move.state is MoveState.ORDERED and len(rows) != 1:
            yield BrokenPromise(FindingKind.LOST, move.order_id, f"the move was ordered and is {len(rows)} payments")
        if len(rows) > 1:
            yield BrokenPromise(FindingKind.DUPLICATED, move.order_id, f"one move became {len(rows)} payments")
        for row in rows:
            yield from _known(evidence, row, waits=move.state is MoveState.ORDERED and move.reason is not None)
    for order_id in found:
        yield BrokenPromise(FindingKind.DUPLICATED, order_id, "treasury ordered what no run planned")


def _known(evidence: PoolEvidence, row: Journalled, *, waits: bool) -> Iterator[BrokenPromise]:
    """Check one move's payment. `waits`: the account does not cover the move any more, so that the payment stays ready
    until its slot ends."""
    done = [one for one in evidence.ledgers.get(row.bank, ()) if one.instruction.reference == row.reference]
    booked = done[0].booked(evidence.now_ms) if done else None
    at_bank = "the bank never got it" if booked is None else f"the bank's book says {booked.value}"
    if row.state in _DOUBT:
        if booked is not None:
            yield BrokenPromise(FindingKind.LOST, row.order_id, f"left in doubt; {at_bank}")
    elif row.state is State.HELD or (row.state is State.READY and waits):
        if booked is not None:
            yield BrokenPromise(FindingKind.DISAGREES, row.order_id, f"it waits for persons or a balance; {at_bank}")
    elif row.state not in MAY_BE:
        text = f"ended as {row.state.value}, neither final nor in doubt; {at_bank}"
        yield BrokenPromise(FindingKind.LOST, row.order_id, text)
    elif booked not in MAY_BE[row.state]:
        yield BrokenPromise(FindingKind.DISAGREES, row.order_id, f"it is {row.state.value}; {at_bank}")
    for unfit in row.unfit:
        yield BrokenPromise(FindingKind.DISAGREES, row.order_id, unfit)


# ---- what the banks did ----


def _executions(evidence: PoolEvidence, bank: str) -> Iterator[BrokenPromise]:
    """Check that each execution is a planned move of a run, and that none was executed twice, under whatever
    reference."""
    rows = {row.reference: row for row in evidence.payments if row.bank == bank}
    moves = {move.order_id: move for move in evidence.moves}
    done = evidence.done(bank)
    for reference, count in Counter(one.instruction.reference for one in done).items():
        if count > 1:
            yield BrokenPromise(FindingKind.DUPLICATED, reference, f"{bank} moved it {count} times")
    for one in done:
        row = rows.get(one.instruction.reference)
        move = None if row is None else moves.get(row.order_id)
        if move is None or move.state is not MoveState.ORDERED or _planned(move) != _way(one):
            yield BrokenPromise(
                FindingKind.DISAGREES, one.instruction.reference, f"{bank} moved what no run planned so"
            )
    states = {row.order_id: row.state for row in evidence.payments}
    wanted = Counter(
        _planned(move)
        for move in evidence.moves
        if move.state is MoveState.ORDERED and states.get(move.order_id) not in _UNMOVED
    )
    for way, count in Counter(map(_way, done)).items():
        if count > wanted[way]:
            text = f"{bank} moved {way[2]} minor units {count} times, runs ordered it {wanted[way]} times"
            yield BrokenPromise(FindingKind.DUPLICATED, f"{way[0][-4:]} to {way[1][-4:]}", text)


def _planned(move: PoolMove) -> tuple[str, str, int]:
    return move.debit, move.credit, move.amount_minor


def _way(one: Execution) -> tuple[str, str, int]:
    asked = one.instruction
    return asked.debtor_account, asked.creditor_account, asked.amount.minor


def _ceilings(evidence: PoolEvidence, one: CampaignPool) -> Iterator[BrokenPromise]:
    """Check that no run and no day moved more than the mandate allows. A larger move waits for persons, and a campaign
    has none."""
    moves = {move.order_id: move for move in evidence.moves if move.pool == one.name}
    rows = {row.reference: row.order_id for row in evidence.payments if row.bank == one.bank}
    runs, days = Counter[str](), Counter[str]()
    for done in evidence.done(one.bank):
        move = moves.get(rows.get(done.instruction.reference, ""))
        if move is not None:
            runs[move.run] += done.instruction.amount.minor
            days[move.day.isoformat()] += done.instruction.amount.minor
    for sums, most in ((runs, one.pool.most_run_minor), (days, one.pool.most_day_minor)):
        for name, minor in sums.items():
            if minor > most:
                text = f"{minor} minor units were moved, {most} is the most"
                yield BrokenPromise(FindingKind.DISAGREES, f"{one.name} {name}", text)


def _amounts(evidence: PoolEvidence, one: CampaignPool) -> Iterator[BrokenPromise]:
    """Check that a move of a fixed amount has that amount."""
    for child in one.pool.children:
        for debit, credit, minor in map(_way, evidence.done(one.bank)):
            up = (debit, credit) == (child.account, one.pool.header)
            if up and child.up is UpRule.FIXED and minor != child.up_value:
                text = f"{minor} minor units went up, the rule says {child.up_value}"
                yield BrokenPromise(FindingKind.DISAGREES, one.name, text)


def _balances(evidence: PoolEvidence, one: CampaignPool) -> Iterator[BrokenPromise]:
    """Check that no account was ever below its minimum or above its target, as far as its balance could be known.

    Money that came back to the payer later is not counted against a pool: it had been there.
    """
    held = [(one.pool.header, one.pool.floor_minor)]
    held += [(child.account, _stays(child)) for child in one.pool.children if child.account in one.alone]
    for account, least in held:
        lowest = min(_levels(evidence, one.bank, account, back=1), default=OPENING_MINOR)
        if lowest < least:
            text = f"{account[-4:]} fell to {lowest} minor units, {least} must stay"
            yield BrokenPromise(FindingKind.DISAGREES, one.name, text)
    for child in one.pool.children:
        if child.down is DownRule.TARGET:
            highest = max(_levels(evidence, one.bank, child.account, back=-1), default=OPENING_MINOR)
            if highest > child.down_minor:
                text = f"{child.account[-4:]} rose to {highest} minor units, its target is {child.down_minor}"
                yield BrokenPromise(FindingKind.DISAGREES, one.name, text)


def _stays(child: PoolChild) -> int:
    return max(child.floor_minor, child.up_value if child.up is UpRule.KEEP else 0)


def _levels(evidence: PoolEvidence, bank: str, account: str, back: int) -> Iterator[int]:
    """The account's balance after each entry. `back` 1 counts money that came back to it, but not money that went back
    to others. -1 counts neither money that came back to it nor what the ERP collected."""
    steps: list[tuple[int, int]] = []
    for one in evidence.ledgers.get(bank, ()):
        debit, credit, minor = _way(one)
        if one.refused:
            continue
        if one.instruction.collects:
            if debit == account and back > 0:
                steps.append((one.decided_ms, minor))
            continue
        if debit == account:
            steps.append((one.decided_ms, -minor))
            if back > 0 and one.returned_ms is not None:
                steps.append((one.returned_ms, minor))
        if credit == account:
            steps.append((one.decided_ms, minor))
            if back < 0 and one.returned_ms is not None:
                steps.append((one.returned_ms, -minor))
    level = OPENING_MINOR
    # Of entries of one moment, credits come before debits.
    for _at_ms, minor in sorted(steps, key=lambda step: (step[0], -back * step[1])):
        level += minor
        yield level


def _sums(evidence: PoolEvidence) -> Iterator[BrokenPromise]:
    """Check that money came into the pools' accounts, and left them, only by their moves and the ERP's payments."""
    for bank in evidence.ledgers:
        own = {account for one in evidence.pools if one.bank == bank for account in one.pool.accounts}
        wanted = len(own) * OPENING_MINOR
        for one in evidence.ledgers[bank]:
            debit, credit, minor = _way(one)
            if one.booked(evidence.now_ms) is not Booked.SETTLED:
                continue
            out = -1 if one.instruction.collects else 1
            wanted += out * minor * ((credit in own) - (debit in own))
        there = sum(evidence.books[account] for account in own)
        if there != wanted:
            text = f"the pools' accounts hold {there} minor units, right is {wanted}"
            yield BrokenPromise(FindingKind.DISAGREES, bank, text)
