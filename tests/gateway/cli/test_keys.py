"""`bankgw keys`: the list has no value of a key, and a vault key is prepared, activated, and retired when nothing needs
it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway import settings as conf
from gateway.act_ports import NodePort
from gateway.call import Call, Denied, PeerCredentials
from gateway.cli import exit_codes
from gateway.control.acts.keys import ActivateKey
from gateway.control.key_answers import KeyAnswers
from gateway.control.key_list import KeyPort, keys_of_settings, used_as
from gateway.control.offline.settings_check import sources_of
from gateway.demo import site as demo_site
from gateway.kernel.sql import migrations, vault
from tests.gateway.cli import site as sites
from tests.gateway.cli.test_application import bankgw
from tests.gateway.kernel.bench import LANE, Journal, ManualClock, order, take_lane
from tests.gateway.kernel.rotating import DirectStore, rotation, run_once

CALL = Call(PeerCredentials(0), 0, (), {}, {})
NODE = NodePort({"node": "gw1"}, 0, dict, lambda: None, lambda: False)


@pytest.fixture
def site(tmp_path: Path) -> demo_site.Site:
    """Settings, and a journal with two payments of which one was sent."""
    made = sites.make(tmp_path / "site")
    made.state.mkdir(parents=True, exist_ok=True)
    migrations.upgrade(f"sqlite:///{made.state / 'journal.db'}")
    return made


@pytest.fixture
def journal(site: demo_site.Site) -> Iterator[Journal]:
    made = _opened(site)
    made.do(lambda tx: take_lane(tx, LANE, "gw1", 10**9))
    made.send(made.admit(order("AP-1")).row)
    made.admit(order("AP-2"))
    yield made
    made.close()


def _opened(site: demo_site.Site) -> Journal:
    key = vault.load(_key_file(site))
    made = Journal(f"sqlite:///{site.state / 'journal.db'}", "gw1", hands=ManualClock(), sealing=key)
    made.committer.open()
    return made


def _key_file(site: demo_site.Site) -> Path:
    return site.folder / "secrets" / "vault.key"


def _answers(site: demo_site.Site, journal: Journal) -> KeyAnswers:
    settings, now = conf.load(site.settings), datetime(2026, 12, 1, tzinfo=UTC)
    store: Any = DirectStore(journal)
    port = KeyPort(lambda: keys_of_settings(settings, now), settings.journal.vault_key.source)
    return KeyAnswers(store, NODE, port)


def _answer(coroutine: Any) -> Any:
    done: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(done.append)
    if hasattr(done[0], "raiseException"):
        done[0].raiseException()
    return done[0]


def test_a_vault_key_is_prepared_activated_and_retired(
    site: demo_site.Site, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ("--config", site.settings)
    old = journal.vault.current
    assert bankgw("keys", "retire", "vault", old, *config) == exit_codes.REFUSED
    assert "no vault key was ever activated" in capsys.readouterr().err
    assert bankgw("keys", "prepare", "vault", *config, "--json") == exit_codes.OK
    new = json.loads(capsys.readouterr().out)["key"]
    answers = _answers(site, journal)
    states = {
        row["name"]: row["state"] for row in _answer(answers.list_keys(CALL))["keys"] if row["purpose"] == "vault"
    }
    assert states == {old: "in use"}
    said = _answer(answers.activate(CALL, ActivateKey("vault", new, "once a year")))
    assert (said["key"], said["before"]) == (new, old)
    assert bankgw("keys", "retire", "vault", old, *config) == exit_codes.REFUSED
    assert "still being sealed anew" in capsys.readouterr().err
    run_once(journal, rotation(journal))
    listed = _answer(answers.list_keys(CALL))
    states = {row["name"]: row["state"] for row in listed["keys"] if row["purpose"] == "vault"}
    assert states == {old: "earlier", new: "in use"}
    [progress] = listed["vault"]
    assert (progress["state"], progress["done"], progress["tables_done"]) == ("done", True, progress["tables"])
    assert bankgw("keys", "retire", "vault", new, *config) == exit_codes.REFUSED
    assert "is in use: activate another one first" in capsys.readouterr().err
    assert old in vault.names_in(_key_file(site))
    # A copy made from now on needs the new key alone, although the file still names the earlier one first.
    assert bankgw("backup", site.folder / "copies", *config) == exit_codes.OK
    capsys.readouterr()
    assert bankgw("keys", "retire", "vault", old, *config) == exit_codes.OK
    told = capsys.readouterr().out
    assert f"{old} was removed" in told and "Backups made before" in told
    assert vault.names_in(_key_file(site)) == (new,)
    assert bankgw("audit", "verify", *config) == exit_codes.OK
    capsys.readouterr()
    assert bankgw("backup", "--list", site.folder / "copies", "--json", *config) == exit_codes.OK
    [copy] = json.loads(capsys.readouterr().out)["backups"]
    assert (copy["vault_key"], copy["whole"]) == (new, True)
    journal.close()
    life = _opened(site)
    assert life.vault.names == (new,)
    life.admit(order("AP-3"))
    life.close()


def test_a_key_is_not_retired_while_a_node_or_an_altered_row_needs_it(
    site: demo_site.Site, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    config, old = ("--config", site.settings), journal.vault.current
    other = Journal(journal.url, "gw2", hands=journal.hands, sealing=vault.load(_key_file(site)))
    other.committer.open()
    other.close()
    journal.hands.task.advance(90)
    bankgw("keys", "prepare", "vault", *config, "--json")
    new = json.loads(capsys.readouterr().out)["key"]
    _answer(_answers(site, journal).activate(CALL, ActivateKey("vault", new, "once a year")))
    with journal.stranger() as conn:
        first = "(select min(message_id) from outbox)"
        conn.exec_driver_sql(f"update outbox set body = zeroblob(60) where message_id = {first}")
    run_once(journal, rotation(journal))
    assert bankgw("keys", "retire", "vault", old, *config) == exit_codes.REFUSED
    assert "gw2 wrote nothing since" in capsys.readouterr().err
    assert bankgw("keys", "retire", "vault", old, "--gone", "gw2", *config) == exit_codes.REFUSED
    assert "1 rows are not under key" in capsys.readouterr().err
    assert old in vault.names_in(_key_file(site))
    assert bankgw("keys", "retire", "vault", old, "--gone", "gw2", "--left", 1, *config) == exit_codes.OK


def test_what_cannot_be_activated_is_refused(site: demo_site.Site, journal: Journal) -> None:
    answers = _answers(site, journal)
    with pytest.raises(Denied) as refused:
        _answer(answers.activate(CALL, ActivateKey("bank_signing", "content", "x")))
    assert refused.value.code == "bad_purpose"
    with pytest.raises(Denied, match="does not have vault key 'k9'") as refused:
        _answer(answers.activate(CALL, ActivateKey("vault", "k9", "x")))
    assert refused.value.code == "not_now"


def test_the_list_names_every_secret_of_the_settings_and_no_value(site: demo_site.Site, journal: Journal) -> None:
    rows = _answer(_answers(site, journal).list_keys(CALL))["keys"]
    listed = {row["name"]: row for row in rows}
    text = json.dumps(rows)
    secrets = [file for file in (site.folder / "secrets").rglob("*") if file.is_file()]
    assert secrets
    for file in secrets:
        for part in file.read_text("utf-8", errors="replace").split():
            assert len(part) < 16 or part not in text, f"the list shows a part of {file.name}"
    assert {row["source"].partition(" ")[0] for row in rows if row["purpose"] != "person"} <= {
        *("file", "systemd", "command", "environment", "PKCS#11", "signing", "settings")
    }
    assert listed["broker.password"]["purpose"] == "secret"
    places = {place for place, _source in sources_of(conf.load(site.settings))} - {"journal.vault_key"}
    assert places <= set(listed)


def test_a_signing_key_has_the_name_under_which_sends_name_it() -> None:
    assert used_as("banks.op.lanes.main.keys.content.key") == "op.main/content"
    assert used_as("banks.op.lanes.main.keys.content") == "op.main/content"
    assert used_as("banks.op.lanes.main.tls.key") == ""
