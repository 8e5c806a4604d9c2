"""Single orders: the bytes, the outcomes of their answers, and the enquiry."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from gateway.simbank.ledger import CHINA
from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, TransferDetail, Urgency
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit import http
from protocols.kit.charset import Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import (
    CODES,
    OURS,
    REFERENCE,
    TAKEN,
    THEIRS,
    answer,
    bank,
    content,
    context,
    first_step,
    order,
    question,
    sent,
    stage,
    state,
    talk,
)

TUESDAY, EVENING, SATURDAY = (
    datetime(2026, 11, day, hour, tzinfo=CHINA) for day, hour in ((24, 9), (24, 17), (28, 12))
)
HOLIDAY = datetime(2026, 10, 1, 11, tzinfo=CHINA)


def payee(bank_name: str, cnaps: str) -> Party:
    return Party(AccountNumber(THEIRS), Name("乙公司"), bank_name, cnaps)


CITIC = Party(AccountNumber(THEIRS), Name("乙公司"), "中信银行示例支行")


def written(given: Any = None, now: datetime = TUESDAY, **options: Any) -> str:
    one = given or order()
    return content(first_step(bank(**options).money[one.kind](one, context(now=now))).data)


def paid(frame: bytes, given: Any = None, **options: Any) -> Any:
    one = given or order()
    return talk(bank(**options).money[one.kind](one, context()), frame)[0]


def fated(*frames: bytes, **options: Any) -> Any:
    """The fate in one answer, taken as it is. Another test has two answers that differ."""
    ask = bank(confirm=False, **options).questions.fate
    assert ask is not None
    return talk(ask(question(), context()), *frames)[0]


# ---- the bytes ---------------------------------------------------------------------------------------------------


def test_a_payment_as_the_page_writes_it() -> None:
    assert written() == (
        '<?xml version="1.0" encoding="GBK"?><stream><action>DLOUTTRN</action><userName>erpuser1</userName>'
        f"<clientID>{REFERENCE}</clientID><preFlg>0</preFlg><preDate></preDate><preTime></preTime>"
        f"<payType>03</payType><recBankNo></recBankNo><payAccountNo>{OURS}</payAccountNo>"
        f"<recAccountNo>{THEIRS}</recAccountNo><recAccountName>乙公司</recAccountName>"
        "<recOpenBankName>中国工商银行北京分行</recOpenBankName><recOpenBankCode>102100099996</recOpenBankCode>"
        "<citicbankFlag>1</citicbankFlag><cityFlag>1</cityFlag><tranAmount>10.00</tranAmount><abstract>货款</abstract>"
        "<memo></memo><takerName></takerName><takerID></takerID><takerIDType></takerIDType><chkNum></chkNum></stream>"
    )


def test_it_travels_as_the_body_of_one_http_post() -> None:
    step = first_step(bank().money[Kind.PAYMENT](order(), context()))
    assert step.serials == ("DLOUTTRN",)
    got = http.parse_request(step.data)
    assert (got.method, got.target, got.headers["connection"]) == ("POST", "/", "close")
    assert got.body.decode("gbk").startswith("<?xml")


def test_a_transfer_inside_the_group() -> None:
    xml = written(order(TransferDetail()))
    assert "<action>DLINETRN</action>" in xml
    assert (
        f"<recAccountNo>{THEIRS}</recAccountNo><tranAmount>10.00</tranAmount><abstract>货款</abstract><memo></memo><cryType></cryType>"
        in xml
    )
    assert "payType" not in xml


@pytest.mark.parametrize(
    ("changes", "now", "options", "rail"),
    [
        ({}, TUESDAY, {}, "03"),
        ({"urgency": Urgency.URGENT}, TUESDAY, {}, "02"),
        ({"urgency": Urgency.URGENT}, EVENING, {}, "03"),
        ({"urgency": Urgency.URGENT}, SATURDAY, {}, "03"),
        ({"urgency": Urgency.URGENT}, EVENING, {"night": True}, "B5"),
        ({"channel": Channel.LARGE_VALUE}, TUESDAY, {}, "02"),
        ({"channel": Channel.LARGE_VALUE}, SATURDAY, {"night": True}, "B5"),
        ({"channel": Channel.SMALL_VALUE, "urgency": Urgency.URGENT}, TUESDAY, {}, "03"),
        ({}, TUESDAY, {"large_value_from_minor": 1_000}, "02"),
        ({}, TUESDAY, {"large_value_from_minor": 1_001}, "03"),
        ({"channel": Channel.SAME_BANK}, EVENING, {}, "01"),
        ({"creditor": CITIC, "urgency": Urgency.URGENT}, EVENING, {}, "01"),
        ({"urgency": Urgency.URGENT}, HOLIDAY, {}, "02"),
        ({"urgency": Urgency.URGENT}, HOLIDAY, {"holidays": ["2026-10-01"]}, "03"),
        ({"channel": Channel.LARGE_VALUE}, HOLIDAY, {"holidays": ["2026-10-01"], "night": True}, "B5"),
        ({"urgency": Urgency.URGENT}, TUESDAY, {"holidays": ["2026-10-01"]}, "02"),
        # Other banks, by name or by number, whose names contain ours.
        ({"creditor": payee("招商银行深圳中信城支行", "308584001234")}, TUESDAY, {}, "03"),
        ({"creditor": payee("中信百信银行股份有限公司", "717100000016")}, TUESDAY, {}, "03"),
        ({"creditor": payee("示例银行中信银行大厦支行", "308584001234")}, TUESDAY, {}, "03"),
        ({"creditor": payee("中信银行北京分行", "999100000016")}, TUESDAY, {}, "01"),
        ({"creditor": payee("中信银行北京分行", "999100000016")}, TUESDAY, {"own_cnaps": ["998"]}, "03"),
        ({"creditor": payee("示例支行", "999100000016")}, TUESDAY, {"own_cnaps": ["999"]}, "01"),
    ],
)
def test_the_rail(changes: dict[str, Any], now: datetime, options: dict[str, Any], rail: str) -> None:
    xml = written(order(**changes), now, **options)
    assert f"<payType>{rail}</payType>" in xml
    assert f"<citicbankFlag>{'0' if rail == '01' else '1'}</citicbankFlag>" in xml


def test_the_head_office_stands_in_for_a_branch_without_a_number() -> None:
    payee = Party(AccountNumber(THEIRS), Name("乙公司"), "上海浦东发展银行示例支行")
    assert "<recOpenBankCode>310290000013</recOpenBankCode>" in written(order(creditor=payee))


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({"channel": Channel.LARGE_VALUE}, EVENING),
        ({"channel": Channel.INSTANT}, TUESDAY),
        ({"creditor": Party(AccountNumber(THEIRS), Name("乙"), "示例银行")}, TUESDAY),
        ({"creditor": Party(AccountNumber(THEIRS), Name("乙"), None, "102100099996")}, TUESDAY),
        ({"creditor": Party(AccountNumber("1" * 33), Name("乙"), "中国工商银行")}, TUESDAY),
        ({"creditor": Party(AccountNumber(THEIRS), Name("长" * 62), "中国工商银行")}, TUESDAY),
        ({"debtor": Party(AccountNumber("0" * 20), Name("甲"))}, TUESDAY),
        ({"purpose": "长" * 52}, TUESDAY),
        ({"amount": Money(0)}, TUESDAY),
        ({"amount": Money(100, "USD")}, TUESDAY),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, Any], now: datetime) -> None:
    with pytest.raises(ProtocolError):
        written(order(**changes), now)


def test_a_character_beyond_gbk_is_named_with_its_place() -> None:
    with pytest.raises(Unencodable) as caught:
        written(order(purpose="货款𬭎"))
    assert (caught.value.position, caught.value.codepoint) == (2, "U+2CB4E")


@pytest.mark.parametrize("reference", ["", "1" * 21, "GW-1"])
def test_a_reference_must_be_a_client_id(reference: str) -> None:
    with pytest.raises(ProtocolError):
        first_step(bank().money[Kind.PAYMENT](order(), context(reference)))


# ---- the answer to it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["AAAAAAA", "AAAAAAB", "AAAAAAC", "AAAAAAE", "AAAAAAG", "AAAAAAH", "AAAAAAK", "CCCCCCC"]
)
def test_acceptance_is_not_booking(status: str) -> None:
    told = paid(answer(status, {**TAKEN, "tranNo": "00000000000001"}, text="交易成功"))
    assert (told.fate, told.code, told.bank_serial, told.listed) == (Fate.PENDING, status, "00000000000001", True)


@pytest.mark.parametrize(
    "status",
    [
        "EEEEEEE",
        "UNKNOWN",
        "BBBBBBB",
        "ET00001",
        "ETX",
        "CF09001",
        "CF14001",
        "CF15001",
        "CF18001",
        "CF19001",
        "CF20001",
        "CF21001",
        "CF22001",
        "CF23001",
        "CM12001",
        "ED10001",
        "ED11001",
        "ED12001",
    ],
)
def test_trouble_on_the_way_is_doubt(status: str) -> None:
    told = paid(answer(status, text="交易未产生"))
    assert (told.fate, told.listed) == (Fate.UNKNOWN, True)


@pytest.mark.parametrize("status", ["ED02093", "CF24001", "ED01001", "TWIN002", "AAAAAAX", "aaaaaaa", "0"])
def test_an_unlisted_status_is_doubt_and_says_so(status: str) -> None:
    told = paid(answer(status, text="处理失败"))
    assert (told.fate, told.code, told.listed) == (Fate.UNKNOWN, status, False)


def test_what_the_bank_told_us_of_its_codes_is_believed() -> None:
    assert paid(answer("TWIN002"), codes=CODES).fate is Fate.FAILED
    assert paid(answer("TWIN001"), codes=CODES).fate is Fate.DUPLICATE
    assert paid(answer("TWIN003"), codes=CODES).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    "changes",
    [{"tranAmount": "10.01"}, {"payAccountNo": THEIRS}, {"recAccountNo": OURS}, {"clientID": "1"}, {"tranAmount": "x"}],
)
def test_an_answer_to_something_else_is_none(changes: dict[str, str]) -> None:
    frame = answer("AAAAAAE", {**TAKEN, **changes})
    with pytest.raises(ProtocolError):
        paid(frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), frame)


def test_a_stored_answer_reads_as_it_did() -> None:
    for status in ("AAAAAAE", "EEEEEEE", "TWIN002"):
        frame = answer(status, TAKEN)
        assert bank().read(Kind.PAYMENT, sent(), frame) == paid(frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYROLL_ITEM, sent(), answer("AAAAAAE", TAKEN))


@pytest.mark.parametrize(
    "frame",
    [
        http.answer(500, (), b"<html/>"),
        http.answer(200, (), b""),
        http.answer(200, (), b"<stream/>"),
        http.answer(200, (), b"<other><status>AAAAAAA</status></other>"),
        http.answer(200, (), b"<stream><status></status></stream>"),
        http.answer(200, (), b"<stream><status>AAAAAAA</status><status>AAAAAAA</status></stream>"),
        http.answer(200, (), b"<stream><action>DLBALQRY</action><status>AAAAAAA</status></stream>"),
        http.answer(200, (), b'<?xml version="1.0" encoding="UTF-8"?><stream><status>AAAAAAA</status></stream>'),
        answer("AAAAAAE", {"tranAmount": "10.00</tranAmount><tranAmount>10.00"}),
    ],
)
def test_what_is_no_answer_raises(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        paid(frame)


def test_bytes_beyond_the_label_and_unknown_fields_are_read() -> None:
    xml = '<?xml version="1.0" encoding="GB2312" ?><stream><statusText>麤𬭎</statusText><x><y/></x><status> AAAAAAE </status></stream>'
    assert paid(http.answer(200, (), xml.encode("gb18030"))).text == "麤𬭎"


# ---- the enquiry -------------------------------------------------------------------------------------------------


def test_the_enquiry_as_the_page_writes_it() -> None:
    _, [asked] = talk(bank(confirm=False).questions.fate(question(), context()), state())  # type: ignore[misc]
    assert content(asked).endswith(
        f"<action>DLCIDSTT</action><userName>erpuser1</userName><clientID>{REFERENCE}</clientID><type>DLOUTTRN</type></stream>"
    )


@pytest.mark.parametrize(
    ("stt", "status", "fate"),
    [
        ("0", "AAAAAAA", Fate.SETTLED),
        ("1", "ED02093", Fate.FAILED),
        ("1", "ED09999", Fate.FAILED),
        ("3", "ED02086", Fate.FAILED),
        ("4", "ED02094", Fate.FAILED),
        ("2", "CCCCCCC", Fate.PENDING),
        ("2", "ED02087", Fate.PENDING),
        ("2", "UNKNOWN", Fate.UNKNOWN),
        ("2", "ED02096", Fate.UNKNOWN),
        ("2", "AAAAAAA", Fate.UNKNOWN),
        ("2", "ED02093", Fate.UNKNOWN),
        # stt and the status beside it contradict each other:
        ("0", "AAAAAAE", Fate.UNKNOWN),
        ("0", "ED02093", Fate.UNKNOWN),
        ("0", "ED09999", Fate.UNKNOWN),
        ("1", "AAAAAAA", Fate.UNKNOWN),
        ("1", "AAAAAAB", Fate.UNKNOWN),
        ("1", "EEEEEEE", Fate.UNKNOWN),
        ("1", "ET00001", Fate.UNKNOWN),
        ("3", "ED02087", Fate.UNKNOWN),
        ("5", "AAAAAAA", Fate.UNKNOWN),
        ("", "ED02093", Fate.UNKNOWN),
        ("00", "AAAAAAA", Fate.UNKNOWN),
    ],
)
def test_stt_decides_where_the_status_beside_it_agrees(stt: str, status: str, fate: Fate) -> None:
    told = fated(state(stt, status))
    assert (told.fate, told.code) == (fate, f"{stt}/{status}")


def test_a_duplicate_comes_before_a_failure() -> None:
    assert fated(state("1", "TWIN001"), codes=CODES).fate is Fate.DUPLICATE
    assert fated(state("1", "TWIN001")).fate is Fate.FAILED


def test_no_row_is_not_found_and_never_failed() -> None:
    assert fated(answer("AAAAAAA", rows=[])).fate is Fate.NOT_FOUND
    assert fated(answer("AAAAAAA")).fate is Fate.NOT_FOUND
    assert fated(answer("TWIN004"), codes=CODES).fate is Fate.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "outcome"), [("ET00001", "retry"), ("ED10001", "retry"), ("ED02093", "retry"), ("TWIN002", "retry")]
)
def test_a_no_to_the_question_says_nothing_about_the_payment(status: str, outcome: str) -> None:
    frame = answer(status, rows=[{"stt": "1", "status": "ED02093"}])
    with pytest.raises(Declined) as caught:
        fated(frame, codes={"refused": ["TWIN002"]})
    assert (caught.value.code, caught.value.outcome) == (status, outcome)
    assert caught.value.listed is (status[:2] == "ET" or status == "ED10001")


@pytest.mark.parametrize(
    "rows",
    [
        [{"stt": "0", "status": "AAAAAAA"}, {"stt": "0", "status": "AAAAAAA"}],
        [{"status": "AAAAAAA"}],
        [{"stt": "0"}],
        [{"stt": "0", "status": "AAAAAAA", "clientID": "2"}],
        [{"stt": "0", "status": "AAAAAAA", "tranAmount": "9.00"}],
    ],
)
def test_rows_that_are_no_answer_raise(rows: list[dict[str, str]]) -> None:
    with pytest.raises(ProtocolError):
        fated(answer("AAAAAAA", rows=rows))


@pytest.mark.parametrize(
    "leaves", [{"clientID": "99999999999999999999"}, {"tranAmount": "9.00"}, {"recAccountNo": OURS}]
)
@pytest.mark.parametrize("rows", [[], [{"stt": "0", "status": "AAAAAAA"}]])
def test_a_head_about_another_order_is_no_answer(leaves: dict[str, str], rows: list[dict[str, str]]) -> None:
    with pytest.raises(ProtocolError) as caught:
        fated(answer("AAAAAAA", leaves, rows))
    assert caught.value.reason == "correlation"
    assert fated(answer("AAAAAAA", {"clientID": REFERENCE}, [{"stt": "0", "status": "AAAAAAA"}])).fate is Fate.SETTLED


def test_where_the_action_was_not_written_down_type_stays_empty() -> None:
    ask = bank(confirm=False).questions.fate
    assert ask is not None
    given = replace(question(), sent=sent(serials=()))
    _, [asked] = talk(ask(given, context()), state())
    assert "<type></type>" in content(asked)


def asked_twice(*frames: bytes) -> Any:
    ask = bank().questions.fate
    assert ask is not None
    return talk(ask(question(), context()), *frames)[0]


def test_an_ending_is_believed_when_two_answers_say_the_same() -> None:
    assert asked_twice(state(), state()).fate is Fate.SETTLED
    assert asked_twice(state("1", "ED02093"), state("1", "ED02093")).fate is Fate.FAILED
    for other in (state("1", "ED02093"), state("2", "CCCCCCC"), answer("AAAAAAA", rows=[]), state("5", "AAAAAAA")):
        told = asked_twice(state(), other)
        assert (told.fate, told.listed) == (Fate.UNKNOWN, False)
    assert asked_twice(state("1", "ED02093"), state("1", "ED02086")).fate is Fate.UNKNOWN
    for frame in (answer("ET00001"), http.answer(500, (), b"")):
        with pytest.raises(ProtocolError):
            asked_twice(state(), frame)


@pytest.mark.parametrize("frame", [state("2", "CCCCCCC"), state("2", "UNKNOWN")])
def test_what_is_no_ending_is_asked_once(frame: bytes) -> None:
    assert asked_twice(frame).fate in (Fate.PENDING, Fate.UNKNOWN)


def test_not_found_is_believed_when_two_answers_say_it() -> None:
    """The empty answer to another question, such as one about a day without entries, looks the same."""
    empty = answer("AAAAAAA", rows=[])
    assert asked_twice(empty, empty).fate is Fate.NOT_FOUND
    for other in (state(), state("1", "ED02093"), state("2", "CCCCCCC")):
        told = asked_twice(empty, other)
        assert (told.fate, told.listed) == (Fate.UNKNOWN, False)


def test_another_payment_s_answer_in_between_is_found_out() -> None:
    scene = stage()
    late = order(purpose="#late")
    scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context("R1")))
    scene.talk(scene.bank.money[Kind.PAYMENT](late, scene.context("R2")))
    ask = scene.bank.questions.fate
    assert ask is not None
    scene.talk(ask(question(reference="R1"), scene.context()))
    others = iter([scene.said[-1].answer])
    scene.tamper = lambda frame: next(others, frame)
    assert scene.talk(ask(question(reference="R2"), scene.context())).fate is Fate.UNKNOWN
    scene.tamper = None
    assert scene.talk(ask(question(reference="R2"), scene.context())).fate is Fate.PENDING
