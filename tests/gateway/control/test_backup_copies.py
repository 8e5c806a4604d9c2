"""Backups are copied off the machine, thinned out, and a restore is tried and timed."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from gateway.control.offline import backup_copies
from gateway.control.offline.backup_copies import NoBackup, backups, drill, send, thin_out
from gateway.journal.backup import backup
from gateway.journal.backup.backup import Origin
from tests.gateway.journal.bench import Journal, admit, order
from tests.gateway.journal.conftest import small as small
from tests.gateway.journal.conftest import sqlite_template as sqlite_template
from tests.gateway.journal.conftest import sqlite_url as sqlite_url


@pytest.fixture
def made(small: Journal, tmp_path: Path) -> Path:
    """A backup of three payments, in a folder of backups."""
    for n in range(3):
        small.do(admit(order(f"AP-{n}")))
    copy = tmp_path / "backups" / "bankgw-n1-20261124T080000Z.db"
    copy.parent.mkdir()
    backup.make(Origin(small.url, small.vault, "n1", "0.1.0", tmp_path / "permits", "2026-11-24T08:00:00+00:00"), copy)
    return copy


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as another disk."""
    folder = tmp_path / "nas"
    folder.mkdir()
    monkeypatch.setattr(backup_copies, "_device", lambda path: -1 if path == folder else path.stat().st_dev)
    return folder


def test_a_copy_goes_to_another_disk_whole(made: Path, elsewhere: Path) -> None:
    assert send(made, str(elsewhere)) == str(elsewhere)
    there = elsewhere / made.name
    assert there.read_bytes() == made.read_bytes() and stat.S_IMODE(there.stat().st_mode) == 0o600
    assert there.with_name(f"{made.name}.json").exists() and not list(elsewhere.glob("*.part"))


def test_a_folder_that_is_not_mounted_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for place, why in (("here", "on the same disk"), ("gone", "is no folder")):
        with pytest.raises(NoBackup, match=why):
            send(made, str(tmp_path / place))
    assert made.exists()


def test_a_disk_that_does_not_keep_what_is_written_is_noticed(
    made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfileobj", lambda source, out, size: out.write(b"nothing"))
    with pytest.raises(NoBackup, match="differs"):
        send(made, str(elsewhere))
    assert not (elsewhere / made.name).exists()


def test_another_machine_is_reached_by_rsync(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "rsync"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/asked; exit $(cat {tmp_path}/code)\n")
    program.chmod(0o755)
    (tmp_path / "code").write_text("0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert send(made, "backup@store:bankgw") == "backup@store:bankgw"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-3:] == [str(made), f"{made}.json", "backup@store:bankgw/"] and "ssh -o BatchMode=yes" in asked
    (tmp_path / "code").write_text("12")
    with pytest.raises(NoBackup, match="was not copied"):
        send(made, "backup@store:bankgw")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoBackup, match="there is no rsync"):
        send(made, "backup@store:bankgw")


def test_the_newest_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    def put(name: str) -> None:
        (tmp_path / name).write_text("x")
        (tmp_path / f"{name}.json").write_text("x")

    for day in range(1, 6):
        put(f"bankgw-gw1-2026110{day}T020000Z.db")
    put("bankgw-gw2-20261101T020000Z.db")
    put("before-the-upgrade.db")
    (tmp_path / "bankgw-gw1-20261106T020000Z.db").write_text("without a manifest")
    assert [one.name[11:19] for one in backups(tmp_path, "gw1")] == ["20261105", "20261104", "20261103", "20261102", "20261101"]
    assert [Path(one).name[11:19] for one in thin_out(tmp_path / "bankgw-gw1-20261105T020000Z.db", "gw1", 2)] == ["20261103", "20261102", "20261101"]
    left = sorted(one.name for one in tmp_path.iterdir() if not one.name.endswith(".json"))
    assert left == ["bankgw-gw1-20261104T020000Z.db", "bankgw-gw1-20261105T020000Z.db", "bankgw-gw1-20261106T020000Z.db",
                    "bankgw-gw2-20261101T020000Z.db", "before-the-upgrade.db"]  # fmt: skip


def test_the_backup_that_was_just_made_stays_whatever_the_clock_said_before(tmp_path: Path) -> None:
    for stamp in ("20261101", "20351101", "20351102"):
        for ending in ("", ".json"):
            (tmp_path / f"bankgw-gw1-{stamp}T020000Z.db{ending}").write_text("x")
    made = tmp_path / "bankgw-gw1-20261101T020000Z.db"
    assert [Path(one).name[11:19] for one in thin_out(made, "gw1", 2)] == ["20351101"]
    assert made.exists()


def test_a_drill_restores_beside_the_backup_verifies_and_leaves_nothing(
    made: Path, small: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders, there = [], sorted(made.parent.iterdir())

    class Noted(tempfile.TemporaryDirectory[str]):
        def __init__(self, prefix: str, dir: Path) -> None:
            super().__init__(prefix=prefix, dir=dir)
            folders.append(Path(self.name))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Noted)
    done = drill((small.url, small.vault), "n1", made, None)
    assert (done.payments, done.backup) == (3, str(made)) and done.restored_s > 0
    assert [one.parent for one in folders] == [made.parent] and sorted(made.parent.iterdir()) == there
    made.write_bytes(made.read_bytes()[:-1] + b"!")
    with pytest.raises(NoBackup, match="not the file its manifest describes"):
        drill((small.url, small.vault), "n1", made, None)
    assert sorted(made.parent.iterdir()) == there
