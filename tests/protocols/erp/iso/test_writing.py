"""Outcomes of orders as pain.002, and accounts as camt.052/053/054: valid by their schemas, and equal to the JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from lxml import etree

from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line, Page
from protocols.erp import account_replies, commands, replies
from protocols.erp.batch_news import BATCH_ACCEPTED, BatchNews, ItemState, batch_fields, shares_of
from protocols.erp.commands import Media
from protocols.erp.iso import writing
from protocols.erp.news import News, fields
from protocols.erp.words import CommandType, TransactionsQuery
from protocols.kit.iso20022 import account, lines, report, schema
from protocols.kit.iso20022.account import AccountReport
from protocols.kit.iso20022.report import PaymentStatus, StatusReport
from tests.protocols.erp.iso.paper import OURS, THEIRS, pain001

AT = datetime(2026, 11, 24, 9, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)
DAY = date(2026, 11, 24)
TAGS = {
    "msg_name": "pain.001.001.09",
    "msg_id": "M-1",
    "pmt_inf_id": "G-1",
    "end_to_end_id": "E2E-1",
    "instr_id": "I-1",
}
REPORTS = ["pain.002.001.03", "pain.002.001.12"]


def news(state: State, **more: Any) -> News:
    said = {
        "event": STATE_TABLE[state].event or "payment.accepted",
        "id": "M-1/G-1/E2E-1",
        "payment": "01JD8Z2Q6K4N7W9V0B3C5D7F9H",
        "sender": "erp",
        "bank": "demo",
        "state": state,
        "seq": 3,
        "at_ms": AT_MS,
        "amount": Money(1234, "CNY"),
        "tags": TAGS,
    }
    return News(**{**said, **more})


def told(said: dict[str, Any], event: str, name: str) -> StatusReport:
    data = writing.iso_message(event, said, name, AT)
    assert data is not None
    root = etree.fromstring(data)
    assert schema.faults(root, name) == ()
    return report.read_status(root)


def line_of(found: StatusReport) -> PaymentStatus:
    [group] = found.groups
    [line] = group.payments
    return line


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("state", State)
def test_every_state_has_a_status(state: State, name: str) -> None:
    found = told(fields(news(state)), STATE_TABLE[state].event or "status.result", name)
    assert (found.original_id, found.original_name, found.groups[0].id) == ("M-1", "pain.001.001.09", "G-1")
    line = line_of(found)
    assert (line.end_to_end_id, line.instruction_id, line.amount) == ("E2E-1", "I-1", Money(1234, "CNY"))
    iso = STATE_TABLE[state].iso
    assert line.status == ("RJCT" if iso == "CANC" and name.endswith("03") else iso)
    assert state.value in line.reasons[0].text


def test_a_correction_takes_the_certainty_away() -> None:
    said = fields(news(State.SETTLED, event="payment.correction"))
    assert line_of(told(said, "payment.correction", REPORTS[1])).status == "PDNG"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [("RJCT/AC04", "AC04"), ("AC04", "AC04"), ("E1001", "failed"), ("RJCT", "failed"), ("", "failed")],
)
def test_the_bank_s_own_reason_where_it_is_one_of_iso_s(code: str, wanted: str) -> None:
    said = fields(news(State.FAILED, bank_code=code or None, bank_text="账户已销户"))
    [reason] = line_of(told(said, "payment.failed", REPORTS[1])).reasons
    assert reason.code == wanted and "账户已销户" in reason.text


@pytest.mark.parametrize("name", REPORTS)
def test_a_refused_file_is_refused_as_a_whole_with_every_fault(name: str) -> None:
    refusal = Refusal(
        Code.SCHEMA, "2 elements cannot be taken", (Fault("/Document/x", FieldCode.TOTAL, "says 3, there are 2"),)
    )
    said = replies.rejection(CommandType.PAYMENT_SUBMIT, "M-1", refusal)
    found = told(said, "payment.rejected", name)
    assert (found.original_id, found.status, found.groups) == ("M-1", "RJCT", ())
    assert [reason.code for reason in found.reasons] == ["schema", "total"]
    assert found.reasons[1].text == "/Document/x: says 3, there are 2"


def batch(*states: State) -> dict[str, Any]:
    items = tuple(
        ItemState(f"M-1/G-1/E2E-{n}", n, f"P{n}", state, 1, Money(100 * n, "CNY"), bank_reference=f"R{n}")
        for n, state in enumerate(states, start=1)
    )
    total = Money(sum(one.amount.minor for one in items), "CNY")
    made = BatchNews(
        BATCH_ACCEPTED,
        "M-1/G-1",
        "erp",
        "demo",
        Kind.BATCH_ITEM,
        1,
        AT_MS,
        len(items),
        total,
        shares_of(items),
        items,
        tags=TAGS,
    )
    return batch_fields(made)


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ((State.READY, State.READY), "ACSP"),
        ((State.READY, State.REJECTED), "PART"),
        ((State.SETTLED, State.SETTLED), "ACSC"),
        ((State.SETTLED, State.IN_DOUBT), "PDNG"),
        ((State.FAILED, State.REJECTED), "RJCT"),
        ((State.SETTLED, State.PENDING), "ACSP"),
    ],
)
def test_a_batch_is_a_group(states: tuple[State, ...], whole: str) -> None:
    [group] = told(
        {**batch(*states), "tags": {k: v for k, v in TAGS.items() if k != "end_to_end_id"}}, BATCH_ACCEPTED, REPORTS[1]
    ).groups
    assert (group.id, group.status) == ("G-1", whole)
    assert [line.end_to_end_id for line in group.payments] == ["E2E-1", "E2E-2"]


# ---- accounts -----------------------------------------------------------------------------------------------------


def entry(minor: int, direction: Direction, number: int, **more: Any) -> Line:
    said: dict[str, Any] = {
        "account": AccountNumber(OURS),
        "bank_line_id": f"B-{number}",
        "direction": direction,
        "amount": Money(minor, "CNY"),
        "bank_date": DAY,
        "booked_at": AT,
        "counterparty_account": AccountNumber(THEIRS),
        "counterparty_name": Name("示例乙"),
        "text": "货款",
        "reference": "R-1",
    }
    return Line(**{**said, **more})


LINES = (
    entry(500, Direction.DEBIT, 1),
    entry(1200, Direction.CREDIT, 2),
    entry(3, Direction.DEBIT, 3, fee=True, counterparty_account=None),
)


def booked(event: str, said: dict[str, Any], name: str) -> AccountReport:
    data = writing.iso_message(event, said, name, AT)
    assert data is not None
    root = etree.fromstring(data)
    assert schema.faults(root, name) == ()
    [found] = account.read_reports(root)
    assert found.findings == ()
    return found


OPENING = Money(1000, "CNY")


def statement(opening: Money | None = OPENING, next_: str | None = None) -> dict[str, Any]:
    closing = None if opening is None else Money(opening.minor + 697, "CNY")
    made = account_replies.Statement(
        AccountNumber(OURS), "CNY", DAY, account_replies.Totals.of(LINES), opening, closing
    )
    return account_replies.statement_ready(made, LINES, next_, {})


@pytest.mark.parametrize("name", ["camt.053.001.02", "camt.053.001.08"])
def test_a_statement_is_a_camt_053(name: str) -> None:
    found = booked("statement.ready", statement(), name)
    assert (found.account, found.first, found.balances[1].amount) == (OURS, DAY, Money(1697, "CNY"))
    again = lines.lines(found)
    assert [(one.bank_line_id, one.amount, one.direction, one.fee, one.reference) for one in again] == [
        (one.bank_line_id, one.amount, one.direction, one.fee, one.reference) for one in LINES
    ]
    assert again[0].counterparty_account == AccountNumber(THEIRS) and again[0].booked_at == AT


@pytest.mark.parametrize("name", ["camt.052.001.02", "camt.052.001.08", "camt.054.001.02", "camt.054.001.08"])
def test_entries_are_a_report_or_a_notification(name: str) -> None:
    query = TransactionsQuery(AccountNumber(OURS), DAY, DAY, None, 100, 60)
    page = Page(LINES, opening=OPENING, closing=Money(1697, "CNY"))
    found = booked("transactions.page", account_replies.transactions_page(query, page, None, {}), name)
    assert [one.signed_minor for one in found.booked] == [-500, 1200, -3]
    assert [one.amount.minor for one in found.balances] == ([1000, 1697] if name.startswith("camt.052") else [])


def test_an_entry_is_a_camt_054() -> None:
    said = account_replies.transaction_booked("erp", "demo", LINES[1], AT_MS, {})
    [one] = booked("transaction.booked", said, "camt.054.001.08").booked
    assert (one.amount, one.details[0].debtor is not None) == (Money(1200, "CNY"), True)


def test_an_overdrawn_day() -> None:
    found = booked("statement.ready", statement(Money(-5000, "CNY")), "camt.053.001.08")
    assert [one.amount.minor for one in found.balances] == [-5000, -4303]


# ---- content that ISO 20022 cannot express ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "said", "name"),
    [
        ("statement.ready", statement(None), "camt.053.001.08"),
        ("statement.ready", statement(next_="x"), "camt.053.001.08"),
        ("statement.ready", {name: one for name, one in statement().items() if name != "closing"}, "camt.053.001.08"),
        ("statement.ready", statement(), "camt.054.001.08"),
        ("balance.result", {}, "camt.052.001.08"),
        ("receipt.ready", {}, "pain.002.001.12"),
        ("statement.ready", {**statement(), "account": "0" * 40}, "camt.053.001.08"),
    ],
)
def test_what_a_message_cannot_say_is_left_to_the_other_forms(event: str, said: dict[str, Any], name: str) -> None:
    assert writing.iso_message(event, said, name, AT) is None


def test_the_form_of_an_answer_is_asked_for_or_follows_the_file() -> None:
    assert commands.answer_form(Media.JSON, b"{}", None) == "application/json"
    assert commands.answer_form(Media.JSON, b"{}", "camt.053.001.08") == "application/json;message=camt.053.001.08"
    assert commands.answer_form(Media.JSON, b"{}", "pain.001.001.09") == "application/json"
    assert commands.answer_form(Media.XML, pain001(), None) == "application/xml;message=pain.002.001.12"
    assert (
        commands.answer_form(Media.XML, pain001(name="pain.001.001.03"), None)
        == "application/xml;message=pain.002.001.03"
    )
    assert commands.media("application/json;message=camt.053.001.08", b"{}") is Media.JSON


def test_where_iso_has_no_word_the_body_comes_as_the_command_did() -> None:
    said = {"account": OURS, "lines": [], "complete": False, "next": "x"}
    for form, begin in (
        ("application/json;message=camt.052.001.08", b"{"),
        ("application/xml;message=camt.052.001.08", b"<"),
    ):
        body = replies.reply_body("transactions.page", said, form, AT_MS)
        assert body.startswith(begin) and replies.media_of(body) == form.partition(";")[0]
