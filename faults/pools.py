"""Cash pools in a campaign: in force before it begins, and run by their slots and by a person while things go wrong.

A pool has its header and children at one bank. One child is an account that the ERP pays from; all others belong to the
pools alone, so that the bank's ledger says by itself what a pool moved. The last pool is above the first one: its only
child is the first one's header, and its ceiling of a day is reached soon, after which its moves wait for persons.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import gatherResults

from faults.running_system import RunningSystem
from faults.site import Grounds, Node
from gateway import capabilities
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.offline import journal_writer
from gateway.demo import evidence
from gateway.demo.site import OPENING, account_numbers
from gateway.journal.commit.store import Tx
from gateway.journal.payments import pools
from gateway.journal.payments.pool_moves import RunState
from gateway.journal.sql import vault
from gateway.settings import load, socket_of
from gateway.settings.agreement import TREASURY
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.treasury.liquidity import pool as pool_text
from gateway.treasury.liquidity.pool import Pool
from gateway.treasury.pool_service import GATHER
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State

CALENDAR = "campaign"
ACCOUNTS = 8
"""Of a bank: three of the ERP, five of the pools alone."""
OPENING_MINOR = Money.parse(OPENING).minor
_ERP_ACCOUNTS = 3
_LITTLE = Money(OPENING_MINOR - 100_000_000, "CNY")
"""This stays: a million less than was there."""
_ASK_S = 5.0
"""So long a person waits for the answer to a run; the daemon may be at it still."""
_SOON = timedelta(seconds=15)
_SLOT = timedelta(minutes=2)
_SLOTS = 4
"""At most, and then longer ones: the text of a pool has no room for more."""
_DOUBT_MS = 12_000
_RUNS = "SELECT run FROM pool_runs WHERE state <> 'done'"
_PAYMENTS = f"SELECT order_id, state, changed_ms, bank, bank_ref FROM payments WHERE sender = '{TREASURY}'"
_RUN = "SELECT run FROM pool_runs"


@dataclass(frozen=True, slots=True)
class CampaignPool:
    """A pool of the campaign, and the accounts that nobody but pools moves money of."""

    name: str
    bank: str
    pool: Pool
    text: str
    alone: frozenset[str]


def made(banks: Sequence[str], now: datetime, lasts_s: float) -> tuple[CampaignPool, ...]:
    """The pools of these banks, with slots from now on. None at a bank that cannot carry one."""
    able = [bank for bank in banks if _can(bank)]
    slots = _slots(now, lasts_s)
    return (*(_pool(f"group-{bank}", bank, slots, _group) for bank in able),
            *(_pool("top", bank, slots, _top) for bank in able[:1]))  # fmt: skip


def _can(bank: str) -> bool:
    built = capabilities.tried(bank)
    return Kind.TRANSFER in built.money and built.questions.balance is not None


def _slots(now: datetime, lasts_s: float) -> str:
    """The first run is planned soon after now. No slot goes over midnight."""
    opens = (now - GATHER + _SOON).replace(microsecond=0)
    long = max(_SLOT, timedelta(seconds=lasts_s // _SLOTS))
    starts = [opens + n * long for n in range(min(_SLOTS, 1 + int(lasts_s / long.total_seconds())))]
    return ",".join(f"{at:%H:%M:%S}-{at + long:%H:%M:%S}" for at in starts if at.date() == (at + long).date())


def _pool(name: str, bank: str, slots: str, write: Any) -> CampaignPool:
    accounts = account_numbers(bank, ACCOUNTS)
    said = write(accounts, f"{f'slots={slots} ' if slots else ''}fresh=60 calendar={CALENDAR}")
    found = pool_text.parse(said)
    assert found is not None
    return CampaignPool(name, bank, found, said, frozenset(accounts[_ERP_ACCOUNTS:]))


def _group(accounts: Sequence[str], more: str) -> str:
    """Down to the account that the ERP pays from; up by part, fixed amount, and what is above a least balance."""
    paying, header, part, fixed, keep = accounts[0], *accounts[3:7]
    head = f"pool CNY header={header} floor={_LITTLE} most-run=20000000.00 most-day=900000000.00 {more}"
    return (f"{head}; child {paying} down=target:{OPENING}; child {part} up=part:15 floor={_LITTLE}; "
            f"child {fixed} up=fixed:7.00; child {keep} up=keep:{_LITTLE}")  # fmt: skip


def _top(accounts: Sequence[str], more: str) -> str:
    """Up from the other pool's header, ten times a day."""
    head = f"pool CNY header={accounts[7]} most-run=3.00 most-day=30.00 {more}"
    return f"{head}; child {accounts[3]} up=fixed:3.00 floor={_LITTLE}"


def calendar(now: datetime) -> str:
    """A calendar on which the days around today are business days: clocks are set back by hours."""
    days = [(now + timedelta(days=n)).date() for n in (-1, 0, 1)]
    worked = ", ".join(day.isoformat() for day in days)
    return f"[{CALENDAR}]\nyears = {sorted({day.year for day in days})}\nworked = [{worked}]\n"


def treasury(banks: Sequence[str]) -> dict[str, object]:
    """Treasury as a sender."""
    accounts = [number for bank in banks for number in account_numbers(bank, ACCOUNTS)[_ERP_ACCOUNTS:]]
    return {"operations": ["transfer.submit"], "accounts": accounts}


def held(bank: str, ledger: Path, now_ms: int) -> dict[str, int]:
    """What the accounts hold by the bank's own books, in minor units: opened anew from a copy of its record."""
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
    """Has the pools run, as a person at the command line does. `asked` are the names that it gave to runs."""

    def __init__(self, found: Sequence[CampaignPool], seed: int) -> None:
        self.pools = tuple(found)
        self.asked: set[str] = set()
        self._unanswered: list[tuple[str, str]] = []
        self._dice = random.Random(f"pools {seed}")

    def put_in_force(self, grounds: Grounds) -> None:
        """Write the mandates, before any daemon runs. Raises NotWritten."""
        first = grounds.nodes[0]
        key = vault.load(first.site.folder / "secrets" / "vault.key")
        # Not through the proxy, which is in this process and waits for it.
        journal_writer.write(load(first.site.settings), grounds.journal.open_url(first), key, self._mandates)

    def _mandates(self, tx: Tx) -> None:
        for one in self.pools:
            pools.write(tx, one.name, one.text, "CAMPAIGN")

    async def run_for_ever(self, system: RunningSystem) -> None:
        """One run after the other, of one daemon or of all at once; under the same name again if nobody answered."""
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
        """Now that all is calm: the runs of which nobody has said that they were begun."""
        for wanted in tuple(self._unanswered):
            self._note(wanted, await system.thread(partial(_asked, self._dice.choice(system.nodes), *wanted)))

    # ---- what is still to come ----

    def open_ends(self, grounds: Grounds, booked: Collection[tuple[str, str]], now: datetime) -> list[str]:
        """Runs that are not done, slots that are open and were not run, orders of pools whose end is still to come.
        `booked` are the references that the banks have, each with its bank."""
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
            if _to_come(State(state), fresh or (bank, reference) in booked):
                found.append(f"{TREASURY}:{order}")
        return found


def _to_come(state: State, known: bool) -> bool:
    if state in (State.IN_DOUBT, State.ESCALATED):
        return known
    return state is not State.HELD and not STATE_TABLE[state].final


def _asked(node: Node, pool: str, slot: str) -> bool:
    """Ask a daemon to run a pool; whether it said that it has."""
    with suppress(NoDaemon, Refused):
        said = ControlClient(socket_of(node.site.settings), _ASK_S).post("liquidity", pool, "run", slot=slot)
        return bool(said["state"] == RunState.DONE)
    return False


def _rows(grounds: Grounds, query: str) -> Sequence[Any]:
    if grounds.journal.url is not None:
        return grounds.journal.ask(lambda conn: conn.execute(text(query)).all())
    file = grounds.nodes[0].site.state / evidence.JOURNAL
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
