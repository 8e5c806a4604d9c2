"""The results of the last backup and drill: replaced whole, and the last success is remembered over failures."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from gateway.kernel.backup_results import BackupResult, last, made_at, note

HELD = BackupResult("2026-11-24T04:00:00+00:00", True, "", "bankgw-gw1-20261124T023000Z.db", 1.5, 7)


def test_the_last_success_is_remembered_over_failures(tmp_path: Path) -> None:
    assert last(tmp_path, "drill") is None
    failed = replace(HELD, at="2026-11-25T04:00:00+00:00", ok=False, reason="damaged", payments=None)
    note(tmp_path, "drill", failed)
    assert last(tmp_path, "drill") == failed and failed.held_at == ""
    note(tmp_path, "drill", HELD)
    note(tmp_path, "drill", failed)
    assert last(tmp_path, "drill") == replace(failed, held_at=HELD.at, held_backup=HELD.backup)
    assert last(tmp_path, "backup") is None
    assert [one.name for one in tmp_path.iterdir()] == ["last-drill.json"], "nothing half-written stays"
    assert stat.S_IMODE((tmp_path / "last-drill.json").stat().st_mode) == 0o600


def test_a_damaged_result_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", "{}", '{"at": 1}'):
        (tmp_path / "last-backup.json").write_text(text)
        assert last(tmp_path, "backup") is None
    note(tmp_path, "backup", replace(HELD, at="yesterday"))
    assert last(tmp_path, "backup") is None


def test_a_backups_name_has_its_time() -> None:
    made = made_at(HELD.backup)
    assert made is not None and made.isoformat() == "2026-11-24T02:30:00+00:00"
    assert made_at("before-the-upgrade.db") is None and made_at("bankgw-gw1-20261399T023000Z.db") is None
    assert made_at(f"{HELD.backup}.part") is None and made_at(f"{HELD.backup}.json") is None
