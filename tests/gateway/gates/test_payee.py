"""Rule `payee`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.core.gate import PASS, Hold
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.payments.gates.payee import PayeeAtRelease, PayeeRule
from protocols.canon.money import Money
from tests.gateway.gates.facts import at_admission, at_release
from tests.protocols.erp.orders import ORDER

STRICT, UNKNOWN = Allowance("erp", hold_new_payee=True, payee_cover=10), UsageFacts(payee_known=False)
OF_100 = replace(ORDER, amount=Money(100))


def test_a_new_payee_is_held_only_if_the_sender_wants_it() -> None:
    assert PayeeRule().judge(at_admission(STRICT, UNKNOWN)) == Hold("new_payee")
    assert PayeeRule().judge(at_admission(Allowance("erp"), UNKNOWN)) is PASS
    assert PayeeRule().judge(at_admission(STRICT)) is PASS


@pytest.mark.parametrize(("paid_minor", "held"), [(None, True), (1, True), (9, True), (10, False), (1_000, False)])
def test_a_payee_is_known_up_to_a_multiple_of_what_stayed_with_him(paid_minor: int | None, held: bool) -> None:
    """The order is of 100: a payment of 0.01 does not cover it, ten of them would."""
    usage = UsageFacts(payee_known=False, payee_paid_minor=paid_minor)
    assert PayeeRule().judge(at_admission(STRICT, usage, made=OF_100)) == (Hold("new_payee") if held else PASS)


def test_at_a_release_it_is_judged_again_by_the_settings_of_now() -> None:
    held = ("new_payee", "approval")
    judge = PayeeAtRelease().judge
    assert judge(at_release(held, ("approval",), STRICT, UNKNOWN)) == Hold("new_payee")
    assert judge(at_release(held, ("new_payee",), STRICT, UNKNOWN)) is PASS, "a person cleared it"
    assert judge(at_release(held, ("approval",), STRICT)) is PASS, "it is known by now"
    assert judge(at_release(("approval",), (), STRICT, UNKNOWN)) == Hold("new_payee"), "the settings became stricter"
    assert judge(at_release(("approval",), (), STRICT, UNKNOWN, earlier=("new_payee",))) is PASS, "cleared once"


def test_without_the_senders_settings_what_held_it_holds_it() -> None:
    assert PayeeAtRelease().judge(at_release(("new_payee",), (), None)) == Hold("new_payee")
    assert PayeeAtRelease().judge(at_release(("approval",), (), None)) is PASS
