"""The client of `bankgw send`: publishes one command as an ERP does, and waits for its reply and events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from twisted.internet.defer import Deferred

from gateway.bank.lane_tls import tls_settings
from gateway.bank.tls import client_context
from gateway.cli import broker_client
from gateway.cli.broker_client import BrokerSilent
from gateway.cli.erp_profile import ErpProfile
from gateway.erp.amqp_types import Declarer, OutgoingMessage, PublishStatus
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.topology import COMMANDS
from gateway.kernel.clock import Entropy, SystemClock, uuid7
from gateway.kernel.deliveries import Delivery, Properties
from protocols.canon.outcome import STATE_TABLE, State
from protocols.erp import signature
from protocols.erp.batch_news import BATCH_ACCEPTED
from protocols.erp.routing import EVENTS
from protocols.erp.words import BATCHES, DECISIONS, MONEY_COMMANDS, CommandType

_QUEUE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message about our command. `at` is its time of arrival, `said` its parsed body if it is JSON."""

    at: datetime
    event: str
    said: Mapping[str, Any]
    body: bytes

    @property
    def name(self) -> str:
        """The event's or reply's name."""
        return str(self.said.get("event", self.event))

    @property
    def of_item(self) -> bool:
        """Whether the message is about a payment, which may be one of a batch."""
        return self.name.startswith("payment.")

    @property
    def is_repeat(self) -> bool:
        """Whether the message answers a command whose order was accepted before; `said` is then the order's present
        state.
        """
        return self.said.get("replayed") in (True, "true")

    @property
    def about(self) -> frozenset[str]:
        """The keys of the payment and the batch in the message."""
        return frozenset(f"{name} {self.said[name]}" for name in ("payment", "batch") if self.said.get(name))

    def ends(self, type_: CommandType) -> bool:
        """Whether no further message about this command has to be awaited."""
        if type_ in BATCHES:
            # Each item has its own messages, also final ones; the batch ends with its own message.
            return not self.of_item and (self.name != BATCH_ACCEPTED or bool(self.said.get("final")))
        # A command that intake refused never became a payment, so its reply is the only message.
        over = bool(self.said.get("final")) or "error" in self.said or "would" in self.said
        return over or not self.of_item


class Unroutable(Exception):
    """The broker has no queue for the command; the text says what to do."""


def guess_type(body: bytes) -> CommandType | None:
    """The command type of a body, by fields that only one command has; None if it could be another.

    A batch and a payroll may differ in no field, and money must not depend on a guess between them.
    """
    if body.lstrip()[:1] == b"<":
        return _named(_root_of(body))
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    if "items" in said:
        return _batch_type(said)
    if "creditor" in said or "amount" in said:
        return CommandType.TRANSFER_SUBMIT if "direction" in said else CommandType.PAYMENT_SUBMIT
    return _question_type(said)


def _batch_type(said: Mapping[str, Any]) -> CommandType | None:
    items = said["items"] if isinstance(said["items"], list) else []
    parties = [one.get("creditor") for one in items if isinstance(one, dict)]
    fields = {name for party in parties if isinstance(party, dict) for name in party}
    if "creditor" in said:
        return CommandType.COLLECTION_SUBMIT
    payroll = "document" in fields or not said.keys().isdisjoint(("agreement", "purpose_code"))
    if payroll == ("kind" in fields):
        return None
    return CommandType.PAYROLL_SUBMIT if payroll else CommandType.BATCH_SUBMIT


_TREASURY = {"parts": CommandType.LEDGER_SUBMIT, "line": CommandType.CREDIT_CLAIM, "report": CommandType.REPORT_REQUEST}
"""The treasury's commands, each by a field that it must have and no other command has."""


def _question_type(said: Mapping[str, Any]) -> CommandType | None:
    if found := next((kind for name, kind in _TREASURY.items() if name in said), None):
        return found
    if "accounts" in said:
        return CommandType.BALANCE_QUERY
    if "bank_line_id" in said or (not said.keys().isdisjoint(("id", "payment")) and "page" in said):
        return CommandType.RECEIPT_REQUEST
    if "account" in said:
        without = CommandType.TRANSACTIONS_QUERY if "from" in said else CommandType.RECONCILIATION_QUERY
        return CommandType.STATEMENT_REQUEST if "date" in said else without
    if "digest" in said:
        return CommandType.PAYMENT_REJECT if "reason" in said else CommandType.PAYMENT_APPROVE
    # The withdrawals of an order and of a book look alike, and only one of them stops money.
    return None


def _root_of(body: bytes) -> str:
    # Only the outermost name of our own file is read here. The gateway's hardened parser reads the file that is sent.
    found = re.search(rb"<(?:[\w-]+:)?([\w.-]+)", body)
    return found.group(1).decode() if found else ""


def _named(name: str) -> CommandType | None:
    return next((kind for kind in CommandType if kind.value == name), None)


class CommandExchange:
    """One command and its answers. `send` publishes it, `wait` listens until it has ended or the time is over."""

    def __init__(
        self,
        reactor: Any,
        profile: ErpProfile,
        entropy: Entropy,
        now: Callable[[], datetime],
        on_heard: Callable[[ReceivedMessage], None],
    ) -> None:
        self._reactor = reactor
        self._profile = profile
        self._entropy = entropy
        self._now = now
        self._on_heard = on_heard
        self._message_id = self._fresh_id()
        self._queue = f"{profile.queue_prefix}.{self._message_id}"
        self._over: Deferred[None] = Deferred()
        self._type = CommandType.PAYMENT_SUBMIT
        self._ids: set[str] = set()
        self._taken_before: set[str] = set()
        self.heard: list[ReceivedMessage] = []
        password = profile.password.secret_bytes().decode()
        address = BrokerAddress(
            profile.host, profile.port, profile.vhost, profile.user, password, tls=profile.tls is not None
        )
        tls = profile.tls and client_context(tls_settings(profile.tls, profile.host), SystemClock(reactor))
        self._amqp = broker_client.client(reactor, address, tls, self._prepare)

    def _fresh_id(self) -> str:
        return uuid7(self._entropy.ulid(int(self._now().timestamp() * 1000)))

    async def _prepare(self, declarer: Declarer) -> None:
        await declarer.queue(self._queue, {"x-expires": _QUEUE_MS})
        await declarer.bind(self._queue, EVENTS, f"#.{self._profile.sender}" if self._profile.sender else "#")

    async def __call__(self, type_: CommandType, body: bytes, content_type: str, wait_s: float) -> None:
        """Publish; with `wait_s` over 0, listen for that time. Raises BrokerSilent, Unroutable."""
        self._type = type_
        self._amqp.consume(self._queue, 100, self._take)
        try:
            await broker_client.up(self._amqp)
            await self._publish(type_, body, content_type)
            if wait_s > 0:
                timer = self._reactor.callLater(wait_s, self._end)
                await self._over
                if timer.active():
                    timer.cancel()
        finally:
            await self._amqp.close(2.0)

    async def _publish(self, type_: CommandType, body: bytes, content_type: str) -> None:
        key = None if self._profile.hmac_key is None else self._profile.hmac_key.secret_bytes()
        headers = {} if key is None else {signature.HEADER: signature.sign(key, body, self._message_id)}
        properties = Properties(
            message_id=self._message_id,
            reply_to=self._queue,
            user_id=self._profile.user,
            content_type=content_type,
            timestamp=int(self._now().timestamp()),
            app_id="bankgw send",
            headers=headers,
        )
        verdict = await self._amqp.publish(OutgoingMessage(COMMANDS, type_.value, body, properties))
        if verdict.fate is PublishStatus.RETURNED:
            raise Unroutable(f"no queue takes {type_.value}: start the gateway once, or import its definitions")
        if verdict.fate is not PublishStatus.CONFIRMED:
            raise BrokerSilent(f"the broker did not take the command: {verdict.fate.value} {verdict.text}")

    def _take(self, delivery: Delivery) -> None:
        self._amqp.ack(delivery)
        properties = delivery.properties
        if properties.message_id in self._ids:
            return
        try:
            said = json.loads(delivery.body)
        except ValueError:
            said = _xml_fields(delivery.body)
        one = ReceivedMessage(self._now(), properties.type or "", said if isinstance(said, dict) else {}, delivery.body)
        # Events of the sender's other commands come too. Ours carry our correlation id; those of an order that was
        # taken before carry the id of the command that brought it.
        if properties.correlation_id != self._message_id and one.about.isdisjoint(self._taken_before):
            return
        self._ids.add(properties.message_id or "")
        if one.is_repeat:
            self._taken_before |= one.about
        # A reply and its event carry the same number; the items of a batch count each for itself.
        if any(_same(other, one) for other in self.heard):
            return
        self.heard.append(one)
        self._on_heard(one)
        if one.ends(self._type):
            self._end()

    def _end(self) -> None:
        if not self._over.called:
            self._over.callback(None)


def _same(one: ReceivedMessage, other: ReceivedMessage) -> bool:
    return one.event == other.event and all(
        str(one.said.get(name)) == str(other.said.get(name)) for name in ("id", "payment", "seq")
    )


def _xml_fields(body: bytes) -> dict[str, Any]:
    """The fields of an answer in XML: texts, tables, and lists of `item`."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return {}
    found = _xml_table(root)
    found["final"] = found.get("final") == "true"
    return found


def _xml_table(element: ElementTree.Element) -> dict[str, Any]:
    read = {one.tag.rpartition("}")[2]: _xml_value(one) for one in element}
    return {name: value for name, value in read.items() if value not in (None, {}, [])}


def _xml_value(element: ElementTree.Element) -> Any:
    if not len(element):
        return element.text
    if all(one.tag.rpartition("}")[2] == "item" for one in element):
        return [_xml_value(one) for one in element]
    return _xml_table(element)


def last_state(heard: list[ReceivedMessage]) -> State | None:
    """The state with the highest number in the received messages; None if no message gives a state."""
    told = [one for one in heard if one.said.get("state") in set(State)]
    if not told:
        return None
    latest = max(told, key=lambda one: int(one.said.get("seq", 0)))
    return State(latest.said["state"])


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch's state by its newest message: whether it has ended, its items' states, and `refused` if intake refused
    it.
    """

    over: bool
    states: Mapping[str, State]
    shares: Mapping[State, int]
    refused: bool


def batch_standing(heard: list[ReceivedMessage]) -> BatchProgress | None:
    """The state of a batch by the received messages; None if its own reply did not come."""
    told = [one.said for one in heard if not one.of_item]
    if not told:
        return None
    latest = max(told, key=lambda said: int(said.get("seq", 0)))
    items: dict[str, tuple[int, State]] = {}
    listed = [item for said in told for item in said.get("items", ())]
    for item in (*listed, *(one.said for one in heard if one.of_item)):
        id_, seq, state = str(item.get("id")), int(item.get("seq", 0)), item.get("state")
        if state in set(State) and seq >= items.get(id_, (0, State.ACCEPTED))[0]:
            items[id_] = seq, State(state)
    shares = {State(share["state"]): int(share["count"]) for share in latest.get("states", ())}
    return BatchProgress(
        bool(latest.get("final")),
        {id_: state for id_, (_seq, state) in items.items()},
        shares,
        any("error" in said for said in told),
    )


def is_question(type_: CommandType) -> bool:
    """Whether the command ends with its reply: it asks or withdraws, and the answer gives the present state."""
    return type_ not in MONEY_COMMANDS or type_ is CommandType.PAYMENT_CANCEL or type_ in DECISIONS


def is_doubt(state: State) -> bool:
    """Whether the money may have moved although the result is not known."""
    return not STATE_TABLE[state].final and state not in (State.ACCEPTED, State.HELD, State.READY)
