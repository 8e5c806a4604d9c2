"""Payroll (b2e0078), returned payments and receipts (b2e0500)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.kernel.core.policy import check
from protocols.bank import BadOptions
from protocols.canon.money import Money
from protocols.canon.order import Channel, Kind, PayrollItemDetail
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import ReceiptQuestion, ReturnsQuestion
from protocols.canon.statement import Receipt, ReceiptLater, Return, ReturnsPage
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.boc.paper import (
    NUMBER,
    OURS,
    REFERENCE,
    THEIRS,
    TODAY,
    answer,
    bank,
    content,
    context,
    first_step,
    named,
    order,
    row,
    sent,
    talk,
)
from tests.protocols.banks.every.bench import table
from tests.protocols.banks.every.test_intake import route_of

PAYROLL = {"payroll": True, "payroll_usage": "G8", "payroll_province": "32", "payroll_provinces": {"山东": "37"}}
AT_HOME = Party(AccountNumber(THEIRS), Name("示例乙"), "中国银行股份有限公司江苏省分行")
ELSEWHERE = Party(AccountNumber(THEIRS), Name("示例乙"), "中国工商银行某支行", "102100099996")


def wage(payee: Party = AT_HOME, **changes: Any) -> Any:
    return order(PayrollItemDetail("B1", 1), creditor=payee, purpose="十一月工资", **changes)


def written(given: Any, **options: Any) -> str:
    return content(first_step(bank(**{**PAYROLL, **options}).money[Kind.PAYROLL_ITEM](given, context())).data)


# ---- payroll ----


def test_a_line_as_the_logged_message_has_it() -> None:
    xml = written(wage())
    assert (
        f"<b2e0078-rq><insid>{REFERENCE}</insid><fractn><fribkn>40000</fribkn><actacn>{OURS}</actacn><actnam>甲公司</actnam>"
        "</fractn><pybcur>CNY</pybcur><pybamt>123.45</pybamt><pybnum>1</pybnum><crdtyp>7</crdtyp><furinfo>G8</furinfo>"
        "<useinf>十一月工资</useinf>"
    ) in xml
    assert f"<detail><toibkn>32</toibkn><tobank>中国银行股份有限公司江苏省分行</tobank><toactn>{THEIRS}</toactn>" in xml


@pytest.mark.parametrize(
    ("payee", "changes", "kind", "number"),
    [
        (AT_HOME, {}, "7", "32"),
        (replace(AT_HOME, bank_name="中国银行股份有限公司山东省分行"), {}, "7", "37"),
        (replace(AT_HOME, bank_name=None), {}, "7", "32"),
        (replace(AT_HOME, bank_name="某行"), {"channel": Channel.SAME_BANK}, "7", "32"),
        (ELSEWHERE, {}, "6", "102100099996"),
    ],
)
def test_the_payee_s_bank_decides_crdtyp_and_toibkn(payee: Party, changes: Any, kind: str, number: str) -> None:
    xml = written(wage(payee, **changes))
    assert f"<crdtyp>{kind}</crdtyp>" in xml and f"<toibkn>{number}</toibkn>" in xml


def test_the_order_s_own_usage_code_goes_before_the_settings_one() -> None:
    given = replace(wage(), detail=PayrollItemDetail("B1", 1, purpose_code="EH"))
    assert "<furinfo>EH</furinfo>" in written(given)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (wage(replace(ELSEWHERE, cnaps=None)), {}),
        (wage(), {"payroll_province": "", "payroll_provinces": {}}),
        (wage(), {"payroll_usage": ""}),
        (wage(amount=Money(0)), {}),
    ],
)
def test_what_the_form_does_not_carry_is_refused_before_anything_is_sent(given: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        written(given, **options)


def test_intake_wants_the_number_of_a_bank_whose_province_is_not_known() -> None:
    made = table("boc", bank_options={"payroll_province": "", "payroll_provinces": {"江苏": "32"}})
    usual: Any = made.order(Kind.PAYROLL_ITEM)
    bare = replace(usual, creditor=replace(usual.creditor, bank_name="中国银行某支行", cnaps=None))
    assert [one.at for one in check(bare, route_of(made), made.today)] == ["/creditor/cnaps"]
    known = replace(bare, creditor=replace(bare.creditor, bank_name="中国银行江苏省分行"))
    assert not check(known, route_of(made), made.today)


def test_without_the_bank_s_confirmation_there_is_no_payroll() -> None:
    made = bank()
    assert Kind.PAYROLL_ITEM not in made.money and Kind.PAYROLL_ITEM not in made.profile.replay


def test_acceptance_of_a_line_is_not_its_payment() -> None:
    told = talk(bank(**PAYROLL).money[Kind.PAYROLL_ITEM](wage(), context()), answer("b2e0078", "B001", named()))[0]
    assert (told.fate, told.bank_serial) == (Fate.PENDING, "88886")
    written_down = sent(wage(), serials=("b2e0078", NUMBER))
    assert bank(**PAYROLL).read(Kind.PAYROLL_ITEM, written_down, answer("b2e0078", "B001", named())) == told


@pytest.mark.parametrize("purpose", ["工资", "工资 #late", "工资 #refuse"])
def test_a_payroll_of_three_lines_is_three_messages_and_each_is_asked_about(purpose: str) -> None:
    made = table("boc")
    references = [made.reference() for _ in range(3)]
    for reference in references:
        assert made.pay(made.order(Kind.PAYROLL_ITEM, purpose=purpose), reference).fate is Fate.PENDING
    fates = {made.fate(reference).fate for reference in references}
    assert fates == {{"工资": Fate.SETTLED, "工资 #late": Fate.PENDING, "工资 #refuse": Fate.FAILED}[purpose]}
    assert all(made.executions(one) == (purpose != "工资 #refuse") for one in references)


def test_a_line_handed_in_twice_is_paid_once_and_never_a_failure() -> None:
    made = table("boc")
    reference, wanted = made.reference(), made.order(Kind.PAYROLL_ITEM)
    made.pay(wanted, reference)
    assert made.pay(wanted, reference).fate is Fate.DUPLICATE
    assert made.executions(reference) == 1


# ---- returns ----


def entry(**changes: str) -> str:
    inside = {
        "transid": "000000002",
        "insid": REFERENCE,
        "txndate": "20261124",
        "txntime": "101010",
        "txnamt": "123.45",
        "furinfo": "退汇",
        "trncur": "CNY",
        "direction": "1",
        **changes,
    }
    sides = f"<fractn><actacn>{THEIRS}</actacn></fractn><toactn><actacn>{OURS}</actacn></toactn>"
    return row("B001", sides + "".join(f"<{tag}>{text}</{tag}>" for tag, text in inside.items()))


def returns(*rows: str) -> ReturnsPage:
    ask = bank(returns=True).questions.returns
    assert ask is not None
    asked = ReturnsQuestion(AccountNumber(OURS), TODAY, TODAY)
    frame = answer("b2e0035", "B001", *rows, before=f"<totalnum>{len(rows)}</totalnum>")
    page: ReturnsPage = talk(ask(asked, context()), frame)[0]
    return page


def test_money_that_came_in_under_an_insid_is_a_return() -> None:
    assert returns(entry()).returns == (Return(REFERENCE, Money(12_345), TODAY, "退汇"),)


@pytest.mark.parametrize("changes", [{"insid": ""}, {"direction": "2"}, {"direction": "9"}])
def test_other_entries_are_no_returns(changes: dict[str, str]) -> None:
    assert returns(entry(**changes)).returns == ()


def test_a_row_that_cannot_be_read_hides_no_return() -> None:
    told = returns(row("B001", "<transid></transid>"), entry(txnamt="x"), entry(transid="", txndate="x"))
    assert [one.reference for one in told.returns] == [REFERENCE]
    assert len(told.findings) == 1 and "row 1" in told.findings[0]


def test_a_row_that_did_not_work_is_no_return() -> None:
    """Each row has its own code: a payment whose booking the bank does not confirm has not come back."""
    told = returns(entry().replace("B001", "B266"), entry(insid="R2"))
    assert [one.reference for one in told.returns] == ["R2"]
    assert any("B266" in one for one in told.findings)


def test_returns_are_asked_for_only_where_the_bank_confirmed_how_they_show() -> None:
    assert bank().questions.returns is None


def test_a_returned_payment_and_a_returned_payroll_line_are_found() -> None:
    made = table("boc")
    references = [made.reference(), made.reference()]
    for kind, reference in zip((Kind.PAYMENT, Kind.PAYROLL_ITEM), references, strict=True):
        made.pay(made.order(kind, purpose="款 #return"), reference)
    made.pay(made.order(Kind.TRANSFER), made.reference())
    made.stage.time.later(86_400)
    made.stage.sign_on()
    assert sorted(one.reference for one in made.returns()) == sorted(references)


# ---- receipts ----

PATH = {"receipt_path": "/receipts/{filename}"}
ASKED = ReceiptQuestion(AccountNumber(OURS), TODAY, amount=Money(12_345))


def receipt(*frames: bytes, asked: ReceiptQuestion = ASKED) -> tuple[Any, list[bytes]]:
    ask = bank(codes={"empty": ["TW03"]}, **PATH).questions.receipt
    assert ask is not None
    return talk(ask(asked, context()), *frames)


def listed(name: str = "a1.pdf", code: str = "B001") -> bytes:
    return answer("b2e0500", "B001", row(code, f"<filename>{name}</filename>"))


def test_the_answer_s_file_is_fetched_where_the_settings_say() -> None:
    told, asked = receipt(listed(), http.answer(200, (), b"%PDF-1.4 x"))
    assert told == Receipt(b"%PDF-1.4 x", "application/pdf", "a1.pdf")
    assert asked[1].startswith(b"GET /receipts/a1.pdf HTTP/1.1\r\n")
    assert "<amtscope><minamt>123.45</minamt><maxamt>123.45</maxamt></amtscope>" in content(asked[0])


def test_no_receipt_yet_is_asked_for_again() -> None:
    for frame in (answer("b2e0500", "TW03"), answer("b2e0500", "B001")):
        assert receipt(frame)[0] == ReceiptLater("asked", 3600.0)


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b.pdf", ".pdf", "a b.pdf", "a?x.pdf", "x" * 129, "%2e%2e"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        receipt(listed(name))


@pytest.mark.parametrize(
    "frames",
    [
        (listed(code="B054"),),
        (listed(), http.answer(404)),
        (listed(), http.answer(200, (), b"<html/>")),
        (answer("b2e0500", "B001", row(inner="<filename>a.pdf</filename>"), row(inner="<filename>b.pdf</filename>")),),
        (answer("b2e0500", "B001", row()),),
    ],
)
def test_what_is_no_receipt_raises(frames: tuple[bytes, ...]) -> None:
    with pytest.raises((ProtocolError, Declined)):
        receipt(*frames)


def test_without_an_amount_nothing_is_asked() -> None:
    with pytest.raises(ProtocolError, match="amount"):
        receipt(asked=replace(ASKED, amount=None))


def test_two_receipts_that_fit_are_refused() -> None:
    made = table("boc")
    for _ in range(2):
        made.pay(made.order(Kind.PAYMENT), made.reference())
    [line, _] = made.walk(made.own[0], made.today, made.today)
    ask = made.bank.questions.receipt
    assert ask is not None
    question = ReceiptQuestion(line.account, made.today, line.bank_line_id, amount=line.amount)
    with pytest.raises(ProtocolError, match="2 PDFs"):
        made.stage.talk(ask(question, made.stage.context()))


@pytest.mark.parametrize("path", ["receipts/{filename}", "/receipts/", "/{filename}/{filename}\n"])
def test_the_path_has_a_place_for_the_name(path: str) -> None:
    with pytest.raises(BadOptions):
        bank(receipt_path=path)
