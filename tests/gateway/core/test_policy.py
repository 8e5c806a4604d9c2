"""What keeps an order from its bank, and what the sender's limits say: all faults at once, each with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gateway.core.policy import Allowance, Band, Route, UsageFacts, check, judge, still_held
from gateway.core.states import Hold, Reject, Release
from protocols.canon.errors import FieldCode
from protocols.canon.limits import AmountLimit, FieldLimit, Limits
from protocols.canon.money import Money
from protocols.canon.order import Kind, Order, Payment, PaymentDetail
from protocols.canon.party import AccountNumber, Name, Party

TODAY = date(2026, 11, 24)
LIMITS = Limits(
    charset="GBK",
    fields=(FieldLimit("/purpose", max_bytes=38, forbidden="<>"), FieldLimit("/creditor/cnaps", pattern="[0-9]{12}"),
            FieldLimit("/creditor/bank_name", required=True)),
    amount=AmountLimit(min_minor=1, max_minor=10_000_00),
)  # fmt: skip
ROUTE = Route("0000000000000000017", "jia", "pab", "pab.main", "CNY", LIMITS, frozenset({Kind.PAYMENT}))


def order(**changes: object) -> Payment:
    debtor = Party(AccountNumber("0000000000000000017"), Name("示例甲公司"))
    creditor = Party(AccountNumber("0000000000000000025"), Name("示例乙公司"), "示例银行某支行", "000000000000")
    made = Order("AP-1", debtor, creditor, Money(100), PaymentDetail(), purpose="货款")
    return replace(made, **changes)  # type: ignore[arg-type]


def faults(given: Payment, route: Route = ROUTE) -> list[tuple[str, FieldCode]]:
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


def test_a_good_order_has_no_fault() -> None:
    assert faults(order()) == []


def test_every_fault_is_reported_at_once() -> None:
    creditor = Party(AccountNumber("0000000000000000025"), Name("䶮"), None, "12")
    found = faults(order(creditor=creditor, purpose="<" + "货" * 20, amount=Money(10_000_01)))
    assert set(found) == {
        ("/amount", FieldCode.AMOUNT_RANGE), ("/purpose", FieldCode.TOO_LONG),
        ("/purpose", FieldCode.FORBIDDEN_CHARACTER), ("/creditor/cnaps", FieldCode.PATTERN),
        ("/creditor/bank_name", FieldCode.REQUIRED), ("/creditor/name", FieldCode.CHARSET),
    }  # fmt: skip


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


def verdict(allowance: Allowance, facts: UsageFacts = UsageFacts()) -> object:
    return judge(order(), allowance, facts, at_ms=1, send_after_ms=2).event


@pytest.mark.parametrize(
    ("allowance", "facts", "over"),
    [
        (Allowance("erp", per_payment_minor=99), UsageFacts(), True),
        (Allowance("erp", per_payment_minor=100), UsageFacts(), False),
        (Allowance("erp", per_day_minor=150), UsageFacts(day_minor=51), True),
        (Allowance("erp", per_day_minor=150), UsageFacts(day_minor=50), False),
        (Allowance("erp", per_account_day_minor=150), UsageFacts(account_day_minor=51), True),
        (Allowance("erp", per_payee_day_minor=150), UsageFacts(payee_day_minor=51), True),
    ],
)
def test_limits_are_inclusive(allowance: Allowance, facts: UsageFacts, over: bool) -> None:
    assert isinstance(verdict(allowance, facts), Reject if over else Release)


def test_all_broken_limits_are_named() -> None:
    allowance = Allowance("erp", per_payment_minor=1, per_day_minor=1, per_account_day_minor=1, per_payee_day_minor=1)
    judged = judge(order(), allowance, UsageFacts(), at_ms=1, send_after_ms=1)
    assert len(judged.faults) == 4 and all(fault.code is FieldCode.OVER_LIMIT for fault in judged.faults)


def test_a_suspected_duplicate_is_held_never_dropped() -> None:
    assert verdict(Allowance("erp"), UsageFacts(alike_id="AP-0")) == Hold(1, "suspected_duplicate")
    assert isinstance(verdict(Allowance("erp", alike_hours=0), UsageFacts(alike_id="AP-0")), Release)


def test_a_new_payee_is_held_only_if_the_sender_wants_it() -> None:
    assert verdict(Allowance("erp", hold_new_payee=True), UsageFacts(payee_known=False)) == Hold(1, "new_payee")
    assert isinstance(verdict(Allowance("erp"), UsageFacts(payee_known=False)), Release)


def test_bands_hold_what_lies_above_their_edge() -> None:
    bands = (Band(0, 99, False), Band(99, None, True))
    assert verdict(Allowance("erp", bands=bands)) == Hold(1, "approval")
    assert isinstance(verdict(Allowance("erp", bands=(Band(0, 100, False), Band(100, None, True)))), Release)


def test_all_reasons_are_found_the_gravest_first() -> None:
    allowance = Allowance("erp", bands=(Band(0, None, hold=True),), hold_new_payee=True)
    found = verdict(allowance, UsageFacts(payee_known=False, alike_id="AP-0"))
    assert found == Hold(1, "suspected_duplicate", ("new_payee", "approval"))


@pytest.mark.parametrize(("paid_minor", "held"), [(None, True), (1, True), (9, True), (10, False), (1_000, False)])
def test_a_payee_is_known_up_to_a_multiple_of_what_stayed_with_him(paid_minor: int | None, held: bool) -> None:
    """The order is of 100: a payment of 0.01 does not cover it, ten of them would."""
    allowance = Allowance("erp", hold_new_payee=True, payee_cover=10)
    facts = UsageFacts(payee_known=False, payee_paid_minor=paid_minor)
    assert isinstance(verdict(allowance, facts), Hold) is held


def test_what_is_left_of_a_hold_is_judged_again() -> None:
    """A cleared reason stays cleared, a band of today's settings holds, a payee known by now holds no more."""
    calm, strict = Allowance("erp"), Allowance("erp", bands=(Band(0, None, hold=True),), hold_new_payee=True)
    held = ("suspected_duplicate", "new_payee", "cannot_be_prepared")
    unknown = UsageFacts(payee_known=False)
    assert still_held(order(), calm, UsageFacts(), held, {"suspected_duplicate"}) == ("cannot_be_prepared",)
    assert still_held(order(), strict, unknown, held, {"suspected_duplicate"}) == (
        "new_payee", "approval", "cannot_be_prepared")  # fmt: skip
    assert still_held(order(), strict, unknown, held, {*held, "approval"}) == ()
    assert still_held(order(), strict, UsageFacts(), held, held) == ("approval",)
    assert still_held(order(), calm, UsageFacts(alike_id="AP-0"), ("approval",), ()) == ("approval",)


@pytest.mark.parametrize(
    ("name", "found"),
    [("示例甲公司", False), ("示例甲 公司", False), ("示例乙公司", True)],
)
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
