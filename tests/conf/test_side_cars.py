"""The settings of conf/stunnel and conf/haproxy in the real programs: which connections they carry, and which they
refuse.

Only paths, ports, the bank's name and the user are put in; every other line is the one that is shipped.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory

from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.tls import TlsSettings, client_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, new_key, write_certificates, write_key
from tests.house import ROOT
from tests.world.peers import LOOPBACK, NAME, PAYMENT, EagerClient, Peer, TlsFiles, bad_context, echo

PROGRAMS = ("stunnel", "haproxy")
PATHS = {"stunnel": "stunnel4", "haproxy": "haproxy"}
UP_S = 20.0


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("side-cars"), datetime.now(UTC))


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if _found(name) is None:
        pytest.skip(f"no {name}: bash setup/tools.sh")
    return name


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


def _found(program: str) -> str | None:
    return shutil.which(PATHS[program], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


def shipped(program: str, side: str) -> str:
    """The shipped settings without the user to which the program changes, because only root may change users."""
    end = "conf" if program == "stunnel" else "cfg"
    lines = (ROOT / "conf" / program / f"{side}-side.{end}").read_text("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[:1] not in (["setuid"], ["setgid"], ["user"], ["group"]))


@contextmanager
def running(program: str, folder: Path, text: str, put: Mapping[str, str], port: int) -> Iterator[None]:
    """The program with these settings, until the block ends. Each replaced value must stand in the settings."""
    for old, new in put.items():
        assert old in text, f"the shipped settings have no {old}"
        text = text.replace(old, new)
    file = folder / f"{program}-{port}.conf"
    file.write_text(f"pid =\n{text}" if program == "stunnel" else text, "utf-8")
    path = _found(program)
    assert path is not None
    words = [path, str(file)] if program == "stunnel" else [path, "-db", "-f", str(file)]
    log = file.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out) as up:
        try:
            end_s = time.monotonic() + UP_S
            while not _listens(port):
                assert up.poll() is None and time.monotonic() < end_s, log.read_text("utf-8", "replace")
                time.sleep(0.02)
            yield
        finally:
            up.terminate()
            up.wait(UP_S)


def _listens(port: int) -> bool:
    # The port is looked up and not tried, because a connection would reach the other side.
    wanted = f":{port:04X}"
    return any(
        line.split()[1].endswith(wanted) and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]
    )


def _pair(yard: TlsFiles, chain: tuple[x509.Certificate, ...], key: Any) -> tuple[Path, Path, Path]:
    """A file with a certificate chain, one with its key, and one with both, as haproxy needs it."""
    cert, secret = yard.file(b""), yard.file(b"")
    write_certificates(cert, *chain)
    secret.unlink()
    write_key(secret, key)
    return cert, secret, yard.file(cert.read_bytes() + secret.read_bytes())


def _fep(program: str, yard: TlsFiles, port: int, to: int) -> dict[str, str]:
    """The values for the front end's side."""
    cert, key, both = _pair(yard, (yard.leaf(),), yard.key)
    if program == "haproxy":
        client = x509.load_pem_x509_certificate((yard.folder / "client.pem").read_bytes())
        return {
            ":7443": f"{LOOPBACK}:{port}",
            "127.0.0.1:7070": f"{LOOPBACK}:{to}",
            "/etc/haproxy/fep-server.pem": str(both),
            "/etc/haproxy/gateway-ca.pem": str(yard.ca_file),
            "GATEWAY_SHA256": client.fingerprint(hashes.SHA256()).hex(),
        }
    # verifyPeer needs the exact certificate in the file, beside its authority.
    known = yard.file(yard.ca_file.read_bytes() + (yard.folder / "client.pem").read_bytes())
    return {
        "accept = 7443": f"accept = {LOOPBACK}:{port}",
        "127.0.0.1:7070": f"{LOOPBACK}:{to}",
        "/etc/stunnel/fep-server.pem": str(cert),
        "/etc/stunnel/fep-server.key": str(key),
        "/etc/stunnel/gateway-ca.pem": str(known),
    }


def _gateway(program: str, yard: TlsFiles, port: int, to: int) -> dict[str, str]:
    """The values for the gateway's side. The bank's machine is this one; its name is that in its certificate."""
    cert, key = yard.folder / "client.pem", yard.folder / "client.key"
    ours = {
        "127.0.0.1:7071": f"{LOOPBACK}:{port}",
        "fep.bank.example:8443": f"{LOOPBACK}:{to}",
        "fep.bank.example": NAME,
    }
    if program == "haproxy":
        both = yard.file(cert.read_bytes() + key.read_bytes())
        return {**ours, "/etc/haproxy/client.pem": str(both), "/etc/haproxy/bank-ca.pem": str(yard.ca_file)}
    return {
        **ours,
        "/etc/stunnel/client.pem": str(cert),
        "/etc/stunnel/client.key": str(key),
        "/etc/stunnel/bank-ca.pem": str(yard.ca_file),
    }


async def dialled(net: Any, port: int, settings: TlsSettings) -> bytes | None:
    """Dial as the gateway does, and send a payment. The answer, or None if the other side lets nothing through."""
    try:
        talker = await BankDialer(net, LOOPBACK, port, client_context(settings, SystemClock(net))).connect(EagerClient)
    except NotConnected:
        return None
    return await _answer(talker)


async def plain(net: Any, port: int) -> bytes | None:
    """Send a payment without TLS, over the loopback, and return the answer."""
    connecting: Deferred[Any] = TCP4ClientEndpoint(net, LOOPBACK, port).connect(Factory.forProtocol(EagerClient))
    return await _answer(await connecting)


async def _answer(talker: EagerClient) -> bytes | None:
    talker.lost.addCallback(lambda _why: None if talker.answer.called else talker.answer.callback(b""))
    said = await talker.answer
    talker.hang_up()
    return said or None


async def test_the_front_ends_side_lets_the_gateway_through_and_nobody_else(
    program: str, yard: TlsFiles, net: Any, tmp_path: Path
) -> None:
    port, other_key = free_port(), new_key()
    colleague = yard.root.issue("another client", other_key.public_key(), yard.now, purpose=CLIENT_PURPOSE)
    stranger = Authority.root("somebody else", yard.now)
    unknown = stranger.issue("gateway", other_key.public_key(), yard.now, purpose=CLIENT_PURPOSE)
    front_end = Peer(behave=echo)
    async with front_end.listening(net, None):
        put = _fep(program, yard, port, front_end.port)
        with running(program, tmp_path, shipped(program, "fep"), put, port):
            for chain in ((colleague,), (unknown,)):
                cert, key, _ = _pair(yard, chain, other_key)
                assert await dialled(net, port, yard.settings(client_cert=cert, client_key=key)) is None
            nobody = yard.settings(client_cert=None, client_key=None, require_mutual=False)
            assert await dialled(net, port, nobody) is None
            assert await plain(net, port) is None
            assert front_end.heard == b""
            for version in ("1.2", "1.3"):
                good = yard.settings(min_version=version, max_version=version)
                assert await dialled(net, port, good) == PAYMENT
            assert front_end.heard == PAYMENT * 2


async def test_the_gateways_side_speaks_to_its_bank_and_to_nobody_else(
    program: str, yard: TlsFiles, net: Any, tmp_path: Path
) -> None:
    port = free_port()
    stranger = Authority.root("somebody else", yard.now)
    false = {
        "another name": yard.leaf(subject="www.bank.test", names=("www.bank.test",)),
        "another authority": yard.leaf(stranger),
    }
    for what, leaf in {**false, "the bank": yard.leaf()}.items():
        bank = Peer(behave=echo)
        async with bank.listening(net, bad_context([leaf], yard.key, ask=yard.ca_file)):
            put = _gateway(program, yard, port, bank.port)
            with running(program, tmp_path, shipped(program, "gateway"), put, port):
                said = await plain(net, port)
        assert (said, bank.heard) == ((PAYMENT, PAYMENT) if what == "the bank" else (None, b"")), what


def test_the_gateways_side_listens_on_the_loopback_only() -> None:
    for program in PROGRAMS:
        told = shipped(program, "gateway")
        doors = [line.split()[-1] for line in told.splitlines() if line.split()[:1] in (["accept"], ["bind"])]
        assert doors == ["127.0.0.1:7071"], program
