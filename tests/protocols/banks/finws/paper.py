"""Fixtures for tests of the Finnish Web Services: keys, a stage with both sides, and a reader of frames for dialogues."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import MoneyStep, Sign, Submit
from protocols.banks import finws
from protocols.banks.finws import messages, twin
from protocols.canon.money import Money
from protocols.canon.outcome import Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit import dsig, http
from tests.protocols.kit.signing import KeyPair, key_pair
from tests.world.dialogue import NOON, BankAndTwin, BankTime, order_of, sent_of

CUSTOMER, REFERENCE = "11111111", "GOLDEN00000000000001"
DEBTOR, CREDITOR = "0000000000000000017", "0000000000000000025"
DATA: Final = "{http://bxd.fi/xmldata/}"
MODEL: Final = "{http://model.bxd.fi}"
PLAIN = BookingRules()
ORDER = order_of(
    {"amount": "12345.67", "payee": "Müller & 乙 <GmbH>", "purpose": '货款 "HT-0931"', "urgency": "urgent"}
)
# The record of the golden order before its message, serial 1001, left.
SENT = sent_of(ORDER, REFERENCE, NOON.date(), ("1001",))
US, BANK, STRANGER, VERIFIER, ACCEPTOR = (key_pair(name) for name in ("us", "bank", "stranger", "second", "third"))


def signer(key: KeyPair, digest: hashes.HashAlgorithm | None = None) -> Callable[[bytes], bytes]:
    return lambda octets: key.sign(octets, digest)


def options(**more: Any) -> dict[str, Any]:
    """Options of the adapter; `more` replaces some."""
    return {
        "customer": CUSTOMER,
        "bic": "BANKFIHH",
        "certificate": US.certificate_pem.decode(),
        "bank_certificate": BANK.certificate_pem.decode(),
        "currencies": ["CNY"],
        "verify": "hand",
        **more,
    }


def signs_as(profile: str) -> dict[str, Any]:
    """The twin's options for the signatures of a kind of bank."""
    return {"answer_transforms": ["enveloped"], "answer_c14n": "inclusive_comments"} if profile == "op" else {}


def stage(
    accounts: Sequence[LedgerAccount] = (),
    conduct: BookingRules = PLAIN,
    *,
    adapter: Mapping[str, Any] = {},
    keys: Mapping[str, bytes] = {},
    signers: Mapping[str, Callable[[bytes], bytes]] = {},
    credentials: Mapping[str, str] = {},
    **twin_options: Any,
) -> BankAndTwin:
    """Adapter and twin with their keys. `adapter` are its options, `keys` are more of the twin's keys, the rest its
    options.
    """
    dsig.start()
    twin_options = {**signs_as(str(adapter.get("profile", ""))), **twin_options}
    time, made = BankTime(), accounts or (LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000)),)
    other_side = twin.build(
        {"accounts": [one.number for one in made], "notify_s": 0, **twin_options},
        {"bank": BANK.private_pem, "bank_certificate": BANK.certificate_pem, "client": US.certificate_pem, **keys},
    )
    return BankAndTwin(
        finws.build(options(**adapter)),
        other_side,
        Ledger(time.now_ms, made, conduct),
        time,
        signers={"content": signer(US), "transport": signer(US), **signers},
        credentials=credentials,
    )


def pay(made: BankAndTwin, reference: str = REFERENCE) -> Outcome:
    """Send the golden order."""
    return made.talk(made.bank.money[ORDER.kind](ORDER, made.context(reference)))


def fate(made: BankAndTwin, sent: Sent = SENT) -> Outcome:
    """Ask for the fate of the sent order."""
    assert made.bank.questions.fate is not None
    return made.talk(made.bank.questions.fate(FateQuestion(sent), made.context()))


def submitted_by(made: BankAndTwin, conversation: Generator[MoneyStep, bytes, object]) -> bytes:
    """The bytes that a money conversation would send; it ends there."""
    step = next(conversation)
    while isinstance(step, Sign):
        step = conversation.send(made.signers[step.key](step.octets))
    assert isinstance(step, Submit)
    conversation.close()
    return step.data


def unpacked(data: bytes) -> bytes:
    """The content of a small GZIP file."""
    content = messages.gunzip(data)
    assert isinstance(content, bytes)
    return content


def body_of(frame: bytes) -> etree._Element:
    """The SOAP body of a request or answer."""
    message = http.parse_answer(frame).body if frame.startswith(b"HTTP/") else http.parse_request(frame).body
    found = etree.fromstring(message).find("{*}Body")
    assert found is not None
    return found


def document_of(frame: bytes) -> etree._Element:
    """The application document inside a frame."""
    [packed] = [
        one for name in ("ApplicationRequest", "ApplicationResponse") for one in body_of(frame).iter(MODEL + name)
    ]
    return etree.fromstring(base64.b64decode(packed.text or ""))


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """The name of a frame in dialogues: a request's operation, an answer's code."""
    operation = re.sub("(in|out)$", "", etree.QName(body_of(frame)[0]).localname)
    document = document_of(frame)
    fields = {etree.QName(one).localname: (one.text or "") for one in document if not len(one)}
    for row in document.iter(f"{DATA}FileDescriptor"):
        fields |= {f"File.{etree.QName(one).localname}": one.text or "" for one in row}
    for one in document.iter(f"{DATA}FileReference"):
        fields.setdefault("FileReference", one.text or "")
    fields["Operation"] = operation
    return fields.get("ResponseCode") or operation, fields
