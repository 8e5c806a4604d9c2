"""DCPAYMNT and NTQRYSTY: the page's bytes, REQSTS x RTNFLG, and answers that must not decide anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from protocols.bank import Submit
from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion
from protocols.kit import http
from protocols.kit.charset import GBK, Unencodable
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    NUMBER,
    OURS,
    REFERENCE,
    REPEATED,
    THEIRS,
    TODAY,
    answer,
    bank,
    content,
    context,
    document,
    first_step,
    handed_in,
    order,
    question,
    record,
    sent,
    talk,
)

GOLDEN = (
    '<?xml version="1.0" encoding="GBK"?><CMBSDKPGK><INFO><FUNNAM>DCPAYMNT</FUNNAM><DATTYP>2</DATTYP>'
    "<LGNNAM>U0001</LGNNAM></INFO><SDKPAYRQX><BUSCOD>N02031</BUSCOD><BUSMOD>00001</BUSMOD></SDKPAYRQX><DCOPDPAYX>"
    "<YURREF>GW000000000000000001</YURREF><EPTDAT/><EPTTIM/><DBTACC>0000000000000000017</DBTACC><DBTBBK>75</DBTBBK>"
    "<TRSAMT>123.45</TRSAMT><CCYNBR>10</CCYNBR><STLCHN>N</STLCHN><NUSAGE>货款</NUSAGE><BUSNAR/>"
    "<CRTACC>0000000000000000025</CRTACC><CRTNAM>示例乙公司</CRTNAM><LRVEAN/><BRDNBR>000000000000</BRDNBR>"
    "<BNKFLG>N</BNKFLG><CRTBNK>示例银行某支行</CRTBNK><CTYCOD/><CRTADR>示例银行某支行</CRTADR><CRTFLG>Y</CRTFLG>"
    "<NTFCH1/><NTFCH2/><CRTSQN/><TRSTYP>100001</TRSTYP><RCVCHK>1</RCVCHK><RSV28Z/></DCOPDPAYX></CMBSDKPGK>"
)
GOLDEN_STATUS = (
    '<?xml version="1.0" encoding="GBK"?><CMBSDKPGK><INFO><FUNNAM>NTQRYSTY</FUNNAM><DATTYP>2</DATTYP>'
    "<LGNNAM>U0001</LGNNAM></INFO><NTQRYSTYX1><BUSCOD>N02031</BUSCOD><YURREF>GW000000000000000001</YURREF>"
    "<BGNDAT>20261123</BGNDAT><ENDDAT>20261124</ENDDAT><RSV50Z/></NTQRYSTYX1></CMBSDKPGK>"
)


def pay(frame: bytes, given: Any = None, **options: Any) -> Outcome:
    one = given or order()
    return talk(bank(**options).money[one.kind](one, context()), frame)[0]


def sent_xml(given: Any, **options: Any) -> str:
    return content(first_step(bank(**options).money[given.kind](given, context())).data)


def ask(*frames: bytes, **options: Any) -> Outcome:
    fate = bank(**options).questions.fate
    assert fate is not None
    return talk(fate(question(), context()), *frames)[0]


def told(**changes: str) -> Outcome:
    """The outcome that one record of an enquiry's answer gives."""
    return ask(answer("NTQRYSTY", "0", record(**changes)))


# ---- the bytes of a message --------------------------------------------------------------------------------------


def test_dcpaymnt_is_the_page_s_form_byte_for_byte() -> None:
    step = first_step(bank().money[Kind.PAYMENT](order(), context()))
    assert isinstance(step, Submit)
    assert step.serials == ("N02031",)
    assert content(step.data) == GOLDEN
    assert b"Content-Length: %d\r\n" % len(GOLDEN.encode("gbk")) in step.data


def test_ntqrysty_is_the_page_s_form_byte_for_byte() -> None:
    fate = bank().questions.fate
    assert fate is not None
    assert content(first_step(fate(question(), context())).data) == GOLDEN_STATUS


def test_three_ways_to_the_front_end_carry_the_same_document() -> None:
    plain = GOLDEN.encode("gbk")
    socket = first_step(bank(transport="socket").money[Kind.PAYMENT](order(), context())).data
    assert socket == str(len(plain)).ljust(8).encode() + plain
    form = http.parse_request(first_step(bank(transport="http-form").money[Kind.PAYMENT](order(), context())).data)
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form.body.startswith(b"REQDATA=%3C%3Fxml")
    assert http.parse_form(form.body, GBK) == {"REQDATA": GOLDEN}


@pytest.mark.parametrize(
    ("changes", "options", "wanted"),
    [
        ({"urgency": Urgency.URGENT}, {}, "<STLCHN>F</STLCHN>"),
        ({"channel": Channel.SAME_BANK}, {}, "<STLCHN/>"),
        ({"channel": Channel.SAME_BANK}, {}, "<BNKFLG>Y</BNKFLG>"),
        ({}, {"own_names": ["示例银行"]}, "<BNKFLG>Y</BNKFLG>"),
        ({}, {"own_cnaps": ["000"]}, "<BNKFLG>Y</BNKFLG>"),
        ({}, {"branches": {OURS: "69"}}, "<DBTBBK>69</DBTBBK>"),
        ({}, {"payee_address": "广东省深圳市"}, "<CRTADR>广东省深圳市</CRTADR>"),
        ({}, {"check_name": False}, "<RCVCHK>0</RCVCHK>"),
        ({"purpose": "a<b & c>d"}, {}, "<NUSAGE>a&lt;b &amp; c>d</NUSAGE>"),
        ({"purpose": "&gt;"}, {}, "<NUSAGE>&amp;gt;</NUSAGE>"),
        ({"amount": Money(7)}, {}, "<TRSAMT>0.07</TRSAMT>"),
        ({"detail": TransferDetail()}, {}, "<BNKFLG>Y</BNKFLG>"),
        ({"detail": TransferDetail()}, {"transfer_code": "N02041"}, "<CRTBBK>75</CRTBBK></DCOPRTRFX>"),
        ({"detail": TransferDetail()}, {"transfer_code": "N02041"}, "<SDKPAYRQX><BUSMOD>00001</BUSMOD></SDKPAYRQX>"),
    ],
)
def test_flags_and_fields(changes: dict[str, Any], options: dict[str, Any], wanted: str) -> None:
    assert wanted in sent_xml(order(**changes), **options)


def payee(name: str = "示例乙公司", account: str = THEIRS, bank_name: str | None = "示例银行") -> Party:
    return Party(AccountNumber(account), Name(name), bank_name)


def test_a_name_of_over_62_bytes_goes_into_the_long_field() -> None:
    short, long = "公" * 31, "公" * 32
    assert f"<CRTNAM>{short}</CRTNAM><LRVEAN/>" in sent_xml(order(creditor=payee(short)))
    assert f"<CRTNAM/><LRVEAN>{long}</LRVEAN>" in sent_xml(order(creditor=payee(long)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": Money(1_000, "USD")}, "value"),
        ({"amount": Money(0)}, "value"),
        ({"purpose": "长" * 32}, "value"),
        ({"purpose": "]]>"}, "value"),
        ({"purpose": "a\x07"}, "value"),
        ({"channel": Channel.INSTANT}, "value"),
        ({"creditor": payee(bank_name=None)}, "missing"),
        ({"creditor": payee(name="")}, "missing"),
        ({"creditor": payee(account="")}, "missing"),
        ({"creditor": payee(name="公" * 101)}, "value"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        sent_xml(order(**changes))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "char", "position"), [("示例𬭎丙", "𬭎", 2), ("䶮某", "䶮", 0), ("a€b", "€", 1)])
def test_a_character_outside_gbk_is_refused_with_its_place(name: str, char: str, position: int) -> None:
    with pytest.raises(Unencodable) as caught:
        sent_xml(order(creditor=payee(name)))
    assert (caught.value.char, caught.value.position) == (char, position)


@pytest.mark.parametrize("reference", ["", "x" * 31, "GW-1", "GW 1"])
def test_a_reference_that_is_no_yurref_is_refused(reference: str) -> None:
    with pytest.raises(ProtocolError):
        next(bank().money[Kind.PAYMENT](order(), context(reference)))


# ---- answers to a payment ----------------------------------------------------------------------------------------

WAITING = ("AUT", "NTE", "WCF", "BNK", "ACK", "APD", "OPR", "APW")
ENDINGS = ("S", "F", "B", "R", "D", "C", "M", "V", "U", "T", "", "X", "s", "Ｆ")


@pytest.mark.parametrize(("reqsts", "rtnflg"), list(product([*WAITING, "WRF", "FIN", "", "XXX", "fin"], ENDINGS)))
def test_every_word_of_handing_in(reqsts: str, rtnflg: str) -> None:
    outcome = pay(answer("DCPAYMNT", "0", handed_in(REQSTS=reqsts, RTNFLG=rtnflg)))
    if reqsts in WAITING or (reqsts, rtnflg) == ("FIN", "S"):
        assert outcome.fate is Fate.PENDING, "taken by the bank, never more"
    elif (reqsts, rtnflg) == ("FIN", "F"):
        assert outcome.fate is Fate.FAILED
    else:
        assert outcome.fate is Fate.UNKNOWN
    known = reqsts in (*WAITING, "WRF") or (reqsts == "FIN" and rtnflg in ENDINGS[:10])
    assert outcome.listed is known


DRESSED: list[Mapping[str, str]] = [
    REPEATED,
    {**REPEATED, "ERRCOD": ""},
    {**REPEATED, "ERRCOD": "ZZZ0001", "ERRTXT": "经办失败:业务参考号重复"},
    {**REPEATED, "ERRTXT": ""},
    {**REPEATED, "REQNBR": NUMBER},
    {**REPEATED, "REQSTS": "BNK", "RTNFLG": ""},
]


@pytest.mark.parametrize("line", DRESSED)
@pytest.mark.parametrize("code", ["0", "-2"])
def test_a_duplicate_dressed_as_a_failure_is_asked_about(line: Mapping[str, str], code: str) -> None:
    frame = answer("DCPAYMNT", code, handed_in(**line))
    outcome = pay(frame)
    assert outcome.fate is Fate.DUPLICATE
    assert outcome.listed
    assert bank().read(Kind.PAYMENT, sent(), frame) == outcome


@pytest.mark.parametrize("number", ["", "0000000000", "   "])
@pytest.mark.parametrize("error", ["", "SUC0000", "ZZZ0001"])
def test_a_failure_without_the_bank_s_number_is_doubt(number: str, error: str) -> None:
    line = handed_in(REQSTS="FIN", RTNFLG="F", REQNBR=number, ERRCOD=error, ERRTXT="某种原因")
    outcome = pay(answer("DCPAYMNT", "0", line))
    assert (outcome.fate, outcome.listed) == (Fate.UNKNOWN, False)


def test_a_failure_carries_the_bank_s_reason_and_number() -> None:
    line = handed_in(REQSTS="FIN", RTNFLG="F", ERRCOD="ZZZ0001", ERRTXT="余额不足")
    outcome = pay(answer("DCPAYMNT", "0", line))
    assert (outcome.fate, outcome.code, outcome.text, outcome.bank_serial) == (
        Fate.FAILED,
        "ZZZ0001",
        "余额不足",
        NUMBER,
    )


@pytest.mark.parametrize("status", [{"REQSTS": "BNK"}, {"REQSTS": "FIN", "RTNFLG": "S"}])
def test_a_line_that_worked_beside_an_error_is_doubt(status: dict[str, str]) -> None:
    outcome = pay(answer("DCPAYMNT", "0", handed_in(ERRCOD="ZZZ0001", **status)))
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.UNKNOWN, "ZZZ0001", False)


@pytest.mark.parametrize("code", ["-1", "-2", "-3", "-4", "-5", "-6", "-7", "-9", "-8", "1", "99"])
@pytest.mark.parametrize("lines", [(), (handed_in(),), (handed_in(REQSTS="FIN", RTNFLG="F"),)])
def test_no_retcod_decides_about_a_payment(code: str, lines: tuple[Any, ...]) -> None:
    outcome = pay(answer("DCPAYMNT", code, *lines, message="说明"))
    assert (outcome.fate, outcome.code, outcome.text) == (Fate.UNKNOWN, code, "说明")
    assert outcome.listed is (code not in ("-8", "1", "99"))
    assert pay(answer("DCPAYMNT", code, message="业务参考号重复")).fate is Fate.DUPLICATE


@pytest.mark.parametrize(
    "frame",
    [
        answer("DCPAYMNT", "0"),
        answer("DCPAYMNT", "0", handed_in(), handed_in()),
        answer("DCPAYMNT", "0", handed_in(YURREF="GW000000000000000002")),
        answer("DCPAYMNT", "0", handed_in(YURREF="")),
        answer("DCPAYMNT", "0", handed_in(TRSAMT="123.46")),
        answer("DCPAYMNT", "0", handed_in(DBTACC=THEIRS)),
        answer("DCPAYMNT", "-1", handed_in(YURREF="GW000000000000000002")),
        answer("NTQRYSTY", "0", handed_in()),
        answer("DCPAYMNT", None, handed_in()),
        answer("DCPAYMNT", "OK", handed_in()),
        answer("DCPAYMNT", "0", handed_in()).replace(b"U0001", b"U0002"),
        answer("DCPAYMNT", "0", handed_in()).replace(b"CMBSDKPGK", b"CMBSDKPGX"),
        answer("DCPAYMNT", "0", handed_in()).replace(b"<REQSTS>", b"<REQSTS>FIN</REQSTS><REQSTS>"),
        answer("DCPAYMNT", "0", handed_in()).replace(b"HTTP/1.1 200", b"HTTP/1.1 500"),
        http.answer(200, (), GOLDEN.encode("gbk")),  # our own request returned as an answer
        http.answer(200, (), b""),
    ],
)
def test_what_is_no_answer_to_this_payment_raises(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        pay(frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), frame)


def test_what_the_answer_leaves_out_is_not_missed_and_what_it_adds_is_not_minded() -> None:
    bare = "NTQPAYRQZ", {"YURREF": REFERENCE, "REQSTS": "BNK", "C_NEW": "新", "RSV50Z": ""}
    assert pay(answer("DCPAYMNT", "0", bare)).fate is Fate.PENDING
    assert pay(answer("DCPAYMNT", "0", handed_in(), ("NTNEWOUTZ", {"A": "b"}))).fate is Fate.PENDING


def test_answers_of_all_transports_read_alike() -> None:
    xml = document("DCPAYMNT", "0", handed_in())
    wanted = pay(http.answer(200, (), xml))
    assert pay(xml, transport="socket") == wanted
    assert pay(http.answer(200, (), xml), transport="http-form") == wanted
    wrapped = http.form([("REQDATA", xml.decode("gbk"))], GBK)
    assert pay(http.answer(200, (), wrapped), transport="http-form") == wanted


def test_a_stored_answer_reads_as_it_did() -> None:
    frame = answer("DCPAYMNT", "0", handed_in())
    assert bank().read(Kind.PAYMENT, sent(), frame) == pay(frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.COLLECTION, sent(), frame)
    with pytest.raises(ProtocolError):
        bank().read(Kind.PAYMENT, sent(), frame[:-1])


# ---- answers to the enquiry --------------------------------------------------------------------------------------

FATES = {
    "S": Fate.SETTLED,
    "F": Fate.FAILED,
    "R": Fate.FAILED,
    "D": Fate.FAILED,
    "C": Fate.FAILED,
    "M": Fate.FAILED,
    "V": Fate.FAILED,
    "B": Fate.RETURNED,
    "T": Fate.RETURNED,
}


@pytest.mark.parametrize(("reqsts", "rtnflg"), list(product([*WAITING, "WRF", "FIN", "XXX"], ENDINGS)))
def test_every_word_of_an_enquiry(reqsts: str, rtnflg: str) -> None:
    outcome = told(REQSTS=reqsts, RTNFLG=rtnflg)
    if reqsts in WAITING:
        assert outcome.fate is Fate.PENDING, "RTNFLG counts only beside FIN"
    else:
        assert outcome.fate is (FATES.get(rtnflg, Fate.UNKNOWN) if reqsts == "FIN" else Fate.UNKNOWN)


def test_settled_with_the_bank_s_number() -> None:
    outcome = told()
    assert (outcome.fate, outcome.code, outcome.bank_serial, outcome.listed) == (Fate.SETTLED, "FIN/S", NUMBER, True)


@pytest.mark.parametrize("rtnflg", ["S", "F", "B"])
def test_an_ending_without_the_bank_s_number_is_doubt(rtnflg: str) -> None:
    assert told(RTNFLG=rtnflg, REQNBR="0000000000").fate is Fate.UNKNOWN


def test_a_record_that_names_a_duplicate_is_no_failure() -> None:
    assert told(RTNFLG="F", ERRCOD="NCB4241").fate is Fate.DUPLICATE


@pytest.mark.parametrize(("rtnflg", "fate"), [("F", Fate.FAILED), ("B", Fate.RETURNED)])
def test_an_ending_needs_no_further_answer_that_could_cost_it(rtnflg: str, fate: Fate) -> None:
    # The helper fails if a second question is asked: silence or a bad answer after it would lose the known outcome.
    assert ask(answer("NTQRYSTY", "0", record(RTNFLG=rtnflg))).fate is fate


OLD = record(REQNBR="0000000122", RTNFLG="F")


@pytest.mark.parametrize(
    ("records", "fate"),
    [
        ((OLD, record()), Fate.SETTLED),
        ((record(), OLD), Fate.SETTLED),
        ((OLD, record(REQSTS="BNK", RTNFLG="")), Fate.PENDING),
        ((OLD, record(RTNFLG="U")), Fate.UNKNOWN),
        ((record(REQNBR="0000000122"), record()), Fate.UNKNOWN),
        ((record(), record(REQSTS="BNK", RTNFLG="")), Fate.UNKNOWN),
        ((OLD, record(REQSTS="WRF")), Fate.UNKNOWN),
    ],
)
def test_several_records_under_one_reference(records: tuple[Any, ...], fate: Fate) -> None:
    assert ask(answer("NTQRYSTY", "0", *records)).fate is fate


def test_a_record_about_another_payment_is_no_answer() -> None:
    for changes in (
        {"YURREF": "GW000000000000000002"},
        {"TRSAMT": "123.46"},
        {"DBTACC": THEIRS},
        {"CRTACC": OURS},
        {"CCYNBR": "32"},
    ):
        with pytest.raises(ProtocolError) as refused:
            told(**changes)
        assert refused.value.reason == "correlation"


def test_nothing_found_is_confirmed_by_another_enquiry() -> None:
    nothing = answer("NTQRYSTY", "0")
    other = record(YURREF="GW000000000000000009")
    assert ask(nothing, answer("NTQRYSTN", "0")).fate is Fate.NOT_FOUND
    assert ask(nothing, answer("NTQRYSTN", "0", other)).fate is Fate.NOT_FOUND
    assert ask(nothing, answer("NTQRYSTN", "0", other, record())).fate is Fate.SETTLED
    assert ask(nothing, second_enquiry=False).fate is Fate.NOT_FOUND


@pytest.mark.parametrize("frames", [(answer("NTQRYSTY", "-5"),), (answer("NTQRYSTY", "0"), answer("NTQRYSTN", "-5"))])
def test_an_enquiry_that_came_too_soon_slows_the_lane_down(frames: tuple[bytes, ...]) -> None:
    with pytest.raises(Declined) as caught:
        ask(*frames)
    assert (caught.value.code, caught.value.outcome) == ("-5", "rate_limited")


@pytest.mark.parametrize("code", ["-1", "-2", "-3", "-4", "-6", "-7", "-9", "-8"])
def test_an_enquiry_refused_says_nothing_about_the_payment(code: str) -> None:
    for frames in ((answer("NTQRYSTY", code),), (answer("NTQRYSTY", "0"), answer("NTQRYSTN", code))):
        outcome = ask(*frames)
        assert (outcome.fate, outcome.listed) == (Fate.UNKNOWN, code != "-8")


def test_a_transfer_is_asked_about_under_its_own_code() -> None:
    adapter = bank(transfer_code="N02041")
    fate = adapter.questions.fate
    assert fate is not None
    step = first_step(adapter.money[Kind.TRANSFER](order(TransferDetail()), context()))
    assert step.serials == ("N02041",)
    asked = content(first_step(fate(FateQuestion(sent(serials=step.serials)), context())).data)
    assert "<BUSCOD>N02041</BUSCOD>" in asked


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        (0, "20261123/20261124"),
        (1, "20261122/20261124"),
        (5, "20261118/20261120"),
        (89, "20260826/20260828"),
        (90, "20260826/20260827"),
    ],
)
def test_the_enquiry_looks_at_the_neighbouring_days_too(days: int, wanted: str) -> None:
    fate = bank().questions.fate
    assert fate is not None
    asked = content(first_step(fate(question(bank_date=TODAY - timedelta(days=days)), context())).data)
    first, last = wanted.split("/")
    assert f"<BGNDAT>{first}</BGNDAT><ENDDAT>{last}</ENDDAT>" in asked


def test_beyond_the_bank_s_reach_nothing_is_known_and_nothing_asked() -> None:
    fate = bank().questions.fate
    assert fate is not None
    old = replace(question().sent, bank_date=TODAY - timedelta(days=91))
    assert talk(fate(FateQuestion(old), context()))[0].fate is Fate.UNKNOWN
