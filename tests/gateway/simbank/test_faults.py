"""Plans of faults: they are seeded and closed, and each fault strikes only where it can."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.simbank.faults import (
    FAULTS,
    BankCounts,
    BankFault,
    Delays,
    ExchangeKind,
    FaultPlan,
    FaultScript,
    PlannedFault,
    ScriptedFault,
)

MONEY, ENQUIRY, QUESTION, PROBE = ExchangeKind.MONEY, ExchangeKind.ENQUIRY, ExchangeKind.QUESTION, ExchangeKind.PROBE


def test_every_fault_is_described() -> None:
    assert set(FAULTS) == set(BankFault)
    assert all(facts.meaning and facts.where for facts in FAULTS.values())
    assert not any(QUESTION in facts.where for facts in FAULTS.values())


def test_no_rates_is_honesty() -> None:
    plan = FaultPlan("s", {})
    assert {plan.decide(touch, f"R{n}") for touch in ExchangeKind for n in range(50)} == {None}


def test_rates_are_kept() -> None:
    plan = FaultPlan("s", {BankFault.HALF: 0.1, BankFault.REFUSE: 0.2, BankFault.PROBE_SILENCE: 0.5})
    count = 4_000
    found = Counter(plan.decide(MONEY, f"R{n}") for n in range(count))
    assert 0.08 < found[PlannedFault(BankFault.HALF)] / count < 0.12
    assert 0.17 < found[PlannedFault(BankFault.REFUSE)] / count < 0.23
    assert set(found) == {None, PlannedFault(BankFault.HALF), PlannedFault(BankFault.REFUSE)}
    enquiries = Counter(plan.decide(ENQUIRY, f"R{n}") for n in range(count))
    assert set(enquiries) == {None, PlannedFault(BankFault.HALF)}
    probes = Counter(plan.decide(PROBE, "") for _ in range(count))
    assert 0.45 < probes[PlannedFault(BankFault.PROBE_SILENCE)] / count < 0.55
    assert {plan.decide(QUESTION, f"R{n}") for n in range(count)} == {None}


def test_same_seed_same_faults_in_any_order() -> None:
    rates = {BankFault.HALF: 0.3, BankFault.DELAY: 0.3}
    references = [f"R{n}" for n in range(100)]

    def struck(seed: str, order: list[str]) -> dict[str, list[PlannedFault | None]]:
        plan = FaultPlan(seed, rates)
        return {reference: [plan.decide(MONEY, reference) for _ in range(3)] for reference in order}

    assert struck("1", references) == struck("1", references[::-1])
    assert struck("1", references) != struck("2", references)
    assert len({str(one) for one in struck("1", references).values()}) > 3


def test_faults_that_last_carry_their_seconds() -> None:
    delays = Delays(delay_s=1, hide_s=2, return_s=3)
    for fault, seconds in ((BankFault.DELAY, 1), (BankFault.HIDE, 2), (BankFault.LATE_RETURN, 3), (BankFault.HALF, 0)):
        assert FaultPlan("s", {fault: 1.0}, delays).decide(MONEY, "R") == PlannedFault(fault, seconds)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_rates_must_be_shares(rate: float) -> None:
    with pytest.raises(ValueError, match="half"):
        FaultPlan("s", {BankFault.HALF: rate})


def test_rates_of_one_kind_of_exchange_must_leave_room() -> None:
    FaultPlan("s", {BankFault.REFUSE: 0.6, BankFault.PROBE_SILENCE: 0.6})
    with pytest.raises(ValueError, match="money"):
        FaultPlan("s", {BankFault.REFUSE: 0.6, BankFault.HIDE: 0.6})


def test_script_strikes_once_where_it_fits() -> None:
    script = FaultScript(
        [
            ScriptedFault(BankFault.HALF, reference="R2"),
            ScriptedFault(BankFault.DELAY, seconds=9),
            ScriptedFault(BankFault.DROP_AFTER, touch=ENQUIRY),
            ScriptedFault(BankFault.PROBE_SILENCE),
        ]
    )
    assert script.decide(QUESTION, "") is None
    assert script.decide(MONEY, "R1") == PlannedFault(BankFault.DELAY, 9)
    assert script.decide(MONEY, "R1") is None
    assert script.decide(MONEY, "R2") == PlannedFault(BankFault.HALF)
    assert script.decide(MONEY, "R2") is None
    assert script.decide(ENQUIRY, "R2") == PlannedFault(BankFault.DROP_AFTER)
    assert [line.fault for line in script.left()] == [BankFault.PROBE_SILENCE]
    assert script.decide(PROBE, "") == PlannedFault(BankFault.PROBE_SILENCE)
    assert script.left() == []


def test_script_can_let_some_pass() -> None:
    script = FaultScript([ScriptedFault(BankFault.REFUSE, skip=2)])
    assert [script.decide(MONEY, "R") for _ in range(4)] == [None, None, PlannedFault(BankFault.REFUSE), None]


def test_script_before_chance_and_calm_after_all() -> None:
    script = FaultScript(otherwise=FaultPlan("s", {BankFault.TWICE: 1.0}))
    script.add(ScriptedFault(BankFault.GARBAGE))
    assert [script.decide(MONEY, "R") for _ in range(2)] == [
        PlannedFault(BankFault.GARBAGE),
        PlannedFault(BankFault.TWICE),
    ]
    script.add(ScriptedFault(BankFault.GARBAGE))
    script.calm()
    assert (script.decide(MONEY, "R"), script.left()) == (None, [])


def test_tally_names_every_fault() -> None:
    tally = BankCounts()
    tally.faults[BankFault.HALF] += 1
    report = tally.report()
    assert report["faults"] == {fault.value: int(fault is BankFault.HALF) for fault in BankFault}
