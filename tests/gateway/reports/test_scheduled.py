"""Scheduled reports: each period once, complete, private, in the audit trail; a failed one is tried again."""

from __future__ import annotations

import csv
import sqlite3
from dataclasses import replace
from datetime import date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import pytest
from twisted.internet.defer import Deferred

from gateway.reports.forms import FORMS
from gateway.reports.jobs import AGAIN_S, ScheduledReport, ScheduledReports, scheduled_of
from gateway.reports.question import ReportScope
from gateway.settings.agreement import findings
from gateway.settings.treasury_tables import ReportSettings, ScheduledReportSettings
from tests.gateway.cli.control_operator import Operator
from tests.gateway.statements.test_accounts_today import counter
from tests.world.world import World

DAILY = ScheduledReport("daily", "daily", time(7), "day", ".csv", "en", ReportScope(), 30)


@pytest.fixture
def operator(tmp_path: Path) -> Any:
    made = counter(tmp_path)
    yield made
    made.world.crash()


def reports(operator: Operator, folder: Path) -> ScheduledReports:
    gateway = operator.gateway
    return ScheduledReports(
        gateway.parts.store, gateway.parts.clock, "gw1", folder, "Asia/Shanghai", [], lambda: gateway.registry
    )


def look(operator: Operator, made: ScheduledReports, one: ScheduledReport) -> None:
    done: list[Any] = []
    Deferred.fromCoroutine(made.write_if_due(one)).addBoth(done.append)
    for _ in range(50):
        if done:
            break
        operator.world.run(0.1)
    assert done == [None]


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_the_period_is_the_last_one_that_is_over() -> None:
    morning, night = datetime(2026, 11, 29, 7, 0), datetime(2026, 11, 29, 6, 59)
    assert DAILY.period(morning) == (date(2026, 11, 28), date(2026, 11, 28))
    assert DAILY.period(night) == (date(2026, 11, 27), date(2026, 11, 27))
    monthly, quarterly = replace(DAILY, every="month"), replace(DAILY, every="quarter")
    assert monthly.period(morning) == (date(2026, 10, 1), date(2026, 10, 31))
    assert monthly.period(datetime(2026, 12, 1, 6, 59)) == (date(2026, 10, 1), date(2026, 10, 31))
    assert monthly.period(datetime(2027, 1, 1, 7, 0)) == (date(2026, 12, 1), date(2026, 12, 31))
    assert quarterly.period(morning) == (date(2026, 7, 1), date(2026, 9, 30))
    assert quarterly.period(datetime(2027, 2, 1, 7, 0)) == (date(2026, 10, 1), date(2026, 12, 31))
    assert quarterly.name(date(2026, 9, 30)) == "daily.2026-Q3.csv"
    assert (DAILY.name(date(2026, 11, 28)), monthly.name(date(2026, 10, 31))) == (
        "daily.2026-11-28.csv",
        "daily.2026-10.csv",
    )


def test_a_report_is_written_once_and_privately(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "reports"
    made = reports(operator, folder)
    look(operator, made, DAILY)
    [name] = names(folder)
    file = folder / name
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    assert len(rows) == 3 and all("*" in row["Account"] for row in rows), "masked unless `clear`"
    [(actor, entry)] = operator.trail("report:daily")
    assert actor == "node:gw1" and "report.written" in entry
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        assert db.execute("select job, state from jobs where job like 'report:%'").fetchall() == [
            ("report:daily", "done")
        ]
    before = sha256(file.read_bytes()).hexdigest()
    file.unlink()
    look(operator, made, DAILY)
    assert names(folder) == [], "a period is written once, whoever deletes it"
    clear = replace(DAILY, key="clear", wish=ReportScope(clear=True, company="jia"), suffix=".xlsx")
    look(operator, made, clear)
    assert [one.split(".")[0] for one in names(folder)] == ["clear"] and len(before) == 64


def test_what_failed_or_was_cut_is_tried_again(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.write_text("in the way")
    made = reports(operator, folder)
    look(operator, made, DAILY)
    folder.unlink()
    look(operator, made, DAILY)
    assert not folder.exists(), "not at once"
    operator.world.run(AGAIN_S)
    look(operator, made, DAILY)
    assert len(names(folder)) == 1
    # Another node's run belongs to that node. A run of this node that a crash cut is made again by the next life.
    (folder / names(folder)[0]).unlink()
    for node, count in (("gw2", 0), ("gw1", 1)):
        with sqlite3.connect(operator.world.folder / "journal.db") as db:
            db.execute(
                "update jobs set state = 'running', finished_ms = null, node = ? where job = 'report:daily'", (node,)
            )
        look(operator, reports(operator, folder), DAILY)
        assert len(names(folder)) == count


def test_old_files_go_and_others_stay(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    made, long_ago = reports(operator, folder), date(2026, 1, 31)
    for name in (DAILY.name(long_ago), "daily.2026-01.csv", "mine.csv", "daily.notes.csv", "daily.2026-01-31.pdf"):
        (folder / name).write_text("x")
    look(operator, made, DAILY)
    assert DAILY.name(long_ago) not in names(folder)
    assert {"daily.2026-01.csv", "mine.csv", "daily.notes.csv", "daily.2026-01-31.pdf"} < set(names(folder))


def test_the_settings_name_every_report() -> None:
    field = ScheduledReportSettings.model_fields["report"]
    assert list(get_args(field.annotation)) == list(FORMS)
    told = ReportSettings.model_validate(
        {"scheduled": [{"key": "m", "report": "fees", "every": "month", "form": "pdf"}]}
    )
    [one] = scheduled_of(told)
    assert (one.key, one.report, one.every, one.suffix, one.at) == ("m", "fees", "month", ".pdf", time(7))


def test_settings_that_disagree_are_found(operator: Operator) -> None:
    one = {"key": "m", "report": "fees", "company": "none", "bank": "none"}
    settings = operator.world.settings.model_copy(
        update={"reports": ReportSettings.model_validate({"scheduled": [one, one]})}
    )
    told = dict(findings(settings))
    assert {"reports.scheduled.1.key", "reports.scheduled.0.bank", "reports.scheduled.0.company"} <= told.keys()


def test_the_gateway_writes_what_its_settings_schedule(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("sample",))
    world._changes = {"reports": {"scheduled": [{"key": "night", "report": "balances", "at": "00:00", "form": "html"}]}}
    world.settings = world._settings()
    world.start()
    world.run(5)
    [file] = (world.settings.state_dir / "reports").iterdir()
    assert file.name.startswith("night.") and "账户余额表" in file.read_text("utf-8")
    world.crash()
