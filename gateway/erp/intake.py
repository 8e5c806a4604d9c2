"""From a delivery to a unit of the journal, and only then an acknowledgement.

Every delivery ends in exactly one unit: a payment, a cancellation, a question, an answer from the journal, or
a refusal. The message is acknowledged when that unit is durable, never before, and is never returned to the
queue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from twisted.python.failure import Failure

from gateway import log
from gateway.clock import Clock, Entropy
from gateway.core import policy
from gateway.core.hours import next_open_ms
from gateway.core.policy import Route
from gateway.core.states import Cancel as CancelEvent
from gateway.core.states import Deny
from gateway.erp import mail, repeats
from gateway.erp.mail import Letter
from gateway.erp.wire import Amqp, Delivery
from gateway.journal import apply as applying
from gateway.journal import audit, payments, questions, refusals, telling
from gateway.journal.payments import Admission, Admittance
from gateway.journal.rows import PaymentRow, QuestionRow
from gateway.journal.store import Store, StoreFailed, Tx
from gateway.meters import Meters
from gateway.registry import Registry, Sender
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.order import Payment
from protocols.canon.outcome import State
from protocols.erp import commands, fingerprint, replies, routing, signature
from protocols.erp.news import instant
from protocols.erp.words import (
    MAX_BODY_BYTES,
    MONEY_COMMANDS,
    BalanceQuery,
    Cancel,
    Command,
    CommandType,
    StatusQuery,
    Submit,
    TransactionsQuery,
)

_ANSWERED = "command.answered"
_log = log.get("erp.intake")


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that ends here, with whom to tell."""

    refusal: Refusal
    sender: Sender | None
    command: CommandType | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """What a unit did, for the counters and for those who go on with it."""

    result: str
    admitted: PaymentRow | None = None
    question: QuestionRow | None = None


class Intake:
    """See the module. `deliver` is the broker client's callback."""

    def __init__(
        self,
        amqp: Amqp,
        store: Store,
        registry: Registry,
        clock: Clock,
        entropy: Entropy,
        meters: Meters,
        zone: str,
        on_payment: Callable[[PaymentRow], None],
        on_question: Callable[[QuestionRow], None],
    ) -> None:
        self._amqp = amqp
        self._store = store
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._meters = meters
        self._zone = ZoneInfo(zone)
        self._on_payment = on_payment
        self._on_question = on_question
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """Deliveries read and not yet durable."""
        return self._under_way

    def deliver(self, delivery: Delivery) -> None:
        """Take one delivery. Never raises for what a sender wrote."""
        self._under_way += 1
        letter = mail.letter(delivery)
        type_ = "unknown"
        try:
            found = self._settle(delivery, letter)
            if isinstance(found, Refused):
                type_ = found.command.value if found.command else type_
                unit = self._refusal(delivery, letter, found)
            else:
                command_type, sender, command = found
                type_ = command_type.value
                unit = self._unit(delivery, letter, sender, command_type, command)
        except Exception as error:
            self._broken(delivery, letter, type_, error)
            return
        started_ms = self._clock.now_ms()
        writing = self._store.write(unit)
        writing.addCallbacks(
            self._durable, self._unit_failed,
            callbackArgs=(delivery, type_, started_ms), errbackArgs=(delivery, letter, type_),
        )  # fmt: skip

    # ---- what is it? ----

    def _settle(self, delivery: Delivery, letter: Letter) -> Refused | tuple[CommandType, Sender, Command]:
        user = delivery.properties.user_id
        sender = self._registry.sender_of(user)
        if delivery.undecodable:
            return Refused(Refusal(Code.MALFORMED, f"the properties cannot be read: {delivery.undecodable}"), sender)
        if len(delivery.body) > MAX_BODY_BYTES:
            title = f"the body has {len(delivery.body)} bytes, the most is {MAX_BODY_BYTES}"
            return Refused(Refusal(Code.TOO_LARGE, title), sender)
        type_ = routing.message_type(delivery.routing_key, letter.header_type, delivery.properties.type)
        if isinstance(type_, Refusal):
            return Refused(type_, sender, None, self._claimed(delivery))
        problem = self._not_entitled(delivery, letter, type_, user, sender)
        if problem is not None:
            return Refused(problem, sender, type_, self._claimed(delivery))
        assert sender is not None
        command = commands.read(type_, delivery.properties.content_type, delivery.body)
        if isinstance(command, Refusal):
            return Refused(command, sender, type_, self._claimed(delivery))
        return type_, sender, command

    def _claimed(self, delivery: Delivery) -> str | None:
        return commands.claimed_id(delivery.properties.content_type, delivery.body)

    def _not_entitled(
        self, delivery: Delivery, letter: Letter, type_: CommandType, user: str | None, sender: Sender | None
    ) -> Refusal | None:
        if type_ in MONEY_COMMANDS and user is None:
            return Refusal(Code.NO_SENDER, f"{type_.value} needs the user-id property, which the broker checks")
        if sender is None:
            return Refusal(Code.UNKNOWN_SENDER, f"broker user {user!r} belongs to no configured sender")
        if type_.value not in sender.operations:
            return Refusal(Code.NOT_ALLOWED, f"sender {sender.name} may not use {type_.value}")
        if letter.problem is not None:
            return letter.problem
        if not mail.may_reply(letter, sender, money=type_ in MONEY_COMMANDS):
            return Refusal(Code.REPLY_TO_REFUSED, f"sender {sender.name} may not have replies sent to that queue")
        if sender.hmac_key is not None and not signature.check_signature(
            sender.hmac_key, delivery.body, delivery.properties.message_id, letter.signature
        ):
            return Refusal(Code.BAD_SIGNATURE, "the signature header is missing or does not fit body and message-id")
        return None

    # ---- what becomes of it ----

    def _unit(
        self, delivery: Delivery, letter: Letter, sender: Sender, type_: CommandType, command: Command
    ) -> Callable[[Tx], _Done]:
        if isinstance(command, Submit):
            return self._submit(delivery, letter, sender, command.order)
        if isinstance(command, Cancel):
            return self._cancel(delivery, letter, sender, command)
        if isinstance(command, StatusQuery):
            return self._status(delivery, letter, sender, command)
        return self._question(delivery, letter, sender, type_, command)

    def _submit(
        self, delivery: Delivery, letter: Letter, sender: Sender, order: Payment
    ) -> Callable[[Tx], _Done]:
        now_ms = self._clock.now_ms()
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        today = now.astimezone(self._zone).date()
        route = self._registry.route_of(order.debtor.account.clear)
        refusal = self._unfit(sender, order, route, now, today)
        if refusal is not None or route is None:
            assert refusal is not None
            return self._refused_order(delivery, letter, sender, order, refusal)
        admission = self._admission(delivery, letter, sender, order, route, now_ms, today.isoformat())

        def unit(tx: Tx) -> _Done:
            admitted = payments.admit(tx, admission, self._entropy)
            if admitted.kind is Admittance.CONFLICT:
                return self._conflict(delivery, letter, sender, order, admitted.row)(tx)
            new = admitted.kind is Admittance.NEW
            return _Done(admitted.kind.value, admitted=admitted.row if new else None)

        return unit

    def _unfit(self, sender: Sender, order: Payment, route: Route | None, now: datetime, today: date) -> Refusal | None:
        """Why this order cannot be carried, as far as that needs no journal."""
        if route is None or not sender.may_use(route.account):
            code = FieldCode.UNKNOWN_ACCOUNT if route is None else FieldCode.ACCOUNT_NOT_ALLOWED
            detail = "no own account of the register" if route is None else f"sender {sender.name} may not use it"
            return _validation((Fault("/debtor/account", code, detail),), None)
        if order.valid_until is not None and order.valid_until <= now:
            return Refusal(Code.EXPIRED, f"valid_until {order.valid_until.isoformat()} is past")
        faults = policy.check(order, route, today)
        return _validation(faults, route) if faults else None

    def _refused_order(
        self, delivery: Delivery, letter: Letter, sender: Sender, order: Payment, refusal: Refusal
    ) -> Callable[[Tx], _Done]:
        """Refuse an order, unless its id is a payment's: what was accepted once is never called rejected later."""

        def unit(tx: Tx) -> _Done:
            row = payments.find(tx.conn, sender.name, order.id)
            if row is None:
                refused = Refused(refusal, sender, CommandType.PAYMENT_SUBMIT, order.id)
                return self._refusal(delivery, letter, refused)(tx)
            if row.fingerprint != fingerprint.fingerprint(order):
                return self._conflict(delivery, letter, sender, order, row)(tx)
            if delivery.redelivered and telling.answered(tx, row, letter.reply):
                return _Done("repeated")
            telling.replay(tx, row, letter.reply)
            audit.append(tx, f"user:{letter.user}", "order.repeated", row.payment, {"state": row.life.state.value})
            return _Done(Admittance.REPLAYED.value)

        return unit

    def _conflict(
        self, delivery: Delivery, letter: Letter, sender: Sender, order: Payment, row: PaymentRow
    ) -> Callable[[Tx], _Done]:
        title = (
            f"id {order.id!r} was used on {instant(row.accepted_ms)} with other content "
            f"(fingerprint {row.fingerprint[:15]}…, now {fingerprint.fingerprint(order)[:15]}…); nothing happened"
        )
        refused = Refused(Refusal(Code.ID_CONFLICT, title), sender, CommandType.PAYMENT_SUBMIT, order.id)
        return self._refusal(delivery, letter, refused)

    def _admission(
        self, delivery: Delivery, letter: Letter, sender: Sender, order: Payment, route: Route, now_ms: int, day: str
    ) -> Admission:
        earliest_ms = now_ms if order.not_before is None else max(now_ms, int(order.not_before.timestamp() * 1000))
        send_after_ms = next_open_ms(route.limits.hours, earliest_ms)
        allowance = sender.allowance
        return Admission(
            company=route.company, sender=sender.name, bank=route.bank, lane=route.lane, order=order,
            fingerprint=fingerprint.fingerprint(order), rules=self._registry.rules_of(route, order.kind),
            reply=letter.reply, form=route.limits.reference,
            judge=lambda facts: policy.judge(order, allowance, facts, at_ms=now_ms, send_after_ms=send_after_ms),
            actor=f"user:{letter.user}", day=day, dup_key=fingerprint.dup_key(order) if allowance.alike_hours else None,
            alike_since_ms=now_ms - allowance.alike_hours * 3_600_000, tell_sent=sender.sent_events,
            redelivered=delivery.redelivered,
        )  # fmt: skip

    def _cancel(
        self, delivery: Delivery, letter: Letter, sender: Sender, command: Cancel
    ) -> Callable[[Tx], _Done]:
        key = delivery_key(delivery)

        def unit(tx: Tx) -> _Done:
            if delivery.redelivered and repeats.noted(tx, key, _ANSWERED):
                return _Done("repeated")
            row = payments.find(tx.conn, sender.name, command.id)
            if row is None:
                refusal = Refusal(Code.UNKNOWN_PAYMENT, f"sender {sender.name} has no payment {command.id!r}")
                refused = Refused(refusal, sender, CommandType.PAYMENT_CANCEL, command.id)
                return self._refusal(delivery, letter, refused)(tx)
            if row.life.state is State.CANCELLED:
                self._tell_state(tx, letter, row, key)
                return _Done("replayed")
            applied = applying.apply(tx, row.payment, CancelEvent(tx.now_ms), epoch=None, actor=f"user:{letter.user}")
            assert applied.step is not None
            assert applied.row_after is not None
            if any(isinstance(effect, Deny) for effect in applied.step.effects):
                title = f"the payment is {row.life.state.value}; it can no longer be withdrawn"
                refusal = Refusal(Code.TOO_LATE, title)
                refused = Refused(refusal, sender, CommandType.PAYMENT_CANCEL, command.id)
                return self._refusal(delivery, letter, refused)(tx)
            self._tell_state(tx, letter, applied.row_after, key)
            return _Done("cancelled")

        return unit

    def _status(
        self, delivery: Delivery, letter: Letter, sender: Sender, command: StatusQuery
    ) -> Callable[[Tx], _Done]:
        key = delivery_key(delivery)

        def unit(tx: Tx) -> _Done:
            if delivery.redelivered and repeats.noted(tx, key, _ANSWERED):
                return _Done("repeated")
            if command.id is not None:
                row = payments.find(tx.conn, sender.name, command.id)
            else:
                assert command.payment is not None
                row = payments.fetch(tx.conn, command.payment)
            if row is None or row.sender != sender.name:
                refusal = Refusal(Code.UNKNOWN_PAYMENT, f"sender {sender.name} has no such payment")
                refused = Refused(refusal, sender, CommandType.STATUS_QUERY, command.id)
                return self._refusal(delivery, letter, refused)(tx)
            self._tell_state(tx, letter, row, key)
            return _Done("answered")

        return unit

    def _tell_state(self, tx: Tx, letter: Letter, row: PaymentRow, key: str) -> None:
        said = replies.status_result(telling.news_of(row, replies.STATUS_RESULT, row.life.seq, row.changed_ms))
        tx.mail(mail.answer_row(tx, letter.reply, replies.STATUS_RESULT, said, row.sender, row.bank, self._entropy))
        audit.append(tx, f"user:{letter.user}", _ANSWERED, key, {"payment": row.payment, "state": row.life.state.value})

    def _question(
        self, delivery: Delivery, letter: Letter, sender: Sender, type_: CommandType,
        command: BalanceQuery | TransactionsQuery,
    ) -> Callable[[Tx], _Done]:  # fmt: skip
        refusal = self._unanswerable(sender, command)
        if refusal is not None:
            return self._refusal(delivery, letter, Refused(refusal, sender, type_))
        now_ms = self._clock.now_ms()
        asked_ms = now_ms if delivery.properties.timestamp is None else delivery.properties.timestamp * 1000
        key = delivery_key(delivery)

        def unit(tx: Tx) -> _Done:
            row = QuestionRow(
                question=key, sender=sender.name, operation=type_.value, body=delivery.body, reply=letter.reply,
                received_ms=now_ms, expires_ms=min(asked_ms, now_ms) + command.max_wait_s * 1000,
            )  # fmt: skip
            if delivery.redelivered and repeats.noted(tx, key, "question.answered"):
                return _Done("repeated")
            if not questions.ask(tx, row):
                if delivery.redelivered:
                    return _Done("repeated")
                # The same words asked twice while the first still waits: two questions, two answers.
                row = replace(row, question=f"{key}.{self._entropy.ulid(tx.now_ms)}")
                questions.ask(tx, row)
            return _Done("asked", question=row)

        return unit

    def _unanswerable(self, sender: Sender, command: BalanceQuery | TransactionsQuery) -> Refusal | None:
        accounts = command.accounts if isinstance(command, BalanceQuery) else (command.account,)
        faults = []
        for n, account in enumerate(accounts):
            at = f"/accounts/{n}" if isinstance(command, BalanceQuery) else "/account"
            route = self._registry.route_of(account.clear)
            if route is None:
                faults.append(Fault(at, FieldCode.UNKNOWN_ACCOUNT, "no own account of the register"))
            elif not sender.may_use(route.account):
                faults.append(Fault(at, FieldCode.ACCOUNT_NOT_ALLOWED, f"sender {sender.name} may not use it"))
        return _validation(tuple(faults), None) if faults else None

    # ---- refusals ----

    def _refusal(self, delivery: Delivery, letter: Letter, refused: Refused) -> Callable[[Tx], _Done]:
        key = delivery_key(delivery)
        sender = refused.sender.name if refused.sender else None

        def unit(tx: Tx) -> _Done:
            no = refused.refusal
            said = replies.rejection(refused.command, refused.id, no)
            event = replies.rejection_name(refused.command)
            reply, parked = mail.refusal(tx, letter, delivery, no, event, said, refused.sender, self._entropy)
            fresh = refusals.refuse(tx, key, sender, no.code, delivery.body, reply, parked)
            if not fresh and not delivery.redelivered:
                again = f"{key}.{self._entropy.ulid(tx.now_ms)}"
                refusals.refuse(tx, again, sender, no.code, delivery.body, reply, parked)
            return _Done(no.code.value)

        return unit

    def _broken(self, delivery: Delivery, letter: Letter, type_: str, error: Exception) -> None:
        """A defect of ours: the message is parked whole, the sender is told, and the queue goes on."""
        _log.error("command.defect", type=type_, queue=delivery.queue, error=repr(error), exc_info=error,
                   message_id=delivery.properties.message_id, action="parked in bankgw.parked")  # fmt: skip
        refusal = Refusal(Code.INTERNAL, "a fault of the gateway; the message is parked and an operator is told")
        sender = self._registry.sender_of(delivery.properties.user_id)
        command = None if type_ == "unknown" else CommandType(type_)
        refused = Refused(refusal, sender, command, self._claimed(delivery) if command else None)
        writing = self._store.write(self._refusal(delivery, letter, refused))
        writing.addCallbacks(self._durable, self._lost, callbackArgs=(delivery, type_, self._clock.now_ms()))

    def _unit_failed(self, failure: Failure, delivery: Delivery, letter: Letter, type_: str) -> None:
        error = failure.value
        if isinstance(error, StoreFailed) or not isinstance(error, Exception):
            self._lost(failure)
            return
        self._broken(delivery, letter, type_, error)

    def _lost(self, failure: Failure) -> None:
        """Not durable: no acknowledgement, so the broker delivers it again, here or elsewhere."""
        self._under_way -= 1
        _log.error("command.not_durable", error=failure.getTraceback(detail="brief"), action="left unacknowledged")

    def _durable(self, done: _Done, delivery: Delivery, type_: str, started_ms: int) -> None:
        self._under_way -= 1
        self._amqp.ack(delivery)
        self._meters.stage.labels("journal").observe(max(self._clock.now_ms() - started_ms, 0) / 1000)
        # An order over its sender's limit is a payment too, a rejected one, and a refusal to its sender.
        said_no = done.admitted.refusal if done.admitted is not None else None
        code = done.result if said_no is None else said_no.code.value
        self._meters.commands.labels(type_, code).inc()
        if code in _REFUSALS:
            self._meters.refusals.labels(code).inc()
            _log.info("command.refused", type=type_, code=code, message_id=delivery.properties.message_id,
                      user=delivery.properties.user_id)  # fmt: skip
        if done.admitted is not None:
            self._meters.payments.labels(done.admitted.bank, done.admitted.life.state.value).inc()
            self._on_payment(done.admitted)
        if done.question is not None:
            self._on_question(done.question)


_REFUSALS = frozenset(code.value for code in Code)


def delivery_key(delivery: Delivery) -> str:
    """The same for every delivery of one message, as far as its properties can tell messages apart."""
    said = delivery.properties
    parts = (said.user_id, said.message_id, said.correlation_id, said.reply_to, delivery.routing_key)
    digest = hashlib.sha256("\x1f".join(part or "" for part in parts).encode() + b"\x1f" + delivery.body)
    return digest.hexdigest()


def _validation(faults: tuple[Fault, ...], route: Route | None) -> Refusal:
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {route.bank if route else 'any bank'}", faults)
