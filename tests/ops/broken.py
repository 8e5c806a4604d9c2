"""The twenty faults: how each is made on a running site, what the voices must say, and how it is mended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pika
import pytest

from gateway.cli import exit_codes
from gateway.kernel import backup_results
from gateway.kernel.backup_results import BackupResult
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, BankPki, new_key, write_certificates, write_key
from gateway.watch import disk_history
from tests.gateway.cli.test_twelve_faults import Place
from tests.gateway.erp.rabbit import ctl
from tests.ops.unit_run import UnitRun
from tests.ops.voices import Expected

BANK = "sample"
RIGHTS_REMEMBERED_S = 5.0
HOLD = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
Since = float


@dataclass
class Ground:
    """A site whose daemon runs by the unit's steps, and that can be broken. `mounted`: the state folder is a small
    disk of its own."""

    place: Place
    watch_port: int
    mounted: bool
    banks: dict[str, subprocess.Popen[bytes]]
    daemon: subprocess.Popen[bytes]

    @property
    def unit(self) -> UnitRun:
        """The unit's command for this site."""
        site = self.place.site
        return UnitRun(site.settings, site.state, "faults.hooked_daemon", site.folder / "unit")

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the daemon, without waiting for it."""
        self.daemon = self.unit.start(self.place.site.folder / "gateway.kernel.log")
        self.place.processes.append(self.daemon)
        return self.daemon

    def start(self, *, ready: bool = True) -> None:
        """Start the daemon, and wait until it is ready, or at least answers."""
        self.begin()
        wanted = (200,) if ready else (200, 503)
        self.place.until(lambda: self.daemon.poll() is not None or self.place.page("readyz")[0] in wanted, 120)
        assert self.daemon.poll() is None, self.place.log()[-3000:]

    def stop(self) -> None:
        """Stop the daemon in order."""
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(60)

    def restart(self) -> None:
        """Stop and start the daemon."""
        self.stop()
        self.start()

    def end_by_itself(self) -> Since:
        """Start the daemon and wait until it has ended by itself; returns when it did."""
        self.begin().wait(90)
        return time.monotonic()

    def logged(self, event: str, after: int) -> bool:
        """True if the log has this event beyond this position."""
        return f'"{event}"' in self.place.log()[after:]

    def bank_again(self) -> None:
        """Start the killed bank on the ports that it had."""
        site = self.place.site
        ports = json.loads(site.ready_file(BANK).read_text("utf-8"))["ports"]
        config = site.simulator(BANK)
        if "[ports]" not in config.read_text("utf-8"):
            told = [config.read_text("utf-8"), "[ports]", *(f"{key} = {port}" for key, port in ports.items()), ""]
            config.write_text("\n".join(told), "utf-8")
        site.ready_file(BANK).unlink()
        self.banks = self.place.banks()

    def kill_bank(self) -> None:
        """End the simulated bank at once."""
        self.banks[BANK].kill()
        self.banks[BANK].wait(10)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `broken` makes it, and mends it at its end; it yields the time from which the seconds count."""

    name: str
    broken: Callable[[Ground], object]
    expected: Expected


# ---- the bank -----------------------------------------------------------------------------------------------------


@contextmanager
def bank_stopped(ground: Ground) -> Iterator[Since]:
    since_s = time.monotonic()
    ground.kill_bank()
    yield since_s
    ground.bank_again()


@contextmanager
def bank_password(ground: Ground) -> Iterator[Since]:
    """The bank is away, and comes back with another password: the refused connection is no cause any more."""
    config, after = ground.place.site.simulator(BANK), len(ground.place.log())
    before = config.read_text("utf-8")
    ground.kill_bank()
    ground.place.until(lambda: ground.logged("session.down", after), 30)
    config.write_text(before.replace('"demo-password"', '"another-password"'), "utf-8")
    assert config.read_text("utf-8") != before
    ground.bank_again()
    ground.place.until(lambda: ground.logged("session.sign_on_refused", after), 60)
    yield time.monotonic()
    ground.kill_bank()
    config.write_text(config.read_text("utf-8").replace('"another-password"', '"demo-password"'), "utf-8")
    ground.bank_again()
    ground.restart()


@contextmanager
def bank_hangs(ground: Ground) -> Iterator[Since]:
    ground.place.send("HANG-0")
    ground.place.until(lambda: ground.logged("payment.admitted", 0), 30)
    time.sleep(2)
    ground.banks[BANK].send_signal(signal.SIGSTOP)
    since_s = time.monotonic()
    ground.place.send(f"HANG-{os.getpid()}-{int(since_s)}", amount="13.00")
    try:
        yield since_s
    finally:
        ground.banks[BANK].send_signal(signal.SIGCONT)


@contextmanager
def certificate_ends(ground: Ground) -> Iterator[Since]:
    files = BankPki(ground.place.site.folder / "pki", BANK)
    kept = {path: path.read_bytes() for path in (files.client_cert, files.client_key)}
    now, key = datetime.now(UTC), new_key()
    root = Authority.root("another root", now - timedelta(days=1))
    ends = now + timedelta(days=5)
    write_certificates(
        files.client_cert, root.issue("gateway", key.public_key(), now, purpose=CLIENT_PURPOSE, not_after=ends)
    )
    write_key(files.client_key, key)
    since_s = time.monotonic()
    ground.daemon.send_signal(signal.SIGHUP)
    yield since_s
    for path, octets in kept.items():
        path.write_bytes(octets)
    ground.daemon.send_signal(signal.SIGHUP)


# ---- the broker ---------------------------------------------------------------------------------------------------


@contextmanager
def broker_permission(ground: Ground) -> Iterator[Since]:
    """The user may still give orders, and may write to no other exchange: the news of the order are refused.

    RabbitMQ remembers a channel's rights until the channel has been idle for a moment. An order that follows at once is
    therefore told without any refusal, and the daemon has nothing to name yet.
    """
    at = ground.place.rabbit.address
    if not ground.place.rabbit.ruled:
        pytest.skip("no rabbitmqctl for this broker")
    ctl("set_permissions", "-p", at.vhost, at.user, ".*", r"^bankgw\.commands$", ".*")
    try:
        time.sleep(RIGHTS_REMEMBERED_S)
        ground.place.send(f"RIGHT-{os.getpid()}", amount="14.00")
        yield time.monotonic()
    finally:
        ctl("set_permissions", "-p", at.vhost, at.user, ".*", ".*", ".*")


@contextmanager
def broker_down(ground: Ground) -> Iterator[Since]:
    since_s = time.monotonic()
    ground.place.relay.cut()
    yield since_s
    ground.place.relay.mend()


@contextmanager
def broker_password(ground: Ground) -> Iterator[Since]:
    secret = ground.place.site.folder / "secrets" / "broker"
    kept = secret.read_text("utf-8")
    ground.stop()
    secret.write_text("wrong-on-purpose", "utf-8")
    after = len(ground.place.log())
    ground.start(ready=False)
    ground.place.until(lambda: ground.logged("broker.down", after), 30)
    yield time.monotonic()
    secret.write_text(kept, "utf-8")
    ground.restart()


@contextmanager
def queue_grows(ground: Ground) -> Iterator[Since]:
    at = ground.place.rabbit.address
    code, said = ground.place.bankgw("drain")
    assert code == exit_codes.OK, said
    login = pika.PlainCredentials(at.user, at.password)
    connection = pika.BlockingConnection(pika.ConnectionParameters(at.host, at.port, at.vhost, login))
    channel = connection.channel()
    for n in range(1_200):
        properties = pika.BasicProperties(user_id=at.user, message_id=f"MANY-{n}", content_type="application/json")
        channel.basic_publish("bankgw.commands", "payment.submit", b"{}", properties)
    # The answer comes after the broker has taken all that was sent before.
    channel.queue_declare("bankgw.commands.money", passive=True)
    yield time.monotonic()
    channel.queue_purge("bankgw.commands.money")
    connection.close()
    assert ground.place.bankgw("drain", "--off")[0] == exit_codes.OK


# ---- the journal and its files ------------------------------------------------------------------------------------


@contextmanager
def journal_locked(ground: Ground) -> Iterator[Since]:
    database = ground.place.site.state / "journal.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holding:
        assert holding.stdout is not None and holding.stdout.readline() == b"held\n"
        since_s = time.monotonic()
        try:
            yield since_s
        finally:
            holding.kill()


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Take away the right to write into a folder. Root has it always, so that for root the folder is mounted
    read-only."""
    if os.geteuid():
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    bound = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("root of this machine may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def permit_log(ground: Ground) -> Iterator[Since]:
    with unwritable(ground.place.site.state / "permits"):
        yield time.monotonic()


@contextmanager
def permit_log_at_start(ground: Ground) -> Iterator[Since]:
    ground.stop()
    with unwritable(ground.place.site.state / "permits"):
        since_s = ground.end_by_itself()
        assert ground.daemon.returncode == exit_codes.UNAVAILABLE
        yield since_s
    ground.start()


@contextmanager
def disk_full(ground: Ground) -> Iterator[Since]:
    """Nearly: the last two percent stay free, because a SQLite journal on a full disk ends the process."""
    with filled(ground, 0.98) as since_s:
        yield since_s


@contextmanager
def disk_in_days(ground: Ground) -> Iterator[Since]:
    """A sample of yesterday is on the disk, as after a day of running; then two thirds of what is free are taken."""
    state = ground.place.site.state
    disk = os.statvfs(state)
    ground.stop()
    sample = [[time.time() - 86_400, disk.f_bavail * disk.f_frsize]]
    (state / disk_history.FILE).write_text(json.dumps(sample), "utf-8")
    ground.start()
    with filled(ground, 0.66) as since_s:
        yield since_s
    ground.stop()
    (state / disk_history.FILE).unlink()
    ground.start()


@contextmanager
def filled(ground: Ground, share: float) -> Iterator[Since]:
    """Fill this share of what is free on the small disk of the state folder."""
    state = ground.place.site.state
    if not ground.mounted:
        pytest.skip("this user may not mount a small disk")
    disk, filler = os.statvfs(state), state / "filler"
    since_s = time.monotonic()
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as out:
            for _ in range(int(disk.f_bavail * disk.f_frsize * share / 65_536)):
                out.write(b"x" * 65_536)
        yield since_s
    finally:
        filler.unlink()


# ---- the daemon itself --------------------------------------------------------------------------------------------


@contextmanager
def clock_set(ground: Ground) -> Iterator[Since]:
    hooks = ground.place.site.folder / "hooks.json"
    hooks.write_text(json.dumps({"clock_ms": 600_000}), "utf-8")
    since_s = time.monotonic()
    ground.daemon.send_signal(signal.SIGUSR1)
    yield since_s
    hooks.unlink()
    ground.restart()


@contextmanager
def reload_typo(ground: Ground) -> Iterator[Since]:
    settings = ground.place.site.settings
    kept = settings.read_text("utf-8")
    settings.write_text("typo_on_purpose = 1\n" + kept, "utf-8")
    since_s = time.monotonic()
    ground.daemon.send_signal(signal.SIGHUP)
    yield since_s
    settings.write_text(kept, "utf-8")
    ground.daemon.send_signal(signal.SIGHUP)


@contextmanager
def second_daemon(ground: Ground) -> Iterator[Since]:
    first = ground.daemon
    since_s = ground.end_by_itself()
    ground.daemon = first
    yield since_s
    (ground.place.site.state / "start-failed.json").unlink()


@contextmanager
def killed(ground: Ground) -> Iterator[Since]:
    since_s = time.monotonic()
    ground.daemon.kill()
    ground.daemon.wait(10)
    yield since_s
    after = len(ground.place.log())
    ground.start()
    line = next(line for line in ground.place.log()[after:].splitlines() if '"daemon.started"' in line)
    assert json.loads(line)["last_cause"] == "ended at once and wrote no reason", line


@contextmanager
def settings_at_start(ground: Ground) -> Iterator[Since]:
    settings = ground.place.site.settings
    kept = settings.read_text("utf-8")
    ground.stop()
    settings.write_text("typo_on_purpose = 1\n" + kept, "utf-8")
    since_s = ground.end_by_itself()
    assert ground.daemon.returncode == exit_codes.CONFIG
    yield since_s
    settings.write_text(kept, "utf-8")
    ground.start()


# ---- backups ------------------------------------------------------------------------------------------------------


@contextmanager
def backup_old(ground: Ground) -> Iterator[Since]:
    folder = ground.place.site.state / "backups"
    folder.mkdir(exist_ok=True)
    (folder / "bankgw-gw1-20200101T000000Z.db").write_bytes(b"x")
    (folder / "bankgw-gw1-20200101T000000Z.db.json").write_text("{}", "utf-8")
    yield time.monotonic()
    shutil.rmtree(folder)


@contextmanager
def drill_failed(ground: Ground) -> Iterator[Since]:
    folder = ground.place.site.state / "backups"
    folder.mkdir(exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    result = BackupResult(at, False, "the copy has another key", "bankgw-gw1-20200101T000000Z.db", 1.0)
    backup_results.note(folder, "drill", result)
    yield time.monotonic()
    shutil.rmtree(folder)


_DOWN = "BankgwDown"
FAULTS = (
    Fault(
        "bank stopped",
        bank_stopped,
        Expected("lane", "refused", "check host and port", "BankgwLaneDown", "BankgwLaneDown"),
    ),
    Fault(
        "bank refuses the password",
        bank_password,
        Expected("lane", "refused the sign-on", "check the login's password", "BankgwLaneDown", "BankgwLaneDown"),
    ),
    Fault(
        "bank hangs",
        bank_hangs,
        Expected("bank_hangs", "of payment erp:HANG-", "never send it again", "BankgwBankHangs", "BankgwBankHangs"),
    ),
    Fault(
        "own certificate ends",
        certificate_ends,
        Expected(
            "certificate",
            "ends in 4 days",
            "bankgw certificates list",
            "BankgwCertificateEndsThisWeek",
            "BankgwCertificateEndsSoon",
        ),
    ),
    Fault(
        "broker permission lost",
        broker_permission,
        Expected("broker_refuses", "ACCESS_REFUSED", "rights back", "BankgwBrokerRefuses", "BankgwBrokerRefuses"),
    ),
    Fault(
        "broker down",
        broker_down,
        Expected("broker", "127.0.0.1", "start RabbitMQ", "BankgwBrokerDown", "BankgwBrokerDown"),
    ),
    Fault(
        "broker refuses the password",
        broker_password,
        Expected("broker", "ACCESS_REFUSED", "broker.password", "BankgwBrokerDown", "BankgwBrokerDown"),
    ),
    Fault(
        "broker's queue grows",
        queue_grows,
        Expected(
            "broker_queue",
            "messages wait in bankgw.commands.money",
            "bankgw drain --off",
            "BankgwBrokerQueueGrows",
            "BankgwBrokerQueueGrows",
        ),
    ),
    Fault(
        "journal locked",
        journal_locked,
        Expected(
            "journal",
            "it is locked by process ",
            "end that program's transaction",
            "BankgwJournalDown",
            "BankgwJournalDown",
        ),
    ),
    Fault(
        "permit log unwritable",
        permit_log,
        Expected(
            "permit_log_unwritable",
            "cannot be written",
            "never delete or move it",
            "BankgwPermitLogUnwritable",
            "BankgwPermitLogUnwritable",
        ),
    ),
    Fault(
        "permit log unwritable at the start",
        permit_log_at_start,
        Expected("", "cannot be written", "never delete or move it", _DOWN, _DOWN, "daemon.not_started"),
    ),
    Fault(
        "disk full",
        disk_full,
        Expected(
            "disk", "MiB are free on the disk of state_dir", "make room", "BankgwDiskNearlyFull", "BankgwDiskNearlyFull"
        ),
    ),
    Fault(
        "disk full in days",
        disk_in_days,
        Expected(
            "disk_filling",
            "the disk of state_dir will be full in",
            "find what grows",
            "BankgwDiskFilling",
            "BankgwDiskFilling",
        ),
    ),
    Fault(
        "clock set",
        clock_set,
        Expected(
            "clock", "was set by more than a minute", "restart the daemon", "BankgwAlarmClockSet", "BankgwAlarmClockSet"
        ),
    ),
    Fault(
        "typo on reload",
        reload_typo,
        Expected(
            "settings", "typo_on_purpose", "systemctl reload bankgw", "BankgwSettingsRefused", "BankgwSettingsRefused"
        ),
    ),
    Fault(
        "second daemon",
        second_daemon,
        Expected("start_failed", "is using", "a daemon runs already", "BankgwStartFailed", "BankgwStartFailed"),
    ),
    Fault("daemon killed", killed, Expected("", "wrote no reason", "journalctl -k -g oom", _DOWN, _DOWN, "")),
    Fault(
        "typo at the start",
        settings_at_start,
        Expected("", "typo_on_purpose", "bankgw check", _DOWN, _DOWN, "", readable=False),
    ),
    Fault(
        "backup too old",
        backup_old,
        Expected("backup_old", "is 2", "bankgw-backup.timer", "BankgwBackupOld", "BankgwBackupOld"),
    ),
    Fault(
        "drill failed",
        drill_failed,
        Expected("drill", "another key", "bankgw restore --drill", "BankgwDrillFailed", "BankgwDrillFailed"),
    ),
)
"""Each fault with what every voice must say."""
