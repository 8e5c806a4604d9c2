"""The case of the gateway's own probe: a simulated bank on a busy machine is asked again, a bank is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.jointtest import plays_questions
from gateway.jointtest.player import Player
from gateway.jointtest.verdicts import CaseVerdict, SeenAt

SILENT = {"answered": False, "reason": "bank_silent", "detail": "no answer in 2 s", "seconds": 2.0}
ANSWERED = {"answered": True, "seconds": 0.1}


@pytest.mark.parametrize(
    ("seen", "answers", "verdict", "probes"),
    [
        (SeenAt.TWIN, [SILENT, SILENT, ANSWERED], CaseVerdict.PASSED, 3),
        (SeenAt.TWIN, [SILENT], CaseVerdict.FAILED, 6),
        (SeenAt.BANK, [SILENT, ANSWERED], CaseVerdict.FAILED, 1),
        (SeenAt.BANK, [ANSWERED], CaseVerdict.PASSED, 1),
    ],
)
async def test_a_silent_lane(
    seen: SeenAt, answers: list[dict[str, Any]], verdict: CaseVerdict, probes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    now = [0.0]

    def post(_lanes: str, lane: str, _probe: str, wait: float) -> dict[str, Any]:
        asked.append(lane)
        return answers[min(len(asked), len(answers)) - 1]

    async def elsewhere(fn: Any, *args: Any, **more: Any) -> Any:
        return fn(*args, **more)

    async def sleep(_clock: Any, seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(plays_questions, "sleep", sleep)
    world = SimpleNamespace(
        desk=SimpleNamespace(get=lambda *_: {"lanes": [{"lane": "finws.main"}]}, post=post),
        elsewhere=elsewhere,
        clock=SimpleNamespace(monotonic_s=lambda: now[0]),
        plan=SimpleNamespace(bank="finws", seen=seen),
    )
    found = await plays_questions.probe(cast(Player, SimpleNamespace(world=world, patience_s=4.0)))
    assert (found.verdict, len(asked)) == (verdict, probes)
