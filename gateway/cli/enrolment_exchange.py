"""One exchange with a bank's certificate service, on its own connection, outside any lane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.bank.connection import BankConnection
from gateway.bank.dialer import BankDialer
from gateway.bank.lane_tls import tls_settings
from gateway.bank.tls import client_context
from gateway.kernel.clock import SystemClock
from gateway.settings import LaneSettings
from protocols.bank import Port


def exchange_with(
    reactor: Any, lane: LaneSettings, host: str, port_number: int, port: Port
) -> Callable[[bytes, Callable[[], None]], Awaitable[bytes]]:
    """A function that sends bytes to the service and returns the answer, with the lane's TLS.

    Its second argument is called when the peer is verified and no byte has been sent. Raises NotConnected, NoAnswer.
    """
    clock = SystemClock(reactor)
    tls = None if lane.tls is None else client_context(tls_settings(lane.tls, host), clock)
    endpoint = BankDialer(
        reactor,
        host,
        port_number,
        tls,
        plaintext="pinned-lan" if lane.plaintext == "pinned-lan" else "refuse",
        connect_timeout_s=lane.connect_timeout_s,
        handshake_timeout_s=lane.handshake_timeout_s,
    )

    async def exchange(data: bytes, before: Callable[[], None]) -> bytes:
        line = await endpoint.connect(lambda: BankConnection(port, clock, lambda _: None, lambda: True))
        try:
            before()
            return await line.exchange(data)
        finally:
            line.hang_up()

    return exchange
