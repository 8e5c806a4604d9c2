"""Packages of many lines: batch, payroll, collection. Equal lines never share a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from protocols.bank import Ask, Submit
from protocols.canon.order import Bundle, Item, Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.icbc.paper import (
    BUNDLE,
    CREDITOR,
    DEBTOR,
    ITEMS,
    bank,
    bundle,
    context,
    http_answer,
    leaves,
    message,
    sent_bundle,
    steps,
    talk,
)

KINDS = {Kind.BATCH_ITEM: "PAYENT", Kind.PAYROLL_ITEM: "PAYPER", Kind.COLLECTION: "PERDIS"}
AMOUNTS = (100, 100, 250)


def accounts(kind: Kind) -> dict[str, str]:
    """The accounts in a line. A collection's own account is in the head."""
    return {"PayAccNo": CREDITOR} if kind is Kind.COLLECTION else {"PayAccNo": DEBTOR, "RecAccNo": CREDITOR}


def row(kind: Kind, place: int, **changes: str) -> str:
    """A line of an answer to an instruction."""
    return (
        "<rd>"
        + leaves(
            {
                "iSeqno": str(place),
                "OrderNo": str(place),
                **accounts(kind),
                "PayAmt": str(AMOUNTS[place - 1]),
                "ERPSqn": ITEMS[place - 1],
                "Result": "7",
                "iRetCode": "0",
                **changes,
            }
        )
        + "</rd>"
    )


def answer(kind: Kind, *rows: str, **changes: str) -> bytes:
    """An answer to an instruction, with head and rows."""
    head: dict[str, str] = {"TotalNum": "3", "TotalAmt": "450"}
    if kind is Kind.COLLECTION:
        head["RecAccNo"] = DEBTOR
    pub = {key: changes.pop(key) for key in ("RetCode", "fSeqno") if key in changes}
    return message(KINDS[kind], BUNDLE, leaves({**head, **changes}) + "".join(rows), SerialNo="S1", **pub)


def told(kind: Kind, *rows: str, **pub: str) -> bytes:
    """An answer to an enquiry."""
    return message(f"Q{KINDS[kind]}", "Q000000000007", leaves({"QryfSeqno": BUNDLE}) + "".join(rows), **pub)


def told_row(kind: Kind, place: int, **changes: str) -> str:
    """A line of an answer to an enquiry."""
    return (
        "<rd>"
        + leaves(
            {
                "iSeqno": "9",
                "QryiSeqno": str(place),
                "QryOrderNo": str(place),
                **accounts(kind),
                "PayAmt": str(AMOUNTS[place - 1]),
                "Result": "7",
                "instrRetCode": "0",
                "iRetCode": "0",
                **changes,
            }
        )
        + "</rd>"
    )


def send(kind: Kind, *said: bytes) -> Mapping[str, Fate]:
    fates = talk(bank().bundles[kind].word(bundle(kind), context(BUNDLE)), *said)
    stored = bank().bundles[kind].read(sent_bundle(bundle(kind)), said[0])
    assert stored == fates, "a stored answer reads as it did"
    return {key: one.fate for key, one in fates.items()}


def ask(kind: Kind, said: bytes, **options: Any) -> Mapping[str, Fate]:
    question = BundleFateQuestion(sent_bundle(bundle(kind)))
    fates = talk(bank(**options).bundles[kind].fate(question, context("")), said)
    return {key: one.fate for key, one in fates.items()}


# ---- what is sent ----


def document_of(kind: Kind, **options: Any) -> str:
    first, second = steps(bank(**options).bundles[kind].word(bundle(kind), context(BUNDLE)))
    assert (type(first), first.port, type(second), second.port) == (Ask, "sign", Submit, "business")
    return first.data.partition(b"\r\n\r\n")[2].decode("gbk")


def test_a_batch_is_one_payent_with_a_line_for_each_item() -> None:
    document = document_of(Kind.BATCH_ITEM)
    assert "<TransCode>PAYENT</TransCode>" in document and f"<fSeqno>{BUNDLE}</fSeqno>" in document
    assert "<SettleMode>0</SettleMode><TotalNum>3</TotalNum><TotalAmt>450</TotalAmt>" in document
    places = [document.index(f"<rd><iSeqno>{n}</iSeqno>") for n in (1, 2, 3)]
    assert places == sorted(places)
    assert [document.count(f"<ERPSqn>{one}</ERPSqn>") for one in ITEMS] == [1, 1, 1]


def test_a_payroll_is_booked_together_and_its_payees_are_persons() -> None:
    document = document_of(Kind.PAYROLL_ITEM)
    assert "<TransCode>PAYPER</TransCode>" in document and "<SettleMode>2</SettleMode>" in document
    assert document.count("<Prop>1</Prop>") == 3 and document.count("<UseCode>01</UseCode>") == 3
    as_payments = document_of(Kind.PAYROLL_ITEM, payroll="payent")
    assert "<TransCode>PAYENT</TransCode>" in as_payments and "<SettleMode>0</SettleMode>" in as_payments


# banks/icbc.md 2.6, in the page's order
COLLECTION = (
    f"<in><OnlBatF>1</OnlBatF><SettleMode>0</SettleMode><RecAccNo>{DEBTOR}</RecAccNo>"
    "<RecAccNameCN>甲公司</RecAccNameCN><RecAccNameEN/><TotalNum>3</TotalNum><TotalAmt>450</TotalAmt>"
    "<SignTime>20260105101600123</SignTime><ReqReserved1/><ReqReserved2/>"
    f"<rd><iSeqno>1</iSeqno><PayAccNo>{CREDITOR}</PayAccNo><PayAccNameCN>示例丙</PayAccNameCN><PayAccNameEN/>"
    "<PayBranch>工商银行示例支行</PayBranch><Portno/><ContractNo>XY0001</ContractNo><CurrType>001</CurrType>"
    "<PayAmt>100</PayAmt><UseCode/><UseCN>款项</UseCN><EnSummary/><PostScript/><Summary/><Ref/><Oref/>"
    f"<ERPSqn>{ITEMS[0]}</ERPSqn><BusCode>022</BusCode><ERPcheckno/><CrvouhType/><CrvouhName/><CrvouhNo/>"
    "<ReqReserved3/><ReqReserved4/></rd>"
)


def test_a_collection_names_our_account_once_in_the_page_s_order() -> None:
    assert COLLECTION in document_of(Kind.COLLECTION)


def test_an_enquiry_asks_after_every_line_by_number() -> None:
    question = BundleFateQuestion(sent_bundle(bundle(Kind.COLLECTION)))
    [step] = steps(bank().bundles[Kind.COLLECTION].fate(question, context("")))
    assert b"TransCode=QPERDIS&" in step.data and b"PackageID=Q000000000007&" in step.data
    for n in (1, 2, 3):
        wanted = f"%3CQryiSeqno%3E{n}%3C%2FQryiSeqno%3E"
        assert wanted.encode() in step.data


def changed(given: Bundle, **changes: Any) -> Bundle:
    last = given.items[-1]
    return replace(given, items=(*given.items[:-1], Item(replace(last.order, **changes), last.reference)))


def test_what_is_no_package_is_refused_before_anything_is_sent() -> None:
    good = bundle(Kind.BATCH_ITEM)
    bad = [
        replace(good, items=()),
        replace(good, kind=Kind.PAYROLL_ITEM),
        replace(good, items=(good.items[0], good.items[0])),
        changed(good, debtor=good.items[0].order.creditor),
        changed(good, amount=replace(good.items[0].order.amount, minor=-1)),
    ]
    for one in bad:
        with pytest.raises(ProtocolError):
            next(bank().bundles[Kind.BATCH_ITEM].word(one, context(BUNDLE)))
    with pytest.raises(ProtocolError):
        next(bank(package_lines=2).bundles[Kind.BATCH_ITEM].word(good, context(BUNDLE)))
    assert bank(package_lines=2).bundles[Kind.BATCH_ITEM].most == 2


# ---- what the answers say ----


@pytest.mark.parametrize("kind", KINDS)
def test_alike_lines_have_their_own_fates_whatever_the_order_of_the_rows(kind: Kind) -> None:
    rows = [row(kind, 3, Result="9"), row(kind, 2, Result="6", iRetCode="B0043"), row(kind, 1)]
    fates = send(kind, answer(kind, *rows))
    assert fates == {ITEMS[0]: Fate.SETTLED, ITEMS[1]: Fate.FAILED, ITEMS[2]: Fate.PENDING}
    asked = ask(kind, told(kind, told_row(kind, 2, Result="6", instrRetCode="B0043"), told_row(kind, 1)))
    assert asked == {ITEMS[0]: Fate.SETTLED, ITEMS[1]: Fate.FAILED}, "a line that is not spoken of is left out"


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_about_the_package_is_said_of_each_line(kind: Kind) -> None:
    everywhere = dict.fromkeys(ITEMS, Fate.UNKNOWN)
    assert send(kind, answer(kind, row(kind, 1), RetCode="B9999")) == everywhere
    assert send(kind, http_answer(b"errorCode=40418")) == everywhere
    assert ask(kind, told(kind, told_row(kind, 1), RetCode="B9999")) == everywhere
    assert ask(kind, http_answer(b"errorCode=40418")) == everywhere
    nothing = ask(kind, told(kind, RetCode="N1"), codes={"not_found": ["N1"]})
    assert nothing == dict.fromkeys(ITEMS, Fate.NOT_FOUND)
    one = ask(kind, told(kind, told_row(kind, 2, iRetCode="N1")), codes={"not_found": ["N1"]})
    assert one == {ITEMS[1]: Fate.NOT_FOUND}


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_s_answer_about_something_else_is_no_answer(kind: Kind) -> None:
    bad = [
        answer(kind, row(kind, 1), row(kind, 1)),
        answer(kind, row(kind, 1, iSeqno="4")),
        answer(kind, row(kind, 1, iSeqno="0")),
        answer(kind, row(kind, 1, PayAmt="101")),
        answer(kind, row(kind, 1, PayAccNo="0000021001000000009")),
        # Lines 1 and 2 are alike, but each carries its own reference.
        answer(kind, row(kind, 1, ERPSqn=ITEMS[1])),
        answer(kind, row(kind, 1), TotalNum="2"),
        answer(kind, row(kind, 1), TotalAmt="451"),
        answer(kind, row(kind, 1), fSeqno="BUN00000000000000002"),
    ]
    for said in bad:
        with pytest.raises(ProtocolError):
            send(kind, said)
    with pytest.raises(ProtocolError):
        ask(kind, told(kind, told_row(kind, 1), told_row(kind, 1)))


def test_a_collection_s_answer_for_another_own_account_is_no_answer() -> None:
    with pytest.raises(ProtocolError):
        send(Kind.COLLECTION, answer(Kind.COLLECTION, row(Kind.COLLECTION, 1), RecAccNo=CREDITOR))


@pytest.mark.parametrize("code", ["B0021", "1", "00"])
def test_a_batch_code_beside_the_lines_is_doubt_for_each_of_them(code: str) -> None:
    kind = Kind.PAYROLL_ITEM
    everywhere = dict.fromkeys(ITEMS, Fate.UNKNOWN)
    lines = (row(kind, 1), row(kind, 2, Result="6", iRetCode="B0043"), row(kind, 3))
    assert send(kind, answer(kind, *lines, BatRetCode=code, BatRetMsg="批量处理失败")) == everywhere
    head = leaves({"QryfSeqno": BUNDLE, "BatRetCode": code, "BatRetMsg": "批量处理失败"})
    said = message("QPAYPER", "Q000000000007", head + told_row(kind, 1) + told_row(kind, 2, Result="6"))
    question = BundleFateQuestion(sent_bundle(bundle(kind)))
    fates = talk(bank().bundles[kind].fate(question, context("")), said)
    assert {(one.fate, one.code, one.text, one.listed) for one in fates.values()} == {
        (Fate.UNKNOWN, code, "批量处理失败", False)
    }
    for fine in ("", "0"):
        assert send(kind, answer(kind, row(kind, 1), BatRetCode=fine)) == {ITEMS[0]: Fate.SETTLED}


def test_a_collection_s_enquiry_has_its_reserved_elements_in_every_version() -> None:
    question = BundleFateQuestion(sent_bundle(bundle(Kind.COLLECTION)))
    [step] = steps(bank(version="0.0.0.1").bundles[Kind.COLLECTION].fate(question, context("")))
    assert step.data.count(b"%3CReqReserved4%2F%3E") == 3
