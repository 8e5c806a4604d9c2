"""Rule `earlier_holds`."""

from __future__ import annotations

from gateway.kernel.core.gate import PASS, Hold
from gateway.payments.gates.earlier_holds import EarlierHolds
from tests.gateway.gates.facts import at_release


def test_no_release_loses_a_reason_that_it_does_not_name() -> None:
    held = ("cannot_be_prepared", "not_entitled", "approval", "of_a_later_version")
    assert EarlierHolds().judge(at_release(held, ("approval",))) == Hold(
        "cannot_be_prepared", also=("not_entitled", "of_a_later_version")
    )
    assert EarlierHolds().judge(at_release(held, ("cannot_be_prepared", "of_a_later_version"))) == Hold("not_entitled")
    assert EarlierHolds().judge(at_release(("approval", "funding"), ())) is PASS, "other rules answer for these"
