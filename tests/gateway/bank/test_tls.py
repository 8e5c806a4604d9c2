"""Bad peers: each is refused for the right reason and in time, and never hears an application byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError
from twisted.internet import ssl
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.handshake_errors import Reason, explain
from gateway.bank.signers import KeyFileError
from gateway.bank.tls import SESSION_LIFETIME_S, ClientTls, TlsSettings, client_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, new_key, write_key
from tests.conftest import LoggedFailures
from tests.world import peer_certificates
from tests.world.peers import LOOPBACK, NAME, PAYMENT, EagerClient, Peer, TlsFiles, bad_context, echo

ONLY_1_2 = (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION)
ONLY_1_3 = (SSL.TLS1_3_VERSION, SSL.TLS1_3_VERSION)
ONLY = {"1.2": ONLY_1_2, "1.3": ONLY_1_3}
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


async def refusal(net: Any, peer: Peer, settings: TlsSettings) -> NotConnected:
    """Dial a peer that must be refused before a protocol is built; returns the refusal."""
    built: list[EagerClient] = []

    def build() -> EagerClient:
        built.append(EagerClient())
        return built[-1]

    with pytest.raises(NotConnected) as refused:
        await BankDialer(net, LOOPBACK, peer.port, client_context(settings, SystemClock(net))).connect(build)
    assert built == []
    for one in list(peer.open):
        await one.lost  # the peer has read everything that it will ever get
    return refused.value


async def accepted(net: Any, peer: Peer, tls: ClientTls) -> None:
    """Dial a peer that must be accepted: it echoes our payment. Hangs up."""
    talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
    assert await talker.answer == PAYMENT
    talker.hang_up()
    await talker.lost


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("make", peer_certificates.BAD_CERTIFICATES)
async def test_a_bad_certificate_is_refused_before_a_byte(
    net: Any, yard: TlsFiles, make: Callable[[TlsFiles], peer_certificates.PeerCase], version: str
) -> None:
    case = make(yard)
    peer = Peer()
    context = bad_context(case.chain, case.key, ask=yard.ca_file, versions=ONLY[version])
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings(**case.settings))
    assert refused.reason is case.reason, refused
    assert (peer.connections, peer.heard) == (1, b"")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    "weak", [peer_certificates.small_key, peer_certificates.sha1_leaf, peer_certificates.sha1_issuer]
)
async def test_the_legacy_profile_makes_no_concession_to_certificates(
    net: Any, yard: TlsFiles, weak: Callable[[TlsFiles], peer_certificates.PeerCase], version: str
) -> None:
    case = weak(yard)
    peer = Peer()
    context = bad_context(case.chain, case.key, ask=yard.ca_file, versions=ONLY[version])
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings(legacy=True))
    assert refused.reason is case.reason, refused
    assert peer.heard == b""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("make", peer_certificates.GOOD_CERTIFICATES)
async def test_a_good_peer_is_accepted(
    net: Any, yard: TlsFiles, make: Callable[[TlsFiles], peer_certificates.PeerCase], version: str
) -> None:
    case = make(yard)
    peer = Peer(behave=echo)
    tls = client_context(yard.settings(**case.settings), SystemClock(net))
    context = bad_context(case.chain, case.key, ask=yard.ca_file, versions=ONLY[version])
    async with peer.listening(net, context):
        await accepted(net, peer, tls)
    assert tls.peer_not_after == case.chain[0].not_valid_after_utc


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_trouble_inside_the_verification_means_no(
    net: Any, yard: TlsFiles, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("gateway.bank.tls.verify_certificate_hostname", broken)
    peer = Peer()
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY[version])
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings())
    assert refused.reason is Reason.BAD_CERTIFICATE
    assert "a bug" in refused.detail
    assert peer.heard == b""


@pytest.mark.parametrize("make", [peer_certificates.common_name_only, peer_certificates.malformed_wildcard])
async def test_twisted_alone_would_have_paid_the_peers_we_refuse(
    net: Any, yard: TlsFiles, make: Callable[[TlsFiles], peer_certificates.PeerCase], logged_failures: LoggedFailures
) -> None:
    case = make(yard)
    peer = Peer(behave=echo)
    root = ssl.Certificate.loadPEM(yard.root.certificate.public_bytes(Encoding.PEM))
    async with peer.listening(net, bad_context(case.chain, case.key, ask=None)):
        options = ssl.optionsForClientTLS(NAME, trustRoot=root)
        endpoint = wrapClientTLS(options, TCP4ClientEndpoint(net, LOOPBACK, peer.port))
        talker = cast(EagerClient, await endpoint.connect(Factory.forProtocol(EagerClient)))
        ended: list[Deferred[Any]] = [talker.answer, talker.lost]
        await DeferredList(ended, fireOnOneCallback=True)
        if not talker.answer.called:
            pytest.skip("this Twisted closes the hole")
        assert peer.heard == PAYMENT
        assert logged_failures.take(CertificateError)
        talker.hang_up()
        await talker.lost
        before = len(peer.heard)
        refused = await refusal(net, peer, yard.settings(require_mutual=False))
    assert (refused.reason, len(peer.heard)) == (case.reason, before)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_bad_certificate_ends_the_handshake_itself_whoever_drives_it(
    net: Any, yard: TlsFiles, version: str
) -> None:
    """Twisted's own endpoint does not call `completed`, and the handshake still ends (AMQP uses that endpoint)."""
    case = peer_certificates.common_name_only(yard)
    peer = Peer()
    tls = client_context(yard.settings(), SystemClock(net))
    context = bad_context(case.chain, case.key, ask=yard.ca_file, versions=ONLY[version])
    async with peer.listening(net, context):
        endpoint = wrapClientTLS(tls, TCP4ClientEndpoint(net, LOOPBACK, peer.port))
        talker = cast(EagerClient, await endpoint.connect(Factory.forProtocol(EagerClient)))
        assert "certificate verify failed" in str(await talker.lost)
    assert peer.heard == b""


@pytest.mark.parametrize(("name", "sent"), [(NAME, NAME.encode()), (LOOPBACK, None)])
async def test_the_peer_is_told_whom_we_want_unless_it_is_an_address(
    net: Any, yard: TlsFiles, name: str, sent: bytes | None
) -> None:
    told: list[bytes | None] = []
    peer = Peer(behave=echo)
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file)
    context.set_tlsext_servername_callback(lambda connection: told.append(connection.get_servername()))
    async with peer.listening(net, context):
        await accepted(net, peer, client_context(yard.settings(server_name=name), SystemClock(net)))
    assert told == [sent]


async def test_our_certificate_comes_with_its_issuers(net: Any, yard: TlsFiles) -> None:
    issuing = yard.root.subordinate("issuing", yard.now)
    ours = issuing.issue("gateway", yard.client_key.public_key(), yard.now, purpose=CLIENT_PURPOSE)
    chain = yard.file(ours.public_bytes(Encoding.PEM) + issuing.certificate.public_bytes(Encoding.PEM))
    peer = Peer(behave=echo)
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file)):
        await accepted(net, peer, client_context(yard.settings(client_cert=chain), SystemClock(net)))


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
async def test_an_old_protocol_version_is_refused(net: Any, yard: TlsFiles, version: int) -> None:
    peer = Peer()
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=(version, version))
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings())
    assert (refused.reason, peer.heard) == (Reason.PROTOCOL_VERSION, b"")


@pytest.mark.parametrize("settings", [{"max_version": "1.2"}, {"min_version": "1.3"}])
async def test_the_configured_versions_bind(net: Any, yard: TlsFiles, settings: dict[str, Any]) -> None:
    peer = Peer()
    other = SSL.TLS1_3_VERSION if "max_version" in settings else SSL.TLS1_2_VERSION
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=(other, other))
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings(**settings))
    assert (refused.reason, peer.heard) == (Reason.PROTOCOL_VERSION, b"")


@pytest.mark.parametrize(
    "ciphers",
    [
        b"AES128-SHA",
        b"AES256-GCM-SHA384",
        b"ECDHE-RSA-AES128-SHA",
        b"eNULL",
        b"DHE-RSA-AES128-GCM-SHA256",
        b"AECDH-AES128-SHA",
    ],
)
async def test_weak_ciphers_are_refused(net: Any, yard: TlsFiles, ciphers: bytes) -> None:
    peer = Peer()
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2, ciphers=ciphers)
    async with peer.listening(net, context):
        refused = await refusal(net, peer, yard.settings())
    assert (refused.reason, peer.heard) == (Reason.HANDSHAKE_FAILURE, b"")


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP256K1()])
async def test_odd_curves_are_refused(net: Any, yard: TlsFiles, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    peer = Peer()
    leaf = yard.root.issue(NAME, key.public_key(), yard.now, names=[NAME])
    async with peer.listening(net, bad_context([leaf], key, ask=yard.ca_file)):
        refused = await refusal(net, peer, yard.settings(legacy=True))
    assert refused.reason in (Reason.HANDSHAKE_FAILURE, Reason.WEAK_KEY)
    assert peer.heard == b""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_peer_that_does_not_ask_for_our_certificate_is_not_mutual(
    net: Any, yard: TlsFiles, version: str
) -> None:
    peer = Peer(behave=echo)
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=None, versions=ONLY[version])):
        refused = await refusal(net, peer, yard.settings())
        assert (refused.reason, peer.heard) == (Reason.NOT_MUTUAL, b"")
        await accepted(net, peer, client_context(yard.settings(require_mutual=False), SystemClock(net)))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_asking_without_naming_an_authority_counts_as_asking(net: Any, yard: TlsFiles, version: str) -> None:
    peer = Peer(behave=echo)
    context = bad_context([yard.leaf()], yard.key, ask=None, versions=ONLY[version])
    context.load_verify_locations(yard.ca_file)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    async with peer.listening(net, context):
        await accepted(net, peer, client_context(yard.settings(), SystemClock(net)))


def expired_client(yard: TlsFiles) -> dict[str, Any]:
    ours = yard.client_certificate(not_before=yard.now - 2 * DAY, not_after=yard.now - DAY)
    return {"client_cert": yard.file(ours.public_bytes(Encoding.PEM))}


def no_client(yard: TlsFiles) -> dict[str, Any]:
    return {"client_cert": None, "client_key": None, "require_mutual": False}


def client_of_another_bank(yard: TlsFiles) -> dict[str, Any]:
    other = Authority.root("Another Bank root", yard.now)
    ours = other.issue("gateway", yard.client_key.public_key(), yard.now, purpose=CLIENT_PURPOSE)
    return {"client_cert": yard.file(ours.public_bytes(Encoding.PEM))}


REJECTED_CLIENTS = [expired_client, client_of_another_bank, no_client]


@pytest.mark.parametrize("make", REJECTED_CLIENTS)
async def test_our_certificate_is_refused_inside_the_handshake_of_tls_1_2(
    net: Any, yard: TlsFiles, make: Callable[[TlsFiles], dict[str, Any]]
) -> None:
    peer = Peer()
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2)):
        refused = await refusal(net, peer, yard.settings(**make(yard)))
    expected = Reason.HANDSHAKE_FAILURE if make is no_client else Reason.CLIENT_CERT_REFUSED
    assert (refused.reason, peer.heard) == (expected, b"")


@pytest.mark.parametrize("make", REJECTED_CLIENTS)
async def test_our_certificate_is_refused_after_the_handshake_of_tls_1_3_but_before_any_answer(
    net: Any, yard: TlsFiles, make: Callable[[TlsFiles], dict[str, Any]]
) -> None:
    """This is why a session is ready only after its first application answer."""
    peer = Peer(behave=echo)
    tls = client_context(yard.settings(**make(yard)), SystemClock(net))
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_3)):
        talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
        reason = await talker.lost
    assert not talker.answer.called
    assert isinstance(reason, SSL.Error)
    assert explain(reason).reason is Reason.CLIENT_CERT_REFUSED
    assert peer.heard == b""


def counting(full: list[int]) -> Callable[..., bool]:
    """A server's verify callback that counts the handshakes with a certificate, which are the full ones."""

    def count(conn: object, cert: object, error: int, depth: int, ok: int) -> bool:
        full.extend([1] if depth == 0 else [])
        return bool(ok)

    return count


class SetClock(SystemClock):
    """A clock that the test sets."""

    def __init__(self, told: Clock) -> None:
        super().__init__(told)
        self._told = told

    def now_ms(self) -> int:
        return round(self._told.seconds() * 1000)


async def test_tls_1_2_sessions_are_resumed_and_only_while_fresh(net: Any, yard: TlsFiles) -> None:
    full: list[int] = []
    clock = Clock()
    clock.advance(yard.now.timestamp())
    tls = client_context(yard.settings(resumption=True), SetClock(clock))
    peer = Peer(behave=echo)
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, counting(full))
    async with peer.listening(net, context):
        for _ in range(4):
            await accepted(net, peer, tls)
        assert (len(full), tls.resumed) == (1, 3)
        clock.advance(SESSION_LIFETIME_S)
        await accepted(net, peer, tls)
        assert (len(full), tls.resumed) == (2, 3)
        rotated = client_context(yard.settings(resumption=True), SetClock(clock))
        await accepted(net, peer, rotated)
        assert (len(full), rotated.resumed) == (3, 0)


@pytest.mark.parametrize(("version", "resumption"), [("1.2", False), ("1.3", True)])
async def test_no_session_is_resumed_unasked_or_under_tls_1_3(
    net: Any, yard: TlsFiles, version: str, resumption: bool
) -> None:
    tls = client_context(yard.settings(resumption=resumption), SystemClock(net))
    peer = Peer(behave=echo)
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY[version])):
        for _ in range(3):
            await accepted(net, peer, tls)
    assert tls.resumed == 0


async def test_a_kept_session_does_not_carry_over_to_a_peer_with_another_certificate(net: Any, yard: TlsFiles) -> None:
    tls = client_context(yard.settings(resumption=True), SystemClock(net))
    first, second = Peer(behave=echo), Peer(behave=echo)
    async with first.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2)):
        await accepted(net, first, tls)
    bad = peer_certificates.common_name_only(yard)
    async with second.listening(net, bad_context(bad.chain, bad.key, ask=yard.ca_file, versions=ONLY_1_2)):
        with pytest.raises(NotConnected) as refused:
            await BankDialer(net, LOOPBACK, second.port, tls).connect(EagerClient)
    assert (refused.value.reason, second.heard, tls.resumed) == (Reason.NO_SAN, b"", 0)


async def test_a_peer_that_chokes_on_resumption_is_met_afresh(net: Any, yard: TlsFiles) -> None:
    tls = client_context(yard.settings(resumption=True), SystemClock(net))
    good, choking = Peer(behave=echo), Peer()
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2)
    async with good.listening(net, context), choking.listening(net, None):
        await accepted(net, good, tls)
        await accepted(net, good, tls)
        assert tls.resumed == 1
        with pytest.raises(NotConnected):
            await BankDialer(net, LOOPBACK, choking.port, tls, handshake_timeout_s=0.1).connect(EagerClient)
        await accepted(net, good, tls)
        assert tls.resumed == 1


def test_a_handshake_that_verified_nothing_proves_nothing(net: Any, yard: TlsFiles) -> None:
    tls = client_context(yard.settings(), SystemClock(net))
    connection = tls.clientConnectionForTLS(cast(Any, None))
    refusal = tls.completed(connection)
    assert refusal is not None
    assert refusal.reason is Reason.BAD_CERTIFICATE


async def test_renegotiation_is_not_entered(net: Any, yard: TlsFiles) -> None:
    def again(data: bytes, transport: Any) -> None:
        transport.getHandle().renegotiate()
        transport.write(data)

    peer = Peer(behave=again)
    full: list[int] = []
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=ONLY_1_2)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, counting(full))
    tls = client_context(yard.settings(), SystemClock(net))
    async with peer.listening(net, context):
        talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
        await talker.lost  # the peer takes our refusal to renegotiate for an end
    assert (peer.connections, peer.heard, len(full)) == (1, PAYMENT, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"client_key": None}, "both or neither"),
        ({"client_cert": None, "client_key": None}, "require_mutual needs"),
        ({"name_check": "pin-only"}, "needs at least one pin"),
        ({"min_version": "1.3", "max_version": "1.2"}, "above max_version"),
        ({"pins": ("c2hvcnQ=",)}, "SHA-256"),
        ({"pins": ("not base64!",)}, "SHA-256"),
        ({"ciphers": "ALL:@SECLEVEL=0"}, "legacy"),
    ],
)
def test_contradictory_settings_are_refused(yard: TlsFiles, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        yard.settings(**wrong)


@pytest.mark.parametrize("setting", ["ca_file", "client_cert", "client_key", "crl_file"])
@pytest.mark.parametrize("octets", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unreadable_file_is_named(net: Any, yard: TlsFiles, setting: str, octets: bytes) -> None:
    bad = yard.file(octets)
    with pytest.raises(KeyFileError) as error:
        client_context(yard.settings(**{setting: bad}), SystemClock(net))
    assert error.value.file == bad


def test_ciphers_nobody_knows_are_refused(net: Any, yard: TlsFiles) -> None:
    with pytest.raises(ValueError, match="names no cipher suite"):
        client_context(yard.settings(ciphers="NOT-A-CIPHER"), SystemClock(net))


def test_a_client_certificate_too_weak_for_openssl_is_named(net: Any, yard: TlsFiles) -> None:
    key = new_key(1024)
    write_key(yard.folder / "small.key", key)
    small = yard.root.issue("gateway", key.public_key(), yard.now, purpose=CLIENT_PURPOSE)
    file = yard.file(small.public_bytes(Encoding.PEM))
    with pytest.raises(KeyFileError, match="key too small") as error:
        client_context(yard.settings(client_cert=file, client_key=yard.folder / "small.key"), SystemClock(net))
    assert error.value.file == file


def test_a_key_of_another_certificate_is_refused(net: Any, yard: TlsFiles) -> None:
    other = yard.folder / "other.key"
    write_key(other, yard.key)
    with pytest.raises(KeyFileError, match="does not belong"):
        client_context(yard.settings(client_key=other), SystemClock(net))
