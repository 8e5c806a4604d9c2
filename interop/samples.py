"""Messages for the peers: made and signed by our adapters, with new keys, in a temporary folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from lxml import etree

from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Bank, Context, Sign, Submit
from protocols.banks import finws, sample
from protocols.banks.finws.enrolment import Enrolment
from protocols.canon.money import Money
from protocols.canon.order import Kind, Order, PaymentDetail
from protocols.canon.party import AccountNumber, Name, Party
from protocols.certificates import CertificateSubject
from protocols.kit import cms, dsig, http

DS = f"{{{dsig.DS}}}"
CUSTOMER = "11111111"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed document of ours.

    `file` is what we send, `shown` the same with the certificate in its KeyInfo (for programs that look for keys
    there only), `changed` is `shown` with one character of the signed content changed. `references` is how many
    elements the signature covers.
    """

    name: str
    file: Path
    shown: Path
    changed: Path
    references: int


@dataclass(frozen=True, slots=True)
class Detached:
    """Octets of ours and the signature over them, both as files."""

    name: str
    octets: Path
    signature: Path


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of one run. `public` is the signer's public key, `cms_content` the content of `cms`,
    `csr` a PKCS#10.
    """

    folder: Path
    pki: BankPki
    public: Path
    signed: tuple[Signed, ...]
    detached: tuple[Detached, ...]
    cms: Path
    cms_content: bytes
    csr: Path

    @property
    def certificate(self) -> Path:
        """The signer's certificate."""
        return self.pki.gateway_sign_cert


def make(folder: Path, now: datetime) -> Samples:
    """Make all of them below `folder`."""
    dsig.start()
    pki = make_pki(folder / "pki", ["interop"], now)["interop"]
    key = private_key(pki.gateway_sign_key)
    public = folder / "signer.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    bank = pki.bank_sign_cert.read_text()
    ours = pki.gateway_sign_cert.read_text()
    made, octets = [], list[tuple[str, bytes, bytes]]()
    plain, signatures = submitted(sample.build({"bank_certificate": bank}), {"order": key}, now)
    made.append(_signed(folder, "sample, enveloped", plain[plain.index(b"<") :], 1, (b">1234.56<", b">1234.57<"), ours))
    octets += [("sample", *one) for one in signatures]
    frame, signatures = submitted(finws_bank(pki), {"content": key, "transport": key}, now)
    envelope = http.parse_request(frame).body
    [packed] = etree.fromstring(envelope).iter("{http://model.bxd.fi}ApplicationRequest")
    document = base64.b64decode(packed.text or "")
    made.append(_signed(folder, "finws, ApplicationRequest", document, 1, (b">UploadFile<", b">uploadFile<"), ours))
    made.append(_signed(folder, "finws, WS-Security", envelope, 2, (b"<m:Language>EN<", b"<m:Language>FI<"), ours))
    octets += [("finws", *one) for one in signatures]
    content = "组包 <body>1234.56</body>".encode("gb18030")
    der = cms.attach(
        content, sign(key, content), load_pem_x509_certificate(ours.encode()).public_bytes(Encoding.DER), "sha256"
    )
    cms_file, csr = folder / "message.p7", folder / "request.csr"
    cms_file.write_bytes(der)
    csr.write_bytes(_certificate_request(pki, key, now))
    return Samples(folder, pki, public, tuple(made), tuple(_detached(folder, octets)), cms_file, content, csr)


def private_key(file: Path) -> RSAPrivateKey:
    """The RSA key in a PEM file."""
    key = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def sign(key: RSAPrivateKey, octets: bytes) -> bytes:
    """Sign as the gateway's file keys do."""
    return key.sign(octets, PKCS1v15(), SHA256())


def finws_bank(pki: BankPki, **more: Any) -> Bank:
    """The adapter of the Finnish Web Services with these keys."""
    return finws.build(
        {
            "customer": CUSTOMER,
            "bic": "BANKFIHH",
            "certificate": pki.gateway_sign_cert.read_text(),
            "bank_certificate": pki.bank_sign_cert.read_text(),
            "verify": "hand",
            **more,
        }
    )


def payment(reference: str, amount: Money, debtor: str, creditor: str) -> Order[PaymentDetail]:
    """An order between two invented parties."""
    payer = Party(AccountNumber(debtor), Name("示例甲公司"))
    payee = Party(AccountNumber(creditor), Name("Müller & 乙 <GmbH>"))
    return Order(reference, payer, payee, amount, PaymentDetail(), f"货款 {reference}")


def context(reference: str, serial: int, now: datetime) -> Context:
    """The context of a conversation of today."""
    return Context(
        reference,
        1,
        now.date(),
        now,
        tuple(range(serial, serial + 4)),
        {"user": "demo", "password": "demo"},
        {"token": "T1"},
    )


def submitted(bank: Bank, keys: Mapping[str, RSAPrivateKey], now: datetime) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The frame of a payment, and each of its signatures with the octets that it signs."""
    order = payment(
        "INTEROP0000000000001",
        Money(123456, bank.profile.limits.amount.currencies[0]),
        "0000000000000000017",
        "0000000000000000025",
    )
    conversation = bank.money[Kind.PAYMENT](order, context(order.id, 1001, now))
    step, signatures = next(conversation), list[tuple[bytes, bytes]]()
    while isinstance(step, Sign):
        signature = sign(keys[step.key], step.octets)
        signatures.append((step.octets, signature))
        step = conversation.send(signature)
    assert isinstance(step, Submit)
    conversation.close()
    return step.data, signatures


def _signed(folder: Path, name: str, data: bytes, references: int, change: tuple[bytes, bytes], shown: str) -> Signed:
    stem = name.replace(", ", "-").lower()
    one = Signed(name, folder / f"{stem}.xml", folder / f"{stem}-shown.xml", folder / f"{stem}-changed.xml", references)
    revealed = _revealed(data, shown)
    assert change[0] in revealed, f"{name}: {change[0]!r} is not in it"
    one.file.write_bytes(data)
    one.shown.write_bytes(revealed)
    one.changed.write_bytes(revealed.replace(*change))
    return one


def _revealed(data: bytes, certificate: str) -> bytes:
    """The document with the signer's certificate in KeyInfo, which no signature covers."""
    root = etree.fromstring(data)
    [signature] = root.iter(f"{DS}Signature")
    for old in signature.findall(f"{DS}KeyInfo"):
        signature.remove(old)
    info = etree.SubElement(etree.SubElement(signature, f"{DS}KeyInfo"), f"{DS}X509Data")
    body = "".join(line for line in certificate.splitlines() if not line.startswith("-----"))
    etree.SubElement(info, f"{DS}X509Certificate").text = body
    return etree.tostring(root)


def _detached(folder: Path, octets: list[tuple[str, bytes, bytes]]) -> Iterator[Detached]:
    for number, (name, content, signature) in enumerate(octets, start=1):
        one = Detached(f"{name} {number}", folder / f"octets-{number}", folder / f"signature-{number}")
        one.octets.write_bytes(content)
        one.signature.write_bytes(signature)
        yield one


def _certificate_request(pki: BankPki, key: RSAPrivateKey, now: datetime) -> bytes:
    """The PKCS#10 of a first certificate, as the enrolment conversation makes it."""
    wire = finws.files(
        {
            "customer": CUSTOMER,
            "bic": "BANKFIHH",
            "certificate": pki.gateway_sign_cert.read_text(),
            "bank_certificate": pki.bank_sign_cert.read_text(),
        }
    ).wire
    conversation = Enrolment(wire).first(
        CertificateSubject(key.public_key(), "示例甲公司"), "1234567890", context("", 1, now)
    )
    step = next(conversation)
    while isinstance(step, Sign):
        step = conversation.send(sign(key, step.octets))
    [packed] = etree.fromstring(http.parse_request(step.data).body).iter("{*}ApplicationRequest")
    [content] = etree.fromstring(base64.b64decode(packed.text or "")).iter("{*}Content")
    conversation.close()
    return base64.b64decode(content.text or "")


def today() -> datetime:
    """The present time, because the certificates of this hour are valid only for it."""
    return datetime.now(UTC)
