"""What a run of a joint test prints about each case."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest

from gateway.cli import joint_run
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict
from tests.gateway.jointtest.samples import sample_cases


class Flushed(StringIO):
    """A stdout that knows what has left its buffer."""

    seen = ""

    def flush(self) -> None:
        self.seen = self.getvalue()


def test_a_case_is_told_at_once_with_its_time_in_china(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Flushed()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("LANG", "C.UTF-8")
    case = next(one for one in sample_cases() if one.id == "login-lock")
    until = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)
    joint_run.say_verdict(case, CaseFinding(CaseVerdict.WAITING, "by hand", until))
    assert out.seen == "  waiting        login-lock until 2026-12-02 06:30 +0800  by hand\n"
