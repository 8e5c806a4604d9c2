"""Twelve faults, one by one, on real processes: each is named with cause and remedy in status, log and metric within 5 s.

A process that cannot start has no metrics page; Prometheus sees `up` at 0, and `bankgw status` says why the start failed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import pytest
from sqlalchemy import URL, make_url

from gateway.cli import exit_codes
from gateway.demo import site as demo_site
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, BankPki, make_pki, new_key, write_certificates, write_key
from tests.gateway.cli.test_live import order
from tests.gateway.erp.rabbit import Rabbit, rabbit_for_tests
from tests.world.databases import database_for_tests

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
ROOT = Path(__file__).resolve().parents[3]
NAMED_S = 5.0
SLACK_S = 3.0
"""What starting `bankgw status` itself may take on a busy machine."""


class Relay:
    """Carries TCP to `target` until it is cut; afterwards it refuses connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._pairs: list[socket.socket] = []
        self._listening: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self._listening = one = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self.port = one.getsockname()[1]
        threading.Thread(target=self._accept, args=(one,), daemon=True).start()

    def cut(self) -> None:
        assert self._listening is not None
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _address = listening.accept()
                far = socket.create_connection(self._target)
                self._pairs += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, a: socket.socket, b: socket.socket) -> None:
        with suppress(OSError):
            while octets := a.recv(65536):
                b.sendall(octets)
        for one in (a, b):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass
class Place:
    """One site and its processes."""

    site: demo_site.Site
    rabbit: Rabbit
    relay: Relay
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, rabbit: Rabbit, *banks: str) -> Place:
        plans = tuple(
            demo_site.BankPlan(
                bank, twin_options={"user": "demo", "password": "demo-password"} if bank == "sample" else {}
            )
            for bank in banks
        )
        return cls(demo_site.prepare(folder, plans), rabbit, Relay((rabbit.address.host, rabbit.address.port)))

    def start(self, *words: str, module: str = "gateway") -> subprocess.Popen[bytes]:
        log = self.site.folder / ("bank.log" if words[0] == "simulate" else "gateway.kernel.log")
        with log.open("ab") as out:
            process = subprocess.Popen([sys.executable, "-m", module, *words], cwd=ROOT, stderr=out, stdout=out)
        self.processes.append(process)
        return process

    def banks(self) -> dict[str, subprocess.Popen[bytes]]:
        found = {plan.bank: self.start("simulate", str(self.site.simulator(plan.bank))) for plan in self.site.plans}
        self.until(lambda: all(self.site.ready_file(plan.bank).exists() for plan in self.site.plans), 60)
        return found

    def configure(self, password: str | None = None, journal: dict[str, Any] | None = None) -> None:
        at = self.rabbit.address
        broker = {
            "host": at.host,
            "port": self.relay.port,
            "vhost": at.vhost,
            "users": {"bankgw": {"user": at.user, "password": password or at.password}},
        }
        sender = {"users": [at.user], "operations": ["payment.submit"], "reply_to": ".*", "anonymous": True}
        demo_site.configure(self.site, broker, {"erp": sender}, journal=journal)

    def daemon(self, *, hooked: bool = False, ready: bool = True) -> subprocess.Popen[bytes]:
        module = "faults.hooked_daemon" if hooked else "gateway"
        process = self.start("run", "--config", str(self.site.settings), module=module)
        codes = (200,) if ready else (200, 503)
        self.until(lambda: process.poll() is not None or self.page("readyz")[0] in codes, 60)
        assert process.poll() is None, self.log()
        return process

    def page(self, name: str) -> tuple[int, str]:
        port = self.site.state / "watch.port"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().strip()}/{name}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def bankgw(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--config", str(self.site.settings)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def log(self) -> str:
        return (self.site.folder / "gateway.kernel.log").read_text("utf-8")

    def until(self, condition: Any, limit_s: float) -> None:
        ends_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < ends_s, self.log()[-3000:]
            time.sleep(0.05)

    def named(self, trouble: str, cause: str, remedy: str, since_s: float | None = None) -> None:
        """Checks that /readyz, metric, log and status name the trouble in the same words within 5 s of `since_s`."""
        since_s = time.monotonic() if since_s is None else since_s
        rows: list[dict[str, str]] = []

        def there() -> bool:
            code, said = self.page("readyz")
            told = json.loads(said)["troubles"] if code in (200, 503) else []
            rows[:] = [one for one in told if one["trouble"] == trouble and cause in one["cause"]]
            return bool(rows)

        self.until(there, 30)
        took_s = time.monotonic() - since_s
        assert remedy in rows[0]["remedy"], rows
        number = next(
            line
            for line in self.page("metrics")[1].splitlines()
            if line.startswith(f'bankgw_troubles{{trouble="{trouble}"}}')
        )
        assert float(number.split()[-1]) >= 1
        lines = [json.loads(line) for line in self.log().splitlines() if '"trouble.began"' in line]
        assert any(one["trouble"] == trouble and cause in one["error"] and remedy in one["action"] for one in lines), (
            lines
        )
        _code, said = self.bankgw("status")
        folded = " ".join(said.split())
        assert cause in folded and remedy in folded and rows[0]["runbook"] in folded, said
        assert took_s <= NAMED_S, took_s

    def over(self, trouble: str) -> None:
        self.until(
            lambda: all(
                one["trouble"] != trouble
                for one in json.loads(self.page("readyz")[1] or '{"troubles": [{"trouble": "' + trouble + '"}]}')[
                    "troubles"
                ]
            ),
            60,
        )
        assert f'"trouble": "{trouble}"' in next(
            line for line in reversed(self.log().splitlines()) if '"trouble.over"' in line
        )

    def send(self, id_: str, bank: str = "sample", amount: str = "12.00") -> None:
        with self.rabbit.erp() as channel:
            properties = pika.BasicProperties(
                user_id=self.rabbit.address.user, message_id=id_, content_type="application/json"
            )
            channel.basic_publish(
                "bankgw.commands", "payment.submit", json.dumps(order(id_, amount, bank)).encode(), properties
            )

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        with suppress(OSError):
            self.relay.cut()


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    with rabbit_for_tests("faults12") as found:
        yield found


# ---- faults of a running daemon -----------------------------------------------------------------------------------


@dataclass
class Live:
    place: Place
    database: Relay
    banks: dict[str, subprocess.Popen[bytes]]
    daemon: subprocess.Popen[bytes]


def small_disk(folder: Path) -> bool:
    """Mount a disk of 24 MiB at `folder`; returns False if this user may not mount."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "bankgw-test", str(folder)],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


@pytest.fixture(scope="module")
def postgresql() -> Iterator[URL]:
    with database_for_tests("postgresql", "faults12") as found:
        yield make_url(found)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, rabbit: Rabbit, postgresql: URL) -> Iterator[Live]:
    url, place = postgresql, Place.make(tmp_path_factory.mktemp("live") / "s", rabbit, "sample")
    database = Relay((url.host or "127.0.0.1", url.port or 5432))
    place.site.state.mkdir(mode=0o700)
    mounted = os.geteuid() == 0 and small_disk(place.site.state)
    try:
        banks = place.banks()
        journal: dict[str, Any] = {
            "url": url.set(host="127.0.0.1", port=database.port, password=None).render_as_string()
        }
        if url.password is not None:
            journal["password"] = demo_site._secret(place.site.folder / "db", str(url.password))
        place.configure(journal=journal)
        yield Live(place, database, banks, place.daemon(hooked=True))
    finally:
        place.stop()
        database.cut()
        if mounted:
            subprocess.run(["umount", "-l", str(place.site.state)], check=True)


@pytest.mark.postgresql
def test_1_the_bank_is_stopped(live: Live) -> None:
    ready = live.place.site.ready_file("sample")
    ports = json.loads(ready.read_text("utf-8"))["ports"]
    since_s = time.monotonic()
    live.banks["sample"].kill()
    live.banks["sample"].wait(10)
    live.place.named("lane", "refused", "check host and port", since_s)
    code, said = live.place.bankgw("lanes", "list")
    assert code == exit_codes.OK and "since 2" in said and "next try in" in said and "last answer" in said, said
    config = live.place.site.simulator("sample")
    told = [config.read_text("utf-8"), "[ports]", *(f"{key} = {port}" for key, port in ports.items()), ""]
    config.write_text("\n".join(told), "utf-8")
    live.banks |= live.place.banks()
    live.place.over("lane")


@pytest.mark.postgresql
def test_2_the_broker_is_down(live: Live) -> None:
    since_s = time.monotonic()
    live.place.relay.cut()
    live.place.named("broker", "127.0.0.1", "start RabbitMQ", since_s)
    live.place.relay.mend()
    live.place.over("broker")


@pytest.mark.postgresql
def test_3_the_database_is_lost_while_running(live: Live) -> None:
    since_s = time.monotonic()
    live.database.cut()
    live.place.named("journal", "database", "start the database", since_s)
    live.database.mend()
    live.place.over("journal")


@pytest.mark.postgresql
def test_4_the_disk_is_full(live: Live) -> None:
    state = live.place.site.state
    if not state.is_mount():
        pytest.skip("this user may not mount a small disk")
    filler = state / "filler"
    since_s = time.monotonic()
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 65536)
    live.place.named("disk", "0 MiB are free", "make room", since_s)
    filler.unlink()
    live.place.over("disk")


@pytest.mark.postgresql
def test_5_a_second_daemon_is_refused_and_named_by_both(live: Live) -> None:
    since_s = time.monotonic()
    second = live.place.start("run", "--config", str(live.place.site.settings))
    assert second.wait(30) == exit_codes.UNAVAILABLE
    since_s = time.monotonic()
    live.place.named("start_failed", f"process {live.daemon.pid} is using", "a daemon runs already", since_s)
    assert '"daemon.not_started"' in live.place.log()


@pytest.mark.postgresql
def test_6_the_clock_jumps(live: Live) -> None:
    (live.place.site.folder / "hooks.json").write_text(json.dumps({"clock_ms": 600_000}))
    since_s = time.monotonic()
    live.daemon.send_signal(signal.SIGUSR1)
    live.place.named("clock", "was set by more than a minute", "restart the daemon", since_s)
    (live.place.site.folder / "hooks.json").unlink()


@pytest.mark.postgresql
def test_7_the_database_is_down_at_the_start(live: Live) -> None:
    live.daemon.send_signal(signal.SIGTERM)
    live.daemon.wait(40)
    live.database.cut()
    process = live.place.start("run", "--config", str(live.place.site.settings))
    since_s = time.monotonic()
    assert process.wait(60) == exit_codes.UNAVAILABLE
    assert time.monotonic() - since_s <= NAMED_S + SLACK_S
    code, said = live.place.bankgw("status")
    folded = " ".join(said.split())
    assert code == exit_codes.UNAVAILABLE and "the last daemon failed at" in folded, said
    assert "the database of the journal is out of reach" in folded and "start the database" in folded
    line = next(json.loads(line) for line in reversed(live.place.log().splitlines()) if '"journal.away"' in line)
    assert "refused" in line["error"] and line["action"]
    assert live.place.page("metrics")[0] == 0, "Prometheus: up is 0"
    live.database.mend()
    live.daemon = live.place.daemon(hooked=True)
    assert live.place.bankgw("status")[0] == exit_codes.OK, "a start forgets the failure of the one before"


# ---- faults that exist at the start -------------------------------------------------------------------------------


def _expire(files: BankPki) -> None:
    """Give the bank another authority, and a server certificate that expired an hour ago."""
    now, server, client = datetime.now(UTC), new_key(), new_key()
    root = Authority.root("cib root CA", now - timedelta(days=1))
    names = (files.server_name, "localhost", "127.0.0.1")
    old = root.issue(
        files.server_name,
        server.public_key(),
        now,
        names=names,
        not_before=now - timedelta(hours=9),
        not_after=now - timedelta(hours=1),
    )
    write_certificates(files.ca_cert, root.certificate)
    write_certificates(files.server_cert, old)
    write_key(files.server_key, server)
    write_certificates(files.client_cert, root.issue("gateway", client.public_key(), now, purpose=CLIENT_PURPOSE))
    write_key(files.client_key, client)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory, rabbit: Rabbit) -> Iterator[Place]:
    """One daemon whose broker refuses it, and each of whose banks has another fault."""
    folder = tmp_path_factory.mktemp("wrong")
    place = Place.make(folder / "s", rabbit, "sample", "pab", "cib")
    other = make_pki(folder / "other", ["pab"], datetime.now(UTC))["pab"]
    pki = folder / "s" / "pki"
    _expire(BankPki(pki, "cib"))
    try:
        place.banks()
        place.configure(password="wrong-on-purpose")
        (folder / "s" / "secrets" / "sample-password").write_text("wrong-on-purpose")
        settings = folder / "s" / "conf.d" / "pab.toml"
        settings.write_text(
            settings.read_text("utf-8").replace(str(pki / "pab-ca-cert.pem"), str(other.ca_cert)), "utf-8"
        )
        place.daemon(ready=False)
        yield place
    finally:
        place.stop()


def test_8_the_password_is_wrong(wrong: Place) -> None:
    wrong.named("lane", "sign", "check the login's password")
    code, said = wrong.bankgw("lanes", "list")
    assert code == exit_codes.OK and "no sign-on for" in said, said


def test_9_the_authority_is_wrong(wrong: Place) -> None:
    wrong.named("lane", "unknown_ca", "check ca_file")


def test_10_the_banks_certificate_has_expired(wrong: Place) -> None:
    wrong.named("lane", "expired", "the bank must renew its certificate")


def test_11_the_brokers_password_is_wrong(wrong: Place) -> None:
    wrong.named("broker", "ACCESS_REFUSED", "broker.password")
    assert "wrong-on-purpose" not in wrong.log()


# ---- another run of the daemon ------------------------------------------------------------------------------------


def test_12_the_database_comes_from_the_past(tmp_path: Path) -> None:
    with rabbit_for_tests("past12") as rabbit:
        place = Place.make(tmp_path / "s", rabbit, "sample")
        database, kept = place.site.state / "journal.db", tmp_path / "kept.db"
        try:
            place.banks()
            place.configure()
            daemon = place.daemon()
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(40) == 0
            shutil.copy(database, kept)
            daemon = place.daemon()
            place.send("PAST-1")
            place.until(lambda: "PAST-1" in place.bankgw("orders", "list", "--state", "settled")[1], 40)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(40) == 0
            for file in place.site.state.glob("journal.db*"):
                file.unlink()
            shutil.copy(kept, database)
            since_s = time.monotonic()
            place.daemon(ready=False)
            place.named("safe_mode", "SAFE MODE", "leave-safe-mode", since_s + 3)
        finally:
            place.stop()
