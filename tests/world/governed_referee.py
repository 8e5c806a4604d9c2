"""The referee of the stories of `governed`: it records each act with its subject and time, and checks banks and journal
against its records.

It shares no rule with the gateway. `judge_new_sends` judges what was written down to be sent since its last call, so that a
journal may be lost afterwards; `complaints` compares the banks' ledgers at the end.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from gateway.kernel.clock import ulid_ms
from gateway.settings.agreement import TREASURY
from gateway.simbank.ledger import Ledger
from protocols.twin import Booked
from tests.world.approvals import UNSURE_MS, Referee
from tests.world.world import World

_SENDS = (
    "select p.payment, p.order_id, p.sender, p.bank, p.bank_ref, p.amount_minor, min(a.at_ms) at_ms,"
    " min(a.first_write_ms) written_ms from attempts a join payments p using (payment)"
    " group by p.payment having written_ms is not null"
)
_LINKS = "select p.order_id, l.run, l.back_run from linked_orders l join payments p using (payment)"
_MOVES = "select order_id, run, version from pool_moves where state = 'ordered'"


@dataclass(slots=True)
class LinkedOrder:
    """A linked order as it was sent, with its account and whether its sender may use the pool's header."""

    member: str
    minor: int
    may_fund: bool


@dataclass(slots=True)
class GovernedReferee:
    """Records all acts of a story and judges its sends. `forgot`: a journal was lost for good. `pools` are the pool's
    versions with the time since when each is in force (None: the version closed it). `quotas` is the amount that each
    version allows a member to owe or lend. `withdrawn` are orders that persons withdrew because a bank had paid them.
    `wrong_clock`: a machine's clock was wrong, so that times in the journal prove nothing."""

    people: Referee = field(default_factory=Referee)
    links: dict[str, LinkedOrder] = field(default_factory=dict)
    cancelled_ms: dict[str, int] = field(default_factory=dict)
    pools: list[tuple[int, int | None]] = field(default_factory=list)
    quotas: dict[int, int | None] = field(default_factory=dict)
    wrong_clock: bool = False
    forgot: bool = False
    withdrawn: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)
    moved: int = 0
    legs: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _orders: dict[str, str] = field(default_factory=dict)
    _moves: dict[str, tuple[str, int]] = field(default_factory=dict)
    _leg_runs: dict[str, str] = field(default_factory=dict)
    _back_runs: dict[str, str] = field(default_factory=dict)

    # ---- while it goes on ----

    def judge_new_sends(self, world: World) -> None:
        """Judge the sends that were written down since the last call."""
        world.mirror()
        with closing(sqlite3.connect(world.folder / "journal.db")) as db:
            for order, run, back in db.execute(_LINKS):
                self._leg_runs |= {run: order} if run else {}
                self._back_runs |= {back: order} if back else {}
            self._moves |= {order: (run, version) for order, run, version in db.execute(_MOVES)}
            sends = db.execute(_SENDS).fetchall()
        for event in world.events:
            if event["event"] == "payment.cancelled":
                self.cancelled_ms.setdefault(event["id"], _now_ms(world))
        for payment, order, sender, bank, reference, minor, at_ms, written_ms in sends:
            if (payment, reference) in self._seen:
                continue
            self._seen.add((payment, reference))
            self._orders[f"{bank} {reference}"] = order
            if sender == TREASURY:
                self.found += self._move_left(order, at_ms)
            else:
                self.found += self._order_left(order, payment, at_ms)
                self.found += self._leg_2_left(world.banks[bank].ledger, order, minor, written_ms)

    def _move_left(self, order: str, at_ms: int) -> Iterator[str]:
        """Judge the send of a pool's move, or of a leg of a linked payment."""
        if order not in self._moves:
            yield f"{order} left, and no plan of a pool has it"
            return
        run, version = self._moves[order]
        allowed = self._versions_about(at_ms)
        if version not in allowed and not self.wrong_clock:
            yield f"{order} of version {version} left at {at_ms}, when {sorted(map(str, allowed))} was in force"
        linked = self._leg_runs.get(run)
        if linked is not None:
            self.legs += 1
            ended_ms = self.cancelled_ms.get(linked)
            if ended_ms is not None and at_ms > ended_ms + UNSURE_MS and not self.wrong_clock:
                yield f"leg {order} left at {at_ms}, and {linked} was told cancelled by {ended_ms}"
            if linked in self.links and not self.links[linked].may_fund:
                yield f"leg {order} left from a header that the sender of {linked} may not use"

    def _versions_about(self, at_ms: int) -> set[int | None]:
        """The versions of the pool that may have been in force."""
        before = [version for since_ms, version in self.pools if since_ms <= at_ms - UNSURE_MS][-1:]
        return {
            *before,
            *(version for since_ms, version in self.pools if at_ms - UNSURE_MS < since_ms <= at_ms + UNSURE_MS),
        }

    def _order_left(self, order: str, payment: str, at_ms: int) -> Iterator[str]:
        made = self.people.orders[order]
        # A broker that was away may deliver the order later: the policy at its admission counts.
        made.at_ms = ulid_ms(payment)
        needed, counted = self.people.needed(made, at_ms), self.people.counted(made, at_ms)
        if counted < needed and not self.wrong_clock:
            yield f"{order} left at {at_ms} with {counted} approvals of {needed}: {made}"

    def _leg_2_left(self, ledger: Ledger, order: str, minor: int, written_ms: int) -> Iterator[str]:
        """Judge the send of an order that names the pool. Its account must have the money by then; a leg in doubt does
        not count."""
        link = self.links.get(order)
        if link is not None and not self.wrong_clock:
            there = _spendable(ledger, link.member, written_ms)
            if there < minor:
                yield f"{order} over {minor} left at {written_ms}, when its account had {there}"

    # ---- at the end ----

    def complaints(self, world: World) -> list[str]:
        """All findings so far, and the findings in the banks' ledgers."""
        self.judge_new_sends(world)
        return [*self.found, *self._ledgers(world)]

    def _ledgers(self, world: World) -> Iterator[str]:
        orders = {one.account: one for one in self.people.orders.values()}
        own = {account for site in world.banks.values() for account in site.accounts}
        paid: Counter[str] = Counter()
        moves: Counter[tuple[str, ...]] = Counter()
        lent: Counter[str] = Counter()
        for bank, site in world.banks.items():
            for one in site.ledger.executions:
                asked, booked = one.instruction, one.booked(_now_ms(world))
                if booked in (Booked.REFUSED, Booked.RETURNED) or one.refused:
                    continue
                if asked.creditor_account in own:
                    order = self._orders.get(f"{bank} {asked.reference}")
                    yield from self._moved(order, asked, moves)
                    yield from self._beyond_quota(order, asked, world.bank.account, lent)
                elif asked.creditor_account not in orders:
                    yield f"{asked.reference} was paid to {asked.creditor_account}, and nobody ordered that"
                else:
                    made = orders[asked.creditor_account]
                    paid[made.id] += 1
                    if asked.amount.minor != made.minor:
                        yield f"{made.id}: the bank paid {asked.amount}, and {made.minor} was ordered"
                    if made.id in self.cancelled_ms and made.id not in self.withdrawn:
                        yield f"{made.id} was told cancelled, and the bank paid it"
        yield from (f"{id_} was paid {count} times" for id_, count in paid.items() if count > 1)
        yield from (f"{' '.join(key)} was moved {count} times" for key, count in moves.items() if count > 1)
        self.moved = sum(moves.values())

    def _moved(self, order: str | None, asked: Any, moves: Counter[tuple[str, ...]]) -> Iterator[str]:
        """The violations by an executed transfer between own accounts: it must be its order's, executed once, with at
        most the requested amount."""
        if order is None or order not in self._moves:
            yield f"{asked.reference} moved {asked.amount} to {asked.creditor_account}, and no pool planned that"
            return
        run, _version = self._moves[order]
        for what, runs in (("leg 1 of", self._leg_runs), ("the way back of", self._back_runs)):
            if run in runs:
                moves[what, runs[run]] += 1
                link = self.links.get(runs[run])
                if link is not None and asked.amount.minor > link.minor:
                    yield f"{what} {runs[run]} moved {asked.amount}, and the order is over {link.minor}"
                return
        moves[run, asked.debtor_account, asked.creditor_account] += 1

    def _beyond_quota(self, order: str | None, asked: Any, header: str, lent: Counter[str]) -> Iterator[str]:
        """The violation by a move that makes a member owe its header, or lend it, more than the pool's version
        allows."""
        if order not in self._moves:
            return
        run, version = self._moves[order]
        up = asked.creditor_account == header
        member, minor = (
            (asked.debtor_account, asked.amount.minor) if up else (asked.creditor_account, -asked.amount.minor)
        )
        before, lent[member] = lent[member], lent[member] + minor
        quota = self.quotas.get(version)
        # Pools cannot count moves that a journal lost; money that comes back is no new debt.
        beyond = quota is not None and max(quota, abs(before)) < abs(lent[member])
        if beyond and not self.forgot and run not in self._back_runs:
            yield f"{order} moved {asked.amount}: {member} has lent {lent[member]}, and the quota is {quota}"


def _now_ms(world: World) -> int:
    return round(world.clock.seconds() * 1000)


def _spendable(ledger: Ledger, account: str, at_ms: int) -> int:
    """The amount that the bank would have let the account pay at this moment."""
    sheet = ledger._sheets[account]
    balance = sheet.account.opening.minor
    for entry in sheet.entries:
        if entry.at.timestamp() * 1000 > at_ms:
            break
        balance = entry.balance_after.minor
    held = sum(
        one.instruction.amount.minor
        for one in ledger.executions
        if one.instruction.debtor_account == account and one.at_ms <= at_ms < one.decided_ms
    )
    return balance - held
