"""Peculiarities of the bank's side that real logs show, in its bytes; these tests read them without the adapter."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.bank import BadOptions
from protocols.banks.pab import twin
from protocols.canon.outcome import Fate
from protocols.kit.errors import ProtocolError
from protocols.twin import Booked, Twin
from tests.protocols.banks.pab.paper import (
    DEBTOR,
    ENTERPRISE,
    REFERENCE,
    TODAY,
    PaperBooks,
    bank,
    books,
    context,
    converse,
    entry,
    order,
    question,
    replying,
)

PAYMENT = (
    f"<Result><ThirdVoucher>{REFERENCE}</ThirdVoucher><CcyCode>RMB</CcyCode><OutAcctNo>{DEBTOR}</OutAcctNo>"
    "<OutAcctName>甲公司</OutAcctName><InAcctNo>25</InAcctNo><InAcctName>示例丙</InAcctName>"
    "<InAcctBankName>示例银行</InAcctBankName><TranAmount>10</TranAmount><UseEx>货款</UseEx><UnionFlag>0</UnionFlag>"
    "<AddrFlag>1</AddrFlag></Result>"
)
OF_TODAY = f"<AcctNo>{DEBTOR}</AcctNo><CcyCode>RMB</CcyCode>"
FATE = f"<Result><OrigThirdVoucher>{REFERENCE}</OrigThirdVoucher></Result>"


def asked(paper: PaperBooks, operation: str, body: str, side: Twin | None = None, serial: str = "S1") -> bytes:
    """The bank's side's answer to a request written from the table of its page."""
    head = b"".join(
        (
            b"A001",
            b"01",
            b"01",
            b"01",
            ENTERPRISE.encode(),
            b"%010d" % len(body.encode("gbk")),
            operation.encode().ljust(6),
            b"00000",
            b"01",
            b"20250102120000",
            serial.encode().ljust(20),
            b"999999",
            b" " * 100,
            b"0",
            b"000",
            b"0",
            b"0",
            b" " * 12,
            b"         0",
            b"0",
        )
    )
    assert len(head) == 222
    return replying(side or twin.build({}, {}), paper)(head + body.encode("gbk"))


def test_an_accepted_payment_in_bytes() -> None:
    answer = asked(books(), "4004", PAYMENT)
    assert (answer[51:53], answer[87:93], answer[67:87]) == (b"02", b"000000", b"S1".ljust(20))
    assert answer[93:193].decode("gbk").rstrip() == ":交易受理成功"
    assert answer[211:221] == b"0         "
    assert int(answer[30:40]) == len(answer) - 222
    body = answer[222:].decode("gbk")
    assert body.startswith('<?xml version="1.0" encoding="GBK" ?><Result>')
    assert f"<FrontLogNo>{1:022d}</FrontLogNo>" in body
    assert "<SOA_VOUCHER></SOA_VOUCHER>" in body


def test_an_enquiry_is_answered_under_the_original_voucher() -> None:
    paper = books()
    asked(paper, "4004", PAYMENT)
    assert asked(paper, "4005", FATE, serial="S2")[67:87].decode().strip() == REFERENCE
    assert asked(books(), "4005", FATE, serial="S2")[67:87].decode().strip() == "S2"


@pytest.mark.parametrize(
    ("booked", "stt", "back"),
    [(Booked.TAKEN, "11", "0"), (Booked.SETTLED, "20", "0"), (Booked.REFUSED, "30", "0"), (Booked.RETURNED, "20", "1")],
)
def test_status_as_the_books_have_it(booked: Booked, stt: str, back: str) -> None:
    paper = books(plan=booked)
    asked(paper, "4004", PAYMENT)
    body = asked(paper, "4005", FATE)[222:].decode("gbk")
    assert f"<Stt>{stt}</Stt><IsBack>{back}</IsBack>" in body


@pytest.mark.parametrize(
    ("operation", "body", "code", "service"),
    [
        ("DP00", "<Result/>", "YQ0000", b"01"),
        ("4004", "<Result>", "YQ9999", b"01"),
        ("4004", PAYMENT.replace(DEBTOR, "99"), "2778", b"02"),
        ("4004", PAYMENT.replace(">10<", ">-1<"), "YQ9999", b"02"),
        ("4004", PAYMENT.replace(REFERENCE, "x" * 21), "YQ9999", b"02"),
        ("4005", FATE, "MA0103", b"02"),
        (
            "4008",
            f"<Result>{OF_TODAY}<PageNo>0</PageNo><JournalNo>0</JournalNo><LogCount>0</LogCount></Result>",
            "ES0200",
            b"02",
        ),
        (
            "4013",
            f"<Result>{OF_TODAY}<BeginDate>20250101</BeginDate><EndDate>20250102</EndDate><PageNo>1</PageNo></Result>",
            "YQ9993",
            b"02",
        ),
        (
            "4013",
            f"<Result>{OF_TODAY}<BeginDate>20241201</BeginDate><EndDate>20250101</EndDate><PageNo>1</PageNo></Result>",
            "YQ9996",
            b"02",
        ),
        (
            "4019",
            f"<Result><AccNo>{DEBTOR}</AccNo><StartDate>20241203</StartDate><EndDate>20250102</EndDate></Result>",
            "YQ9993",
            b"02",
        ),
    ],
)
def test_refusals_are_headers_without_a_body(operation: str, body: str, code: str, service: bytes) -> None:
    answer = asked(books(), operation, body)
    assert (len(answer), answer[30:40], answer[51:53]) == (222, b"0000000000", service)
    assert answer[87:93].decode().strip() == code
    assert answer[93:94] == b":"


def test_a_repeat_is_refused_and_booked_once() -> None:
    paper = books()
    asked(paper, "4004", PAYMENT)
    assert asked(paper, "4004", PAYMENT)[87:93] == b"MA4045"
    assert len(paper.bookings) == 1


def test_a_stranger_s_enterprise_code_is_refused() -> None:
    assert asked(books(), "S001", "<Result/>", twin.build({"enterprise_code": "1" * 20}, {}))[87:93] == b"YQ9986"


def test_a_wordy_front_end_cuts_its_text_in_half_a_character_and_is_still_understood() -> None:
    side = twin.build({"wordy": True}, {})
    answer = asked(books(), "4005", FATE, side)
    assert len(answer) == 222
    with pytest.raises(UnicodeDecodeError):
        answer[93:193].decode("gbk")
    stranger = PaperBooks()
    outcome = converse(bank().money[order().kind](order(), context()), replying(side, stranger))
    assert (outcome.fate, outcome.code) == (Fate.FAILED, "2778")
    assert outcome.text.startswith("未找到账户,请联系客户经理")


def test_a_fee_is_a_row_of_its_own_with_its_payment_s_trace() -> None:
    paper = books()
    paper.lines = [entry(1, TODAY, reference="GW1"), entry(2, TODAY, reference="GW1", fee=True), entry(3, TODAY)]
    body = asked(
        paper,
        "4013",
        f"<Result>{OF_TODAY}<BeginDate>20250102</BeginDate><EndDate>20250102</EndDate><PageNo>1</PageNo>"
        "<PageSize>30</PageSize></Result>",
    )
    traces = [piece.partition("<")[0] for piece in body[222:].decode("gbk").split("<HostTrace>")[1:]]
    assert traces == ["HGW1", "HGW1", "000000000003"]


@pytest.mark.parametrize(
    ("fault", "first", "asked_after"),
    [
        ("trouble_after_booking", Fate.UNKNOWN, Fate.SETTLED),
        ("counts_characters", ProtocolError, ProtocolError),
        ("others_voucher", Fate.PENDING, ProtocolError),
        ("others_amount", Fate.PENDING, ProtocolError),
        ("unlisted_status", Fate.PENDING, Fate.PENDING),
    ],
)
def test_with_each_fault_a_booked_payment_is_never_a_failure(fault: str, first: Any, asked_after: Any) -> None:
    paper, side, adapter = books(), twin.build({"faults": [fault]}, {}), bank()
    paper.plan = Booked.SETTLED
    ask = adapter.questions.fate
    assert ask is not None
    pay = adapter.money[order().kind](order(), context())
    for conversation, wanted in ((pay, first), (ask(question(), context()), asked_after)):
        if isinstance(wanted, Fate):
            assert converse(conversation, replying(side, paper)).fate is wanted
        else:
            with pytest.raises(ProtocolError):
                converse(conversation, replying(side, paper))
    assert len(paper.bookings) == 1


def test_a_fault_that_is_not_known_is_named() -> None:
    with pytest.raises(BadOptions, match="trouble_after_booking"):
        twin.build({"faults": ["nonsense"]}, {})
