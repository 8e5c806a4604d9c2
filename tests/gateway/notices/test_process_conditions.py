"""Conditions told by the notices process over a real journal: a stopped daemon, its troubles, what is late, a broken
channel, the second person."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import SQLAlchemyError

from gateway.notices import daemon_page, journal_look, state_file
from gateway.notices.conditions import CompanyMap
from gateway.notices.daemon_page import PageNotRead
from gateway.notices.kinds import NoticeKind
from gateway.settings import read_settings
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.notices.servers import hook_server
from tests.gateway.notices.test_notice_file import settings as settings
from tests.gateway.notices.test_process import OPS, Lives
from tests.gateway.notices.test_process import lives as lives
from tests.gateway.people.test_people_acts import site as site

K = NoticeKind
LANE = {"trouble": "lane", "subject": "boc.main", "cause": "refused", "remedy": "…", "runbook": "BankgwLaneDown"}
DOWN = ("ops", K.LANE_DOWN, ("boc.main · BankgwLaneDown",))


def journal(lives: Lives, statement: str, *values: object) -> None:
    with sqlite3.connect(lives.world.folder / "journal.db") as db:
        db.execute(statement, values)


def test_a_daemon_that_stops_is_told_once_and_when_it_is_back(lives: Lives) -> None:
    lives.troubles = None
    assert lives.rounds(50, alive=False) == [], "a restart takes less time"
    assert lives.rounds(20, alive=False) == [("ops", K.DAEMON_STOPPED, ("node gw1",))]
    assert lives.rounds(20, 60, alive=False) == [] and lives.start().rounds(20, 60, alive=False) == []
    lives.troubles = []
    assert lives.rounds(2) == [("ops", K.OVER, ("daemon_stopped node gw1",))]


def test_a_clean_restart_of_daemon_and_process_repeats_nothing(lives: Lives) -> None:
    lives.troubles = [LANE]
    assert lives.rounds(130) == [DOWN]
    lives.troubles = None
    assert lives.rounds(30, alive=False) == []
    lives.troubles = []
    lives.start()
    assert lives.rounds(10) == [], "the lane is not up yet, and not in trouble yet"
    lives.troubles = [LANE]
    assert lives.rounds(600) == []
    lives.troubles = []
    assert lives.rounds(130) == [("ops", K.OVER, ("lane_down boc.main",))]


def test_a_retired_node_is_not_told_and_a_journal_without_any_daemon_is(lives: Lives) -> None:
    journal(lives, "insert into units select 'old', unit, 1, audit_seq, audit_hash, null, null, null from units")
    assert lives.rounds(130) == []
    lives.state.unlink()
    lives.ahead_s += 3_600
    assert lives.start().rounds(3, 60, alive=False) == [("ops", K.DAEMON_STOPPED, ("node gw1",))]


def test_the_kinds_of_trouble_are_told_by_kind(lives: Lives) -> None:
    lives.troubles = [
        {"trouble": "certificate", "subject": "boc tls", "step": "7 days", "runbook": "BankgwCertificateEndsSoon"},
        {"trouble": "backup_failed", "subject": "journal", "runbook": "BankgwBackupFailed"},
        {"trouble": "drill", "subject": "journal", "runbook": "BankgwDrillFailed"},
        {"trouble": "broker", "subject": "RabbitMQ", "runbook": "BankgwBrokerDown"},
        {"trouble": "stopped", "subject": "all lanes", "runbook": "BankgwStopped"},
    ]
    assert lives.rounds(130) == [
        ("ops", K.TROUBLE, ("broker RabbitMQ · BankgwBrokerDown",)),
        ("ops", K.CERTIFICATE_ENDS, ("boc tls · 7 days, BankgwCertificateEndsSoon",)),
        ("ops", K.BACKUP, ("backup_failed journal · BankgwBackupFailed", "drill journal · BankgwDrillFailed")),
    ]


def test_a_page_that_cannot_be_read_beside_a_running_daemon_is_told(lives: Lives) -> None:
    lives.troubles = None
    assert lives.rounds(130) == [("ops", K.UPKEEP, ("the page of gw1 cannot be read",))]


def test_what_is_late_is_told_for_each_day(lives: Lives) -> None:
    day_ms = 86_400_000
    lives.rounds(2, 5 * 86_400)
    job = "insert into jobs values (?, ?, ?, 'gw1', ?, ?, null)"
    now_ms = lives.now_ms()
    journal(lives, job, "report:daily", "-", "2026-01-01", "running", now_ms - 2 * 3_600_000)
    journal(lives, job, "report:fresh", "-", "2026-01-01", "running", now_ms - 60_000)
    journal(lives, job, "report:made", "-", "2026-01-01", "done", now_ms - 2 * 3_600_000)
    journal(lives, job, "statement:a", "boc", _day(now_ms - 3 * day_ms), "running", now_ms)
    journal(lives, job, "statement:b", "boc", _day(now_ms - 3 * day_ms), "running", now_ms)
    journal(lives, job, "statement:a", "boc", _day(now_ms - 1 * day_ms), "running", now_ms)
    lane = lives.world.query("select lane from lanes where lane > ?", "")[0][0]
    search = "insert into receipt_searches values (?, ?, 'x', '2026-01-01', ?, ?, 0, 0, null, null, null)"
    journal(lives, search, "P1", lane, "waiting", now_ms - 4 * day_ms)
    journal(lives, search, "P2", lane, "fetched", now_ms - 4 * day_ms)
    journal(lives, search, "P3", lane, "waiting", now_ms - 1 * day_ms)
    told = lives.rounds(130)
    newest = _day(now_ms - 3 * day_ms)
    assert told == [
        ("ops", K.STATEMENT_MISSING, (f"boc · 2, {newest}",)),
        ("ops", K.RECEIPT_MISSING, (f"{lane} · 1",)),
        ("ops", K.REPORT_FAILED, ("daily 2026-01-01",)),
    ]
    assert lives.start().rounds(130) == []
    assert [(kind, keys) for _name, kind, keys in lives.rounds(3, 86_400) if kind is K.STATEMENT_MISSING] == [
        (K.STATEMENT_MISSING, (f"boc · 3, {newest} – {_day(now_ms - day_ms)}",))
    ]


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo("Asia/Shanghai")).date().isoformat()


def test_a_journal_that_cannot_be_read_is_told(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_conn: Any) -> Any:
        raise SQLAlchemyError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(journal_look, "heads", away)
        assert lives.rounds(130) == [("ops", K.TROUBLE, ("notices cannot read the journal",))]
    assert lives.rounds(130) == [("ops", K.OVER, ("trouble notices cannot read the journal",))]


def test_a_broken_channel_is_told_to_the_others(lives: Lives, four_eyes: Operator) -> None:
    lives.file["destinations"]["treasury"] = {
        **OPS,
        "to": ["treasury@example.com"],
        "kinds": ["channel_broken", "over"],
    }
    lives.start().rounds()
    lives.refuses = {"ops"}
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    assert lives.rounds(10, 60) == []
    told = lives.rounds(10, 60)
    assert told == [("treasury", K.CHANNEL_BROKEN, ("ops",))] and lives.rounds(10, 60) == []
    lives.refuses = set()
    assert ("treasury", K.OVER, ("channel_broken ops",)) in lives.rounds(20, 60)


def test_a_defect_of_a_courier_ends_no_process(lives: Lives, four_eyes: Operator) -> None:
    lives.breaks = {"ops"}
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    assert lives.rounds(3) == []
    assert "LookupError" in json.loads(lives.state.read_text())["queues"]["ops"]["last_why"]
    lives.breaks = set()
    assert lives.rounds(30) == [("ops", K.APPROVAL_WAITING, ("kingdee/AP-1",))]


def test_the_second_person_is_told_of_an_approval_and_a_lane_that_wait(lives: Lives, four_eyes: Operator) -> None:
    kinds = ["approval_waiting", "lane_down"]
    lives.file["destinations"] = {
        "ops": {**OPS, "kinds": kinds},
        "head": {**OPS, "to": ["head@example.com"], "kinds": kinds, "after_s": 600},
    }
    lives.start().rounds()
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    submit(four_eyes, "AP-2", OVER + 1, maker="zhao")
    lives.troubles = [LANE]
    first = lives.rounds(130)
    assert {name for name, _kind, _keys in first} == {"ops"} and len(first) == 2
    journal(lives, "update approval_requests set state = 'approved' where subject = 'AP-2'")
    assert lives.rounds(440) == []
    told = lives.rounds(200)
    assert ("head", K.APPROVAL_WAITING, ("kingdee/AP-1",)) in told
    assert ("head", K.LANE_DOWN, ("boc.main · BankgwLaneDown",)) in told
    assert all(name == "head" for name, _kind, _keys in told if _kind is K.LANE_DOWN)


def test_what_somebody_acknowledged_does_not_escalate(lives: Lives) -> None:
    lives.file["destinations"] = {
        "ops": {**OPS, "kinds": ["lane_down"]},
        "head": {**OPS, "to": ["head@example.com"], "kinds": ["lane_down"], "after_s": 600},
    }
    lives.start().rounds()
    lives.troubles = [LANE]
    assert lives.rounds(130) == [DOWN]
    sent = lives.took[-1][1].id
    folder = lives.state.parent
    state_file.leave_acknowledgement(folder, sent, "wang")
    state_file.leave_acknowledgement(folder, "0" * 32, "nobody")
    assert lives.rounds(800) == []
    assert json.loads(lives.state.read_text())["sent"][sent]["by"] == "wang"
    assert list((folder / state_file.ACKNOWLEDGED).iterdir()) == []


def test_a_destination_of_a_company_gets_what_is_about_it(lives: Lives, four_eyes: Operator) -> None:
    other = {**OPS, "kinds": ["approval_waiting", "lane_down"]}
    lives.file["destinations"] = {
        "jia": {**other, "to": ["jia@example.com"], "companies": ["jia"]},
        "else": {**other, "to": ["else@example.com"], "companies": ["else"]},
    }
    lives.start().rounds()
    lives.troubles = [LANE, {**LANE, "subject": "icbc.main"}]
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    ours = str(four_eyes.world.query("select company from payments where order_id = ?", "AP-1")[0][0])
    assert ours == "jia"
    told = lives.rounds(130)
    assert ("else", K.LANE_DOWN, ("icbc.main · BankgwLaneDown",)) in told, "of no company that is known: for all"
    assert ("jia", K.LANE_DOWN, ("boc.main · BankgwLaneDown", "icbc.main · BankgwLaneDown")) in told
    assert [name for name, kind, _keys in told if kind is K.APPROVAL_WAITING] == ["jia"]


def test_the_daily_notice_names_what_lasts(lives: Lives) -> None:
    lives.troubles = [LANE]
    lives.rounds(130)
    lives.file["alive_at"] = "00:00"
    told = [keys for _name, kind, keys in lives.start().rounds(30, 3_600) if kind is K.ALIVE]
    assert told and all("lane_down boc.main · BankgwLaneDown" in keys for keys in told)


def test_the_state_of_the_first_version_is_read_and_changes_nothing(lives: Lives) -> None:
    said = json.loads(lives.state.read_text())
    for name in ("conditions", "nodes", "sent"):
        del said[name]
    for queue in said["queues"].values():
        del queue["later"]
    old = {"to": {**OPS, "url": None, "token": None, "key": None, "ca_file": None, "language": "zh"}}
    kinds = [*("approval_waiting", "approval_expiring", "held", "doubtful", "contradicted", "returned", "expired")]
    kinds += ["security", "alive"]
    old["to"] |= {"kinds": kinds, "quiet_from": None, "quiet_to": None}
    said["addresses"] = {"ops": old}
    lives.state.write_text(json.dumps(said))
    assert lives.start().rounds(5) == []


# ---- the daemon's page ----


def test_the_troubles_are_read_from_the_page_of_a_daemon() -> None:
    with hook_server() as inbox:
        url = f"http://127.0.0.1:{inbox.port}"
        inbox.answer = (503, json.dumps({"status": "not_ready", "troubles": [LANE, 1]}).encode(), {})
        assert daemon_page.troubles(url) == [LANE]
        for answer in (b"", b"[]", b'{"troubles": 1}', b"[" * 60_000, b'{"x": 1}'):
            inbox.answer = (200, answer, {})
            with pytest.raises(PageNotRead):
                daemon_page.troubles(url)
        inbox.answer = (404, json.dumps({"troubles": []}).encode(), {})
        with pytest.raises(PageNotRead):
            daemon_page.troubles(url)


def test_the_page_of_the_settings_is_found(settings: Path) -> None:
    made = read_settings(settings).settings
    for host, port, url in (
        ("127.0.0.1", 9464, "http://127.0.0.1:9464"),
        ("0.0.0.0", 9464, "http://127.0.0.1:9464"),
        ("::", 1, "http://[::1]:1"),
    ):
        watch = made.watch.model_copy(update={"host": host, "port": port})
        assert daemon_page.address_of(made.model_copy(update={"watch": watch})) == url
    picked = made.model_copy(update={"watch": made.watch.model_copy(update={"host": "127.0.0.1", "port": 0})})
    (made.state_dir / "watch.port").unlink(missing_ok=True)
    with pytest.raises(PageNotRead):
        daemon_page.address_of(picked)
    (made.state_dir / "watch.port").write_text("4711\n")
    assert daemon_page.address_of(picked) == "http://127.0.0.1:4711"
    assert list(daemon_page.pages_of(made, ())) == [made.node]
    assert list(daemon_page.pages_of(made, ("http://10.0.0.2:9464", "http://10.0.0.3:9464"))) == [
        "10.0.0.2:9464",
        "10.0.0.3:9464",
    ]


def test_the_companies_of_a_lane_are_those_of_its_accounts(settings: Path) -> None:
    made = read_settings(settings).settings
    first = made.accounts[0]
    companies = CompanyMap(made).of
    assert first.company in companies(first.bank) and first.company in companies(f"{first.bank}.{first.lane}")
    assert first.company in companies(f"{first.bank} tls") and companies("RabbitMQ") == frozenset()
