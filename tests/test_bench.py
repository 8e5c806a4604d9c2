"""The benchmark's arithmetic; and the script that the gateway is compared with does the whole job."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from bench.__main__ import ROUND_MOST_S, WARM_UP, fitting
from bench.console import DaemonFigures, let_in
from bench.erp import ACCEPTED, PATIENCE_S, SETTLED, Burst, Erp
from bench.figures import RSA, Match, Result, Round, Stages, Times, failings, last_line, not_reached, percentile, table
from bench.floor import SHAPES, Floor
from bench.orders import batch, number_of, order
from bench.site import BURST_MOST_S, Bench, plans
from bench.straight import Job, Order, SampleBank, WrongAnswer
from bench.stub import Stub
from bench.usage import broker_pid, cpu_us, peak_rss_bytes
from gateway.demo import site
from gateway.demo.processes import stop_all
from gateway.erp.amqp_types import CONFIRMED, OutgoingMessage, PublishResult
from gateway.kernel.sql import migrations, reading, vault
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from gateway.people.rules import web_tokens
from gateway.people.rules.sessions import SessionLimits
from gateway.settings import load
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import BankPki, make_pki
from gateway.simbank.record import read_executions
from protocols.banks.sample import twin as sample_twin
from protocols.canon.money import Money
from protocols.kit import dsig
from tests.gateway.cli import site as sites
from tests.world.services import Broker

MB = 1_000_000


def rounds(name: str, *pairs: tuple[float, int]) -> tuple[Round, ...]:
    """Rounds of 100 payments, each given as seconds, and microseconds of CPU per payment."""
    return tuple(Round(100, seconds, {name: us * 100}) for seconds, us in pairs)


def match(bank: str = "sample", ours: int = 1500, seconds: float = 0.25, floor: float = 1000.0) -> Match:
    gateway = rounds("daemon", (seconds, ours), (seconds * 9, ours * 9), (seconds, ours))
    script = rounds("script", (1.0, 3000), (1.0, 3000), (1.0, 3000))
    return Match(bank, gateway, script, [{RSA: floor * 0.75, "commits": floor * 0.25}] * 3)


def result(sample: Match | None = None, added_ms: float = 20.0, line_us: float = 100.0, mb: int = 139) -> Result:
    stages = Stages(50.0, [5.0], [8.0], [30.0], [added_ms])
    return Result(sample or match(), match("pab", seconds=0.5), rounds("daemon", (0.2, 1400)), stages, line_us, mb * MB)


def test_figures_are_medians_and_ratios_are_of_pairs() -> None:
    noisy = Match(
        "sample",
        rounds("daemon", (1.0, 400), (2.0, 800), (1.0, 500)),
        rounds("script", (4.0, 1000), (8.0, 2000), (3.0, 1000)),
        [{"a": 200.0}, {"a": 100.0, "b": 300.0}, {"a": 200.0}],
    )
    assert (noisy.per_second, noisy.script_per_second) == (100, 25)
    assert noisy.speed_ratio == 4.0, "the slow second round was as slow for both"
    assert (noisy.cpu_us, noisy.cpu_ratio) == (500, 0.4)
    assert (noisy.floor_us, noisy.floor_ratio) == (200, 2.0)
    assert noisy.beyond_rsa_ratio == noisy.floor_ratio, "no part of this floor is RSA"


def test_one_spoiled_round_moves_no_figure() -> None:
    assert (match().speed_ratio, match().cpu_ratio, match().floor_ratio) == (4.0, 0.5, 1.5)
    assert match().beyond_rsa_ratio == 3.0, "750 of the daemon's 1,500 and of the floor's 1,000 are RSA"


def test_the_steady_state_has_neither_beginning_nor_end() -> None:
    settled = [2.0 + 0.01 * number for number in range(100)] + [60.0]
    one = Round(101, 60.0, {}, [Times(number, 0.0, 0.1, at_s) for number, at_s in enumerate(settled)])
    assert one.steady_per_second == pytest.approx(100)
    assert one.per_second < 2


class QuietAmqp:
    """Accepts every order, and lets the test decide its fate."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        assert message.properties.message_id is not None
        self.orders.append(message.properties.message_id)
        return succeed(CONFIRMED)

    def ack(self, delivery: Any) -> None:
        pass


def told(erp: Erp, id_: str, *events: str) -> None:
    for event in events:
        erp.deliver(SimpleNamespace(body=json.dumps({"event": event, "id": id_}).encode()))  # type: ignore[arg-type]


def test_a_burst_with_a_time_ends_with_the_orders_it_published() -> None:
    amqp, clock = QuietAmqp(), Clock()
    erp = Erp(amqp, "erp", clock)  # type: ignore[arg-type]
    heard = erp.burst(Burst("A", 0, 20_000, "payment.submit", ("1",), open_most=3, most_s=6.0))
    clock.advance(5.0)
    told(erp, "A-000000", ACCEPTED, SETTLED)
    assert amqp.orders == [f"A-{number:06d}" for number in range(4)], "one settled, the next is published"
    clock.advance(1.0)
    for id_ in amqp.orders[1:]:
        assert not heard.called
        told(erp, id_, ACCEPTED, SETTLED)
    assert len(amqp.orders) == 4
    got: Any = heard.result
    assert (len(got.times_s), got.trouble) == (4, "")


def test_a_burst_that_never_settles_says_what_is_missing() -> None:
    amqp, clock = QuietAmqp(), Clock()
    erp = Erp(amqp, "erp", clock)  # type: ignore[arg-type]
    heard = erp.burst(Burst("A", 0, 3, "payment.submit", ("1",)))
    told(erp, "A-000000", ACCEPTED, SETTLED)
    clock.advance(PATIENCE_S)
    got: Any = heard.result
    assert got.trouble == "2 of 3 orders, A-000001 the first of them, did not settle in 80 s"
    assert PATIENCE_S < BURST_MOST_S, "the ERP tells before its reader gives up"


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1), (0.07, 7)])
def test_percentile_is_the_nearest_rank(share: float, value: int) -> None:
    assert percentile(range(100, 0, -1), share) == value
    assert percentile([3.0], share) == 3.0


def test_the_bank_s_own_time_is_not_the_gateway_s() -> None:
    one = Round(1, 1.0, {}, [Times(7, 10.0, 10.004, 10.5)])
    stages = Stages.of(one, {7: 10.01}, {7: 10.41})
    assert [round(of[0], 6) for of in (stages.accepted, stages.bank_byte, stages.settled, stages.added)] == [
        4.0,
        10.0,
        500.0,
        100.0,
    ]


def test_gates_do_not_depend_on_the_load_and_targets_decide_nothing() -> None:
    assert failings(result()) == []
    assert failings(result(match(seconds=9.0), added_ms=4000.0, line_us=3000.0)) == [], "figures of load, not gates"
    [dear] = failings(result(match(ours=3700, floor=2000.0)))
    [above] = failings(result(match(ours=3000, floor=590.0)))
    [fat] = failings(result(mb=150))
    assert ("1.23 x" in dear, "5.08 x" in above, "150 MB" in fat) == (True, True, True)
    assert not_reached(result()) == []
    missed = not_reached(result(match(ours=2600), added_ms=26.0, line_us=1300.0, mb=141))
    assert [text.split(",")[0] for text in missed] == [
        "sample 7.40 x floor beyond RSA",
        "sample 0.87 x script",
        "memory 141 MB",
        "a line of a batch costs 1/2.0",
        "added latency p99 26 ms",
    ]


def test_the_last_line_and_the_table() -> None:
    assert last_line(result()) == (
        "bench: sample 1500 us = 1.50 x floor, 3.00 x beyond RSA, 0.50 x script; pab 1500 us = 1.50 x floor, 0.50 x script; "
        "added latency p99 20 ms; batch line 1/15.0; 400 payments/s"
    )
    shown = "\n".join(table(match()))
    assert "round 3  script" in shown
    assert "RSA-2048 signature 750, commits 250" in shown


def test_a_batch_has_the_sum_of_its_items() -> None:
    said = json.loads(batch("A", range(98, 103), "0000000000000000001"))
    assert said["count"] == len(said["items"]) == 5
    assert Money.parse(said["sum"], "CNY").minor == sum(
        Money.parse(item["amount"], "CNY").minor for item in said["items"]
    )
    assert [number_of(item["creditor"]["account"]) for item in said["items"]] == [98, 99, 100, 101, 102]


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_the_floor_has_its_frozen_parts(bank: str, pki: dict[str, BankPki], tmp_path: Path) -> None:
    floor = Floor(SHAPES[bank], pki[bank], tmp_path)
    parts = floor.measure(50)
    floor.close()
    signatures = {"RSA-2048 signature", "xmlsec verification"} if bank == "sample" else set()
    assert set(parts) == signatures | {
        "XML written and parsed",
        "TLS records of the exchanges",
        "AMQP in and out",
        "seals and chain",
        "durable commits",
    }
    assert all(us > 0 for us in parts.values())


def test_the_gateway_believes_the_stub_bank(files: BankPki) -> None:
    dsig.start()
    stub = Stub(files.bank_sign_key.read_bytes())
    bank = SampleBank.__new__(SampleBank)
    bank.use_keys(files.gateway_sign_key, files.bank_sign_cert)
    paid = Order.model_validate_json(order("A", 7, (site.account_numbers("sample", 1)[0],)))
    for seen_twice in (0, 1):
        request = bank.prepare(paid, "A" * 20)
        said = bank.verified_body(stub.answer(request[8:], 3.0)[8:], "Pay")
        assert (said["Status"], said["Reference"], Money.parse(said["Amount"], "CNY").minor) == ("S", "A" * 20, 107)
        assert stub.seen.twice == seen_twice
    [(account, came_s)] = stub.seen.came_s.items()
    assert (number_of(account), came_s) == (7, 3.0)
    assert list(stub.seen.went_s) == [account]


def test_a_busy_machine_gets_fewer_payments_a_round() -> None:
    assert fitting(3000, 1_000_000) == 3000
    assert fitting(3000, 100) == 100 * ROUND_MOST_S
    assert fitting(3000, 0.1) == WARM_UP
    assert fitting(3000, 0.1, 100) == 100
    assert fitting(50, 0.1) == 50


def test_a_process_is_measured_as_the_kernel_tells(tmp_path: Path) -> None:
    folder = tmp_path / "77"
    folder.mkdir()
    (folder / "stat").write_text("77 (a) b) S " + " ".join(str(n) for n in range(1, 50)))
    (folder / "status").write_text("Name:\tx\nVmHWM:\t   2048 kB\n")
    assert cpu_us(77, tmp_path) == (11 + 12) * 10_000
    assert peak_rss_bytes(77, tmp_path) == 2048 * 1024


def test_the_broker_is_found_by_its_command_line(tmp_path: Path) -> None:
    for pid, line in ((1, "init"), (2, "/usr/lib/erlang/bin/beam.smp\0-home\0/own\0rabbit_boot"), (3, "grep\0rabbit")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_text(line)
    assert broker_pid(None, tmp_path) == 2
    assert broker_pid("/own", tmp_path) == 2
    assert broker_pid("/other", tmp_path) is None
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "cmdline").write_text("/usr/lib/erlang/bin/beam.smp\0-home\0/other\0rabbit_boot")
    assert broker_pid(None, tmp_path) is None, "two, and nobody says which"
    assert broker_pid("/other", tmp_path) == 4


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BankPki]:
    return make_pki(tmp_path_factory.mktemp("pki"), ["sample", "pab"], datetime.now(UTC))


@pytest.fixture(scope="module")
def files(pki: dict[str, BankPki]) -> BankPki:
    return pki["sample"]


def test_the_script_signs_what_the_bank_verifies_and_refuses_what_the_bank_did_not_sign(files: BankPki) -> None:
    dsig.start()
    keys = {"bank": files.bank_sign_key.read_bytes(), "client": files.gateway_sign_cert.read_bytes()}
    twin: Any = sample_twin.build({"user": "u", "password": "p"}, keys)
    account = site.account_numbers("sample", 1)[0]
    paid = Order.model_validate_json(order("A", 7, (account,)))
    books = Ledger(lambda: 1_795_500_000_000, [LedgerAccount(account, paid.debtor.name, Money(10**12))])
    bank = SampleBank.__new__(SampleBank)
    bank.use_keys(files.gateway_sign_key, files.bank_sign_cert)
    request = bank.prepare(paid, "A" * 20)
    answer = twin.answer("business", request[8:], books, {"token": "t"}).data[8:]
    assert bank.verified_body(answer, "Pay")["Status"] == "S"
    assert len(books.executions) == 1
    for where in (0.0, 0.3, 0.6, 0.99):
        with pytest.raises(WrongAnswer):
            bank.verified_body(twin.spoil(answer, where), "Pay")
    with pytest.raises(WrongAnswer, match="not signed"):
        bank.verified_body(request[8:].split(b"<ds:Signature ")[0] + b"</SampleBank>", "Pay")
    bank.prepare(paid, "B" * 20)
    with pytest.raises(WrongAnswer, match="serial"):
        bank.verified_body(answer, "Pay")


@pytest.mark.broker
@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_the_script_carries_five_payments_from_queue_to_event(bank: str, broker: Broker, tmp_path: Path) -> None:
    facts = tmp_path / "broker.json"
    login = {"user": broker.admin.user, "password": broker.admin.password}
    facts.write_text(
        json.dumps({"host": broker.host, "port": broker.port, "vhost": broker.test_vhost, "users": {"bankgw": login}})
    )
    bench = Bench(tmp_path, facts, tuple(plan for plan in plans(cheap=False) if plan.bank == bank))
    bench.start_simulators()
    name = f"straight-{time.time_ns()}"
    job = bench.job(bank).model_copy(update={"exchange": name, "queue": name, "events_queue": f"{name}.events"})
    file = tmp_path / "job.json"
    file.write_text(job.model_dump_json())
    connection = pika.BlockingConnection(
        pika.ConnectionParameters(
            broker.host, broker.port, broker.test_vhost, pika.PlainCredentials(broker.admin.user, broker.admin.password)
        )
    )
    channel = connection.channel()
    channel.exchange_declare(name, "topic")
    channel.queue_declare(job.events_queue)
    script = subprocess.Popen((sys.executable, "-m", "bench.straight", str(file)), stdout=subprocess.PIPE)
    try:
        assert script.stdout is not None
        assert script.stdout.readline() == b"ready\n"
        accounts = site.account_numbers(bank, 2)
        for number in range(5):
            channel.basic_publish(name, job.routing_key, order("F", number, accounts))
        told = _events(channel, job, 10)
        script.terminate()
        assert script.wait(10) == 0
        left = channel.queue_declare(name, passive=True, durable=True).method.message_count
    finally:
        script.kill()
        script.wait()
        for queue in (name, job.events_queue):
            channel.queue_delete(queue)
        channel.exchange_delete(name)
        connection.close()
        stop_all(list(bench.children.values()), 10)
    assert [(one["id"], one["event"]) for one in told] == [
        (f"F-{number:06d}", event) for number in range(5) for event in ("payment.accepted", "payment.settled")
    ]
    assert left == 0
    with sqlite3.connect(job.database) as db:
        kept = db.execute(
            "SELECT state, reference, wire IS NOT NULL, answer IS NOT NULL FROM payments ORDER BY id"
        ).fetchall()
    references = [one.instruction.reference for one in read_executions(bench.site.ledger(bank))]
    assert [(state, wire, answer) for state, _, wire, answer in kept] == [("settled", 1, 1)] * 5
    assert references == [reference for _, reference, _, _ in kept]


def _events(channel: Any, job: Job, count: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for _, _, body in channel.consume(job.events_queue, auto_ack=True, inactivity_timeout=20):
        assert body is not None, f"only {len(told)} events"
        told.append(json.loads(body))
        if len(told) == count:
            channel.cancel()
            break
    return told


def test_users_of_the_console_are_let_in_with_sessions_that_hold(tmp_path: Path) -> None:
    prepared = sites.make(tmp_path / "site")
    prepared.state.mkdir()
    settings = load(prepared.settings)
    migrations.upgrade(settings.journal_url())
    tokens = let_in(settings, 3)
    key = vault.load(settings.journal.vault_key.path())
    engine = reading.connect(settings.journal_url(), key, 1)
    now_ms = time.time_ns() // 1_000_000
    with engine.connect() as conn:
        for number, token in enumerate(tokens):
            session = web_tokens.decode(token, key.mac, now_ms, SessionLimits(600_000, 28_800_000))
            assert session is not None and session.person == f"user{number}"
            found = entitlements.of_name(conn, session.person, now_ms)
            assert not isinstance(found, No) and found.grants.text() == "approver@*;viewer@*"
    engine.dispose()


def test_figures_of_a_daemon_are_medians_of_its_rounds() -> None:
    rounds = [
        Round(2, 1.0, {"daemon": 2 * cpu_us}, (Times(1, 0.0, 0.0, wait_s), Times(2, 1.0, 0.0, 1.0 + wait_s)))
        for cpu_us, wait_s in ((1_000, 0.01), (9_000, 0.5), (1_200, 0.02))
    ]
    made = DaemonFigures.of(rounds)
    assert (made.cpu_us, round(made.p50_ms), round(made.p99_ms)) == (1_200, 20, 20)
