"""A real RabbitMQ of our own that speaks TLS only and knows users by their certificates."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults.servers import Rabbit as Node
from gateway.bank.lane_tls import tls_settings
from gateway.bank.tls import client_context
from gateway.erp import broker_address
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import OutgoingMessage, PublishStatus
from gateway.erp.client import AmqpClient
from gateway.kernel.clock import SystemClock
from gateway.kernel.deliveries import Properties
from gateway.settings import Broker
from gateway.simbank.pki import CLIENT_PURPOSE, new_key, write_certificates, write_key
from setup.machine import free_port
from tests.gateway.erp.rabbit import QUICK, ClientListener, running_reactor, until
from tests.world.peers import TlsFiles

USER, VHOST = "gateway", "faults"
CONF = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/broker.pem
ssl_options.keyfile = {folder}/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = EXTERNAL
auth_mechanisms.2 = PLAIN
ssl_cert_login_from = common_name
"""


class Place:
    """The node, and clients that have a certificate in that name and no password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.yard = TlsFiles(folder, datetime.now(UTC))
        write_certificates(folder / "broker.pem", self.yard.leaf(names=("localhost", "127.0.0.1")))
        write_key(folder / "broker.key", self.yard.key)
        self.node = Node(folder / "node")
        with (folder / "node" / "rabbitmq.conf").open("a", encoding="utf-8") as conf:
            conf.write(CONF.format(port=self.port, folder=folder))
        (folder / "node" / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n", encoding="utf-8")
        self._admit(folder / "node" / "definitions.json")

    def _admit(self, definitions: Path) -> None:
        told = json.loads(definitions.read_text(encoding="utf-8"))
        told["users"].append({"name": USER, "password_hash": "", "tags": []})
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        told["permissions"].append({"user": USER, "vhost": VHOST, **rights})
        definitions.write_text(json.dumps(told), encoding="utf-8")

    def client(self, name: str) -> AmqpClient:
        """A client as the daemon makes it from its settings."""
        key = new_key()
        issued = self.yard.root.issue(name, key.public_key(), self.yard.now, purpose=CLIENT_PURPOSE)
        write_certificates(self.folder / f"{name}.pem", issued)
        write_key(self.folder / f"{name}.key", key)
        tls = {
            "ca_file": self.folder / "ca.pem",
            "certificate": self.folder / f"{name}.pem",
            "key": {"file": self.folder / f"{name}.key"},
        }
        broker = Broker.model_validate(
            {"host": "127.0.0.1", "port": self.port, "vhost": VHOST, "user": name, "tls": tls}
        )
        assert broker.tls is not None
        context = client_context(tls_settings(broker.tls, broker.host), SystemClock(running_reactor()))
        settings = AmqpSettings(broker_address.own(broker), patience=QUICK)
        return pika_amqp(running_reactor(), settings, random.Random(7), tls=context)


@pytest.fixture
def place(tmp_path: Path, broker: object) -> Iterator[Place]:
    """The node, running; the fixture `broker` ensures that RabbitMQ is installed."""
    made = Place(tmp_path)
    made.node.open()
    yield made
    made.node.close()


@pytest.mark.broker
@pytest.mark.timeout(120)
async def test_the_client_certificate_is_the_login(place: Place) -> None:
    ours = place.client(USER)
    await ClientListener(ours).up()
    ids = iter(range(10))

    async def publish(user: str) -> PublishStatus:
        properties = Properties(message_id=str(next(ids)), user_id=user)
        return (await ours.publish(OutgoingMessage("amq.topic", "x", b"", properties, mandatory=False))).fate

    assert await publish(USER) is PublishStatus.CONFIRMED
    assert await publish("somebody-else") is PublishStatus.REFUSED, "the broker reads the user from the certificate"
    await ours.close(5)

    stranger = place.client("stranger")
    listener = ClientListener(stranger)
    await until(lambda: len(listener.downs) >= 1)
    assert listener.ups == 0
    assert "ACCESS_REFUSED" in listener.downs[0].reason
    await stranger.close(5)
