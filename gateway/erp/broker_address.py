"""The address of the broker, and the gateway's login."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from gateway.settings import Broker


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The address of a broker and the login there. Without `password` the client certificate is the login (SASL
    EXTERNAL), so `tls` is set."""

    host: str
    port: int
    vhost: str
    user: str
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port} (vhost {self.vhost})"


def own(broker: Broker) -> BrokerAddress:
    """The broker's address with the gateway's own login. Raises OSError if its password cannot be read."""
    password = None if broker.password is None else broker.password.secret_bytes().decode()
    return BrokerAddress(broker.host, broker.port, broker.vhost, broker.user, password, tls=broker.tls is not None)


def endpoint_of(reactor: Any, address: BrokerAddress) -> IStreamClientEndpoint:
    """The Twisted endpoint for connecting to this address, by host name or IP address."""
    try:
        version = ip_address(address.host).version
    except ValueError:
        return HostnameEndpoint(reactor, address.host, address.port)
    return (TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint)(reactor, address.host, address.port)
