"""4004 and 4005: the page's bytes, every documented status, and answers that must not decide anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from protocols.bank import Submit
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, Order, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.charset import Unencodable
from protocols.kit.errors import ProtocolError
from protocols.twin import Booked
from tests.protocols.banks.pab.paper import (
    CREDITOR,
    REFERENCE,
    ZONE,
    accepted_body,
    bank,
    books,
    context,
    converse,
    fate_body,
    first_step,
    framed,
    order,
    question,
    replying,
)

GOLDEN_4004 = (
    '<?xml version="1.0" encoding="GBK"?><Result><ThirdVoucher>GW000000000000000001</ThirdVoucher>'
    "<CstInnerFlowNo>ERP0001</CstInnerFlowNo><CcyCode>RMB</CcyCode><OutAcctNo>00000000000017</OutAcctNo>"
    "<OutAcctName>甲公司</OutAcctName><OutAcctAddr/><InAcctBankNode>102100099996</InAcctBankNode>"
    "<InAcctRecCode/><InAcctNo>0000000000000000025</InAcctNo><InAcctName>示例丙</InAcctName>"
    "<InAcctBankName>中国工商银行</InAcctBankName><TranAmount>10.00</TranAmount><AmountCode/>"
    "<UseEx>货款</UseEx><UnionFlag>0</UnionFlag><SysFlag>N</SysFlag><AddrFlag>1</AddrFlag></Result>"
)
GOLDEN_4005 = (
    '<?xml version="1.0" encoding="GBK"?><Result><OrigThirdLogNo/>'
    "<OrigThirdVoucher>GW000000000000000001</OrigThirdVoucher><OrigFrontLogNo/></Result>"
)


# The record of the page's sample payment before it was sent.
SENT = question().sent


def pay(given: Order, answer: bytes, **options: str) -> Outcome:  # type: ignore[type-arg]
    return converse(bank(**options).money[given.kind](given, context()), lambda _request: answer)


def ask(answer: bytes) -> Outcome:
    fate = bank().questions.fate
    assert fate is not None
    return converse(fate(question(), context(2)), lambda _request: answer)


def sent_body(given: Order, **options: object) -> str:  # type: ignore[type-arg]
    return first_step(bank(**options).money[given.kind](given, context()))[222:].decode("gbk")


# ---- the bytes of a message ----------------------------------------------------------------------------


def test_4004_is_the_page_s_sample_byte_for_byte() -> None:
    assert sent_body(order()) == GOLDEN_4004


def test_4005_is_the_page_s_sample_byte_for_byte() -> None:
    fate = bank().questions.fate
    assert fate is not None
    sent = first_step(fate(question(), context(2)))
    assert sent[222:].decode("gbk") == GOLDEN_4005
    assert sent[40:46] == b"4005  "


def test_a_payment_is_one_submit_with_its_serial() -> None:
    step = next(bank().money[Kind.PAYMENT](order(), context(serial=42)))
    assert isinstance(step, Submit)
    assert step.serials == ("GW000000000000000042",)
    assert step.data[67:87].decode() == step.serials[0]


@pytest.mark.parametrize(
    ("changes", "options", "wanted"),
    [
        ({"urgency": Urgency.URGENT}, {}, "<SysFlag>Y</SysFlag>"),
        ({"channel": Channel.LARGE_VALUE}, {}, "<SysFlag>Y</SysFlag>"),
        ({"channel": Channel.SMALL_VALUE, "urgency": Urgency.URGENT}, {}, "<SysFlag>N</SysFlag>"),
        ({"channel": Channel.SAME_BANK}, {}, "<UnionFlag>1</UnionFlag>"),
        ({}, {"own_names": ["工商"]}, "<UnionFlag>1</UnionFlag>"),
        ({}, {"own_cnaps": ["102"]}, "<UnionFlag>1</UnionFlag>"),
        ({}, {"own_names": []}, "<UnionFlag>0</UnionFlag>"),
        ({}, {"address_flag": "2"}, "<AddrFlag>2</AddrFlag>"),
        ({"id": "x" * 21}, {}, "<CstInnerFlowNo/>"),
        ({"id": "AP-1"}, {}, "<CstInnerFlowNo/>"),
        ({"purpose": ""}, {}, "<UseEx/>"),
        ({"purpose": "a<b & c>"}, {}, "<UseEx>a&lt;b &amp; c&gt;</UseEx>"),
        ({"amount": Money(7)}, {}, "<TranAmount>0.07</TranAmount>"),
        ({"detail": TransferDetail()}, {}, "<UseEx>货款</UseEx>"),
    ],
)
def test_flags_and_fields(changes: dict[str, object], options: dict[str, object], wanted: str) -> None:
    assert wanted in sent_body(order(**changes), **options)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": Money(1_000, "USD")}, "value"),
        ({"amount": Money(0)}, "value"),
        ({"purpose": "长" * 31}, "value"),
        ({"purpose": "a\x07"}, "value"),
        ({"channel": Channel.INSTANT}, "value"),
        ({"creditor": Party(AccountNumber(CREDITOR), Name("示例丙"))}, "missing"),
        ({"creditor": Party(AccountNumber(CREDITOR), Name(""), "工行")}, "missing"),
        ({"creditor": Party(AccountNumber(""), Name("示例丙"), "工行")}, "missing"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        first_step(bank().money[Kind.PAYMENT](order(**changes), context()))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "char", "position"), [("示例𬭎丙", "𬭎", 2), ("䶮某", "䶮", 0), ("a€b", "€", 1)])
def test_a_character_outside_gbk_is_refused_with_its_place(name: str, char: str, position: int) -> None:
    creditor = Party(AccountNumber(CREDITOR), Name(name), "中国工商银行")
    with pytest.raises(Unencodable) as caught:
        next(bank().money[Kind.PAYMENT](order(creditor=creditor), context()))
    assert (caught.value.char, caught.value.position) == (char, position)


@pytest.mark.parametrize("reference", ["", "x" * 21, "GW-1", "GW 1"])
def test_a_reference_that_is_no_voucher_is_refused(reference: str) -> None:
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](order(), context(reference=reference)))


def test_purposes_of_thirty_characters_fit_however_many_bytes() -> None:
    assert "长" * 30 in sent_body(order(purpose="长" * 30))


# ---- answers to 4004 -----------------------------------------------------------------------------------


def test_an_accepted_payment_is_pending_and_never_settled() -> None:
    outcome = pay(order(), framed("4004", accepted_body(), text="交易受理成功"))
    assert outcome.fate is Fate.PENDING
    assert outcome.listed
    assert outcome.bank_serial == "0000000000000000000001"
    assert (outcome.code, outcome.text) == ("000000", "交易受理成功")


@pytest.mark.parametrize("number", ["12345678901234", "0000000000000000000001"])
def test_front_numbers_of_14_and_22_digits_are_both_taken(number: str) -> None:
    assert pay(order(), framed("4004", accepted_body(FrontLogNo=number))).bank_serial == number


WORDS_4004 = [
    ("MA4045", Fate.DUPLICATE, True),
    *[
        (code, Fate.FAILED, True)
        for code in ("YQ9990", "YQ9982", "2778", "YQ9986", "YQ9983", "YQ0000", "YQ9993", "5223")
    ],
    *[
        (code, Fate.UNKNOWN, True)
        for code in ("AFE003", "AFE004", "GW3002", "E00006", "YQ9999", "INT000", "EBLN00", "YQ9971")
    ],
    *[(code, Fate.UNKNOWN, False) for code in ("YQ0001", "999999", "MA4046", "ma4045", "00000", "20", "X")],
]


@pytest.mark.parametrize(("code", "fate", "listed"), WORDS_4004)
@pytest.mark.parametrize("service", ["01", "02"])
def test_every_word_of_4004(code: str, fate: Fate, listed: bool, service: str) -> None:
    answer = framed("4004", None, code=code, text="说明", service=service)
    outcome = pay(order(), answer)
    assert (outcome.fate, outcome.listed, outcome.code, outcome.text) == (fate, listed, code, "说明")
    assert bank().read(Kind.PAYMENT, SENT, answer) == outcome


def test_a_stored_answer_reads_as_it_did() -> None:
    answer = framed("4004", accepted_body())
    assert bank().read(Kind.TRANSFER, SENT, answer) == pay(order(), answer)
    with pytest.raises(ProtocolError):
        bank().read(Kind.COLLECTION, SENT, answer)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, SENT, answer[:-1])


ANOTHER = [
    {"ThirdVoucher": "GW000000000000000002"},
    {"TranAmount": "10.01"},
    {"OutAcctNo": "00000000000018"},
    {"InAcctNo": "25"},
    {"CcyCode": "USD"},
]
FOREIGN = [*ANOTHER, {"ThirdVoucher": ""}, {"TranAmount": "1e1"}]


@pytest.mark.parametrize("changes", FOREIGN)
def test_an_answer_about_another_payment_is_no_answer(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        pay(order(), framed("4004", accepted_body(**changes)))


@pytest.mark.parametrize("changes", ANOTHER)
@pytest.mark.parametrize("code", ["000000", "MA4045", "YQ9990"])
def test_a_stored_answer_about_another_payment_is_no_answer(changes: dict[str, str], code: str) -> None:
    assert bank().read(Kind.PAYMENT, SENT, framed("4004", accepted_body(), code=code)).code == code
    with pytest.raises(ProtocolError) as refused:
        bank().read(Kind.PAYMENT, SENT, framed("4004", accepted_body(**changes), code=code))
    assert refused.value.reason == "correlation"


def test_a_refusal_with_a_body_about_another_payment_is_no_answer() -> None:
    with pytest.raises(ProtocolError):
        pay(order(), framed("4004", accepted_body("GW000000000000000002"), code="YQ9990"))


def test_what_the_answer_leaves_out_is_not_missed_and_what_it_adds_is_not_minded() -> None:
    inner = f"<ThirdVoucher>{REFERENCE}</ThirdVoucher><TranAmount>10</TranAmount><New a='1'>x</New>"
    assert pay(order(), framed("4004", f"<Result>{inner}</Result>")).fate is Fate.PENDING


# ---- answers to 4005 -----------------------------------------------------------------------------------


def fate_of(**changes: str) -> Outcome:
    return ask(framed("4005", fate_body(**changes), serial=REFERENCE))


def test_settled_with_everything_the_bank_says() -> None:
    outcome = fate_of()
    assert outcome.fate is Fate.SETTLED
    assert outcome.listed
    assert (outcome.code, outcome.text) == ("20", "000000:转账交易成功")
    assert outcome.bank_serial == "0000000000000000000001"
    assert outcome.fee == Money(400)
    assert outcome.booked_at is not None
    assert outcome.booked_at.date() == date(2025, 1, 2)
    assert outcome.booked_at.utcoffset() == ZONE.utcoffset(None)


SPOKEN = [
    ({"Stt": "20"}, Fate.SETTLED, True),
    ({"Stt": "20", "Yhcljg": ""}, Fate.SETTLED, True),
    ({"Stt": "20", "Yhcljg": "000000:交易成功"}, Fate.SETTLED, True),
    ({"Stt": "20", "Yhcljg": "ZZ0001:别的话"}, Fate.SETTLED, True),  # the code is in no table: Stt is preferred
    ({"Stt": "20", "Yhcljg": "MA9111:处理中"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "Yhcljg": "000000:银行处理中"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "Yhcljg": "YQ9982:验证收款方户名失败!"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "Yhcljg": "AFE004:通讯异常-接收后台服务响应"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "Yhcljg": "MA4045:重复的第三方流水号或凭证号"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "YQ9982:验证收款方户名失败!"}, Fate.FAILED, True),
    ({"Stt": "30", "Yhcljg": "MA4045:重复的第三方流水号或凭证号"}, Fate.DUPLICATE, True),
    ({"Stt": "30", "Yhcljg": "MA9111:交易处理中"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "000000:银行处理中"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "000000:已受理"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "AFE004:通讯异常-接收后台服务响应"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "YQ9999:null"}, Fate.UNKNOWN, False),
    ({"Stt": "30", "Yhcljg": "MA0012:余额不足"}, Fate.FAILED, True),
    ({"Stt": "30", "Yhcljg": ""}, Fate.FAILED, True),
    ({"Stt": "30"}, Fate.UNKNOWN, False),  # Stt says failed, Yhcljg says success: the outcome is unknown
    ({"Stt": "11"}, Fate.PENDING, True),
    ({"Stt": "2"}, Fate.PENDING, True),
    ({"Stt": "200"}, Fate.PENDING, True),
    ({"Stt": "３０"}, Fate.PENDING, True),  # full-width digits are not the code
    ({"Stt": "20", "IsBack": "1"}, Fate.RETURNED, True),
    ({"Stt": "30", "IsBack": "1"}, Fate.RETURNED, True),
    ({"Stt": "11", "IsBack": "1"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "IsBack": "2"}, Fate.UNKNOWN, False),
    ({"Stt": "20", "IsBack": ""}, Fate.SETTLED, True),
    ({"Stt": ""}, Fate.SETTLED, True),  # the documented fall-back
    ({"Stt": "", "Yhcljg": "MA9111:交易处理中"}, Fate.PENDING, True),
    ({"Stt": "", "Yhcljg": "MA9111"}, Fate.PENDING, True),
    ({"Stt": "", "Yhcljg": "000000:银行处理中"}, Fate.PENDING, True),
    ({"Stt": "", "Yhcljg": "000000:未转账交易成功"}, Fate.UNKNOWN, False),
    ({"Stt": "", "Yhcljg": "MA0012:余额不足"}, Fate.UNKNOWN, False),
    ({"Stt": "", "Yhcljg": ""}, Fate.UNKNOWN, False),
]


@pytest.mark.parametrize(("changes", "fate", "listed"), SPOKEN)
def test_every_word_of_4005(changes: dict[str, str], fate: Fate, listed: bool) -> None:
    outcome = fate_of(**changes)
    assert (outcome.fate, outcome.listed) == (fate, listed)


def test_a_failure_carries_the_bank_s_reason() -> None:
    outcome = fate_of(Stt="30", Yhcljg="MA0012:余额不足")
    assert (outcome.code, outcome.text) == ("MA0012", "MA0012:余额不足")
    assert outcome.fee is None
    assert fate_of(Stt="30", Yhcljg="", hostErrorCode="E77").code == "E77"


def test_odd_particulars_do_not_shake_a_clear_word() -> None:
    outcome = fate_of(Fee="many", AccountDate="soon", FrontLogNo="")
    assert (outcome.fate, outcome.fee, outcome.booked_at, outcome.bank_serial) == (Fate.SETTLED, None, None, None)


FOREIGN_FATES = [{k.replace("ThirdV", "OrigThirdV"): v for k, v in one.items()} for one in FOREIGN]


@pytest.mark.parametrize("changes", FOREIGN_FATES)
def test_a_fate_of_another_payment_is_no_answer(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        fate_of(**changes)


def test_a_status_that_comes_twice_is_no_answer() -> None:
    twice = fate_body().replace("<Stt>20</Stt>", "<Stt>20</Stt><Stt>30</Stt>")
    with pytest.raises(ProtocolError):
        ask(framed("4005", twice))


@pytest.mark.parametrize("code", ["MA0103", "YQ9996"])
def test_not_found_is_said_as_such(code: str) -> None:
    outcome = ask(framed("4005", None, code=code, text="没有满足条件纪录"))
    assert (outcome.fate, outcome.listed) == (Fate.NOT_FOUND, True)


REFUSED = ("YQ9990", "YQ9982", "2778", "YQ9986", "YQ9983", "YQ0000", "YQ9993", "5223", "YQ9971", "AFE003", "EBLN00")


@pytest.mark.parametrize("code", [*REFUSED, "QQ0000"])
def test_an_enquiry_refused_says_nothing_about_the_payment(code: str) -> None:
    outcome = ask(framed("4005", None, code=code, service="01"))
    assert outcome.fate is Fate.UNKNOWN
    assert outcome.listed is (code != "QQ0000")


def test_the_voucher_in_the_serial_s_place_is_of_no_weight() -> None:
    assert ask(framed("4005", fate_body(), serial="GW000000000000000099")).fate is Fate.SETTLED
    assert ask(framed("4005", None, code="MA0103", serial=REFERENCE)).fate is Fate.NOT_FOUND


# ---- against the bank's own side ---------------------------------------------------------------------


def test_a_payment_s_whole_life_against_the_twin() -> None:
    paper, side = books(fee=Money(400)), twin.build({}, {})
    reply = replying(side, paper)
    adapter = bank()
    fate = adapter.questions.fate
    assert fate is not None

    assert converse(fate(question(), context(1)), reply).fate is Fate.NOT_FOUND
    assert converse(adapter.money[Kind.PAYMENT](order(), context(2)), reply).fate is Fate.PENDING
    assert converse(fate(question(), context(3)), reply).fate is Fate.PENDING
    assert converse(adapter.money[Kind.PAYMENT](order(), context(4)), reply).fate is Fate.DUPLICATE
    assert len(paper.bookings) == 1
    paper.becomes(REFERENCE, Booked.SETTLED)
    settled = converse(fate(question(), context(5)), reply)
    assert (settled.fate, settled.fee) == (Fate.SETTLED, Money(400))
    assert settled.bank_serial is not None
    assert len(settled.bank_serial) == 22
    paper.becomes(REFERENCE, Booked.RETURNED, reason="账号户名不符")
    assert converse(fate(question(), context(6)), reply).fate is Fate.RETURNED
    taken = paper.bookings[REFERENCE].instruction
    assert (taken.amount, taken.purpose, taken.creditor_name) == (Money(1_000), "货款", "示例丙")


def test_refusals_of_the_twin() -> None:
    paper, side = books(plan=Booked.REFUSED), twin.build({"enterprise_code": "0" * 20}, {})
    fate = bank().questions.fate
    assert fate is not None
    turned_away = converse(bank().money[Kind.PAYMENT](order(), context()), replying(side, paper))
    assert (turned_away.fate, turned_away.code) == (Fate.FAILED, "YQ9986")
    assert not paper.bookings

    reply = replying(twin.build({}, {}), paper)
    stranger = replace(order(), debtor=Party(AccountNumber("00000000000099"), Name("乙")))
    assert converse(bank().money[Kind.PAYMENT](stranger, context()), reply).code == "2778"
    assert converse(bank().money[Kind.PAYMENT](order(), context()), reply).fate is Fate.PENDING
    refused = converse(fate(question(), context(3)), reply)
    assert (refused.fate, refused.code) == (Fate.FAILED, "YQ9982")


def test_a_hidden_payment_is_not_found_and_a_repeat_of_the_same_bytes_is_a_duplicate() -> None:
    paper = books()
    reply = replying(twin.build({}, {}), paper)
    wire = first_step(bank().money[Kind.PAYMENT](order(), context()))
    first, again = reply(wire), reply(wire)
    assert bank().read(Kind.PAYMENT, SENT, first).fate is Fate.PENDING
    assert bank().read(Kind.PAYMENT, SENT, again).fate is Fate.DUPLICATE
    paper.hidden.add(REFERENCE)
    fate = bank().questions.fate
    assert fate is not None
    assert converse(fate(question(), context(3)), reply).fate is Fate.NOT_FOUND


# ---- the host's own date ----


@pytest.mark.parametrize("host", ["20241130", "20250102", "20250122", "20260102"])
def test_the_host_s_date_never_outweighs_the_time_at_which_the_order_was_handed_in(host: str) -> None:
    """At the bank's test front end the host's date was 33 days before to 20 days after the calendar (banks/pab.md 9)."""
    assert fate_of(AccountDate=host).fate is Fate.SETTLED
    with pytest.raises(ProtocolError) as caught:
        fate_of(AccountDate=host, submitTime="20240102114308")
    assert caught.value.reason == "correlation"


@pytest.mark.parametrize("submitted", ["", "soon"])
def test_without_the_time_of_handing_in_the_host_s_date_decides(submitted: str) -> None:
    assert fate_of(submitTime=submitted).fate is Fate.SETTLED
    with pytest.raises(ProtocolError):
        fate_of(submitTime=submitted, AccountDate="20241101")
