"""The rehearsal of an upgrade: the new program reads a copy of the journal as this one does, or the difference is
reported.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.control.offline import rehearsal
from gateway.control.offline.rehearsal import NotRehearsed, Rehearsed, migrate_copy, open_payments, rehearse
from gateway.kernel.sql import migrations, vault
from gateway.settings import Settings
from tests.gateway.conftest import sqlite_template as sqlite_template
from tests.gateway.kernel.bench import Journal, admit, order
from tests.house import ROOT

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path, sqlite_template: bytes) -> tuple[Settings, Path]:
    """Settings with a journal that has three open payments."""
    state = tmp_path / "state"
    state.mkdir()
    vault.create(tmp_path / "vault.key")
    (tmp_path / "broker").write_text("x")
    (tmp_path / "broker").chmod(0o600)
    (state / "journal.db").write_bytes(sqlite_template)
    journal = Journal(f"sqlite:///{state}/journal.db", node="gw1", sealing=vault.load(tmp_path / "vault.key"))
    for n in range(3):
        journal.do(admit(order(f"AP-{n}")))
    journal.close()
    config = tmp_path / "bankgw.toml"
    config.write_text(
        f'state_dir = "{state}"\n[broker]\npassword = {{ file = "broker" }}\n[journal]\nvault_key = {{ file = "vault.key" }}\n'
    )
    return Settings.model_validate(
        {
            "state_dir": str(state),
            "broker": {"password": {"file": str(tmp_path / "broker")}},
            "journal": {"vault_key": {"file": str(tmp_path / "vault.key")}},
        }
    ), config


def program(folder: Path, body: str = "") -> Path:
    """Another version of the program: this version itself, or the changed copy that `body` makes of it."""
    path = folder / "bankgw-new"
    path.write_text(f'#!/bin/sh\n{body}\nPYTHONPATH={ROOT} exec {sys.executable} -m gateway "$@"\n')
    path.chmod(0o755)
    return path


def tried(site: tuple[Settings, Path], new: Path) -> rehearsal.Rehearsal:
    settings, config = site
    access = settings.journal_url(), vault.load(settings.journal.vault_key.path())
    return rehearse(settings, access, Rehearsed((str(new),), config, ()), "0.0.9", NOW, None)


def test_a_good_version_is_good_and_the_journal_is_as_it_was(site: tuple[Settings, Path], tmp_path: Path) -> None:
    database = tmp_path / "state" / "journal.db"
    before = database.read_bytes()
    done = tried(site, program(tmp_path))
    assert done.good and done.same and done.beside and done.before["states"] == {"ready": 3}
    assert done.before["digest"] == done.after["digest"] and done.after["schema"] == migrations.KNOWN[-1]
    assert database.read_bytes() == before


def test_one_that_reads_a_payment_otherwise_is_not(site: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, _config = site
    read = open_payments(settings.journal_url(), vault.load(settings.journal.vault_key.path()))
    lost = json.dumps(
        {"schema": read.schema, "beside": read.beside, "states": {"ready": 2}, "digest": "0", "migrated_s": 1}
    )
    done = tried(site, program(tmp_path, f"case \"$2\" in --rehearse) echo '{lost}'; exit 0;; esac"))
    assert not done.good and not done.same and done.before["states"] == {"ready": 3}


def test_one_that_refuses_the_settings_is_not(site: tuple[Settings, Path], tmp_path: Path) -> None:
    said = json.dumps({"ok": False, "mistakes": [{"file": "f", "key": "zone", "remedy": "gone"}], "notes": []})
    done = tried(site, program(tmp_path, f"case \"$2\" in --json) echo '{said}'; exit 78;; esac"))
    assert not done.good and done.same and done.mistakes == ("f: zone: gone",)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("exit 7", "--version ended with 7"),
        ('case "$2" in --rehearse) echo "no such column"; exit 1;; esac', "no such column"),
    ],
)
def test_one_that_cannot_is_told(site: tuple[Settings, Path], tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(NotRehearsed, match=why):
        tried(site, program(tmp_path, body))


def test_the_journal_in_use_is_never_what_is_migrated(site: tuple[Settings, Path]) -> None:
    settings, _config = site
    with pytest.raises(NotRehearsed, match="in use"):
        migrate_copy(settings, settings.journal_url(), vault.load(settings.journal.vault_key.path()))


def test_the_command_says_it_in_words(site: tuple[Settings, Path], tmp_path: Path) -> None:
    from gateway.__main__ import environment
    from gateway.cli.application import application

    words = ["check", "--with", str(program(tmp_path)), "--config", str(site[1])]
    done = CliRunner().invoke(application(), words, obj=environment())
    assert done.exit_code == 0, done.output
    assert "open payments: 3 (ready 3); the new version reads each as this one does" in done.output
    assert "schema stays" in done.output and "the upgrade may be made" in done.output
