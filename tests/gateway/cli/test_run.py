"""The frame around the daemon: one process per state folder, and a documented exit code for every failed start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.exit_codes import UNAVAILABLE
from gateway.control.offline.state_lock import AlreadyRunning, lock

PROGRAM = """
import os, signal, sys, threading, time
from pathlib import Path
from sqlalchemy import create_engine
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from gateway.cli.run import serve
from gateway.settings import Settings, read_settings

class Running:
    async def start(self):
        if sys.argv[2] == "broken":
            raise RuntimeError("on purpose")
        if sys.argv[2] == "gone":
            create_engine("sqlite:///" + sys.argv[3]).connect()
        if sys.argv[2] == "slow":
            print("starting", flush=True)
            self.journal = Deferred()
            await self.journal
        if sys.argv[2] == "fatal":
            reactor.callLater(0, fatal[0], sys.argv[3])
        if sys.argv[2] == "unseen":
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if sys.argv[2] == "switch":
            print(f"{sys.getswitchinterval():g}", flush=True)
        print("up", flush=True)
    async def reload(self, settings):
        print("reloaded", ",".join(settings.senders), flush=True)
    async def stop(self):
        if sys.argv[2] == "slow" and not self.journal.called:
            self.journal.errback(AssertionError("the journal is closed"))
        if sys.argv[2] == "linger":
            pause = Deferred()
            reactor.callLater(2.5, pause.callback, None)
            await pause
        print("stopped", flush=True)

fatal = []
def start(reactor, settings, on_fatal):
    fatal.append(on_fatal)
    if sys.argv[2] == "away":
        create_engine("sqlite:///" + sys.argv[3]).connect()
    return Running()

settings = Settings.model_validate({"state_dir": sys.argv[1], "broker": {"password": {"file": "x"}},
                                    "journal": {"vault_key": {"file": "x"}}})
path = Path(sys.argv[1]).parent / "bankgw.toml"
sys.exit(serve(reactor, settings, start, lambda: read_settings(path)))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def begin(program: Path, *words: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(
        [sys.executable, str(program), str(program.parent / "state"), *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_sigterm_ends_it_in_order(program: Path) -> None:
    running = begin(program, "well")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "stopped" in out.splitlines()


def test_a_thread_that_waits_gets_the_interpreter_after_half_a_millisecond(program: Path) -> None:
    running = begin(program, "switch")
    assert running.stdout is not None
    assert running.stdout.readline() == "0.0005\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0


def test_a_signal_that_another_thread_gets_ends_the_reactors_wait(program: Path) -> None:
    running = begin(program, "unseen")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    time.sleep(1)  # until the reactor waits in its system call
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "stopped" in out.splitlines()


def test_a_signal_to_the_process_and_its_group_is_one(program: Path) -> None:
    running = begin(program, "linger")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    for _ in range(2):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "stopped" in out.splitlines()


def test_a_second_signal_later_ends_it_at_once(program: Path) -> None:
    running = begin(program, "linger")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    running.send_signal(signal.SIGTERM)
    out, _err = running.communicate(timeout=20)
    assert running.returncode == 1 and "stopped" not in out.splitlines()


def test_one_told_to_end_before_it_had_begun_ends_in_order(program: Path) -> None:
    running = begin(program, "slow")
    assert running.stdout is not None
    assert running.stdout.readline() == "starting\n"
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    said = out.splitlines()
    assert "stopped" in said and "up" not in said and "not_started" not in out + err and "Traceback" not in out + err


def test_a_start_that_fails_is_1(program: Path) -> None:
    running = begin(program, "broken")
    out, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "on purpose" in out + err


@pytest.mark.parametrize(
    ("reason", "ends"), [("the topology is unsafe", "up\nstopped\n"), ("the journal is lost", "up\n")]
)
def test_a_fatal_fault_is_1_and_a_lost_journal_ends_at_once(program: Path, reason: str, ends: str) -> None:
    running = begin(program, "fatal", reason)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert [line for line in out.splitlines() if line in ("up", "stopped")] == ends.split(), err


@pytest.mark.parametrize("when", ["away", "gone"])
def test_a_database_that_is_away_is_worth_another_try(when: str, program: Path) -> None:
    daemon = begin(program, when, "/nowhere/journal.db")
    said, wrong = daemon.communicate(timeout=20)
    assert daemon.returncode == UNAVAILABLE
    assert "unable to open" in said + wrong and "journal.away" in said + wrong and "Traceback" not in said + wrong


def test_a_second_daemon_is_refused(program: Path) -> None:
    first = begin(program, "well")
    assert first.stdout is not None
    assert first.stdout.readline() == "up\n"
    second = begin(program, "well")
    out, err = second.communicate(timeout=20)
    assert second.returncode == 69
    assert f"process {first.pid} is using" in out + err
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    third = begin(program, "well")
    assert third.stdout is not None
    assert third.stdout.readline() == "up\n", "a dead daemon's lock is nobody's"
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=20)
    assert third.returncode == 0


def test_the_lock_is_for_one(tmp_path: Path) -> None:
    handle = lock(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        lock(tmp_path / "state")
    os.close(handle)
    os.close(lock(tmp_path / "state"))


SENDER = '[senders.{}]\nusers = ["{}"]\noperations = ["payment.submit"]\n'
BASE = 'state_dir = "{}"\n[broker]\npassword = {{ file = "/x" }}\n[journal]\nvault_key = {{ file = "/x" }}\n'


def test_sighup_takes_over_what_may_change_and_nothing_of_a_broken_file(program: Path) -> None:
    settings = program.parent / "bankgw.toml"
    # The program was started with secrets in a relative folder, which the file here names in full.
    base = BASE.format(program.parent / "state").replace('"/x"', f'"{program.parent / "x"}"')
    program.write_text(PROGRAM.replace('{"file": "x"}', f'{{"file": "{program.parent / "x"}"}}'))
    running = begin(program, "well")
    assert running.stdout is not None and running.stdout.readline() == "up\n"

    def hup(text: str, expected: str) -> None:
        settings.write_text(text)
        running.send_signal(signal.SIGHUP)
        assert running.stdout is not None
        assert any(expected in line for line in running.stdout), "it ended"

    hup(base + SENDER.format("kingdee", "erp"), "reloaded kingdee")
    for broken in ("[[[", base + "nonsense = 1\n", base + "[watch]\nport = 9999\n", "[broker]\n"):
        hup(broken, "settings.not_reloaded")
    hup(base + SENDER.format("kingdee", "erp") + SENDER.format("yonyou", "yy"), "reloaded kingdee,yonyou")
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "stopped" in out.splitlines()
