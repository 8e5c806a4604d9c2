"""The trace of a lane's connections and exchanges: the bytes that were signed, sent and received, and why each ended.

The login's secrets are overwritten with `*`, which leaves every length and position as it was on the line. A part of a
message above PART_BYTES is cut off there; its whole length is kept.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from urllib.parse import quote, quote_plus

from gateway.bank.exchange_ring import ExchangeRing
from gateway.kernel.clock import Clock
from protocols.canon.fast_init import fast_init

PART_BYTES = 65_536
SHORTEST_SECRET = 4
"""A secret of two letters would blank out half of every message."""


class TraceEvent(StrEnum):
    """The kinds of traced events. `request` is followed by exactly one of `answer`, `no_answer` and `not_sent`."""

    CONNECTED = "connected"
    NOT_CONNECTED = "not_connected"
    REQUEST = "request"
    ANSWER = "answer"
    NO_ANSWER = "no_answer"
    NOT_SENT = "not_sent"
    UNASKED = "unasked"
    CLOSED = "closed"
    REFUSED = "refused"


@fast_init
@dataclass(frozen=True, slots=True)
class TracePart:
    """Bytes of an event: `sent`, `received`, or `signed NAME` for what the key NAME signed. `whole` is their length
    before it was cut."""

    name: str
    octets: bytes
    whole: int


@dataclass(frozen=True, slots=True)
class TracedEvent:
    """One record of an exchange trace. `connection` and `exchange` count within one life of the daemon; 0: none.

    `purpose` is the use of the session: sign_on, probe, send, enquire, balance, …. `note` gives the reason.
    """

    number: int
    at_ms: int
    session: int
    connection: int
    exchange: int
    event: TraceEvent
    purpose: str
    port: str
    note: str
    parts: tuple[TracePart, ...] = ()


class LaneTrace:
    """Writes the exchange trace of a lane. Without a ring nothing is kept."""

    def __init__(self, ring: ExchangeRing | None, credentials: Mapping[str, str], clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._secrets = _forms(credentials.values())
        self.connections = count(1)
        self.exchanges = count(1)

    @property
    def kept(self) -> bool:
        """True if the lane's exchanges are kept."""
        return self._ring is not None

    @property
    def last(self) -> int:
        """The number of the newest record."""
        return 0 if self._ring is None else self._ring.last

    def session(self, number: int) -> SessionTrace:
        """The trace of one session. The connections of a session share its purpose."""
        return SessionTrace(self, number)

    def keep(
        self,
        session: int,
        connection: int,
        exchange: int,
        event: TraceEvent,
        purpose: str,
        port: str,
        note: str = "",
        parts: Iterable[TracePart] = (),
    ) -> None:
        """Write one record."""
        ring = self._ring
        if ring is None:
            return
        named, shown = [], []
        for part in parts:
            octets = self._cut(part.octets)
            named.append(f"{part.name}:{len(octets)}:{part.whole}")
            shown.append(octets)
        if note:
            note = self._cut(" ".join(note.split()).encode()).decode("utf-8", "replace")
        names = ",".join(named)
        head = (
            f"{self._clock.now_ms()}\t{session}\t{connection}\t{exchange}\t{event}\t{purpose}\t{port}\t{note}"
            f"\t{names}\n"
        )
        ring.append(b"".join((head.encode(), *shown)))

    def events_after(self, after: int = 0) -> Iterator[TracedEvent]:
        """The records with a number above `after`, the oldest first."""
        if self._ring is not None:
            for number, record in self._ring.records_after(after):
                yield decoded(number, record)

    def _cut(self, octets: bytes) -> bytes:
        octets = octets[:PART_BYTES]
        for secret, stars in self._secrets:
            if secret in octets:
                octets = octets.replace(secret, stars)
        return octets


class SessionTrace:
    """The exchange trace of one session. `purpose` is set by the code that uses the session."""

    def __init__(self, lane: LaneTrace, number: int) -> None:
        self.purpose = ""
        self._lane = lane
        self._number = number
        self._signed: list[TracePart] = []

    @property
    def kept(self) -> bool:
        """True if the lane's exchanges are kept."""
        return self._lane.kept

    def signed(self, key: str, octets: bytes) -> None:
        """Record that a key signed these bytes. They are kept with the next request."""
        if self._lane.kept:
            self._signed.append(TracePart(f"signed {key}", octets, len(octets)))

    def not_connected(self, port: str, why: str) -> None:
        """Record that no connection was made to this port."""
        self._lane.keep(self._number, 0, 0, TraceEvent.NOT_CONNECTED, self.purpose, port, why)

    def refused(self, why: str) -> None:
        """Record that an answer was read but is a refusal, or cannot be trusted."""
        self._lane.keep(self._number, 0, 0, TraceEvent.REFUSED, self.purpose, "", why)

    def connection(self, port: str) -> ConnectionTrace:
        """The exchange trace of a new connection of this session."""
        return ConnectionTrace(self, port, next(self._lane.connections))

    def keep(
        self, connection: int, exchange: int, event: TraceEvent, port: str, note: str, parts: Iterable[TracePart]
    ) -> None:
        """Write one record of a connection of this session."""
        self._lane.keep(self._number, connection, exchange, event, self.purpose, port, note, parts)

    def next_exchange(self) -> int:
        """Count a new exchange and return its number."""
        return next(self._lane.exchanges)

    def take_signed(self) -> list[TracePart]:
        """Remove and return the bytes that were signed since the last request."""
        signed, self._signed = self._signed, []
        return signed


class ConnectionTrace:
    """The exchange trace of one connection, called by `gateway.bank.connection` as events happen."""

    def __init__(self, session: SessionTrace, port: str, number: int) -> None:
        self._session = session
        self._port = port
        self._number = number
        self._exchange = 0

    @property
    def kept(self) -> bool:
        """True if the lane's exchanges are kept."""
        return self._session.kept

    def connected(self, facts: str) -> None:
        """Record that the handshake is done; `facts` describes its TLS."""
        self._keep(TraceEvent.CONNECTED, facts)

    def request(self, data: bytes) -> None:
        """Record bytes that are about to be written."""
        self._exchange = self._session.next_exchange()
        self._keep(TraceEvent.REQUEST, "", (*self._session.take_signed(), TracePart("sent", data, len(data))))

    def answer(self, data: bytes, whole: int) -> None:
        """Record a whole answer as it came on the line, with its framing. `whole` is its length if `data` was cut."""
        self._keep(TraceEvent.ANSWER, "", (TracePart("received", data, max(whole, len(data))),))

    def no_answer(self, reason: str, partial: bytes, *, written: bool) -> None:
        """Record that the exchange brought no complete answer."""
        parts = (TracePart("received", partial, len(partial)),) if partial else ()
        self._keep(TraceEvent.NO_ANSWER if written else TraceEvent.NOT_SENT, reason, parts)

    def unasked(self, data: bytes) -> None:
        """Record received bytes that answer no request."""
        self._exchange = 0
        self._keep(TraceEvent.UNASKED, "", (TracePart("received", data, len(data)),))

    def closed(self, why: str) -> None:
        """Record that the connection ended while no exchange was under way."""
        self._exchange = 0
        self._keep(TraceEvent.CLOSED, why)

    def _keep(self, event: TraceEvent, note: str, parts: Iterable[TracePart] = ()) -> None:
        self._session.keep(self._number, self._exchange, event, self._port, note, parts)


def decoded(number: int, record: bytes) -> TracedEvent:
    """Decode a record that LaneTrace.keep made."""
    head, _, body = record.partition(b"\n")
    at_ms, session, connection, exchange, event, purpose, port, note, named = head.decode("utf-8").split("\t")
    parts, at = [], 0
    for one in filter(None, named.split(",")):
        name, length, whole = one.rsplit(":", 2)
        parts.append(TracePart(name, body[at : at + int(length)], int(whole)))
        at += int(length)
    return TracedEvent(
        number,
        int(at_ms),
        int(session),
        int(connection),
        int(exchange),
        TraceEvent(event),
        purpose,
        port,
        note,
        tuple(parts),
    )


def _forms(secrets: Iterable[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Every form in which a secret may occur in a message, with stars of the same length; the longest first."""
    forms: set[bytes] = set()
    for secret in secrets:
        if len(secret) < SHORTEST_SECRET:
            continue
        written = {secret, html.escape(secret, quote=False), html.escape(secret), quote(secret), quote_plus(secret)}
        for charset in ("utf-8", "gb18030"):
            octets = secret.encode(charset)
            forms |= {octets, b64encode(octets), *(one.encode(charset) for one in written)}
    return tuple((form, b"*" * len(form)) for form in sorted(forms, key=lambda form: (-len(form), form)))
