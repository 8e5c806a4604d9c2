"""The broker client on pika: the only file that knows pika.

pika's own Twisted adapter is deprecated, attributes a return to the wrong publish, and cannot abort a dead connection.
So only pika's protocol core is used: frames, properties, channel methods and heartbeats.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import pika
import pika.channel
import pika.connection
import pika.credentials
import pika.exceptions
import pika.frame
import pika.spec
from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.erp import amqp_values
from gateway.erp.amqp_link import Gone, Link
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import BrokerRefused, LinkLost, OutgoingMessage, Prepare
from gateway.erp.assembly import PartialBody
from gateway.erp.broker_address import endpoint_of
from gateway.erp.canary import RandomSource
from gateway.erp.client import AmqpClient
from gateway.erp.publisher import ChannelClosing, Publisher, Unsendable
from gateway.kernel.deliveries import CutBody, Delivery, Scalar

log = Logger()
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to."
_FRAME_OVERHEAD = 8
_SETTLING = (pika.spec.Basic.Ack, pika.spec.Basic.Nack)
_CONTENT = (pika.spec.Basic.Deliver, pika.spec.Basic.Return)
_BAD_FIELD = pika.exceptions.InvalidFieldTypeException
_UNREADABLE = (ValueError, OverflowError, OSError, RecursionError, struct.error, _BAD_FIELD)
_CLOSING = (pika.exceptions.ChannelWrongStateError, pika.exceptions.ConnectionWrongStateError)
_UNSENDABLE = (pika.exceptions.AMQPError, struct.error, ValueError, TypeError, OverflowError, AssertionError)


def _nothing(*_args: object) -> None:
    """Do nothing: for callbacks that pika requires and this client does not need."""


def _why(reason: BaseException | None) -> str:
    """Why a connection or an attempt ended, as one line."""
    if isinstance(reason, pika.exceptions.ConnectionClosed):
        text = f"{reason.reply_code} {reason.reply_text}"
        hint = {403: "; check user and password", 530: "; check the vhost and this user's rights in it"}
        return text + hint.get(reason.reply_code, "")
    if isinstance(reason, error.ConnectionDone):
        return "the broker hung up"
    if isinstance(reason, error.ConnectionLost):
        return "the connection broke"
    return str(reason) or type(reason).__name__


class _Assembler(pika.channel.ContentFrameAssembler):  # type: ignore[misc]
    """Keeps only the beginning of a body that is too large: see `assembly`."""

    _header_frame: Any
    _seen_so_far: int

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def process(self, frame_value: Any) -> Any:
        if frame_value.frame_type == pika.spec.FRAME_HEADER:
            frame_value.arriving = PartialBody(frame_value.body_size, self._most_bytes)
        return super().process(frame_value)

    def _handle_body_frame(self, body_frame: Any) -> Any:
        header, self._seen_so_far = self._header_frame, self._seen_so_far + len(body_frame.fragment)
        if self._seen_so_far > header.body_size:
            raise pika.exceptions.BodyTooLongError(self._seen_so_far, header.body_size)
        self._body_fragments.append(header.arriving.keep(body_frame.fragment))
        return self._finish() if self._seen_so_far == header.body_size else None


class _Channel(pika.channel.Channel):  # type: ignore[misc]
    """`amqp_link.Channel`: messages and confirms go straight to plain callbacks, calls are Deferreds.

    pika rejects deliveries for a consumer that is being cancelled, which would raise their delivery count and leave
    gaps in the tags. Here every delivery is handed over.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._content_assembler = _Assembler(self.connection.most_body)
        self.gone: Gone | None = None
        self.on_confirm: Callable[[Any], None] = _nothing
        self._sink: Callable[[Any, Any, bytes, CutBody | None], None] = _nothing
        self._on_returned: Callable[[Any, Any], None] = _nothing
        self._calls: set[Deferred[Any]] = set()
        self._opening: Deferred[Any] | None = None
        self._watchers: list[Callable[[Gone], None]] = []
        self.add_on_close_callback(self._closed)
        self.add_on_cancel_callback(self._cancelled_by_broker)

    def when_gone(self, watcher: Callable[[Gone], None]) -> None:
        if self.gone is not None:
            watcher(self.gone)
        else:
            self._watchers.append(watcher)

    def leave(self) -> None:
        self._watchers.clear()
        if self.is_open:
            self.close()

    def deliver(self, queue: str, token: int, sink: Callable[[Delivery], None]) -> None:
        def pass_delivery(method: Any, properties: Any, body: bytes, cut: CutBody | None) -> None:
            said, unfit = amqp_values.properties(properties)
            sink(Delivery(
                queue, method.delivery_tag, token, method.redelivered, method.exchange,
                amqp_values.routing_key(method.routing_key), said, body, getattr(properties, "undecodable", unfit),
                self.connection.waited_s, cut))  # fmt: skip

        self._sink = pass_delivery

    async def limit(self, prefetch: int) -> None:
        await self.call(self.basic_qos, prefetch_count=prefetch)

    async def subscribe(self, queue: str, tag: str, *, no_ack: bool = False) -> None:
        await self.call(self.basic_consume, queue, _nothing, auto_ack=no_ack, consumer_tag=tag)

    async def unsubscribe(self, tag: str) -> None:
        await self.call(self.basic_cancel, tag)

    async def look_into(self, queue: str) -> list[bytes]:
        found: list[bytes] = []
        while (body := await self.call(self._get, queue)) is not None:
            found.append(body)
        return found

    def _get(self, queue: str, callback: Callable[[bytes | None], None]) -> None:
        # pika reports only a message. To hear of an empty queue, one must register for its frame.
        empty = lambda _frame: callback(None)  # noqa: E731 - removed again under its name

        def got(_channel: object, _method: object, _properties: object, body: bytes) -> None:
            self.callbacks.remove(self.channel_number, pika.spec.Basic.GetEmpty, empty)
            callback(body)

        self.callbacks.add(self.channel_number, pika.spec.Basic.GetEmpty, empty)
        self.basic_get(queue, got)

    async def mirror(self, name: str) -> None:
        await self.call(self.queue_declare, name, exclusive=True, auto_delete=True)

    def ack_through(self, tag: int) -> None:
        if self.is_open:
            self.basic_ack(tag, multiple=True)

    def release(self, tag: int) -> None:
        if self.is_open:
            self.basic_nack(tag, requeue=True)

    def reject(self, tag: int) -> None:
        if self.is_open:
            self.basic_reject(tag, requeue=False)

    async def publish_for(self, publisher: Publisher) -> None:
        await self.call(self.confirm_delivery, _nothing)

        def settle(method: Any) -> None:
            verdict = publisher.confirmed if isinstance(method, pika.spec.Basic.Ack) else publisher.nacked
            verdict(method.delivery_tag, method.multiple)

        self.on_confirm = settle
        self._on_returned = lambda method, properties: publisher.returned(
            properties.message_id, method.reply_code, method.reply_text
        )
        publisher.opened(self._send)

    def call(self, verb: Callable[..., object], *args: Any, **named: Any) -> Deferred[Any]:
        """Call the bound pika method `verb`, which takes `callback`; fails with BrokerRefused or LinkLost."""
        if self.gone is not None:
            return defer.fail(self.gone)
        answer: Deferred[Any] = Deferred()
        self._calls.add(answer)
        try:
            verb(*args, callback=partial(self._answered, answer), **named)
        except pika.exceptions.AMQPError as problem:
            self._calls.discard(answer)
            return defer.fail(LinkLost(_why(problem)))
        return answer

    def _send(self, message: OutgoingMessage) -> None:
        # For the broker a direct reply-to is not a queue: with the mandatory flag it would return every reply.
        mandatory = message.mandatory and not (
            message.exchange == "" and message.routing_key.startswith(DIRECT_REPLY_TO)
        )
        try:
            encoded = _encodable(message, self.connection.login)
            self.basic_publish(message.exchange, message.routing_key, message.body, encoded, mandatory)
        except _CLOSING as problem:
            raise ChannelClosing(str(problem)) from problem
        except _UNSENDABLE as problem:
            raise Unsendable(f"cannot be put on the wire: {type(problem).__name__}: {problem}") from problem

    def expect(self, opening: Deferred[Any] | None) -> None:
        """Fail `opening` too if the channel closes; None once it is open."""
        self._opening = opening

    def _answered(self, answer: Deferred[Any], frame: Any) -> None:
        if answer in self._calls:
            self._calls.remove(answer)
            answer.callback(frame)

    def _closed(self, _channel: object, reason: BaseException) -> None:
        if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            self._end(BrokerRefused(reason.reply_code, reason.reply_text))
        else:
            self._end(LinkLost(_why(reason)))

    def _cancelled_by_broker(self, _frame: object) -> None:
        watchers, self._watchers = self._watchers, []
        self.leave()
        self._watchers = watchers
        self._end(BrokerRefused(0, "the broker cancelled the consumer: its queue was deleted or has moved"))

    def _end(self, gone: Gone) -> None:
        if self.gone is not None:
            return
        self.gone = gone
        calls, self._calls = self._calls, set()
        if self._opening is not None:
            calls.add(self._opening)
        watchers, self._watchers = self._watchers, []
        for answer in calls:
            answer.errback(gone)
        for watcher in watchers:
            watcher(gone)

    def _on_deliver(self, method_frame: Any, header_frame: Any, body: bytes) -> None:
        if self.gone is None:
            self._sink(method_frame.method, header_frame.properties, body, header_frame.arriving.cut())

    def _on_return(self, method_frame: Any, header_frame: Any, body: bytes) -> None:
        self._on_returned(method_frame.method, header_frame.properties)


def _encodable(message: OutgoingMessage, login: str | None) -> Any:
    p = message.properties
    return pika.spec.BasicProperties(
        p.content_type, None, dict(p.headers) if p.headers else None, 2 if message.persistent else 1, None,
        p.correlation_id, p.reply_to, p.expiration, p.message_id, p.timestamp, p.type, p.user_id or login,
        p.app_id)  # fmt: skip


class _Connection(pika.connection.Connection):  # type: ignore[misc]
    """pika's protocol core on a Twisted transport."""

    _error: BaseException | None
    _frame_buffer: bytes

    def __init__(self, parameters: Any, reactor: Any, opened: Callable[[], None],
                 ended: Callable[[BaseException | None], None], most_body: int) -> None:  # fmt: skip
        self._reactor = reactor
        self.most_body = most_body
        self._transport: Any = None
        self.cause: BaseException | None = None
        self.waited_s = 0.0
        self.login: str | None = getattr(parameters.credentials, "username", None)
        super().__init__(
            parameters,
            on_open_callback=lambda _connection: opened(),
            on_open_error_callback=lambda _connection, reason: ended(reason),
            on_close_callback=lambda _connection, reason: ended(reason),
            internal_connection_workflow=False,
        )

    def stream_up(self, transport: Any) -> None:
        """Start the AMQP protocol, because the transport is connected."""
        self._transport = transport
        self._on_stream_connected()

    def stream_lost(self, reason: BaseException) -> None:
        """End the connection, because its transport is lost. A reason that the broker gave before is used."""
        self._transport = None
        if self._error is None:
            self._error = reason
        # While connecting, pika replaces the broker's reason by a guess of its own.
        self.cause = self._error
        self._on_stream_terminated(None)

    def abort(self) -> None:
        """Close at once without sending buffered bytes, which a dead peer would never take."""
        if self._transport is not None:
            self._transport.abortConnection()

    def on_bytes(self, data: bytes) -> None:
        """Take received bytes. Frames are cut by offset: pika would copy the whole buffer for each frame."""
        self.bytes_received += len(data)
        buffer = self._frame_buffer + data if self._frame_buffer else data
        if buffer[:4] == b"AMQP":
            raise LinkLost("the broker speaks another AMQP version")
        offset, end = 0, len(buffer)
        limit = self.params.frame_max
        while end - offset >= _FRAME_OVERHEAD:
            size = _FRAME_OVERHEAD + int.from_bytes(buffer[offset + 3 : offset + 7], "big")
            if size > limit + _FRAME_OVERHEAD:
                raise LinkLost(f"a frame of {size} bytes exceeds the agreed {limit}; the peer is no AMQP broker")
            if end - offset < size:
                break
            frame = self._decode(buffer[offset : offset + size])
            offset += size
            self._process_frame(frame)
            if self._transport is None:
                return
        self._frame_buffer = buffer[offset:]

    def _decode(self, octets: bytes) -> Any:
        try:
            return pika.frame.decode_frame(octets)[1]
        except _UNREADABLE as problem:
            # A sender chose these properties. If they ended the connection, they would end it again at every
            # redelivery and raise the delivery count of other messages, so hand over the body without them.
            if octets[0] != pika.spec.FRAME_HEADER:
                raise
            channel, body_size = struct.unpack(">xH4x4xQ", octets[:19])
            unread = pika.spec.BasicProperties()
            unread.undecodable = f"{type(problem).__name__}: {problem}"
            return pika.frame.Header(channel, body_size, unread)

    def _process_frame(self, frame: Any) -> None:
        # Messages and confirms are most of the traffic and need none of pika's callback lookups.
        kind = frame.frame_type
        if kind == pika.spec.FRAME_METHOD:
            method = frame.method
            if isinstance(method, _SETTLING):
                channel = self._channels.get(frame.channel_number)
                if channel is not None:
                    channel.on_confirm(method)
                return
            if not isinstance(method, _CONTENT):
                super()._process_frame(frame)
                return
        elif kind == pika.spec.FRAME_HEARTBEAT:
            super()._process_frame(frame)
            return
        channel = self._channels.get(frame.channel_number)
        if channel is not None:
            channel._handle_content_frame(frame)

    def _create_channel(self, channel_number: int, on_open_callback: Any) -> _Channel:
        return _Channel(self, channel_number, on_open_callback)

    def _adapter_call_later(self, delay: float, callback: Callable[[], None]) -> IDelayedCall:
        timer: IDelayedCall = self._reactor.callLater(delay, callback)
        return timer

    def _adapter_remove_timeout(self, timeout_id: IDelayedCall) -> None:
        if timeout_id.active():
            timeout_id.cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        self._reactor.callFromThread(callback)

    def _adapter_connect_stream(self) -> NoReturn:
        raise NotImplementedError("Twisted endpoints connect")

    def _adapter_disconnect_stream(self) -> None:
        if self._transport is not None:
            closed = isinstance(self._error, pika.exceptions.ConnectionClosed)
            (self._transport.loseConnection if closed else self._transport.abortConnection)()

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


TURN_S = 0.25
STOOD_STILL_S = 1.0
STALE_S = 15.0
"""A healthy broker sends a heartbeat every 5 s. A delivery read this much later has been given to another consumer."""


class _Link(Protocol):
    """`amqp_link.Link` on pika's core.

    After a pause of the process, the socket still holds deliveries that the broker has since given to other consumers;
    the end of the connection comes only after them. So each delivery carries the time it may have waited unread, and
    after a long pause none of them is read.
    """

    def __init__(self, reactor: Any, settings: AmqpSettings, on_blocked: Callable[[bool], None]) -> None:
        self.opened: Deferred[None] = Deferred()
        self.ended: Deferred[str] = Deferred()
        self.alive = True
        self._reason: str | None = None
        self._reactor = reactor
        self._turn: IDelayedCall | None = None
        self._turned_s = self._stood_since_s = self._stale_until_s = 0.0
        self._held_since_s: float | None = None
        self._amqp = _Connection(_parameters(settings), reactor, self._opened, self._ended, settings.most_body)
        self._amqp.add_on_connection_blocked_callback(lambda *_: on_blocked(True))
        self._amqp.add_on_connection_unblocked_callback(lambda *_: on_blocked(False))

    async def channel(self) -> _Channel:
        if not self.alive or not self._amqp.is_open:
            raise LinkLost(self._reason or "the connection is closing")
        opened: Deferred[Any] = Deferred()
        channel: _Channel = self._amqp.channel(on_open_callback=opened.callback)
        channel.expect(opened)
        await opened
        channel.expect(None)
        return channel

    def declarer(self) -> _Declarer:
        return _Declarer(self)

    def server_properties(self) -> Mapping[str, object]:
        return self._amqp.server_properties or {}

    def drop(self, reason: str) -> None:
        if self.alive:
            self._reason = self._reason or reason
            self._amqp.abort()

    def hang_up(self) -> None:
        if self.alive and self._amqp.is_open:
            self._amqp.close()

    def hold(self, held: bool) -> None:
        transport: Any = self.transport
        now_s: float = self._reactor.seconds()
        if held and self._held_since_s is None and self.alive:
            self._held_since_s = now_s
            transport.pauseProducing()
        elif not held and self._held_since_s is not None:
            if now_s - self._held_since_s > STOOD_STILL_S:
                # As after a pause of the process: data read now may have waited this long.
                self._stood_since_s, self._stale_until_s = self._held_since_s, now_s + STOOD_STILL_S
            self._held_since_s = None
            if self.alive:
                transport.resumeProducing()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._turns()
        self._amqp.stream_up(transport)

    def _turns(self) -> None:
        if self._turn is not None:
            # After a pause this may run before the socket is read.
            self._waited_s()
        if self._held_since_s is not None:
            # While nothing is read, heartbeats wait in the socket, so count the broker as alive.
            self._amqp.bytes_received += 1
        self._turned_s = self._reactor.seconds()
        self._turn = self._reactor.callLater(TURN_S, self._turns)

    def _waited_s(self) -> float:
        """The seconds for which data read now may have waited in the socket."""
        now_s: float = self._reactor.seconds()
        if now_s - self._turned_s > STOOD_STILL_S:
            # There may be more data than one read takes.
            self._stood_since_s, self._stale_until_s = self._turned_s, now_s + STOOD_STILL_S
        return now_s - self._stood_since_s if now_s < self._stale_until_s else 0.0

    def dataReceived(self, data: bytes) -> None:
        waited_s = self._amqp.waited_s = self._waited_s()
        if waited_s > STALE_S:
            self.drop(f"this process stood still for {waited_s:.0f} s: unread messages may be at another node by now")
            return
        try:
            self._amqp.on_bytes(data)
        except LinkLost as lost:
            self.drop(str(lost))
        except defer.CancelledError:
            raise
        except Exception as problem:
            log.failure("the broker connection is dropped: what arrived on it could not be handled")
            self.drop(f"unhandled {type(problem).__name__}: {problem}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._amqp.stream_lost(reason.value)

    def _opened(self) -> None:
        if not self.opened.called:
            self.opened.callback(None)

    def _ended(self, reason: BaseException | None) -> None:
        self.alive = False
        text = self._reason = self._reason or _why(self._amqp.cause or reason)
        if not self.opened.called:
            self.opened.errback(LinkLost(text))
        self.ended.callback(text)


class _Declarer:
    """`amqp_types.Declarer` on a link: a refused declaration closes its channel, so the next call opens another."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._channel: _Channel | None = None
        self.version = _version(link.server_properties())

    async def exchange(self, name: str, kind: str, arguments: Mapping[str, Scalar]) -> None:
        channel = await self._open()
        await channel.call(channel.exchange_declare, name, exchange_type=kind, durable=True, arguments=dict(arguments))

    async def exchange_exists(self, name: str) -> None:
        channel = await self._open()
        await channel.call(channel.exchange_declare, name, passive=True)

    async def queue(self, name: str, arguments: Mapping[str, Scalar]) -> None:
        channel = await self._open()
        await channel.call(channel.queue_declare, name, durable=True, arguments=dict(arguments))

    async def queue_exists(self, name: str) -> int:
        channel = await self._open()
        return int((await channel.call(channel.queue_declare, name, passive=True)).method.message_count)

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        channel = await self._open()
        await channel.call(channel.queue_bind, queue, exchange, routing_key=routing_key)

    async def _open(self) -> _Channel:
        if self._channel is None or self._channel.gone is not None:
            self._channel = await self._link.channel()
        return self._channel


def _version(properties: Mapping[str, object]) -> tuple[int, ...]:
    numbers = re.match(r"\d+(\.\d+)*", str(properties.get("version", "")))
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def pika_amqp(
    reactor: Any, settings: AmqpSettings, random: RandomSource, *, tls: Any = None, prepare: Prepare | None = None
) -> AmqpClient:
    """A `amqp_types.Amqp` for the RabbitMQ at `settings.address`; call its `start` to connect.

    `tls` is an IOpenSSLClientConnectionCreator, needed exactly when the address is amqps. `prepare` runs on each
    connection (see `topology.preparation`). `user-id` is set to the login on every message that names none.
    """
    address = settings.address
    if address.tls != (tls is not None):
        raise ValueError(f"{address}: an amqps:// address needs TLS settings, an amqp:// address takes none")
    endpoint = endpoint_of(reactor, address)
    if tls is not None:
        endpoint = wrapClientTLS(tls, endpoint)

    def dial(on_blocked: Callable[[bool], None]) -> Deferred[Link]:
        factory = _LinkFactory(partial(_Link, reactor, settings, on_blocked))
        return endpoint.connect(factory).addErrback(_unreachable)  # type: ignore[return-value]

    return AmqpClient(reactor, dial, random, settings.patience, str(address), prepare, settings.most_bytes)


class _LinkFactory(Factory):
    noisy = False

    def __init__(self, build: Callable[[], _Link]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> _Link:
        return self._build()


def _parameters(settings: AmqpSettings) -> Any:
    address = settings.address
    if address.password is not None:
        login = pika.credentials.PlainCredentials(address.user, address.password)
    else:
        login = pika.credentials.ExternalCredentials()
    return pika.connection.ConnectionParameters(
        host=address.host, port=address.port, virtual_host=address.vhost, credentials=login,
        heartbeat=settings.heartbeat_s, client_properties={"connection_name": settings.connection_name,
                                                           "product": "bankgw"})  # fmt: skip


def _unreachable(failure: Failure) -> NoReturn:
    problem = failure.value
    if isinstance(problem, error.ConnectingCancelledError):
        # The caller stopped or waits no longer, and so cancelled it; an endpoint raises its own error for that.
        raise CancelledError from None
    if isinstance(problem, (error.ConnectError, error.DNSLookupError, OSError)):
        raise LinkLost(f"cannot be reached: {problem}") from problem
    failure.raiseException()
