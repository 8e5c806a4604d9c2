"""PAYENT and QPAYENT against messages written by hand from the bank's page."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest

from protocols.bank import Ask, Submit
from protocols.canon.order import Channel, Kind, Order, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import FateQuestion
from protocols.kit.charset import Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.icbc.paper import (
    CREDITOR,
    DEBTOR,
    PAYEE,
    PAYER,
    REFERENCE,
    bank,
    context,
    data_answer,
    http_answer,
    message,
    order,
    payent,
    payent_row,
    qpayent,
    qpayent_row,
    sent,
    signature,
    steps,
    talk,
    wrapped,
)

# The page's sample (banks/icbc.md 2.3) with our number in ERPSqn and the elements of the newer version at the end.
DOCUMENT = (
    '<?xml version="1.0" encoding="GBK"?><CMS><eb><pub><TransCode>PAYENT</TransCode><CIS>40009000-5ABCDE</CIS>'
    "<BankCode>102</BankCode><ID>demo.y.4000</ID><TranDate>20260105</TranDate><TranTime>101600123</TranTime>"
    f"<fSeqno>{REFERENCE}</fSeqno></pub><in><OnlBatF>1</OnlBatF><SettleMode>0</SettleMode><TotalNum>1</TotalNum>"
    "<TotalAmt>12345</TotalAmt><SignTime>20260105101600123</SignTime><ReqReserved1/><ReqReserved2/><rd>"
    "<iSeqno>1</iSeqno><ReimburseNo/><ReimburseNum/><StartDate/><StartTime/><PayType>1</PayType>"
    f"<PayAccNo>{DEBTOR}</PayAccNo><PayAccNameCN>甲公司</PayAccNameCN><PayAccNameEN/>"
    f"<RecAccNo>{CREDITOR}</RecAccNo><RecAccNameCN>乙公司</RecAccNameCN><RecAccNameEN/><SysIOFlg>1</SysIOFlg>"
    "<IsSameCity>1</IsSameCity><Prop>0</Prop><RecICBCCode/><RecCityName/><RecBankNo/>"
    "<RecBankName>工商银行示例支行</RecBankName><CurrType>001</CurrType><PayAmt>12345</PayAmt><UseCode/>"
    "<UseCN>货款</UseCN><EnSummary/><PostScript/><Summary/><Ref/><Oref/>"
    f"<ERPSqn>{REFERENCE}</ERPSqn><BusCode/><ERPcheckno/><CrvouhType/><CrvouhName/><CrvouhNo/><BankType/><FileNames/>"
    "<Indexs/><PaySubNo/><RecSubNo/><MCardNo/><MCardName/><ReqReserved3/><ReqReserved4/></rd></in></eb></CMS>"
)


def pay(answer: bytes, given: Any = None, **options: Any) -> Outcome:
    return talk(bank(**options).money[Kind.PAYMENT](given or order(), context()), answer)


def ask(answer: bytes, **options: Any) -> Outcome:
    fate = bank(**options).questions.fate
    assert fate is not None
    return talk(fate(FateQuestion(sent()), context("")), answer)


def document_of(given: Any, **options: Any) -> str:
    first = next(bank(**options).money[given.kind](given, context()))
    assert isinstance(first, Ask) and first.port == "sign"
    return first.data.partition(b"\r\n\r\n")[2].decode("gbk")


# ---- what is sent ----


def test_the_sign_port_gets_the_page_s_sample_byte_for_byte() -> None:
    first, _second = steps(bank().money[Kind.PAYMENT](order(urgency=Urgency.URGENT), context()))
    head, _, body = first.data.partition(b"\r\n\r\n")
    assert body == DOCUMENT.encode("gbk")
    assert head.splitlines()[0] == b"POST / HTTP/1.1"
    assert b"Content-Type: INFOSEC_SIGN/1.0" in head
    # The limit counts GBK bytes, not characters.
    assert f"Content-Length: {len(DOCUMENT.encode('gbk'))}".encode() in head.splitlines()


def test_the_encrypt_port_gets_the_signature_in_the_form() -> None:
    first, second = steps(bank().money[Kind.PAYMENT](order(), context()))
    assert (type(first), first.port, type(second), second.port) == (Ask, "sign", Submit, "business")
    head, _, body = second.data.partition(b"\r\n\r\n")
    assert (
        head.splitlines()[0]
        == (
            f"POST /servlet/ICBCCMPAPIReqServlet?userID=demo.y.4000&PackageID={REFERENCE}"
            "&SendTime=20260105101600123 HTTP/1.1"
        ).encode()
    )
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    blob = base64.b64decode(form.pop("reqData"), validate=True)
    assert first.data.partition(b"\r\n\r\n")[2] in blob
    assert form == {
        "Version": "0.0.1.0",
        "TransCode": "PAYENT",
        "BankCode": "102",
        "GroupCIS": "40009000-5ABCDE",
        "ID": "demo.y.4000",
        "PackageID": REFERENCE,
        "Cert": "",
    }
    # An unescaped + would arrive as a blank.
    assert b"+" not in body and b"%2B" in body


def test_an_older_bank_gets_the_older_message_and_another_form() -> None:
    old = document_of(order(), version="0.0.0.1")
    assert old.endswith("<PaySubNo/><RecSubNo/></rd></in></eb></CMS>")
    _first, second = steps(bank(version="0.0.0.1", language_and_zip=True).money[Kind.PAYMENT](order(), context()))
    assert second.data.startswith(b"POST") and b"Version=0.0.0.1&" in second.data
    assert second.data.endswith(b"&Language=zh_CN&zipFlag=0")


OTHER = Party(AccountNumber(CREDITOR), Name("丙"), "示例银行某支行", "105100000017")


@pytest.mark.parametrize(
    ("changes", "options", "wanted"),
    [
        ({}, {}, "<PayType>2</PayType>"),
        ({"urgency": Urgency.URGENT}, {}, "<PayType>1</PayType>"),
        ({"creditor": OTHER}, {}, "<SysIOFlg>2</SysIOFlg>"),
        ({"creditor": OTHER}, {}, "<RecCityName>上海</RecCityName><RecBankNo>105100000017</RecBankNo>"),
        ({"creditor": OTHER}, {"cities": {"105": "甲市", "1051000": "乙市"}}, "<RecCityName>乙市</RecCityName>"),
        ({"creditor": OTHER, "channel": Channel.SAME_BANK}, {}, "<SysIOFlg>1</SysIOFlg>"),
        ({"creditor": replace(OTHER, cnaps="102100000017")}, {}, "<SysIOFlg>1</SysIOFlg>"),
        # A number of another bank outweighs a name that contains ours.
        ({"creditor": replace(OTHER, bank_name="示例银行工行大厦支行")}, {}, "<SysIOFlg>2</SysIOFlg>"),
        ({"creditor": replace(OTHER, bank_name="工行示例支行", cnaps=None)}, {}, "<SysIOFlg>1</SysIOFlg>"),
        ({"creditor": replace(OTHER, bank_name="工行示例支行")}, {"own_cnaps": []}, "<SysIOFlg>1</SysIOFlg>"),
        ({"creditor": OTHER}, {"own_cnaps": ["105"]}, "<SysIOFlg>1</SysIOFlg>"),
        ({"creditor": replace(PAYEE, kind=PartyKind.PERSON)}, {}, "<Prop>1</Prop>"),
        ({}, {"same_city": "2"}, "<IsSameCity>2</IsSameCity>"),
        ({}, {"reference_in_ref": True}, f"<Ref>{REFERENCE}</Ref>"),
        ({"purpose": "a<b&c"}, {}, "<UseCN>a&lt;b&amp;c</UseCN>"),
    ],
)
def test_flags_and_fields(changes: dict[str, Any], options: dict[str, Any], wanted: str) -> None:
    assert wanted in document_of(order(**changes), **options)


def test_a_transfer_without_a_bank_stays_inside_and_a_payment_does_not() -> None:
    bare = Party(AccountNumber(CREDITOR), Name("乙公司"))
    transfer = Order("T1", PAYER, bare, order().amount, TransferDetail())
    assert "<SysIOFlg>1</SysIOFlg>" in document_of(transfer)
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](order(creditor=bare), context()))


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"debtor": Party(AccountNumber(DEBTOR), Name(""))}, {}, "missing"),
        ({"creditor": replace(OTHER, bank_name=None)}, {}, "missing"),
        ({"creditor": OTHER}, {"default_city": ""}, "missing"),
        ({"channel": Channel.INSTANT}, {}, "value"),
        ({"amount": replace(order().amount, minor=0)}, {}, "value"),
        ({"amount": replace(order().amount, currency="USD")}, {}, "value"),
        ({"purpose": "\x01"}, {}, "value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(
    changes: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        next(bank(**options).money[Kind.PAYMENT](order(**changes), context()))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "char", "position"), [("示例𬭎丙", "𬭎", 2), ("䶮某", "䶮", 0), ("a€b", "€", 1)])
def test_a_character_outside_gbk_is_refused_with_its_place(name: str, char: str, position: int) -> None:
    with pytest.raises(Unencodable) as caught:
        next(bank().money[Kind.PAYMENT](order(creditor=replace(PAYEE, name=Name(name))), context()))
    assert (caught.value.char, caught.value.position) == (char, position)


@pytest.mark.parametrize("reference", ["", "x" * 26, "GW-1", "GW 1"])
def test_a_reference_that_is_no_package_number_is_refused(reference: str) -> None:
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](order(), context(reference)))


# ---- the sign port ----


@pytest.mark.parametrize(
    "answer",
    [
        signature(b"another message"),
        signature(b"", result="-1"),
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
    conversation = bank().money[Kind.PAYMENT](order(), context())
    next(conversation)
    with pytest.raises(Declined) as caught:
        conversation.send(answer)
    assert caught.value.outcome == "retry"


def test_a_refusal_of_the_sign_port_is_one_even_beside_a_signature() -> None:
    conversation = bank().money[Kind.PAYMENT](order(), context())
    document = next(conversation).data.partition(b"\r\n\r\n")[2]  # type: ignore[union-attr]
    with pytest.raises(Declined) as caught:
        conversation.send(signature(document, result="-1"))
    assert caught.value.code == "-1"


def test_the_content_check_can_be_turned_off_for_signatures_that_hide_the_message() -> None:
    conversation = bank(check_signed_content=False).money[Kind.PAYMENT](order(), context())
    next(conversation)
    assert isinstance(conversation.send(signature(b"sealed")), Submit)


@pytest.mark.parametrize("sign", [b"\xc7\xa9", b"M\xefI=", b"no Base64!"])
def test_without_the_content_check_a_signature_is_still_base64(sign: bytes) -> None:
    conversation = bank(check_signed_content=False).money[Kind.PAYMENT](order(), context())
    next(conversation)
    with pytest.raises(Declined) as caught:
        conversation.send(http_answer(b"<result>0</result><sign>" + sign + b"</sign>"))
    assert caught.value.outcome == "retry"


# ---- the work date ----


def balance_answer(**changes: str) -> bytes:
    fields = {
        "iSeqno": "1",
        "AccNo": DEBTOR,
        "CurrType": "001",
        "Balance": "1",
        "LastTranDate": "20260106",
        "iRetCode": "0",
        **changes,
    }
    row = "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items())
    return message("QACCBAL", "Q000000000007", f"<rd>{row}</rd>")


def test_the_bank_s_work_date_is_asked_for_and_stands_in_both_dates() -> None:
    found = steps(bank(work_date="balance").money[Kind.PAYMENT](order(), context()), balance_answer())
    assert [(type(step), step.port) for step in found] == [(Ask, "business"), (Ask, "sign"), (Submit, "business")]
    assert b"<TranDate>20260106</TranDate>" in found[1].data
    assert b"<SignTime>20260106101600123</SignTime>" in found[1].data


@pytest.mark.parametrize(
    "answer",
    [
        balance_answer(LastTranDate=""),
        balance_answer(LastTranDate="soon"),
        balance_answer(iRetCode="X1"),
        balance_answer(AccNo=CREDITOR),
        http_answer(b"errorCode=40418"),
        http_answer(b"", "500 Error"),
    ],
)
def test_without_a_work_date_nothing_is_sent(answer: bytes) -> None:
    conversation = bank(work_date="balance").money[Kind.PAYMENT](order(), context())
    next(conversation)
    with pytest.raises(Declined):
        conversation.send(answer)


# ---- what the answer to a payment says ----


def test_settled_with_everything_the_bank_says() -> None:
    assert pay(payent()) == Outcome(Fate.SETTLED, "7", bank_serial="HQP0000001/1")


def test_the_page_s_refused_line() -> None:
    row = payent_row(Result="6", iRetCode="B0043", iRetMsg="账号中文户名不符PayAccNameCN")
    outcome = pay(payent(row))
    assert (outcome.fate, outcome.code, outcome.text) == (Fate.FAILED, "B0043", "账号中文户名不符PayAccNameCN")


LINES = [
    *(({"Result": code}, Fate.PENDING, True) for code in ("0", "1", "2", "3", "4", "5", "9", "10", "15", "16", "")),
    ({"Result": "6", "iRetCode": "B0052"}, Fate.FAILED, True),
    ({"Result": "8"}, Fate.FAILED, True),
    ({"Result": "11"}, Fate.UNKNOWN, True),
    ({"Result": "12"}, Fate.UNKNOWN, False),
    ({"Result": "07"}, Fate.UNKNOWN, False),
    ({"Result": "7", "iRetCode": ""}, Fate.SETTLED, True),
    # contradictions
    ({"Result": "7", "iRetCode": "B0043"}, Fate.UNKNOWN, False),
    ({"Result": "0", "iRetCode": "B0043"}, Fate.UNKNOWN, False),
    ({"Result": "", "iRetCode": "B0043"}, Fate.UNKNOWN, False),
    ({"Result": "6", "iRetCode": "0", "iRetMsg": "处理成功"}, Fate.UNKNOWN, False),
    # and answers that only look like a contradiction
    ({"Result": "6", "iRetCode": "0", "iRetMsg": "交易未成功"}, Fate.FAILED, True),
    ({"Result": "6", "iRetCode": "0", "iRetMsg": "扣款不成功"}, Fate.FAILED, True),
    ({"Result": "6", "iRetCode": "0", "iRetMsg": "未成功,后处理成功"}, Fate.UNKNOWN, False),
    # duplicates before failures
    ({"Result": "6", "iRetCode": "D1"}, Fate.DUPLICATE, True),
]


@pytest.mark.parametrize(("changes", "fate", "listed"), LINES)
def test_every_word_about_a_line(changes: dict[str, str], fate: Fate, listed: bool) -> None:
    outcome = pay(payent(payent_row(**changes)), codes={"duplicate": ["D1"]})
    assert (outcome.fate, outcome.listed) == (fate, listed)
    # An enquiry calls the instruction's fields instr…, and uses iRetCode for itself.
    told = {key.replace("iRet", "instrRet"): value for key, value in changes.items()}
    wanted = Fate.UNKNOWN if fate is Fate.DUPLICATE else fate
    assert ask(qpayent(qpayent_row(**told)), codes={"duplicate": ["D1"]}).fate is wanted


def test_a_package_refused_is_doubt_even_if_its_line_says_yes_or_no() -> None:
    for result in ("7", "6", "0"):
        outcome = pay(payent(payent_row(Result=result), RetCode="B9999", RetMsg="拒绝"))
        assert (outcome.fate, outcome.code, outcome.listed) == (Fate.UNKNOWN, "B9999", False)


def test_codes_that_the_settings_declare() -> None:
    codes = {"duplicate": ["D1"], "refused": ["R1"], "not_found": ["N1"]}
    assert pay(payent("", RetCode="D1"), codes=codes).fate is Fate.DUPLICATE
    assert pay(payent("", RetCode="R1"), codes=codes).fate is Fate.FAILED
    assert pay(payent("", RetCode="N1"), codes=codes).fate is Fate.UNKNOWN
    assert ask(qpayent("", RetCode="N1"), codes=codes).fate is Fate.NOT_FOUND
    assert ask(qpayent("", RetCode="R1"), codes=codes).fate is Fate.UNKNOWN
    assert ask(qpayent("", RetCode="D1"), codes=codes).fate is Fate.UNKNOWN


@pytest.mark.parametrize("result", ["7", "6", "0", ""])
def test_a_declared_refusal_beside_a_line_is_doubt_whatever_the_line_says(result: str) -> None:
    frame = payent(payent_row(Result=result), RetCode="R1", RetMsg="系统忙")
    outcome = pay(frame, codes={"refused": ["R1"]})
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.UNKNOWN, "R1", False)
    assert bank(codes={"refused": ["R1"]}).read(Kind.PAYMENT, sent(), frame) == outcome


def in_signature(frame: bytes, before: bytes = b"\x30\x82\x01\x00", after: bytes = b"\xfb\xef\xbe") -> bytes:
    """An answer as BATEBILL gives it: the clear message is inside the signature that is attached to it."""
    document = base64.b64decode(frame.partition(b"reqData=")[2])
    return http_answer(b"reqData=" + wrapped(before + document + after))


def test_an_answer_inside_an_attached_signature_is_cut_out_of_it() -> None:
    assert pay(in_signature(payent())) == pay(payent())
    assert ask(in_signature(qpayent())) == ask(qpayent())
    for frame in (
        in_signature(payent(), after=b"</CMS>"),
        in_signature(payent(), before=b"\x30\x82<?xml"),
        http_answer(b"reqData=" + wrapped(b"\x30\x82\x01\x00")),
        in_signature(payent(), before=b"\x31\x82\x01\x00"),
    ):
        with pytest.raises(ProtocolError):
            pay(frame)


@pytest.mark.parametrize(
    ("version", "last"), [("0.0.1.0", "<ReqReserved3/><ReqReserved4/></rd>"), ("0.0.0.1", "<QryOrderNo/></rd>")]
)
def test_an_older_enquiry_has_no_reserved_elements_in_its_lines(version: str, last: str) -> None:
    fate = bank(version=version).questions.fate
    assert fate is not None
    [step] = steps(fate(FateQuestion(sent()), context("")))
    assert last in parse_qs(step.data.partition(b"\r\n\r\n")[2].decode())["reqData"][0]


def test_the_front_end_s_own_word_is_doubt() -> None:
    seen = pay(http_answer(b"errorCode=40418"))
    assert (seen.fate, seen.code, seen.listed) == (Fate.UNKNOWN, "40418", True)
    unseen = pay(http_answer(b"errorCode=1\r\n"))
    assert (unseen.fate, unseen.code, unseen.listed) == (Fate.UNKNOWN, "1", False)
    assert ask(http_answer(b"errorCode=40418")).fate is Fate.UNKNOWN


def test_handled_and_silent_about_our_line_is_doubt() -> None:
    without_out = base64.b64decode(message("PAYENT", REFERENCE, "").partition(b"reqData=")[2]).decode()
    for answer in (payent(""), data_answer(without_out.replace("<out></out>", ""))):
        outcome = pay(answer)
        assert (outcome.fate, outcome.listed) == (Fate.UNKNOWN, False)
    assert ask(qpayent("")).fate is Fate.UNKNOWN


def test_a_stored_answer_reads_as_it_did() -> None:
    assert bank().read(Kind.PAYMENT, sent(), payent()).fate is Fate.SETTLED
    with pytest.raises(ProtocolError):
        bank().read(Kind.BATCH_ITEM, sent(), payent())


FOREIGN = [
    payent(fSeqno="PAY00000000000000002"),
    payent(TransCode="PAYPER"),
    payent(CIS="40009000-5ABCDF"),
    payent(count="2"),
    payent(total="12346"),
    payent(payent_row(iSeqno="2")),
    payent(payent_row() + payent_row()),
    payent(payent_row(PayAmt="12346")),
    payent(payent_row(PayAmt="123.45")),
    payent(payent_row(PayAccNo=CREDITOR)),
    payent(payent_row(RecAccNo=DEBTOR)),
    payent(payent_row(RecAccNo=CREDITOR.lstrip("0"))),
    payent(payent_row(CurrType="014")),
    payent(payent_row(ERPSqn="PAY00000000000000002")),
    payent(payent_row().replace("<Result>7</Result>", "<Result>7</Result><Result>6</Result>")),
    http_answer(b"errorCode="),
    http_answer(b""),
    http_answer(b"reqData="),
    http_answer(b"reqData=QQ"),
    http_answer(b"", "500 Error"),
    data_answer("<CMS><eb><pub/></eb></CMS>"),
    data_answer("<other/>"),
    data_answer("<CMS><eb><pub><RetMsg>A&B</RetMsg></pub></eb></CMS>"),
]


@pytest.mark.parametrize("answer", FOREIGN)
def test_an_answer_about_something_else_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        pay(answer)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        qpayent(asked="PAY00000000000000002"),
        qpayent(asked=""),
        qpayent(fSeqno="Q000000000008"),
        qpayent(qpayent_row(QryiSeqno="2")),
        qpayent(qpayent_row() * 2),
        qpayent(qpayent_row(PayAmt="1")),
        qpayent(qpayent_row(PayAccNo=CREDITOR)),
        payent(),
    ],
)
def test_a_fate_of_another_payment_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        ask(answer)


def test_that_the_enquiry_worked_is_no_word_about_the_payment_and_its_refusal_neither() -> None:
    refused = ask(qpayent(qpayent_row(iRetCode="B0001", iRetMsg="查询失败", Result="7")))
    assert (refused.fate, refused.listed) == (Fate.UNKNOWN, False)
    assert ask(qpayent(qpayent_row(iRetCode="0", Result="6", instrRetCode="B0043"))).fate is Fate.FAILED
    assert ask(qpayent(RetCode="B0001")).fate is Fate.UNKNOWN


def test_what_the_answer_leaves_out_is_not_missed_and_what_it_adds_is_not_minded() -> None:
    bare = payent("<rd><Later>1</Later><Result>7</Result><iSeqno>01</iSeqno></rd>")
    assert pay(bare).fate is Fate.SETTLED
    assert pay(payent(payent_row(CurrType="RMB"))).fate is Fate.SETTLED


def test_the_label_gb2312_over_gb18030_bytes_is_read() -> None:
    row = payent_row(RecAccNameCN="𬭎乙")
    document = base64.b64decode(payent(row).partition(b"reqData=")[2]).decode("gb18030")
    assert pay(data_answer(document.replace('"GBK"', '"GB2312"'))).fate is Fate.SETTLED
