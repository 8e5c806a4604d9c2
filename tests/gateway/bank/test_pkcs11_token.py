"""Signing keys in PKCS#11 tokens, tested on SoftHSM: each fault of a token means that nothing was signed, never doubt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from twisted.internet.defer import Deferred, gatherResults

from gateway import settings as conf
from gateway.bank.key_trouble import NotSigned
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.outside_signer import RETRY_S, OutsideSigner
from gateway.bank.pkcs11_token import digest_info
from gateway.bank.signers import HASHES, Digest
from gateway.kernel.clock import SystemClock, SystemEntropy
from gateway.kernel.tasks import sleep
from gateway.simbank.pki import Authority, new_key, write_certificates
from protocols.kit import dsig
from tests.gateway.bank import soft_hsm
from tests.gateway.bank.soft_hsm import KEY_ID, LABEL, MODULE, PIN, Behaviour, SoftHsm
from tests.protocols.kit import signing

OCTETS = "支付 pay".encode()


class LaterClock(SystemClock):
    """The machine's clock, whose steady seconds a test may move on."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class Bench:
    """A token with one key, and signers that use it."""

    def __init__(self, hsm: SoftHsm, key: rsa.RSAPrivateKey, certificate: Path) -> None:
        from twisted.internet import reactor

        self.hsm = hsm
        self.key = key
        self.certificate = certificate
        self.clock = LaterClock(reactor)
        self.behaviour = Behaviour()
        self.pin_file = hsm.folder / "pin"
        self.pin_file.write_text(PIN)
        self.pin_file.chmod(0o600)
        self.keys = OutsideKeys(reactor, self.clock, SystemEntropy(), self.behaviour.load)

    def signer(
        self, digest: Digest = "sha256", timeout_s: float = 5.0, *, label: str = "", key_id: str = ""
    ) -> OutsideSigner:
        named = {"label": label, "id": key_id} if label or key_id else {"label": LABEL}
        table = conf.SigningKey.model_validate(
            {
                "pkcs11": {
                    "module": str(MODULE),
                    "token": soft_hsm.TOKEN,
                    "pin": {"file": str(self.pin_file)},
                    "timeout_s": timeout_s,
                    **named,
                },
                "certificate": str(self.certificate),
                "digest": digest,
            }
        )
        return self.keys.signer("order", table)

    def rest(self) -> None:
        """Let the time pass after which a failed key is tried again."""
        self.clock.ahead_s += RETRY_S


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture
def bench(tmp_path: Path, key: rsa.RSAPrivateKey) -> Iterator[Bench]:
    hsm = soft_hsm.make_soft_hsm(tmp_path / "hsm")
    hsm.add_key(key, LABEL, KEY_ID)
    certificate, now = tmp_path / "order.pem", datetime.now(UTC)
    write_certificates(certificate, Authority.root("root", now).issue("us", key.public_key(), now, purpose=None))
    bench = Bench(hsm, key, certificate)
    yield bench
    bench.keys.stop()
    soft_hsm.unload()


async def refused(signer: OutsideSigner, reason: str, *, lasting: bool) -> NotSigned:
    with pytest.raises(NotSigned) as told:
        await signer.sign(OCTETS)
    assert signer.trouble is not None and signer.trouble == told.value.trouble
    assert (signer.trouble.reason, signer.trouble.lasting) == (reason, lasting), signer.trouble
    assert told.value.reason == "key_gone" and signer.trouble.remedy in told.value.text
    return told.value


def well(signer: OutsideSigner) -> bool:
    return signer.trouble is None


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
async def test_a_signature_of_the_token_verifies_with_the_certificate(bench: Bench, digest: Digest) -> None:
    for label, key_id in ((LABEL, ""), ("", KEY_ID), (LABEL, KEY_ID)):
        signature = await bench.signer(digest, label=label, key_id=key_id).sign(OCTETS)
        bench.key.public_key().verify(signature, OCTETS, padding.PKCS1v15(), HASHES[digest]())
    assert bench.behaviour.opens == 1, "the keys of a token share its session"
    assert bench.behaviour.order == [digest_info(OCTETS, digest)] * 3


async def test_xmlsec_accepts_a_document_that_the_token_signed(bench: Bench) -> None:
    dsig.start()
    prepared = dsig.prepare(signing.answer(), signing.ENVELOPED)
    document = dsig.attach(prepared, await bench.signer().sign(prepared.octets))
    pin = dsig.PinnedKey.of(bench.key.public_key())
    assert dsig.verify(document, signing.ENVELOPED, pin, engine="xmlsec").key == pin


async def test_a_wrong_pin_is_tried_once(bench: Bench) -> None:
    bench.pin_file.write_text("654321")
    signer = bench.signer()
    await refused(signer, "pin_wrong", lasting=True)
    bench.rest()
    await refused(signer, "pin_wrong", lasting=True)
    await signer.sign_when_due(b"nonce", 0.0)
    assert bench.behaviour.opens == 1, "a token locks after a few wrong PINs"
    bench.pin_file.write_text(f"{PIN}\n")
    assert await bench.signer().sign(OCTETS), "a reload makes a new signer, which reads the PIN anew"


@pytest.mark.parametrize(
    ("flag", "reason"), [("USER_PIN_LOCKED", "pin_locked"), ("USER_PIN_FINAL_TRY", "pin_last_try")]
)
async def test_no_pin_is_tried_on_a_token_that_is_locked_or_would_lock(bench: Bench, flag: str, reason: str) -> None:
    from pkcs11 import TokenFlag

    bench.behaviour.flags = int(TokenFlag[flag])
    await refused(bench.signer(), reason, lasting=True)
    assert bench.behaviour.opens == 0


async def test_a_token_that_locks_while_it_is_asked_is_not_asked_again(bench: Bench) -> None:
    from pkcs11.exceptions import PinLocked

    bench.behaviour.on_open = lambda: throw(PinLocked())
    signer = bench.signer()
    await refused(signer, "pin_locked", lasting=True)
    bench.rest()
    await refused(signer, "pin_locked", lasting=True)
    assert bench.behaviour.opens == 1


async def test_a_lost_session_is_opened_again_within_one_signature(bench: Bench) -> None:
    import pkcs11

    signer = bench.signer()
    await signer.sign(OCTETS)
    pkcs11.lib(str(MODULE)).reinitialize()
    assert await signer.sign(OCTETS) and signer.trouble is None
    assert bench.behaviour.opens == 2


async def test_a_slot_that_is_gone_and_comes_back(bench: Bench) -> None:
    signer = bench.signer()
    await signer.sign(OCTETS)
    bench.hsm.pull_out()
    with pytest.raises(NotSigned) as told:
        await signer.sign(OCTETS)
    assert told.value.trouble.reason in ("token_gone", "token_error") and not told.value.trouble.lasting
    bench.hsm.plug_in()
    with pytest.raises(NotSigned):
        await signer.sign(OCTETS)  # not tried again so soon
    bench.rest()
    assert await signer.sign(OCTETS)
    assert signer.trouble is None


async def test_the_watch_finds_a_key_that_is_gone_and_one_that_is_back(bench: Bench) -> None:
    signer = bench.signer()
    await signer.sign_when_due(b"nonce", 30.0)
    assert well(signer) and signer.used_ms is None and len(bench.behaviour.order) == 1
    await signer.sign_when_due(b"nonce", 30.0)
    assert len(bench.behaviour.order) == 1, "it has signed a moment ago"
    bench.hsm.pull_out()
    bench.clock.ahead_s += 30.0
    await signer.sign_when_due(b"nonce", 30.0)
    assert not well(signer)
    bench.hsm.plug_in()
    bench.rest()
    await signer.sign_when_due(b"nonce", 30.0)
    assert well(signer)


async def test_a_token_that_is_full(bench: Bench) -> None:
    from pkcs11.exceptions import SessionCount

    bench.behaviour.on_open = lambda: throw(SessionCount())
    signer = bench.signer()
    await refused(signer, "token_full", lasting=False)
    bench.behaviour.on_open = lambda: None
    bench.rest()
    assert await signer.sign(OCTETS)


async def test_a_key_that_is_not_there_costs_no_session_each_time(bench: Bench) -> None:
    signer = bench.signer(label="other")
    for _ in range(3):
        await refused(signer, "no_such_key", lasting=False)
        bench.rest()
    assert bench.behaviour.opens == 1


async def test_a_key_of_another_certificate_signs_nothing(bench: Bench) -> None:
    bench.hsm.add_key(new_key(), "other", "c3d4")
    error = await refused(bench.signer(label="other"), "wrong_signature", lasting=False)
    assert "Nothing was sent" in error.text


async def test_two_lanes_and_another_program_sign_at_once(bench: Bench) -> None:
    program = (
        "import pkcs11\n"
        f"token = pkcs11.lib({str(MODULE)!r}).get_token(token_label={soft_hsm.TOKEN!r})\n"
        f"with token.open(user_pin={PIN!r}) as session:\n"
        f"    key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label={LABEL!r})\n"
        "    for n in range(50): key.sign(b'x', mechanism=pkcs11.Mechanism.RSA_PKCS)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program])
    first, second = bench.signer(), bench.signer(key_id=KEY_ID)
    wanted = [b"%d" % n for n in range(40)]
    lanes = [(first if n % 2 else second) for n in range(40)]
    signed = await gatherResults([Deferred.fromCoroutine(one.sign(octets)) for one, octets in zip(lanes, wanted)])
    for signature, octets in zip(signed, wanted):
        bench.key.public_key().verify(signature, octets, padding.PKCS1v15(), HASHES["sha256"]())
    for lane in (0, 1):
        mine = [digest_info(octets, "sha256") for octets in wanted[lane::2]]
        assert [one for one in bench.behaviour.order if one in mine] == mine, "each lane's signatures keep their order"
    assert other.wait() == 0


async def test_a_token_of_50_ms_does_not_hold_up_the_reactor(bench: Bench) -> None:
    signer = bench.signer()
    await signer.sign(OCTETS)
    bench.behaviour.takes_s = 0.05
    ticks = 0
    signing_all = gatherResults([Deferred.fromCoroutine(signer.sign(b"%d" % n)) for n in range(10)])
    while not signing_all.called:
        ticks += 1
        await sleep(bench.clock, 0.005)
    await signing_all
    assert ticks > 20, "0.5 s of signing leave the reactor free"
    assert bench.behaviour.order[1:] == [digest_info(b"%d" % n, "sha256") for n in range(10)]


async def test_a_token_of_2_s_is_not_waited_for_and_signs_again_later(bench: Bench) -> None:
    signer = bench.signer(timeout_s=0.2)
    bench.behaviour.takes_s = 2.0
    began_s = bench.clock.monotonic_s()
    waiting = [Deferred.fromCoroutine(signer.sign(b"%d" % n)) for n in range(3)]
    for one in waiting:
        with pytest.raises(NotSigned, match="no_answer"):
            await one
    assert bench.clock.monotonic_s() - began_s < 1.5, "only the first one waits"
    bench.behaviour.takes_s = 0.0
    bench.rest()
    signer = bench.signer(timeout_s=10.0)
    assert await signer.sign(OCTETS), "it signs when the late call has returned"


def test_without_python_pkcs11_the_key_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.bank import pkcs11_token
    from gateway.bank.key_trouble import SigningFailed

    monkeypatch.setitem(sys.modules, "pkcs11", None)
    reactor: Any = None
    place = pkcs11_token.TokenKey(MODULE, "bank", LABEL, b"", lambda: b"")
    library = pkcs11_token._Library(MODULE, reactor, pkcs11_token._load)
    with pytest.raises(SigningFailed, match="no_module"):
        library.signature(place, b"x")


def throw(error: Exception) -> None:
    raise error
