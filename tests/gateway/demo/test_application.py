"""The demo as a whole, in its own processes: it succeeds, it fails when money moves twice, and it cleans up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.demo import application, findings
from gateway.demo.verdict import Journalled
from protocols import trial
from protocols.canon.outcome import State
from tests.world.services import ROOT, Broker

LAST_LINE = re.compile(
    r"demo: (\d+) orders, (\d+) settled, (\d+) failed, (\d+) rejected, (\d+) in doubt, (\d+) duplicated, (\d+) lost, "
    r"(\d+) reconciled, (\d+) wrong"
)
# A daemon that sends every payment order to `sample` twice. Only this test uses it.
PLANTED_DAEMON = """
import sys
from gateway.bank import connection
from gateway.__main__ import main

once = connection.BankConnection.exchange

def twice(self, data):
    answer = once(self, data)
    if b"<Operation>Pay</Operation>" in data:
        answer.addCallback(lambda _first: once(self, data))
    return answer

connection.BankConnection.exchange = twice
sys.argv = ["bankgw", "run", "--config", sys.argv[1]]
main()
"""
PLANTED_DEMO = """
import dataclasses, sys
from pathlib import Path
from gateway.demo import application as demo
from gateway.demo import processes
from gateway.demo import stage as demo_site

honest = demo_site.plans

def plans(banks, seed):
    return tuple(dataclasses.replace(plan, conduct={**plan.conduct, "dedup": False}) for plan in honest(banks, seed))

demo_site.plans = plans
processes.gateway_command = lambda settings: (sys.executable, sys.argv[1], str(settings))
sys.exit(demo.main(5, 60, Path(sys.argv[2]), None, "sample,pab", 0))
"""


@pytest.fixture
def described(broker: Broker, tmp_path: Path) -> dict[str, str]:
    """The environment of a demo in the tests' virtual host."""
    file = tmp_path / "broker.json"
    users = {role: {"user": login.user, "password": login.password} for role, login in broker.users.items()}
    said = {"host": broker.host, "port": broker.port, "vhost": broker.test_vhost, "users": users}
    file.write_text(json.dumps(said), "utf-8")
    return {**os.environ, "BANKGW_BROKER_JSON": str(file), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short path, because paths of sockets are limited."""
    return tmp_path_factory.mktemp("d")


def run(command: list[str], env: dict[str, str], limit_s: float) -> tuple[int, list[str]]:
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "demo", "--folder", str(folder), *more]


def alive_in(folder: Path) -> list[str]:
    """Processes that were started for the site in that folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and str(os.getpid()) != entry.parent.name:
            found.append(words.decode("utf-8", "replace"))
    return found


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(300)
def test_it_agrees(described: dict[str, str], folder: Path) -> None:
    code, lines = run(command(folder, "--orders", "150", "--kills", "2", "--seed", "11"), described, 200)
    assert code == 0, "\n".join(lines)
    found = LAST_LINE.fullmatch(lines[-1])
    assert found is not None, lines[-1]
    orders, settled, failed, rejected, in_doubt, duplicated, lost, reconciled, wrong = map(int, found.groups())
    assert (orders, duplicated, lost, wrong) == (150, 0, 0, 0)
    assert reconciled > 75
    assert settled + failed + rejected + in_doubt == orders
    assert settled > 75
    assert rejected > 5
    assert "SIGKILL" in (folder / "demo-report.html").read_text("utf-8")
    assert {file.name for file in folder.glob("demo-report-*")} == {
        "demo-report-daily.xlsx",
        "demo-report-entries.csv",
        "demo-report-transfers.html",
    }
    assert any("ok  cash pools moved what they planned" in line for line in lines)
    assert sum("kill -9" in line for line in lines) == 2
    assert alive_in(folder) == []


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(300)
def test_it_agrees_with_every_bank(described: dict[str, str], folder: Path) -> None:
    code, lines = run(command(folder, "--banks", "all", "--orders", "200", "--kills", "1"), described, 240)
    assert code == 0, "\n".join(lines)
    assert re.search(r" 0 duplicated, 0 lost, [1-9]\d* reconciled, 0 wrong$", lines[-1])
    ways = [line for line in lines if "how a fate became known at" in line]
    # A bank may still report about a settled payment: finws by its statement, a slow bank by a late answer.
    ends = re.compile(r"= settled( [0-9.]+ s [a-z_]+: .+)?$")
    told = {bank for bank in trial.banks() if any(f" at {bank}: " in way and ends.search(way) for way in ways)}
    assert told == set(trial.banks()), ways


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(300)
def test_it_fails_when_a_gateway_sends_twice(described: dict[str, str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "daemon.py").write_text(PLANTED_DAEMON, "utf-8")
    (tmp_path / "demo.py").write_text(PLANTED_DEMO, "utf-8")
    code, lines = run(
        [sys.executable, str(tmp_path / "demo.py"), str(tmp_path / "daemon.py"), str(folder)], described, 200
    )
    found = LAST_LINE.fullmatch(lines[-1])
    assert found is not None, "\n".join(lines)
    assert int(found[6]) >= 10
    assert code == 1
    assert any("sample executed it 2 times" in line for line in lines)
    assert not any("pab executed it 2 times" in line for line in lines)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_nothing_behind_when_interrupted(
    described: dict[str, str], folder: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(command(folder), env=described, cwd=ROOT, stdout=subprocess.PIPE, text=True) as playing:
        assert playing.stdout is not None
        for line in playing.stdout:
            if "answered 0" not in line and "answered" in line:
                break
        assert len(alive_in(folder)) >= 4
        playing.send_signal(number)
        rest = playing.stdout.read()
        assert playing.wait(30) == application.EXIT_INTERRUPTED
    assert "interrupted" in rest
    until_s = time.monotonic() + 5
    while alive_in(folder) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert alive_in(folder) == []


def test_no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BANKGW_BROKER_JSON", str(tmp_path / "none.json"))
    assert application.main(1, 10, tmp_path / "d", None, "sample", 0) == application.EXIT_UNAVAILABLE
    assert "make demo" in capsys.readouterr().out


def test_only_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broker.json"
    file.write_text('{"host": "broker.example.com"}', "utf-8")
    monkeypatch.setenv("BANKGW_BROKER_JSON", str(file))
    assert application.main(1, 10, tmp_path / "d", None, "sample", 0) == application.EXIT_UNAVAILABLE
    assert "broker.example.com" in capsys.readouterr().out


def test_a_used_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broker.json"
    file.write_text('{"host": "127.0.0.1"}', "utf-8")
    monkeypatch.setenv("BANKGW_BROKER_JSON", str(file))
    assert application.main(1, 10, tmp_path, None, "sample", 0) == application.EXIT_UNAVAILABLE
    assert "not empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("banks", "orders", "kills"),
    [("nobank", 10, 0), ("nobank", None, 0), ("", 10, 0), ("", None, 0), ("sample", 0, 0), ("sample", 1, -1)],
)
def test_wrong_wishes(
    banks: str, orders: int | None, kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert application.main(1, orders, tmp_path / "d", None, banks, kills) == application.EXIT_USAGE
    assert not (tmp_path / "d").exists()
    said = capsys.readouterr().out
    assert all(name in said for name in trial.banks())


def _row(bank: str, sends: int, *unfit: str) -> Journalled:
    return Journalled("P1", "AP-1", State.SETTLED, 3, bank, "R1", sends, unfit)


@pytest.mark.parametrize(
    ("rows", "met", "holds"),
    [
        ((_row("a", 1), _row("b", 1)), {"a": 0, "b": 0}, True),
        # A repeat may get lost on its way, so the bank need not have seen it.
        ((_row("a", 3), _row("b", 1)), {"a": 1, "b": 0}, True),
        ((_row("a", 3), _row("b", 1)), {"a": 3, "b": 0}, False),
        ((_row("a", 3), _row("b", 1)), {"a": 0, "b": 1}, False),
        ((_row("a", 0), _row("a", 2)), {"a": 2}, False),
        ((_row("a", 2, "send 2: other bytes"),), {"a": 0}, False),
    ],
)
def test_a_reference_may_be_met_again_as_a_permitted_repeat_only(
    rows: tuple[Journalled, ...], met: dict[str, int], holds: bool
) -> None:
    tallies = {bank: {"duplicates": count} for bank, count in met.items()}
    assert findings.only_permitted_repeats(rows, tallies).holds is holds
