"""Messages of NetSafe Client, written by hand from the bank's page, and runs of conversations against them."""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import icbc
from protocols.banks.icbc import twin
from protocols.banks.icbc.twin_rules import DUPLICATE, NO_PACKAGE
from protocols.canon.money import Money
from protocols.canon.order import (
    BatchItemDetail,
    Bundle,
    CollectionDetail,
    Item,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
)
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import Sent, SentBundle
from tests.world.dialogue import BankAndTwin, BankTime

R = TypeVar("R")
ZONE = timezone(timedelta(hours=8))
NOW = datetime(2026, 1, 5, 10, 16, 0, 123_000, tzinfo=ZONE)
TODAY = NOW.date()
CIS, LOGIN = "40009000-5ABCDE", "demo.y.4000"
DEBTOR, CREDITOR = "0000021001000000001", "0000021001000000002"
REFERENCE = "PAY00000000000000001"
BUNDLE = "BUN00000000000000001"
ITEMS = tuple(f"ITM0000000000000000{n}" for n in range(1, 4))
OPTIONS: Mapping[str, Any] = {"cis": CIS, "certificate_id": LOGIN, "probe_account": DEBTOR, "default_city": "上海"}
CODES: Mapping[str, Any] = {"duplicate": [DUPLICATE], "not_found": [NO_PACKAGE]}
PAYER = Party(AccountNumber(DEBTOR), Name("甲公司"))
PAYEE = Party(AccountNumber(CREDITOR), Name("乙公司"), "工商银行示例支行")


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return icbc.build({**OPTIONS, **options})


def order(**changes: Any) -> Order[PaymentDetail]:
    """The sample payment of the bank's page."""
    return replace(Order("ERP0001", PAYER, PAYEE, Money(12_345), PaymentDetail(), purpose="货款"), **changes)


def sent(reference: str = REFERENCE, amount: int = 12_345, debtor: str = DEBTOR, creditor: str = CREDITOR) -> Sent:
    """The record of the sample payment."""
    return Sent(reference, TODAY, 1, (), Money(amount), AccountNumber(debtor), AccountNumber(creditor))


def bundle(kind: Kind, amounts: Sequence[int] = (100, 100, 250)) -> Bundle:
    """A package of lines that differ only in their references."""
    items = []
    for place, (reference, minor) in enumerate(zip(ITEMS, amounts), 1):
        details: dict[Kind, Any] = {
            Kind.BATCH_ITEM: BatchItemDetail("B1", place),
            Kind.PAYROLL_ITEM: PayrollItemDetail("B1", place, purpose_code="01"),
            Kind.COLLECTION: CollectionDetail("XY0001", "B1", place),
        }
        person = replace(PAYEE, name=Name("示例丙"), kind=PartyKind.PERSON)
        debtor, creditor = (person, PAYER) if kind is Kind.COLLECTION else (PAYER, person)
        items.append(Item(Order(f"E{place}", debtor, creditor, Money(minor), details[kind], "款项"), reference))
    return Bundle(kind, tuple(items))


def sent_bundle(given: Bundle) -> SentBundle:
    """The record of a package."""
    items = tuple(
        Sent(one.reference, TODAY, 1, (), one.order.amount, one.order.debtor.account, one.order.creditor.account)
        for one in given.items
    )
    return SentBundle(BUNDLE, TODAY, 1, (), items)


def context(reference: str = REFERENCE, now: datetime = NOW, serial: int = 7) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, now.date(), now, (serial,))


def http_answer(body: bytes, status: str = "200 OK") -> bytes:
    """One HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def wrapped(data: bytes) -> bytes:
    """Base64 with CR LF every 76 characters, as the front end writes it."""
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + b"\r\n"


def data_answer(document: str) -> bytes:
    """A message as the form field `reqData`."""
    return http_answer(b"reqData=" + wrapped(document.encode("gb18030")))


def leaves(fields: Mapping[str, str]) -> str:
    """XML elements in the given order."""
    return "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items())


def message(operation: str, package_id: str, out: str, **pub: str) -> bytes:
    """A whole answer: the page's envelope, two blanks in the declaration."""
    head = {
        "TransCode": operation,
        "CIS": CIS,
        "BankCode": "102",
        "ID": LOGIN,
        "TranDate": "20260105",
        "TranTime": "101600456",
        "fSeqno": package_id,
        "RetCode": "0",
        "RetMsg": "",
        **pub,
    }
    return data_answer(
        f'<?xml  version="1.0" encoding="GBK" ?><CMS><eb><pub>{leaves(head)}</pub><out>{out}</out></eb></CMS>'
    )


def payent_row(**changes: str) -> str:
    """A line of the page's PAYENT answer: the request's fields, then its result."""
    return (
        "<rd>"
        + leaves(
            {
                "iSeqno": "1",
                "OrderNo": "1",
                "PayType": "2",
                "PayAccNo": DEBTOR,
                "PayAccNameCN": "甲公司",
                "RecAccNo": CREDITOR,
                "RecAccNameCN": "乙公司",
                "SysIOFlg": "1",
                "CurrType": "001",
                "PayAmt": "12345",
                "UseCN": "货款",
                "ERPSqn": REFERENCE,
                "Result": "7",
                "iRetCode": "0",
                "iRetMsg": "",
                "MCardNo": "",
                "MCardName": "",
                **changes,
            }
        )
        + "</rd>"
    )


def payent(rows: str | None = None, count: str = "1", total: str = "12345", **pub: str) -> bytes:
    """The page's PAYENT answer."""
    head = leaves(
        {
            "OnlBatF": "1",
            "SettleMode": "0",
            "TotalNum": count,
            "TotalAmt": total,
            "RepReserved1": "",
            "RepReserved2": "",
            "AlertFlag": "",
        }
    )
    return message("PAYENT", REFERENCE, head + (payent_row() if rows is None else rows), SerialNo="HQP0000001", **pub)


def qpayent_row(**changes: str) -> str:
    """A line of the page's QPAYENT answer."""
    return (
        "<rd>"
        + leaves(
            {
                "iSeqno": "1",
                "QryiSeqno": "1",
                "QryOrderNo": "1",
                "PayAccNo": DEBTOR,
                "RecAccNo": CREDITOR,
                "CurrType": "001",
                "PayAmt": "12345",
                "UseCN": "货款",
                "ERPSqn": REFERENCE,
                "Result": "7",
                "instrRetCode": "0",
                "instrRetMsg": "",
                "BankRetTime": "20260105101601",
                "iRetCode": "0",
                "iRetMsg": "",
                "RepReserved3": "",
                "RepReserved4": "",
                **changes,
            }
        )
        + "</rd>"
    )


def qpayent(rows: str | None = None, asked: str = REFERENCE, **pub: str) -> bytes:
    """The page's QPAYENT answer."""
    head = leaves(
        {
            "QryfSeqno": asked,
            "QrySerialNo": "HQP0000001",
            "OnlBatF": "1",
            "SettleMode": "0",
            "BusType": "",
            "RepReserved1": "",
            "RepReserved2": "",
        }
    )
    return message("QPAYENT", "Q000000000007", head + (qpayent_row() if rows is None else rows), **pub)


def signature(document: bytes, result: str = "0") -> bytes:
    """The sign port's answer, with a blob that contains the message as an attached signature does."""
    blob = b"\x30\x82\x01\x00" + document + b"\xfb\xef\xbe\x01\x02"  # Base64 with + and / in it
    body = b"<html><title>x</title><result>%b</result><sign>\n%b</sign></html>" % (result.encode(), wrapped(blob))
    return http_answer(body)


def talk(conversation: Generator[Any, bytes, R], *said: bytes) -> R:
    """Run a conversation to its end: the sign port signs every message, `said` answers at the business port."""
    left = list(said)
    try:
        step = next(conversation)
        while True:
            assert isinstance(step, (Ask, Submit))
            if step.port == "sign":
                step = conversation.send(signature(step.data.partition(b"\r\n\r\n")[2]))
            else:
                step = conversation.send(left.pop(0))
    except StopIteration as end:
        assert not left, "not all answers were asked for"
        result: R = end.value
        return result


def steps(conversation: Generator[Any, bytes, Any], *said: bytes) -> list[Ask | Submit]:
    """Every step up to the first for which `said` has no answer."""
    left, seen = list(said), []
    step = next(conversation)
    while True:
        seen.append(step)
        if step.port == "sign":
            step = conversation.send(signature(step.data.partition(b"\r\n\r\n")[2]))
        elif left:
            step = conversation.send(left.pop(0))
        else:
            conversation.close()
            return seen


def stage(
    faults: Sequence[str] = (),
    conduct: BookingRules = BookingRules(),
    options: Mapping[str, Any] = {},
    **twin_options: Any,
) -> BankAndTwin:
    """The adapter and the twin, connected, over the simulator's books."""
    time = BankTime(NOW)
    ledger = Ledger(time.now_ms, [LedgerAccount(DEBTOR, "甲公司", Money(10_000_000))], conduct)
    return BankAndTwin(
        bank(**{"codes": CODES, **options}), twin.build({"faults": faults, **twin_options}, {}), ledger, time
    )
