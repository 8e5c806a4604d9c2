"""The campaign itself, for less than a minute: kills, and no broken promise; longer in `make test-long`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.story import once_more
from tests.faults.test_compare import World
from tests.world.services import ROOT

LAST = re.compile(
    r"faults: (\d+) kills, (\d+) faults of (\d+) kinds, (\d+) payments, (\d+) duplicated, (\d+) lost, (\d+) contradicted, "
    r"(\d+) pool moves"
)


def test_a_command_sent_again_a_hundred_times_has_a_new_id_each_time_that_the_broker_takes() -> None:
    command, ids = World().story.commands[0], set()
    for number in range(1, 101):
        command = once_more(command, number)
        ids.add(command.message_id)
    assert len(ids) == 100 and all(len(one.encode()) <= 255 for one in ids)


def _run(tmp_path: Path, *words: str) -> tuple[int, str, re.Match[str]]:
    """The exit code, the whole output, and the parts of the last line."""
    folder = tmp_path / "f"
    command = (
        sys.executable,
        "-m",
        "faults",
        "--folder",
        str(folder),
        "--report",
        str(tmp_path / "report.html"),
        *words,
    )
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, cried = running.communicate(timeout=420)
    except subprocess.TimeoutExpired:
        # An orderly stop, so that it stops its children and removes its networks and disks.
        running.terminate()
        said, cried = running.communicate(timeout=25)
    lines = said.strip().splitlines()
    last = LAST.fullmatch(lines[-1]) if lines else None
    assert last is not None, said[-4000:] + cried[-4000:]
    assert _left_behind(folder) == [], "everything it started is stopped"
    return running.returncode, said, last


def _left_behind(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(folder) in command:
                found.append(command)
    return found


@dataclass(frozen=True, slots=True)
class Least:
    """The least numbers of events that a campaign must have had."""

    kills: int
    payments: int
    kinds: int
    faults: int
    moves: int


@pytest.mark.broker
@pytest.mark.usefixtures("broker")
@pytest.mark.timeout(450)
@pytest.mark.parametrize(
    ("minutes", "kills", "least"),
    [
        pytest.param("0.3", "8", Least(6, 200, 12, 40, 5), id="short"),
        pytest.param("0.7", "20", Least(20, 500, 15, 50, 10), id="whole", marks=pytest.mark.slow),
    ],
)
def test_many_kills_and_no_broken_promise(tmp_path: Path, minutes: str, kills: str, least: Least) -> None:
    code, said, last = _run(tmp_path, "--minutes", minutes, "--seed", "1", "--kills", kills)
    assert code == 0, said
    assert (last[5], last[6], last[7]) == ("0", "0", "0")
    assert int(last[1]) >= least.kills
    assert int(last[4]) >= least.payments
    assert int(last[3]) >= least.kinds
    assert int(last[2]) >= least.faults
    assert int(last[8]) >= least.moves, "pools moved money"
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "kill -9" in page and "the ERP hears something new" in page


@pytest.mark.broker
@pytest.mark.usefixtures("broker")
@pytest.mark.postgresql
@pytest.mark.usefixtures("postgresql_url")
@pytest.mark.timeout(450)
def test_two_nodes_on_a_server_and_no_broken_promise(tmp_path: Path) -> None:
    code, said, last = _run(tmp_path, "--minutes", "0.6", "--seed", "2", "--kills", "10", "--db", "postgresql")
    kills, faults, kinds, payments = (int(last[n]) for n in (1, 2, 3, 4))
    assert code == 0, said
    assert (last[5], last[6], last[7]) == ("0", "0", "0")
    assert kills >= 10 and faults >= 40 and kinds >= 15 and payments >= 400
    assert "gw2" in said, "both nodes were met"
    assert int(last[8]) >= 10, "pools moved money"


@pytest.mark.broker
@pytest.mark.usefixtures("broker")
@pytest.mark.timeout(450)
def test_a_planted_double_send_is_caught(tmp_path: Path) -> None:
    code, said, last = _run(tmp_path, "--minutes", "0.15", "--kills", "1", "--planted", "double-send")
    assert code == 1
    assert int(last[5]) > 10, said


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.usefixtures("broker")
@pytest.mark.timeout(450)
def test_a_pool_that_moves_twice_is_caught(tmp_path: Path) -> None:
    code, said, last = _run(tmp_path, "--minutes", "0.15", "--kills", "1", "--planted", "pool-moves-twice")
    assert code == 1
    assert int(last[5]) >= 3, said
    assert "treasury ordered what no run planned" in said and "minor units" in said
