"""Whether a payment's sender still has the right to this kind of order and to every account that pays, by the present
settings.

Admission checks the right once. It is checked again when a person releases the payment and when its send is recorded,
whether or not there is an approval policy, because settings change meanwhile and a payment may wait for days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.hours import local
from gateway.payments.rows.rules_above import FUNDING_RIGHT
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY
from protocols.canon.order import Kind
from protocols.canon.party import mask

SUBMITTED_BY: Mapping[Kind, str] = {
    Kind.PAYMENT: "payment.submit",
    Kind.TRANSFER: "transfer.submit",
    Kind.BATCH_ITEM: "batch.submit",
    Kind.PAYROLL_ITEM: "payroll.submit",
    Kind.COLLECTION: "collection.submit",
}
"""The operation of the settings by which a sender submits each kind of order."""


def why_not_entitled(tx: Tx, row: PaymentRow, registry: Registry) -> str:
    """Why this payment may not be sent by the present settings, as text; "" if it may."""
    return next(_reasons(tx, row, registry), "")


def _reasons(tx: Tx, row: PaymentRow, registry: Registry) -> Iterator[str]:
    account = row.order.ours.account.clear
    route, sender = registry.route_of(account), registry.senders.get(row.sender)
    if sender is None:
        yield f"the settings have no sender {row.sender} any more"
    elif not sender.may_use(account):
        yield f"sender {row.sender} may not use account {mask(account)} any more"
    elif row.sender != TREASURY and SUBMITTED_BY[row.order.kind] not in sender.operations:
        yield f"sender {row.sender} may not use {SUBMITTED_BY[row.order.kind]} any more"
    if route is None:
        yield f"account {mask(account)} is not in the settings any more"
    elif route.lane != row.lane:
        yield f"account {mask(account)} goes by lane {route.lane} now, and this payment by {row.lane}"
    elif route.opened or route.closed:
        day = local(route.limits.hours, tx.now_ms).date()
        if (route.opened and day < route.opened) or (route.closed and day >= route.closed):
            yield f"account {mask(account)} is not open on {day.isoformat()}"
    why = tx.ports.of(FUNDING_RIGHT)(tx, row, registry)
    if why:
        yield why
