"""Backups are copied to another machine, old ones are deleted, and the duration of a trial restore is measured."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from gateway.control.offline import backup_copies
from gateway.control.offline.backup_copies import NoBackup, backup_at, backups, drill, listed, prune, send
from gateway.kernel import backup_results
from gateway.kernel.backup import backup
from gateway.kernel.backup.backup import Origin
from gateway.kernel.backup_results import BackupResult
from tests.gateway.conftest import small as small
from tests.gateway.conftest import sqlite_template as sqlite_template
from tests.gateway.conftest import sqlite_url as sqlite_url
from tests.gateway.kernel.bench import Journal, admit, order

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


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
    for place, why in (("here", "on the same disk"), ("gone", "is not a folder")):
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
    with pytest.raises(NoBackup, match="not copied to"):
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
    assert [one.name[11:19] for one in backups(tmp_path, "gw1")] == [
        "20261105",
        "20261104",
        "20261103",
        "20261102",
        "20261101",
    ]
    made = tmp_path / "bankgw-gw1-20261105T020000Z.db"
    assert [Path(one).name[11:19] for one in prune(tmp_path, "gw1", NOW, keep=2, keep_days=None, made=made)] == [
        "20261103",
        "20261102",
        "20261101",
    ]
    left = sorted(one.name for one in tmp_path.iterdir() if not one.name.endswith(".json"))
    assert left == [
        "bankgw-gw1-20261104T020000Z.db",
        "bankgw-gw1-20261105T020000Z.db",
        "bankgw-gw1-20261106T020000Z.db",
        "bankgw-gw2-20261101T020000Z.db",
        "before-the-upgrade.db",
    ]


def test_the_backup_that_was_just_made_stays_whatever_the_clock_said_before(tmp_path: Path) -> None:
    for stamp in ("20261101", "20351101", "20351102"):
        for ending in ("", ".json"):
            (tmp_path / f"bankgw-gw1-{stamp}T020000Z.db{ending}").write_text("x")
    made = tmp_path / "bankgw-gw1-20261101T020000Z.db"
    gone = prune(tmp_path, "gw1", NOW, keep=2, keep_days=None, made=made)
    assert [Path(one).name[11:19] for one in gone] == ["20351101"]
    assert made.exists()


def pruned(folder: Path, **kept: float | None) -> list[str]:
    given = {"keep": None, "keep_days": None, **kept}
    keep = None if given["keep"] is None else int(given["keep"])
    gone = prune(folder, "gw1", NOW, keep=keep, keep_days=given["keep_days"])
    assert not [one for one in gone if Path(f"{one}.json").exists()]
    return [Path(one).name[15:19] for one in gone]


def test_what_a_drill_restored_last_the_newest_and_the_young_stay(tmp_path: Path) -> None:
    for day in range(10, 21):
        for ending in ("", ".json"):
            (tmp_path / f"bankgw-gw1-202611{day}T020000Z.db{ending}").write_text("x")
    held = BackupResult("2026-11-12T04:00:00+00:00", True, "", "bankgw-gw1-20261112T020000Z.db", 1.0)
    backup_results.note(tmp_path, "drill", held)
    broken = replace(
        held, at="2026-11-20T04:00:00+00:00", ok=False, reason="no", backup="bankgw-gw1-20261120T020000Z.db"
    )
    backup_results.note(tmp_path, "drill", broken)
    assert pruned(tmp_path) == [], "nothing was said"
    assert pruned(tmp_path, keep_days=8) == ["1115", "1114", "1113", "1111", "1110"]
    assert pruned(tmp_path, keep=4, keep_days=5) == ["1116"], "a backup goes only if neither keeps it"
    assert pruned(tmp_path, keep=1) == ["1119", "1118", "1117"]
    assert pruned(tmp_path, keep_days=0) == []
    assert [one.name[15:19] for one in backups(tmp_path, "gw1")] == ["1120", "1112"]
    assert {one.file[15:19]: one.verified_at for one in listed(tmp_path)} == {"1120": "", "1112": held.at}


def test_a_backup_is_chosen_by_its_time(made: Path) -> None:
    for stamp in ("20261125T080000Z", "20261126T080000Z"):
        for ending in ("", ".json"):
            shutil.copy(f"{made}{ending}", made.parent / f"bankgw-n1-{stamp}.db{ending}")
    (made.parent / "bankgw-n1-20261126T080000Z.db").write_bytes(b"not whole")
    for at, found in (
        ("2026-11-24T16:00:00+08:00", made.name),
        ("2026-11-25T07:59:59+00:00", made.name),
        ("2026-11-27T00:00:00+00:00", "bankgw-n1-20261125T080000Z.db"),
    ):
        assert backup_at(made.parent, "n1", datetime.fromisoformat(at)).name == found
    with pytest.raises(NoBackup, match=f"made by 2026-11-24T07:59:59.*the oldest is {made.name}"):
        backup_at(made.parent, "n1", datetime(2026, 11, 24, 7, 59, 59, tzinfo=UTC))
    with pytest.raises(NoBackup, match="there is none at all"):
        backup_at(made.parent, "n2", NOW)


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
    assert re.fullmatch(r"[a-z]+:AP-2 [0-9.]+ CNY ready", done.read_back), done.read_back
    assert [one.parent for one in folders] == [made.parent] and sorted(made.parent.iterdir()) == there
    made.write_bytes(made.read_bytes()[:-1] + b"!")
    with pytest.raises(NoBackup, match="not the file that its manifest describes"):
        drill((small.url, small.vault), "n1", made, None)
    assert sorted(made.parent.iterdir()) == there


def test_a_drill_notices_a_payment_that_cannot_be_read(
    made: Path, small: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = backup.restore

    def restore_and_alter(url: str, *given: Any) -> Any:
        done = restore(url, *given)
        with closing(sqlite3.connect(str(make_url(url).database))) as db, db:
            db.execute("update payments set amount_minor = amount_minor + 1")
        return done

    monkeypatch.setattr(backup, "restore", restore_and_alter)
    with pytest.raises(NoBackup, match="newest payment of the restored copy cannot be read: table payments"):
        drill((small.url, small.vault), "n1", made, None)


def test_a_list_says_of_each_backup_what_its_manifest_says_and_whether_it_is_whole(made: Path) -> None:
    def put(name: str, manifest: str | None) -> None:
        (made.parent / name).write_text("x")
        if manifest is not None:
            (made.parent / f"{name}.json").write_text(manifest)

    put("bankgw-n1-20261125T080000Z.db", None)
    put("bankgw-n1-20261126T080000Z.db", "{}")
    put("last-drill.json", None)
    (made.parent / "before.db.json").write_bytes(made.with_name(f"{made.name}.json").read_bytes())
    found = {one.file: one for one in listed(made.parent)}
    assert list(found)[:2] == ["bankgw-n1-20261126T080000Z.db", "bankgw-n1-20261125T080000Z.db"]
    whole = found[made.name]
    assert whole.whole and (whole.payments, whole.node, whole.bytes) == (3, "n1", made.stat().st_size)
    assert whole.made_at == "2026-11-24T08:00:00+00:00" and whole.vault_key and whole.schema
    assert {name: one.wrong for name, one in found.items()} == {
        made.name: "",
        "bankgw-n1-20261125T080000Z.db": "no_manifest",
        "bankgw-n1-20261126T080000Z.db": "bad_manifest",
        "before.db": "no_copy",
    }
    made.write_bytes(made.read_bytes() + b"!")
    assert {one.file: one.wrong for one in listed(made.parent)}[made.name] == "size_differs"
