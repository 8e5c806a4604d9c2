"""Checks of orders before they are written, renminbi and Beijing time, time-outs and opening hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from lxml import etree

from protocols.bank import Context
from protocols.canon.limits import Hours, Pace, ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import BatchItemDetail, Bundle, Channel, Item, Kind, Order
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit import http
from protocols.kit.china import BEIJING, check_amount, check_renminbi, gbk_limits, moment_or_none, money_or_none
from protocols.kit.errors import ProtocolError
from protocols.kit.orders import check_lines, common_purpose, fitting, own_account, own_bank, required, sent_items
from protocols.kit.timing import OpeningHours, Timing

PAYER = Party(AccountNumber("0000000001"), Name("示例公司"))
PAYEE = Party(AccountNumber("0000000002"), Name("另一公司"), "示例银行某支行", "000100000017")
ORDER = Order("1", PAYER, PAYEE, Money(100), BatchItemDetail("b", 1), purpose="货款")
BUNDLE = Bundle(Kind.BATCH_ITEM, (Item(ORDER, "R1"), Item(replace(ORDER, id="2"), "R2")))
CONTEXT = Context("B", 2, date(2026, 11, 2), datetime(2026, 11, 2, 9, tzinfo=UTC), (1,))


def reason_of(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(ProtocolError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.reason


def test_texts() -> None:
    assert required("x", "name") == "x" and reason_of(required, "  ", "name") == "missing"
    assert fitting("货款", "purpose", 4) == "货款" and reason_of(fitting, "货款", "purpose", 3) == "value"
    assert fitting("x", "purpose", 4) == "x"
    assert fitting("", "purpose", 4, min_bytes=0) == "" and reason_of(fitting, "", "purpose", 4) == "value"


def test_the_lines_of_a_bundle() -> None:
    check_lines(BUNDLE, 2)
    check_lines(Bundle(Kind.BATCH_ITEM, BUNDLE.items[:1]), 1)
    assert reason_of(check_lines, BUNDLE, 1) == "value"
    assert reason_of(check_lines, Bundle(Kind.BATCH_ITEM, ()), 9) == "value"
    assert reason_of(check_lines, Bundle(Kind.BATCH_ITEM, BUNDLE.items[:1] * 2), 9) == "ambiguous"
    assert (own_account(BUNDLE), common_purpose(BUNDLE)) == ("0000000001", "货款")
    mixed = Bundle(Kind.BATCH_ITEM, (BUNDLE.items[0], Item(replace(ORDER, debtor=PAYEE, purpose="租金"), "R2")))
    assert reason_of(own_account, mixed) == "value" and common_purpose(mixed) == ""


def test_items_as_the_journal_writes_them_down() -> None:
    first, second = sent_items(BUNDLE, CONTEXT)
    assert (first.reference, second.reference, first.attempt, first.bank_date) == ("R1", "R2", 2, date(2026, 11, 2))
    assert (first.amount, first.debtor, first.creditor, first.serials) == (Money(100), PAYER.account, PAYEE.account, ())


def test_whose_bank_it_is() -> None:
    assert own_bank(PAYEE, ("示例银行",), ()) and own_bank(PAYEE, (), ("0001",))
    assert not own_bank(PAYEE, ("别的",), ("0002",)) and not own_bank(PAYER, ("示例银行",), ("0001",))


def test_renminbi_only() -> None:
    check_amount("pab", Money(1))
    check_amount("pab", Money(10), 10)
    for amount, most in ((Money(0), None), (Money(1, "USD"), None), (Money(11), 10)):
        assert reason_of(check_amount, "pab", amount, most) == "value"
    check_renminbi("pab", "CNY")
    assert reason_of(check_renminbi, "pab", "USD") == "value"


def test_amounts_and_moments_that_may_be_missing() -> None:
    row = etree.fromstring("<r><a>-1.50</a><b/></r>")
    assert [money_or_none(row, tag) for tag in "abc"] == [Money(-150), None, None]
    assert moment_or_none(date(2026, 11, 2), "093000") == datetime(2026, 11, 2, 9, 30, tzinfo=BEIJING)
    assert moment_or_none(date(2026, 11, 2), "250000") is None


def test_limits_count_in_gbk_and_carry_renminbi() -> None:
    limits = gbk_limits((), (Channel.AUTO,), Pace(), ReferenceForm(), 99)
    assert (limits.charset, limits.amount.currencies, limits.amount.max_minor) == ("gbk", ("CNY",), 99)
    assert (limits.channels, limits.hours) == (frozenset({Channel.AUTO}), Hours())


def test_time_outs_pace_and_hours() -> None:
    timing = Timing(first_byte_s=7.0, exchange_s=9.0, per_second=2.0, burst=3, first_enquiry_s=4.0)
    port = timing.port("business", http.answers(100))
    assert (port.kept, port.first_byte_s, port.exchange_s) == (False, 7.0, 9.0)
    assert timing.port("sign", http.answers(100), first_byte_s=1.0).first_byte_s == 1.0
    assert timing.pace({"money": 1.0}) == Pace(2.0, 3, timedelta(seconds=4), {"money": 1.0})
    assert OpeningHours().hours() == Hours()
    hours = OpeningHours("08:30", "17:00", "16:30").hours(asked_outside=False)
    assert (hours.opens, hours.closes, hours.cut_off) == (time(8, 30), time(17), time(16, 30))
    assert not hours.asked_outside
