"""The case of a changed certificate, where the gateway does not come up again in time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gateway.control.client import NoDaemon
from gateway.jointtest import plays
from gateway.jointtest.player import Player
from gateway.jointtest.verdicts import CaseVerdict

CLIENT = {"certificates": [{"bank": "sample", "role": "client", "not_after": "2028-01-01"}]}


async def test_a_gateway_that_does_not_come_up_fails_the_case_and_not_the_run() -> None:
    def silent() -> None:
        raise NoDaemon(f"no daemon listens at {Path('control.sock')}")

    async def elsewhere(fn: Any, *args: Any) -> Any:
        return fn(*args)

    world = SimpleNamespace(
        hooks=SimpleNamespace(renew_certificate=silent),
        elsewhere=elsewhere,
        plan=SimpleNamespace(bank="sample"),
        desk=SimpleNamespace(get=lambda *parts: CLIENT),
    )
    found = await plays.certificate(cast(Player, SimpleNamespace(world=world, facts={})))
    assert found.verdict is CaseVerdict.FAILED and "did not come up" in found.why
