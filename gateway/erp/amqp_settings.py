"""Settings of the broker connection, and limits on deliveries held in memory."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import MOST_BYTES, ClientTimeouts

_ANY_SIZE = 2**64


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """The broker connection. `connection_name` is shown by the broker's own tools.

    Reading stops while more than `most_bytes` of deliveries are in progress. Of a body over `most_body` bytes only the
    beginning is kept: see `amqp_types.Cut`.
    """

    address: BrokerAddress
    connection_name: str = "bankgw"
    heartbeat_s: int = 10
    patience: ClientTimeouts = ClientTimeouts()
    most_bytes: int = MOST_BYTES
    most_body: int = _ANY_SIZE
