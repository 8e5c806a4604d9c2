"""Rule `duplicates`."""

from __future__ import annotations

from gateway.kernel.core.gate import PASS, Hold
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.payments.gates.duplicates import DuplicatesAtRelease, DuplicatesRule
from tests.gateway.gates.facts import at_admission, at_release

ALIKE = UsageFacts(alike_id="AP-0")


def test_a_suspected_duplicate_is_held_never_dropped() -> None:
    assert DuplicatesRule().judge(at_admission(Allowance("erp"), ALIKE)) == Hold("suspected_duplicate")
    assert DuplicatesRule().judge(at_admission(Allowance("erp", alike_hours=0), ALIKE)) is PASS
    assert DuplicatesRule().judge(at_admission(Allowance("erp"))) is PASS


def test_at_a_release_it_holds_until_a_person_clears_it() -> None:
    held = ("suspected_duplicate", "approval")
    assert DuplicatesAtRelease().judge(at_release(held, ("approval",))) == Hold("suspected_duplicate")
    assert DuplicatesAtRelease().judge(at_release(held, ("suspected_duplicate",))) is PASS
    assert DuplicatesAtRelease().judge(at_release(("approval",), (), usage=ALIKE)) is PASS, (
        "it is not searched for again"
    )
