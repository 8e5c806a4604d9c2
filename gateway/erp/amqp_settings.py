"""How to reach the broker, and how much of what it delivers is held."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import MOST_BYTES, Patience

_ANY_SIZE = 2**64


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """How to reach the broker. `connection_name` is what the broker's own tools show. Reading stops while more than
    `most_bytes` of deliveries are in hand; of a body over `most_body` bytes only the beginning is kept: see `wire.Cut`.
    """

    address: BrokerAddress
    connection_name: str = "bankgw"
    heartbeat_s: int = 10
    patience: Patience = Patience()
    most_bytes: int = MOST_BYTES
    most_body: int = _ANY_SIZE
