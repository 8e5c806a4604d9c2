"""The plan of a run: every mistake is reported at once, and a twin is never taken for a bank or for production."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.jointtest import plan, session
from gateway.jointtest.plan import FILE, BadPlan
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.session import NotAllowed, SessionRequest
from gateway.jointtest.verdicts import SeenAt
from tests.gateway.jointtest.samples import sample_cases

BASE = """
bank = "sample"
against = "{against}"
environment = "{environment}"
sender = "joint"
socket = "control.sock"
payee = {{ account = "0000000000000000017", name = "示例乙公司" }}
[[accounts]]
number = "0000000000000000025"
name = "示例甲公司"
{more}
"""


def written(folder: Path, against: str = "bank", environment: str = "test", more: str = "") -> Path:
    (folder / FILE).write_text(BASE.format(against=against, environment=environment, more=more), "utf-8")
    return folder


def test_a_plan_is_read(tmp_path: Path) -> None:
    told = plan.load_plan(written(tmp_path))
    assert (told.bank, told.protocol, told.seen, told.production) == ("sample", "sample", SeenAt.BANK, False)
    assert told.path(told.told.socket) == tmp_path / "control.sock"


def test_the_example_is_one_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(plan.example("pab", "joint"), "utf-8")
    assert plan.load_plan(tmp_path).bank == "pab"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"against": "twin"}, "needs its control socket"),
        ({"against": "bank", "more": "[twin]\ncontrol = 'x'"}, "a run against a bank has none"),
        ({"against": "twin", "environment": "production", "more": "[twin]\ncontrol = 'x'"}, "is no production"),
        ({"more": "[caps]\nper_order = 5"}, "caps.per_order"),
        ({"more": "[capz]"}, "capz"),
        ({"against": "both"}, "against"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, said: dict[str, str], complaint: str) -> None:
    with pytest.raises(BadPlan, match=complaint):
        plan.load_plan(written(tmp_path, **said))


def test_no_plan_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="joint-test init"):
        plan.load_plan(tmp_path)


async def test_a_business_date_is_no_matter_of_production(tmp_path: Path) -> None:
    told = plan.load_plan(written(tmp_path, environment="production"))
    store = RunStore(tmp_path, lambda: datetime(2026, 11, 28, tzinfo=UTC))
    nothing: Any = None
    wish = SessionRequest(business_date=date(2026, 12, 1), by="甲")
    with pytest.raises(NotAllowed, match="test environments only"):
        await session.sit(nothing, nothing, told, nothing, nothing, store, sample_cases(), wish, "1", nothing, nothing)
    assert not store.run.acts


def test_a_folder_has_one_banks_run(tmp_path: Path) -> None:
    told = plan.load_plan(written(tmp_path))
    now = datetime(2026, 11, 28, tzinfo=UTC)
    RunStore(tmp_path, lambda: now).open("abc", "pab", [])
    with pytest.raises(NotAllowed, match="a run of pab"):
        session.open_store(tmp_path, told, sample_cases(), lambda: now)
