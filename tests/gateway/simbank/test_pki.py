"""The temporary PKI: its files fit together, are private and quickly made, and work for real mutual TLS."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import PolicyBuilder, Store

from gateway.bank.certificate_check import check
from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.handshake_errors import Reason
from gateway.bank.signers import KeySettings, read_certificates, read_private_key, signers
from gateway.bank.tls import ServerTls, TlsSettings, client_context, server_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.pki import BankPki, make_pki
from tests.world.peers import LOOPBACK, PAYMENT, EagerClient, Peer, echo

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BankPki]:
    return make_pki(tmp_path_factory.mktemp("pki") / "made", ["sample", "pab"], NOW)


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


def client(bank: BankPki, **other: Any) -> TlsSettings:
    good: dict[str, Any] = {
        "server_name": bank.server_name,
        "ca_file": bank.ca_cert,
        "client_cert": bank.client_cert,
        "client_key": bank.client_key,
    }
    return TlsSettings(**{**good, **other})


def serving(bank: BankPki, **other: Any) -> ServerTls:
    return server_context(bank.server_cert, bank.server_key, bank.ca_cert, **other)


def test_the_files_have_fixed_names_and_private_keys_are_private(pki: dict[str, BankPki]) -> None:
    folder = pki["sample"].folder
    parts = (
        "ca-cert",
        "server-cert",
        "server-key",
        "client-cert",
        "client-key",
        "gateway-sign-cert",
        "gateway-sign-key",
        "bank-sign-cert",
        "bank-sign-key",
    )
    expected = {f"{bank}-{part}.pem" for bank in ("sample", "pab") for part in parts}
    assert {file.name for file in folder.iterdir()} == expected
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in folder.glob("*-key.pem"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert BankPki(folder, "sample") == pki["sample"]


def test_every_party_has_a_key_of_its_own(pki: dict[str, BankPki]) -> None:
    keys = [read_private_key(file) for file in pki["sample"].folder.glob("*-key.pem")]
    numbers = {key.private_numbers().p for key in keys if isinstance(key, rsa.RSAPrivateKey) and key.key_size == 2048}
    assert len(numbers) == 8


def test_another_implementation_accepts_the_server_certificate(pki: dict[str, BankPki]) -> None:
    for bank in pki.values():
        verifier = PolicyBuilder().store(Store(read_certificates(bank.ca_cert))).time(NOW)
        (leaf,) = read_certificates(bank.server_cert)
        verifier.build_server_verifier(x509.DNSName(bank.server_name)).verify(leaf, [])


def test_certificates_live_for_days_not_years(pki: dict[str, BankPki]) -> None:
    for file in pki["sample"].folder.glob("*-cert.pem"):
        for certificate in read_certificates(file):
            assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc < NOW + timedelta(days=30)


def test_the_gateway_finds_nothing_wrong_with_it(pki: dict[str, BankPki]) -> None:
    for bank in pki.values():
        assert check(client(bank), NOW) == []
        keys = [
            KeySettings("gateway", bank.gateway_sign_key, bank.gateway_sign_cert),
            KeySettings("bank", bank.bank_sign_key, bank.bank_sign_cert),
        ]
        assert set(signers(keys, production=True, nonce=b"n")) == {"gateway", "bank"}


def test_two_banks_are_made_in_time(tmp_path: Path) -> None:
    began_s = time.process_time()
    make_pki(tmp_path, ["one", "two"], NOW)
    make_pki(tmp_path, ["one", "two"], NOW)
    assert time.process_time() - began_s < 6.0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ["sample.bank.test", "localhost", LOOPBACK])
async def test_a_simulated_bank_and_the_gateway_trust_each_other(
    net: Any, pki: dict[str, BankPki], name: str, version: Any
) -> None:
    bank = pki["sample"]
    tls = client_context(client(bank, server_name=name, resumption=True), SystemClock(net))
    async with Peer(behave=echo).listening(net, serving(bank, max_version=version)) as peer:
        for _ in range(2):
            talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
            assert await talker.answer == PAYMENT
            talker.hang_up()
            await talker.lost
    assert tls.resumed == (1 if version == "1.2" else 0)


async def test_a_simulated_bank_may_refuse_to_resume(net: Any, pki: dict[str, BankPki]) -> None:
    bank = pki["sample"]
    tls = client_context(client(bank, resumption=True), SystemClock(net))
    async with Peer(behave=echo).listening(net, serving(bank, max_version="1.2", resumption=False)) as peer:
        for _ in range(2):
            talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
            assert await talker.answer == PAYMENT
            talker.hang_up()
            await talker.lost
    assert tls.resumed == 0


async def test_a_simulated_bank_refuses_strangers(net: Any, pki: dict[str, BankPki]) -> None:
    bank, other = pki["sample"], pki["pab"]
    stranger = client(bank, client_cert=other.client_cert, client_key=other.client_key, max_version="1.2")
    nobody = client(bank, client_cert=None, client_key=None, require_mutual=False, max_version="1.2")
    async with Peer().listening(net, serving(bank)) as peer:
        for settings, reason in ((stranger, Reason.CLIENT_CERT_REFUSED), (nobody, Reason.HANDSHAKE_FAILURE)):
            with pytest.raises(NotConnected) as refused:
                await BankDialer(net, LOOPBACK, peer.port, client_context(settings, SystemClock(net))).connect(
                    EagerClient
                )
            assert refused.value.reason is reason
    assert peer.heard == b""
