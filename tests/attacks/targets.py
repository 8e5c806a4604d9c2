"""The targets of attacks: every bank's conversations with its own twin, and the signed documents in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final, cast
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from protocols.bank import Bundles, Cutter, Sign
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, LinesQuestion
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from protocols.trial import banks
from tests.attacks.layers import Around, Spot, spots
from tests.protocols.banks.every.bench import OPENING, Table, pki, table
from tests.protocols.banks.every.test_answers import Recording, record
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, SOAP_SIGNED, KeyPair, key_pair

READY: Final = tuple(
    name for name in banks() if resources.files(f"protocols.banks.{name}").joinpath("trial.toml").is_file()
)
"""Banks that can be tried; a folder without a trial.toml is not a bank yet."""
MINOR: Final = 1_234_567
PAYMENT: Final = "payment"
ACCOUNT: Final = "account"
SUBJECTS: Final = {
    PAYMENT: PAYMENT,
    "fate": PAYMENT,
    "bundle": "bundle",
    "bundle fate": "bundle",
    "lines": ACCOUNT,
    "balance": ACCOUNT,
}
FILE_ASKED_BY: Final = (b"downloadFilein",)
"""What stands in a request whose answer may be a large file; such a one has the time that its size needs."""
UNFINISHED: Final = "asks on"
"""What a conversation says that wants more answers than the good ones were: nothing yet."""


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document that an adapter asked to be verified, with the key that made its signature."""

    data: bytes
    profile: dsig.SignatureProfile
    key: KeyPair
    today: date | None = None

    @property
    def pins(self) -> tuple[dsig.PinnedKey, ...]:
        """The keys that are trusted."""
        return (self.key.pin,)


@dataclass(frozen=True)
class Golden:
    """One conversation, with everything in its answers that can be attacked."""

    bank: str
    recording: Recording
    signed: Sequence[SignedDocument]
    requests: Sequence[bytes]
    cutters: Mapping[int, Callable[[], Cutter]]
    today: date

    @property
    def name(self) -> str:
        return f"{self.bank}: {self.recording.name}"

    @property
    def subject(self) -> str:
        """The subject of the conversation: a payment, a bundle, or the account."""
        return SUBJECTS[self.recording.name]

    @property
    def said(self) -> object:
        """The result of the conversation with the good answers."""
        return self.recording.golden

    def again(self, at: int, answer: bytes) -> tuple[object, float]:
        """The conversation once more with one answer changed: its result or ProtocolError, and the CPU seconds.

        What happens before and behind the changed answer is not counted.
        """
        talk, spent_s = self.recording.begin(), 0.0
        try:
            next(talk)
            for number, told in enumerate(self.recording.answers):
                begun_s = time.process_time()
                try:
                    talk.send(self._framed(at, answer) if number == at else told)
                finally:
                    if number == at:
                        spent_s = time.process_time() - begun_s
        except StopIteration as end:
            return end.value, spent_s
        except ProtocolError as error:
            return error, spent_s
        finally:
            talk.close()
        return UNFINISHED, spent_s

    def brings_a_file(self, at: int) -> bool:
        """True if the bank may answer here with a file, which may be large."""
        asked = dict(zip((number for number, _ in self.recording.exchanges()), self.requests, strict=True))
        return any(text in asked.get(at, b"") for text in FILE_ASKED_BY)

    def _framed(self, at: int, answer: bytes) -> bytes:
        """The frame that the lane would get: the first message that the port's cutter finds in these bytes."""
        if at not in self.cutters:
            return answer
        cutter = self.cutters[at]()
        frames = cutter.feed(answer) or cutter.end()
        if not frames:
            raise ProtocolError("truncated", "no whole message")
        return frames[0]

    def spots(self) -> Iterator[tuple[int, Spot]]:
        """Every document in every answer, with the answer's number."""
        around = Around({one.data: one.profile for one in self.signed}, bank_key(self.bank), WRITTEN)
        for at, answer in self.recording.exchanges():
            for spot in spots(answer, around):
                yield at, spot


WRITTEN: Final = frozenset(str(number) for number in (MINOR, OPENING.minor, OPENING.minor - MINOR))
"""The amounts of these conversations in minor units, as some banks write them."""


@cache
def bank_key(bank: str) -> KeyPair:
    """The key with which the bank's twin signs."""
    files = pki(bank)
    private = cast(RSAPrivateKey, load_pem_private_key(files.bank_sign_key.read_bytes(), None))
    return KeyPair(private, load_pem_x509_certificate(files.bank_sign_cert.read_bytes()))


def _recorded(bank: str, made: Table, name: str, begin: Any) -> Golden:
    recording = record(made, name, begin)
    seen: list[tuple[bytes, dsig.SignatureProfile]] = []
    true_verify = dsig.verify

    def noting(data: bytes, profile: dsig.SignatureProfile, *rest: Any, **options: Any) -> dsig.Verified:
        seen.append((data, profile))
        return true_verify(data, profile, *rest, **options)

    with patch.object(dsig, "verify", noting):
        again = recording.again(-1, b"")
    assert again == recording.golden, f"{bank} {name}: the same answers made {again}, not {recording.golden}"
    signed = tuple(SignedDocument(data, profile, bank_key(bank), made.today) for data, profile in seen)
    exchanges = list(recording.exchanges())
    requests = tuple(one.request for one in made.stage.said[-len(exchanges) :])
    cutters = {}
    for (at, answer), port in zip(exchanges, _ports(recording), strict=True):
        # Some framings contain more than the adapter gets. There the adapter's own limit counts.
        if _cut(made.bank.ports[port].answers(), answer) == [answer]:
            cutters[at] = made.bank.ports[port].answers
    return Golden(bank, recording, signed, requests, cutters, made.today)


def _cut(cutter: Cutter, answer: bytes) -> list[bytes]:
    try:
        return cutter.feed(answer) or cutter.end()
    except ProtocolError:
        return []


def _ports(recording: Recording) -> Iterator[str]:
    talk = recording.begin()
    step = next(talk)
    for told in recording.answers:
        if not isinstance(step, Sign):
            yield step.port
        try:
            step = talk.send(told)
        except StopIteration:
            return


def _paid(bank: str, made: Table, kind: Kind) -> Iterator[Golden]:
    """A payment, and the question about its fate."""
    reference, order = made.reference(), made.order(kind, minor=MINOR)
    context, word = made.stage.context(reference), made.bank.money[kind]
    yield _recorded(bank, made, PAYMENT, lambda: word(order, context))
    made.pay(order, reference)
    ask, asking, question = made.bank.questions.fate, made.stage.context(), FateQuestion(made.sent[reference])
    assert ask is not None
    yield _recorded(bank, made, "fate", lambda: ask(question, asking))


def _bundled(bank: str, made: Table, kind: Kind, rule: Bundles) -> Iterator[Golden]:
    """Two orders in one message, one of which is refused, and the question about both."""
    bundle, reference = made.bundle(kind, ("货款", "货款 #refuse"))
    context = made.stage.context(reference)
    yield _recorded(bank, made, "bundle", lambda: rule.word(bundle, context))
    made.pay_bundle(bundle, reference)
    known, asking = BundleFateQuestion(made.bundles[reference]), made.stage.context()
    yield _recorded(bank, made, "bundle fate", lambda: rule.fate(known, asking))


def _kind(made: Table) -> list[Kind]:
    kinds = tuple(made.bank.money)
    return [Kind.PAYMENT] if Kind.PAYMENT in kinds else list(kinds[:1])


@cache
def goldens(bank: str) -> tuple[Golden, ...]:
    """The conversations of a bank: a payment and the question about it, entries and balance, and many orders at once,
    as far as the bank has them."""
    made = table(bank)
    found = [golden for kind in _kind(made) for golden in _paid(bank, made, kind)]
    own = AccountNumber(made.own[0])
    if (lines := made.bank.questions.lines) is not None:
        entries, at = LinesQuestion(own, made.today, made.today), made.stage.context()
        found.append(_recorded(bank, made, "lines", lambda: lines(entries, at)))
    if (balance := made.bank.questions.balance) is not None:
        held, now = BalanceQuestion(own), made.stage.context()
        found.append(_recorded(bank, made, "balance", lambda: balance(held, now)))
    for kind, rule in list(made.bank.bundles.items())[:1]:
        found += _bundled(bank, made, kind, rule)
    return tuple(found)


@cache
def signed_documents(bank: str) -> tuple[SignedDocument, ...]:
    """One document of each signature profile of a bank; none where its front end verifies."""
    if bank == KIT:
        pair = key_pair("bank")
        return (
            SignedDocument(signing.signed(signing.answer(), ENVELOPED, pair), ENVELOPED, pair),
            SignedDocument(signing.signed(signing.envelope(), SOAP_SIGNED, pair), SOAP_SIGNED, pair),
        )
    found: dict[dsig.SignatureProfile, SignedDocument] = {}
    for golden in goldens(bank):
        for one in golden.signed:
            found.setdefault(one.profile, one)
    return tuple(found.values())


KIT: Final = "dsig"
"""The signature kit's own two languages, beside the banks."""


@cache
def older(bank: str) -> tuple[Golden, ...]:
    """The same conversations about another payment of the same amount, held earlier."""
    made = table(bank)
    for _ in range(50):  # so that no reference and no serial is one of the other conversations
        made.reference()
        made.stage.context()
    return tuple(golden for kind in _kind(made) for golden in _paid(bank, made, kind))
