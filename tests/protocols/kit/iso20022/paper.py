"""Invented parties and files for the tests of ISO 20022."""

from __future__ import annotations

from datetime import UTC, date, datetime

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Address, Name, Party, PartyKind
from protocols.canon.terms import Remittance
from protocols.kit.iso20022.parts import Side
from protocols.kit.iso20022.transfer import Transfer, TransferFile, TransferGroup

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DAY = date(2026, 11, 24)
OURS_IBAN = "FI2112345600000785"  # the check digits of the standard's own example


def side(name: str, account: str, *, bic: str = "", cnaps: str | None = None, person: bool = False) -> Side:
    kind = PartyKind.PERSON if person else PartyKind.CORPORATE
    address = Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1")
    # Only the form of the identity distinguishes a person from a company.
    return Side(
        Party(AccountNumber(account), Name(name), None, cnaps, kind, bic or None, address), "P-1" if person else ""
    )


def initiator(name: str = "示例甲公司", identity: str = "000000017") -> Side:
    return Side(Party(AccountNumber(""), Name(name)), identity=identity)


def transfer(number: int = 1, amount: str = "12345.67", currency: str = "EUR") -> Transfer:
    return Transfer(
        f"E2E-{number:04d}",
        Money.parse(amount, currency),
        side("示例乙 <&> Oy", "0000000000000000025", cnaps="000000000000"),
        "货款 合同 HT-0931",
        f"I-{number:04d}",
        (Remittance("RF18539007547034"),),
    )


def transfer_file(*amounts: str) -> TransferFile:
    debtor = side("示例甲公司", OURS_IBAN, bic="AAAAFIHH")
    transfers = tuple(transfer(number, amount) for number, amount in enumerate(amounts or ("12345.67",), start=1))
    return TransferFile("M-1", AT, initiator(), (TransferGroup("G-1", debtor, DAY, transfers),))


def tree(data: bytes) -> etree._Element:
    return etree.fromstring(data)


def changed(data: bytes, old: str, new: str, most: int = -1) -> etree._Element:
    assert old.encode() in data, f"{old} does not stand in the document"
    return tree(data.replace(old.encode(), new.encode(), most))
