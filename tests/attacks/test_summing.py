"""The last line sums the notes of every process: pytest-xdist sends the workers' reports to the process that prints."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from execnet import gateway_base

from tests.attacks.summing import NOTE, AttackSum, pytest_terminal_summary


def carried(when: str, note: AttackSum | None) -> pytest.TestReport:
    """A report as it arrives from another process."""
    report = pytest.TestReport(
        "tests/x.py::test_x",
        ("tests/x.py", 1, "test_x"),
        {},
        "passed",
        None,
        cast(Any, when),
        user_properties=[] if note is None else [("other", 1), (NOTE, note.note())],
    )
    return pytest.TestReport._from_json(gateway_base.loads(gateway_base.dumps(report._to_json())))


def line(*reports: pytest.TestReport) -> str:
    out = io.StringIO()
    said = SimpleNamespace(stats={"": list(reports[:1]), "passed": list(reports[1:])}, write_line=out.write)
    pytest_terminal_summary(cast(pytest.TerminalReporter, said))
    return out.getvalue()


def test_what_two_workers_noted_is_one_line() -> None:
    one, other = AttackSum({1, 2}, 30, 0, 12.4), AttackSum({2, 115}, 12, 1, 40.6)
    reports = [carried(when, note) for note in (one, other) for when in ("setup", "call", "teardown")]
    assert line(*reports) == "attacks: 3 kinds, 42 cases, 1 accepted, worst 41 ms"


def test_a_run_without_attacks_says_nothing_of_them() -> None:
    assert line(carried("call", None)) == ""
