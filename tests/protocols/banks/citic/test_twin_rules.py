"""The rules of the bank's own side: every operation has some, and the adapter's own requests break none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from protocols.banks.citic.twin_rules import RULES
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, ReceiptQuestion
from protocols.canon.statement import Receipt
from protocols.judge import FieldRule
from tests.protocols.banks.citic.client_mistakes import CLIENT_ID, GOOD, STRANGER, request, row, side
from tests.protocols.banks.every.bench import Table, bundled, kinds, table

OPERATIONS = {"CMMANSWP", "CMDWNSWP"}
"""The operations that the adapter uses under another option only; test_group.py plays them."""


def asked(made: Table) -> set[str]:
    return {one.request.partition(b"<action>")[2][:8].decode("ascii") for one in made.stage.said}


def play_everything(made: Table) -> None:
    """Ask every question and send every kind of order, with the adapter's own additional questions."""
    for kind in kinds("citic"):
        reference = made.reference()
        made.pay(made.order(kind), reference)
        made.fate(reference)
    for kind in bundled("citic"):
        bundle, reference = made.bundle(kind, ("货款", "货款#refuse"))
        made.pay_bundle(bundle, reference)
        made.bundle_fate(kind, reference)
    [first, *_] = made.walk(made.own[0], made.today - timedelta(days=200), made.today)
    made.returns()
    questions, context = made.bank.questions, made.stage.context
    assert questions.balance is not None and questions.receipt is not None
    made.stage.talk(made.bank.sessions.probe(context()))
    account = AccountNumber(made.own[0])
    for on in (None, made.today - timedelta(days=3)):
        made.stage.talk(questions.balance(BalanceQuestion(account, on=on), context()))
    for _day in range(2):
        wanted = ReceiptQuestion(account, first.bank_date, first.bank_line_id, amount=first.amount)
        assert isinstance(made.stage.talk(questions.receipt(wanted, context())), Receipt)
        made.stage.time.later(86_400)


def test_the_adapter_s_own_requests_break_no_rule() -> None:
    made = table("citic")
    play_everything(made)
    assert [(one.place, one.words.english) for one in made.stage.findings] == []
    assert asked(made) == set(RULES) - OPERATIONS


@pytest.mark.parametrize("operation", sorted(RULES))
def test_each_operation_has_rules_with_their_source(operation: str) -> None:
    table_of = RULES[operation]
    assert table_of.operation == operation and operation in GOOD
    for rule in (*table_of.fields, *table_of.together):
        assert rule.source.startswith("citic.md"), rule


def test_a_rule_without_a_code_of_the_page_says_so() -> None:
    """Only ED01016, BLR0024 and BLR0027 are the bank's; every other refusal is of the twin's own making."""
    for one in RULES.values():
        rules = [rule for rule in (*one.fields, *one.together) if rule.refusal is not None]
        refusals = {rule.refusal for rule in rules if rule.refusal is not None} | {one.refusal}
        for refusal in refusals:
            assert refusal.reconstructed == refusal.code.startswith("TWIN"), refusal
            assert refusal.reconstructed or refusal.code in ("ED01016", "BLR0024", "BLR0027")


def test_the_rules_that_the_page_leaves_open_are_marked() -> None:
    marked = {
        (one.operation, rule.place)
        for one in RULES.values()
        for rule in one.fields
        if isinstance(rule, FieldRule) and rule.reconstructed
    }
    assert {("DLOUTTRN", "recOpenBankCode"), ("DLAGENTF", "totalNumber"), ("DLAGECOL", "startDate")} <= marked
    assert ("DLOUTTRN", "recAccountName") not in marked


def test_an_answer_says_operation_code_and_reason() -> None:
    made = side()
    told = made.answer(request("DLOUTTRN"))
    assert (told.operation, told.code, told.findings) == ("DLOUTTRN", "AAAAAAE", ())
    assert told.reason.startswith("已提交")
    again = made.answer(request("DLOUTTRN"))
    assert (again.code, again.reason, again.findings) == ("TWIN001", "clientID重复", ())
    unknown = made.answer(request("DLCIDSTT", {"clientID": "2"}))
    assert (unknown.operation, unknown.code, unknown.findings) == ("DLCIDSTT", "ED02083", ())


def test_every_mistake_of_a_request_is_told_at_once() -> None:
    told = side().answer(request("DLOUTTRN", {"tranAmount": "10", "payType": "6", "clientID": None}))
    assert [one.place for one in told.findings] == ["clientID", "payType", "tranAmount"]


def test_an_unknown_account_hides_no_other_balance() -> None:
    told = side().answer(request("DLBALQRY", None, row("DLBALQRY", 2, accountNo=STRANGER)))
    assert [one.place for one in told.findings] == ["list/row[2]/accountNo"]
    assert b"<status>AAAAAAA</status>" in told.data and told.data.count(b"<usableBalance>") == 1


def test_a_collection_may_be_asked_about_without_a_page() -> None:
    made = side()
    made.answer(request("DLAGENTF"))
    told = made.answer(request("DLAGEDET", {"pageNumber": None, "startRecord": None}))
    assert (told.findings, told.data.count(b"<row>")) == ((), 2)


def test_a_scheduled_order_is_no_mistake_and_not_done_here() -> None:
    made = side()
    order = {"preFlg": "1", "preDate": "20261201", "preTime": "100000"}
    told = made.answer(request("DLOUTTRN", order))
    assert (told.code, told.findings) == ("TWIN007", ())
    assert made.ledger.find(CLIENT_ID) is None


def test_large_value_outside_its_hours_is_named() -> None:
    made = table("citic").stage
    made.time.later(6 * 3600)
    frame = request("DLOUTTRN", {"payType": "02", "payAccountNo": table("citic").own[0]})
    [found] = made.twin.answer("business", frame, made.ledger, {}).findings
    assert (found.place, found.refusal.text) == ("payType", "非大额支付时间")


def test_the_rules_hold_in_the_cheap_mode_too() -> None:
    made = table("citic", cheap=True).stage
    told = made.twin.answer("business", request("DLOUTTRN", {"tranAmount": "0.00"}), made.ledger, {})
    assert told.findings and not made.ledger.executions
    assert Kind.PAYMENT in made.bank.money
