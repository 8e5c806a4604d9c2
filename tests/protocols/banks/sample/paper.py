"""Fixtures for Sample Bank: keys, a stage, golden messages, and answers signed by other software."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from gateway.simbank.pki import new_key
from protocols.banks import sample
from protocols.banks.sample import twin
from protocols.canon.money import Money
from protocols.canon.outcome import Outcome
from protocols.kit import dsig
from tests.world.dialogue import NOON, BankAndTwin, BankTime, order_of, sent_of

GOLDEN = Path(__file__).parent / "golden"
DEBTOR, CREDITOR = "0000000000000000017", "0000000000000000025"
REFERENCE = "GOLDEN00000000000001"
PLAIN = BookingRules()
ORDER = order_of(
    {"amount": "12345.67", "payee": "Müller & 乙 <GmbH>", "purpose": '货款 "HT-0931"', "urgency": "urgent"}
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Both sides' signing keys, and a foreign one."""

    bank: RSAPrivateKey
    client: RSAPrivateKey
    stranger: RSAPrivateKey


@cache
def keys() -> Keys:
    """The keys, made once for the whole test run."""
    dsig.start()
    return Keys(new_key(), new_key(), new_key())


# The record of the golden order before its message, serial 1001, left.
SENT = sent_of(ORDER, REFERENCE, NOON.date(), ("1001",))


def private_pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(key: RSAPrivateKey, octets: bytes) -> bytes:
    return key.sign(octets, PKCS1v15(), hashes.SHA256())


def stage(
    accounts: Sequence[LedgerAccount] = (), conduct: BookingRules = PLAIN, *, verify: str = "hand", **twin_options: Any
) -> BankAndTwin:
    """Adapter and twin with their keys, signed on."""
    own, time = keys(), BankTime()
    bank = sample.build({"bank_certificate": public_pem(own.bank).decode(), "verify": verify})
    other_side = twin.build(
        {"user": "u", "password": "p & q", **twin_options},
        {"bank": private_pem(own.bank), "client": public_pem(own.client)},
    )
    books = Ledger(time.now_ms, accounts or (LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000)),), conduct)
    made = BankAndTwin(
        bank,
        other_side,
        books,
        time,
        signers={"order": lambda octets: sign(own.client, octets)},
        credentials={"user": "u", "password": "p & q"},
    )
    made.sign_on()
    return made


def pay(made: BankAndTwin, reference: str = REFERENCE) -> Outcome:
    """Send the golden order."""
    return made.talk(made.bank.money[ORDER.kind](ORDER, made.context(reference)))


def xmlsec_signed(document: bytes, key: RSAPrivateKey) -> bytes:
    """`document` with an enveloped signature made by libxmlsec, which knows nothing of the kit."""
    import xmlsec

    root = etree.fromstring(document)
    transforms = xmlsec.constants
    node = xmlsec.template.create(root, transforms.TransformExclC14N, transforms.TransformRsaSha256, ns="ds")
    root.append(node)
    reference = xmlsec.template.add_reference(node, transforms.TransformSha256, uri="")
    xmlsec.template.add_transform(reference, transforms.TransformEnveloped)
    xmlsec.template.add_transform(reference, transforms.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(private_pem(key), xmlsec.constants.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def answer(changes: Mapping[str, str] = {}, *, key: RSAPrivateKey | None = None, empty: bool = False) -> bytes:
    """The golden answer to a Pay, with some elements' texts changed, signed by the bank (or by `key`)."""
    root = etree.fromstring((GOLDEN / "pay-answer.xml").read_bytes())
    for name, text in changes.items():
        [element] = root.iter(f"{{urn:sample-bank:1}}{name}")
        element.text = text
    if empty:
        [body] = root.iter("{urn:sample-bank:1}Body")
        for child in list(body):
            body.remove(child)
    return xmlsec_signed(etree.tostring(root, encoding="UTF-8"), key or keys().bank)


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """The name of a frame in dialogues: a request's operation, an answer's code."""
    root = etree.fromstring(frame)
    fields = {etree.QName(cell).localname: cell.text or "" for part in root[:2] for cell in part}
    return fields.get("Code") or fields["Operation"], fields
