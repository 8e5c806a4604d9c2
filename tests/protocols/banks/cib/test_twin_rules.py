"""The rules of the bank's own side: the adapter's requests break none, each operation has them, answers tell them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pytest
from lxml import etree

from protocols.banks.cib import twin
from protocols.banks.cib.twin_rules import RULES
from protocols.banks.cib.twin_shape import SHAPES
from protocols.canon.order import AnyOrder, Kind, Order, TransferDetail, Urgency
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
)
from protocols.canon.statement import ReceiptLater
from protocols.judge import RuleKind
from tests.protocols.banks.cib.client_mistakes import GOOD, INFO, PASSWORD, TO, request, side
from tests.protocols.banks.cib.paper import CENTRE, DEBTOR, TODAY, bundle, context, line, payment, sent_bundle, stage
from tests.protocols.banks.every.bench import sent_of
from tests.world.dialogue import BankAndTwin

DONE_BY_BUNDLES = {Kind.BATCH_ITEM: ({}, {"batch": "realtime"}), Kind.PAYROLL_ITEM: ({},), Kind.COLLECTION: ({},)}


def asked(played: BankAndTwin) -> set[str]:
    """The operations in the adapter's requests."""
    found = [re.search(rb"<SECURITIES_MSGSRQV1><([A-Z]+)RQ>", one.request) for one in played.said]
    return {one[1].decode() for one in found if one is not None}


def paid(played: BankAndTwin, order: AnyOrder, reference: str) -> None:
    """Send an order, and ask about it."""
    played.talk(played.bank.money[order.kind](order, context(reference)))
    ask = played.bank.questions.fate
    assert ask is not None
    question = replace(sent_of(order, reference, TODAY), serials=played.serials)
    played.talk(ask(FateQuestion(question), played.context()))


def play_money() -> BankAndTwin:
    played = stage({"fast_pay": True, "fast_enquiry": "ICTRANSFERINQTRN"}, word="PENDING")
    paid(played, payment(), "CIB1")
    paid(played, replace(payment(), urgency=Urgency.URGENT), "CIB2")
    ours, centre = Party(AccountNumber(DEBTOR), Name("甲公司")), Party(AccountNumber(CENTRE), Name("甲集团"))
    for number, direction in enumerate(("transfer", "sweep", "push"), start=3):
        sides = (centre, ours) if direction == "push" else (ours, centre)
        paid(played, Order("T", *sides, payment().amount, TransferDetail(direction), "调拨"), f"CIB{number}")
    return played


def play_bundles() -> list[BankAndTwin]:
    plays = []
    for kind, choices in DONE_BY_BUNDLES.items():
        for options in choices:
            played = stage(options)
            given = bundle(*(line(number, kind, account="000000000000000041") for number in (1, 2)))
            words = played.bank.bundles[kind]
            played.talk(words.word(given, context("CIBB1")))
            played.talk(words.fate(BundleFateQuestion(sent_bundle(given, "CIBB1")), played.context()))
            plays.append(played)
    return plays


def play_questions(lines: str) -> BankAndTwin:
    played = stage({"lines": lines, "holder": "甲公司"})
    played.sign_on()
    played.talk(played.bank.money[Kind.PAYMENT](payment(), context("CIB1")))
    played.time.later(86_400)
    ours, questions, yesterday = AccountNumber(DEBTOR), played.bank.questions, TODAY
    today = TODAY + timedelta(days=1)
    assert questions.balance and questions.lines and questions.returns and questions.receipt
    played.talk(questions.balance(BalanceQuestion(ours), played.context()))
    played.talk(questions.balance(BalanceQuestion(ours, on=yesterday), played.context()))
    for first, last in ((yesterday, yesterday), (today, today), (yesterday, today)):
        page = played.talk(questions.lines(LinesQuestion(ours, first, last), played.context()))
        while page.cursor is not None:
            page = played.talk(questions.lines(LinesQuestion(ours, first, last, cursor=page.cursor), played.context()))
    played.talk(questions.returns(ReturnsQuestion(ours, yesterday, yesterday), played.context()))
    wanted = ReceiptQuestion(ours, yesterday, "202501080000000001001")
    for _ in range(2):
        told = played.talk(questions.receipt(wanted, played.context()))
        assert isinstance(told, ReceiptLater)
        wanted = replace(wanted, ticket=told.ticket)
    return played


def test_the_adapter_s_own_requests_break_no_rule_and_play_every_operation() -> None:
    plays = [play_money(), *play_bundles(), play_questions("SCUSTSTMT"), play_questions("FSTMT")]
    assert [(one.place, one.words.english) for played in plays for one in played.findings] == []
    assert set().union(*(asked(played) for played in plays)) == set(RULES)


def test_every_operation_has_rules_an_order_of_elements_and_a_good_request() -> None:
    assert set(RULES) == set(SHAPES) == set(GOOD)
    assert all(rules.operation == name and len(rules.fields) > 1 for name, rules in RULES.items())


@pytest.mark.parametrize("operation", sorted(GOOD))
def test_a_good_request_of_the_page_breaks_no_rule_and_its_answer_says_operation_and_code(operation: str) -> None:
    answer = side().answer(request(operation))
    assert [(one.place, one.words.english) for one in answer.findings] == []
    assert answer.operation == operation
    code = re.findall(rb"<CODE>([^<]*)</CODE>", answer.data)[1].decode()
    assert answer.code == code
    assert answer.reason or code == "0"


@pytest.mark.parametrize("operation", ["XPMTTRN", "RBATCHTRSFRTRN", "ASYNBATCHTRSFRTRN", "GATHERTRN"])
def test_an_operation_with_nothing_but_its_trnuid_asks_about_itself(operation: str) -> None:
    made = side()
    unknown = made.answer(request(operation, again=True))
    assert (unknown.code, unknown.reason, unknown.findings) == ("2000", "支付指令不存在", ())
    made.answer(request(operation))
    told = made.answer(request(operation, again=True))
    assert (told.code, told.findings) == ("0", ()) and told.reason.startswith("PAYOUT")
    assert len(made.ledger.executions) == (1 if operation == "XPMTTRN" else 2)


def test_the_answer_to_a_payment_says_its_state() -> None:
    assert side().answer(request("XFERTRN")).reason == "PAYOUT 交易成功"


def test_a_payment_is_found_in_the_core_by_the_bank_s_number() -> None:
    made = side()
    paid_ = made.answer(request("XFERTRN", trnuid="MISTAKE-9")).data
    serial = re.findall(rb"<SRVRID>([^<]*)</SRVRID>", paid_)[0].decode()
    by_serial = {"INQSTATECOND/CLIENTREF": None, "INQSTATECOND/SRVRID": serial}
    assert made.answer(request("INQSTATETRN", by_serial)).code == "0"
    assert made.answer(request("INQSTATETRN", {**by_serial, "INQSTATECOND/SRVRID": "0"})).code == "2020"


def test_every_broken_rule_is_told_at_once_and_the_first_is_answered() -> None:
    wrong = {f"{INFO}/TRNAMT": "1", f"{TO}/NAME": "", f"{INFO}/CURSYM": "CNY"}
    answer = side().answer(request("XFERTRN", wrong))
    assert [(one.place.rpartition("/")[2], one.rule) for one in answer.findings] == [
        ("NAME", RuleKind.MISSING),
        ("CURSYM", RuleKind.CODE),
        ("TRNAMT", RuleKind.FORM),
    ]
    assert (answer.code, answer.reason) == ("2002", "报文格式错误")


def test_two_operations_in_one_document_are_judged_apart() -> None:
    bad = "<CURRACCTQUERYTRNRQ><TRNUID>2</TRNUID><RQBODY><ACCTID></ACCTID></RQBODY></CURRACCTQUERYTRNRQ>"
    made = side()
    answer = made.answer(request("XFERTRN", replaced=("</SECURITIES_MSGSRQV1>", f"{bad}</SECURITIES_MSGSRQV1>")))
    assert answer.operation == "XFERTRN CURRACCTQUERYTRN" and answer.code == "2002"
    assert [one.place for one in answer.findings] == ["CURRACCTQUERYTRNRQ/RQBODY/ACCTID"]
    assert len(made.ledger.executions) == 1


def test_no_finding_tells_a_password() -> None:
    for wrong in ("a&b-guess", "guess"):
        answer = side().answer(request("XFERTRN", {"SONRQ/USERPASS": wrong}))
        assert answer.findings and all(
            "guess" not in repr(one) and PASSWORD not in repr(one) for one in answer.findings
        )


def test_a_session_key_stands_for_user_and_password() -> None:
    made = side()
    told = made.answer(request("CURRACCTQUERYTRN", {"SONRQ/GENUSERKEY": "Y"})).data
    key = re.findall(rb"<USERKEY>([^<]*)</USERKEY>", told)[0].decode()
    assert re.fullmatch(r"1100000001@erp01:[0-9A-Za-z+/=]+", key)
    instead: dict[str, str | None] = {"SONRQ/USERID": None, "SONRQ/USERPASS": None, "SONRQ/GENUSERKEY": None}
    assert made.answer(request("CURRACCTQUERYTRN", {**instead, "SONRQ/USERKEY": key})).code == "0"
    invented = made.answer(request("CURRACCTQUERYTRN", {**instead, "SONRQ/USERKEY": "1100000001@erp01:QQ=="}))
    assert (invented.code, invented.findings[0].place) == ("15500", "SIGNONMSGSRQV1/SONRQ/USERKEY")


def test_without_a_period_the_balances_are_told_alone() -> None:
    answer = side().answer(request("SCUSTSTMTTRN", {"SCUSTSTMTRQ/INCTRAN": None}))
    assert answer.code == "0" and b"<LEDGERBAL>" in answer.data and b"TRANLIST" not in answer.data


@pytest.mark.parametrize(("wanted", "rows"), [("0", 1), ("1", 0), ("2", 1)])
def test_entries_are_of_the_side_that_is_asked_for(wanted: str, rows: int) -> None:
    made = side()
    made.answer(request("XFERTRN"))
    today = {f"SCUSTSTMTRQ/INCTRAN/{name}": "2026-11-24" for name in ("DTSTART", "DTEND")}
    answer = made.answer(request("SCUSTSTMTTRN", {**today, "SCUSTSTMTRQ/INCTRAN/TRNTYPE": wanted}))
    assert answer.data.count(b"<STMTTRN>") == rows


def test_the_benchmark_mode_judges_too() -> None:
    made = partial(twin.build, keys={})
    for options in ({"cheap": True}, {}):
        found = replace(side(), twin=made(options)).answer(request("XFERTRN", {f"{INFO}/TRNAMT": "1"}))
        assert found.code == "2006"


# ---- every field of every good request ----

LONG = "长" * 200
FREE = frozenset({"CHEQUENUM", "XPMTTYPE", "TITLE", "CLT_REF_NO", "USERPASS"})
"""Fields of which the page says no form."""
TITLED = "RPAYOFFINFO/TITLE"
"""The only title with a length."""
OPTIONAL = frozenset(
    {"CHEQUENUM", "CURSYM", "PMTMODE", "MEMO", "NAME", "BANKDESC", "BANKNUM", "CITY", "XPMTTYPE", "USE", "REMARK"}
)
OPTIONAL |= {"ACCTNAME", "VERSION", "NUM", "MINAMT", "MAXAMT"}
"""Fields that the page lets a client leave out, or does not say that he must write, by their names."""
NEEDED = ("ACCTTO/NAME", "RPAYOFF[1]/ACCTNAME", "PAYINFO[1]/ACCTFROM/NAME")
NOT_NEEDED = ("PAYINFO[1]/PURPOSE", "GATHERINFO/TITLE", "/XFERINFOTEXT")
"""Exceptions from that, by the end of their paths."""


def leaves(operation: str) -> list[str]:
    """The paths of all values and attributes of a good request, of several rows those of the first."""
    found: list[str] = []

    def walk(element: etree._Element, path: str) -> None:
        found.extend(f"{path}@{attribute!s}" for attribute in element.attrib)
        if not len(element):
            found.append(path)
        tags = [str(child.tag) for child in element]
        for number, child in enumerate(element):
            tag = tags[number]
            if tag not in tags[:number]:
                walk(child, f"{path}/{tag}{'[1]' if tags.count(tag) > 1 else ''}".lstrip("/"))

    walk(etree.fromstring(f"<a>{GOOD[operation]}</a>"), "")
    return found


LEAVES = [(operation, path) for operation in sorted(GOOD) for path in leaves(operation)]


def name_of(path: str) -> str:
    return re.split("[/@]", path)[-1]


@pytest.mark.parametrize(
    ("operation", "path"), [one for one in LEAVES if name_of(one[1]) not in FREE or TITLED in one[1]]
)
def test_no_field_takes_a_value_of_any_length(operation: str, path: str) -> None:
    made = side()
    answer = made.answer(request(operation, {path: LONG}))
    assert path in {
        one.place.removeprefix(f"{operation}RQ/").split("/明细行")[0].removesuffix("[1]") for one in answer.findings
    }
    assert answer.code == answer.findings[0].refusal.code and not made.ledger.executions


@pytest.mark.parametrize(("operation", "path"), LEAVES)
def test_a_field_that_the_page_demands_must_be_there(operation: str, path: str) -> None:
    needed = path.endswith(NEEDED) or name_of(path) not in OPTIONAL
    if path.endswith("ACCTTO/BANKDESC"):
        needed = operation != "XPMTTRN"  # its payee is at this bank
    if path.endswith(NOT_NEEDED):
        needed = False
    answer = side().answer(request(operation, {path: None}))
    missing = {one.place.removeprefix(f"{operation}RQ/") for one in answer.findings if one.rule is RuleKind.MISSING}
    assert (path in missing) is needed, answer.findings


@pytest.mark.parametrize("operation", sorted(GOOD))
def test_every_operation_needs_a_trnuid_of_thirty_at_most(operation: str) -> None:
    for trnuid in ("", "T" * 31):
        answer = side().answer(request(operation, trnuid=trnuid))
        assert f"{operation}RQ/TRNUID" in {one.place for one in answer.findings}


# ---- rules over several fields, in every operation that has them ----

POOL, REALTIME, PAYS = "XMPTRQ/XFERINFO", "RQBODY", "RPAYOFFRQ/RPAYOFFINFO"
PAST, ENTRIES = "HISBALQUERYRQ/HISBALQUERYINFO", "SCUSTSTMTRQ"
OWN = {
    "XFERTRN": f"{INFO}/ACCTFROM",
    "XPMTTRN": f"{POOL}/ACCTFROM",
    "ICTRANSFERTRN": f"{POOL}/ACCTFROM",
    "RBATCHTRSFRTRN": f"{REALTIME}/ACCTFROM",
    "ASYNBATCHTRSFRTRN": f"{REALTIME}/ACCTFROM",
    "RPAYOFFTRN": f"{PAYS}/ACCTFROM",
    "SCUSTSTMTTRN": f"{ENTRIES}/ACCTFROM",
    "FSTMTTRN": f"{ENTRIES}/ACCTFROM",
}
BEYOND = {"XFERTRN": INFO, "ICTRANSFERTRN": POOL, "XPMTTRN": POOL, "RBATCHTRSFRTRN": REALTIME}
BEYOND |= {"ASYNBATCHTRSFRTRN": REALTIME, "RPAYOFFTRN": PAYS}
LATEST = dict.fromkeys(BEYOND, 15) | {"RBATCHTRSFRTRN": 30, "ASYNBATCHTRSFRTRN": 30, "RPAYOFFTRN": 29}


def first(operation: str, changes: dict[str, str | None]) -> tuple[str, RuleKind, str]:
    """Place, kind and code of the only rule that the changed request breaks."""
    answer = side().answer(request(operation, changes))
    [found] = answer.findings
    return found.place.removeprefix(f"{operation}RQ/"), found.rule, answer.code


@pytest.mark.parametrize(
    ("operation", "at"), [*OWN.items(), ("ELECTRONICRECEIPTTRN", "RQBODY"), ("HISBALQUERYTRN", PAST)]
)
def test_the_own_account_must_be_the_customer_s(operation: str, at: str) -> None:
    changes: dict[str, str | None] = {f"{at}/ACCTID": "000000000000000099"}
    assert first(operation, changes) == (f"{at}/ACCTID", RuleKind.BOOKS, "2005")


@pytest.mark.parametrize(
    ("operation", "at"), [(one, f"{at}/NAME") for one, at in OWN.items()] + [("HISBALQUERYTRN", f"{PAST}/ACCTNAME")]
)
def test_the_own_name_must_be_the_holder_s(operation: str, at: str) -> None:
    assert first(operation, {at: "别人公司"}) == (at, RuleKind.BOOKS, "2002")


@pytest.mark.parametrize(("operation", "at"), BEYOND.items())
def test_a_due_day_lies_ahead_and_not_too_far(operation: str, at: str) -> None:
    today = date(2026, 11, 24)
    for days in (0, LATEST[operation] + 1):
        late = (today + timedelta(days=days)).isoformat()
        assert first(operation, {f"{at}/DTDUE": late}) == (f"{at}/DTDUE", RuleKind.TOGETHER, "2002")
    for days in (1, LATEST[operation]):
        fits = (today + timedelta(days=days)).isoformat()
        assert side().answer(request(operation, {f"{at}/DTDUE": fits})).findings == ()


@pytest.mark.parametrize(
    ("operation", "changes", "place", "code"),
    [
        ("XPMTTRN", {f"{POOL}/ACCTTO/ACCTID": "0000000000000025"}, "XMPTRQ/FUNDACCT/ACCTID", "2002"),
        ("XPMTTRN", {f"{POOL}/ACCTTO/NAME": "别的"}, f"{POOL}/ACCTTO/NAME", "2002"),
        ("XPMTTRN", {f"{POOL}/PMTMODE": "SUPER", f"{POOL}/TRNAMT": "50000.01"}, f"{POOL}/TRNAMT", "2002"),
        ("ICTRANSFERTRN", {f"{POOL}/PMTMODE": "SUPER", f"{POOL}/TRNAMT": "50000.01"}, f"{POOL}/TRNAMT", "2002"),
        ("ICTRANSFERTRN", {f"{POOL}/ACCTTO/BANKDESC": "兴业银行"}, f"{POOL}/ACCTTO/BANKDESC", "2002"),
        (
            "RBATCHTRSFRTRN",
            {"RQBODY/XFERINFO[2]/ACCTTO/BANKDESC": "兴业银行"},
            "RQBODY/XFERINFO[2]/ACCTTO/BANKDESC",
            "2000",
        ),
        ("RBATCHTRSFRTRN", {"RQBODY/XFERINFO[2]/INDX": "1"}, "RQBODY/XFERINFO[2]/INDX", "2000"),
        ("RBATCHTRSFRTRN", {"RQBODY/TOTALCOUNT": "3"}, "RQBODY/TOTALCOUNT", "51027"),
        ("RPAYOFFTRN", {f"{PAYS}/RPAYOFFLIST/RPAYOFF[2]/INDX": "1"}, f"{PAYS}/RPAYOFFLIST/RPAYOFF[2]/INDX", "2002"),
        ("RPAYOFFTRN", {f"{PAYS}/TOTALAMOUNT": "3.01"}, f"{PAYS}/TOTALAMOUNT", "51027"),
        ("GATHERTRN", {"GATHERRQ/GATHERINFO/PAYINFO[2]/INDX": "1"}, "GATHERRQ/GATHERINFO/PAYINFO[2]/INDX", "2002"),
        ("FSTMTTRN", {f"{ENTRIES}/INCTRAN/DTSTART": "2026-11-24"}, f"{ENTRIES}/INCTRAN/DTSTART", "2002"),
        ("FSTMTTRN", {f"{ENTRIES}/INCTRAN/DTEND": "2026-11-24"}, f"{ENTRIES}/INCTRAN/DTEND", "2002"),
        ("FSTMTTRN", {f"{ENTRIES}/INCTRAN/MINAMT": "99.01"}, f"{ENTRIES}/INCTRAN/MINAMT", "2002"),
        ("ICTRANSFERINQTRN", {"XFERINQRQ/CLIENTREF": "MISTAKE-1"}, "TRNUID", "2002"),
        ("RPAYOFFINQTRN", {"XFERINQRQ/CLIENTREF": "MISTAKE-1"}, "TRNUID", "2002"),
        ("INQSTATETRN", {"INQSTATECOND/CLIENTREF": "MISTAKE-1"}, "TRNUID", "2002"),
    ],
)
def test_fields_that_contradict_each_other(
    operation: str, changes: dict[str, str | None], place: str, code: str
) -> None:
    found = first(operation, changes)
    assert (found[0], found[2]) == (place, code)


@pytest.mark.parametrize("name", ["BANKDESC", "BANKNUM"])
def test_a_payer_at_another_bank_needs_that_bank(name: str) -> None:
    at = "GATHERRQ/GATHERINFO/PAYINFO[1]"
    answer = side().answer(request("GATHERTRN", {f"{at}/PAYMODE": "1"}))
    assert f"GATHERTRNRQ/{at}/ACCTFROM/{name}" in {one.place for one in answer.findings}


def test_no_day_of_the_future_has_entries() -> None:
    tomorrow: dict[str, str | None] = {f"{ENTRIES}/INCTRAN/{name}": "2026-11-25" for name in ("DTSTART", "DTEND")}
    assert first("SCUSTSTMTTRN", tomorrow)[0] == f"{ENTRIES}/INCTRAN/DTEND"
