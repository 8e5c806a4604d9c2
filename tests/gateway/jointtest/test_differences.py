"""The differences between two runs, and the cases that an upgrade asks for."""

from __future__ import annotations

from gateway.jointtest import differences
from gateway.jointtest.differences import affected, between, changed_files
from tests.gateway.jointtest.samples import result, sample_cases


def test_a_verdict_that_changed_is_told() -> None:
    old = {"a": result("passed"), "b": result("failed", why="x"), "c": result("passed"), "gone": result("passed")}
    new = {
        "a": result("failed"),
        "b": result("failed", why="y"),
        "c": result("passed", why="other ids"),
        "d": result("passed"),
    }
    found = {one.case: one for one in between(old, new)}
    assert set(found) == {"a", "b", "gone", "d"}
    assert str(found["a"]) == "a: passed in R1 (gateway 1, front_end V2) → failed in R1 (gateway 1, front_end V2)"


def test_another_version_is_a_difference() -> None:
    versions = {"gateway": "2", "front_end": "V2"}
    assert [one.what for one in between({"a": result("passed")}, {"a": result("passed", versions=versions)})] == [
        ("versions",)
    ]


def test_a_change_of_the_core_asks_for_all() -> None:
    cases = [case for case in sample_cases() if not case.lacks]
    assert len(affected(cases, "sample", ["gateway/kernel/core/flow.py"])) == len(cases)
    assert len(affected(cases, "sample", ["gateway/something_new.py"])) == len(cases)


def test_a_change_elsewhere_asks_for_what_it_touches() -> None:
    cases = sample_cases()
    assert affected(cases, "sample", ["protocols/banks/pab/money.py"]) == {}
    assert affected(cases, "sample", ["protocols/banks/sample/twin.py", "gateway/control/server.py"]) == {}
    erp = affected(cases, "sample", ["protocols/erp/forms.py"])
    assert "zero" in erp and "line-down.payment" not in erp
    assert set(erp.values()) == {"protocols/erp/forms.py"}


def test_the_program_tells_its_files() -> None:
    program = differences.program()
    assert "gateway/jointtest/catalogue/happy.toml" in program
    assert changed_files(program, program | {"gateway/app.py": "0", "new": "1"}) == ["gateway/app.py", "new"]
