"""Backups and drills: what is too old, failed or missing is a trouble with its gauges, and what is not watched is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel import backup_results
from gateway.kernel.backup_results import BackupResult
from gateway.watch import backups as watching
from gateway.watch.backups import BackupLimits, SeenBackups, see_backups
from gateway.watch.troubles import found
from gateway.watch.watch import Watch
from tests.gateway.watch.test_troubles import WELL
from tests.gateway.watch.test_watch import Watched
from tests.world.inline_executor import InlineExecutor

HOUR, DAY = 3_600.0, 86_400.0
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW_S = NOW.timestamp()
LIMITS = BackupLimits(Path("/b"), 26 * HOUR, 35 * DAY, production=False)
HELD = BackupResult("2026-11-24T04:00:00+00:00", True, "", "x.db", 1.0, 3, "2026-11-24T04:00:00+00:00")
FAILED = replace(HELD, ok=False, reason="it is damaged")
GOOD = SeenBackups(LIMITS, "x.db", NOW_S - HOUR, 9, HELD, HELD, began_s=NOW_S - 400 * DAY)
OFF = replace(LIMITS, max_age_s=0, drill_max_age_s=0)


def kinds(seen: SeenBackups) -> list[str]:
    return [one.kind for one in found(replace(WELL, backups=seen, now_s=NOW_S))]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"newest_s": NOW_S - 25 * HOUR}, []),
        ({"newest_s": NOW_S - 27 * HOUR}, ["backup_old"]),
        ({"newest_s": None}, ["backup_old"]),
        ({"newest_s": None, "began_s": NOW_S - HOUR}, []),
        ({"newest_s": None, "began_s": None}, []),
        ({"newest_s": None, "began_s": None, "limits": replace(LIMITS, production=True)}, ["backup_old"]),
        ({"error": "Permission denied"}, ["backup_old"]),
        ({"backup": FAILED}, ["backup_failed"]),
        ({"backup": None}, []),
        ({"drill": FAILED}, ["drill"]),
        ({"drill": replace(HELD, held_at="2026-10-01T04:00:00+00:00")}, ["drill"]),
        ({"drill": None}, ["drill"]),
        ({"drill": None, "began_s": NOW_S - 34 * DAY}, []),
        ({"newest_s": None, "backup": FAILED, "drill": FAILED, "limits": OFF}, []),
        ({"newest_s": None, "drill": FAILED, "limits": replace(LIMITS, max_age_s=0)}, ["drill"]),
        ({"newest_s": None, "drill": FAILED, "limits": replace(LIMITS, drill_max_age_s=0)}, ["backup_old"]),
    ],
)
def test_each_kind_is_seen(changed: dict[str, Any], expected: list[str]) -> None:
    assert kinds(replace(GOOD, **changed)) == expected


def test_cause_and_remedy_name_the_backup_its_age_and_the_folder() -> None:
    old = replace(GOOD, newest_s=NOW_S - 30 * HOUR, backup=FAILED, drill=FAILED)
    too_old, failed, drill = found(replace(WELL, backups=old, now_s=NOW_S))
    assert too_old.cause == "the newest backup, x.db, is 30 hours old" and "bankgw backup /b" in too_old.remedy
    assert "2026-11-24T04:00:00+00:00" in failed.cause and "it is damaged" in failed.cause
    assert "x.db" in drill.cause and "it is damaged" in drill.cause and "--drill /b" in drill.remedy
    (drill,) = found(
        replace(WELL, backups=replace(GOOD, drill=replace(HELD, held_at="2026-09-25T12:00:00Z")), now_s=NOW_S)
    )
    assert "60 days ago" in drill.cause


def put(folder: Path, stamp: str, *, manifest: bool = True) -> None:
    (folder / f"bankgw-gw1-{stamp}.db").write_bytes(b"x" * 77)
    if manifest:
        (folder / f"bankgw-gw1-{stamp}.db.json").write_text("{}")


def test_the_newest_whole_backup_counts_and_none_of_the_future(tmp_path: Path) -> None:
    limits = replace(LIMITS, folder=tmp_path / "backups")
    assert see_backups(limits, NOW_S) == SeenBackups(limits), "a folder that is not there has no backups"
    limits.folder.mkdir()
    put(limits.folder, "20261122T023000Z")
    put(limits.folder, "20261123T023000Z")
    put(limits.folder, "20261124T023000Z", manifest=False)
    put(limits.folder, "20351124T023000Z")
    backup_results.note(limits.folder, "drill", FAILED)
    seen = see_backups(limits, NOW_S)
    assert (seen.newest, seen.bytes) == ("bankgw-gw1-20261123T023000Z.db", 77)
    assert seen.newest_s == datetime(2026, 11, 23, 2, 30, tzinfo=UTC).timestamp()
    assert seen.backup is None and seen.drill is not None and not seen.drill.ok and seen.drill_s is None
    assert see_backups(replace(limits, folder=limits.folder / "bankgw-gw1-20261122T023000Z.db"), NOW_S).error


def test_the_daemon_looks_every_three_seconds_and_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    limits = replace(LIMITS, folder=tmp_path / "backups", production=True)
    parts, looks = watched.life.gateway.parts, list[float]()

    def noted(limits: BackupLimits, now_s: float) -> SeenBackups:
        looks.append(now_s)
        return see_backups(limits, now_s)

    monkeypatch.setattr(watching, "see_backups", noted)
    sights = replace(watched.sights, backups=limits)
    watch = Watch(watched.reactor, sights, parts.clock, watched.watch._notify, InlineExecutor(parts.clock))
    watch.start("127.0.0.1", 0)
    watched.run(3)

    def named() -> list[str]:
        return [one["trouble"] for one in watch.ready().troubles]

    assert named() == ["backup_old"] and watch.ready().ready, "it never makes the daemon unready"
    assert watched.value("bankgw_backup_last_timestamp_seconds") == 0
    limits.folder.mkdir()
    now = datetime.fromtimestamp(parts.clock.now_ms() / 1000, UTC)
    put(limits.folder, f"{now:%Y%m%dT%H%M%SZ}")
    backup_results.note(limits.folder, "drill", replace(FAILED, at=now.isoformat()))
    watched.run(5)
    assert named() == ["drill"]
    assert len(looks) > 2 and {after - before for before, after in pairwise(looks)} == {3.0}
    assert watched.value("bankgw_backup_last_bytes") == 77 and watched.value("bankgw_drill_failed") == 1
    assert watched.value("bankgw_backup_last_timestamp_seconds") == int(now.timestamp())
    assert watched.value("bankgw_troubles", trouble="drill") == 1
    backup_results.note(limits.folder, "drill", replace(HELD, at=now.isoformat()))
    watched.run(5)
    assert named() == [] and watched.value("bankgw_drill_failed") == 0
    assert watched.value("bankgw_drill_last_timestamp_seconds") == now.timestamp()
    assert watch._backups.seen is not None and watch._backups.seen.began_s is not None
    watched.manager.socket.close()
    watched.world.crash()


def test_what_is_switched_off_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "see_backups", lambda *given: pytest.fail("it looked"))
    watched = Watched(tmp_path)
    parts = watched.life.gateway.parts
    sights = replace(watched.sights, backups=replace(OFF, folder=tmp_path))
    watch = Watch(watched.reactor, sights, parts.clock, watched.watch._notify, InlineExecutor(parts.clock))
    watch.start("127.0.0.1", 0)
    watched.run(3)
    assert watch._backups.seen is None
    watched.manager.socket.close()
    watched.world.crash()
