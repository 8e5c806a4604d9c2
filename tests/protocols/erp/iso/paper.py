"""Files of ISO 20022 as an ERP sends them: several groups, several own accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.kit.iso20022 import debit, transfer
from protocols.kit.iso20022.debit import Debit, DebitFile, DebitGroup, Mandate
from protocols.kit.iso20022.parts import Side
from protocols.kit.iso20022.transfer import Transfer, TransferFile, TransferGroup
from tests.protocols.kit.iso20022.paper import AT, DAY

OURS, OTHER, THEIRS = "0000000000000000017", "0000000000000000033", "0000000000000000025"


def side(account: str, name: str = "示例甲公司", **more: str) -> Side:
    return Side(Party(AccountNumber(account), Name(name), more.get("bank_name"), more.get("cnaps")))


def person(account: str) -> Side:
    return Side(Party(AccountNumber(account), Name("示例乙"), kind=PartyKind.PERSON), identity="P-1")


def one(number: int, amount: str = "12.34", currency: str = "CNY") -> Transfer:
    payee = side(THEIRS, "示例乙", cnaps="000000000000", bank_name="示例银行某支行")
    return Transfer(f"E2E-{number}", Money.parse(amount, currency), payee, "货款 0931", f"I-{number}")


def group(name: str, *transfers: Transfer, account: str = OURS, on: date = DAY) -> TransferGroup:
    return TransferGroup(name, side(account), on, transfers)


def file(*groups: TransferGroup, message: str = "M-1") -> TransferFile:
    made = groups or (group("G-1", one(1), one(2, "0.01")), group("G-2", one(1, "5.00"), account=OTHER))
    return TransferFile(message, AT, side("", "示例甲公司"), made)


def pain001(*groups: TransferGroup, message: str = "M-1", name: str = "pain.001.001.09") -> bytes:
    return transfer.write_transfers(file(*groups, message=message), name)


def pain008() -> bytes:
    mandates = [Mandate("MND-1", date(2026, 1, 2)), Mandate("MND-2", date(2026, 1, 3))]
    debits = tuple(
        Debit(f"E2E-{n}", Money(100 * n, "CNY"), side(THEIRS, "示例乙"), mandate, "会费")
        for n, mandate in enumerate(mandates, 1)
    )
    return debit.write_debits(
        DebitFile("M-8", AT, side("", "示例甲公司"), (DebitGroup("G-1", side(OURS), DAY, debits),))
    )


def urgent(one: TransferGroup) -> TransferGroup:
    return replace(one, urgent=True)
