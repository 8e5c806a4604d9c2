"""A simulated bank notes what is wrong with a client's connection: its certificate, its TLS, half a request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from gateway.simbank.config import SimConfig
from gateway.simbank.exchange_log import ConnectionTrouble, LoggedExchange, read_exchanges
from gateway.simbank.pki import BankPki, make_pki
from gateway.simbank.service import serve
from tests.gateway.simbank.files import config_text, pki
from tests.gateway.simbank.test_server import reactor, until
from tests.world.within import within

Visit = Callable[[int], None]


def context(files: BankPki | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(pki().ca_cert))
    if files is not None:
        made.load_cert_chain(files.client_cert, files.client_key)
    return made


def called(port: int, tls: ssl.SSLContext | None, data: bytes) -> None:
    """Connect, write, and read until the bank closes or has nothing to say."""
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        try:
            secured = line if tls is None else tls.wrap_socket(line, server_hostname="localhost")
            with secured:
                secured.sendall(data)
                if tls is None or b"zzzz" in data:
                    secured.recv(100)
                else:
                    # A certificate that is missing shows to the client at its first read only.
                    secured.settimeout(0.2)
                    secured.recv(100)
        except OSError:
            pass


async def seen_of(visit: Visit, tmp_path: Path, *, plain: bool = False) -> LoggedExchange:
    """The one line that the bank logs of a visit."""
    config = replace(SimConfig.from_file(config_text(tmp_path)), fault_rates={}, exchange_log=tmp_path / "log")
    running: Any = serve(reactor(), replace(config, tls=None) if plain else config)
    try:
        await deferToThread(visit, running.bank.ports["business"])
        await until(lambda: bool(list(read_exchanges(tmp_path / "log"))))
    finally:
        await running.stop()
        await until(lambda: not running.bank._sessions)
    [one] = read_exchanges(tmp_path / "log")
    return one


@within(20)
async def test_no_client_certificate(tmp_path: Path) -> None:
    one = await seen_of(lambda port: called(port, context(None), b"x"), tmp_path)
    assert (one.trouble, one.client, one.touch) == (ConnectionTrouble.NO_CERTIFICATE, "", "probe")
    assert one.connection == 1 and one.peer.startswith("127.0.0.1:")


@within(20)
async def test_a_certificate_of_another_authority(tmp_path: Path) -> None:
    other = make_pki(tmp_path / "other", ["sample"], datetime.now(UTC))["sample"]
    one = await seen_of(lambda port: called(port, context(other), b"x"), tmp_path)
    assert one.trouble == ConnectionTrouble.WRONG_CERTIFICATE
    assert one.complaint.startswith("CN=sample gateway is of an authority that this bank does not know"), one.complaint


@within(20)
async def test_plain_http_at_a_tls_port(tmp_path: Path) -> None:
    one = await seen_of(lambda port: called(port, None, b"POST / HTTP/1.1\r\n\r\n"), tmp_path)
    assert one.trouble == ConnectionTrouble.NOT_TLS and one.request.startswith(b"POST / HTTP")


@within(20)
async def test_tls_at_a_plain_port(tmp_path: Path) -> None:
    one = await seen_of(lambda port: called(port, context(pki()), b"x"), tmp_path, plain=True)
    assert one.trouble == ConnectionTrouble.TLS_AT_PLAIN_PORT


@within(20)
async def test_a_client_that_does_not_know_the_bank(tmp_path: Path) -> None:
    one = await seen_of(lambda port: called(port, ssl.create_default_context(), b"x"), tmp_path)
    assert one.trouble == ConnectionTrouble.CLIENT_REFUSED_BANK


@within(20)
async def test_a_port_that_was_only_opened(tmp_path: Path) -> None:
    def visit(port: int) -> None:
        socket.create_connection(("127.0.0.1", port), 5).close()

    one = await seen_of(visit, tmp_path)
    assert (one.trouble, one.request) == (ConnectionTrouble.LEFT_IN_HANDSHAKE, b"")


@pytest.mark.parametrize(
    ("data", "trouble"), [(b"00000500<Sample", ConnectionTrouble.HALF_FRAME), (b"0000zzzz<x/>", "frame_length")]
)
@within(20)
async def test_a_request_that_is_none(tmp_path: Path, data: bytes, trouble: str) -> None:
    one = await seen_of(lambda port: called(port, context(pki()), data), tmp_path)
    assert one.trouble == trouble and one.client.startswith("CN=sample gateway (serial ")
