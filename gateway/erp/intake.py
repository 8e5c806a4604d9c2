"""Command intake: each delivery becomes one journal unit, and is acknowledged only when that unit is durable.

The unit is a payment, a cancellation, a part of a book, a claim, a question, an answer from the journal, or a refusal.
A message that is too large is rejected after its refusal is durable, so that the broker parks it whole without the
journal. A delivery whose refusal cannot be stored either goes back to the queue, whose delivery limit finally parks it,
so that it does not block others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.approvals import erp as approvals
from gateway.erp.amqp_types import Amqp
from gateway.erp.sender_turns import SenderTurns
from gateway.kernel import log
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.commit.rows import PaymentRow, QuestionRow
from gateway.kernel.commit.store import Store, StoreFailed
from gateway.kernel.deliveries import Delivery
from gateway.kernel.meters import Meters
from gateway.kernel.sql.databases import is_locked
from gateway.payments.erp import batches, files, orders, status_and_cancel
from gateway.payments.erp import validation as validating
from gateway.payments.erp.command import CommandResult, CommandUnit, ReceivedCommand, refusing
from gateway.payments.erp.envelope import Envelope, envelope_of, is_dead_lettered, may_reply
from gateway.reconciliation.erp import treasury_commands
from gateway.reconciliation.erp.treasury_port import TreasuryPort
from gateway.register.registry import Registry, Sender
from gateway.statements.erp import ask_later
from protocols.canon.errors import Code, Refusal
from protocols.erp import commands, routing, signature
from protocols.erp.treasury_words import TreasuryCommand, TreasuryQuestion
from protocols.erp.words import (
    BATCHES,
    MAX_BODY_BYTES,
    MONEY_COMMANDS,
    SINGLE_ORDERS,
    TREASURY_COMMANDS,
    CancelOrder,
    Command,
    CommandType,
    DecideOrder,
    StatusQuery,
    SubmitBatch,
    SubmitFile,
    SubmitOrder,
)

_log = log.get("erp.intake")
_failures = Logger()


@dataclass(frozen=True, slots=True)
class _Refused:
    """A refused command, and the sender to answer."""

    refusal: Refusal
    sender: Sender | None
    command: CommandType | None = None
    id: str | None = None


class Intake:
    """Makes one journal unit of each delivered command and acknowledges the delivery when the unit is durable.
    `deliver` is the broker client's callback."""

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
        treasury: TreasuryPort,
        prefetch: int = 200,
    ) -> None:
        self._amqp = amqp
        self._store = store
        self.registry = registry
        self._clock = clock
        self._entropy = entropy
        self._meters = meters
        self._zone = ZoneInfo(zone)
        self._on_payment = on_payment
        self._on_question = on_question
        self._treasury = treasury
        self._under_way = 0
        self._turns = SenderTurns(prefetch, self._start, amqp.widen, amqp.narrow)

    @property
    def under_way(self) -> int:
        """The number of deliveries that were read and are not durable yet."""
        return self._under_way

    def deliver(self, delivery: Delivery) -> None:
        """Accept one delivery; it is processed when its sender's turn comes."""
        self._under_way += 1
        self._turns.put(delivery)

    def broker_lost(self) -> None:
        """Drop the deliveries that are not processed yet, because the connection is lost; the broker delivers them
        again."""
        self._under_way -= self._turns.forget()

    def _start(self, delivery: Delivery) -> None:
        try:
            self._begin(delivery)
        except CancelledError:
            raise
        except Exception:
            _failures.failure(
                "message {id!r} from {queue} can be neither taken nor refused; it goes back to the queue",
                id=delivery.properties.message_id,
                queue=delivery.queue,
            )
            self._amqp.release(delivery)
            self._ended(delivery)

    def _ended(self, delivery: Delivery) -> None:
        self._under_way -= 1
        self._turns.done(delivery)

    def _begin(self, delivery: Delivery) -> None:
        envelope = envelope_of(delivery, self._clock.now_ms() - round(delivery.waited_s * 1000))
        type_ = "unknown"
        try:
            found = self._settle(delivery, envelope)
            if isinstance(found, _Refused):
                type_, writer = found.command.value if found.command else type_, found.sender
                unit = self._refusal(delivery, envelope, found)
            else:
                command_type, writer, command = found
                type_ = str(command_type)
                unit = self._unit(delivery, envelope, writer, command_type, command)
        except Exception as error:
            self._broken(delivery, envelope, type_, error)
            return
        started_ms = self._clock.now_ms()
        # With a sender, the unit is limited per commit: payments in progress go before new orders.
        writing = self._store.write(unit, sender=writer.name if writer else envelope.user)
        writing.addCallbacks(
            self._durable,
            self._unit_failed,
            callbackArgs=(delivery, type_, started_ms),
            errbackArgs=(delivery, envelope, type_),
        )

    # ---- reading and checking ----

    def _settle(
        self, delivery: Delivery, envelope: Envelope
    ) -> _Refused | tuple[CommandType, Sender, Command | Refusal]:
        user = delivery.properties.user_id
        sender = self.registry.sender_of(user)
        if delivery.cut is not None:
            title = f"the body has {delivery.cut.size} bytes, the most is {MAX_BODY_BYTES}"
            return _Refused(Refusal(Code.TOO_LARGE, title), sender)
        if delivery.undecodable:
            return _Refused(Refusal(Code.MALFORMED, f"the properties cannot be read: {delivery.undecodable}"), sender)
        type_ = routing.message_type(delivery.routing_key, envelope.header_type, delivery.properties.type)
        if isinstance(type_, Refusal):
            return _Refused(type_, sender, None, self._claimed(delivery))
        problem = self._not_entitled(delivery, envelope, type_, user, sender)
        if problem is not None:
            return _Refused(problem, sender, type_, self._claimed(delivery, type_))
        assert sender is not None
        command = commands.parse_command(type_, delivery.properties.content_type, delivery.body, self._zone)
        if isinstance(command, Refusal) and (type_ not in _ORDERS or command.code is not Code.SCHEMA):
            if type_ is _VALIDATE:
                return type_, sender, command
            return _Refused(command, sender, type_, self._claimed(delivery, type_))
        return type_, sender, command

    def _claimed(self, delivery: Delivery, type_: CommandType = CommandType.PAYMENT_SUBMIT) -> str | None:
        return commands.claimed_id(delivery.properties.content_type, delivery.body, type_)

    def _not_entitled(
        self, delivery: Delivery, envelope: Envelope, type_: CommandType, user: str | None, sender: Sender | None
    ) -> Refusal | None:
        if user is None and type_ in MONEY_COMMANDS | TREASURY_COMMANDS:
            return Refusal(Code.NO_SENDER, f"{type_.value} needs the user-id property, which the broker checks")
        if sender is None and user is None:
            title = "the question has no user-id, and no sender takes anonymous questions; set user-id to your login"
            return Refusal(Code.UNKNOWN_SENDER, title)
        if sender is None:
            return Refusal(Code.UNKNOWN_SENDER, f"broker user {user!r} belongs to no configured sender")
        may = validating.may_validate(sender) if type_ is _VALIDATE else str(type_) in sender.operations
        if not may:
            return Refusal(Code.NOT_ALLOWED, f"sender {sender.name} may not use {type_.value}")
        if envelope.problem is not None:
            return envelope.problem
        if not may_reply(envelope, sender, money=type_ in MONEY_COMMANDS):
            return Refusal(Code.REPLY_TO_REFUSED, f"sender {sender.name} may not have replies sent to that queue")
        if sender.hmac_key is not None and not signature.check_signature(
            sender.hmac_key, delivery.body, delivery.properties.message_id, envelope.signature
        ):
            return Refusal(Code.BAD_SIGNATURE, "the signature header is missing or does not fit body and message-id")
        return None

    # ---- units ----

    def _unit(
        self, delivery: Delivery, envelope: Envelope, sender: Sender, type_: CommandType, command: Command | Refusal
    ) -> CommandUnit:
        now_ms = self._clock.now_ms()
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        received = ReceivedCommand(
            delivery,
            envelope,
            sender,
            type_,
            self.registry,
            self._entropy,
            now_ms,
            now,
            now.astimezone(self._zone).date(),
        )
        if type_ is _VALIDATE and isinstance(command, SubmitOrder | Refusal):
            return validating.validate(received, command, self._claimed(delivery), self._zone)
        if isinstance(command, Refusal):
            return orders.refuse_form(received, command, self._claimed(delivery, type_), self._zone)
        if isinstance(command, SubmitOrder):
            return orders.submit(received, command.order)
        if isinstance(command, SubmitBatch):
            return batches.submit(received, command)
        if isinstance(command, SubmitFile):
            return files.submit(received, command)
        if isinstance(command, CancelOrder):
            return status_and_cancel.cancel(received, command)
        if isinstance(command, DecideOrder):
            return approvals.decide(received, command)
        if isinstance(command, StatusQuery):
            return status_and_cancel.status(received, command)
        if isinstance(command, TreasuryCommand):
            return treasury_commands.change(received, command, self._treasury)
        if isinstance(command, TreasuryQuestion):
            return treasury_commands.ask(received, command)
        return ask_later.ask(received, command)

    # ---- refusals and defects ----

    def _refusal(self, delivery: Delivery, envelope: Envelope, refused: _Refused) -> CommandUnit:
        return refusing(
            delivery,
            envelope,
            refused.command,
            refused.sender,
            refused.refusal,
            refused.id,
            owner=self._owner(envelope, refused),
        )

    def _owner(self, envelope: Envelope, refused: _Refused) -> str | None:
        """The sender that owns the reply-to queue of an unknown user's command, because that sender may receive the
        refusal."""
        queue = envelope.reply.reply_to
        if refused.refusal.code not in _NOBODY or queue is None:
            return None
        owner = self.registry.owner_of_queue(queue)
        return owner.name if owner else None

    def _broken(self, delivery: Delivery, envelope: Envelope, type_: str, error: Exception) -> None:
        """Handle a defect of the gateway: park the whole message, inform the sender, and continue with the queue."""
        _log.error(
            "command.defect",
            type=type_,
            queue=delivery.queue,
            error=repr(error),
            exc_info=error,
            message_id=delivery.properties.message_id,
            action="not carried out; kept in queue bankgw.parked, and the sender is told; report this error",
        )
        refusal = Refusal(
            Code.INTERNAL,
            "a fault of the gateway; nothing was carried out, the message is parked, and an operator is told",
        )
        sender = self.registry.sender_of(delivery.properties.user_id)
        command = None if type_ == "unknown" else CommandType(type_)
        refused = _Refused(refusal, sender, command, self._claimed(delivery, command) if command else None)
        writing = self._store.write(self._refusal(delivery, envelope, refused))
        writing.addCallbacks(
            self._durable, self._lost, callbackArgs=(delivery, type_, self._clock.now_ms()), errbackArgs=(delivery,)
        )

    def _unit_failed(self, failure: Failure, delivery: Delivery, envelope: Envelope, type_: str) -> None:
        error = failure.value
        # A lock error gets here only while the journal closes; otherwise the unit would be retried.
        if isinstance(error, StoreFailed) or is_locked(error) or not isinstance(error, Exception):
            self._lost(failure, delivery)
            return
        try:
            self._broken(delivery, envelope, type_, error)
        except Exception:
            self._lost(Failure(), delivery)

    def _lost(self, failure: Failure, delivery: Delivery) -> None:
        """Handle a unit that is not durable: the delivery is not acknowledged, so the broker delivers it again, to any
        node."""
        ends = isinstance(failure.value, StoreFailed)
        _log.error(
            "command.not_durable",
            error=failure.getTraceback(detail="brief"),
            queue=delivery.queue,
            action="the message stays in the broker, which delivers it again; it is carried out once",
        )
        if not ends:
            self._amqp.release(delivery)
        self._ended(delivery)

    def _durable(self, done: CommandResult, delivery: Delivery, type_: str, started_ms: int) -> None:
        if is_dead_lettered(delivery):
            self._amqp.reject(delivery)
        else:
            self._amqp.ack(delivery)
        self._ended(delivery)
        self._meters.stage.labels("journal").observe(max(self._clock.now_ms() - started_ms, 0) / 1000)
        # An order over its sender's limit becomes a rejected payment, and counts as a refusal.
        single = type_ in _SINGLE and len(done.admitted) == 1
        said_no = done.admitted[0].refusal if single else None
        code = done.result if said_no is None else said_no.code.value
        self._meters.commands.labels(type_, code).inc()
        if code in _REFUSALS:
            self._meters.refusals.labels(code).inc()
            _log.info(
                "command.refused",
                type=type_,
                code=code,
                message_id=delivery.properties.message_id,
                user=delivery.properties.user_id,
            )
        if code in _NOBODY:
            self._meters.alarms.labels("unknown_writer").inc()
            _log.warning(
                "command.unknown_writer",
                type=type_,
                code=code,
                message_id=delivery.properties.message_id,
                user=delivery.properties.user_id,
                action="not carried out; kept in queue bankgw.parked; find out who writes as this broker user",
            )
        # A batch has up to thousands of items.
        with log.together():
            for row in done.admitted:
                self._meters.payments.labels(row.bank, str(row.life.state)).inc()
                self._on_payment(row)
        if done.question is not None:
            self._on_question(done.question)


_VALIDATE = CommandType.PAYMENT_VALIDATE
_ORDERS = SINGLE_ORDERS | BATCHES | {_VALIDATE}
_SINGLE = frozenset(one.value for one in SINGLE_ORDERS)
_NOBODY = frozenset({Code.NO_SENDER.value, Code.UNKNOWN_SENDER.value})
_REFUSALS = frozenset(code.value for code in Code)
