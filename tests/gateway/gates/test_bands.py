"""Rule `bands`."""

from __future__ import annotations

from dataclasses import replace

from gateway.kernel.core.gate import PASS, Hold
from gateway.kernel.core.policy import Allowance, Band
from gateway.payments.gates.bands import BandsAtRelease, BandsRule
from protocols.canon.money import Money
from tests.gateway.gates.facts import PLAIN, at_admission, at_release
from tests.protocols.erp.orders import ORDER

OF_100 = replace(ORDER, amount=Money(100))
ALL_HELD = Allowance("erp", bands=(Band(0, None, hold=True),))


def test_bands_hold_what_lies_above_their_edge() -> None:
    held, free = (Band(0, 99, False), Band(99, None, True)), (Band(0, 100, False), Band(100, None, True))
    assert BandsRule().judge(at_admission(Allowance("erp", bands=held), made=OF_100)) == Hold("approval")
    assert BandsRule().judge(at_admission(Allowance("erp", bands=free), made=OF_100)) is PASS


def test_the_sum_of_a_batch_holds_each_of_its_items() -> None:
    assert BandsRule().judge(at_admission(band_of_whole=True)) == Hold("approval")


def test_at_a_release_only_a_person_clears_what_it_was_held_for() -> None:
    judge = BandsAtRelease().judge
    assert judge(at_release(("approval",), (), PLAIN)) == Hold("approval"), (
        "the settings hold it no more, and it is held"
    )
    assert judge(at_release(("new_payee",), ("new_payee",), ALL_HELD)) == Hold("approval"), "a band of today's settings"
    assert judge(at_release(("approval",), ("approval",), ALL_HELD)) is PASS
    assert judge(at_release(("new_payee",), ("new_payee",), ALL_HELD, earlier=("approval",))) is PASS, "cleared before"
    assert judge(at_release(("approval",), (), None, earlier=("approval",))) == Hold("approval"), "an unknown sender"
