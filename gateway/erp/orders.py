"""Intake of single orders: the unit that makes an order a payment, exactly once, or refuses it with all its faults."""

from __future__ import annotations

from dataclasses import replace

from gateway import log
from gateway.core import policy
from gateway.core.hours import next_open_ms, stayed_since_ms
from gateway.core.policy import Judgement, Route, UsageFacts
from gateway.core.states import Reject
from gateway.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand, validation
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import admission as payments_admission
from gateway.journal.payments import events, lookup
from gateway.journal.payments.admission import Admission, Admittance
from gateway.journal.payments.approval_holds import ApprovalContext
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.order import AnyOrder, Kind
from protocols.erp import fingerprint
from protocols.erp.news import instant

_log = log.get("erp.orders")


def submit(received: ReceivedCommand, order: AnyOrder) -> CommandUnit:
    """The unit of one order."""
    found = route_of(received, order)
    if isinstance(found, Refusal):
        return _refused(received, order, found)
    faults = policy.check(order, found, received.day) + _transfer_faults(received, order)
    if faults:
        return _refused(received, order, validation(faults, found))
    asked = admission(received, order, found)

    def unit(tx: Tx) -> CommandResult:
        if received.was_refused(tx) and lookup.find(tx.read, received.sender.name, order.id) is None:
            return received.refuse_again(tx, order.id)
        admitted = payments_admission.admit(tx, asked, received.entropy)
        if admitted.kind is Admittance.CONFLICT:
            return _conflict(received, order, admitted.row)(tx)
        new = admitted.kind is Admittance.NEW
        return CommandResult(admitted.kind.value, (admitted.row,) if new else ())

    return unit


def route_of(received: ReceivedCommand, order: AnyOrder) -> Route | Refusal:
    """The route of the order's own account, or why the order cannot be sent from it."""
    route, sender = received.registry.route_of(order.ours.account.clear), received.sender
    if route is None or not sender.may_use(route.account):
        code = FieldCode.UNKNOWN_ACCOUNT if route is None else FieldCode.ACCOUNT_NOT_ALLOWED
        detail = "no own account of the register" if route is None else f"sender {sender.name} may not use it"
        side = "creditor" if order.kind is Kind.COLLECTION else "debtor"
        return validation((Fault(f"/{side}/account", code, detail),), None)
    if order.valid_until is not None and order.valid_until <= received.now:
        return Refusal(Code.EXPIRED, f"valid_until {order.valid_until.isoformat()} is past")
    if not route.holder_binds and not policy.names_holder(order, route):
        _log.warning("order.holder_name_differs", order=order.id, sender=sender.name, bank=route.bank,
                     action="carried on: name_check of the account is `warn`")  # fmt: skip
    return route


def _transfer_faults(received: ReceivedCommand, order: AnyOrder) -> tuple[Fault, ...]:
    """A transfer must be between own accounts."""
    if order.kind is not Kind.TRANSFER:
        return ()
    at, other = "/creditor/account", order.theirs.account.clear
    if received.registry.route_of(other) is None:
        return (Fault(at, FieldCode.UNKNOWN_ACCOUNT, "no own account of the register"),)
    if other == order.ours.account.clear:
        return (Fault(at, FieldCode.PATTERN, "is the account that pays"),)
    return ()


def admission(
    received: ReceivedCommand, order: AnyOrder, route: Route, faults: tuple[Fault, ...] = (), hold: str | None = None
) -> Admission:
    """The admission of an order. `faults` reject it, and `hold` holds it, whatever the journal counted."""
    sender, now_ms, allowance = received.sender, received.now_ms, received.sender.allowance
    limits = route.limits_of(order.kind)
    earliest_ms = now_ms if order.not_before is None else max(now_ms, int(order.not_before.timestamp() * 1000))
    send_after_ms = next_open_ms(limits.hours, earliest_ms)

    def judge(facts: UsageFacts) -> Judgement:
        if faults:
            return Judgement(Reject(now_ms, Code.VALIDATION), faults)
        return policy.judge(order, allowance, facts, at_ms=now_ms, send_after_ms=send_after_ms, hold=hold)

    return Admission(
        company=route.company, sender=sender.name, bank=route.bank, lane=route.lane, order=order,
        fingerprint=fingerprint.fingerprint(order), rules=received.registry.rules_of(route, order.kind),
        reply=received.envelope.reply, form=limits.reference, judge=judge, actor=received.actor,
        day=received.day.isoformat(), dup_key=fingerprint.dup_key(order) if allowance.alike_hours else None,
        alike_since_ms=now_ms - allowance.alike_hours * 3_600_000,
        payee_before_ms=stayed_since_ms(limits.hours, now_ms, allowance.payee_days, allowance.holidays)
        if policy.looks_at_payee(order, allowance) else None, tell_sent=sender.sent_events,
        coming=received.envelope.coming, approval=ApprovalContext(
            received.registry.approval_terms,
            lambda: stayed_since_ms(limits.hours, now_ms, allowance.payee_days, allowance.holidays),
            lambda minor, facts: policy.payee_covers(minor, allowance, facts),
        ),
    )  # fmt: skip


def item_admission(
    received: ReceivedCommand, order: AnyOrder, route: Route, place: tuple[str, int], faults: tuple[Fault, ...],
    hold: str | None,
) -> Admission:  # fmt: skip
    """As `admission`, for one order of a batch. The item has its own events; the batch gets the command's reply."""
    asked = admission(received, order, route, faults, hold)
    batch, item_no = place
    return replace(asked, reply=replace(asked.reply, reply_to=None), batch=batch, item_no=item_no)


def _refused(received: ReceivedCommand, order: AnyOrder, refusal: Refusal) -> CommandUnit:
    """Refuse an order, unless its id belongs to a payment: an accepted order is never reported as rejected later."""

    def unit(tx: Tx) -> CommandResult:
        row = lookup.find(tx.fresh, received.sender.name, order.id)
        if row is None:
            return received.refuse(refusal, order.id)(tx)
        if row.fingerprint != fingerprint.fingerprint(order):
            return _conflict(received, order, row)(tx)
        if events.answered(tx, row, received.envelope.coming, received.envelope.reply):
            return REPEATED
        events.replay(tx, row, received.envelope.reply)
        audit.append(tx, received.actor, "order.repeated", row.payment, {"state": row.life.state.value})
        return CommandResult(Admittance.REPLAYED.value)

    return unit


def _conflict(received: ReceivedCommand, order: AnyOrder, row: PaymentRow) -> CommandUnit:
    title = (
        f"id {order.id!r} was used on {instant(row.accepted_ms)} with other content "
        f"(fingerprint {row.fingerprint[:15]}…, now {fingerprint.fingerprint(order)[:15]}…); nothing happened"
    )
    return received.refuse(Refusal(Code.ID_CONFLICT, title), order.id)
