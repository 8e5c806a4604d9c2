"""The checks of an order before it is admitted: the one door for every order, an ERP's or treasury's own.

`checked` is all of it but the journal: the account's route and rights, the bank's limits, the account register. What
comes out is an `Admission`, whose `judge` compares the order with what the journal counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gateway import log
from gateway.core import policy
from gateway.core.hours import next_open_ms, stayed_since_ms
from gateway.core.policy import Judgement, Route, UsageFacts
from gateway.core.states import Reject
from gateway.journal.commit.rows import Reply
from gateway.journal.payments import approval_holds
from gateway.journal.payments.admission import Admission
from gateway.journal.payments.redelivery import Coming
from gateway.registry import Registry, Sender
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.fast_init import fast_init
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.replaced import replace
from protocols.erp import fingerprint

_log = log.get("journal.order_checks")


@fast_init
@dataclass(frozen=True, slots=True)
class OrderSource:
    """Who brings an order, when, and where its replies go. `day` is the calendar day for the sender's limits."""

    sender: Sender
    registry: Registry
    reply: Reply
    coming: Coming
    actor: str
    now_ms: int
    now: datetime
    day: date


def checked(source: OrderSource, order: AnyOrder, *, hold: str | None = None) -> Admission | Refusal:
    """The admission of an order that passed every check that needs no journal, or why it is refused. `hold` holds it
    whatever the journal counted."""
    found = route_of(source, order)
    if isinstance(found, Refusal):
        return found
    faults = policy.check(order, found, source.day) + _transfer_faults(source, order)
    return validation(faults, found) if faults else admission(source, order, found, hold=hold)


def validation(faults: tuple[Fault, ...], route: Route | None) -> Refusal:
    """The refusal of a command for faults in its fields."""
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {route.bank if route else 'any bank'}", faults)


def route_of(source: OrderSource, order: AnyOrder) -> Route | Refusal:
    """The route of the order's own account, or why the order cannot be sent from it."""
    route, sender = source.registry.route_of(order.ours.account.clear), source.sender
    if route is None or not sender.may_use(route.account):
        code = FieldCode.UNKNOWN_ACCOUNT if route is None else FieldCode.ACCOUNT_NOT_ALLOWED
        detail = "no own account of the register" if route is None else f"sender {sender.name} may not use it"
        side = "creditor" if order.kind is Kind.COLLECTION else "debtor"
        return validation((Fault(f"/{side}/account", code, detail),), None)
    if order.valid_until is not None and order.valid_until <= source.now:
        return Refusal(Code.EXPIRED, f"valid_until {order.valid_until.isoformat()} is past")
    if not route.holder_binds and not policy.names_holder(order, route):
        _log.warning("order.holder_name_differs", order=order.id, sender=sender.name, bank=route.bank,
                     action="carried on: name_check of the account is `warn`")  # fmt: skip
    return route


def _transfer_faults(source: OrderSource, order: AnyOrder) -> tuple[Fault, ...]:
    """A transfer must be between own accounts."""
    if order.kind is not Kind.TRANSFER:
        return ()
    at, other = "/creditor/account", order.theirs.account.clear
    if source.registry.route_of(other) is None:
        return (Fault(at, FieldCode.UNKNOWN_ACCOUNT, "no own account of the register"),)
    if other == order.ours.account.clear:
        return (Fault(at, FieldCode.PATTERN, "is the account that pays"),)
    return ()


def admission(
    source: OrderSource, order: AnyOrder, route: Route, faults: tuple[Fault, ...] = (), hold: str | None = None
) -> Admission:
    """The admission of an order. `faults` reject it, and `hold` holds it, whatever the journal counted."""
    sender, now_ms, allowance = source.sender, source.now_ms, source.sender.allowance
    limits = route.limits_of(order.kind)
    earliest_ms = now_ms if order.not_before is None else max(now_ms, int(order.not_before.timestamp() * 1000))
    send_after_ms = next_open_ms(limits.hours, earliest_ms)

    def judge(facts: UsageFacts) -> Judgement:
        if faults:
            return Judgement(Reject(now_ms, Code.VALIDATION), faults)
        return policy.judge(order, allowance, facts, at_ms=now_ms, send_after_ms=send_after_ms, hold=hold)

    return Admission(
        company=route.company, sender=sender.name, bank=route.bank, lane=route.lane, order=order,
        fingerprint=fingerprint.fingerprint(order), rules=source.registry.rules_of(route, order.kind),
        reply=source.reply, form=limits.reference, judge=judge, actor=source.actor,
        day=source.day.isoformat(), dup_key=fingerprint.dup_key(order) if allowance.alike_hours else None,
        alike_since_ms=now_ms - allowance.alike_hours * 3_600_000,
        payee_before_ms=stayed_since_ms(limits.hours, now_ms, allowance.payee_days, allowance.holidays,
                                allowance.worked)
        if policy.looks_at_payee(order, allowance) else None, tell_sent=sender.sent_events,
        coming=source.coming,
        approval=approval_holds.context(source.registry.approval_terms, allowance, limits.hours, now_ms),
    )  # fmt: skip


def item_admission(
    source: OrderSource, order: AnyOrder, route: Route, place: tuple[str, int], faults: tuple[Fault, ...],
    hold: str | None,
) -> Admission:  # fmt: skip
    """As `admission`, for one order of a batch. The item has its own events; the batch gets the command's reply."""
    asked = admission(source, order, route, faults, hold)
    batch, item_no = place
    return replace(asked, reply=replace(asked.reply, reply_to=None), batch=batch, item_no=item_no)
