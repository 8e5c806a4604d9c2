"""The check of a bank's port fails at the step at which the connection fails, and sends no application byte."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.bank.dialer import BankDialer
from gateway.bank.line_check import LineChecker, LineRung
from gateway.bank.tls import client_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.pki import Authority, write_certificates
from tests.world.peers import LOOPBACK, Peer, TlsFiles, bad_context

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


async def rungs(net: Any, yard: TlsFiles, port: int, host: str = LOOPBACK, **settings: Any) -> tuple[LineRung, ...]:
    tls = client_context(yard.settings(**settings), SystemClock(net))
    return await LineChecker(net, SystemClock(net), host, BankDialer(net, host, port, tls)).check()


def told(found: tuple[LineRung, ...]) -> list[tuple[str, bool, str]]:
    return [(one.rung, one.ok, one.reason) for one in found]


async def test_a_good_line_shows_version_suite_chain_and_both_certificates(net: Any, yard: TlsFiles) -> None:
    peer = Peer()
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file)):
        found = await rungs(net, yard, peer.port)
    assert told(found) == [("name", True, ""), ("tcp", True, ""), ("tls", True, "")]
    seen = "\n".join(found[2].seen)
    assert "TLSv1.3, suite TLS_" in seen and "the bank's certificate: CN=fep.bank.test" in seen
    assert "our certificate: CN=gateway" in seen and "issued by CN=Bank of Tests root" in seen
    assert peer.heard == b"" and peer.connections == 1


async def test_nobody_listens(net: Any, yard: TlsFiles) -> None:
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = gone.getsockname()[1]
    found = await rungs(net, yard, port)
    assert told(found) == [("name", True, ""), ("tcp", False, "refused")] and "front end is running" in found[1].fix


async def test_a_name_that_does_not_exist(net: Any, yard: TlsFiles) -> None:
    found = await rungs(net, yard, 1, host="no-such-bank.invalid")
    assert told(found) == [("name", False, "dns")] and "resolver" in found[0].fix


async def test_a_port_that_speaks_no_tls(net: Any, yard: TlsFiles) -> None:
    peer = Peer(HTTP)
    async with peer.listening(net, None):
        assert told(await rungs(net, yard, peer.port))[1:] == [("tcp", True, ""), ("tls", False, "not_tls")]


async def test_a_certificate_that_names_somebody_else_is_shown(net: Any, yard: TlsFiles) -> None:
    peer = Peer()
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file)):
        found = await rungs(net, yard, peer.port, server_name="other.bank.test")
    assert told(found)[2] == ("tls", False, "wrong_name")
    assert "the bank's certificate: CN=fep.bank.test" in "\n".join(found[2].seen)
    assert peer.heard == b""


async def test_a_bank_that_refuses_our_certificate_after_the_handshake(net: Any, yard: TlsFiles) -> None:
    peer = Peer()
    # The peer trusts another root than the one that issued our certificate.
    other = yard.file(b"")
    write_certificates(other, Authority.root("Another root", yard.now).certificate)
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=other)):
        found = await rungs(net, yard, peer.port)
    assert told(found)[2] == ("tls", False, "client_cert_refused")
    assert "check expiry and registration" in found[2].fix and "our certificate" in "\n".join(found[2].seen)


async def test_a_plain_lane_says_so(net: Any) -> None:
    peer = Peer()
    async with peer.listening(net, None):
        checker = LineChecker(net, SystemClock(net), LOOPBACK, BankDialer(net, LOOPBACK, peer.port, None))
        found = await checker.check()
    assert told(found) == [("name", True, ""), ("tcp", True, ""), ("tls", True, "")] and "plain" in found[2].seen[0]
