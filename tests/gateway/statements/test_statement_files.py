"""Statements from files: camt.053 and CSV give the same lines; other files are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from gateway.statements.rules.statement_files import BadStatement, from_camt, from_csv
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit.iso20022.account import AccountEntry, AccountReport, CamtBalance
from protocols.kit.iso20022.account_writer import write_reports

ACCOUNT, DAY = "00000000000118", date(2026, 11, 27)


def camt(name: str = "camt.053.001.08", currency: str = "CNY") -> bytes:
    entry = AccountEntry(
        Money(12_345, currency),
        Direction.CREDIT,
        "BOOK",
        bank_reference="N-1",
        booked_on=DAY,
        value_on=DAY,
        bank_code="PMNT/RCDT/ESCT",
    )
    balances = tuple(
        CamtBalance(kind, Money(minor, currency), DAY) for kind, minor in (("OPBD", 1_000), ("CLBD", 13_345))
    )
    report = AccountReport(
        name[:8], "S-1", ACCOUNT, currency, sequence=1, first=DAY, last=DAY, balances=balances, entries=(entry,)
    )
    return write_reports("M-1", datetime(2026, 11, 28, tzinfo=UTC), [report], name)


@pytest.mark.parametrize("name", ["camt.053.001.02", "camt.053.001.08"])
def test_a_camt_statement(name: str) -> None:
    told = from_camt(camt(name), ACCOUNT, "CNY")
    [line] = told.lines
    assert (line.bank_line_id, line.amount, line.direction, line.bank_date) == (
        "N-1",
        Money(12_345),
        Direction.CREDIT,
        DAY,
    )
    assert (told.opening, told.closing, told.first, told.last) == (Money(1_000), Money(13_345), DAY, DAY)


@pytest.mark.parametrize(
    ("data", "account", "currency", "said"),
    [
        (camt(), "0000999", "CNY", "no statement of this account"),
        (camt(), ACCOUNT, "USD", "is in CNY"),
        (camt("camt.052.001.08"), ACCOUNT, "CNY", "only a camt.053"),
        (b"<x/>", ACCOUNT, "CNY", "cannot be read"),
        (b"date;amount", ACCOUNT, "CNY", "cannot be read"),
    ],
)
def test_what_is_no_camt_statement(data: bytes, account: str, currency: str, said: str) -> None:
    with pytest.raises(BadStatement, match=said):
        from_camt(data, account, currency)


CHINESE = '交易日期,收入,支出,对方户名,摘要\r\n20261127,"1,234.50",,甲公司,货款\r\n2026/11/28,,5,,手续费\r\n2026/11/28,,5,,手续费\r\n'
MAPPING = {"date": "交易日期", "credit": "收入", "debit": "支出", "counterparty_name": "对方户名", "text": "摘要"}


def test_a_csv_with_a_banks_own_headings() -> None:
    told = from_csv(CHINESE.encode("gb18030"), ACCOUNT, "CNY", MAPPING, "gb18030")
    assert [(line.direction.value, line.amount.minor, line.bank_date.day) for line in told.lines] == [
        ("credit", 123_450, 27),
        ("debit", 500, 28),
        ("debit", 500, 28),
    ]
    first, second, third = told.lines
    assert first.counterparty_name is not None and first.counterparty_name.clear == "甲公司"
    # Two rows alike in everything are two entries, and the same two when the file is read again.
    assert second.bank_line_id == third.bank_line_id and (second.occurrence, third.occurrence) == (0, 1)
    assert from_csv(CHINESE.encode("gb18030"), ACCOUNT, "CNY", MAPPING, "gb18030") == told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("day,amount\n", "no column date"),
        ("date,direction,amount\n2026-13-01,credit,1\n", "line 2, column date: .* not a date"),
        ("date,direction,amount\n2026-11-01,in,1\n", "credit or debit"),
        ("date,credit,debit\n2026-11-01,1,1\n", "one amount"),
        ("date,credit,debit\n2026-11-01,,\n", "one amount"),
        ("date,direction,amount\n2026-11-01,credit,1.234\n", "line 2: '1.234' is not an amount"),
        ("date,direction,amount\n2026-11-01,credit,-1\n", "line 2: '-1' is not an amount"),
        ("date,direction,amount\n2026-11-01,credit,1,234.50\n", "line 2 does not have as many cells"),
        ("date,direction,amount\n2026-11-01,credit\n", "line 2 does not have as many cells"),
        ("date,direction,amount,amount\n2026-11-01,credit,1,2\n", "two columns amount"),
        ("id,date,direction,amount\n1,2026-11-01,credit,1\n1,2026-11-01,credit,2\n", "occurs twice"),
    ],
)
def test_what_is_no_csv_statement(text: str, said: str) -> None:
    with pytest.raises(BadStatement, match=said):
        from_csv(text.encode(), ACCOUNT, "CNY", {}, "utf-8-sig")


def test_a_charset_that_does_not_fit() -> None:
    with pytest.raises(BadStatement, match="as CSV in utf-8"):
        from_csv(CHINESE.encode("gb18030"), ACCOUNT, "CNY", MAPPING, "utf-8")
    with pytest.raises(BadStatement, match="as CSV in none"):
        from_csv(b"x", ACCOUNT, "CNY", {}, "none")


@pytest.mark.parametrize(
    ("text", "decimal", "minor"),
    [
        ("12.50", "", 1_250),
        ("1,234.50", "", 123_450),
        ("12.5", "", 1_250),
        ("1234", "", 123_400),
        ("12,50", ",", 1_250),
        ("1.234,50", ",", 123_450),
        ("1.234", ",", 123_400),
        ("1,234", ".", 123_400),
        ("1.234.567", ",", 123_456_700),
        ("0,05", ",", 5),
    ],
)
def test_an_amount_has_one_decimal_mark(text: str, decimal: str, minor: int) -> None:
    told = from_csv(f'date,credit,debit\n2026-11-01,"{text}",\n'.encode(), ACCOUNT, "CNY", {}, "utf-8", decimal)
    assert [line.amount for line in told.lines] == [Money(minor)]


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("12,50", ""),
        ("1,234", ""),
        ("1.234", ""),
        ("1.234,50", ""),
        ("12,50", "."),
        ("1.234,50", "."),
        ("12.50", ","),
        ("1,23,456.00", "."),
        ("1 234.50", "."),
        ("¥12.50", ""),
        ("１２.50", ""),
        ("12.500", "."),
        ("1,234.50", ","),
        ("1.2e3", ""),
        (".5", ""),
        ("12.", ""),
    ],
)
def test_an_amount_that_can_be_read_in_two_ways_is_refused(text: str, decimal: str) -> None:
    with pytest.raises(BadStatement, match="line 3: "):
        from_csv(
            f'date,credit,debit\n2026-11-01,1,\n2026-11-01,"{text}",\n'.encode(), ACCOUNT, "CNY", {}, "utf-8", decimal
        )


def test_a_decimal_mark_is_a_point_or_a_comma() -> None:
    with pytest.raises(BadStatement, match="a point or a comma"):
        from_csv(b"date,credit,debit\n2026-11-01,1,\n", ACCOUNT, "CNY", {}, "utf-8", ";")
    for text, decimal in (("1.234", ""), ("1,234", "")):
        with pytest.raises(BadStatement, match="line 2"):
            from_csv(f'date,credit,debit\n2026-11-01,"{text}",\n'.encode(), ACCOUNT, "KWD", {}, "utf-8", decimal)
    told = from_csv(b"date,credit,debit\n2026-11-01,1.234,\n", ACCOUNT, "KWD", {}, "utf-8", ".")
    assert told.lines[0].amount == Money(1_234, "KWD")
