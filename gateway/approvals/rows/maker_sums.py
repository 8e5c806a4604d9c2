"""The daily sums of what a maker has paid a payee: the keys under which an order is counted, and the recount at a
start.

Each order is counted under its sender and under the maker that it names, so that an ERP cannot split a payment by
naming its maker in one half.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

from sqlalchemy import select

from gateway.approvals.rows import approval_policies
from gateway.kernel.commit import payment_rows, registers, sender_names
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.usage_totals import UsageKey
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import VaultError
from gateway.payments.rows import limits
from gateway.settings.agreement import TREASURY
from protocols.canon.order import AnyOrder

ALL, MAKER = "*", "maker"
_PAGE = 1000
_P = schema.payments.c


def keys(tx: Tx, sender: str, order: AnyOrder, day: str) -> tuple[UsageKey, UsageKey]:
    """The keys of this order's sums: that of its sender, and that of the maker it names. The same key twice if it names
    none."""

    def key_of(who: str) -> UsageKey:
        blind = tx.vault.blind("\x1f".join(("maker", who, order.theirs.account.clear)))
        return ALL, MAKER, blind, order.amount.currency, day

    of_sender = key_of(f"sender\x1f{sender}")
    return of_sender, of_sender if order.maker is None else key_of(f"person\x1f{order.maker}")


def recount(tx: Tx, zone: ZoneInfo) -> int:
    """Raise the day's sums of the makers that are lower than the payments accepted on that day, as `limits.recount`
    raises the other sums. Returns how many were raised.

    The accounts and makers are read from the sealed orders. Orders from before the policy were not counted. The moves
    of pools are left out: those inside their mandate are not counted, and the others are held for approvers whatever
    the sums are. The sums of a sender that was renamed are lower without an alteration, because their keys are hashes
    of its former name.
    """
    since_ms = _counted_since_ms(tx)
    if since_ms is None:
        return 0
    day, accepted = limits.accepted_today(tx, zone)
    asked = select(schema.payments).where(*accepted, _P.accepted_ms > since_ms, _P.sender != TREASURY)
    least, of_senders = Counter[UsageKey](), defaultdict[str, set[UsageKey]](set)
    for found in tx.read.execute(asked.execution_options(yield_per=_PAGE)):
        try:
            row = payment_rows.decode_row(found, tx.vault)
        except (SealBroken, VaultError):
            broken = SealBroken(schema.payments.name, found.payment)
            registers.report(tx.vault, broken, "the payment is not counted in its maker's sum: bankgw repair list")
            continue
        of_sender, of_named = keys(tx, row.sender, row.order, day)
        for key in {of_sender, of_named}:
            least[key] += row.order.amount.minor
        of_senders[row.sender].add(of_sender)
    # Not in the loop: the rows come in pages, and another statement would end them.
    renamed = [sender for sender in of_senders if sender_names.former_senders(tx.raw, sender)]
    expected = {key for sender in renamed for key in of_senders[sender]}
    return limits.raise_sums(tx, day, least, expected)


def _counted_since_ms(tx: Tx) -> int | None:
    """The time since which a policy with bands has been in force without a break; None if none is in force."""
    since_ms = None
    for one in approval_policies.listing(tx.raw):
        if not one.policy.bands:
            break
        since_ms = one.at_ms
    return since_ms
