"""Replies: balances and entries as the bank stated them, and refusals that cannot be misread."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from protocols.canon.errors import CODES, Code, Refusal
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Balance, Direction, Line, Page, Receipt
from protocols.erp.account_replies import (
    BalanceAnswer,
    ReceiptSubject,
    Statement,
    Totals,
    balance_result,
    line_id,
    receipt_pages,
    receipt_ready,
    statement_closed,
    statement_ready,
    transaction_booked,
    transactions_page,
)
from protocols.erp.batch_news import BatchNews, ItemState, batch_fields, shares_of
from protocols.erp.news import News, fields
from protocols.erp.replies import rejection, reply_body, status_result
from protocols.erp.words import BATCHES, SINGLE_ORDERS, CommandType, TransactionsQuery

OWN = AccountNumber("0000000000000000017")
LINE = Line(OWN, "S1", Direction.DEBIT, Money(1234567), date(2026, 11, 24))
QUERY = TransactionsQuery(OWN, date(2026, 11, 1), date(2026, 11, 24), None, 500, 60)


def test_a_refused_order() -> None:
    said = rejection(CommandType.PAYMENT_SUBMIT, "AP-1", Refusal(Code.SCHEMA, "1 field wrong"))
    assert (said["event"], said["id"], said["state"]) == ("payment.rejected", "AP-1", "rejected")
    assert said["error"]["resend"] == "same_id"
    assert "id" not in rejection(CommandType.PAYMENT_SUBMIT, None, Refusal(Code.MALFORMED, "x"))


@pytest.mark.parametrize("command", [*sorted(set(CommandType) - SINGLE_ORDERS - BATCHES), None])
def test_no_other_refusal_looks_like_a_rejected_payment(command: CommandType | None) -> None:
    # "payment.cancel came too late" must never be read as "the payment was rejected": the money is moving.
    said = rejection(command, "AP-1", Refusal(Code.TOO_LATE, "AP-1 may already be at icbc"))
    assert said["event"] == "command.rejected"
    assert "state" not in said
    assert said["error"]["resend"] == "never"


def test_a_conflict_says_nothing_about_the_payment_that_has_the_id() -> None:
    said = rejection(CommandType.PAYMENT_SUBMIT, "AP-1", Refusal(Code.ID_CONFLICT, "x"))
    assert said["event"] == "payment.rejected"
    assert "state" not in said


@pytest.mark.parametrize("code", Code)
def test_every_code_can_be_told(code: Code) -> None:
    error = rejection(CommandType.PAYMENT_SUBMIT, "AP-1", Refusal(code, "why"))["error"]
    assert (error["type"], error["title"]) == (f"urn:bankgw:error:{code.value}", "why")
    assert error["resend"] == CODES[code].resend.value


def test_status_is_the_last_news_under_another_name() -> None:
    news = News("payment.settled", "AP-1", "01J", "kingdee", "icbc", State.SETTLED, 3, 0, bank_code="0000")
    assert status_result(news) == fields(news) | {"event": "status.result"}


def test_balances_are_what_the_bank_stated() -> None:
    full = Balance(OWN, Money(100), Money(-50), Money(0), Money(7))
    bare = Balance(AccountNumber("2"), None, None)
    silent = Refusal(Code.BANK_UNAVAILABLE, "no answer")
    said = balance_result(
        [BalanceAnswer(full, "CNY", 0, "bank"), BalanceAnswer(bare, "USD", 1, "cache")], [(AccountNumber("3"), silent)]
    )
    assert said["balances"] == [
        {
            "account": OWN.clear,
            "currency": "CNY",
            "book": "1.00",
            "available": "-0.50",
            "frozen": "0.00",
            "previous_day": "0.07",
            "as_of": "1970-01-01T00:00:00.000Z",
            "source": "bank",
        },
        {"account": "2", "currency": "USD", "as_of": "1970-01-01T00:00:00.001Z", "source": "cache"},
    ]
    (error,) = said["errors"]
    assert (error["account"], error["code"], error["resend"]) == ("3", "bank_unavailable", "same_id")


def test_a_page_of_entries() -> None:
    shanghai = timezone(timedelta(hours=8))
    full = replace(
        LINE,
        booked_at=datetime(2026, 11, 24, 17, 0, 0, 123456, shanghai),
        value_date=date(2026, 11, 25),
        counterparty_account=AccountNumber("25"),
        counterparty_name=Name("乙"),
        counterparty_bank="行",
        text="货款",
        balance=Money(-1),
        reference="R1",
        fee=True,
    )
    said = transactions_page(
        QUERY, Page((full, LINE), opening=Money(0), closing=Money(5)), None, {"R1": "01J", "R2": "no"}
    )
    assert said["lines"][0] == {
        "line": line_id(LINE),
        "bank_line_id": "S1",
        "direction": "debit",
        "amount": "12345.67",
        "currency": "CNY",
        "bank_date": "2026-11-24",
        "booked_at": "2026-11-24T09:00:00.123Z",
        "value_date": "2026-11-25",
        "counterparty": {"account": "25", "name": "乙", "bank": "行"},
        "text": "货款",
        "balance": "-0.01",
        "fee": True,
        "reference": "R1",
        "matched_payment": "01J",
    }
    assert set(said["lines"][1]) == {
        "line",
        "bank_line_id",
        "direction",
        "amount",
        "currency",
        "bank_date",
        "text",
        "fee",
    }
    assert (said["complete"], said["opening"], said["closing"]) == (True, "0.00", "0.05")
    assert "next" not in said
    more = transactions_page(QUERY, Page((), cursor="2"), "sealed", {})
    assert (more["complete"], more["next"], more["lines"]) == (False, "sealed", [])


def test_a_lines_id_is_stable_and_its_own() -> None:
    enriched = replace(
        LINE,
        text="later",
        counterparty_name=Name("later"),
        balance=Money(1),
        reference="R",
        booked_at=datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert line_id(enriched) == line_id(LINE) == "3531a3bc7ad594cb5f00502c05b5dc29"
    others = {
        line_id(replace(LINE, account=AccountNumber("2"))),
        line_id(replace(LINE, bank_line_id="S2")),
        line_id(replace(LINE, bank_date=date(2025, 11, 24))),
        line_id(replace(LINE, occurrence=1)),
        line_id(LINE),
    }
    assert len(others) == 5


def test_the_form_follows_the_command() -> None:
    said = rejection(CommandType.BALANCE_QUERY, None, Refusal(Code.EXPIRED, "<late> & gone"))
    assert json.loads(reply_body("command.rejected", said)) == said
    document = reply_body("command.rejected", said, "application/xml").decode()
    assert '<command.rejected xmlns="urn:bankgw:1"><event>command.rejected</event>' in document
    assert "&lt;late&gt; &amp; gone" in document


@pytest.mark.parametrize("command", sorted(BATCHES))
def test_a_refused_batch(command: CommandType) -> None:
    said = rejection(command, "B-1", Refusal(Code.VALIDATION, "1 field"))
    assert (said["event"], said["command"], said["state"]) == ("batch.rejected", command.value, "rejected")
    assert "state" not in rejection(command, "B-1", Refusal(Code.ID_CONFLICT, "x"))


ENTRIES = (LINE, replace(LINE, direction=Direction.CREDIT, amount=Money(50)))
STATEMENT = Statement(OWN, "CNY", date(2026, 11, 24), Totals.of(ENTRIES), Money(2_000_000), Money(765_483))


def test_a_statement_adds_up_or_says_that_it_cannot_be_checked() -> None:
    said = statement_ready(STATEMENT, ENTRIES[:1], "sealed", {})
    assert (said["checked"], said["closed"], said["complete"], said["next"]) == (True, True, False, "sealed")
    assert (said["count"], said["credit_count"], said["credit_sum"]) == (2, 1, "0.50")
    assert (said["debit_count"], said["debit_sum"], len(said["lines"])) == (1, "12345.67", 1)
    silent = replace(STATEMENT, closing=None)
    assert silent.fits and statement_ready(silent, (), None, {})["checked"] is False
    assert not replace(STATEMENT, closing=Money(765_484)).fits
    with pytest.raises(AssertionError):
        statement_closed("kingdee", "icbc", silent, 0)
    closed = statement_closed("kingdee", "icbc", STATEMENT, 0)
    assert (closed["opening"], closed["closing"], closed["debit_sum"]) == ("20000.00", "7654.83", "12345.67")


def test_a_receipt_comes_whole_or_in_pages_of_a_mebibyte() -> None:
    subject = ReceiptSubject(OWN, date(2026, 11, 24), payment="01J")
    data = bytes(range(256)) * 4096 + b"tail"
    receipt = Receipt(data, "application/pdf", "r.pdf")
    assert receipt_pages(receipt) == 2 and receipt_pages(Receipt(b"", "text/plain")) == 1
    first, second = receipt_ready(subject, receipt, 1), receipt_ready(subject, receipt, 2)
    assert b64decode(first["data"]) + b64decode(second["data"]) == data
    assert first["sha256"] == second["sha256"] == sha256(data).hexdigest()
    assert (first["size"], first["pages"], second["page"]) == (len(data), 2, 2)
    assert first["payment"] == "01J" and "bank_line_id" not in first


def test_a_booked_entry_is_told_as_in_a_page() -> None:
    told = transaction_booked("kingdee", "icbc", LINE, 0, {})
    page = transactions_page(QUERY, Page((LINE,)), None, {})
    assert told["line"] == page["lines"][0] and told["account"] == OWN.clear


def test_a_batch_counts_and_sums_its_items_by_state() -> None:
    states = (State.SETTLED, State.FAILED, State.SETTLED, State.IN_DOUBT)
    items = tuple(ItemState(f"I{n}", n, "01J", state, 1, Money(n * 100)) for n, state in enumerate(states, start=1))
    news = BatchNews(
        "batch.status", "B", "kingdee", "icbc", Kind.BATCH_ITEM, 2, 0, 4, Money(1000), shares_of(items), items
    )
    said = batch_fields(news)
    assert said["states"] == [
        {"state": "in_doubt", "count": 1, "sum": "4.00"},
        {"state": "settled", "count": 2, "sum": "4.00"},
        {"state": "failed", "count": 1, "sum": "2.00"},
    ]
    assert said["final"] is False and [item["final"] for item in said["items"]] == [True, True, True, False]
    done = replace(news, items=items[:3], shares=shares_of(items[:3]))
    assert batch_fields(done)["final"] is True
