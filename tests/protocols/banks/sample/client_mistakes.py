"""Mistakes of Sample Bank's clients, each a change to a good request written from README.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lxml import etree

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.sample import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.protocols.banks.sample.paper import CREDITOR, DEBTOR, keys, private_pem, public_pem, xmlsec_signed
from tests.world.dialogue import BankTime

NS = "urn:sample-bank:1"
HOLDER = "示例甲公司"
PAY = {
    "Reference": "MISTAKE0000000000001", "DebtorAccount": DEBTOR, "DebtorName": HOLDER, "CreditorAccount": CREDITOR,
    "CreditorName": "示例乙公司", "CreditorBankName": "", "CreditorBankCode": "", "Amount": "1.00", "Currency": "CNY",
    "Purpose": "货款", "Urgent": "N", "Private": "N",
}  # fmt: skip
ITEM = {key: text for key, text in PAY.items() if not key.startswith("Debtor") and key != "Currency"}
BATCH = {
    "Reference": "MISTAKE000000000000B", "DebtorAccount": DEBTOR, "DebtorName": HOLDER, "Currency": "CNY", "Count": "2",
    "Sum": "2.00",
}  # fmt: skip
ITEMS = (ITEM, ITEM | {"Reference": "MISTAKE0000000000002"})
PERIOD = {"FirstDate": "2026-11-23", "LastDate": "2026-11-24"}


def message(
    operation: str,
    body: dict[str, str],
    items: tuple[dict[str, str], ...] | None = None,
    *,
    token: str = "",
    **head: str,
) -> bytes:
    """A framed and signed request."""
    root = etree.Element(f"{{{NS}}}SampleBank", nsmap={None: NS})
    first = {
        "Customer": "0001",
        "Operation": operation,
        "Serial": "7",
        "Sent": "2026-11-24T12:00:00+08:00",
        "Token": token,
    }
    for part, fields in (("Head", first | head), ("Body", body)):
        inner = etree.SubElement(root, f"{{{NS}}}{part}")
        for name, text in fields.items():
            etree.SubElement(inner, f"{{{NS}}}{name}").text = text
    if items is not None:
        rows = etree.SubElement(root[1], f"{{{NS}}}List")
        for item in items:
            row = etree.SubElement(rows, f"{{{NS}}}Item")
            for name, text in item.items():
                etree.SubElement(row, f"{{{NS}}}{name}").text = text
    document = xmlsec_signed(etree.tostring(root, encoding="UTF-8"), keys().client)
    return b"%08d" % len(document) + document


def side() -> Side:
    """The bank's side with one account, signed on."""
    accounts = (LedgerAccount(DEBTOR, HOLDER, Money(10_000_000_000_000)),)
    other = twin.build(
        {"user": "u", "password": "p"}, {"bank": private_pem(keys().bank), "client": public_pem(keys().client)}
    )
    made = Side(other, Ledger(BankTime().now_ms, accounts))
    made.answer(message("SignOn", {"User": "u", "Password": "p"}))
    made.connection["token"] = "T"
    return made


def _pay(name: str, text: str, rule: RuleKind, code: str = "M300") -> Mistake:
    return Mistake(f"pay {name}={text[:24]!r}", partial(message, "Pay", PAY | {name: text}), name, rule, code)


def _item(name: str, text: str, rule: RuleKind) -> Mistake:
    changed = (ITEMS[0], ITEMS[1] | {name: text})
    return Mistake(
        f"item {name}={text[:24]!r}", partial(message, "PayBatch", BATCH, changed), f"Item[2]/{name}", rule, "M300"
    )


def _batch(name: str, text: str, rule: RuleKind, code: str = "M300") -> Mistake:
    return Mistake(
        f"batch {name}={text[:24]!r}", partial(message, "PayBatch", BATCH | {name: text}, ITEMS), name, rule, code
    )


def _ask(operation: str, body: dict[str, str], name: str, rule: RuleKind, code: str = "M300") -> Mistake:
    shown = f"{operation} {name}={body.get(name, '')[:24]!r}"
    return Mistake(shown, partial(message, operation, body, token="T"), name, rule, code)


def _spoiled() -> bytes:
    return message("Pay", PAY).replace(b"<Amount>1.00", b"<Amount>9.00")


ENTRIES = {"Account": DEBTOR, "Currency": "CNY", **PERIOD, "Cursor": ""}
BALANCE = {"Account": DEBTOR, "Currency": "CNY", "On": ""}
RECEIPT = {"Account": DEBTOR, "BankDate": "2026-11-24", "Number": "1", "Reference": "", "Ticket": ""}
FATE = {"Reference": PAY["Reference"], **PERIOD}


def mistakes() -> tuple[Mistake, ...]:
    """Every rule of README.md 2 and 3, broken once."""
    shuffled = dict(reversed(PAY.items()))
    many = tuple(ITEM | {"Reference": f"M{number:019d}"} for number in range(201))
    whole: tuple[tuple[str, Callable[[], bytes], str, RuleKind, str], ...] = (
        ("an operation in small letters", partial(message, "pay", PAY), "Operation", RuleKind.OPERATION, "M100"),
        ("elements in another order", partial(message, "Pay", shuffled), "Body", RuleKind.FRAME, "M100"),
        ("an element too many", partial(message, "Pay", PAY | {"Note": "x"}), "Body", RuleKind.FRAME, "M100"),
        ("another customer's number", partial(message, "Pay", PAY, Customer="0002"), "Customer", RuleKind.HEADER, "M100"),
        ("changed after it was signed", _spoiled, "Signature", RuleKind.SIGNATURE, "M200"),
        ("a batch without items", partial(message, "PayBatch", BATCH, ()), "Item", RuleKind.COUNT, "M100"),
        ("201 items", partial(message, "PayBatch", BATCH, many), "Item", RuleKind.COUNT, "M100"),
        ("an item twice", partial(message, "PayBatch", BATCH, (ITEM, ITEM)), "Reference", RuleKind.TOGETHER, "M300"),
        (
            "a transfer to a stranger",
            partial(message, "Move", PAY),
            "CreditorAccount",
            RuleKind.BOOKS,
            "A100",
        ),
    )  # fmt: skip
    return (
        *(Mistake(name, request, place, rule, code) for name, request, place, rule, code in whole),
        _pay("Reference", "mistake0000000000001", RuleKind.ALPHABET),
        _pay("Reference", "MISTAKE000000000001", RuleKind.LENGTH),
        _pay("Reference", "", RuleKind.MISSING),
        _pay("DebtorAccount", "17", RuleKind.FORM),
        _pay("DebtorAccount", "0000000000000000099", RuleKind.BOOKS, "A100"),
        _pay("DebtorName", "别人公司", RuleKind.BOOKS),
        _pay("DebtorName", "", RuleKind.MISSING),
        _pay("CreditorAccount", "0000-25", RuleKind.FORM),
        _pay("CreditorAccount", "", RuleKind.MISSING),
        _pay("CreditorName", "", RuleKind.MISSING),
        _pay("CreditorName", "名" * 41, RuleKind.LENGTH),
        _pay("CreditorBankName", "行" * 41, RuleKind.LENGTH),
        _pay("Amount", "1.5", RuleKind.FORM),
        _pay("Amount", "01.00", RuleKind.FORM),
        _pay("Amount", "-1.00", RuleKind.FORM),
        _pay("Amount", "0.00", RuleKind.FORM),
        _pay("Amount", "1,000.00", RuleKind.FORM),
        _pay("Amount", "100000000000.00", RuleKind.LENGTH),
        _pay("Currency", "USD", RuleKind.CODE),
        _pay("Currency", "RMB", RuleKind.CODE),
        _pay("Purpose", "用" * 47, RuleKind.LENGTH),
        _pay("Urgent", "yes", RuleKind.CODE),
        _pay("Private", "", RuleKind.MISSING),
        _item("Amount", "1", RuleKind.FORM),
        _item("CreditorName", "名" * 41, RuleKind.LENGTH),
        _batch("Count", "3", RuleKind.TOGETHER),
        _batch("Sum", "2.01", RuleKind.TOGETHER),
        _batch("Currency", "EUR", RuleKind.CODE),
        _ask("Fate", FATE | {"FirstDate": "20261123"}, "FirstDate", RuleKind.FORM),
        _ask("Fate", FATE | {"FirstDate": "2026-11-25"}, "FirstDate", RuleKind.TOGETHER),
        _ask("Balance", BALANCE | {"Account": "0000000000000000099"}, "Account", RuleKind.BOOKS, "A100"),
        _ask("Balance", BALANCE | {"On": "2026-02-30"}, "On", RuleKind.FORM),
        _ask("Entries", ENTRIES | {"Cursor": "next"}, "Cursor", RuleKind.ALPHABET),
        _ask("Receipt", RECEIPT | {"BankDate": ""}, "BankDate", RuleKind.MISSING),
    )


def corners() -> tuple[Corner, ...]:
    """The longest and the shortest requests that README.md 3 allows, and unusual characters of UTF-8."""
    longest = PAY | {"CreditorName": "名" * 40, "CreditorBankName": "行" * 40, "Purpose": "用" * 46 + "ab"}
    most = tuple(ITEM | {"Reference": f"M{number:019d}"} for number in range(200))
    return (
        Corner("the longest names and purpose", partial(message, "Pay", longest)),
        Corner("the largest amount", partial(message, "Pay", PAY | {"Amount": "99999999999.99"})),
        Corner("one fen, no purpose", partial(message, "Pay", PAY | {"Amount": "0.01", "Purpose": ""})),
        Corner("full-width and rare characters", partial(message, "Pay", PAY | {"CreditorName": "ABC㐂𠮷"})),
        Corner("an account of 4 and one of 34", partial(message, "Pay", PAY | {"CreditorAccount": "Z" * 34})),
        Corner("200 items", partial(message, "PayBatch", BATCH | {"Count": "200", "Sum": "200.00"}, most), 200),
    )
