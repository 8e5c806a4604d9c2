"""Messages from the broker: properties and body, and the queues in which commands arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from protocols.canon.fast_init import fast_init
from protocols.erp.words import MAX_BODY_BYTES

MONEY_QUEUE = "bankgw.commands.money"
QUERY_QUEUE = "bankgw.commands.query"
LEDGER_QUEUE = "bankgw.commands.ledger"
"""The queue of books with many thousand rows, separate because they must not delay payments or questions."""
DEAD = "bankgw.dead"
"""The exchange for parked messages."""
DEAD_LETTERED = frozenset({MONEY_QUEUE, QUERY_QUEUE, LEDGER_QUEUE})
"""The queues whose rejected messages the broker parks whole; `topology` declares them so."""

Scalar: TypeAlias = str | int | float | bool | bytes

NO_HEADERS: Mapping[str, Scalar] = MappingProxyType({})


@fast_init
@dataclass(frozen=True, slots=True)
class Properties:
    """AMQP message properties; None means absent. `timestamp` is in whole seconds since 1970.

    Only scalar headers exist here: tables and arrays do not survive the AMQP 1.0 mapping that some ERPs use.
    """

    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    user_id: str | None = None
    type: str | None = None
    app_id: str | None = None
    content_type: str | None = None
    timestamp: int | None = None
    expiration: str | None = None
    headers: Mapping[str, Scalar] = field(default_factory=lambda: NO_HEADERS)


NO_PROPERTIES = Properties()

CUT_BYTES = 4_096
"""How many bytes of a body that exceeds the largest allowed command are kept."""


@dataclass(frozen=True, slots=True)
class CutBody:
    """The size and the SHA-256 (hex) of a body that is longer than the longest permitted command."""

    size: int
    sha256: str


def cut(body: bytes) -> tuple[bytes, CutBody | None]:
    """The part of a body that a delivery holds: the whole body, or the first CUT_BYTES together with a CutBody."""
    if len(body) <= MAX_BODY_BYTES:
        return body, None
    return body[:CUT_BYTES], CutBody(len(body), hashlib.sha256(body).hexdigest())


@fast_init
@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that the broker delivered. `channel` names the channel incarnation it must be acked on: see
    `Amqp.ack`.

    `undecodable` names the properties that could not be read; they are then absent, and the body is intact. `waited_s`
    is how long the message may have waited unread, above 0 only after a pause of this process. `cut` is set if the
    message is too large; `body` is then its beginning.
    """

    queue: str
    tag: int
    channel: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes = field(repr=False)
    undecodable: str | None = None
    waited_s: float = 0.0
    cut: CutBody | None = None
