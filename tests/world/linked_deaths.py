"""The checks of `deaths` for linked payments: each has ended, no leg moved twice or more than its order's amount, and
no order was sent before its money had come and the bank had shown that. A leg in doubt holds the next order."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.demo import site
from gateway.simbank.record import Execution, plain_executions, read_lines
from protocols.canon.money import Money
from tests.world import wire

ENDED = ("done", "back", "stays")
_LINKS = (
    "select l.payment, l.state, p.order_id, p.bank_ref, p.amount_minor, p.state, p.debtor_idx, l.run, m.order_id,"
    " m.amount_minor, leg.bank_ref, leg.state from linked_orders l join payments p on p.payment = l.payment"
    " left join pool_moves m on m.run = l.run left join payments leg on leg.payment = m.payment"
)
_DOUBTED = (
    "select count(*) from linked_orders l join pool_moves m on m.run = l.run"
    " join audit a on a.object_id = m.payment where a.entry = 'payment.taken_over'"
)
_OPENING_MINOR = Money.parse(site.OPENING).minor


@dataclass(frozen=True, slots=True)
class Link:
    """A linked order as the journal has it at the end, with its leg 1."""

    payment: str
    state: str
    order: str
    reference: str | None
    minor: int
    order_state: str
    member: str
    run: str | None
    leg: str | None
    leg_minor: int | None
    leg_reference: str | None
    leg_state: str | None


def read_links(journal: Path) -> list[Link]:
    """Every link of a journal."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        return [Link(*row) for row in db.execute(_LINKS)]


def open_links(journal: Path) -> list[str]:
    """Links that are still open; a payment in doubt at the bank may stay so."""
    return [
        f"the link of {one.order} is {one.state}"
        for one in read_links(journal)
        if one.state not in ENDED and "in_doubt" not in (one.order_state, one.leg_state)
    ]


@dataclass(frozen=True, slots=True)
class LinkFindings:
    """The result of the comparison, with the number of settled linked payments. `doubted` is the number of deaths that
    left a leg in doubt."""

    duplicated: tuple[str, ...]
    lost: tuple[str, ...]
    settled: int
    doubted: int


def doubted(journal: Path) -> int:
    """The number of times that a leg was being sent when a daemon died. The next life had to hold its order each
    time."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        return int(db.execute(_DOUBTED).fetchone()[0])


def compare(journal: Path, ledger: Path, said: Path, member: str) -> LinkFindings:
    """Compare the links with the bank's bookings in order, and with the messages about the member's account, from which
    the orders are paid."""
    links, lines = read_links(journal), list(read_lines(ledger))
    executed = Counter(one.instruction.reference for one in _executions(lines) if not one.refused)
    twice = [
        f"leg 1 of {one.order} was executed {executed[one.leg_reference]} times"
        for one in links
        if one.leg_reference is not None and executed[one.leg_reference] > 1
    ]
    lost = [
        f"leg {one.leg} moves {one.leg_minor}, and its order is over {one.minor}"
        for one in links
        if one.leg_minor is not None and one.leg_minor > one.minor
    ]
    lost += open_links(journal)
    lost += [
        f"{one.order} is settled, and its leg 1 was executed {executed[one.leg_reference]} times"
        for one in links
        if one.order_state == "settled" and one.leg_reference is not None and not executed[one.leg_reference]
    ]
    early_or_blind = (*early(links, lines), *unshown(links, wire.read_lines(said), member))
    settled = sum(one.order_state == "settled" for one in links)
    return LinkFindings((*twice, *early_or_blind), tuple(lost), settled, doubted(journal))


def early(links: Sequence[Link], lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Orders that arrived at the bank before their money. A leg's money counts from the leg's execution on. The account
    has no other money, so one leg's money may serve another order, and only the sums count."""
    orders = {one.reference: one for one in links if one.reference is not None}
    legs = {one.leg_reference: one for one in links if one.leg_reference is not None}
    there: dict[str, int] = defaultdict(int)
    seen: set[str] = set()
    for line in lines:
        for one in _executions([line]):
            if one.instruction.reference in legs and not one.refused:
                there[legs[one.instruction.reference].member] += one.instruction.amount.minor
        order = orders.get(str(line.get("heard", "")))
        if order is not None and order.order not in seen:
            seen.add(order.order)
            there[order.member] -= order.minor
            if there[order.member] < 0:
                yield f"{order.order} was sent before the money for it had come: a leg in doubt did not hold it"


def unshown(links: Sequence[Link], said: Sequence[Mapping[str, Any]], member: str) -> Iterator[str]:
    """Orders that left while the outcome of their leg was unknown. Since the leg left, the bank had shown neither a
    balance of the member with the order's money, nor the leg's entry. Whether the bank had executed the leg does not
    count, because the gateway could not know it.

    A daemon that dies between the unit of a send and the write leaves a leg in doubt that never left. The money of
    other legs may let its order go, and the leg may leave later. Then the bank's last word about the account counts.
    """
    for one in links:
        if one.reference is None or one.leg_reference is None:
            continue
        leg, order = wire.left_at(said, one.leg_reference), wire.left_at(said, one.reference)
        if order is None:
            continue
        about = [line for line in said[:order] if line.get("account") == member]
        since = said[leg:order] if leg is not None and leg < order else about[-1:]
        if not any(wire.shows(line, member, one.leg_reference, _OPENING_MINOR + one.minor) for line in since):
            yield (
                f"{one.order} over {one.minor} was sent before the bank had shown its money: a leg in doubt did not "
                f"hold it; leg {one.leg_reference} over {one.leg_minor} left at line {leg}, the order at {order}; told "
                f"since: {[line for line in since if 'told' in line][-3:]}; the last of the account before: {about[-3:]}"
            )


def _executions(lines: Sequence[Mapping[str, Any]]) -> Iterator[Execution]:
    for line in lines:
        for plain in plain_executions(line):
            yield Execution.from_plain(plain)
