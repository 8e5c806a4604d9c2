"""Single orders and the enquiry: the page's bytes, every documented status, and answers that must not decide anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.simbank.ledger import LedgerAccount
from protocols.bank import Submit
from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, Order, TransferDetail, Urgency
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.charset import Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.http import parse_request
from tests.protocols.banks.cib.paper import (
    CENTRE,
    CREDITOR,
    DEBTOR,
    INFO,
    QUERY,
    REFERENCE,
    ask,
    bank,
    body_of,
    context,
    core,
    finish,
    fox,
    http_answer,
    paid,
    pay,
    payment,
    processed,
    question,
    refused,
    refused_log_on,
    sent,
    stage,
    told,
)
from tests.world.dialogue import BankAndTwin

GOLDEN = (
    '<?xml version="1.0" encoding="GBK"?><FOX><SIGNONMSGSRQV1><SONRQ><DTCLIENT>2025-01-08 12:00:00</DTCLIENT>'
    "<CID>1100000001</CID><USERID>erp01</USERID><USERPASS>secret</USERPASS><GENUSERKEY>N</GENUSERKEY>"
    "<LANGUAGE>CHS</LANGUAGE><APPID>XYFIB</APPID><APPVER>1000</APPVER></SONRQ></SIGNONMSGSRQV1><SECURITIES_MSGSRQV1>"
    "<XFERTRNRQ><TRNUID>CIB20250108000000001</TRNUID><XFERRQ><XFERINFO><ACCTFROM><ACCTID>000000000000000017</ACCTID>"
    "<NAME>甲公司</NAME><BANKDESC>兴业银行</BANKDESC><CITY>福州</CITY></ACCTFROM>"
    '<ACCTTO INTERBANK="N" LOCAL="N"><ACCTID>0000000000000025</ACCTID><NAME>乙公司</NAME>'
    "<BANKDESC>中国建设银行台州分行</BANKDESC><BANKNUM>105345000001</BANKNUM><CITY>台州</CITY></ACCTTO>"
    "<CURSYM>RMB</CURSYM><TRNAMT>1024.50</TRNAMT><PMTMODE>REAL_TIME</PMTMODE><PURPOSE>货款</PURPOSE>"
    "</XFERINFO></XFERRQ></XFERTRNRQ></SECURITIES_MSGSRQV1></FOX>"
)


def transfer(direction: str, debtor: str, creditor: str) -> Order[TransferDetail]:
    """A transfer between two own accounts."""
    return Order(
        "T-1",
        Party(AccountNumber(debtor), Name("甲公司")),
        Party(AccountNumber(creditor), Name("甲集团"), "兴业银行福州分行"),
        Money(100),
        TransferDetail(direction),
        "调拨",
    )


def written(order: Any, **options: Any) -> str:
    return body_of(next(bank(**options).money[order.kind](order, context())))


# ---- the bytes of a message ----------------------------------------------------------------------------


def test_the_request_is_the_page_s_sample() -> None:
    step = next(bank().money[Kind.PAYMENT](payment(), context()))
    assert isinstance(step, Submit)
    request = parse_request(step.data)
    assert request.body.decode("gbk") == GOLDEN
    assert (request.method, request.headers["content-type"]) == ("POST", "application/x-fox")
    # A Chinese character is two bytes, and Content-Length counts bytes.
    assert int(request.headers["content-length"]) == len(GOLDEN.encode("gbk"))


def test_the_bytes_depend_on_nothing_but_the_order_its_time_and_the_login() -> None:
    """The repeated bytes must equal those of the first send, so they may contain no serial number and no session."""
    word, at = bank().money[Kind.PAYMENT], context()
    other = replace(at, serials=(77, 78), session={"token": "x"}, attempt=2)
    assert body_of(next(word(payment(), at))) == body_of(next(word(payment(), other)))


@pytest.mark.parametrize(
    ("changes", "options", "wanted"),
    [
        ({"channel": Channel.SAME_BANK}, {}, 'INTERBANK="Y"'),
        ({}, {"own_cnaps": ["105"]}, 'INTERBANK="Y"'),
        ({}, {"own_names": ["建设"]}, 'INTERBANK="Y"'),
        ({}, {"city": "台州"}, 'LOCAL="Y"'),
        ({}, {"cities": {}}, "<BANKNUM>105345000001</BANKNUM></ACCTTO>"),
        ({}, {"cities": {"1": "甲", "1053": "乙"}}, "<CITY>乙</CITY></ACCTTO>"),
        ({"channel": Channel.INSTANT}, {}, "<PMTMODE>SUPER</PMTMODE>"),
        ({}, {"payment_mode": ""}, "<TRNAMT>1024.50</TRNAMT><PURPOSE>"),
        ({"amount": Money(7)}, {}, "<TRNAMT>0.07</TRNAMT>"),
        ({"urgency": Urgency.URGENT}, {}, "<XFERTRNRQ>"),
        (
            {"urgency": Urgency.URGENT},
            {"fast_pay": True},
            "<ICTRANSFERTRNRQ><TRNUID>CIB20250108000000001</TRNUID><XMPTRQ><XFERINFO>",
        ),
        ({}, {"fast_pay": True}, "<XFERTRNRQ>"),
    ],
)
def test_flags_and_fields(changes: dict[str, Any], options: dict[str, Any], wanted: str) -> None:
    assert wanted in written(payment(**changes), **options)


@pytest.mark.parametrize(
    ("direction", "debtor", "creditor", "wanted"),
    [
        ("transfer", DEBTOR, CREDITOR, "<XFERTRNRQ>"),
        ("transfer", DEBTOR, CENTRE, f"<XMPTRQ><FUNDACCT><ACCTID>{CENTRE}</ACCTID><XPMTTYPE>1</XPMTTYPE></FUNDACCT>"),
        ("sweep", DEBTOR, CENTRE, f"<XMPTRQ><FUNDACCT><ACCTID>{CENTRE}</ACCTID></FUNDACCT><XFERINFO>"),
        ("push", CENTRE, DEBTOR, f"<XMPTRQ><FUNDACCT><ACCTID>{CENTRE}</ACCTID></FUNDACCT><XFERINFO>"),
    ],
)
def test_the_pool(direction: str, debtor: str, creditor: str, wanted: str) -> None:
    assert wanted in written(transfer(direction, debtor, creditor))


@pytest.mark.parametrize(
    ("order", "options"),
    [
        (transfer("sweep", DEBTOR, CREDITOR), {}),
        (transfer("push", DEBTOR, CENTRE), {}),
        (transfer("sweep", DEBTOR, CENTRE), {"fund_account": ""}),
    ],
)
def test_a_sweep_has_the_centre_on_its_other_end(order: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        written(order, **options)


def payee(**changes: Any) -> Party:
    return replace(payment().creditor, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": Money(1_000, "USD")}, "value"),
        ({"amount": Money(0)}, "value"),
        ({"purpose": ""}, "missing"),
        ({"purpose": "长" * 31}, "value"),
        ({"purpose": "甲<乙"}, "value"),
        ({"purpose": "a&b"}, "value"),
        ({"channel": Channel.LARGE_VALUE}, "value"),
        ({"channel": Channel.INSTANT, "amount": Money(5_000_001)}, "value"),
        ({"channel": Channel.INSTANT, "creditor": payee(cnaps=None)}, "missing"),
        ({"creditor": payee(bank_name=None)}, "missing"),
        ({"creditor": payee(name=Name(""))}, "missing"),
        ({"creditor": payee(name=Name("长" * 26))}, "value"),
        ({"creditor": payee(account=AccountNumber("1 2"))}, "value"),
        ({"debtor": Party(AccountNumber("0" * 19), Name("甲公司"))}, "value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        written(payment(**changes))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "char", "position"), [("示例𬭎丙", "𬭎", 2), ("䶮某", "䶮", 0), ("a€b", "€", 1)])
def test_a_character_outside_gbk_is_refused_with_its_place(name: str, char: str, position: int) -> None:
    with pytest.raises(Unencodable) as caught:
        written(payment(creditor=payee(name=Name(name))))
    assert (caught.value.char, caught.value.position) == (char, position)


def test_characters_of_gbk_go_out_as_two_bytes() -> None:
    assert "<NAME>镕麤</NAME>" in written(payment(creditor=payee(name=Name("镕麤"))))


@pytest.mark.parametrize("secrets", [{"user": ""}, {"password": ""}, {"password": "a<b"}])
def test_without_credentials_nothing_is_sent(secrets: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](payment(), context(secrets=secrets)))


@pytest.mark.parametrize("reference", ["", "x" * 31, "CIB-1"])
def test_a_reference_that_is_no_trnuid_is_refused(reference: str) -> None:
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](payment(), context(reference)))


# ---- the answer to a submit ----------------------------------------------------------------------------


def test_the_page_s_answer() -> None:
    outcome = pay(paid())
    assert (outcome.fate, outcome.code, outcome.text, outcome.listed) == (Fate.SETTLED, "PAYOUT", "交易成功", True)
    assert outcome.bank_serial == "006014120001"
    assert outcome.booked_at is not None and outcome.booked_at.isoformat() == "2025-01-08T09:30:02+08:00"
    assert bank().read(Kind.PAYMENT, sent(), paid()) == outcome


WORDS = [
    ("PAYOUT", Fate.SETTLED, True),
    *[(word, Fate.FAILED, True) for word in ("FAIL", "CANCEL", "EXPIRED")],
    *[(word, Fate.PENDING, True) for word in ("SUBMIT_SUCC", "BATCH_SUBMIT_SUCC", "PROCESSING", "AUDITED")],
    *[(word, Fate.PENDING, True) for word in ("AUDITING", "WAIT_FOR_AUDIT", "SEND_BACK")],
    *[(word, Fate.UNKNOWN, True) for word in ("PENDING", "PART_PAYOUT", "50006", "51027", "51010", "2005", "1")],
    *[(word, Fate.UNKNOWN, False) for word in ("payout", "FAILED", "2002", "6000", "0", "SUCCESS")],
]


@pytest.mark.parametrize(("word", "fate", "listed"), WORDS)
def test_every_word_on_an_instruction(word: str, fate: Fate, listed: bool) -> None:
    for outcome in (pay(paid(word, "说明")), ask(told(word, "说明"), core_enquiry=False)):
        assert (outcome.fate, outcome.listed, outcome.code, outcome.text) == (fate, listed, word, "说明")


def test_registered_is_not_paid() -> None:
    assert pay(paid("PAYOUT", "登记成功")).fate is Fate.PENDING


STATUSES = [
    ("2002", "账号与核心户名不符,应为:test1", Fate.FAILED, True),
    ("2006", "金额格式错误", Fate.FAILED, True),
    ("2005", "没有权限", Fate.FAILED, True),
    ("50006", "没有权限", Fate.FAILED, True),
    ("2000", "前置机代理软件参数需设置启用签名", Fate.FAILED, True),
    ("12345", "TRNUID值已被使用", Fate.DUPLICATE, True),
    ("2002", "该TRNUID值已被使用", Fate.DUPLICATE, True),
    ("2002", "系统存在多条记录", Fate.DUPLICATE, True),
    ("2000", "支付指令不存在", Fate.UNKNOWN, True),
    ("2000", "证书不符", Fate.UNKNOWN, True),
    ("51010", "操作执行异常，请查询", Fate.UNKNOWN, True),
    ("52000", "操作执行异常，请查询", Fate.UNKNOWN, True),
    ("6000", "未知失败", Fate.UNKNOWN, True),
    ("1740", "查询超时", Fate.UNKNOWN, True),
    ("2001", "查询无数据", Fate.UNKNOWN, False),
    ("99999", "?", Fate.UNKNOWN, False),
]


@pytest.mark.parametrize(("code", "words", "fate", "listed"), STATUSES)
def test_every_status_of_a_payment(code: str, words: str, fate: Fate, listed: bool) -> None:
    outcome = pay(refused(code, words))
    assert (outcome.fate, outcome.listed, outcome.code, outcome.text) == (fate, listed, code, words)


@pytest.mark.parametrize("code", ["2005", "50006"])
def test_no_permission_for_a_repeat_proves_nothing_about_the_first_copy(code: str) -> None:
    answer = refused(code, "没有权限")
    assert bank().read(Kind.PAYMENT, sent(), answer).fate is Fate.FAILED
    assert bank().read(Kind.PAYMENT, sent(attempt=2), answer).fate is Fate.UNKNOWN
    # The bank returns the earlier result, so its status of the order itself still counts.
    assert bank().read(Kind.PAYMENT, sent(attempt=2), refused("2002", "户名不符")).fate is Fate.FAILED
    assert bank().read(Kind.PAYMENT, sent(attempt=2), paid()).fate is Fate.SETTLED


@pytest.mark.parametrize(
    ("code", "words"), [("2005", "没有权限"), ("50006", "没有权限"), ("2000", "前置机代理软件参数需设置启用签名")]
)
def test_what_people_send_again_is_no_first_copy_either(code: str, words: str) -> None:
    answers = [
        finish(bank().money[Kind.PAYMENT](payment(), context(attempt=attempt)), refused(code, words)).fate
        for attempt in (1, 2)
    ]
    assert answers == [Fate.FAILED, Fate.UNKNOWN]


def test_the_front_end_s_signature_switch_may_have_changed_since_the_first_copy() -> None:
    answer = refused("2000", "前置机代理软件参数需设置启用签名")
    assert bank().read(Kind.PAYMENT, sent(attempt=2), answer).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("word", "fate"), [("PAYOUT", Fate.UNKNOWN), ("PROCESSING", Fate.UNKNOWN), ("FAIL", Fate.FAILED)]
)
def test_two_layers_that_disagree_are_doubt(word: str, fate: Fate) -> None:
    body = f"<XFERRS><SRVRID>1</SRVRID>{INFO}{processed(word)}<CLIENTREF>{REFERENCE}</CLIENTREF></XFERRS>"
    assert pay(fox("XFERTRN", REFERENCE, body, "2002", "户名不符")).fate is fate
    assert pay(fox("XFERTRN", REFERENCE, body, "12345", "TRNUID值已被使用")).fate is Fate.DUPLICATE


@pytest.mark.parametrize(("code", "words"), [("15500", "登录失败"), ("2000", "操作员不存在"), ("77777", "?")])
def test_a_refused_log_on_is_doubt_and_stops_the_lane(code: str, words: str) -> None:
    with pytest.raises(Declined) as caught:
        pay(refused_log_on(code, words))
    assert (caught.value.outcome, caught.value.code, caught.value.listed) == ("signed_out", code, True)


@pytest.mark.parametrize(("code", "words"), [("15500", "登录失败"), ("2000", "操作员不存在"), ("77777", "?")])
def test_a_repeat_with_a_password_that_is_refused_stops_the_lane_too(code: str, words: str) -> None:
    """The repeated bytes contain the password of the first copy. Tried for each payment in doubt, it would lock the
    operator."""
    with pytest.raises(Declined) as caught:
        bank().read(Kind.PAYMENT, sent(attempt=2), refused_log_on(code, words))
    assert (caught.value.outcome, caught.value.code) == ("signed_out", code)


@pytest.mark.parametrize(
    "answer",
    [
        paid(reference="CIB20250108000000002"),
        paid(info=INFO.replace("1024.50", "1024.51")),
        paid(info=INFO.replace(DEBTOR, CENTRE)),
        paid(info=INFO.replace(CREDITOR, CENTRE)),
        paid(info=INFO.replace("RMB", "USD")),
        fox("XFERTRN", "CIB20250108000000002", "", "2002", "户名不符"),
        told(trnuid=REFERENCE),
    ],
)
def test_an_answer_about_another_payment_is_none(answer: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        pay(answer)
    assert caught.value.reason == "correlation"
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        fox("XFERTRN", REFERENCE, ""),
        fox("XFERTRN", REFERENCE, f"<XFERRS><SRVRID>1</SRVRID>{INFO}</XFERRS>"),
        fox("XFERTRN", REFERENCE, f"<XFERRS>{INFO}{processed('')}</XFERRS>"),
        paid().replace(b"<CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><X", b"<X"),
        http_answer("<FOX/>"),
        http_answer("<HTML/>"),
        http_answer(b""),
        http_answer(paid().partition(b"\r\n\r\n")[2], status=500),
        http_answer(paid().partition(b"\r\n\r\n")[2] + b"<FOX/>"),
    ],
)
def test_what_is_no_answer_is_doubt(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        pay(answer)


def test_new_elements_and_another_order_are_tolerated() -> None:
    body = f"<XFERRS><NEW><A/></NEW><CLIENTREF>{REFERENCE}</CLIENTREF>{processed('PAYOUT')}{INFO}<SRVRID>7</SRVRID></XFERRS>"
    outcome = pay(fox("XFERTRN", REFERENCE, body))
    assert (outcome.fate, outcome.bank_serial) == (Fate.SETTLED, "7")


def test_a_name_outside_gbk_in_an_answer_is_read() -> None:
    outcome = pay(paid(words="𬭎䶮镕麤", info=INFO.replace("乙公司", "𬭎䶮")))
    assert (outcome.fate, outcome.text) == (Fate.SETTLED, "𬭎䶮镕麤")


def test_only_single_kinds_are_read() -> None:
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYROLL_ITEM, sent(), paid())


# ---- the enquiry ---------------------------------------------------------------------------------------


def test_the_enquiry_has_an_identifier_of_its_own() -> None:
    fate = bank().questions.fate
    assert fate is not None
    asked = body_of(next(fate(question(), context())))
    assert f"<XFERINQTRNRQ><TRNUID>{QUERY}</TRNUID><XFERINQRQ><CLIENTREF>{REFERENCE}</CLIENTREF>" in asked
    assert len(QUERY) != bank().profile.limits.reference.length


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (fox("XFERINQTRN", QUERY, "", "2000", "支付指令不存在"), Fate.NOT_FOUND),
        (fox("XFERINQTRN", QUERY, "", "2000", "查无记录"), Fate.NOT_FOUND),
        (fox("XFERINQTRN", QUERY, "", "2020", "指令不存在"), Fate.NOT_FOUND),
        (fox("XFERINQTRN", QUERY, "", "2001", "查询无数据"), Fate.NOT_FOUND),
        (
            fox("XFERINQTRN", QUERY, '<XFERINQRS><XFERLIST MORE="N"><FROM>-1</FROM><TO>-1</TO></XFERLIST></XFERINQRS>'),
            Fate.NOT_FOUND,
        ),
    ],
)
def test_not_found_is_not_found(answer: bytes, fate: Fate) -> None:
    assert ask(answer).fate is fate


@pytest.mark.parametrize(
    ("code", "words"), [("2002", "x"), ("2005", "没有权限"), ("2000", "?"), ("51010", "x"), ("9", "x")]
)
def test_a_refused_enquiry_says_nothing_about_the_payment(code: str, words: str) -> None:
    with pytest.raises(Declined):
        ask(fox("XFERINQTRN", QUERY, "", code, words))


@pytest.mark.parametrize(
    "answer",
    [
        told(trnuid="Q00000000000000000009"),
        told(info=INFO.replace("1024.50", "1.00")),
        told(info=INFO.replace(CREDITOR, CENTRE)),
        told(info=""),
        told(info=INFO.replace("<TRNAMT>1024.50</TRNAMT>", "")),
        told().replace(b"<SRVRTID>006014120001</SRVRTID>", b"<CLIENTREF>CIB20250108000000009</CLIENTREF>"),
        fox("XFERINQTRN", QUERY, '<XFERINQRS><XFERLIST MORE="N"><FROM>1</FROM><TO>1</TO></XFERLIST></XFERINQRS>'),
        fox("XFERINQTRN", QUERY, "<XFERINQRS/>"),
    ],
)
def test_an_enquiry_s_answer_must_name_this_payment(answer: bytes) -> None:
    """Two payments may be equal. Only the identifier of the question distinguishes them."""
    with pytest.raises(ProtocolError):
        ask(answer)


def test_two_payments_under_one_reference_are_no_answer() -> None:
    row = told().partition(b"<XFER>")[2].partition(b"</XFER>")[0]
    with pytest.raises(ProtocolError) as caught:
        ask(
            told()
            .replace(b"</XFERLIST>", b"<XFER>" + row + b"</XFER></XFERLIST>")
            .replace(b"Content-Length", b"X-Length")
        )
    assert caught.value.reason == "ambiguous"


CORE = [
    ("1", "", "", "Y", Fate.SETTLED),
    ("2", "", "", "Y", Fate.FAILED),
    ("0", "", "", "Y", Fate.UNKNOWN),
    ("1", "5", "", "Y", Fate.UNKNOWN),
    ("9", "", "", "Y", Fate.UNKNOWN),
    ("1", "Y", "", "N", Fate.SETTLED),
    ("1", "F", "", "N", Fate.FAILED),
    ("1", "1", "", "N", Fate.PENDING),
    ("1", "2", "", "N", Fate.PENDING),
    ("1", "5", "", "N", Fate.PENDING),
    ("1", "G", "", "N", Fate.PENDING),
    ("1", "G", "9999X026", "N", Fate.FAILED),
    ("1", "G", "9999X0261", "N", Fate.PENDING),
    ("1", "", "", "N", Fate.UNKNOWN),
    ("1", "X", "", "N", Fate.UNKNOWN),
    ("2", "", "", "N", Fate.FAILED),
    ("0", "", "", "N", Fate.UNKNOWN),
    ("1", "Y", "", "", Fate.SETTLED),
]


@pytest.mark.parametrize(("result", "status", "reason", "inside", "fate"), CORE)
def test_where_the_enquiry_is_unclear_the_core_system_decides(
    result: str, status: str, reason: str, inside: str, fate: Fate
) -> None:
    first = told("PENDING", "处理中")
    outcome = ask(first, core(result, status, reason, inside))
    assert outcome.fate is fate
    assert outcome.bank_serial == "006014120001"


def test_a_flag_nobody_knows_is_not_taken_for_either() -> None:
    odd = INFO.replace('INTERBANK="N"', 'INTERBANK="Q"')
    assert ask(told("PENDING", info=odd), core("2", inside="Q")).fate is Fate.UNKNOWN


def test_a_core_system_that_does_not_answer_leaves_the_first_word() -> None:
    silent = fox("INQSTATETRN", f"Q{2:020d}", "", "51010", "操作执行异常，请查询")
    assert ask(told("PENDING"), silent).code == "PENDING"
    with pytest.raises(Declined):
        ask(told("PENDING"), refused_log_on())


# ---- with the bank's side ------------------------------------------------------------------------------


def settle(made: BankAndTwin, reference: str = REFERENCE, **changes: Any) -> Any:
    return made.talk(made.bank.money[Kind.PAYMENT](payment(**changes), made.context(reference)))


def fate_of(made: BankAndTwin) -> Any:
    fate = made.bank.questions.fate
    assert fate is not None
    return made.talk(fate(question(), made.context()))


def test_the_bank_s_side_takes_what_we_write_and_moves_the_money_once() -> None:
    made = stage()
    assert settle(made).fate is Fate.SETTLED
    assert settle(made).fate is Fate.SETTLED
    [execution] = made.ledger.truth()[REFERENCE]
    assert execution.instruction.amount == Money(1_024_50)
    assert made.ledger.duplicates == 1


def test_the_stored_bytes_sent_again_are_read_as_the_earlier_result() -> None:
    made = stage()
    settle(made)
    wire = made.said[-1].request
    answer = made.exchange("business", wire)
    assert made.bank.read(Kind.PAYMENT, sent(attempt=2), answer).fate is Fate.SETTLED
    assert len(made.ledger.truth()[REFERENCE]) == 1


@pytest.mark.parametrize(
    ("faults", "first", "then"),
    [
        ({"word": "PENDING"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"word": "PENDING", "core": "1/5"}, Fate.UNKNOWN, Fate.PENDING),
        ({"word": "51010"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"word": "AUDITING"}, Fate.PENDING, Fate.PENDING),
        ({"trouble": "51010"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"trouble": "52000"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"trouble": "6000"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"trouble": "88888"}, Fate.UNKNOWN, Fate.SETTLED),
        ({"bare": True}, Fate.SETTLED, Fate.SETTLED),
    ],
)
def test_faults_of_the_field_never_become_a_wrong_verdict(faults: dict[str, Any], first: Fate, then: Fate) -> None:
    made = stage(accounts=[LedgerAccount(DEBTOR, "甲公司", Money(1_000_000))], **faults)
    assert settle(made).fate is first
    assert fate_of(made).fate is then


def test_a_repeat_refused_with_12345_is_a_duplicate_and_the_enquiry_tells() -> None:
    made = stage(used=True)
    settle(made)
    assert settle(made).fate is Fate.DUPLICATE
    assert fate_of(made).fate is Fate.SETTLED


@pytest.mark.parametrize("style", ["code", "list"])
def test_both_ways_of_not_finding(style: str) -> None:
    assert fate_of(stage(not_found=style)).fate is Fate.NOT_FOUND


def test_an_enquiry_that_may_not_be_asked_leaves_the_payment_as_it_was() -> None:
    made = stage(enquiry_code="2005")
    settle(made)
    with pytest.raises(Declined):
        fate_of(made)


def test_a_wrong_password_is_tried_once_per_conversation() -> None:
    made = stage(password="another")
    for _ in range(2):
        before = len(made.said)
        with pytest.raises(Declined) as caught:
            made.sign_on()
        assert caught.value.outcome == "signed_out"
        assert len(made.said) == before + 1
    before = len(made.said)
    with pytest.raises(Declined):
        settle(made)
    assert len(made.said) == before + 1
    assert REFERENCE not in made.ledger.truth()


def test_sign_on_asks_a_harmless_question_and_cares_for_the_log_on_only() -> None:
    made = stage()
    made.sign_on()
    assert not made.ledger.executions
    # A refused balance question does not stop the lane.
    stranger = stage({"probe_account": "000000000000000099"})
    stranger.sign_on()
    stranger.talk(stranger.bank.sessions.probe(stranger.context()))
