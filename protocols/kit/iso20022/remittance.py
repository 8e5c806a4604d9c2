"""Structured remittance information (Strd): a creditor's reference, an invoice, and the part of the payment that it is
for.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.canon.terms import Remittance
from protocols.kit.iso20022.parts import Reader, amount
from protocols.kit.xmldoc import Markup, el

_RF: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}\Z", re.ASCII)
_QRR: Final = re.compile(r"[0-9]{27}\Z", re.ASCII)
_INVOICE, _CREDIT_NOTE = "CINV", "CREN"
_QRR_TABLE: Final = (0, 9, 4, 6, 8, 2, 7, 1, 3, 5)


def is_rf(reference: str) -> bool:
    """Whether the text is a creditor reference of ISO 11649 with correct check digits."""
    if not _RF.match(reference):
        return False
    turned = reference[4:] + reference[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def is_qrr(reference: str) -> bool:
    """Whether the text is a Swiss QR reference with a correct check digit (modulo 10, recursive)."""
    if not _QRR.match(reference):
        return False
    carry = 0
    for digit in reference[:-1]:
        carry = _QRR_TABLE[(carry + int(digit)) % 10]
    return (10 - carry) % 10 == int(reference[-1])


def broken(reference: str) -> str:
    """The fault of a reference whose kind can be recognised; "" if it has no fault, or is of another kind."""
    if _RF.match(reference) and not is_rf(reference):
        return "has the form of an RF reference (ISO 11649) and wrong check digits"
    if _QRR.match(reference) and not is_qrr(reference):
        return "has the form of a QR reference and a wrong check digit"
    return ""


def structured(one: Remittance) -> Markup:
    """The element Strd. A reference with the form of a QR reference is written as QRR, every other one as SCOR."""
    document = (
        el(
            "RfrdDocInf",
            el("Tp", el("CdOrPrtry", el("Cd", _CREDIT_NOTE if one.credit_note else _INVOICE))),
            el("Nb", one.invoice),
        )
        if one.invoice
        else None
    )
    part = "CdtNoteAmt" if one.credit_note else "RmtdAmt"
    share = None if one.amount is None else el("RfrdDocAmt", amount(part, one.amount))
    kind = el("Prtry", "QRR") if is_qrr(one.reference) else el("Cd", "SCOR")
    said = el("CdtrRefInf", el("Tp", el("CdOrPrtry", kind)), el("Ref", one.reference)) if one.reference else None
    return el("Strd", document, share, said)


def read_structured(one: Reader) -> Remittance | None:
    """The reference and the document in a Strd element; None if it has none that the gateway can carry."""
    kind = one.text("RfrdDocInf/Tp/CdOrPrtry/Cd", "RfrdDocInf/Tp/CdOrPrtry/Prtry")
    credit, invoice = one.money("RfrdDocAmt/CdtNoteAmt"), one.text("RfrdDocInf/Nb")
    reference = one.text("CdtrRefInf/Ref")
    if not invoice and not reference:
        return None
    return Remittance(reference, invoice, credit or one.money("RfrdDocAmt/RmtdAmt"), kind == _CREDIT_NOTE)
