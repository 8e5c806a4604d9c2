"""Our relay on the connection: it passes, refuses and loses answers, whatever protocol goes through it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from gateway.jointtest.relay import HOLD_S, LineRelay, TlsRecordSizes
from gateway.kernel.clock import SystemClock
from gateway.kernel.tasks import sleep
from gateway.simbank.pki import BankPki, make_pki

HOST = "127.0.0.1"


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


class Bank(Protocol):
    """Answers every request with the same text in capitals."""

    requests: list[bytes]

    def dataReceived(self, data: bytes) -> None:
        self.requests.append(data)
        cast(Any, self.transport).write(data.upper())


@dataclass
class Client(Protocol):
    """Keeps the received bytes."""

    heard: bytes = b""
    lost: bool = False
    __hash__ = object.__hash__

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True

    def say(self, data: bytes) -> None:
        cast(Any, self.transport).write(data)


@dataclass
class Scene:
    """A bank behind the relay."""

    line: LineRelay
    port: int
    requests: list[bytes]
    stops: list[Any] = field(default_factory=list)

    async def dial(self) -> Client:
        factory = Factory.forProtocol(Client)
        factory.noisy = False
        made = await TCP4ClientEndpoint(_reactor(), HOST, self.port).connect(factory)
        assert isinstance(made, Client)
        return made

    async def until(self, good: Any) -> None:
        for _ in range(500):
            if good():
                return
            await sleep(SystemClock(_reactor()), 0.01)
        raise AssertionError("it did not come")


class _Door:
    """The listening ports that a test opened."""

    def __init__(self) -> None:
        self.ports: list[Any] = []

    def listenTCP(self, *words: Any, **more: Any) -> Any:
        made = _reactor().listenTCP(*words, **more)
        self.ports.append(made)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(_reactor(), name)


async def scene(doors: _Door) -> Scene:
    requests: list[bytes] = []
    factory = Factory.forProtocol(type("Here", (Bank,), {"requests": requests}))
    factory.noisy = False
    bank = await TCP4ServerEndpoint(doors, 0, interface=HOST).listen(factory)
    line = LineRelay(doors)
    return Scene(line, line.stand(HOST, bank.getHost().port, name="business"), requests)


@pytest.fixture
def doors() -> _Door:
    return _Door()


async def over(doors: _Door, *clients: Client) -> None:
    for client in clients:
        if not client.lost:
            cast(Any, client.transport).abortConnection()
    for port in doors.ports:
        stopped = port.stopListening()
        if isinstance(stopped, Deferred):
            await stopped
    await sleep(SystemClock(_reactor()), 0.05)


async def test_it_passes_both_ways(doors: _Door) -> None:
    here = await scene(doors)
    client = await here.dial()
    client.say(b"order 1 ")
    await here.until(lambda: client.heard == b"ORDER 1 ")
    client.say(b"order 2")
    await here.until(lambda: client.heard == b"ORDER 1 ORDER 2")
    assert here.line.obey({"do": "report"}) == {"mode": "pass", "cut": 0, "open": 1}
    await over(doors, client)


async def test_it_refuses_new_connections_and_cuts_old_ones(doors: _Door) -> None:
    here = await scene(doors)
    client = await here.dial()
    here.line.obey({"do": "refuse"})
    await here.until(lambda: client.lost)
    second = await here.dial()
    await here.until(lambda: second.lost)
    assert here.requests == []
    here.line.obey({"do": "pass"})
    third = await here.dial()
    third.say(b"x")
    await here.until(lambda: third.heard == b"X")
    await over(doors, client, second, third)


async def test_a_lost_answer_is_lost_and_the_request_is_not(doors: _Door) -> None:
    here = await scene(doors)
    client = await here.dial()
    client.say(b"before")
    await here.until(lambda: client.heard == b"BEFORE")
    here.line.obey({"do": "swallow"})
    client.say(b"order")
    await here.until(lambda: client.lost)
    assert here.requests == [b"before", b"order"], "the bank has it"
    assert client.heard == b"BEFORE", "and its answer never came"
    assert here.line.cut == 1
    await sleep(SystemClock(_reactor()), HOLD_S / 10)
    await over(doors, client)


@pytest.mark.parametrize(("port", "lost"), [("business", True), ("sign", False)])
async def test_answers_are_lost_on_one_port_only(doors: _Door, port: str, lost: bool) -> None:
    here = await scene(doors)
    client = await here.dial()
    here.line.obey({"do": "swallow", "port": port})
    client.say(b"order")
    await here.until(lambda: client.lost or client.heard == b"ORDER")
    assert client.lost is lost
    await over(doors, client)


async def test_what_it_does_not_know_it_says(doors: _Door) -> None:
    line = LineRelay(doors)
    assert "no command 'cut'" in line.obey({"do": "cut"})["error"]
    assert "error" in line.obey([])
    assert line.mode == "pass"


# ---- TLS: which of a client's records is the first message ---------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BankPki:
    return make_pki(tmp_path_factory.mktemp("pki"), ["sample"], datetime.now(UTC))["sample"]


def _context(pki: BankPki, version: ssl.TLSVersion, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(pki.ca_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = (pki.server_cert, pki.server_key) if server else (pki.client_cert, pki.client_key)
    context.load_cert_chain(Path(cert), Path(key))
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("at_once", [False, True])
def test_the_handshake_is_no_message(pki: BankPki, version: ssl.TLSVersion, piece: int, at_once: bool) -> None:
    """Mutual TLS: in 1.3 certificates are encrypted, and the first message may come with the Finished."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _context(pki, version, server=False).wrap_bio(to_client, to_server, server_hostname="localhost")
    server_in = ssl.MemoryBIO()
    server = _context(pki, version, server=True).wrap_bio(server_in, to_client, server_side=True)
    talk, spoke = TlsRecordSizes(), []

    def carry() -> None:
        data = to_server.read()
        for start in range(0, len(data), piece):
            spoke.append(talk.client_said(data[start : start + piece]))
        server_in.write(data)

    done = [False, False]
    while not all(done):
        for number, side in enumerate((client, server)):
            try:
                side.do_handshake()
                done[number] = True
                if number == 0 and at_once:
                    break
            except ssl.SSLWantReadError:
                pass
            if number == 0:
                carry()
            elif to_client.pending:
                # The relay sees the server's bytes before the client does.
                whole = to_client.read()
                talk.server_said(whole)
                to_client.write(whole)
        if at_once and done[0]:
            break
    if not at_once:
        assert not any(spoke), "the handshake was taken for a message"
    client.write(b"order")
    carry()
    assert spoke[-1] or any(spoke), "the message was taken for the handshake"
    assert talk.speaking
