"""Where the broker is: an AMQP URL taken apart, and whether it is fit for production."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from gateway.erp.wire import Problem

Mode = Literal["production", "development"]

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker. Without `user` the client certificate is the login (SASL EXTERNAL)."""

    host: str
    port: int
    vhost: str = "/"
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port} (vhost {self.vhost})"


def parse_url(url: str) -> BrokerAddress:
    """`amqp[s]://[user[:password]@]host[:port][/vhost]`; user, password and vhost percent-encoded.

    No path means vhost `/`, as `%2F` does. ValueError, which never quotes the password, says what is wrong.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("broker URL: host or port cannot be read") from error
    if parts.scheme not in _PORTS:
        raise ValueError(f"broker URL: scheme must be amqps or amqp, not {parts.scheme!r}")
    if not parts.hostname:
        raise ValueError("broker URL: no host name")
    if parts.query or parts.fragment:
        raise ValueError("broker URL: options after ? or # are not understood; use settings of their own")
    path = parts.path[1:]
    if "/" in path:
        raise ValueError("broker URL: a / inside the vhost name must be written %2F")
    return BrokerAddress(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        vhost=unquote(path) or "/",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "amqps",
    )


def check_url(url: str, mode: Mode) -> list[Problem]:
    """Everything wrong with this broker URL for this mode; empty means fit.

    Production refuses plain AMQP except to this very machine, and RabbitMQ's well-known login everywhere.
    """
    try:
        address = parse_url(url)
    except ValueError as error:
        return [Problem(str(error), "write amqps://user:password@host/vhost")]
    problems = []
    if mode == "production":
        if not address.tls and not is_loopback(address.host):
            problems.append(Problem(
                f"plain AMQP to {address.host}: orders and passwords would cross the network in clear",
                "use amqps:// with a client certificate, or a broker (or TLS side-car) on 127.0.0.1"))
        if (address.user, address.password) == ("guest", "guest"):
            problems.append(Problem(
                "login guest/guest: everybody knows it",
                "create a user for the gateway, see conf/rabbitmq/definitions.json"))
    if not address.user and not address.tls:
        problems.append(Problem(
            "no user in the broker URL, and without TLS no certificate can stand in for one",
            "write amqp://user:password@host/vhost, or use amqps:// with a client certificate"))
    return problems


def is_loopback(host: str) -> bool:
    """True when packets to `host` cannot leave this machine: an address of 127/8, ::1, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
