"""`bankgw check`, `lanes rename` and `senders rename` on a journal with a lane and a sender that the settings lack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import exit_codes
from gateway.control.offline.state_lock import lock
from gateway.demo import site as demo_site
from gateway.kernel.sql import migrations, vault
from gateway.payments.rows import lookup
from tests.gateway.cli import site as sites
from tests.gateway.cli.test_application import bankgw
from tests.gateway.control.test_settings_check import edit
from tests.gateway.kernel.bench import Journal, ManualClock, order, take_lane

OLD, NEW = "sample.before", "sample.main"


@pytest.fixture
def site(tmp_path: Path) -> demo_site.Site:
    """Settings that lack the lane, the sender and the account of the journal's one open order."""
    made = sites.make(tmp_path / "site")
    made.state.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{made.state / 'journal.db'}"
    migrations.upgrade(url)
    key = vault.load(made.folder / "secrets" / "vault.key")
    journal = Journal(url, "gw1", hands=ManualClock(), sealing=key)
    journal.do(lambda tx: take_lane(tx, OLD, "gw1", 1))
    journal.admit(order("AP-1"), lane=OLD, sender="ufida")
    journal.close()
    return made


@pytest.fixture
def reading(site: demo_site.Site) -> Iterator[Journal]:
    made = Journal(
        f"sqlite:///{site.state / 'journal.db'}", "reader", sealing=vault.load(site.folder / "secrets" / "vault.key")
    )
    yield made
    made.close()


def test_what_is_open_and_unknown_is_a_note_and_in_production_a_mistake(
    site: demo_site.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw("check", "--config", site.settings, "--json") == exit_codes.OK
    noted = json.loads(capsys.readouterr().out)["notes"]
    assert [one["key"] for one in noted] == ["journal.accept_unknown"] * 3
    said = " ".join(one["remedy"] for one in noted)
    for words in (f"on lane {OLD}", "of sender ufida", "of own account", f"bankgw lanes rename {OLD} NEW"):
        assert words in said
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')
    assert bankgw("run", "--config", site.settings) == exit_codes.CONFIG
    lines = [line for line in capsys.readouterr().err.splitlines() if "journal.accept_unknown" in line]
    assert len(lines) == 3
    accepted = f'accept_unknown = ["lane:{OLD}", "sender:ufida", "account:0000000000000000017"]'
    edit(site, "bankgw.toml", "[journal]", f"[journal]\n{accepted}")
    bankgw("check", "--config", site.settings)
    assert "journal.accept_unknown" not in capsys.readouterr().err


def test_the_commands_carry_the_journal_along(
    site: demo_site.Site, reading: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ("--config", site.settings, "--reason", "x")
    assert bankgw("lanes", "rename", OLD, NEW, *config) == exit_codes.OK
    assert f"lane {OLD} is called {NEW} now; 1 of its payments are open" in capsys.readouterr().out
    assert bankgw("senders", "rename", "ufida", "erp", *config, "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["rows"]["payments"] == 1
    row = reading.read(lambda conn: lookup.find(conn, "erp", "AP-1"))
    assert row is not None and row.lane == NEW
    bankgw("check", "--config", site.settings)
    said = capsys.readouterr().out
    assert OLD not in said and "ufida" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("lanes", "rename", OLD, "sample.nowhere"), "the settings have no lane sample.nowhere"),
        (("lanes", "rename", NEW, NEW), f"the settings still have lane {NEW}"),
        (("lanes", "rename", "pab.before", "pab.main"), "the journal has no lane pab.before; it has sample.before"),
        (("senders", "rename", "nobody", "erp"), "no order of a sender nobody; it has orders of ufida"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    words: tuple[str, ...], says: str, site: demo_site.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw(*words, "--config", site.settings, "--reason", "x") == exit_codes.REFUSED
    said = capsys.readouterr().err
    assert says in said and "nothing was changed" in said


def test_a_running_daemon_is_in_the_way(site: demo_site.Site, capsys: pytest.CaptureFixture[str]) -> None:
    held = lock(site.state)
    assert bankgw("lanes", "rename", OLD, NEW, "--config", site.settings, "--reason", "x") == exit_codes.REFUSED
    assert "is using" in capsys.readouterr().err
    os.close(held)
