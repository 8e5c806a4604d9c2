"""MT940 statements from files: signs, dates, pages, sums, and a clear message for each fault."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.statements.rules.mt940 import from_mt940, is_mt940
from gateway.statements.rules.statement_files import BadStatement
from protocols.canon.money import Money
from protocols.canon.statement import Direction

ACCOUNT, DAY = "00000000000118", date(2026, 11, 27)
ENTRIES = """:61:2611271127C100,5NTRFREF-1//B-1
:86:货款 甲公司
:61:2611271127D20,NCHGNONREF//B-2
:86:166?00SEPA?20Rechnung 7?21 vom 1.?31DE00 0001?32Muster?33 GmbH
:61:2611271127RD5,25NTRFNONREF
:86:退回
:61:2611271127RC0,75NTRFNONREF//B-3
supplementary
"""


def message(
    entries: str = ENTRIES,
    opening: str = "60F:C261126CNY10,",
    closing: str = "62F:C261127CNY95,",
    number: str = "5/1",
    account: str = ACCOUNT,
    more: str = ":64:C261127CNY95,\n",
) -> str:
    return f":20:STMT\n:25:{account}\n:28C:{number}\n:{opening}\n{entries}:{closing}\n{more}-\n"


def read_lines(text: str, currency: str = "CNY") -> list[tuple[str, int, str]]:
    told = from_mt940(text.encode(), ACCOUNT, currency)
    return [(line.direction.value, line.amount.minor, line.bank_line_id) for line in told.lines]


def test_signs_amounts_and_what_an_entry_says() -> None:
    told = from_mt940(message().encode(), ACCOUNT, "CNY")
    assert (told.first, told.last, told.opening, told.closing) == (DAY, DAY, Money(1_000), Money(9_500))
    first, second, third, fourth = told.lines
    assert (first.direction, first.amount, first.bank_line_id, first.reference) == (
        Direction.CREDIT,
        Money(10_050),
        "B-1",
        "REF-1",
    )
    assert (first.text, first.bank_date, first.value_date) == ("货款 甲公司", DAY, DAY)
    assert (second.direction, second.amount, second.reference) == (Direction.DEBIT, Money(2_000), None)
    assert second.counterparty_account is not None and second.counterparty_account.clear == "DE000001"
    assert second.counterparty_name is not None and second.counterparty_name.clear == "Muster GmbH"
    assert second.text == "SEPA Rechnung 7 vom 1."
    # RD takes a debit back, RC a credit.
    assert (third.direction, third.amount, third.text) == (Direction.CREDIT, Money(525), "冲正 退回")
    assert (fourth.direction, fourth.amount, fourth.text) == (Direction.DEBIT, Money(75), "冲正 supplementary")
    assert len(third.bank_line_id) == 24 and from_mt940(message().encode(), ACCOUNT, "CNY") == told


def test_blocks_another_charset_and_other_accounts() -> None:
    wrapped = "{1:F01XXXX}{2:I940X}{4:\r\n" + message().replace("\n-\n", "\n-}\n").replace("\n", "\r\n")
    other = message(account="0000999", entries=":61:nonsense\n")
    plain = from_mt940(message().encode(), ACCOUNT, "CNY")
    assert from_mt940((other + wrapped).encode("gb18030"), ACCOUNT, "CNY", "gb18030") == plain
    for account in (f"102100099996/{ACCOUNT}", f"{ACCOUNT}CNY", "0000 0000 0001 18"):
        assert from_mt940(message(account=account).encode(), ACCOUNT, "CNY") == plain


def test_pages_are_one_statement() -> None:
    first = message(":61:261127C1,NTRFNONREF//A\n", closing="62M:C261127CNY11,", number="5/1")
    second = message(":61:261127D1,NTRFNONREF//B\n", "60M:C261127CNY11,", "62F:C261127CNY10,", "5/2")
    told = from_mt940((first + second).encode(), ACCOUNT, "CNY")
    assert (len(told.lines), told.opening, told.closing) == (2, Money(1_000), Money(1_000))
    for text, said in (
        (second, "is a later page"),
        (first, "continues"),
        (second + first, "is a later page"),
        (first + second.replace("60M", "60F"), "a page between 5/1 and 5/2 is missing"),
        (
            first + second.replace("60M:C261127CNY11", "60M:C261127CNY12"),
            "5/2 opens with 12.00, 5/1 before it closes with",
        ),
    ):
        with pytest.raises(BadStatement, match=said):
            read_lines(text)


def test_a_statement_of_several_days_and_an_overdraft() -> None:
    one = message(":61:2611261126D30,NTRFNONREF//A\n", "60F:C261125CNY10,", "62F:D261126CNY20,", "5")
    two = message(":61:2611271127C5,NTRFNONREF//B\n", "60F:D261126CNY20,", "62F:D261127CNY15,", "6")
    told = from_mt940((one + two).encode(), ACCOUNT, "CNY")
    assert (told.first, told.last) == (date(2026, 11, 26), DAY)
    assert (told.opening, told.closing) == (Money(1_000), Money(-1_500))
    empty = message("", "60F:C261126CNY10,", "62F:C261127CNY10,")
    with pytest.raises(BadStatement, match="occurs twice, first in line 1"):
        read_lines(empty + empty)


def test_the_day_of_an_entry() -> None:
    """The entry date has no year; without one the value date counts, unless it is outside of the statement."""
    entries = ":61:2701021231C1,NTRFNONREF//A\n:61:270104C1,NTRFNONREF//B\n:61:261231C1,NTRFNONREF//C\n"
    told = from_mt940(message(entries, "60F:C261230CNY0,", "62F:C261231CNY3,").encode(), ACCOUNT, "CNY")
    assert [line.bank_date for line in told.lines] == [date(2026, 12, 31)] * 3
    assert [str(line.value_date) for line in told.lines] == ["2027-01-02", "2027-01-04", "2026-12-31"]


def test_entries_that_are_alike_are_as_many_as_there_are() -> None:
    entries = ":61:2611271127C1,NTRFNONREF\n" * 2 + ":61:2611271127C1,NTRFNONREF//A\n:61:2611271127D1,NCHGNONREF//A\n"
    told = from_mt940(message(entries, closing="62F:C261127CNY12,").encode(), ACCOUNT, "CNY")
    assert [line.occurrence for line in told.lines] == [0, 1, 0, 1]


def test_a_currency_without_decimals() -> None:
    entries = ":61:2611271127C100,NTRFNONREF//A\n"
    text = message(entries, "60F:C261126JPY0,", "62F:C261127JPY100,", more="")
    assert read_lines(text, "JPY") == [("credit", 100, "A")]
    with pytest.raises(BadStatement, match="line 5: 100,5 has more decimals than JPY"):
        read_lines(text.replace("C100,", "C100,5"), "JPY")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no statement of this account; there are 0"),
        (message(account="1"), "there are 1 of others"),
        (message().replace("62F:C261127CNY95,", "62F:C261127CNY95,01"), "opens with 10.00, its 4 entries make 95.00"),
        (message().partition(":62F:")[0], "has no :62F: or :62M:; the file may be cut"),
        (message().replace(":28C:5/1\n", ""), "has no :28: or :28C:"),
        (message(number="x"), "not a statement number"),
        (message().replace(":25:", ":25:1\n:25:"), "line 3: .* :25: or :25P: twice"),
        (message().replace("D20,", "D20.00"), "line 7: .* is not an entry"),
        (message().replace("D20,", "D20"), "is not an entry"),
        (message().replace("D20,", "X20,"), "is not an entry"),
        (message().replace("D20,", "D-20,"), "is not an entry"),
        (message().replace("D20,", "D20,001"), "more decimals than CNY"),
        (message().replace("CNY", "USD"), "is in USD"),
        (message().replace("2611271127C", "2611311127C"), "line 5: 261131 is not a date"),
        (message().replace("2611271127C", "2611271332C"), "line 5: 1332 is not an entry date"),
        (message().replace("2611271127C", "2611271128C"), "an entry of 2026-11-28 in a statement that closes on"),
        (message(opening="60F:C261128CNY10,"), "closes before it opens"),
        (message(opening="60F:261126CNY10,"), "not a balance"),
        (message(more=":61:2611271127C1,NTRFNONREF\n"), "not between the two balances"),
        (message(more=":99:x\n"), ":99: is not a field"),
        ("x\n" + message(), "line 1 belongs to no field"),
        (":25:1\n" + message(), "line 1: a message begins with :20:"),
        ("<Document/>", "belongs to no field"),
        ("date;amount\n1;2\n", "belongs to no field"),
        ("\x00\x01", "belongs to no field"),
    ],
)
def test_what_is_no_mt940_statement(text: str, said: str) -> None:
    with pytest.raises(BadStatement, match=said):
        read_lines(text)


def test_a_file_is_known_by_its_beginning() -> None:
    assert is_mt940(message().encode("utf-8-sig")) and is_mt940(b"\r\n{1:F01X}{4:\r\n:20:1")
    assert not is_mt940(b"date;amount") and not is_mt940(b"")


def test_a_charset_that_does_not_fit_and_a_file_too_large() -> None:
    with pytest.raises(BadStatement, match="as MT940 in utf-8-sig"):
        from_mt940(message().encode("gb18030"), ACCOUNT, "CNY")
    with pytest.raises(BadStatement, match="hand it in by days"):
        from_mt940(b" " * 16_777_217, ACCOUNT, "CNY")


def test_amounts_filled_with_zeros_are_read() -> None:
    filled = message(
        ENTRIES.replace("C100,5", "C00000000100,50"), "60F:C261126CNY000000000010,", "62F:C261127CNY00095,00"
    )
    assert read_lines(filled) == read_lines(message())


@given(st.integers(0, len(message())), st.text(alphabet=":-\n{}26086F1,CDR/?0A货", max_size=6), st.integers(0, 8))
def test_a_damaged_file_is_refused_or_still_adds_up(place: int, put: str, cut: int) -> None:
    """The only error is BadStatement, and lines always lead from the opening to the closing balance."""
    text = message()
    try:
        told = from_mt940((text[:place] + put + text[place + cut :]).encode(), ACCOUNT, "CNY")
    except BadStatement:
        return
    total = sum(line.amount.minor * (1 if line.direction is Direction.CREDIT else -1) for line in told.lines)
    assert told.opening is not None and told.closing is not None
    assert told.opening.minor + total == told.closing.minor
