"""`bankgw backup` and `bankgw restore --drill` keep their results beside the backups, and `--list` shows these."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.cli import exit_codes
from gateway.kernel import backup_results
from gateway.kernel.sql import migrations
from tests.gateway.cli import site as sites
from tests.gateway.cli.test_application import bankgw


def test_the_results_of_backups_and_drills_are_kept_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.make(tmp_path / "site")
    site.state.mkdir(exist_ok=True)
    migrations.upgrade(f"sqlite:///{site.state / 'journal.db'}")
    folder = tmp_path / "copies"
    assert bankgw("backup", folder, "--config", site.settings) == exit_codes.OK
    (made,) = folder.glob("bankgw-*.db")
    kept = backup_results.last(folder, "backup")
    assert kept is not None and kept.ok and (kept.backup, kept.payments) == (made.name, 0) and kept.held_at == kept.at
    assert bankgw("backup", folder, "--config", site.settings) == exit_codes.FAILED, "the same second: the same name"
    kept = backup_results.last(folder, "backup")
    assert kept is not None and not kept.ok and "exists" in kept.reason and kept.held_at
    assert bankgw("backup", tmp_path / "one.db", "--config", site.settings) == exit_codes.OK
    assert not (tmp_path / "last-backup.json").exists(), "a single file has no folder that is watched"
    assert bankgw("restore", "--drill", folder, "--within", "0", "--config", site.settings) == exit_codes.FAILED
    drilled = backup_results.last(folder, "drill")
    assert drilled is not None and not drilled.ok and "longer than 0 s" in drilled.reason
    assert bankgw("restore", "--drill", folder, "--config", site.settings) == exit_codes.OK
    drilled = backup_results.last(folder, "drill")
    assert drilled is not None and drilled.ok and drilled.backup == made.name and drilled.seconds > 0
    capsys.readouterr()
    assert bankgw("backup", "--list", folder, "--json") == exit_codes.OK
    (row,) = json.loads(capsys.readouterr().out)["backups"]
    assert row["whole"] and (row["file"], row["payments"]) == (made.name, 0)
    assert row["verified_at"] == drilled.held_at
    assert bankgw("backup", "--prune", folder, "--config", site.settings) == exit_codes.USAGE
    for ending in ("", ".json"):
        shutil.copy(f"{made}{ending}", folder / f"bankgw-gw1-20200101T000000Z.db{ending}")
    assert bankgw("restore", folder, "--at", "2019-12-31T00:00Z", "--config", site.settings) == exit_codes.REFUSED
    assert "the oldest is bankgw-gw1-20200101T000000Z.db" in capsys.readouterr().err
    for wrong in (("restore", made, "--at", "2020-01-02"), ("restore", folder, "--at", "yesterday")):
        assert bankgw(*wrong, "--config", site.settings) == exit_codes.USAGE
    # 08:00 in the zone of the settings is the moment of the older one.
    assert bankgw("restore", "--drill", folder, "--at", "2020-01-01T08:00", "--config", site.settings) == exit_codes.OK
    assert backup_results.verified(folder)[0] == "bankgw-gw1-20200101T000000Z.db"
    assert bankgw("restore", "--drill", folder, "--config", site.settings) == exit_codes.OK
    capsys.readouterr()
    assert bankgw("backup", "--prune", folder, "--keep-days", "9", "--config", site.settings, "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["deleted"] == [str(folder / "bankgw-gw1-20200101T000000Z.db")]
    assert made.exists()
    made.write_bytes(b"x")
    assert bankgw("backup", "--list", folder) == exit_codes.OK
    assert "not whole: its size" in capsys.readouterr().out
    assert bankgw("restore", "--drill", folder, "--config", site.settings) == exit_codes.FAILED
    drilled = backup_results.last(folder, "drill")
    assert drilled is not None and not drilled.ok and drilled.held_at and "not the file" in drilled.reason
    made.unlink()
    assert bankgw("restore", "--drill", folder, "--config", site.settings) == exit_codes.FAILED
    assert bankgw("backup", "--list", tmp_path / "nowhere") == exit_codes.FAILED
