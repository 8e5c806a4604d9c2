"""The payment 8801 and its enquiry 8804, compared with messages written by hand from the bank's page."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from protocols.bank import Ask, Submit
from protocols.canon.order import Channel, Kind, Order, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import FateQuestion
from protocols.kit.charset import Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    ASKED,
    AUTHORISED,
    AUTHORISER,
    BACK,
    CREDITOR,
    DEBTOR,
    HOST,
    OTHER,
    PAYEE,
    PAYER,
    REASON,
    REFERENCE,
    bank,
    body_of,
    certificate_pem,
    context,
    done,
    framed,
    http_answer,
    leaves,
    listed,
    loop,
    nothing,
    order,
    packet,
    paid,
    refused,
    row,
    sent,
    sign_page,
    signer,
    steps,
    talk,
    through_front_end,
    verify_page,
    wrapped,
)

BODY = (
    "<body><totalNumber>1</totalNumber><totalAmount>123.45</totalAmount>"
    f"<elecChequeNo>{REFERENCE}</elecChequeNo><acctNo>{DEBTOR}</acctNo><acctName>示例甲公司</acctName>"
    f"<bespeakDate></bespeakDate><payeeAcctNo>{CREDITOR}</payeeAcctNo><payeeName>示例乙公司</payeeName>"
    "<payeeType>0</payeeType><payeeBankName>浦发银行示例支行</payeeBankName><payeeAddress></payeeAddress>"
    "<amount>123.45</amount><sysFlag>0</sysFlag><remitLocation>0</remitLocation><note>货款</note>"
    "<payeeBankSelectFlag></payeeBankSelectFlag><payeeBankNo></payeeBankNo></body>"
)


def pay(answer: bytes, given: Any = None, **options: Any) -> Outcome:
    return talk(bank(**options).money[Kind.PAYMENT](given or order(), context(REFERENCE)), answer)


def ask(*answers: bytes, **options: Any) -> Outcome:
    fate = bank(**options).questions.fate
    assert fate is not None
    return talk(fate(FateQuestion(sent()), context()), *answers)


def document_of(given: Any, **options: Any) -> str:
    return body_of(steps(bank(**options).money[given.kind](given, context(REFERENCE)))[0])


# ---- what is sent ----


def test_the_sign_port_gets_the_body_alone_byte_for_byte() -> None:
    first, _second = steps(bank().money[Kind.PAYMENT](order(), context(REFERENCE)))
    head, _, body = first.data.partition(b"\r\n\r\n")
    assert isinstance(first, Ask) and first.port == "sign"
    assert body == BODY.encode("gbk")
    assert b"Content-Type: INFOSEC_SIGN/1.0" in head
    # The limit counts GBK bytes, not characters.
    assert f"Content-Length: {len(BODY.encode('gbk'))}".encode() in head.splitlines()


@pytest.mark.parametrize(("padding", "written"), [("zeros", "{:06d}"), ("blanks", "{:<6}")])
def test_the_packet_carries_its_own_length_and_the_signature_and_nothing_in_clear(padding: str, written: str) -> None:
    _first, second = steps(bank(length_padding=padding).money[Kind.PAYMENT](order(), context(REFERENCE)))
    assert isinstance(second, Submit) and second.port == "business"
    assert second.serials == (REFERENCE,)
    head, _, body = second.data.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain" in head
    assert body[:6] == written.format(len(body)).encode()
    begin = (
        "<?xml version='1.0' encoding='GBK'?><packet><head><transCode>8801</transCode><signFlag>1</signFlag>"
        f"<masterID>2000000001</masterID><packetID>{REFERENCE}</packetID>"
        "<timeStamp>2026-01-05 10:16:00</timeStamp></head><body><signature>MII"
    )
    assert body[6:].startswith(begin.encode())
    assert b"elecChequeNo" not in body


def test_three_hops_and_the_third_asks_the_front_end_to_verify() -> None:
    found = steps(through_front_end().money[Kind.PAYMENT](order(), context(REFERENCE)), paid("A"))
    assert [(type(step), step.port) for step in found] == [(Ask, "sign"), (Submit, "business"), (Ask, "sign")]
    assert b"Content-Type: INFOSEC_VERIFY_SIGN/1.0" in found[2].data
    assert len(steps(bank().money[Kind.PAYMENT](order(), context(REFERENCE)), paid("A"))) == 2


OUTSIDE = Party(AccountNumber(CREDITOR), Name("丙"), "示例银行某支行", "105100000017")


@pytest.mark.parametrize(
    ("changes", "options", "wanted"),
    [
        ({"creditor": OUTSIDE}, {}, "<sysFlag>1</sysFlag><remitLocation>1</remitLocation>"),
        ({"creditor": OUTSIDE}, {"other_remit_location": "0"}, "<sysFlag>1</sysFlag><remitLocation>0</remitLocation>"),
        ({"creditor": OUTSIDE}, {"own_cnaps": ["105"]}, "<sysFlag>0</sysFlag>"),
        ({"creditor": OUTSIDE, "channel": Channel.SAME_BANK}, {}, "<sysFlag>0</sysFlag>"),
        ({"creditor": OUTSIDE}, {"payee_address": "上海"}, "<payeeAddress>上海</payeeAddress>"),
        ({"creditor": OUTSIDE}, {}, "<payeeBankSelectFlag></payeeBankSelectFlag><payeeBankNo></payeeBankNo>"),
        (
            {"creditor": OUTSIDE},
            {"payee_bank_flag": "1"},
            "<payeeBankSelectFlag>1</payeeBankSelectFlag><payeeBankNo>105100000017</payeeBankNo>",
        ),
        ({"creditor": replace(PAYEE, kind=PartyKind.PERSON)}, {}, "<payeeType>1</payeeType>"),
        ({}, {"schedule_date": "today"}, "<bespeakDate>20260105</bespeakDate>"),
        ({"purpose": "a<b&c"}, {}, "<note>a&lt;b&amp;c</note>"),
    ],
)
def test_flags_and_fields(changes: dict[str, Any], options: dict[str, Any], wanted: str) -> None:
    assert wanted in document_of(order(**changes), **options)


def test_a_transfer_without_a_bank_stays_inside_and_a_payment_does_not() -> None:
    bare = Party(AccountNumber(CREDITOR), Name("示例乙公司"))
    transfer = Order("T1", PAYER, bare, order().amount, TransferDetail())
    assert "<sysFlag>0</sysFlag>" in document_of(transfer)
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](order(creditor=bare), context(REFERENCE)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"debtor": Party(AccountNumber(DEBTOR), Name(""))}, "missing"),
        ({"creditor": replace(OUTSIDE, bank_name=None)}, "missing"),
        ({"channel": Channel.INSTANT}, "value"),
        ({"urgency": Urgency.URGENT}, "value"),
        ({"amount": replace(order().amount, minor=0)}, "value"),
        ({"amount": replace(order().amount, currency="USD")}, "value"),
        ({"purpose": "\x01"}, "value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        next(bank().money[Kind.PAYMENT](order(**changes), context(REFERENCE)))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "char", "position"), [("示例𬭎丙", "𬭎", 2), ("䶮某", "䶮", 0), ("a€b", "€", 1)])
def test_a_character_outside_gbk_is_refused_with_its_place(name: str, char: str, position: int) -> None:
    with pytest.raises(Unencodable) as caught:
        next(bank().money[Kind.PAYMENT](order(creditor=replace(PAYEE, name=Name(name))), context(REFERENCE)))
    assert (caught.value.char, caught.value.position) == (char, position)


# ---- the sign port ----


@pytest.mark.parametrize(
    "answer",
    [
        sign_page(b"<body>another message</body>"),
        http_answer(b"<result>-1</result>"),
        http_answer(b"<result>0</result>"),
        http_answer(b"<result>0</result><sign></sign>"),
        http_answer(b"<result>0</result><sign>a*b=</sign>"),
        http_answer(b"<result>0</result><result>0</result><sign>QQ==</sign>"),
        http_answer(b"<result>0</result><sign>QQ==</sign><sign>QQ==</sign>"),
        http_answer(b"", "500 Error"),
        b"nonsense",
    ],
)
def test_without_a_good_signature_nothing_is_submitted_and_it_is_tried_again_later(answer: bytes) -> None:
    conversation = bank().money[Kind.PAYMENT](order(), context(REFERENCE))
    next(conversation)
    with pytest.raises(Declined) as caught:
        conversation.send(answer)
    assert caught.value.outcome == "retry"


def test_a_refusal_of_the_sign_port_is_one_even_beside_a_signature() -> None:
    conversation = bank().money[Kind.PAYMENT](order(), context(REFERENCE))
    content = next(conversation).data.partition(b"\r\n\r\n")[2]  # type: ignore[union-attr]
    with pytest.raises(Declined) as caught:
        conversation.send(sign_page(content, result="-1"))
    assert caught.value.code == "-1"


# ---- answers to 8801 ----

ACCEPTED = [
    *((code, Fate.PENDING, True) for code in ("0", "1", "2", "3", "4", "A", "5", "D", "S")),
    *((code, Fate.UNKNOWN, True) for code in ("8", "9", "C", "F", "Y")),
    ("7", Fate.UNKNOWN, False),
    ("04", Fate.UNKNOWN, False),
    ("完成", Fate.UNKNOWN, False),
]


@pytest.mark.parametrize(("status", "fate", "is_listed"), ACCEPTED)
def test_the_answer_names_no_payment_so_it_is_never_the_last_word(status: str, fate: Fate, is_listed: bool) -> None:
    outcome = pay(paid(status))
    assert (outcome.fate, outcome.code, outcome.bank_serial, outcome.listed) == (fate, status, HOST, is_listed)
    assert bank().read(Kind.PAYMENT, sent(), paid(status)) == outcome


def test_an_answer_that_says_nothing_is_doubt_and_one_with_a_number_is_taken() -> None:
    assert pay(done("8801", REFERENCE, "")).fate is Fate.UNKNOWN
    assert pay(done("8801", REFERENCE, leaves({"acceptNo": HOST}))) == Outcome(
        Fate.PENDING, "AAAAAAA", bank_serial=HOST
    )
    with pytest.raises(ProtocolError):
        pay(paid(accept="PT-1"))


HEAD = [
    ("EYY8990", Fate.DUPLICATE, True),
    ("EYY8998", Fate.FAILED, True),
    ("EGG0346", Fate.FAILED, True),
    ("EYY9994", Fate.UNKNOWN, True),
    ("B2E0005", Fate.UNKNOWN, True),
    ("EGG0042", Fate.UNKNOWN, True),
    ("EGG0050", Fate.UNKNOWN, True),
    ("EGG0521", Fate.UNKNOWN, False),
    ("EYY8999", Fate.UNKNOWN, False),
]


@pytest.mark.parametrize(("code", "fate", "is_listed"), HEAD)
def test_an_error_answer(code: str, fate: Fate, is_listed: bool) -> None:
    outcome = pay(refused("8801", REFERENCE, code, "说明"))
    assert (outcome.fate, outcome.code, outcome.text, outcome.listed) == (fate, code, "说明", is_listed)
    assert bank().read(Kind.PAYMENT, sent(), refused("8801", REFERENCE, code, "说明")) == outcome
    # The front end has nothing to verify: the same two exchanges.
    assert through_front_end().read(Kind.PAYMENT, sent(), refused("8801", REFERENCE, code, "说明")) == outcome


def test_a_refusal_counts_only_if_head_and_body_agree() -> None:
    for code in ("EYY8998", "EGG0346"):
        bare = packet("8801", REFERENCE, code, "")
        assert pay(bare).fate is Fate.UNKNOWN
        assert pay(refused("8801", REFERENCE, code, again="")).fate is Fate.UNKNOWN
        with pytest.raises(ProtocolError):
            pay(refused("8801", REFERENCE, code, again="EYY8990"))
    # A duplicate is one in any form.
    assert pay(packet("8801", REFERENCE, "EYY8990", "")).fate is Fate.DUPLICATE


def test_the_settings_declare_codes() -> None:
    codes = {"refused": ["EYY9994", "X000001"], "duplicate": ["X000002"], "empty": ["X000003"]}
    assert pay(refused("8801", REFERENCE, "EYY9994"), codes=codes).fate is Fate.FAILED
    assert pay(refused("8801", REFERENCE, "X000001"), codes=codes).fate is Fate.FAILED
    assert pay(refused("8801", REFERENCE, "X000002"), codes=codes).fate is Fate.DUPLICATE
    assert pay(refused("8801", REFERENCE, "X000003"), codes=codes).fate is Fate.UNKNOWN
    assert ask(refused("8804", ASKED, "X000003"), codes=codes).fate is Fate.NOT_FOUND


# ---- answers that are believed ----


def test_without_the_certificate_a_stored_answer_is_doubt_and_with_it_it_is_read() -> None:
    assert through_front_end().read(Kind.PAYMENT, sent(), paid("A")).fate is Fate.UNKNOWN
    assert bank().read(Kind.PAYMENT, sent(), paid("A")).fate is Fate.PENDING
    with pytest.raises(ProtocolError):
        bank().read(Kind.BATCH_ITEM, sent(), paid("A"))


def test_another_key_than_the_bank_s_is_not_believed() -> None:
    forged = done("8801", REFERENCE, leaves({"transStatus": "4"}), name="stranger")
    with pytest.raises(ProtocolError) as caught:
        pay(forged)
    assert caught.value.reason == "signature"
    both = certificate_pem("next") + certificate_pem()
    assert pay(paid("A"), bank_certificate=both).fate is Fate.PENDING


def test_a_certificate_out_of_its_days_is_no_key() -> None:
    late = replace(context(REFERENCE), bank_date=signer()[1].not_valid_after_utc.date().replace(day=2))
    with pytest.raises(ProtocolError) as caught:
        talk(bank().money[Kind.PAYMENT](order(), late), paid("A"))
    assert caught.value.reason == "wrong_key"


def front_end_says(page: bytes) -> Outcome:
    conversation = through_front_end().money[Kind.PAYMENT](order(), context(REFERENCE))
    step = conversation.send(sign_page(next(conversation).data.partition(b"\r\n\r\n")[2]))  # type: ignore[union-attr]
    assert isinstance(step, Submit)
    conversation.send(paid("A"))
    try:
        conversation.send(page)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise AssertionError("one more hop")


def test_the_front_end_s_word_about_an_answer_counts_only_about_this_one() -> None:
    content = f"<body>{leaves({'transStatus': 'A', 'acceptNo': HOST})}</body>".encode()
    other = f"<body>{leaves({'transStatus': 'A', 'acceptNo': 'PT19YQ0000000002'})}</body>".encode()
    assert front_end_says(verify_page(wrapped(content))).fate is Fate.PENDING
    for page in (
        verify_page(wrapped(content), result="-1"),
        verify_page(wrapped(other)),
        http_answer(b"<result>0</result><sic></sic>"),
        http_answer(b"<result>0</result>"),
        http_answer(b"<result>0</result><sic>" + content + b"</sic><sic>" + content + b"</sic>"),
        http_answer(b"", "500 Error"),
    ):
        with pytest.raises(ProtocolError):
            front_end_says(page)


UNSEALED = [
    packet("8801", REFERENCE, "AAAAAAA", "<body/>"),
    packet("8801", REFERENCE, "AAAAAAA", ""),
    packet("8801", REFERENCE, "AAAAAAA", "<body><transStatus>4</transStatus></body>"),
    packet("8801", REFERENCE, "EGG0346", "<body><signature>QQ==</signature></body>"),
    packet("8801", REFERENCE, "AAAAAAA", "<body><signature>QQ==</signature></body>"),
    packet("8801", REFERENCE, "", "<body/>"),
    packet("8801", REFERENCE, "EGG 346", "<body/>"),
    framed("<html/>"),
    http_answer(b"000006"),
    http_answer(b"      <packet/>"),
    http_answer(b"99    <packet></packet>"),
    http_answer(paid("4").partition(b"\r\n\r\n")[2] * 2),
    http_answer(paid("4").partition(b"\r\n\r\n")[2] + b" "),
    http_answer(b"", "502 Bad Gateway"),
]


@pytest.mark.parametrize("answer", UNSEALED)
def test_what_is_not_sealed_as_it_must_be_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        pay(answer)
    try:
        assert through_front_end().read(Kind.PAYMENT, sent(), answer).fate is Fate.UNKNOWN
    except ProtocolError:
        pass  # bytes that are no packet


FOREIGN = [
    paid("A", packet_id=OTHER),
    done("8800", REFERENCE, leaves({"transStatus": "A"})),
    paid("A", elecChequeNo=OTHER),
    paid("A", amount="123.46"),
    paid("A", acctNo=CREDITOR),
    paid("A", payeeAcctNo=DEBTOR),
]


@pytest.mark.parametrize("answer", FOREIGN)
def test_an_answer_about_something_else_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        pay(answer)
    assert caught.value.reason == "correlation"
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), answer)


def test_the_order_of_head_and_body_what_is_added_and_the_label_are_not_minded() -> None:
    signature = wrapped(leaves({"body": leaves({"acceptNo": HOST, "New": "1", "transStatus": "A"})}).encode()).decode()
    head = leaves({"returnCode": "AAAAAAA", "packetID": REFERENCE, "transCode": "8801", "Later": "x"})
    for label in ("GBK", "gb2312", "GB18030"):
        text = f'<?xml version="1.0" encoding="{label}" ?><packet><body><signature>{signature}</signature></body>'
        assert pay(framed(f"{text}<head>{head}</head></packet>")).fate is Fate.PENDING
    zeros = paid("A").partition(b"\r\n\r\n")[2]
    assert pay(http_answer(zeros[:6].strip().rjust(6, b"0") + zeros[6:])).fate is Fate.PENDING


# ---- answers to 8804 ----

ROWS = [
    (row("4"), Fate.SETTLED, "4", True),
    *((row(code), Fate.PENDING, code, True) for code in ("0", "1", "2", "3", "A")),
    (row("8", REASON), Fate.FAILED, "EGG0042", True),
    (row("8"), Fate.FAILED, "8", True),
    (row("8", BACK), Fate.RETURNED, "TWN0005", True),
    (row("9"), Fate.FAILED, "9", True),
    # 退票 in our own purpose is not the bank's reason
    (row("8", REASON.replace("货款", "退票款")), Fate.FAILED, "EGG0042", True),
    (row("8", "退票款"), Fate.FAILED, "8", True),
    # duplicates before failures
    (row("8", "货款|&lt;错误原因:EYY8990 重复&gt;"), Fate.DUPLICATE, "EYY8990", True),
    (row("04"), Fate.UNKNOWN, "04", False),
    (row("5"), Fate.UNKNOWN, "5", False),
    (row(""), Fate.UNKNOWN, "", False),
]


@pytest.mark.parametrize(("told", "fate", "code", "is_listed"), ROWS)
def test_every_word_about_a_payment(told: str, fate: Fate, code: str, is_listed: bool) -> None:
    outcome = ask(listed(told))
    assert (outcome.fate, outcome.code, outcome.bank_serial, outcome.listed) == (fate, code, HOST, is_listed)


def test_the_reason_is_told_without_our_own_words() -> None:
    assert ask(listed(row("8", REASON))).text == "错误原因:EGG0042 处理失败[EGG0044][帐户余额不足"


def test_what_is_asked() -> None:
    fate = bank(single_flag="0").questions.fate
    assert fate is not None
    sign, question = steps(fate(FateQuestion(sent()), context()))
    assert body_of(sign) == (
        f"<body><elecChequeNo>{REFERENCE}</elecChequeNo><acctNo>{DEBTOR}</acctNo><beginDate>20260104</beginDate>"
        "<endDate>20260106</endDate><acceptNo></acceptNo><serialNo></serialNo><queryNumber>30</queryNumber>"
        "<beginNumber>1</beginNumber><singleOrBatchFlag>0</singleOrBatchFlag></body>"
    )
    assert f"<packetID>{ASKED}</packetID>".encode() in question.data and isinstance(question, Ask)


def test_nothing_there_is_not_found_whichever_way_it_is_said() -> None:
    for answer in (nothing(), listed(), done("8804", ASKED, "<totalCount>0</totalCount>")):
        assert ask(answer).fate is Fate.NOT_FOUND
    assert ask(listed(row(voucher=OTHER))).fate is Fate.NOT_FOUND
    for code in ("EGG0042", "EYY9994", "X000009"):
        with pytest.raises(Declined):
            ask(refused("8804", ASKED, code))


@pytest.mark.parametrize(
    "changes",
    [{"amount": "123.46"}, {"amount": "12345"}, {"acctNo": CREDITOR}, {"payeeAcctNo": DEBTOR}, {"amount": ""}],
)
def test_our_voucher_with_other_contents_is_no_answer(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        ask(listed(row(**changes)))


@pytest.mark.parametrize(
    ("statuses", "fate"),
    [
        (("4", "8"), Fate.UNKNOWN),
        (("8", "4"), Fate.UNKNOWN),
        (("4", "4"), Fate.UNKNOWN),
        (("8", "9"), Fate.FAILED),
        (("8", "1"), Fate.UNKNOWN),
    ],
)
def test_two_records_of_one_voucher_are_doubt_unless_both_say_no(statuses: tuple[str, ...], fate: Fate) -> None:
    rows = [row(status, seqNo=str(place)) for place, status in enumerate(statuses)]
    assert ask(listed(*rows)).fate is fate


def test_a_row_told_twice_while_the_list_grew_is_one_row() -> None:
    assert ask(listed(row("4"), row("4"))).fate is Fate.SETTLED


def page(number: int, *rows: str, total: int) -> bytes:
    return listed(*rows, total=total, packet_id=f"36960000000070{number}")


def others(count: int, first: int = 1) -> list[str]:
    return [row(voucher=f"{number:020d}") for number in range(first * 1000, first * 1000 + count)]


def test_every_page_is_read_until_the_payment_s_row_is_sure() -> None:
    assert ask(page(0, *others(30), total=31), page(1, row("4"), total=31)).fate is Fate.SETTLED
    # A second record on a later page is found too.
    both = ask(page(0, row("4"), *others(29), total=31), page(1, row("8", seqNo="2"), total=31))
    assert both.fate is Fate.UNKNOWN


def test_pages_that_cannot_be_are_refused() -> None:
    for answers in (
        (page(0, *others(30), total=31), page(1, total=31)),
        (page(0, *others(30), total=90), page(1, *others(30), total=90)),
        (listed(*others(31)),),
        (listed(row(), total=0),),
        (done("8804", ASKED, loop(row()).replace("<totalCount>1<", "<totalCount>one<")),),
    ):
        with pytest.raises(ProtocolError):
            ask(*answers)
    with pytest.raises(ProtocolError) as caught:
        ask(*(page(n, *others(30, n + 1), total=900) for n in range(2)), enquiry_pages=2)
    assert caught.value.reason == "paging"


# ---- authorisation at the web bank ----


def ey03(status: str, packet_id: str = "369600000000701", **more: str) -> bytes:
    fields = {"elecChequeNo": REFERENCE, "transStatus": status, **more}
    return done("EY03", packet_id, f"<totalCount>1</totalCount><lists><list>{leaves(fields)}</list></lists>")


EY03 = [
    *((code, Fate.PENDING, True) for code in ("5", "9", "A", "D", "S")),
    *((code, Fate.FAILED, True) for code in ("2", "3", "4", "C", "F")),
    ("1", Fate.UNKNOWN, True),
    ("Y", Fate.UNKNOWN, True),
    ("0", Fate.UNKNOWN, False),
    ("", Fate.UNKNOWN, False),
]


@pytest.mark.parametrize(("status", "fate", "is_listed"), EY03)
def test_what_the_web_bank_says_where_8804_has_no_row(status: str, fate: Fate, is_listed: bool) -> None:
    outcome = ask(nothing(), ey03(status), **AUTHORISED)
    assert (outcome.fate, outcome.code, outcome.listed) == (fate, status, is_listed)


def test_a_row_of_8804_goes_before_the_web_bank_and_without_authorisation_it_is_not_asked() -> None:
    assert ask(listed(row("4")), **AUTHORISED).fate is Fate.SETTLED
    assert ask(nothing()).fate is Fate.NOT_FOUND
    assert ask(nothing(), nothing("EY03", "369600000000701"), **AUTHORISED).fate is Fate.NOT_FOUND


def test_a_web_bank_s_no_that_names_nobody_is_doubt() -> None:
    bare = done("EY03", "369600000000701", leaves({"transStatus": "4"}))
    assert ask(nothing(), bare, **AUTHORISED).fate is Fate.UNKNOWN
    named = done("EY03", "369600000000701", leaves({"transStatus": "4", "elecChequeNo": REFERENCE}))
    assert ask(nothing(), named, **AUTHORISED).fate is Fate.FAILED
    assert ask(nothing(), ey03("4", elecChequeNo=OTHER), **AUTHORISED).fate is Fate.NOT_FOUND
    with pytest.raises(ProtocolError):
        ask(nothing(), ey03("4", amount="1.00"), **AUTHORISED)


def test_what_the_web_bank_is_asked() -> None:
    fate = bank(**AUTHORISED).questions.fate
    assert fate is not None
    sign = steps(fate(FateQuestion(sent()), context()), nothing())[2]
    assert body_of(sign) == (
        f"<body><elecChequeNo>{REFERENCE}</elecChequeNo><acctNo>{DEBTOR}</acctNo><beginDate>20260104</beginDate>"
        "<endDate>20260106</endDate><seqNo></seqNo><queryNumber>10</queryNumber><beginNumber>1</beginNumber>"
        f"<transType>8801</transType><authMasterID>{AUTHORISER}</authMasterID></body>"
    )


# ---- signatures of other software ----


def openssl(*words: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    return subprocess.run(["openssl", *words], input=data, capture_output=True, timeout=20, check=False)


def verified_by_openssl(message: bytes, certificate: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    found = re.search(rb"<signature>([^<]+)</signature>", message)
    assert found is not None
    pem = folder / "signer.pem"
    pem.write_bytes(certificate)
    words = ("cms", "-verify", "-inform", "DER", "-binary", "-CAfile", str(pem), "-purpose", "any", "-no_check_time")
    return openssl(*words, data=base64.b64decode(found.group(1)))


def test_openssl_finds_in_the_packet_what_was_signed(tmp_path: Path) -> None:
    _first, second = steps(bank().money[Kind.PAYMENT](order(), context(REFERENCE)))
    client = signer("client")[1].public_bytes(Encoding.PEM)
    said = verified_by_openssl(second.data, client, tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout == BODY.encode("gbk")
    assert verified_by_openssl(second.data, certificate_pem().encode(), tmp_path).returncode != 0
