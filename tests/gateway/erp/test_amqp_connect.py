"""The broker client while it connects: over TLS, with a refused login, and to a port where nobody listens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import ssl

from gateway.erp.amqp_types import PublishStatus
from tests.gateway.erp.rabbit import ClientListener, Rabbit, message, rabbit_for_tests, until
from tests.gateway.erp.two_queues import QUEUE, two_queues

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def house() -> Iterator[Rabbit]:
    with rabbit_for_tests("amqp-connect") as rabbit:
        yield rabbit


@pytest.fixture
def rabbit(house: Rabbit) -> Iterator[Rabbit]:
    yield house
    house.stop()


async def test_a_wrong_password_or_vhost_is_explained_and_tried_again(rabbit: Rabbit) -> None:
    wrong = rabbit.client(address=replace(rabbit.address, password="wrong"))
    listener = ClientListener(wrong)
    await until(lambda: len(listener.downs) >= 2)
    assert "403 ACCESS_REFUSED" in listener.downs[0].reason
    assert "check user and password" in listener.downs[0].reason
    assert "wrong" not in listener.downs[0].reason
    nowhere = rabbit.client(address=replace(rabbit.address, vhost="bankgw-no-such-vhost"))
    listener = ClientListener(nowhere)
    await until(lambda: len(listener.downs) >= 1)
    assert "check the vhost" in listener.downs[0].reason


async def test_nobody_listening_is_explained(rabbit: Rabbit) -> None:
    wire = rabbit.wire()
    await wire.close()
    client = rabbit.client(port=wire.port)
    listener = ClientListener(client)
    await until(lambda: len(listener.downs) >= 1)
    assert "cannot be reached" in listener.downs[0].reason


def certificate(name: str, issuer: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """(certificate, key), signed by `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    return built, key


def loaded(pair: tuple[Any, Any]) -> ssl.PrivateCertificate:
    """The certificate in the form that Twisted needs."""
    pem = pair[0].public_bytes(serialization.Encoding.PEM) + pair[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaded: ssl.PrivateCertificate = ssl.PrivateCertificate.loadPEM(pem)
    return loaded


async def test_amqps_with_a_client_certificate(rabbit: Rabbit) -> None:
    authority = certificate("test authority", None)
    anchor = ssl.Certificate.loadPEM(authority[0].public_bytes(serialization.Encoding.PEM))
    server, ours = loaded(certificate("broker", authority)), loaded(certificate("bankgw", authority))
    wire = rabbit.wire(server.options(anchor))
    address = replace(rabbit.address, host="localhost", port=wire.port, tls=True)

    client = rabbit.client(address=address, tls=ssl.optionsForClientTLS("localhost", anchor, ours), prepare=two_queues)
    await ClientListener(client).up()
    assert (await client.publish(message(1, QUEUE))).fate is PublishStatus.CONFIRMED

    stranger = rabbit.client(address=address, tls=ssl.optionsForClientTLS("localhost", anchor))
    listener = ClientListener(stranger)
    await until(lambda: len(listener.downs) >= 1)
    assert listener.ups == 0


def test_tls_and_its_settings_belong_together(rabbit: Rabbit) -> None:
    with pytest.raises(ValueError, match="needs TLS settings"):
        rabbit.client(address=replace(rabbit.address, tls=True))
    with pytest.raises(ValueError, match="takes none"):
        rabbit.client(address=rabbit.address, tls=object())


def test_importing_installs_no_reactor() -> None:
    program = "import sys, gateway.erp.amqp; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_client_that_is_stopped_while_it_dials_logs_no_failure(rabbit: Rabbit) -> None:
    """An unexpected log entry of a failure would fail this test (tests/conftest.py)."""
    client = rabbit.client(prepare=two_queues)
    client.start(lambda: None, lambda _down: None)
    await client.close(0.0)
