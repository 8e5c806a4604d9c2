"""Where the broker is, and who we are there."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.settings import Broker


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker. Without `password` the client certificate is the login (SASL EXTERNAL), so `tls` is set."""

    host: str
    port: int
    vhost: str
    user: str
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port} (vhost {self.vhost})"


def own(broker: Broker) -> BrokerAddress:
    """The gateway's own login. Raises OSError when its password cannot be read."""
    password = None if broker.password is None else broker.password.read().decode()
    return BrokerAddress(broker.host, broker.port, broker.vhost, broker.user, password, tls=broker.tls is not None)
