"""The units and the package's scripts: every installed unit is stopped again, and each unit may do its work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gateway.settings.backup_tables import BackupSettings
from tests.house import ROOT

UNITS = sorted((ROOT / "systemd").glob("*.*"))


def settings_of(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def removed(tmp_path: Path, script: Path, word: str) -> list[str]:
    """The script's calls of systemctl, on a machine with systemd."""
    commands, running = tmp_path / "bin", tmp_path / "systemd"
    commands.mkdir()
    running.mkdir()
    (commands / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n', "utf-8")
    (commands / "find").write_text("#!/bin/sh\n", "utf-8")
    for one in commands.iterdir():
        one.chmod(0o755)
    text = script.read_text("utf-8").replace("/run/systemd/system", str(running))
    subprocess.run(["sh", "-c", text, "prerm", word], env={"PATH": f"{commands}:/usr/bin:/bin"}, check=True, timeout=20)
    asked = tmp_path / "asked"
    return asked.read_text("utf-8").splitlines() if asked.exists() else []


def test_removing_the_package_disables_and_stops_every_unit(tmp_path: Path) -> None:
    assert "cp systemd/* " in (ROOT / "setup" / "deb" / "build.sh").read_text("utf-8")
    installed = {unit.name for unit in UNITS}
    disabled, stopped = removed(tmp_path, ROOT / "setup" / "deb" / "prerm", "remove")
    enabled = {name for name in installed if "WantedBy" in settings_of(ROOT / "systemd" / name) and "@" not in name}
    assert set(disabled.split()[2:]) == enabled and disabled.startswith("disable --now")
    assert {one.replace("@*", "@") for one in stopped.split()[1:]} == installed - enabled


def test_the_target_starts_what_is_enabled_and_stops_everything() -> None:
    parts = {unit.name for unit in UNITS if "PartOf" in settings_of(unit)}
    services = {unit.name for unit in UNITS if unit.suffix == ".service" and "WantedBy" in settings_of(unit)}
    assert parts == services and len(services) == 8
    for name in services:
        said = settings_of(ROOT / "systemd" / name)
        assert said["PartOf"] == ["bankgw.target"] and said["WantedBy"] == ["multi-user.target bankgw.target"], name
    postinst = (ROOT / "setup" / "deb" / "postinst").read_text("utf-8")
    added = re.search(r"for unit in ([^;]+);", postinst)
    assert added and set(added[1].replace("\\", "").split()) == {name for name in services if "@" not in name}


def test_an_upgrade_stops_nothing(tmp_path: Path) -> None:
    assert removed(tmp_path, ROOT / "setup" / "deb" / "prerm", "upgrade") == []


def test_a_drill_that_a_month_leaves_out_is_told_within_a_day() -> None:
    timer = settings_of(ROOT / "systemd" / "bankgw-drill.timer")
    assert (timer["OnCalendar"], timer["RandomizedDelaySec"], timer["Persistent"]) == (
        ["*-*-01 04:00"],
        ["1h"],
        ["yes"],
    )
    longest_month_s, delay_s, day_s = 31 * 86_400, 3_600, 86_400
    [takes_hours] = settings_of(ROOT / "systemd" / "bankgw-drill.service")["TimeoutStartSec"]
    due_s = longest_month_s + delay_s + int(takes_hours.removesuffix("h")) * 3_600
    assert due_s < BackupSettings.model_validate({}).drill_max_age_days * 86_400 < due_s + day_s


def test_the_backup_may_write_its_folders() -> None:
    said = settings_of(ROOT / "systemd" / "bankgw-backup.service")
    assert said["ProtectSystem"] == ["strict"] and said["StateDirectory"] == ["bankgw"]
    page = (ROOT / "docs" / "do" / "restore.md").read_text("utf-8")
    [named] = re.findall(r"BANKGW_OFF_HOST=(/\S+)", page)
    assert said["ReadWritePaths"] == [f"-{named}"]


@pytest.mark.parametrize("name", ["bankgw.service", "bankgw@.service", "bankgw-shard@.service"])
def test_the_unit_says_how_a_bank_that_calls_is_let_in(name: str) -> None:
    text = (ROOT / "systemd" / name).read_text("utf-8")
    assert "SocketBindDeny=any" in text and "#   SocketBindAllow=tcp:3001" in text
