"""Sums of money: the three records are added up separately, and count as equal only if all of them agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.demo.orders import DemoOrder
from gateway.demo.report import money_check
from gateway.demo.sums import AmountShare, MoneyRow, PaymentSum, money_text, sums
from gateway.demo.verdict import Executed, Journalled, OrderResult, Verdict
from protocols.canon.outcome import State
from protocols.twin import Booked

PLAN = (
    (State.SETTLED, Booked.SETTLED, 100_00),
    (State.SETTLED, Booked.SETTLED, 20_50),
    (State.RETURNED, Booked.RETURNED, 3_00),
    (State.IN_DOUBT, None, 7_00),
    (State.IN_DOUBT, Booked.SETTLED, 9_00),
    (State.FAILED, Booked.REFUSED, 11_00),
    (State.REJECTED, None, 13_00),
)


def world() -> tuple[Verdict, list[Executed], list[Journalled]]:
    fates, executed, journal = [], [], []
    for n, (told, booked, minor) in enumerate(PLAN):
        order = DemoOrder(f"AP-{n}", "sample", "0000100", f"00009{n}", "示例", (minor,), "货款", "plain")
        fates.append(OrderResult(order, told, booked, f"P{n}", f"R{n}"))
        if booked is not None:
            executed.append(Executed("sample", f"R{n}", "0000100", order.creditor, minor, booked))
        if told is not State.REJECTED:
            journal.append(Journalled(f"P{n}", order.id, told, 2, "sample", f"R{n}", 1, (), minor))
    return Verdict(tuple(fates), ()), executed, journal


def rows(*found: object) -> dict[AmountShare, MoneyRow]:
    return {row.share: row for row in sums(*found)}  # type: ignore[arg-type]


def test_the_three_accounts_agree() -> None:
    by = rows(*world())
    assert (
        by[AmountShare.PAID].ordered
        == by[AmountShare.PAID].journal
        == by[AmountShare.PAID].ledgers
        == PaymentSum(3, 123_50)
    )
    assert by[AmountShare.CAME_BACK].ordered == by[AmountShare.CAME_BACK].ledgers == PaymentSum(1, 3_00)
    assert (by[AmountShare.IN_DOUBT].ordered, by[AmountShare.IN_DOUBT].ledgers) == (
        PaymentSum(2, 16_00),
        PaymentSum(1, 9_00),
    )
    assert by[AmountShare.NOT_PAID].ordered == PaymentSum(2, 24_00)
    assert by[AmountShare.TOTAL].ordered == PaymentSum(7, 163_50)
    assert [row.agrees for row in by.values()] == [True, True, True, None, None]
    check = money_check(tuple(by.values()))
    assert check.holds and str(check.detail) == "CNY 123.50 carried out, 3.00 of it came back"


@pytest.mark.parametrize("fault", ["twice", "never", "other amount", "journal", "came back"])
def test_money_that_differs_is_seen(fault: str) -> None:
    verdict, executed, journal = world()
    if fault == "twice":
        executed.append(executed[0])
    elif fault == "never":
        del executed[0]
    elif fault == "other amount":
        executed[0] = replace(executed[0], minor=1)
    elif fault == "journal":
        journal[0] = replace(journal[0], minor=1)
    else:
        executed[0] = replace(executed[0], booked=Booked.RETURNED)
    check = money_check(sums(verdict, executed, journal))
    assert not check.holds
    assert "CNY" in str(check.detail)


def test_another_currency_is_another_sum() -> None:
    verdict, executed, journal = world()
    executed[0] = replace(executed[0], currency="USD")
    found = sums(verdict, executed, journal)
    assert {row.currency for row in found} == {"CNY", "USD"}
    assert not money_check(found).holds


def test_of_two_amounts_under_one_id_the_one_that_was_taken_counts() -> None:
    verdict, executed, journal = world()
    fate = verdict.fates[0]
    both = replace(fate, order=replace(fate.order, amounts_minor=(100_01, 100_00)))
    by = rows(replace(verdict, fates=(both, *verdict.fates[1:])), executed, journal)
    assert by[AmountShare.PAID].agrees


def test_money_is_written_for_people() -> None:
    assert money_text(1_234_567_05) == "1,234,567.05"
