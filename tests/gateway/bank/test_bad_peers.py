"""Forty-eight bad peers: each is held by a test that exists, and those in the handshake hear no application byte.

The table names for each peer the tests that play it. What a peer does after a good handshake ends the exchange in doubt.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.tls import client_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.pki import write_key
from setup.machine import free_port
from tests.world import peer_certificates
from tests.world.peers import LOOPBACK, PAYMENT, Peer, TlsFiles

ZOO = "test_tls.test_a_bad_certificate_is_refused_before_a_byte"
LINE = "test_connection.test_what_is_no_answer_ends_the_exchange_with_the_bytes_counted_as_written"
HERE = "test_bad_peers"
PEERS: dict[int, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    1: ("expired", (ZOO,), ("expired",)),
    2: ("not yet valid", (ZOO,), ("not_yet_valid",)),
    3: ("wrong host", (ZOO,), ("wrong_host",)),
    4: ("common name only", (ZOO,), ("common_name_only",)),
    5: ("malformed wildcard", (ZOO,), ("malformed_wildcard", "malformed_wildcard_beside_the_name")),
    6: ("no subject", (ZOO,), ("no_subject",)),
    7: ("another IP address", (ZOO,), ("other_address", "address_only_as_dns_name")),
    8: ("self-signed", (ZOO,), ("self_signed",)),
    9: ("wrong CA of the same name", (ZOO,), ("other_authority_of_the_same_name",)),
    10: ("incomplete chain", (ZOO,), ("incomplete_chain",)),
    11: ("reversed chain", (ZOO,), ("reversed_chain",)),
    12: ("intermediate without CA flag", (ZOO,), ("issuer_without_ca_flag",)),
    13: ("path length broken", (ZOO,), ("path_too_long",)),
    14: ("wrong extended key usage", (ZOO,), ("wrong_purpose",)),
    15: ("key usage missing", (ZOO,), ("key_usage_without_signing", "issuer_that_may_not_sign")),
    16: ("revoked", (ZOO,), ("revoked",)),
    17: ("stale CRL", (ZOO,), ("stale_crl",)),
    18: ("CRL of another issuer", (ZOO,), ("crl_of_another_issuer",)),
    19: ("RSA of 1024 bits", (ZOO,), ("small_key",)),
    20: ("SHA-1", (ZOO,), ("sha1_leaf", "sha1_issuer")),
    21: ("odd curve", ("test_tls.test_odd_curves_are_refused",), ()),
    22: ("10 000 names", (ZOO,), ("ten_thousand_names",)),
    23: ("pin does not fit", (ZOO,), ("other_key_than_pinned", "other_key_than_pinned_without_names")),
    24: ("valid chain of another bank", (ZOO,), ("chain_of_another_bank",)),
    25: ("TLS 1.0", ("test_tls.test_an_old_protocol_version_is_refused",), ()),
    26: ("TLS 1.1", ("test_tls.test_an_old_protocol_version_is_refused",), ()),
    27: ("RSA key exchange", ("test_tls.test_weak_ciphers_are_refused",), ()),
    28: ("CBC, NULL", ("test_tls.test_weak_ciphers_are_refused",), ()),
    29: ("finite-field Diffie-Hellman", ("test_tls.test_weak_ciphers_are_refused",), ()),
    30: ("renegotiation", ("test_tls.test_renegotiation_is_not_entered",), ()),
    31: ("asks for no certificate", ("test_tls.test_a_peer_that_does_not_ask_for_our_certificate_is_not_mutual",), ()),
    32: (
        "rejects ours after the handshake",
        ("test_tls.test_our_certificate_is_refused_after_the_handshake_of_tls_1_3_but_before_any_answer",),
        (),
    ),
    33: (
        "our certificate expired",
        (
            "test_tls.test_our_certificate_is_refused_inside_the_handshake_of_tls_1_2",
            "test_certificate_check.test_a_mistake_is_told_with_file_setting_and_remedy",
        ),
        (),
    ),
    34: ("garbage before the handshake", ("test_dialer.test_a_peer_that_speaks_no_tls_is_named_for_what_it_does",), ()),
    35: ("plain HTTP", ("test_dialer.test_a_peer_that_speaks_no_tls_is_named_for_what_it_does",), ()),
    36: ("the handshake stalls", ("test_dialer.test_a_handshake_that_stalls_ends_in_its_own_time",), ()),
    37: ("the answer drips", ("test_connection.test_an_answer_that_drips_for_ever_is_too_slow",), ()),
    38: ("ends in mid-answer", (LINE,), ()),
    39: (
        "reset in mid-answer",
        ("test_connection.test_where_the_close_ends_the_answer_a_clean_close_delivers_it_and_a_reset_does_not",),
        (),
    ),
    40: ("length of gigabytes", (LINE,), ()),
    41: ("no length", (LINE,), ()),
    42: ("more than was announced", ("test_connection.test_a_flood_is_kept_only_up_to_a_limit",), ()),
    43: ("two answers", (LINE,), ()),
    44: ("answers before it is asked", ("test_connection.test_unasked_bytes_kill_the_session",), ()),
    45: (
        "key updates, empty records",
        (
            f"{HERE}.test_a_storm_of_key_updates_stops_nobody",
            f"{HERE}.test_a_flood_of_records_in_the_handshake_ends_it",
        ),
        (),
    ),
    46: ("accepts TCP, never TLS", ("test_dialer.test_a_handshake_that_stalls_ends_in_its_own_time",), ()),
    47: ("alerts without end", (f"{HERE}.test_a_flood_of_records_in_the_handshake_ends_it",), ()),
    48: (
        "resumption with another certificate",
        ("test_tls.test_a_kept_session_does_not_carry_over_to_a_peer_with_another_certificate",),
        (),
    ),
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


def test_every_bad_peer_is_played() -> None:
    assert sorted(PEERS) == list(range(1, 49))
    played = {make.__name__ for make in peer_certificates.BAD_CERTIFICATES}
    for number, (what, tests, cases) in PEERS.items():
        for test in tests:
            module, _, name = test.partition(".")
            assert hasattr(importlib.import_module(f"tests.gateway.bank.{module}"), name), (number, what, test)
        assert set(cases) <= played, (number, what)
    assert played - {case for _, _, cases in PEERS.values() for case in cases} <= {"pinned_key_of_another_authority"}


@pytest.mark.parametrize(
    "record",
    [
        b"\x15\x03\x03\x00\x02\x01\x5a",
        b"\x15\x03\x03\x00\x02\x01\x00",
        b"\x16\x03\x03\x00\x00",
        b"\x17\x03\x03\x00\x00",
        b"\x14\x03\x03\x00\x01\x01",
    ],
    ids=["warnings", "goodbyes", "empty handshake", "empty data", "change of cipher"],
)
async def test_a_flood_of_records_in_the_handshake_ends_it(net: Any, yard: TlsFiles, record: bytes) -> None:
    peer = Peer(record * 20_000)
    tls = client_context(yard.settings(), SystemClock(net))
    began_s = time.process_time()
    async with peer.listening(net, None):
        with pytest.raises(NotConnected):
            await BankDialer(net, LOOPBACK, peer.port, tls, handshake_timeout_s=2).connect(_never)
    assert PAYMENT not in peer.heard and time.process_time() - began_s < 2


def _never() -> Protocol:
    raise AssertionError("no protocol may be built before the peer is proven")


class _Client(Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[None] = Deferred()
        self.over = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over = True
        self.ended.callback(None)


async def test_a_storm_of_key_updates_stops_nobody(net: Any, yard: TlsFiles, tmp_path: Path) -> None:
    """The connection stays open or ends; the reactor continues in both cases."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    files = tmp_path / "leaf.pem", tmp_path / "leaf.key"
    files[0].write_bytes(yard.leaf().public_bytes(Encoding.PEM))
    write_key(files[1], yard.key)
    port = free_port()
    server = subprocess.Popen(
        [
            openssl,
            "s_server",
            "-accept",
            f"{LOOPBACK}:{port}",
            "-cert",
            str(files[0]),
            "-key",
            str(files[1]),
            "-tls1_3",
            "-Verify",
            "2",
            "-verify_quiet",
            "-CAfile",
            str(yard.ca_file),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    talker, tls = _Client(), client_context(yard.settings(), SystemClock(net))
    try:
        for _again in range(50):
            try:
                await BankDialer(net, LOOPBACK, port, tls).connect(lambda: talker)
                break
            except NotConnected:
                await deferLater(net, 0.1)
        assert server.stdin is not None
        # One command for each read of its.
        for _ in range(100):
            server.stdin.write(b"K\n")
            server.stdin.flush()
            await deferLater(net, 0.01)
        await deferLater(net, 0.2)
        server.stdin.write(b"still here\n")
        server.stdin.flush()
        for _again in range(50):
            if talker.over or b"still here" in talker.heard:
                break
            await deferLater(net, 0.1)
        assert talker.over or b"still here" in talker.heard
    finally:
        server.kill()
        server.wait(10)
    if not talker.over:
        await talker.ended
