"""Cash pools in a campaign, in force before it begins. Their slots and a person run them while faults happen.

A pool has its header and children at one bank. One child is an account that the ERP pays from; all others belong to the
pools alone, so that the bank's ledger says by itself what a pool moved. The last pool is above the first one: its only
child is the first one's header, and its ceiling of a day is reached soon, after which its moves wait for persons.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import gatherResults

from faults.running_system import RunningSystem
from faults.site import CampaignSite, Node
from gateway import capabilities
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.offline import journal_writer
from gateway.demo import evidence
from gateway.demo.site import OPENING, account_numbers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import vault
from gateway.pools.jobs import GATHER
from gateway.pools.rows import pools
from gateway.pools.rows.pool_moves import RunState
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules.pool import Pool
from gateway.settings import BadSettings, load, socket_of
from gateway.settings.agreement import TREASURY
from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State
from protocols.twin import Booked

CALENDAR = "campaign"
ACCOUNTS = 8
"""Accounts of a bank: three for the ERP, five for the pools alone."""
OPENING_MINOR = Money.parse(OPENING).minor
_ERP_ACCOUNTS = 3
_LITTLE = Money(OPENING_MINOR - 100_000_000, "CNY")
"""The amount that stays: one million less than the opening balance."""
_ASK_S = 5.0
"""How long a person waits for the answer to a run, which the daemon may still be working on."""
_SOON = timedelta(seconds=15)
_SLOT = timedelta(minutes=2)
_SLOTS = 4
"""The most slots; with longer campaigns slots get longer, because the text of a pool has no room for more."""
_CALM = timedelta(minutes=2)
"""How much longer the last slot is open, because on a busy machine outages may fill a slot, and banks behave later."""
_DOUBT_MS = 12_000
_RUNS = "SELECT run FROM pool_runs WHERE state NOT IN ('done', 'unmoved')"
_PAYMENTS = (
    "SELECT p.order_id, p.state, p.changed_ms, p.bank, p.bank_ref FROM payments p LEFT JOIN pool_moves m"
    f" ON m.payment = p.payment WHERE p.sender = '{TREASURY}' AND (p.state <> 'ready' OR m.reason IS NULL)"
)
"""An order whose account does not cover it any more waits until its slot ends: no further event comes."""
_RUN = "SELECT run FROM pool_runs"


@dataclass(frozen=True, slots=True)
class CampaignPool:
    """A pool of the campaign, and the accounts whose money only pools move."""

    name: str
    bank: str
    pool: Pool
    text: str
    alone: frozenset[str]


def made(banks: Sequence[str], now: datetime, lasts_s: float) -> tuple[CampaignPool, ...]:
    """The pools of these banks, with slots from now on. A bank that cannot carry a pool has none."""
    able = [bank for bank in banks if _can(bank)]
    slots = _slots(now, lasts_s)
    return (
        *(_pool(f"group-{bank}", bank, slots, _group) for bank in able),
        *(_pool("top", bank, slots, _top) for bank in able[:1]),
    )


def _can(bank: str) -> bool:
    built = capabilities.tried(bank)
    return Kind.TRANSFER in built.money and built.questions.balance is not None


def _slots(now: datetime, lasts_s: float) -> str:
    """Slots of which the first is planned soon after now. No slot passes midnight."""
    opens = (now - GATHER + _SOON).replace(microsecond=0)
    long = max(_SLOT, timedelta(seconds=lasts_s // _SLOTS))
    starts = [opens + n * long for n in range(min(_SLOTS, 1 + int(lasts_s / long.total_seconds())))]
    ends = [*starts[1:], starts[-1] + long + _CALM]
    return ",".join(
        f"{at:%H:%M:%S}-{end:%H:%M:%S}" for at, end in zip(starts, ends, strict=True) if at.date() == end.date()
    )


def _pool(name: str, bank: str, slots: str, write: Any) -> CampaignPool:
    accounts = account_numbers(bank, ACCOUNTS)
    said = write(accounts, f"{f'slots={slots} ' if slots else ''}fresh=60 calendar={CALENDAR}")
    found = pool_text.parse(said)
    assert found is not None
    return CampaignPool(name, bank, found, said, frozenset(accounts[_ERP_ACCOUNTS:]))


def _group(accounts: Sequence[str], more: str) -> str:
    """The rules of a pool by which money goes down to the account that the ERP pays from, and up by part, by fixed
    amount, and by surplus over a least balance."""
    paying, header, part, fixed, keep = accounts[0], *accounts[3:7]
    head = f"pool CNY header={header} floor={_LITTLE} most-run=20000000.00 most-day=900000000.00 {more}"
    return (
        f"{head}; child {paying} down=target:{OPENING}; child {part} up=part:15 floor={_LITTLE}; "
        f"child {fixed} up=fixed:7.00; child {keep} up=keep:{_LITTLE}"
    )


def _top(accounts: Sequence[str], more: str) -> str:
    """The rules of a pool by which money goes up from the other pool's header, ten times a day."""
    head = f"pool CNY header={accounts[7]} most-run=3.00 most-day=30.00 {more}"
    return f"{head}; child {accounts[3]} up=fixed:3.00 floor={_LITTLE}"


def calendar(now: datetime) -> str:
    """A calendar on which the days around today are business days, because clocks are set back by hours."""
    days = [(now + timedelta(days=n)).date() for n in (-1, 0, 1)]
    worked = ", ".join(day.isoformat() for day in days)
    return f"[{CALENDAR}]\nyears = {sorted({day.year for day in days})}\nworked = [{worked}]\n"


def treasury(banks: Sequence[str]) -> dict[str, object]:
    """The treasury as a sender of the settings."""
    accounts = [number for bank in banks for number in account_numbers(bank, ACCOUNTS)[_ERP_ACCOUNTS:]]
    return {"operations": ["transfer.submit"], "accounts": accounts}


def held(bank: str, ledger: Path, now_ms: int) -> dict[str, int]:
    """The accounts' balances in the bank's own books, in minor units, from a copy of its record."""
    with tempfile.TemporaryDirectory(prefix="bankgw-books-") as folder:
        copy = Path(shutil.copy(ledger, folder)) if ledger.exists() else Path(folder) / ledger.name
        accounts = [LedgerAccount(number, "", Money.parse(OPENING)) for number in account_numbers(bank, ACCOUNTS)]
        books = Ledger(lambda: now_ms, accounts, file=copy)
        try:
            found = {one.number: books.holding(one.number) for one in accounts}
        finally:
            books.close()
    return {number: one.book.minor for number, one in found.items() if one is not None and one.book is not None}


class PoolRunner:
    """Runs the pools as a person at the command line does. `asked` are the names that it gave to runs."""

    def __init__(self, found: Sequence[CampaignPool], seed: int) -> None:
        self.pools = tuple(found)
        self.asked: set[str] = set()
        self._unanswered: list[tuple[str, str]] = []
        self._dice = random.Random(f"pools {seed}")

    def put_in_force(self, grounds: CampaignSite) -> None:
        """Put the mandates in force before any daemon runs. Raises NotWritten."""
        first = grounds.nodes[0]
        key = vault.load(first.site.folder / "secrets" / "vault.key")
        # Not through the proxy, which is in this process and would wait for this call.
        journal_writer.commit_offline(load(first.site.settings), grounds.journal.open_url(first), key, self._mandates)

    def _mandates(self, tx: Tx) -> None:
        for one in self.pools:
            pools.put_in_force(tx, one.name, one.text, "CAMPAIGN")

    async def run_for_ever(self, system: RunningSystem) -> None:
        """Run the pools one after the other, on one daemon or on all at once; under the same name again if no daemon
        answered."""
        while self.pools and not system.stopping:
            await system.between(0.3, 2.0)
            again = self._unanswered and self._dice.random() < 0.5  # noqa: PLR2004
            wanted = self._dice.choice(self._unanswered) if again else self._new()
            nodes = system.nodes if self._dice.random() < 0.3 else [self._dice.choice(system.nodes)]  # noqa: PLR2004
            said = await gatherResults([system.thread(partial(_asked, node, *wanted)) for node in nodes])
            self._note(wanted, any(said))

    def _new(self) -> tuple[str, str]:
        slot = f"hand-{len(self.asked) + 1}"
        self.asked.add(slot)
        return self._dice.choice(self.pools).name, slot

    def _note(self, wanted: tuple[str, str], answered: bool) -> None:
        if answered and wanted in self._unanswered:
            self._unanswered.remove(wanted)
        elif not answered and wanted not in self._unanswered:
            self._unanswered.append(wanted)

    async def ask_again(self, system: RunningSystem) -> None:
        """Request the runs again that no daemon confirmed, after the faults."""
        for wanted in tuple(self._unanswered):
            self._note(wanted, await system.thread(partial(_asked, self._dice.choice(system.nodes), *wanted)))

    # ---- what is still to come ----

    def open_ends(self, grounds: CampaignSite, booked: Mapping[tuple[str, str], Booked], now: datetime) -> list[str]:
        """The events still to come: ends of runs and of open orders, runs of open slots, and returns that the journal
        does not have yet. `booked` has the banks' bookings under each bank and reference, including returns that are
        still to come."""
        found = [f"run {run}" for (run,) in _rows(grounds, _RUNS)]
        known = {str(run) for (run,) in _rows(grounds, _RUN)}
        for one in self.pools:
            for slot in one.pool.slots:
                run = f"{one.name}.{now:%Y%m%d}.{slot.name}"
                if slot.opens <= now.time() < slot.closes and run not in known:
                    found.append(f"slot {run}")
        now_ms = int(now.timestamp() * 1000)
        for order, state, changed_ms, bank, reference in _rows(grounds, _PAYMENTS):
            fresh = now_ms - int(changed_ms) < _DOUBT_MS
            if _to_come(State(state), booked.get((bank, reference)), fresh=fresh):
                found.append(f"{TREASURY}:{order}")
        return found


def _to_come(state: State, booked: Booked | None, *, fresh: bool) -> bool:
    if state in (State.IN_DOUBT, State.ESCALATED):
        return fresh or booked is not None
    if state is State.SETTLED:
        return booked is Booked.RETURNED
    return state is not State.HELD and not STATE_TABLE[state].final


def _asked(node: Node, pool: str, slot: str) -> bool:
    """Ask a daemon to run a pool. Returns whether it confirmed. It is not asked while an incident has broken its
    settings."""
    with suppress(NoDaemon, Refused, BadSettings):
        said = ControlClient(socket_of(node.site.settings), _ASK_S).post("liquidity", pool, "run", slot=slot)
        return bool(said["state"] == RunState.DONE)
    return False


def _rows(grounds: CampaignSite, query: str) -> Sequence[Any]:
    if grounds.journal.url is not None:
        return grounds.journal.ask(lambda conn: conn.execute(text(query)).all())
    file = grounds.nodes[0].site.state / evidence.JOURNAL
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
