"""Backups of the journal: complete while others write, restored only into an empty database, refused if anything is
wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from gateway.kernel.backup import backup, dump_tools
from gateway.kernel.backup.backup import Manifest, NoBackup, Origin
from gateway.kernel.commit import audit
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import databases, migrations, schema
from gateway.kernel.sql.vault import Vault
from tests.gateway.conftest import KINDS
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, admit, order, vault

MADE_AT = "2026-11-24T08:00:00+00:00"


def origin(journal: Journal, tmp_path: Path) -> Origin:
    return Origin(journal.url, journal.vault, "n1", "0.1.0", tmp_path / "permits", MADE_AT)


@pytest.fixture
def kept(small: Journal, tmp_path: Path) -> tuple[Path, Manifest]:
    """A copy of a small journal."""
    for n in range(3):
        small.do(admit(order(f"AP-{n}")))
    copy = tmp_path / "copies" / "one.db"
    copy.parent.mkdir()
    return copy, backup.make(origin(small, tmp_path), copy)


def back(copy: Path, folder: Path, keys: Vault | None = None) -> backup.Restored:
    return backup.restore(f"sqlite:///{folder / 'journal.db'}", keys or vault(), folder / "permits", copy)


@pytest.mark.parametrize("proof", ["own log", "no log", "another node has sent"])
def test_a_restored_database_says_so_unless_the_log_proves_that_nothing_is_missing(tmp_path: Path, proof: str) -> None:
    (tmp_path / "there").mkdir()
    url = f"sqlite:///{tmp_path / 'there' / 'journal.db'}"
    migrations.upgrade(url)
    log = PermitLog(tmp_path / "permits", vault(), "n1")
    journal = Journal(url, "n1", permits=log)
    if proof == "another node has sent":
        other = Journal(url, "n2")
        other.send(other.admit(order("z")).row)
        other.close()
    journal.send(journal.admit(order("a")).row)
    copy = tmp_path / "one.db"
    backup.make(origin(journal, tmp_path), copy)
    journal.close()
    place = tmp_path / "here"
    place.mkdir()
    if proof != "no log":
        shutil.copytree(tmp_path / "permits", place / "permits")
    done = back(copy, place)
    with sqlite3.connect(place / "journal.db") as db:
        marks = db.execute("select count(*) from meta where name = 'restored'").fetchone()[0]
    assert (marks, backup.NOT_PROVEN in done.gaps) == ((0, False) if proof == "own log" else (1, True))


def test_a_copy_and_what_its_manifest_says(kept: tuple[Path, Manifest], small: Journal) -> None:
    copy, manifest = kept
    said = json.loads(copy.with_name("one.db.json").read_text())
    assert (said["schema"], said["payments"], said["backend"], said["vault_key"]) == (
        migrations.KNOWN[-1],
        3,
        "sqlite",
        "k1",
    )
    head = small.read(lambda conn: audit.head_of(conn, "n1"))
    assert said["heads"] == {"n1": [head.seq, head.hash]}
    assert manifest.bytes == copy.stat().st_size
    for file in copy.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(file.name for file in copy.parent.iterdir()) == ["one.db", "one.db.json"]


def test_the_vaults_key_is_not_in_it(kept: tuple[Path, Manifest]) -> None:
    copy, _manifest = kept
    from tests.gateway.kernel.bench import CREDITOR, KEY

    for file in copy.parent.iterdir():
        octets = file.read_bytes()
        for secret in (KEY, CREDITOR.encode()):
            assert secret not in octets


def test_a_copy_is_put_back_whole(kept: tuple[Path, Manifest], tmp_path: Path) -> None:
    copy, manifest = kept
    done = back(copy, tmp_path / "new")
    assert (done.manifest, done.forgotten) == (manifest, 0)
    again = Journal(f"sqlite:///{tmp_path / 'new' / 'journal.db'}", node="n1")
    assert again.count(schema.payments) == 3
    again.do(admit(order("AP-9")))
    assert again.read(lambda conn: audit.verify(conn, vault())) == []
    again.close()
    assert stat.S_IMODE((tmp_path / "new" / "journal.db").stat().st_mode) == 0o600


def test_lost_time_shows_in_the_permit_log(kept: tuple[Path, Manifest], tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    log = PermitLog(tmp_path / "new" / "permits", vault(), "n1")
    log.note(Group(99, "9" * 64, NOW_MS))
    log.append_permits([Permit(f"{LANE}/GONE1", 1, 1), Permit(f"{LANE}/GONE2", 1, 1)])
    log.close()
    done = back(kept[0], tmp_path / "new")
    assert done.forgotten == 2
    assert "lacks 99 entries, 0 of them words of senders and persons, and 2 sends" in done.gaps[0]


def test_nothing_is_overwritten(kept: tuple[Path, Manifest], small: Journal, tmp_path: Path) -> None:
    copy, _manifest = kept
    for name in ("one.db", "one.db.json"):
        octets = (copy.parent / name).read_bytes()
        with pytest.raises(NoBackup, match="never overwritten"):
            backup.make(origin(small, tmp_path), copy)
        assert (copy.parent / name).read_bytes() == octets
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        folder = tmp_path / f"at-{name}"
        folder.mkdir()
        (folder / name).write_bytes(b"something")
        with pytest.raises(NoBackup, match="move it aside"):
            back(copy, folder)
        assert [file.name for file in folder.iterdir()] == [name]
        assert (folder / name).read_bytes() == b"something"


def damage(change: str) -> Callable[[Path], object]:
    def bit(copy: Path) -> None:
        octets = bytearray(copy.read_bytes())
        octets[len(octets) // 2] ^= 1
        copy.write_bytes(octets)

    def field(name: str, value: object) -> Callable[[Path], None]:
        def alter(copy: Path) -> None:
            beside = copy.with_name(f"{copy.name}.json")
            beside.write_text(json.dumps({**json.loads(beside.read_text()), name: value}))

        return alter

    changes: dict[str, Callable[[Path], object]] = {
        "bit": bit,
        "cut": lambda copy: copy.write_bytes(copy.read_bytes()[:-4096]),
        "gone": lambda copy: copy.unlink(),
        "manifest_gone": lambda copy: copy.with_name(f"{copy.name}.json").unlink(),
        "manifest_cut": lambda copy: copy.with_name(f"{copy.name}.json").write_text("{"),
        "manifest_list": lambda copy: copy.with_name(f"{copy.name}.json").write_text("[]"),
        "sha256": field("sha256", "0" * 64),
        "payments": field("payments", 4),
        "made_at": field("made_at", "later"),
        "format": field("format", 2),
        "seal": field("seal", "AAAA"),
    }
    return changes[change]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("bit", "damaged or replaced"),
        ("cut", "damaged or replaced"),
        ("gone", "no file"),
        ("manifest_gone", "manifest beside it"),
        ("manifest_cut", "damaged"),
        ("manifest_list", "damaged"),
        ("sha256", "altered"),
        ("payments", "altered"),
        ("made_at", "altered"),
        ("format", "format 2"),
        ("seal", "altered"),
    ],
)
def test_what_is_damaged_is_refused(kept: tuple[Path, Manifest], tmp_path: Path, change: str, says: str) -> None:
    copy, _manifest = kept
    damage(change)(copy)
    with pytest.raises(NoBackup, match=says):
        back(copy, tmp_path / "new")
    assert not (tmp_path / "new" / "journal.db").exists()


def test_another_key_or_none_is_told_apart(kept: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(NoBackup, match="vault key k1, which the vault's key file does not hold"):
        back(kept[0], tmp_path / "new", Vault({"k2": b"x" * 32}, "k2"))
    with pytest.raises(NoBackup, match="another vault key"):
        back(kept[0], tmp_path / "new", Vault({"k1": b"x" * 32}, "k1"))


def test_what_root_backs_up_belongs_to_the_folders_owner(
    small: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((Path(path).name, uid, gid)))
    small.do(admit(order("AP-1")))
    backup.make(origin(small, tmp_path), tmp_path / "one.db")
    owner = tmp_path.stat()
    assert given == [(name, owner.st_uid, owner.st_gid) for name in ("one.db.part", "one.db.json")]


@pytest.mark.parametrize("keys", [Vault({"k1": b"x" * 32}, "k1"), Vault({"k2": b"x" * 32}, "k2")])
def test_a_key_that_does_not_open_the_journal_makes_no_backup(small: Journal, tmp_path: Path, keys: Vault) -> None:
    small.do(admit(order("AP-1")))
    wrong = replace(origin(small, tmp_path), vault=keys)
    with pytest.raises(NoBackup, match=r"does not open this journal.*Nothing was copied"):
        backup.make(wrong, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_a_schema_from_the_future_is_refused(
    kept: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "KNOWN", ("0001",))
    with pytest.raises(NoBackup, match=r"does not know.*install the bankgw 0\.1\.0"):
        back(kept[0], tmp_path / "new")


def test_a_copy_whose_trail_was_altered_before_it_was_taken_is_not_put_back(small: Journal, tmp_path: Path) -> None:
    small.do(admit(order("AP-1")))
    with small.stranger() as conn:
        conn.exec_driver_sql("update audit set actor = 'uid:nobody' where seq = 1")
        conn.commit()
    backup.make(origin(small, tmp_path), tmp_path / "one.copy")
    with pytest.raises(NoBackup, match="entry 1 was altered"):
        back(tmp_path / "one.copy", tmp_path / "new")
    assert list((tmp_path / "new").glob("journal*")) == []


def test_there_is_nothing_to_copy(tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    with pytest.raises(NoBackup, match="no journal at"):
        backup.make(Origin(empty, vault(), "n1", "0", tmp_path / "p", MADE_AT), tmp_path / "copy")
    sqlite3.connect(tmp_path / "empty.db").execute("create table x (y)").connection.close()
    with pytest.raises(NoBackup, match="holds no journal"):
        backup.make(Origin(empty, vault(), "n1", "0", tmp_path / "p", MADE_AT), tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


@contextmanager
def load(journal: Journal) -> Iterator[list[float]]:
    """Commit orders without a pause; yields the list of the commits' durations."""
    took_s: list[float] = []
    broken: list[BaseException] = []
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                began_s = time.monotonic()
                journal.do(admit(order(f"L-{len(took_s)}")))
                took_s.append(time.monotonic() - began_s)
        except BaseException as error:
            broken.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield took_s
    finally:
        stop.set()
        thread.join(20)
    assert broken == []


def emptied(url: str) -> None:
    """Delete everything from the database."""
    engine, found = create_engine(url), MetaData()
    with engine.begin() as conn:
        found.reflect(conn)
        found.drop_all(conn)
    engine.dispose()


def test_copies_taken_under_load_are_whole(journal: Journal, tmp_path: Path) -> None:
    journal.do(admit(order("AP-1")))
    copies: list[tuple[Path, Manifest]] = []
    with load(journal) as took_s:
        for n in range(3):
            before = len(took_s)
            copies.append((tmp_path / f"copy-{n}", backup.make(origin(journal, tmp_path), tmp_path / f"copy-{n}")))
            # A copy of a small journal may take less time than one commit.
            until_s = time.monotonic() + 2
            while len(took_s) <= before and time.monotonic() < until_s:
                time.sleep(0.01)
            assert len(took_s) > before, "orders are taken in all the while"
    assert max(took_s) < 2, "no commit waited for a copy"
    counts = [manifest.payments for _copy, manifest in copies]
    assert counts == sorted(set(counts)), "each copy is of its own moment"
    sqlite = journal.url.startswith("sqlite")
    if not sqlite:
        with pytest.raises(NoBackup, match="not empty"):
            backup.restore(journal.url, vault(), tmp_path / "none", copies[-1][0])
    journal.close()
    target = f"sqlite:///{tmp_path / 'new' / 'journal.db'}" if sqlite else journal.url
    if not sqlite:
        emptied(journal.url)
    copy, manifest = copies[-1]
    assert backup.restore(target, vault(), tmp_path / "none", copy).manifest == manifest
    again = Journal(target, node="n1")
    found = again.count(schema.payments)
    assert found == manifest.payments if manifest.exact else found >= manifest.payments
    again.do(admit(order("AP-2")))
    assert again.read(lambda conn: audit.verify(conn, vault())) == []
    again.close()


def test_a_copy_of_one_kind_does_not_go_into_another(kept: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(NoBackup, match="of a sqlite journal"):
        backup.restore("postgresql+psycopg://x@127.0.0.1:1/x", vault(), tmp_path / "none", kept[0])


@pytest.mark.parametrize("change", ["PATH", "login"])
@pytest.mark.parametrize("url", KINDS[1:2], indirect=True)
def test_what_a_database_program_says_is_passed_on(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    made = Journal(url)
    try:
        if change == "PATH":
            monkeypatch.setenv("PATH", str(tmp_path))
        else:
            monkeypatch.setattr(dump_tools, "_password", lambda *_: {"PGDATABASE": "bankgw_no_such_database"})
        with pytest.raises(NoBackup, match="client programs" if change == "PATH" else "pg_dump failed"):
            backup.make(origin(made, tmp_path), tmp_path / "copy")
    finally:
        made.close()
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("url", KINDS[1:2], indirect=True)
def test_a_copy_may_take_longer_than_a_transaction_may_stand_still(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction with the snapshot runs no statement while an external program copies."""
    made, run = Journal(url), backup._run

    def slowly(*words: Any) -> None:
        time.sleep(2.5)
        run(*words)

    try:
        made.do(admit(order("AP-1")))
        monkeypatch.setattr(databases, "IDLE_IN_TRANSACTION_S", 1)
        monkeypatch.setattr(backup, "_run", slowly)
        assert backup.make(origin(made, tmp_path), tmp_path / "copy").payments == 1
    finally:
        made.close()
