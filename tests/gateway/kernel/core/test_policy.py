"""Checks of an order against its bank's and its sender's limits: all faults at once, each with its field."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.canon.errors import FieldCode
from protocols.canon.limits import AmountLimit, FieldLimit, Limits
from protocols.canon.money import Money
from protocols.canon.order import Kind, Order, Payment, PaymentDetail
from protocols.canon.party import AccountNumber, Name, Party

TODAY = date(2026, 11, 24)
LIMITS = Limits(
    charset="GBK",
    fields=(
        FieldLimit("/purpose", max_bytes=38, forbidden="<>"),
        FieldLimit("/creditor/cnaps", pattern="[0-9]{12}"),
        FieldLimit("/creditor/bank_name", required=True),
    ),
    amount=AmountLimit(min_minor=1, max_minor=10_000_00),
)
ROUTE = Route("0000000000000000017", "jia", "pab", "pab.main", "CNY", LIMITS, frozenset({Kind.PAYMENT}))


def order(**changes: Any) -> Payment:
    debtor = Party(AccountNumber("0000000000000000017"), Name("示例甲公司"))
    creditor = Party(AccountNumber("0000000000000000025"), Name("示例乙公司"), "示例银行某支行", "000000000000")
    made = Order("AP-1", debtor, creditor, Money(100), PaymentDetail(), purpose="货款")
    return replace(made, **changes)


def faults(given: Payment, route: Route = ROUTE) -> list[tuple[str, FieldCode]]:
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


def test_a_good_order_has_no_fault() -> None:
    assert faults(order()) == []


def test_every_fault_is_reported_at_once() -> None:
    creditor = Party(AccountNumber("0000000000000000025"), Name("䶮"), None, "12")
    found = faults(order(creditor=creditor, purpose="<" + "货" * 20, amount=Money(10_000_01)))
    assert set(found) == {
        ("/amount", FieldCode.AMOUNT_RANGE),
        ("/purpose", FieldCode.TOO_LONG),
        ("/purpose", FieldCode.FORBIDDEN_CHARACTER),
        ("/creditor/cnaps", FieldCode.PATTERN),
        ("/creditor/bank_name", FieldCode.REQUIRED),
        ("/creditor/name", FieldCode.CHARSET),
    }


def test_lengths_count_bytes_of_the_banks_charset() -> None:
    exactly = order(purpose="货" * 19)
    one_more = order(purpose="货" * 19 + "x")
    assert faults(exactly) == []
    [fault] = check(one_more, ROUTE, TODAY)
    assert (fault.detail, fault.limit) == ("39 bytes in GBK, limit 38", 38)


def test_an_unencodable_character_is_named_with_its_position() -> None:
    [fault] = check(order(purpose="货€款"), ROUTE, TODAY)
    assert fault.detail == "'€' (U+20AC, position 2) not in GBK"


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (replace(ROUTE, kinds=frozenset()), FieldCode.UNSUPPORTED),
        (replace(ROUTE, closed=TODAY), FieldCode.ACCOUNT_CLOSED),
        (replace(ROUTE, opened=date(2026, 11, 25)), FieldCode.ACCOUNT_CLOSED),
        (replace(ROUTE, currency="USD"), FieldCode.CURRENCY),
        (replace(ROUTE, limits=replace(LIMITS, amount=AmountLimit(currencies=("USD",)))), FieldCode.CURRENCY),
    ],
)
def test_the_account_and_the_bank_must_carry_it(route: Route, code: FieldCode) -> None:
    assert code in [fault.code for fault in check(order(), route, TODAY)]


@pytest.mark.parametrize(("name", "found"), [("示例甲公司", False), ("示例甲 公司", False), ("示例乙公司", True)])
def test_the_own_accounts_name_is_that_of_the_register(name: str, found: bool) -> None:
    given = order(debtor=Party(AccountNumber("0000000000000000017"), Name(name)))
    for binds in (True, False):
        route = replace(ROUTE, holder="示例甲公司", holder_binds=binds)
        assert faults(given, route) == ([("/debtor/name", FieldCode.HOLDER_NAME)] if found and binds else [])


def test_full_width_brackets_are_the_same_name() -> None:
    given = order(debtor=Party(AccountNumber("0000000000000000017"), Name("示例(集团)公司")))
    assert faults(given, replace(ROUTE, holder="示例（集团）公司")) == []


@pytest.mark.parametrize("blanks", ["", " ", "\u3000", " \u3000 "])
def test_blanks_are_no_value_of_a_required_field(blanks: str) -> None:
    creditor = replace(order().creditor, bank_name=blanks)
    assert faults(order(creditor=creditor)) == [("/creditor/bank_name", FieldCode.REQUIRED)]
