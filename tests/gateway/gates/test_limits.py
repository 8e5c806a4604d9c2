"""Rule `limits`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.core.gate import PASS, Refuse
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.payments.gates.limits import LimitsRule
from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import Money
from tests.gateway.gates.facts import at_admission
from tests.protocols.erp.orders import ORDER

OF_100 = replace(ORDER, amount=Money(100))


@pytest.mark.parametrize(
    ("allowance", "usage", "over"),
    [
        (Allowance("erp", per_payment_minor=99), UsageFacts(), True),
        (Allowance("erp", per_payment_minor=100), UsageFacts(), False),
        (Allowance("erp", per_day_minor=150), UsageFacts(day_minor=51), True),
        (Allowance("erp", per_day_minor=150), UsageFacts(day_minor=50), False),
        (Allowance("erp", per_account_day_minor=150), UsageFacts(account_day_minor=51), True),
        (Allowance("erp", per_payee_day_minor=150), UsageFacts(payee_day_minor=51), True),
    ],
)
def test_limits_are_inclusive(allowance: Allowance, usage: UsageFacts, over: bool) -> None:
    verdict = LimitsRule().judge(at_admission(allowance, usage, made=OF_100))
    assert isinstance(verdict, Refuse) is over and (over or verdict is PASS)


def test_all_broken_limits_are_named() -> None:
    allowance = Allowance("erp", per_payment_minor=1, per_day_minor=1, per_account_day_minor=1, per_payee_day_minor=1)
    verdict = LimitsRule().judge(at_admission(allowance, made=OF_100))
    assert isinstance(verdict, Refuse) and verdict.reason == "validation"
    assert [fault.code for fault in verdict.faults] == [FieldCode.OVER_LIMIT] * 4


def test_what_was_found_before_the_unit_comes_first() -> None:
    fault = Fault("/purpose", FieldCode.TOO_LONG, "40 bytes")
    verdict = LimitsRule().judge(at_admission(Allowance("erp", per_payment_minor=1), made=OF_100, faults=(fault,)))
    assert isinstance(verdict, Refuse) and verdict.faults == (fault,)
