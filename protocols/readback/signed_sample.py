"""Reads what a signature of Sample Bank binds: SignedInfo has the digest of the whole document (its README, 1 to 3)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from lxml import etree

from protocols.canon.order import Kind
from protocols.readback.paper import Unreadable, amount
from protocols.readback.signed_message import SignedLine, SignedMessage

_N: Final = "{urn:sample-bank:1}"
_DS, _EXC = "http://www.w3.org/2000/09/xmldsig#", "http://www.w3.org/2001/10/xml-exc-c14n#"
_INFO: Final = (
    f'<ds:SignedInfo xmlns:ds="{_DS}"><ds:CanonicalizationMethod Algorithm="{_EXC}"></ds:CanonicalizationMethod>'
    '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>'
    f'<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="{_DS}enveloped-signature"></ds:Transform>'
    f'<ds:Transform Algorithm="{_EXC}"></ds:Transform></ds:Transforms>'
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
)
_HEAD: Final = ("Customer", "Operation", "Serial", "Sent", "Token")
_QUESTIONS: Final[Mapping[str, frozenset[str]]] = {
    "SignOn": frozenset({"User", "Password"}),
    "SignOff": frozenset(),
    "Ping": frozenset(),
    "Fate": frozenset({"Reference", "FirstDate", "LastDate"}),
    "BatchFate": frozenset({"Reference", "FirstDate", "LastDate"}),
    "Balance": frozenset({"Account", "Currency", "On"}),
    "Entries": frozenset({"Account", "Currency", "FirstDate", "LastDate", "Cursor"}),
    "Returns": frozenset({"Account", "FirstDate", "LastDate", "Cursor"}),
    "Receipt": frozenset({"Account", "BankDate", "Number", "Reference", "Ticket"}),
}
"""The operations that move no money, with the only elements that their bodies have."""
_SINGLE: Final = {"Pay": frozenset({Kind.PAYMENT}), "Move": frozenset({Kind.TRANSFER})}
_MANY: Final = {
    "PayBatch": frozenset({Kind.BATCH_ITEM, Kind.PAYROLL_ITEM}),
    "CollectBatch": frozenset({Kind.COLLECTION}),
}
_ORDER: Final = frozenset(
    {
        *("Reference", "CreditorAccount", "CreditorName", "CreditorBankName", "CreditorBankCode", "Amount"),
        *("Purpose", "Urgent", "Private"),
    }
)
_CLAIM: Final = frozenset({"Reference", "Agreement", "DebtorAccount", "DebtorName", "Amount", "Purpose"})


def signed_message(octets: bytes, document: bytes) -> SignedMessage:
    """What a signature over these octets says. Raises Unreadable unless they are the SignedInfo of this document."""
    digest = base64.b64encode(hashlib.sha256(document).digest()).decode("ascii")
    if octets != (_INFO % digest).encode("ascii"):
        raise Unreadable("the octets are not the SignedInfo of the message")
    root = _canonical_root(document)
    if root.tag != f"{_N}SampleBank" or [node.tag for node in root] != [f"{_N}Head", f"{_N}Body"]:
        raise Unreadable("it is no SampleBank with one Head and one Body")
    head, body = _fields(root[0]), root[1]
    if tuple(head) != _HEAD:
        raise Unreadable("its Head has other elements")
    operation = head["Operation"]
    if operation in _QUESTIONS:
        if set(_fields(body)) != _QUESTIONS[operation]:
            raise Unreadable(f"the body of {operation} has other elements")
        return SignedMessage(operation)
    if operation in _SINGLE:
        line = _single(_fields(body))
        return SignedMessage(operation, _SINGLE[operation], line.reference, (line,))
    if operation in _MANY:
        return _many(operation, body)
    raise Unreadable(f"operation {operation!r} is not known here")


def _canonical_root(document: bytes) -> etree._Element:
    """The root of a document that is in its canonical form: in UTF-8, without declaration, comment or entity."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(document, parser)
        same = etree.tostring(root, method="c14n", exclusive=True, with_comments=True) == document
    except (etree.XMLSyntaxError, etree.C14NError, ValueError) as error:
        raise Unreadable(f"it is no XML: {type(error).__name__}") from None
    if not same or any(not isinstance(node.tag, str) or node.attrib for node in root.iter()):
        raise Unreadable("it is not in canonical form, or has attributes, comments or instructions")
    return root


def _fields(node: etree._Element) -> dict[str, str]:
    """The texts of an element whose children are leaves of different names."""
    found = {str(leaf.tag).removeprefix(_N): leaf.text or "" for leaf in node}
    if (
        len(found) != len(node)
        or (node.text or "").strip()
        or any(len(leaf) or leaf.tail or not str(leaf.tag).startswith(_N) for leaf in node)
    ):
        raise Unreadable(f"{node.tag!s} has a text, an element twice, or one inside another")
    return found


def _only(found: Mapping[str, str], names: Iterable[str], where: str) -> None:
    if set(found) != set(names):
        raise Unreadable(f"{where} has other elements: {sorted(set(found) ^ set(names))}")


def _single(said: Mapping[str, str]) -> SignedLine:
    _only(said, ("DebtorAccount", "DebtorName", "Currency", *_ORDER), "the payment")
    return _line(said, said["DebtorAccount"], said["DebtorName"], said["Currency"])


def _line(said: Mapping[str, str], debtor: str, debtor_name: str, currency: str) -> SignedLine:
    return SignedLine(
        said["Reference"],
        debtor,
        said["CreditorAccount"],
        amount(said["Amount"]),
        currency,
        debtor_name=debtor_name,
        payee_name=said["CreditorName"],
        payee_bank=said["CreditorBankCode"],
        payee_bank_name=said["CreditorBankName"],
        payee_is_person=_flag(said["Private"]),
        purpose=said["Purpose"],
        urgent=_flag(said["Urgent"]),
    )


def _flag(text: str) -> bool:
    if text not in ("Y", "N"):
        raise Unreadable("Urgent or Private is neither Y nor N")
    return text == "Y"


def _many(operation: str, body: etree._Element) -> SignedMessage:
    side = "Creditor" if operation == "CollectBatch" else "Debtor"
    names = ("Reference", f"{side}Account", f"{side}Name", "Currency", "Count", "Sum", "List")
    if [node.tag for node in body] != [f"{_N}{name}" for name in names]:
        raise Unreadable("the batch has other elements")
    said, items = {name: leaf.text or "" for name, leaf in zip(names, body)}, body[-1]
    if (body.text or items.text) or any(leaf.tail or (len(leaf) and leaf is not items) for leaf in body):
        raise Unreadable("the batch has a text, or an element inside another")
    if any(item.tag != f"{_N}Item" or item.tail for item in items):
        raise Unreadable("the list has something else than items")
    lines = []
    for row in map(_fields, items):
        if operation == "CollectBatch":
            _only(row, _CLAIM, "an item")
            lines.append(_claim(row, said["CreditorAccount"], said["CreditorName"], said["Currency"]))
        else:
            _only(row, _ORDER, "an item")
            lines.append(_line(row, said["DebtorAccount"], said["DebtorName"], said["Currency"]))
    if said["Count"] != str(len(lines)) or amount(said["Sum"]) != sum((line.amount for line in lines), Decimal()):
        raise Unreadable("Count or Sum is not that of the items")
    return SignedMessage(operation, _MANY[operation], said["Reference"], tuple(lines))


def _claim(row: Mapping[str, str], own: str, own_name: str, currency: str) -> SignedLine:
    return SignedLine(
        row["Reference"],
        row["DebtorAccount"],
        own,
        amount(row["Amount"]),
        currency,
        debtor_name=row["DebtorName"],
        payee_name=own_name,
        purpose=row["Purpose"],
        agreement=row["Agreement"],
    )
