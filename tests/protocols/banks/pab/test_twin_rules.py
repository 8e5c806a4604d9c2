"""The twin judges every operation, and the adapter's own requests break none of its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from protocols.banks.pab import twin
from protocols.banks.pab.twin_rules import RULES
from protocols.canon.order import Channel, Kind, Order, TransferDetail
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, DirectoryQuestion, ReceiptQuestion
from protocols.judge import RuleKind
from tests.protocols.banks.every.bench import Table, table
from tests.protocols.banks.pab.client_mistakes import GOOD, OWN, STRANGER, UPPER, mistakes, request, row, side

FULL = {"sweeps": "4052", "fast_pay_item": "00001"}
DIFFERENCES: dict[str, str] = {}
"""Places where the adapter breaks a rule on purpose, with the reason. There is none."""


def _payments(at: Table) -> None:
    """Payments and transfers of all channels, and the enquiries about them."""
    plain = cast(Order[Any], at.order(Kind.PAYMENT, purpose="用" * 30))
    transfer = cast(Order[Any], at.order(Kind.TRANSFER))
    orders = [
        *(replace(plain, channel=one) for one in Channel),
        replace(plain, creditor=replace(plain.creditor, cnaps=None)),
        transfer,
        *(replace(transfer, detail=TransferDetail(one)) for one in ("sweep", "push")),
    ]
    for order in orders:
        reference = at.reference()
        at.pay(order, reference)
        at.fate(reference)


def _batches(at: Table) -> None:
    for kind in (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION):
        bundle, reference = at.bundle(kind, ("货款", "货款 #refuse", "用" * 30))
        at.pay_bundle(bundle, reference)
        at.bundle_fate(kind, reference)


def _receipt(at: Table) -> None:
    bundle, reference = at.bundle(Kind.BATCH_ITEM, ("货款", "货款"))
    at.pay_bundle(bundle, reference)
    ask, item = at.bank.questions.receipt, bundle.items[0]
    assert ask is not None
    question = ReceiptQuestion(
        item.order.ours.account,
        at.today,
        reference=item.reference,
        amount=item.order.amount,
        bundle=reference,
        creditor=item.order.creditor.account,
        creditor_name=item.order.creditor.name,
    )
    at.stage.talk(ask(question, at.stage.context()))


def _questions(at: Table) -> None:
    """Balances of today and of the first and last past day, entries over today, returns, a branch, the probe."""
    questions, account = at.bank.questions, AccountNumber(at.own[0])
    balance, directory = questions.balance, questions.directory
    assert balance is not None and directory is not None
    for on in (None, at.today - timedelta(days=1), at.today - timedelta(days=100)):
        at.stage.talk(balance(BalanceQuestion(account, on=on), at.stage.context()))
    at.walk(at.own[0], at.today - timedelta(days=60), at.today)
    at.returns()
    at.stage.talk(directory(DirectoryQuestion("工商银行"), at.stage.context()))
    at.stage.talk(at.bank.sessions.probe(at.stage.context()))


DAY: tuple[Callable[[Table], None], ...] = (_payments, _batches, _receipt, _questions)


def _played(style: str, act: Callable[[Table], None]) -> Table:
    at = table("pab", bank_options={**FULL, "today_lines": style})
    act(at)
    return at


@pytest.mark.parametrize("style", ["4008", "4013"])
@pytest.mark.parametrize("act", DAY)
def test_the_adapter_s_requests_break_no_rule(style: str, act: Callable[[Table], None]) -> None:
    at = _played(style, act)
    broken = [one for one in at.stage.findings if one.place not in DIFFERENCES]
    assert [(one.place, one.rule.value, one.value, one.words.english) for one in broken] == []


def test_every_operation_of_the_twin_has_rules_and_is_asked_by_the_adapter() -> None:
    asked = set()
    for style in ("4008", "4013"):
        for act in DAY:
            asked |= {one.request[40:46].decode().strip() for one in _played(style, act).stage.said}
    assert set(RULES) == set(GOOD) == asked == set(twin._ACTS)


@pytest.mark.parametrize("operation", sorted(GOOD))
def test_a_good_request_of_each_operation_has_no_finding(operation: str) -> None:
    answer = side().answer(request(operation))
    assert answer.findings == () and answer.operation == operation
    refusals = {"4005": "MA0103", "4008": "ES0200", "4013": "YQ9996", "4015": "MA0103", "4048": "MA0103"}
    refusals |= {"KHKF04": "YQ9996", "401802": "MA0103"}
    assert answer.code == refusals.get(operation, "000000")
    assert answer.reason and answer.reason.encode("gbk") in answer.data[93:193]


def test_an_operation_of_the_page_that_is_not_simulated_is_refused_without_a_finding() -> None:
    answer = side().answer(request("4005", header={"交易码": "4014"}))
    assert (answer.operation, answer.code, answer.findings) == ("4014", "YQ9990", ())


@pytest.mark.parametrize("operation", ["4004", "4018", "4047", "4052", "KHKF03"])
def test_the_same_request_again_is_refused_without_a_finding(operation: str) -> None:
    bank = side()
    first, again = bank.answer(request(operation)), bank.answer(request(operation))
    assert (first.code, again.code, again.findings) == ("000000", "MA4045", ())


@pytest.mark.parametrize("cheap", [False, True])
def test_a_twin_that_is_cheap_judges_too(cheap: bool) -> None:
    other = side()
    other.twin = twin.build({"cheap": cheap}, {})
    assert other.answer(request("4004", {"InAcctNo": ""})).findings


# ---- each field of each operation ----

MANDATORY = {
    "4001": "Account CcyCode",
    "4012": "Account RptDate",
    "4008": "AcctNo CcyCode PageNo JournalNo LogCount",
    "4013": "AcctNo CcyCode BeginDate EndDate PageNo",
    "4004": "ThirdVoucher CcyCode OutAcctNo OutAcctName InAcctNo InAcctName TranAmount UnionFlag AddrFlag",
    "4018": "ThirdVoucher totalCts totalAmt CcyCode OutAcctNo OutAcctName",
    "4015": "OrigThirdVoucher",
    "4019": "AccNo StartDate EndDate",
    "4047": "ThirdVoucher AGREE_NO PayType Currency SrcAccNo TotalNum TotalAmount SettleType",
    "4048": "ThirdVoucher",
    "4017": "BankNo KeyWord",
    "KHKF03": "OrderNumber AcctNo CcyCode TranAmount InAcctNo InAcctName",
    "KHKF04": "AcctNo",
    "4052": "ThirdVoucher AcctNo guiJiAreaOption subAccountNo guiJiType Amount",
    "401802": "ThirdVoucher SThirdVoucher OutAcctNo InAcctNo InAcctName TranAmount",
}
MANDATORY_IN_ROWS = {
    "4018": "SThirdVoucher InAcctNo InAcctName TranAmount UnionFlag AddrFlag",
    "4047": "SThirdVoucher OppAccNo OppAccName Amount",
}
LONG, SIGN = RuleKind.LENGTH, RuleKind.ALPHABET
CODE, FORM, BOOKS, TOGETHER = RuleKind.CODE, RuleKind.FORM, RuleKind.BOOKS, RuleKind.TOGETHER
WRONG: dict[str, tuple[tuple[str, str, RuleKind], ...]] = {
    "4001": (("CcyCode", "USD", CODE), ("Account", STRANGER, BOOKS)),
    "4012": (("Account", STRANGER, BOOKS), ("RptDate", "2026112", FORM)),
    "4008": (
        *(("AcctNo", STRANGER, BOOKS), ("CcyCode", "USD", CODE), ("JournalNo", "J" * 33, LONG)),
        *(("PageNo", "-1", FORM), ("LogCount", "x", FORM)),
    ),
    "4013": (
        *(("AcctNo", STRANGER, BOOKS), ("CcyCode", "USD", CODE), ("BeginDate", "2026-11-1", FORM)),
        *(("EndDate", "20261131", FORM), ("PageSize", "1001", FORM), ("PageNo", "x", FORM)),
    ),
    "4004": (
        *(("ThirdVoucher", "GW-1", SIGN), ("CstInnerFlowNo", "x" * 21, LONG), ("CcyCode", "CNY", CODE)),
        *(("InAcctNo", "6" * 33, LONG), ("InAcctBankNode", "10210009999X", SIGN), ("UseEx", "用" * 31, LONG)),
    ),
    "4005": (
        *(("OrigThirdLogNo", "x" * 21, LONG), ("OrigThirdVoucher", "x" * 21, LONG), ("OrigThirdVoucher", "G-1", SIGN)),
        *(("OrigFrontLogNo", "F1", SIGN), ("OrigFrontLogNo", "1" * 23, LONG)),
    ),
    "4018": (
        *(("ThirdVoucher", "x" * 21, LONG), ("ThirdVoucher", "G-1", SIGN), ("totalCts", "two", FORM)),
        *(("totalAmt", "20,00", FORM), ("BSysFlag", "X", CODE), ("CcyCode", "USD", CODE)),
        ("OutAcctName", "示例别人公司", BOOKS),
    ),
    "4015": (
        *(("OrigThirdVoucher", "x" * 21, LONG), ("OrigThirdVoucher", "G-1", SIGN), ("PageNo", "0", FORM)),
        ("PageCts", "0", FORM),
    ),
    "4019": (
        *(("AccNo", STRANGER, BOOKS), ("StartDate", "2026", FORM), ("EndDate", "20261131", FORM)),
        *(("PageNo", "0", FORM), ("StartDate", "20261125", TOGETHER), ("EndDate", "20261125", TOGETHER)),
    ),
    "4047": (
        *(("ThirdVoucher", "x" * 21, LONG), ("ThirdVoucher", "G-1", SIGN), ("AGREE_NO", "A" * 31, LONG)),
        *(("BusiType", "0" * 21, LONG), ("TotalNum", "two", FORM), ("TotalAmount", "20,00", FORM)),
        ("SettleType", "2", CODE),
    ),
    "4048": (("ThirdVoucher", "x" * 21, LONG), ("ThirdVoucher", "G-1", SIGN)),
    "4017": (("BankNo", "10", LONG), ("BankNo", "1O2", SIGN)),
    "KHKF03": (
        *(("OrderNumber", "x" * 21, LONG), ("OrderNumber", "G-1", SIGN), ("BusiType", "0" * 21, LONG)),
        *(("CorpId", "0" * 33, LONG), ("CcyCode", "USD", CODE), ("TranAmount", "0", FORM), ("InAcctNo", "6 6", SIGN)),
        *(("InAcctBankNode", "102", LONG), ("Remark", "用" * 31, LONG), ("InAcctNo", OWN, TOGETHER)),
    ),
    "KHKF04": (("OrderNumber", "x" * 21, LONG), ("OrderNumber", "G-1", SIGN), ("BussFlowNo", "1" * 33, LONG)),
    "4052": (
        *(("ThirdVoucher", "x" * 21, LONG), ("ThirdVoucher", "G-1", SIGN), ("AcctNo", STRANGER, BOOKS)),
        *(("guiJiAreaOption", "3", CODE), ("Amount", "10.001", FORM), ("subAccountNo", UPPER, TOGETHER)),
    ),
    "401802": (
        *(("ThirdVoucher", "x" * 21, LONG), ("ThirdVoucher", "G-1", SIGN), ("SThirdVoucher", "x" * 21, LONG)),
        *(("SThirdVoucher", "G-1", SIGN), ("TranAmount", "ten", FORM), ("OutAcctNo", STRANGER, BOOKS)),
    ),
}
WRONG_IN_ROWS: dict[str, tuple[tuple[str, str, RuleKind], ...]] = {
    "4018": (
        *(("SThirdVoucher", "x" * 21, LONG), ("SThirdVoucher", "G-1", SIGN), ("CstInnerFlowNo", "x" * 21, LONG)),
        *(
            ("InAcctBankNode", "102", LONG),
            ("InAcctNo", "6 6", SIGN),
            ("UnionFlag", "2", CODE),
            ("AddrFlag", "3", CODE),
        ),
        *(("SysFlag", "X", CODE), ("InAcctBankName", "", RuleKind.MISSING), ("MainAcctNo", "6 6", SIGN)),
    ),
    "4047": (
        *(("SThirdVoucher", "x" * 21, LONG), ("SThirdVoucher", "G-1", SIGN), ("CstInnerFlowNo", "x" * 21, LONG)),
        *(("OppAccNo", "6 6", SIGN), ("OppBranchId", "102", LONG), ("Amount", "0.00", FORM)),
        *(("PostScript", "用" * 31, LONG), ("SThirdVoucher", "PM000000000000000101", TOGETHER)),
    ),
}


def named(wrong: bytes, place: str, rule: RuleKind) -> bool:
    """True if a new side refuses the request for this place and kind, and books nothing."""
    other = side()
    found = other.answer(wrong).findings
    assert not other.ledger.executions
    return [(one.place, one.rule) for one in found] == [(place, rule)]


@pytest.mark.parametrize("operation", MANDATORY)
def test_each_mandatory_field(operation: str) -> None:
    for name in MANDATORY[operation].split():
        assert named(request(operation, {name: None}), name, RuleKind.MISSING), name
        assert named(request(operation, {name: " "}), name, RuleKind.MISSING), name


@pytest.mark.parametrize("operation", MANDATORY_IN_ROWS)
def test_each_mandatory_field_of_a_row(operation: str) -> None:
    for name in MANDATORY_IN_ROWS[operation].split():
        place = f"HOResultSet{operation}R[2]/{name}"
        assert named(request(operation, rows=row(operation, {name: None})), place, RuleKind.MISSING), name


@pytest.mark.parametrize("operation", WRONG)
def test_each_form_code_and_length(operation: str) -> None:
    for name, text, rule in WRONG[operation]:
        assert named(request(operation, {name: text}), name, rule), (name, text)


@pytest.mark.parametrize("operation", WRONG_IN_ROWS)
def test_each_form_code_and_length_of_a_row(operation: str) -> None:
    for name, text, rule in WRONG_IN_ROWS[operation]:
        changes = {name: text} | ({"InAcctBankNode": ""} if rule is RuleKind.MISSING else {})
        place = f"HOResultSet{operation}R[2]/{name}"
        assert named(request(operation, rows=row(operation, changes)), place, rule), (name, text)


@pytest.mark.parametrize("wrong", [["x" * 21], ["G-1"], [""], ["PM1"] * 501])
def test_the_lines_that_a_question_names(wrong: list[str]) -> None:
    rows = [{"SThirdVoucher": one} for one in wrong]
    found = side().answer(request("4015", rows=rows)).findings
    assert len(found) == 1 and found[0].place.startswith("HOResultSet4015R")


def test_every_finding_has_the_row_of_the_page_it_comes_from() -> None:
    for one in mistakes():
        for found in side().answer(one.request()).findings:
            assert found.source.startswith("pab.md "), found
