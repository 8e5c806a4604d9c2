"""The digests of a lane's exchanges: recorded once each, kept with the try, and compared with the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from gateway.control.client import NoDaemon
from gateway.jointtest.lane_exchanges import MISSED, LaneExchanges, against_exchanges

RUN = "abcdef"


def event(number: int, purpose: str = "probe", digest: str = "ab") -> dict[str, Any]:
    """One event as the daemon returns it."""
    parts = [{"name": "sent", "bytes": 3, "sha256": digest * 32}]
    at = f"2026-12-01T10:00:{number:02d}.000+08:00"
    return {"lane": "sample.main", "number": number, "at": at, "purpose": purpose, "event": "request", "parts": parts}


class Daemon:
    """A daemon whose lane has these events. It gives two of them at a time."""

    def __init__(self, *, down: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.acts: list[Mapping[str, Any]] = []
        self.asked: list[int | None] = []
        self._down = down
        store = SimpleNamespace(act=lambda what, by, **said: self.acts.append({"act": what, **said}))
        store.run = SimpleNamespace(id=RUN)
        self.world: Any = SimpleNamespace(
            plan=SimpleNamespace(bank="sample"), store=store, by="wang", desk=self, elsewhere=self._elsewhere
        )

    async def _elsewhere(self, fn: Any, *args: Any, **more: Any) -> Any:
        waiting: Deferred[None] = Deferred()
        waiting.callback(None)
        await waiting
        return fn(*args, **more)

    def get(self, *_path: str) -> Any:
        if self._down:
            raise NoDaemon("no daemon listens")
        return {"lanes": [{"lane": "sample.main"}, {"lane": "sampler.main"}]}

    def post(self, *path: str, after: int | None = None) -> Any:
        assert path == ("joint-runs", RUN, "lanes", "sample.main")
        self.asked.append(after)
        found = [one for one in self.events if one["number"] > (after or 0)][:2]
        return {"exchanges": found, "last": found[-1]["number"] if found else after or 0}


def kept(folder: Path) -> list[int]:
    return [one["number"] for file in sorted(folder.glob("*.json")) for one in json.loads(file.read_bytes())]


async def test_each_event_is_kept_once_with_the_try_that_ended_next(tmp_path: Path) -> None:
    daemon = Daemon()
    recording = LaneExchanges(daemon.world)
    daemon.events = [event(1, "sign_on"), event(2), event(3)]
    await recording.record(tmp_path / "a")
    daemon.events.append(event(4))
    await gatherResults([Deferred.fromCoroutine(recording.record(tmp_path / name)) for name in ("b", "c")])
    await recording.record(tmp_path / "a")
    assert (kept(tmp_path / "a"), kept(tmp_path / "b"), kept(tmp_path / "c")) == ([1, 2, 3], [4], [])
    assert daemon.asked[0] is None and daemon.acts == []
    daemon.events.append(event(5))
    await recording.record(tmp_path / "a")
    assert kept(tmp_path / "a") == [1, 2, 3, 5], "a try that is resumed keeps what it had"


async def test_without_a_daemon_the_runs_journal_says_why_once(tmp_path: Path) -> None:
    daemon = Daemon(down=True)
    recording = LaneExchanges(daemon.world)
    await recording.record(tmp_path)
    await recording.record(tmp_path)
    assert daemon.acts == [{"act": MISSED, "lane": "", "why": "no daemon listens"}] and kept(tmp_path) == []


def test_an_exchange_that_was_made_up_altered_or_left_out_is_told() -> None:
    trail = [event(1, "sign_on"), event(2), event(3), event(9)]
    assert against_exchanges(trail[:3], trail).differences == ()
    assert against_exchanges(trail[:3], trail).agreed == 3
    [left_out] = against_exchanges([event(1, "sign_on"), event(3)], trail).differences
    assert left_out.startswith("lane sample.main, event 2 (probe request)") and "the pack has not" in left_out
    altered = against_exchanges([event(1, "sign_on", "cd"), event(2), event(3)], trail).differences
    assert [one.partition(":")[0] for one in altered] == [
        "lane sample.main, event 1 (sign_on request) of 2026-12-01T10"
    ] * 2
    [made_up] = against_exchanges([*trail[:3], event(4)], trail).differences
    assert "no such digests" in made_up
