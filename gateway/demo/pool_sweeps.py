"""The demo's cash pools: one at each bank that can carry it. Each runs once by itself and is judged by the bank's
ledger.

The child is the second account, the header the first. No order of the ERP has the header as its payee, so that an
execution with this payee belongs to a pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gateway import capabilities
from gateway.demo import evidence
from gateway.demo.orders import amount_text
from gateway.demo.report import PromiseCheck
from gateway.demo.site import OPENING, account_numbers
from gateway.demo.sums import money_text
from gateway.demo.texts import phrase
from gateway.demo.verdict import Executed, Journalled
from gateway.pools.rows import pool_moves
from gateway.pools.rows.pool_moves import MoveState, PoolMove, RunState
from gateway.settings.agreement import TREASURY
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State
from protocols.trial import trial
from protocols.twin import Booked

CALENDAR = "demo"
KEEPS_MINOR = Money.parse(OPENING).minor * 9 // 10
"""The amount that stays in the child account."""
MINUTES_OPEN = 30
_ROUND = 10_000
_HEAD_START_S = 40
"""The earliest slot opens so long before the payments end."""
_SETTLED = (State.SETTLED, State.RETURNED, State.REVERSED)


@dataclass(frozen=True, slots=True)
class DemoPool:
    """A pool of one bank: its name, both accounts, and the text that is in force."""

    name: str
    header: str
    child: str
    text: str


def pools(banks: Iterable[str], now: datetime) -> tuple[DemoPool, ...]:
    """The pools; none if it is too late in the day for a slot."""
    opens = (now + timedelta(seconds=_HEAD_START_S)).replace(second=0, microsecond=0)
    closes = opens + timedelta(minutes=MINUTES_OPEN)
    if closes.date() != now.date():
        return ()
    return tuple(_pool(bank, f"{opens:%H:%M}-{closes:%H:%M}") for bank in banks if _can(bank))


def _can(bank: str) -> bool:
    built = capabilities.tried(bank)
    moves = Kind.TRANSFER in built.money and built.questions.balance is not None
    return moves and bool(trial(bank).demo.get("sweeps", True))


def _pool(bank: str, slot: str) -> DemoPool:
    header, child = account_numbers(bank, 2)
    most = amount_text(Money.parse(OPENING).minor)
    head = f"pool CNY header={header} slots={slot} most-run={most} most-day={most} round={_ROUND} calendar={CALENDAR}"
    return DemoPool(f"sweep-{bank}", header, child, f"{head}; child {child} up=keep:{amount_text(KEEPS_MINOR)}")


def calendar(now: datetime) -> str:
    """A calendar in which today is a business day, whatever day it is."""
    return f"[{CALENDAR}]\nyears = [{now.year}]\nworked = [{now.date().isoformat()}]\n"


def treasury(banks: Iterable[str]) -> dict[str, object]:
    """The sender of the treasury, which may use the pools' accounts."""
    accounts = [number for bank in banks for number in account_numbers(bank, 2)]
    return {"operations": ["transfer.submit"], "accounts": accounts}


def of_pools(executed: Iterable[Executed], found: Sequence[DemoPool]) -> list[Executed]:
    """The executions whose payee is the header account of a pool."""
    headers = {one.header for one in found}
    return [one for one in executed if one.creditor in headers]


def moves(state: Path, vault_key: Path) -> list[PoolMove]:
    """The moves of the runs according to the journal."""
    with evidence.opened(state, vault_key) as conn:
        runs = pool_moves.listing(conn)
        return [move for run in runs for move in pool_moves.moves_of(conn, run.run)]


def over(runs: Sequence[str], payments: Sequence[str], wanted: int) -> bool:
    """Whether each of the `wanted` runs is done, and each of their payments is final or held for a person."""
    done = len(runs) >= wanted and all(state in (RunState.DONE, RunState.UNMOVED) for state in runs)
    return done and all(State(state) is State.HELD or STATE_TABLE[State(state)].final for state in payments)


# ---- judging ----


def check(
    found: Sequence[DemoPool],
    planned: Sequence[PoolMove],
    journal: Iterable[Journalled],
    executed: Sequence[Executed],
    balances: Mapping[str, int],
) -> PromiseCheck:
    """Judge that nothing moved twice or unplanned, that states agree with the ledgers, and that the kept amounts
    stayed.

    `balances` are the accounts' balances by the ledgers, in minor units.
    """
    rows = {row.order_id: row for row in journal if row.sender == TREASURY}
    faults = [f"{one.name}: no run" for one in found if not any(move.pool == one.name for move in planned)]
    times = Counter((one.bank, one.reference) for one in executed)
    faults += [
        f"{bank} carried out {reference} {count} times" for (bank, reference), count in times.items() if count > 1
    ]
    wanted = {
        (rows[move.order_id].bank, rows[move.order_id].reference): move for move in planned if move.order_id in rows
    }
    for one in executed:
        move = wanted.get((one.bank, one.reference))
        if move is None or (move.debit, move.credit, move.amount_minor) != (one.debtor, one.creditor, one.minor):
            faults.append(f"{one.bank} carried out {one.reference}, which no run planned so")
        elif (rows[move.order_id].state in _SETTLED) is not (one.booked in (Booked.SETTLED, Booked.RETURNED)):
            faults.append(f"{move.order_id} is {rows[move.order_id].state.value}, its bank has it {one.booked.value}")
    faults += [
        f"{move.order_id} is settled, its bank never got it"
        for key, move in wanted.items()
        if rows[move.order_id].state in _SETTLED and key not in times
    ]
    faults += [
        f"{move.order_id} was ordered and is no payment"
        for move in planned
        if move.state is MoveState.ORDERED and move.order_id not in rows
    ]
    faults += [
        f"{one.name}: less is left in the child than must stay" for one in found if balances[one.child] < KEEPS_MINOR
    ]
    moved = [one.minor for one in executed if one.booked in (Booked.SETTLED, Booked.RETURNED)]
    said = phrase(
        "{runs} runs moved {sum} CNY in {count} transfers",
        runs=len({one.run for one in planned}),
        sum=money_text(sum(moved)),
        count=len(moved),
    )
    promise = phrase("cash pools moved what they planned, once, and left what must stay")
    return PromiseCheck(promise, not faults, "; ".join([str(said), *faults]) if faults else said)
