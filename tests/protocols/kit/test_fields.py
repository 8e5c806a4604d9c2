"""Amounts, dates, fixed-width records and delimited rows."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import (
    Column,
    Delimited,
    Layout,
    amount_minor,
    amount_text,
    date_text,
    digits,
    months_after,
    parse_date,
    parse_time,
    plain,
    time_text,
)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("12.50", 1250),
        ("12.5", 1250),
        ("12", 1200),
        ("0", 0),
        ("0.01", 1),
        (" 1.00\n", 100),
        ("1.500", 150),
        ("007.10", 710),
    ],
)
def test_amounts(text: str, minor: int) -> None:
    assert amount_minor(text) == minor


@pytest.mark.parametrize(
    "text",
    [
        *["", ".5", "5.", "1e5", "-0", "+1", "-1", "NaN", "Infinity", "1,000.00", "１２", "١٢", "1.005", "0x10", "1 0"],
        *["1_0", "1.00\u200b", "1.0000000", "²"],
        "9" * 16,
        "1" * 5000,
    ],
)
def test_no_amounts(text: str) -> None:
    with pytest.raises(ProtocolError, match="value"):
        amount_minor(text)


def test_signed_amounts_only_where_asked_for() -> None:
    assert amount_minor("-12.50", signed=True) == -1250
    assert amount_minor("12.50", signed=True) == 1250


def test_currencies_without_decimals() -> None:
    assert amount_minor("1200", decimals=0) == 1200
    assert amount_minor("1200.00", decimals=0) == 1200
    assert amount_text(1200, decimals=0) == "1200"
    with pytest.raises(ProtocolError):
        amount_minor("1200.50", decimals=0)


@given(st.integers(-(10**17) + 1, 10**17 - 1), st.sampled_from([0, 2, 3]))
def test_amounts_go_round(minor: int, decimals: int) -> None:
    if abs(minor) < 10 ** (15 + decimals):
        assert amount_minor(amount_text(minor, decimals=decimals), decimals=decimals, signed=True) == minor


def test_digits() -> None:
    assert digits(" 001250 ") == 1250
    for wrong in ("", "-1", "1.0", "１", "²", "1" * 19, "a"):
        with pytest.raises(ProtocolError, match="value"):
            digits(wrong)
    assert digits("1" * 19, most=19) == int("1" * 19)


def test_dates_and_times() -> None:
    day = date(2026, 1, 5)
    assert date_text(day) == "20260105"
    assert date_text(date(999, 1, 5)) == "09990105"
    assert date_text(day, "yyyy/MM/dd") == "2026/01/05"
    assert parse_date("20260105") == parse_date(" 2026-01-05 ", "yyyy-MM-dd") == day
    for wrong in ("20260230", "2026-01-05", "2026105", "２０２６0105", "", "00000000"):
        with pytest.raises(ProtocolError, match="value"):
            parse_date(wrong)
    assert time_text(time(8, 5, 9)) == "080509"
    assert parse_time("08:05:09", "HH:mm:ss") == parse_time("080509") == time(8, 5, 9)
    for wrong in ("246000", "0805", "08:05:09"):
        with pytest.raises(ProtocolError, match="value"):
            parse_time(wrong)


def test_deceiving_characters_are_made_visible() -> None:
    assert plain("甲公司") == "甲公司"
    assert plain("甲\u202e公\u200b司\r\n,=1") == "甲\ufffd公\ufffd司\ufffd\ufffd,=1"


LAYOUT = Layout((Column("code", 6), Column("length", 10, "N"), Column("text", 7)), GBK)


def test_fixed_width_counts_bytes_and_pads_by_kind() -> None:
    record = LAYOUT.pack({"code": "4001", "length": "128", "text": "成功a"})
    assert record == b"4001  0000000128" + "成功a".encode("gbk") + b"  "
    assert LAYOUT.width == len(record) == 23
    assert LAYOUT.place("length") == (6, 16)
    assert LAYOUT.unpack(record) == {"code": "4001", "length": "0000000128", "text": "成功a"}


def test_a_text_cut_inside_a_character_reads_without_its_half() -> None:
    record = b"4001  0000000128" + "交易受理".encode("gbk")[:7]
    assert LAYOUT.unpack(record)["text"] == "交易受"


def test_fixed_width_refusals() -> None:
    with pytest.raises(ProtocolError, match="value"):
        LAYOUT.pack({"code": "1234567"})
    with pytest.raises(ProtocolError, match="value"):
        LAYOUT.pack({"text": "成功成功"})
    with pytest.raises(ProtocolError, match="value"):
        LAYOUT.pack({"length": "-1"})
    with pytest.raises(ProtocolError, match="unencodable"):
        LAYOUT.pack({"text": "𠮷"})
    with pytest.raises(ProtocolError, match="frame_length"):
        LAYOUT.unpack(b"short")
    with pytest.raises(AssertionError):
        LAYOUT.pack({"unknown": "1"})
    with pytest.raises(AssertionError):
        Layout((Column("a", 1), Column("a", 1)), GBK)


def test_delimited_rows() -> None:
    rows = Delimited("|", "\n", trailing=True, columns=3)
    assert rows.joined_rows([["a", "", "c"], ["甲", "乙", "丙"]]) == "a||c|\n甲|乙|丙|"
    assert rows.split_rows("a||c|\r\n\n甲|乙|丙|\n") == [["a", "", "c"], ["甲", "乙", "丙"]]
    assert rows.split_rows("a|b|c") == [["a", "b", "c"]]
    assert rows.split_rows("") == []
    for wrong in ("a|b", "a|b|c|d|"):
        with pytest.raises(ProtocolError, match="value"):
            rows.split_rows(wrong)
    for bad in (["a|", "b", "c"], ["a\n", "b", "c"], ["a", "b"]):
        with pytest.raises(ProtocolError, match="value"):
            rows.joined_rows([bad])
    assert Delimited("^").split_rows("a^b\nc") == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("day", "months", "after"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2028-01-30", 1, "2028-02-29"),
        ("2026-02-28", 1, "2026-03-28"),
        ("2026-03-31", -1, "2026-02-28"),
        ("2026-01-01", -12, "2025-01-01"),
    ],
)
def test_months_end_on_the_same_day_or_the_month_s_last(day: str, months: int, after: str) -> None:
    assert months_after(date.fromisoformat(day), months) == date.fromisoformat(after)
