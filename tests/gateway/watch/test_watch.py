"""The watch over a whole gateway: gauges that follow the journal, a watchdog that is fed only while the journal writes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from gateway.approvals.rows import approval_policies
from gateway.erp.erp_connection import NOT_MEASURED
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxRow
from gateway.kernel.sql.progress import WriterState
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.watch import condition_metrics
from gateway.watch import watch as watching
from gateway.watch.condition_metrics import Capacity
from gateway.watch.counts import count
from gateway.watch.health import readiness
from gateway.watch.notify import Notify
from gateway.watch.watch import Watch, WatchedParts
from tests.world.inline_executor import InlineExecutor
from tests.world.lines import events, lines
from tests.world.world import World

HOLD = {"bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}]}


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return said


class Port:
    def __init__(self) -> None:
        self.open = True

    def getHost(self) -> Any:  # noqa: N802 - the name is Twisted's
        return type("Host", (), {"port": 9999})

    async def stopListening(self) -> None:  # noqa: N802 - the name is Twisted's
        self.open = False


class Reactor:
    def __init__(self) -> None:
        self.port = Port()

    def listenTCP(self, _port: int, _site: Any, interface: str) -> Port:  # noqa: N802 - the name is Twisted's
        return self.port


class Watched:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.world = World(folder, **options)
        life = self.world.start()
        self.life = life
        self.manager = Manager(str(folder / "notify"))
        self.certificates = {("sample", "client"): 1_900_000_000.0}
        self.age_s: float | None = None
        self.progress = (7, 0)
        parts = life.gateway.parts
        self.sights = WatchedParts(
            parts.store,
            parts.amqp,
            life.gateway.lanes,
            life.meters,
            lambda: life.gateway.draining,
            lambda: self.age_s,
            lambda: self.certificates,
            lambda: WriterState(reached=self.progress),
        )
        self.reactor = Reactor()
        notify = Notify({"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "30000000"})
        self.watch = Watch(self.reactor, self.sights, parts.clock, notify, InlineExecutor(parts.clock))

    def run(self, seconds: int) -> list[str]:
        """Let time pass; returns the manager's messages of that time. Its queue holds few messages."""
        said = []
        for _ in range(seconds):
            self.world.run(1)
            said += self.manager.heard()
        return said

    def value(self, name: str, **labels: str) -> float | None:
        return self.life.meters.registry.get_sample_value(name, labels)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path, sender=HOLD)
    yield made
    made.manager.socket.close()
    if made.world.life is not None:
        made.world.crash()


def test_ready_is_said_once_and_the_watchdog_is_fed(watched: Watched, tmp_path: Path) -> None:
    assert watched.watch.start("127.0.0.1", 0, tmp_path / "watch.port") == 9999
    assert (tmp_path / "watch.port").read_text() == "9999\n"
    said = watched.run(10)
    assert len([one for one in said if one.startswith("READY=1")]) == 1
    assert 9 <= said.count("WATCHDOG=1") <= 12
    assert watched.watch.ready().ready
    assert "STATUS=0 messages wait for the broker, 0 payments in doubt" in said


def test_a_journal_that_does_not_write_starves_the_watchdog(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.watch.start("127.0.0.1", 0)
    assert "WATCHDOG=1" in watched.run(5)
    monkeypatch.setattr(watched.life.store, "write", lambda unit: fail(RuntimeError("the disk is gone")))
    assert "WATCHDOG=1" not in watched.run(int(watching.STALE_S) + 5)
    assert "the journal has not written lately" in watched.watch.ready().reasons


Told = tuple[float | None, bool, bool]


def busy(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, seconds: int, transaction: int, statements: int
) -> list[Told]:
    """The watch's own unit waits behind other units. Each second this many transactions and statements are begun.
    Returned for each second: the gauge, whether the journal counts as written, and whether the watchdog was
    notified."""
    monkeypatch.setattr(watched.life.store, "write", lambda unit: Deferred())
    told = []
    for _ in range(seconds):
        begun, count = watched.progress
        watched.progress = (begun + transaction, begun % 5 if transaction else count + statements)
        fed = "WATCHDOG=1" in watched.run(1)
        told.append((watched.value("bankgw_journal_up"), watched.watch.journal_ok(), fed))
    return told


def journal_troubles(watched: Watched) -> list[Any]:
    return [one for one in watched.watch.ready().troubles if one["trouble"] == "journal"]


def test_a_long_transaction_that_goes_on_is_no_lost_database(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.watch.start("127.0.0.1", 0)
    watched.run(5)
    with lines() as heard:
        told = busy(watched, monkeypatch, int(watching.STALE_S) + 10, 0, 40)
        assert told[2:] == [(1, True, True)] * (len(told) - 2)
        assert not journal_troubles(watched) and not events(heard, "journal.unreachable")
        # Then it hangs: told as soon as without a transaction before.
        assert [up for up, _ok, _fed in busy(watched, monkeypatch, 5, 0, 0)] == [1, 1, 0, 0, 0]
    assert len(events(heard, "journal.unreachable")) == 1
    assert len(journal_troubles(watched)) == 1


@pytest.mark.parametrize("transaction", [1, 0])
def test_transactions_that_are_begun_again_and_again_are_no_progress(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, transaction: int
) -> None:
    watched.watch.start("127.0.0.1", 0)
    watched.run(5)
    told = busy(watched, monkeypatch, 6, transaction, 0)
    assert [up for up, _ok, _fed in told][4:] == [0, 0] and not any(fed for _up, _ok, fed in told[2:])


def test_a_transaction_without_end_is_told_in_the_end(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.watch.start("127.0.0.1", 0)
    watched.run(5)
    told = busy(watched, monkeypatch, int(watching.BUSY_MOST_S) + 10, 0, 40)
    assert (told[50], told[-1]) == ((1, True, True), (0, False, False))


def test_gauges_follow_the_journal(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.DROP_AFTER)])
    watched = Watched(tmp_path, sender=HOLD, plan=plan, bank_options={"first_enquiry_s": 600.0})
    world = watched.world
    watched.watch.start("127.0.0.1", 0)
    world.run(1)
    world.submit("AP-1")
    world.submit("AP-2", 200_000)
    watched.age_s = 3.0
    world.run(8)
    assert world.last("AP-1")["state"] == "in_doubt"
    assert watched.value("bankgw_payments_in_doubt", bank="sample") == 1
    assert watched.value("bankgw_company_payments", company="jia", bank="sample", state="in_doubt") == 1
    oldest = watched.value("bankgw_payment_in_doubt_oldest_timestamp_seconds", bank="sample")
    assert oldest is not None
    assert 0 <= world.clock.seconds() - oldest < 10
    assert watched.value("bankgw_payments_held", bank="sample") == 1
    assert watched.value("bankgw_lane_work", bank="sample", lane="sample.main", work="enquire") == 1
    assert watched.value("bankgw_outbox_depth") == 0
    assert watched.value("bankgw_certificate_not_after_timestamp_seconds", bank="sample", role="client") == 1.9e9
    canary = watched.value("bankgw_canary_last_success_timestamp_seconds")
    assert canary is not None
    assert 3 <= world.clock.seconds() - canary <= 5
    world.run(700)
    assert world.last("AP-1")["state"] == "settled"
    assert watched.value("bankgw_payments_in_doubt", bank="sample") == 0
    assert watched.value("bankgw_company_payments", company="jia", bank="sample", state="in_doubt") == 0
    assert watched.value("bankgw_payment_in_doubt_oldest_timestamp_seconds", bank="sample") == 0
    watched.manager.socket.close()
    world.crash()


def test_waiting_and_parked_messages_are_counted(watched: Watched) -> None:
    world, store = watched.world, watched.life.store
    watched.watch.start("127.0.0.1", 0)
    world.run(1)
    world.command("payment.submit", world.order("AP-1"), reply_to="erp-demo.gone")
    world.run(10)
    assert watched.value("bankgw_messages_parked") == 1
    row = OutboxRow("m-1", "gw1", "x", "k", b"", created_ms=1_795_000_000_000)
    store.write(lambda tx: tx.fresh.execute(outbox._INSERT, [outbox._columns(row, tx.vault)]).rowcount)
    world.run(6)
    assert watched.value("bankgw_outbox_depth") == 1
    assert watched.value("bankgw_outbox_oldest_timestamp_seconds") == 1_795_000_000.0


def test_counting_uses_indexes(watched: Watched) -> None:
    world, store = watched.world, watched.life.store
    world.run(2)
    plans: list[str] = []

    def explain(conn: Any) -> None:
        execute = conn.execute

        def explained(statement: Any, *rest: Any) -> Any:
            text = str(statement.compile(conn.engine, compile_kwargs={"literal_binds": True}))
            plans.extend(row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
            return execute(statement, *rest)

        conn.execute = explained
        count(conn, 0)

    store.read(explain)
    world.run(1)
    big = [plan for plan in plans if "payments" in plan or "outbox" in plan]
    assert len(big) >= 4
    assert all(plan.startswith("SEARCH") for plan in big), plans


def test_stopping_is_told_and_still_alive_until_the_end(watched: Watched) -> None:
    watched.watch.start("127.0.0.1", 0)
    watched.run(3)
    watched.watch.leaving()
    said = watched.run(3)
    assert said[0].startswith("STOPPING=1")
    assert "WATCHDOG=1" in said
    assert "stopping" in watched.watch.ready().reasons


def test_readiness_says_everything_that_is_missing(watched: Watched) -> None:
    gateway = watched.life.gateway
    amqp, lanes = gateway.parts.amqp, gateway.lanes
    before = readiness(lambda: False, amqp, lanes, stopping=False)
    # A lane that another node owns, or that nobody has leased yet, is no reason: this node can take orders in.
    assert before.reasons == ("the journal has not written lately", "the gateway takes no commands from the broker")
    assert before.lanes == {"sample.main": "standing_by"}
    watched.world.run(2)
    assert readiness(lambda: True, amqp, lanes, stopping=False).as_json() == {
        "status": "ready",
        "reasons": [],
        "lanes": {"sample.main": "ready"},
        "troubles": [],
    }
    lanes["sample.main"].pause("operator")
    paused = readiness(lambda: True, amqp, lanes, stopping=False, draining=True)
    assert paused.lanes == {"sample.main": "paused:operator"}
    assert [reason.split(":")[0] for reason in paused.reasons] == ["draining", "no lane is ready"]


def test_commands_wait_in_the_broker_while_the_disk_has_no_room(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start reads no command before it has seen room; a full disk stops the reading, and room lets it go on."""
    free = [1]
    monkeypatch.setattr(condition_metrics, "capacity", lambda _folder: Capacity(free[0], 100 * 2**20, 0))
    world, erp, clock = watched.world, watched.life.gateway.erp, watched.life.gateway.parts.clock
    sights = replace(watched.sights, state_dir=tmp_path, no_room=lambda: erp.no_room, on_room=erp.note_room)
    watch = Watch(watched.reactor, sights, clock, Notify({}), InlineExecutor(clock))
    with lines() as heard:
        erp.note_room(NOT_MEASURED)
        watch.start("127.0.0.1", 0)
        world.submit("EARLY")
        watched.run(10)
        assert world.state("EARLY") is None
        [reason] = watch.ready().reasons
        assert "commands wait in the broker" in reason and "are free on the disk" in reason
        assert [one["trouble"] for one in watch.ready().troubles] == ["disk"]
        assert [one["error"] for one in events(heard, "intake.waits")] == [reason.partition("broker: ")[2]]

        free[0] = 50 * 2**20
        watched.run(20)
        assert world.state("EARLY") == "settled" and watch.ready().ready
        free[0] = 1
        watched.run(5)
        world.submit("LATER")
        watched.run(10)
        assert world.state("LATER") is None and len(events(heard, "intake.waits")) == 2
        free[0] = 50 * 2**20
        watched.run(20)
        assert world.state("LATER") == "settled"


def test_without_a_service_manager_nothing_is_sent() -> None:
    notify = Notify({})
    notify.ready("x")
    notify.alive()
    assert notify.watchdog_s is None


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "n"))
    notify = Notify({"NOTIFY_SOCKET": str(tmp_path / "n")})
    for _ in range(1000):
        notify.alive()
    assert 0 < len(manager.heard()) < 1000
    manager.socket.close()


def test_the_services_words(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "n"))
    notify = Notify({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "30000000"})
    assert notify.watchdog_s == 30.0
    notify.ready("two\nlines")
    notify.status("x")
    notify.stopping()
    said = manager.heard()
    manager.socket.close()
    assert said[0] == "READY=1\nSTATUS=two lines"
    assert said[1] == "STATUS=x"
    assert said[2].startswith("STOPPING=1")
    notify.alive()  # the manager is gone: harmless


def test_requests_for_approval_without_an_answer_become_late(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settings={"control": {"approval_valid_s": 1_800, "approval_escalates_s": 600}})
    world, store = watched.world, watched.life.store
    store.write(lambda tx: approval_policies.put_in_force(tx, "CNY 0.. 1", "p"))
    watched.watch.start("127.0.0.1", 0)
    for name in ("AP-1", "AP-2"):
        world.submit(name)
    world.run(300)
    assert watched.value("bankgw_payments_held", bank="sample") == 2
    assert watched.value("bankgw_approvals_late") == 0
    with lines() as heard:
        world.run(400)
    assert watched.value("bankgw_approvals_late") == 2
    assert [line["requests"] for line in events(heard, "approvals.late")] == [2]
    world.run(1_800)
    assert watched.value("bankgw_approvals_late") == 2, "nobody asked anew about what expired"
    for name in ("AP-1", "AP-2"):
        world.command("payment.cancel", {"id": name})
    world.run(10)
    assert watched.value("bankgw_approvals_late") == 0
    watched.manager.socket.close()
    world.crash()
