"""Balances (4402), returned payments, and the probe."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    ASKED,
    BACK,
    BUNDLE,
    CREDITOR,
    DEBTOR,
    ITEMS,
    OTHER,
    REASON,
    REFERENCE,
    TODAY,
    bank,
    body_of,
    bundle,
    context,
    done,
    leaves,
    listed,
    nothing,
    order,
    refused,
    row,
    stage,
    steps,
    talk,
)


def balances(*rows: dict[str, str]) -> bytes:
    given = "".join(f"<list>{leaves(fields)}</list>" for fields in rows)
    return done("4402", ASKED, f'<lists name="acctBalanceList">{given}</lists>')


ROW = {
    "acctNo": DEBTOR,
    "masterID": "2000000001",
    "reserveBalance": "0.00",
    "freezeBalance": "1.00",
    "cortrolBalance": "0.00",
    "canUseBalance": "99.50",
    "overdraftBalance": "0.00",
    "balance": "100.50",
}


def balance(answer: bytes, **question: Any) -> Balance:
    ask = bank().questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(AccountNumber(DEBTOR), **question), context()), answer)


def test_the_page_s_balance() -> None:
    told = balance(balances(ROW))
    assert (told.book, told.available, told.frozen, told.previous_day) == (
        Money(10_050),
        Money(9_950),
        Money(100),
        None,
    )
    assert balance(balances({**ROW, "balance": "-2.00", "freezeBalance": ""})).book == Money(-200)
    ask = bank().questions.balance
    assert ask is not None
    first = steps(ask(BalanceQuestion(AccountNumber(DEBTOR)), context()))[0]
    assert body_of(first) == f'<body><lists name="acctList"><list><acctNo>{DEBTOR}</acctNo></list></lists></body>'


def test_a_balance_of_something_else_is_none() -> None:
    for answer in (
        balances({**ROW, "acctNo": CREDITOR}),
        balances(ROW, ROW),
        balances({**ROW, "balance": "1,00"}),
        balances({"acctNo": DEBTOR.lstrip("0"), "balance": "1.00"}),
    ):
        with pytest.raises(ProtocolError):
            balance(answer)
    with pytest.raises(ProtocolError):
        balance(balances(ROW), currency="USD")
    with pytest.raises(ProtocolError):
        balance(balances(ROW), on=TODAY - timedelta(days=1))
    assert balance(balances(ROW), on=TODAY).book == Money(10_050)


def test_a_code_for_a_balance_is_declined() -> None:
    for code, outcome, is_listed in (
        ("EGG0042", "retry", True),
        ("B2E0005", "failed", True),
        ("X000001", "retry", False),
    ):
        with pytest.raises(Declined) as caught:
            balance(refused("4402", ASKED, code, "原因"))
        assert (caught.value.outcome, caught.value.listed, caught.value.code) == (outcome, is_listed, code)
    with pytest.raises(Declined):
        balance(balances())


def test_the_probe_needs_an_answer() -> None:
    adapter = bank()
    talk(adapter.sessions.probe(context()), balances(ROW))
    with pytest.raises(Declined):
        talk(adapter.sessions.probe(context()), refused("4402", ASKED, "EGG0042"))


# ---- returns ----


def returns(*answers: bytes, cursor: str | None = None, **options: Any) -> ReturnsPage:
    ask = bank(**options).questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY - timedelta(days=3), TODAY, cursor)
    return talk(ask(question, context()), *answers)


def later(number: int, *rows: str, total: int | None = None) -> bytes:
    return listed(*rows, total=total, packet_id=f"36960000000070{number}")


def test_a_row_with_status_8_is_a_return_once_its_voucher_says_so_too() -> None:
    walk = listed(row("4", voucher=OTHER), row("8", BACK), row("1", voucher="3"))
    page = returns(walk, later(1, row("8", BACK)))
    assert page == ReturnsPage((Return(REFERENCE, Money(12_345), None, "错误原因:TWN0005 人行退票"),))
    ask = bank().questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY - timedelta(days=3), TODAY)
    first, second = (body_of(step) for step in steps(ask(question, context()), walk) if step.port == "sign")
    assert "<elecChequeNo></elecChequeNo>" in first and "<beginDate>20260102</beginDate>" in first
    assert f"<elecChequeNo>{REFERENCE}</elecChequeNo>" in second


def test_a_reason_is_not_needed_to_come_back() -> None:
    assert [one.reference for one in returns(listed(row("8")), later(1, row("8"))).returns] == [REFERENCE]


def test_money_that_another_record_of_the_voucher_may_have_moved_did_not_come_back() -> None:
    for status in ("4", "1", "A", "", "7", "9"):
        both = (row("8", REASON, seqNo="1"), row(status, seqNo="2"))
        assert returns(listed(both[0]), later(1, *both)).returns == ()
    assert returns(listed(row("8")), nothing(packet_id="369600000000701")).returns == ()
    # A duplicate that is answered like a refusal is no return either.
    assert returns(listed(row("8", "货款|&lt;错误原因:EYY8990 重复&gt;"))).returns == ()


def test_rows_of_another_account_and_9_are_no_returns() -> None:
    assert returns(listed(row("8", acctNo=CREDITOR), row("9", voucher=OTHER))).returns == ()
    assert returns(nothing()).returns == ()
    with pytest.raises(Declined):
        returns(refused("8804", ASKED, "EGG0050"))


def test_returns_are_walked_page_by_page() -> None:
    full = [row("4", voucher=f"{n:020d}") for n in range(2)]
    first = returns(listed(*full, total=3), enquiry_rows=2)
    assert first.returns == () and first.cursor
    last = returns(listed(row("8"), total=3), later(1, row("8")), cursor=first.cursor, enquiry_rows=2)
    assert len(last.returns) == 1 and last.cursor is None
    ask = bank(enquiry_rows=2).questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY - timedelta(days=3), TODAY, first.cursor)
    assert re.search("<beginNumber>3</beginNumber>", body_of(steps(ask(question, context()))[0]))
    with pytest.raises(ProtocolError) as caught:
        talk(ask(ReturnsQuestion(AccountNumber(CREDITOR), TODAY, TODAY, first.cursor), context()))
    assert caught.value.reason == "paging"


def test_single_payments_and_batches_are_both_walked_where_their_flags_differ() -> None:
    scene = stage(conduct=BookingRules(return_share=1), options={"single_flag": "0", "batch_flag": "1"}, flags="01")
    scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE)))
    scene.talk(scene.bank.bundles[Kind.BATCH_ITEM].word(bundle(), scene.context(BUNDLE)))
    scene.time.later(3_600)
    ask = scene.bank.questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY, TODAY)
    pages = [scene.talk(ask(question, scene.context()))]
    while pages[-1].cursor is not None:
        pages.append(scene.talk(ask(replace(question, cursor=pages[-1].cursor), scene.context())))
    assert [[one.reference for one in page.returns] for page in pages] == [[REFERENCE], list(ITEMS[:3])]
    for other in (
        replace(question, first=TODAY - timedelta(days=1)),
        replace(question, account=AccountNumber(CREDITOR)),
    ):
        with pytest.raises(ProtocolError) as caught:
            scene.talk(ask(replace(other, cursor=pages[0].cursor), scene.context()))
        assert caught.value.reason == "paging"


def test_money_of_a_voucher_that_the_other_list_has_as_paid_did_not_come_back() -> None:
    flags = {"single_flag": "0", "batch_flag": "1"}
    page = returns(listed(row("8")), later(1, row("8")), later(2, row("4", seqNo="2")), **flags)
    assert page.returns == () and page.cursor is not None


def test_no_days_are_no_question() -> None:
    ask = bank().questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), TODAY, TODAY - timedelta(days=1))
    assert talk(ask(question, context())) == ReturnsPage(())
