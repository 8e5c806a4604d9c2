"""SDKCSFDFBRT: the number and the check code of an entry's receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion, ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    OURS,
    REFERENCE,
    THEIRS,
    TODAY,
    answer,
    bank,
    content,
    context,
    order,
    stage,
    talk,
)

ASKED = ReceiptQuestion(AccountNumber(OURS), TODAY, "20261124-K1", amount=Money(12_345))
STATED = {
    "CCYNBR": "10",
    "ISTNBR": "0000000000007",
    "REGEAC": OURS,
    "SNDEAC": OURS,
    "RCVEAC": THEIRS,
    "TRSAMT": "123.45",
}
NAMED = {"CHKCOD": "00000000000000AA", "ISTNBR": "0000000000007", "ITMCOD": "HD002013", "TRSSEQ": "K1"}
BARE = {"CHKCOD": "00000000000000BB", "ISTNBR": "0000000000008"}


def told(*rows: tuple[str, Mapping[str, str]], code: str = "0") -> bytes:
    return answer("SDKCSFDFBRT", code, *rows)


def receipt(*frames: bytes, asked: ReceiptQuestion = ASKED) -> tuple[Any, list[str]]:
    ask = bank(receipts=True).questions.receipt
    assert ask is not None
    got, sent = talk(ask(asked, context()), *frames)
    return got, [content(one) for one in sent]


def test_number_and_code_of_the_entry_s_receipt_are_told() -> None:
    got, [asked] = receipt(told(("CPRRCSNDX1", STATED), ("CSRRCFDFZ1", BARE), ("CSRRCFDFZ1", NAMED)))
    text = got.data.decode()
    assert (got.media_type, got.name) == ("text/plain; charset=utf-8", "0000000000007.txt")
    assert "0000000000007" in text and "00000000000000AA" in text and "123.45" in text
    assert (
        f"<CSRRCFDFY0><EACNBR>{OURS}</EACNBR><BEGDAT>20261124</BEGDAT><ENDDAT>20261124</ENDDAT><RRCFLG>1</RRCFLG>"
        in asked
    )
    assert "<BEGAMT>123.45</BEGAMT><ENDAMT>123.45</ENDAMT></CSRRCFDFY0>" in asked


def test_what_was_printed_before_is_in_the_other_list_and_what_is_in_none_comes_later() -> None:
    got, asked = receipt(told(), told(("CSRRCFDFZ1", NAMED)))
    assert isinstance(got, Receipt) and ["<RRCFLG>1<" in asked[0], "<RRCFLG>2<" in asked[1]] == [True, True]
    got, asked = receipt(told(("CSRRCFDFZ1", BARE)), told(), asked=replace(ASKED, amount=None))
    assert isinstance(got, ReceiptLater) and not any("AMT>" in one for one in asked)


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({**STATED, "REGEAC": THEIRS}, "correlation"),
        ({**STATED, "TRSAMT": "123.46"}, "correlation"),
        ({**STATED, "CCYNBR": "32"}, "correlation"),
    ],
)
def test_a_receipt_of_something_else_is_none(stated: Mapping[str, str], reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        receipt(told(("CPRRCSNDX1", stated), ("CSRRCFDFZ1", NAMED)))
    assert caught.value.reason == reason


def test_a_payment_s_receipt_is_the_one_that_says_its_number() -> None:
    paid = replace(ASKED, bank_line_id="", reference=REFERENCE)
    other = {**STATED, "ISTNBR": "0000000000008", "NARTX1": "N02031GW000000000000000002"}
    rows = ("CPRRCSNDX1", other), ("CPRRCSNDX1", {**STATED, "NARTX1": f"N02031{REFERENCE}"}), ("CSRRCFDFZ1", BARE)
    got, _ = receipt(told(*rows, ("CSRRCFDFZ1", {**NAMED, "TRSSEQ": ""})), asked=paid)
    assert got.name == "0000000000007.txt"
    assert isinstance(receipt(told(rows[0], ("CSRRCFDFZ1", BARE)), told(), asked=paid)[0], ReceiptLater)


def test_two_receipts_or_half_of_one_are_no_answer() -> None:
    for rows, reason in (
        ((NAMED, {**NAMED, "ISTNBR": "0000000000009"}), "ambiguous"),
        (({**NAMED, "CHKCOD": ""},), "missing"),
    ):
        with pytest.raises(ProtocolError) as caught:
            receipt(told(*(("CSRRCFDFZ1", one) for one in rows)))
        assert caught.value.reason == reason
    with pytest.raises(ProtocolError):
        receipt(asked=replace(ASKED, bank_line_id=""))
    with pytest.raises(Declined):
        receipt(told(code="-2"))


@pytest.mark.parametrize("printed", [False, True])
def test_receipts_at_the_twin_are_those_of_the_entries(printed: bool) -> None:
    made = stage({"printed": printed}, BookingRules(fee_minor=50), receipts=True)
    made.talk(made.bank.money[order().kind](order(), made.context(REFERENCE)))
    made.time.later(86_400)
    assert made.bank.questions.lines is not None and made.bank.questions.receipt is not None
    page = made.talk(made.bank.questions.lines(LinesQuestion(AccountNumber(OURS), TODAY, TODAY), made.context()))
    [paid] = [one for one in page.lines if one.amount == Money(12_345)]
    [fee] = [one for one in page.lines if one.amount == Money(50)]
    got = made.talk(
        made.bank.questions.receipt(
            ReceiptQuestion(paid.account, TODAY, paid.bank_line_id, amount=paid.amount), made.context()
        )
    )
    assert isinstance(got, Receipt) and b"123.45" in got.data
    by_payment = ReceiptQuestion(paid.account, TODAY, "", REFERENCE)
    assert made.talk(made.bank.questions.receipt(by_payment, made.context())) == got
    other = ReceiptQuestion(paid.account, TODAY - timedelta(days=1), paid.bank_line_id)
    for question in (other, ReceiptQuestion(fee.account, TODAY, fee.bank_line_id)):
        assert isinstance(made.talk(made.bank.questions.receipt(question, made.context())), ReceiptLater)


def test_receipts_are_told_only_where_the_bank_confirmed_how_they_are_known() -> None:
    assert bank().questions.receipt is None
