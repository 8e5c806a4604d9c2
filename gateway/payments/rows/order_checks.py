"""The checks of an order before it is admitted. Every order passes them: an ERP's, and treasury's own.

`checked` makes all checks that need no journal: the account's route and rights, the bank's limits, the account
register. The result is an `Admission`, which the rules of admission compare with the journal's counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gateway.kernel import log
from gateway.kernel.commit.rows import Reply
from gateway.kernel.core import policy
from gateway.kernel.core.hours import next_open_ms, stayed_since_ms
from gateway.kernel.core.policy import Route
from gateway.payments.gates.order_facts import OrderTerms
from gateway.payments.rows import judged_orders
from gateway.payments.rows.admission import Admission
from gateway.payments.rows.redelivery import Redelivery
from gateway.register.registry import Registry, Sender
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.fast_init import fast_init
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.replaced import replace
from protocols.erp import fingerprint

_log = log.get("journal.order_checks")


@fast_init
@dataclass(frozen=True, slots=True)
class OrderSource:
    """The sender of an order, the time of its command, and the address for its replies. `day` is the calendar day for
    the sender's limits."""

    sender: Sender
    registry: Registry
    reply: Reply
    coming: Redelivery
    actor: str
    now_ms: int
    now: datetime
    day: date


def checked(source: OrderSource, order: AnyOrder, *, over_mandate: bool = False) -> Admission | Refusal:
    """The admission of an order that passed every check that needs no journal, or its refusal. `over_mandate`: see
    OrderTerms."""
    found = route_of(source, order)
    if isinstance(found, Refusal):
        return found
    faults = policy.check(order, found, source.day) + transfer_faults(source, order)
    return validation(faults, found) if faults else admission(source, order, found, over_mandate=over_mandate)


def validation(faults: tuple[Fault, ...], route: Route | None) -> Refusal:
    """The refusal of a command for faults in its fields."""
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {route.bank if route else 'any bank'}", faults)


def route_of(source: OrderSource, order: AnyOrder) -> Route | Refusal:
    """The route of the order's own account, or why the order cannot be sent from it now."""
    route = account_route(source, order)
    if isinstance(route, Refusal):
        return route
    late = expired(source, order)
    if late is not None:
        return late
    if not route.holder_binds and not policy.names_holder(order, route):
        _log.warning(
            "order.holder_name_differs",
            order=order.id,
            sender=source.sender.name,
            bank=route.bank,
            action="the order is carried on, because name_check of the account is `warn`",
        )
    return route


def expired(source: OrderSource, order: AnyOrder) -> Refusal | None:
    """The refusal of an order whose last moment is past."""
    if order.valid_until is None or order.valid_until > source.now:
        return None
    when = f"{order.valid_until.isoformat()} is past"
    return Refusal(Code.EXPIRED, f"valid_until {when}", (Fault("/valid_until", FieldCode.TIME, when),))


def account_route(source: OrderSource, order: AnyOrder) -> Route | Refusal:
    """The route of the order's own account, or the refusal of an account that is unknown or not the sender's."""
    route, sender = source.registry.route_of(order.ours.account.clear), source.sender
    if route is None or not sender.may_use(route.account):
        code = FieldCode.UNKNOWN_ACCOUNT if route is None else FieldCode.ACCOUNT_NOT_ALLOWED
        detail = (
            "is not in the gateway's account register"
            if route is None
            else f"sender {sender.name} may not use this account"
        )
        side = "creditor" if order.kind is Kind.COLLECTION else "debtor"
        return validation((Fault(f"/{side}/account", code, detail),), None)
    return route


def transfer_faults(source: OrderSource, order: AnyOrder) -> tuple[Fault, ...]:
    """The faults of a transfer that is not between own accounts; empty for every other order."""
    if order.kind is not Kind.TRANSFER:
        return ()
    at, other = "/creditor/account", order.theirs.account.clear
    if source.registry.route_of(other) is None:
        return (Fault(at, FieldCode.UNKNOWN_ACCOUNT, "is not in the gateway's account register"),)
    if other == order.ours.account.clear:
        return (Fault(at, FieldCode.PATTERN, "is the same account as the one that pays"),)
    return ()


def admission(
    source: OrderSource,
    order: AnyOrder,
    route: Route,
    faults: tuple[Fault, ...] = (),
    *,
    band_of_whole: bool = False,
    over_mandate: bool = False,
) -> Admission:
    """The admission of an order. `faults` reject it, whatever the journal has counted; for the other arguments see
    OrderTerms."""
    sender, now_ms, allowance = source.sender, source.now_ms, source.sender.allowance
    limits = route.limits_of(order.kind)
    earliest_ms = now_ms if order.not_before is None else max(now_ms, int(order.not_before.timestamp() * 1000))
    payee_before_ms = (
        stayed_since_ms(limits.hours, now_ms, allowance.payee_days, allowance.holidays, allowance.worked)
        if policy.looks_at_payee(order, allowance)
        else None
    )
    return Admission(
        company=route.company,
        sender=sender.name,
        bank=route.bank,
        lane=route.lane,
        order=order,
        fingerprint=fingerprint.fingerprint(order),
        rules=source.registry.rules_of(route, order.kind),
        reply=source.reply,
        form=limits.reference,
        actor=source.actor,
        terms=OrderTerms(
            now_ms,
            next_open_ms(limits.hours, earliest_ms),
            allowance,
            faults,
            band_of_whole,
            over_mandate,
            payee_before_ms,
            sender.may_use,
        ),
        day=source.day.isoformat(),
        dup_key=fingerprint.dup_key(order) if allowance.alike_hours else None,
        alike_since_ms=now_ms - allowance.alike_hours * 3_600_000,
        tell_sent=sender.sent_events,
        coming=source.coming,
        approval=judged_orders.context(source.registry.approval_terms, allowance, limits.hours, now_ms),
    )


def item_admission(
    source: OrderSource,
    order: AnyOrder,
    route: Route,
    place: tuple[str, int],
    faults: tuple[Fault, ...],
    *,
    band_of_whole: bool,
) -> Admission:
    """As `admission`, for one order of a batch. The item has its own events; the batch gets the command's reply."""
    asked = admission(source, order, route, faults, band_of_whole=band_of_whole)
    batch, item_no = place
    return replace(asked, reply=replace(asked.reply, reply_to=None), batch=batch, item_no=item_no)
