"""Keys behind a signing service: the sample service of conf/samples signs; every other answer means that nothing was
signed."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from gateway import settings as conf
from gateway.bank.key_trouble import NotSigned
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.outside_signer import RETRY_S, OutsideSigner
from gateway.bank.tls import server_context
from gateway.kernel.clock import SystemEntropy
from gateway.simbank.pki import BankPki, make_pki
from protocols.kit import http
from protocols.kit.errors import CannotAsk
from tests.gateway.bank.test_pkcs11_token import LaterClock, well

OCTETS = "支付 pay".encode()
SAMPLE = Path(__file__).parents[3] / "conf/samples/signing_service.py"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BankPki]:
    return make_pki(tmp_path_factory.mktemp("pki"), ["own", "other"], datetime.now(UTC))


def signer_at(port: int, pki: BankPki, *, client: BankPki | None = None, timeout_s: float = 5.0) -> OutsideSigner:
    from twisted.internet import reactor

    client = client or pki
    table = conf.SigningKey.model_validate(
        {
            "remote": {
                "host": "127.0.0.1",
                "port": port,
                "name": "order",
                "timeout_s": timeout_s,
                "tls": {
                    "ca_file": str(pki.ca_cert),
                    "certificate": str(client.client_cert),
                    "key": {"file": str(client.client_key)},
                },
            },
            "certificate": str(pki.gateway_sign_cert),
        }
    )
    clock = LaterClock(reactor)
    return OutsideKeys(reactor, clock, SystemEntropy()).signer("order", table)


def signing_key(pki: BankPki) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pki.gateway_sign_key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


# ---- the sample service ----


@pytest.fixture
def sample(pki: dict[str, BankPki]) -> Iterator[int]:
    own = pki["own"]
    words: list[object] = ["--listen", "127.0.0.1:0", "--certificate", own.server_cert, "--key", own.server_key]
    words += ["--client-ca", own.ca_cert, "--signing-key", f"order={own.gateway_sign_key}"]
    service = subprocess.Popen(
        [sys.executable, *map(str, (SAMPLE, *words))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert service.stdout is not None
    try:
        yield int(service.stdout.readline().rpartition(":")[2])
    finally:
        service.terminate()
        service.wait()
        service.stdout.close()


async def test_the_sample_service_signs(sample: int, pki: dict[str, BankPki]) -> None:
    signer = signer_at(sample, pki["own"])
    for octets in (OCTETS, b"", b"x" * 300_000):
        signature = await signer.sign(octets)
        signing_key(pki["own"]).public_key().verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    assert signer.trouble is None


async def test_the_sample_service_refuses_a_client_of_another_authority(sample: int, pki: dict[str, BankPki]) -> None:
    signer = signer_at(sample, pki["own"], client=pki["other"])
    with pytest.raises(NotSigned) as told:
        await signer.sign(OCTETS)
    assert told.value.trouble.reason in ("no_answer", "service_away")


# ---- services that fail ----

Answer = Callable[[dict[str, Any], "Service"], bytes | None]


class Service(Protocol):
    """Answers a request as the test says; None: not at all."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._cutter = http.HttpRequests().cutter(1_000_000)

    def dataReceived(self, data: bytes) -> None:
        for frame in self._cutter.feed(data):
            told = self._answer(json.loads(http.parse_request(frame).body), self)
            if told is not None and self.transport is not None:
                self.transport.write(told)

    def hang_up(self) -> None:
        """Close after what was written."""
        transport: Any = self.transport
        transport.loseConnection()


class Serving:
    """A TLS service on a free port. `asked` counts the requests."""

    def __init__(self, pki: BankPki, answer: Answer) -> None:
        from twisted.internet import reactor

        self.asked = 0
        self.answer = answer
        net: Any = reactor
        factory = Factory.forProtocol(lambda: Service(self._counted))
        factory.noisy = False
        tls = server_context(pki.server_cert, pki.server_key, pki.ca_cert)
        self._port: Any = net.listenTCP(0, TLSMemoryBIOFactory(tls, False, factory), interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def _counted(self, asked: dict[str, Any], service: Service) -> bytes | None:
        self.asked += 1
        return self.answer(asked, service)

    async def close(self) -> None:
        await self._port.stopListening()


def told(status: int, words: object) -> bytes:
    body = words if isinstance(words, bytes) else json.dumps(words).encode()
    return http.answer(status, (("Content-Type", "application/json"),), body)


def good(asked: dict[str, Any], key: rsa.RSAPrivateKey, octets: bytes | None = None) -> bytes:
    signed = octets if octets is not None else base64.b64decode(asked["octets"])
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return told(200, {"id": asked["id"], "signature": base64.b64encode(signature).decode()})


def closes_in_the_middle(asked: dict[str, Any], service: Service, key: rsa.RSAPrivateKey) -> None:
    assert service.transport is not None
    service.transport.write(good(asked, key)[:-20])
    service.hang_up()


ANSWERS: dict[str, tuple[str, Callable[[rsa.RSAPrivateKey], Answer]]] = {
    "of other octets": ("wrong_signature", lambda key: lambda asked, _: good(asked, key, b"pay somebody else")),
    "no signature": (
        "wrong_signature",
        lambda _: lambda asked, _s: told(200, {"id": asked["id"], "signature": "AAAA"}),
    ),
    "empty": ("wrong_signature", lambda _: lambda asked, _s: told(200, {"id": asked["id"], "signature": ""})),
    "not Base64": ("bad_answer", lambda _: lambda asked, _s: told(200, {"id": asked["id"], "signature": "支付"})),
    "a number": ("bad_answer", lambda _: lambda asked, _s: told(200, {"id": asked["id"], "signature": 7})),
    "to another request": ("bad_answer", lambda key: lambda asked, _: good({**asked, "id": "0" * 32}, key)),
    "a list": ("bad_answer", lambda _: lambda _a, _s: told(200, [])),
    "not JSON": ("bad_answer", lambda _: lambda _a, _s: told(200, b"<html>")),
    "too long": ("no_answer", lambda _: lambda _a, _s: told(200, b" " * 100_000)),
    "two answers": ("no_answer", lambda key: lambda asked, _: good(asked, key) * 2),
    "not HTTP": ("no_answer", lambda _: lambda _a, _s: b"220 welcome\r\n\r\n"),
    "closed in the middle": ("no_answer", lambda key: lambda asked, s: closes_in_the_middle(asked, s, key)),
    "closed at once": ("no_answer", lambda _: lambda _a, s: s.hang_up()),
    "late": ("no_answer", lambda _: lambda _a, _s: None),
    "refused": ("service_refused", lambda _: lambda _a, _s: told(403, {"error": "outside of hours"})),
    "moved": ("service_refused", lambda _: lambda _a, _s: told(302, b"")),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_any_other_answer_means_that_nothing_was_signed(kind: str, pki: dict[str, BankPki]) -> None:
    reason, answer = ANSWERS[kind]
    key = signing_key(pki["own"])
    service = Serving(pki["own"], answer(key))
    try:
        signer = signer_at(service.port, pki["own"], timeout_s=0.3 if kind == "late" else 5.0)
        with pytest.raises(NotSigned) as refusal:
            await signer.sign(OCTETS)
        assert refusal.value.trouble.reason == reason, refusal.value
        assert not refusal.value.trouble.lasting and service.asked == 1
        with pytest.raises(NotSigned):
            await signer.sign(OCTETS)
        assert service.asked == 1, "it is left alone for a moment"
        service.answer = lambda asked, _: good(asked, key)
        clock: Any = signer._clock
        clock.ahead_s += RETRY_S
        assert await signer.sign(OCTETS) and signer.trouble is None
    finally:
        await service.close()


async def test_a_message_that_the_service_never_signs_leaves_the_key_well(pki: dict[str, BankPki]) -> None:
    key = signing_key(pki["own"])
    service = Serving(pki["own"], lambda _a, _s: told(422, {"error": "payee not on the list"}))
    try:
        signer = signer_at(service.port, pki["own"])
        with pytest.raises(CannotAsk, match="payee not on the list") as refusal:
            await signer.sign(OCTETS)
        assert not isinstance(refusal.value, NotSigned) and well(signer)
        await signer.sign_when_due(b"random", 0.0)
        assert well(signer) and service.asked == 2
        service.answer = lambda asked, _: good(asked, key)
        assert await signer.sign(OCTETS), "the next message is asked for at once"
    finally:
        await service.close()


async def test_what_the_service_says_is_shown_without_account_numbers(pki: dict[str, BankPki]) -> None:
    service = Serving(pki["own"], lambda _a, _s: told(403, {"error": "no order from 0000222200001111\n"}))
    try:
        with pytest.raises(NotSigned) as refusal:
            await signer_at(service.port, pki["own"]).sign(OCTETS)
        assert (
            "***1111" in refusal.value.text and "22220000" not in refusal.value.text and "\n" not in refusal.value.text
        )
    finally:
        await service.close()


async def test_a_service_that_is_not_there(pki: dict[str, BankPki]) -> None:
    service = Serving(pki["own"], lambda _a, _s: None)
    await service.close()
    with pytest.raises(NotSigned) as refusal:
        await signer_at(service.port, pki["own"]).sign(OCTETS)
    assert refusal.value.trouble.reason == "service_away"


async def test_a_service_of_another_authority_gets_no_octets(pki: dict[str, BankPki]) -> None:
    service = Serving(pki["other"], lambda _a, _s: None)
    try:
        with pytest.raises(NotSigned) as refusal:
            await signer_at(service.port, pki["own"]).sign(OCTETS)
        assert refusal.value.trouble.reason == "service_away" and service.asked == 0
    finally:
        await service.close()
