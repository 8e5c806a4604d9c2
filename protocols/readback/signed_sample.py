"""Reads what a signature of Sample Bank binds: SignedInfo has the digest of the whole document (its README, 1 to 3)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Final

from protocols.canon.order import Kind
from protocols.readback.paper import Unreadable, amount
from protocols.readback.signed_message import SignedLine, SignedMessage

_WHOLE: Final = re.compile(
    '<SampleBank xmlns="urn:sample-bank:1"><Head>(.*?)</Head><Body>(.*)</Body></SampleBank>', re.DOTALL
)
# In canonical form a text has no greater-than sign and no carriage return either.
_LEAF: Final = re.compile("<([A-Za-z0-9]+)>([^<>\r]*)</\\1>")
_LISTED: Final = re.compile("(.*?)<List>(.*)</List>", re.DOTALL)
_ITEM: Final = re.compile("<Item>(.*?)</Item>", re.DOTALL)
_ESCAPES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&#xD;", "\r"), ("&amp;", "&"))
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
_PAYMENT: Final = _ORDER | {"DebtorAccount", "DebtorName", "Currency"}
_CLAIM: Final = frozenset({"Reference", "Agreement", "DebtorAccount", "DebtorName", "Amount", "Purpose"})


def signed_message(octets: bytes, document: bytes) -> SignedMessage:
    """What a signature over these octets says. Raises Unreadable unless they are the SignedInfo of this document."""
    digest = base64.b64encode(hashlib.sha256(document).digest()).decode("ascii")
    if octets != (_INFO % digest).encode("ascii"):
        raise Unreadable("the octets are not the SignedInfo of the message")
    try:
        whole = _WHOLE.fullmatch(document.decode("utf-8"))
    except UnicodeDecodeError:
        whole = None
    if whole is None:
        raise Unreadable("it is no SampleBank with one Head and one Body in the canonical form")
    head, body = _fields(whole[1]), whole[2]
    if tuple(head) != _HEAD:
        raise Unreadable("its Head has other elements")
    operation = head["Operation"]
    if operation in _QUESTIONS:
        if _fields(body).keys() != _QUESTIONS[operation]:
            raise Unreadable(f"the body of {operation} has other elements")
        return SignedMessage(operation)
    if operation in _SINGLE:
        line = _single(_fields(body))
        return SignedMessage(operation, _SINGLE[operation], line.reference, (line,))
    if operation in _MANY:
        return _many(operation, body)
    raise Unreadable(f"operation {operation!r} is not known here")


def _fields(content: str) -> dict[str, str]:
    """The texts of the elements that this content is made of: leaves of different names without attributes, one after
    the other, with nothing between them.

    Written again from what was found, they must be the content: so there is no comment, no entity, no other form of the
    same text, and nothing that was not read.
    """
    found = _LEAF.findall(content)
    said = dict(found)
    if len(said) != len(found) or "".join([f"<{name}>{text}</{name}>" for name, text in found]) != content:
        raise Unreadable("it has something else than leaves of different names")
    return {name: _plain(text) if "&" in text else text for name, text in said.items()}


def _plain(text: str) -> str:
    """The characters of a text in canonical form, which has four escapes and no other."""
    plain = text
    for escape, character in _ESCAPES:
        plain = plain.replace(escape, character)
    again = plain.replace("&", "&amp;")
    for escape, character in _ESCAPES[:-1]:
        again = again.replace(character, escape)
    if again != text:
        raise Unreadable("a text has an escape that the canonical form does not have")
    return plain


def _only(found: Mapping[str, str], names: Set[str], where: str) -> None:
    if found.keys() != names:
        raise Unreadable(f"{where} has other elements: {sorted(found.keys() ^ names)}")


def _single(said: Mapping[str, str]) -> SignedLine:
    _only(said, _PAYMENT, "the payment")
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


def _many(operation: str, body: str) -> SignedMessage:
    side = "Creditor" if operation == "CollectBatch" else "Debtor"
    parts = _LISTED.fullmatch(body)
    if parts is None:
        raise Unreadable("the batch has no list of items at its end")
    said, items = _fields(parts[1]), _ITEM.findall(parts[2])
    if tuple(said) != ("Reference", f"{side}Account", f"{side}Name", "Currency", "Count", "Sum"):
        raise Unreadable("the batch has other elements")
    if "".join([f"<Item>{item}</Item>" for item in items]) != parts[2]:
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
