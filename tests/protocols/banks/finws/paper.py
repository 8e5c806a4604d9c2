"""Paper of the Finnish Web Services for tests: keys, a stage with both sides, and a reading of frames for dialogues."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from lxml import etree

from gateway.simbank.ledger import Conduct, Ledger, LedgerAccount
from protocols.banks import finws
from protocols.banks.finws import messages, twin
from protocols.canon.money import Money
from protocols.canon.outcome import Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit import dsig, http
from tests.protocols.kit.signing import KeyPair, key_pair
from tests.world.dialogue import NOON, BankTime, Stage, order_of, sent_of

CUSTOMER, REFERENCE = "11111111", "GOLDEN00000000000001"
DEBTOR, CREDITOR = "0000000000000000017", "0000000000000000025"
DATA: Final = "{http://bxd.fi/xmldata/}"
MODEL: Final = "{http://model.bxd.fi}"
PLAIN = Conduct()
ORDER = order_of({"amount": "12345.67", "payee": "Müller & 乙 <GmbH>", "purpose": '货款 "HT-0931"', "urgency": "urgent"})
# What was written down about the golden order before its message, serial 1001, left.
SENT = sent_of(ORDER, REFERENCE, NOON.date(), ("1001",))
US, BANK, STRANGER, VERIFIER, ACCEPTOR = (key_pair(name) for name in ("us", "bank", "stranger", "second", "third"))


def signer(key: KeyPair, digest: hashes.HashAlgorithm | None = None) -> Callable[[bytes], bytes]:
    return lambda octets: key.sign(octets, digest)


def options(**more: Any) -> dict[str, Any]:
    """Options of the adapter; `more` replaces some."""
    return {
        "customer": CUSTOMER, "bic": "BANKFIHH", "certificate": US.certificate_pem.decode(),
        "bank_certificate": BANK.certificate_pem.decode(), "currencies": ["CNY"], "verify": "hand", **more,
    }  # fmt: skip


def signs_as(profile: str) -> dict[str, Any]:
    """The twin's options with which it signs as a kind of bank does."""
    return {"answer_transforms": ["enveloped", "inclusive_comments"]} if profile == "op" else {}


def stage(
    accounts: Sequence[LedgerAccount] = (),
    conduct: Conduct = PLAIN,
    *,
    adapter: Mapping[str, Any] = {},
    keys: Mapping[str, bytes] = {},
    signers: Mapping[str, Callable[[bytes], bytes]] = {},
    credentials: Mapping[str, str] = {},
    **twin_options: Any,
) -> Stage:
    """Adapter and twin with their keys. `adapter` are its options, `keys` more of the twin's, the rest is the twin's."""
    dsig.start()
    twin_options = {**signs_as(str(adapter.get("profile", ""))), **twin_options}
    time, made = BankTime(), accounts or (LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000)),)
    other_side = twin.build(
        {"accounts": [one.number for one in made], "notify_s": 0, **twin_options},
        {"bank": BANK.private_pem, "bank_certificate": BANK.certificate_pem, "client": US.certificate_pem, **keys},
    )
    return Stage(
        finws.build(options(**adapter)), other_side, Ledger(time.now_ms, made, conduct), time,
        signers={"content": signer(US), "transport": signer(US), **signers}, credentials=credentials,
    )  # fmt: skip


def pay(made: Stage, reference: str = REFERENCE) -> Outcome:
    """Send the golden order."""
    return made.talk(made.bank.money[ORDER.kind](ORDER, made.context(reference)))


def fate(made: Stage, sent: Sent = SENT) -> Outcome:
    """Ask what became of it."""
    assert made.bank.questions.fate is not None
    return made.talk(made.bank.questions.fate(FateQuestion(sent), made.context()))


def unpacked(data: bytes) -> bytes:
    """A small file out of its GZIP member."""
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
    [packed] = [one for name in ("ApplicationRequest", "ApplicationResponse") for one in body_of(frame).iter(MODEL + name)]
    return etree.fromstring(base64.b64decode(packed.text or ""))


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as dialogues name it: a request by its operation, an answer by its code."""
    operation = re.sub("(in|out)$", "", etree.QName(body_of(frame)[0]).localname)
    document = document_of(frame)
    fields = {etree.QName(one).localname: (one.text or "") for one in document if not len(one)}
    for row in document.iter(f"{DATA}FileDescriptor"):
        fields |= {f"File.{etree.QName(one).localname}": one.text or "" for one in row}
    for one in document.iter(f"{DATA}FileReference"):
        fields.setdefault("FileReference", one.text or "")
    fields["Operation"] = operation
    return fields.get("ResponseCode") or operation, fields
