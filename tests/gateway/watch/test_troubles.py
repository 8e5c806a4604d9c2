"""Troubles: each kind is found from its symptoms, logged once at its begin and end, and counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.bank.answer_times import AnswerTimes
from gateway.bank.fault_reasons import REMEDIES, remedy
from gateway.bank.handshake_errors import Reason
from gateway.bank.key_trouble import KeyTrouble
from gateway.bank.push_listener import NotListening
from gateway.kernel.clock import SystemClock
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.kernel.meters import NOT_READY, TROUBLES, Meters
from gateway.kernel.reload_refusals import ReloadRefusal
from gateway.kernel.sql import schema
from gateway.kernel.start_failures import StartFailure
from gateway.watch import troubles
from gateway.watch.condition_metrics import Capacity
from gateway.watch.disk_history import DiskForecast
from gateway.watch.health import Readiness, lane_word
from gateway.watch.trouble import RUNBOOKS, Trouble
from gateway.watch.troubles import ObservedState, TroubleWatch, found
from protocols.erp.news import instant
from tests.world.clock import HeapClock

WELL = ObservedState(Readiness((), {}), {}, "", "", 3.0, {}, Capacity(90, 100, 7), 0, 1_000_000.0)
FAILURE = StartFailure("2026-11-28T09:00:00Z", 77, 69, "process 5 works in /x", "leave it")


def quiet_pool(**said: Any) -> SimpleNamespace:
    """A session pool at whose bank no exchange waits."""
    bank = SimpleNamespace(ports={"main": SimpleNamespace(first_byte_s=60.0)})
    clock = SystemClock(HeapClock())
    return SimpleNamespace(bank=bank, clock=clock, answer_times=AnswerTimes(), all_sessions=(), **said)


def kinds(**seen: Any) -> list[str]:
    return [one.kind for one in found(replace(WELL, **seen))]


def lacking(*codes: str) -> Readiness:
    return Readiness(tuple(f"because of {code}" for code in codes), {}, codes)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, []),
        ({"ready": lacking("stopped")}, ["stopped"]),
        ({"ready": lacking("journal")}, ["journal"]),
        ({"ready": lacking("broker")}, ["broker"]),
        ({"ready": lacking("draining", "broker")}, []),
        ({"ready": lacking("broker_blocked")}, ["broker_blocked"]),
        ({"ready": lacking("broker_refuses"), "refusals": {"exchange x": "403 ACCESS_REFUSED"}}, ["broker_refuses"]),
        ({"ready": lacking("broker"), "refusals": {"topology": "q: bad — mend it"}}, ["broker_refuses"]),
        ({"heartbeat_s": 181.0}, ["heartbeat"]),
        ({"heartbeat_s": 179.0}, []),
        ({"heartbeat_s": None}, []),
        ({"capacity": Capacity(9, 100, 7)}, ["disk"]),
        ({"capacity": Capacity(10, 100, 7)}, []),
        ({"capacity": None}, []),
        ({"capacity": Capacity(90, 100, 2**30 + 1)}, ["permit_log"]),
        ({"capacity": Capacity(90, 100, 7, FAILURE)}, ["start_failed"]),
        ({"certificates": {("pab", "client"): 1_000_000.0 + 29 * 86_400}}, ["certificate"]),
        ({"certificates": {("pab", "client"): 1_000_000.0 + 59 * 86_400}}, ["certificate"]),
        ({"certificates": {("pab", "client"): 1_000_000.0 + 61 * 86_400}}, []),
        ({"certificates": {("pab", "server"): 1_000_000.0 + 29 * 86_400}}, ["certificate"]),
        ({"certificates": {("pab", "server"): 1_000_000.0 + 31 * 86_400}}, []),
        ({"capacity": Capacity(90, 100, 7, forecast=DiskForecast(6.9, 86_400))}, ["disk_filling"]),
        ({"capacity": Capacity(90, 100, 7, forecast=DiskForecast(7.1, 86_400))}, []),
        ({"capacity": Capacity(90, 100, 7, permit_log_fault="cannot be written")}, ["permit_log_unwritable"]),
        ({"capacity": Capacity(90, 100, 7, reload=ReloadRefusal("now", ("a.toml: x",)))}, ["settings"]),
        ({"queues": {"bankgw.commands.money": 1_500}}, ["broker_queue"]),
        ({"credentials": {("pab.main", "ukey"): 1_000_000.0 + 60 * 86_400}}, ["credential"]),
        ({"credentials": {("pab.main", "ukey"): 1_000_000.0 + 61 * 86_400}}, []),
        ({"overdue": 1}, ["retention"]),
        ({"altered": ("persons/li", "stops/3")}, ["row_altered", "row_altered"]),
        ({"not_listening": {"pab": NotListening("no such address", "set another")}}, ["pushes"]),
    ],
)
def test_each_kind_is_seen(seen: dict[str, Any], expected: list[str]) -> None:
    assert kinds(**seen) == expected


@pytest.mark.parametrize(
    ("days", "step"), [(60, "60 days"), (31, "60 days"), (30, "30 days"), (7, "7 days"), (1, "1 day"), (0, "ended")]
)
def test_a_credential_has_a_step_for_each_limit_and_names_its_lane(days: int, step: str) -> None:
    (one,) = found(replace(WELL, credentials={("pab.main", "ukey"): 1_000_000.0 + days * 86_400}))
    assert (one.subject, one.step, one.as_json("x")["step"]) == ("pab.main ukey", step, step)
    assert "expires.ukey" in one.remedy


def test_a_trouble_that_gets_worse_is_logged_again_and_otherwise_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []
    log = SimpleNamespace(error=lambda event, **_said: began.append(event), info=lambda *_event, **_said: None)
    monkeypatch.setattr(troubles, "_log", log)
    watch = TroubleWatch(Meters(CollectorRegistry()), SystemClock(HeapClock()), instant)
    for days in (60, 59, 31, 30, 29, 7, 1, 0, -1):
        watch.update(list(found(replace(WELL, credentials={("pab.main", "ukey"): 1_000_000.0 + days * 86_400}))))
    assert began == ["trouble.began"] * 5


def test_the_database_and_the_broker_are_told_apart_by_what_they_said() -> None:
    def told(**seen: Any) -> str:
        return next(found(replace(WELL, **seen))).remedy

    down, no_broker = lacking("journal"), lacking("broker")
    assert "start the database" in told(ready=down, journal="Connection refused")
    for said in (
        "database or disk is full",
        "The table 'units' is full",
        "could not extend file: No space left on device",
    ):
        assert "disk is full" in told(ready=down, journal=said)
    assert "journal.password" in told(ready=down, journal="password authentication failed for user x")
    assert "end that program's transaction" in told(ready=down, lock_holder="process 7 (sqlite3 journal.db)")
    assert "pg_terminate_backend" in told(ready=down, lock_holder="session 7 of user x")
    assert "broker.password" in told(ready=no_broker, broker="403 ACCESS_REFUSED")
    assert "start RabbitMQ" in told(ready=no_broker, broker="Connection refused")


def test_no_port_or_host_is_taken_for_a_reason() -> None:
    down, no_broker = lacking("journal"), lacking("broker")
    broker = next(found(replace(WELL, ready=no_broker, broker="amqp://127.0.0.1:37403 (vhost x): Connection refused")))
    assert "start RabbitMQ" in broker.remedy
    journal = next(found(replace(WELL, ready=down, journal="fullerton.example:3306: Connection refused")))
    assert "start the database" in journal.remedy


def test_what_the_broker_refuses_has_the_remedy_of_its_kind() -> None:
    refusals = {
        "exchange bankgw.events": "403 ACCESS_REFUSED - write access to exchange 'bankgw.events'",
        "queue bankgw.commands.money": "404 NOT_FOUND - no queue",
        "topology": "unsafe broker topology: queue q: x is classic — the gateway deletes nothing",
    }
    right, missing, foreign = (one.remedy for one in found(replace(WELL, refusals=refusals)))
    assert "rights back" in right and "in order" in right
    assert "declares it by itself" in missing and "behind each dash" in foreign


def test_an_altered_row_is_named_with_what_it_means_and_what_ends_it() -> None:
    person, other = found(replace(WELL, altered=("persons/li", "meta/pauses")))
    assert (person.subject, other.subject) == ("persons/li", "meta/pauses")
    assert "cannot act" in person.cause and "remove the person" in person.remedy
    assert "audit trail" in other.remedy
    assert set(troubles._ROWS) <= set(schema.metadata.tables)


@pytest.mark.parametrize(
    ("not_sealed", "newcomer"), [("", ""), ("1 rows have no seal", ""), ("", "gw2 has no permit log")]
)
def test_a_journal_is_called_older_only_if_no_other_cause_is_known(not_sealed: str, newcomer: str) -> None:
    lane: Any = SimpleNamespace(
        paused={FROM_THE_PAST},
        clock_trust=SimpleNamespace(doubt=None),
        host_date=SimpleNamespace(is_refused=False),
        session_pool=None,
        parts=SimpleNamespace(keys_in_trouble=dict),
        standing_by=True,
    )
    seen = replace(WELL, lanes={"a.b": lane}, ready=Readiness((), {"a.b": "paused"}))
    (one,) = found(replace(seen, not_sealed=not_sealed, newcomer=newcomer))
    assert one.kind == "safe_mode" and ("is older" in one.cause) == (not (not_sealed or newcomer))
    assert ("not sealed yet" in one.cause and not_sealed in one.cause) == bool(not_sealed)
    assert ("permits-of-others" in one.remedy and newcomer in one.cause) == bool(newcomer)
    assert ("leave-safe-mode" in one.remedy) == (not newcomer)


@pytest.mark.parametrize(("refused", "standing_by", "seen"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_a_bank_s_date_beyond_the_settings_is_a_trouble_of_the_clock(
    refused: bool, standing_by: bool, seen: int
) -> None:
    lane: Any = SimpleNamespace(
        paused=(),
        clock_trust=SimpleNamespace(doubt=None),
        host_date=SimpleNamespace(is_refused=refused, stated_days=-33),
        standing_by=standing_by,
        halted=None,
        session_pool=quiet_pool(),
        parts=SimpleNamespace(keys_in_trouble=dict),
    )
    told = list(found(replace(WELL, lanes={"pab.main": lane}, ready=Readiness((), {"pab.main": "ready"}))))
    assert [(one.kind, one.subject) for one in told] == [("clock", "pab.main")] * seen
    assert all("-33 days" in one.cause and "host_date_days" in one.remedy for one in told)


def test_a_key_that_is_gone_is_named_with_its_cause_and_remedy() -> None:
    gone = KeyTrouble("pin_wrong", "token bank: PinIncorrect", 7, lasting=True)
    parts = SimpleNamespace(keys_in_trouble=lambda: {"order": gone})
    clock_trust, pool = SimpleNamespace(doubt=None), quiet_pool(trouble="key_gone", trouble_text="", quiet_s=0)
    lane: Any = SimpleNamespace(
        paused=(),
        clock_trust=clock_trust,
        host_date=SimpleNamespace(is_refused=False),
        session_pool=pool,
        parts=parts,
        halted=None,
        standing_by=False,
        ready=False,
    )
    for ready, word in ((False, "down:key_gone"), (True, "ready:key_gone")):
        lane.ready = ready
        assert lane_word(lane) == word
        (one,) = found(replace(WELL, lanes={"a.b": lane}, ready=Readiness((), {"a.b": word})))
        assert (one.kind, one.subject) == ("key", "a.b order") and RUNBOOKS["key"] == "BankgwKeyGone"
        assert one.cause == "key gone: pin_wrong: token bank: PinIncorrect" and "reload the settings" in one.remedy


def test_a_lanes_remedy_is_that_of_its_reason() -> None:
    for one in Reason:
        assert remedy(one.value) == one.remedy
    assert remedy("no_answer") == REMEDIES["no_answer"] and remedy("digest") == REMEDIES["signature"]
    assert remedy("something") == ""


def test_every_kind_has_its_page_and_every_reason_is_a_trouble_or_meant() -> None:
    assert set(RUNBOOKS) == set(TROUBLES)
    # An operator or the service manager caused it. If no lane is ready, each lane is reported by itself.
    assert set(NOT_READY) - set(TROUBLES) == {"stopping", "draining", "no_lane"}


def test_what_begins_and_ends_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def error(self, event: str, **fields: Any) -> None:
            lines.append((event, fields))

        info = error

    monkeypatch.setattr(troubles, "_log", Log())
    meters, clock = Meters(CollectorRegistry()), HeapClock()
    watch = TroubleWatch(meters, SystemClock(clock), instant)
    one, other = Trouble("lane", "pab.main", "refused", "call"), Trouble("lane", "boc.main", "refused", "call")
    disk = Trouble("disk", "state_dir", "9 MiB", "make room")

    def value(kind: str) -> float | None:
        return meters.registry.get_sample_value("bankgw_troubles", {"trouble": kind})

    watch.update([one, other, disk])
    watch.update([one, other, replace(disk, cause="8 MiB")])
    assert [event for event, _ in lines] == ["trouble.began"] * 3 and value("lane") == 2 and value("disk") == 1
    assert [row["subject"] for row in watch.as_json()] == ["boc.main", "pab.main", "state_dir"]
    assert watch.as_json()[0]["runbook"] == "BankgwLaneDown" and watch.as_json()[2]["cause"] == "8 MiB"
    watch.update([replace(one, cause="silent")])
    assert [event for event, _ in lines[3:]] == ["trouble.began", "trouble.over", "trouble.over"]
    assert value("lane") == 1 and value("disk") == 0 and value("clock") == 0


def test_a_certificate_is_logged_again_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class Log:
        def error(self, _event: str, **fields: Any) -> None:
            lines.append(fields["error"])

        def info(self, *_words: Any, **_fields: Any) -> None:
            pass

    monkeypatch.setattr(troubles, "_log", Log())
    watch = TroubleWatch(Meters(CollectorRegistry()), SystemClock(HeapClock()), instant)
    for left in range(62, -2, -1):
        seen = replace(WELL, certificates={("pab", "client"): WELL.now_s + left * 86_400 + 100})
        watch.update(list(found(seen)))
    assert lines == ["ends in 59 days", "ends in 29 days", "ends in 6 days", "ends in 0 days", "ended 1 days ago"]
