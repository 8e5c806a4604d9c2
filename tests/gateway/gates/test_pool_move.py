"""Rule `pool_move`."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from gateway.kernel.core.gate import PASS, Hold, Refuse, Wait
from gateway.pools.gates.pool_move import AGAIN_MS, PoolMoveRule
from gateway.pools.rows import pool_sends
from gateway.pools.rows.pool_moves import MoveVerdict
from tests.gateway.gates.facts import NOW_MS, message, registry, row

RULE = PoolMoveRule(registry, ZoneInfo("UTC"))
MOVE, LEFT = row(sender="treasury"), row(sender="treasury", first_write_ms=5)


def _says(monkeypatch: pytest.MonkeyPatch, verdict: MoveVerdict) -> None:
    monkeypatch.setattr(pool_sends, "verdict", lambda *_: verdict)


def test_a_move_that_the_pool_does_not_want_any_more_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, MoveVerdict("the pool is closed", ends=True))
    assert RULE.judge(message(MOVE).facts()[0]) == Refuse("withdrawn", "the pool is closed", "pool.move_withdrawn")
    held = Hold("cannot_be_prepared", "the pool is closed", "pool.move_withdrawn")
    assert RULE.judge(message(LEFT).facts()[0]) == held, "an earlier copy may have left: it is never told as cancelled"


def test_one_without_its_money_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, MoveVerdict("no balance"))
    assert RULE.judge(message(MOVE).facts()[0]) == Wait(NOW_MS + AGAIN_MS, "waits", "no balance")


def test_what_the_pool_wants_and_what_no_pool_ordered_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, MoveVerdict())
    assert RULE.judge(message(MOVE).facts()[0]) is PASS
    _says(monkeypatch, MoveVerdict("the pool is closed", ends=True))
    assert RULE.judge(message(row()).facts()[0]) is PASS
