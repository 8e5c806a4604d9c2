"""`bankgw simulate --init`: files of every bank that its simulator and its gateway can use; commands to a running one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from gateway import settings
from gateway.jointtest import front_end
from gateway.simbank.config import SimConfig
from gateway.simbank.faults import FAULTS, BankFault, Delays
from gateway.simbank.ledger import BookingRules
from protocols.trial import banks
from tests.house import ROOT, texts


@pytest.mark.parametrize("bank", banks())
def test_both_sides_can_read_what_was_written(tmp_path: Path, bank: str) -> None:
    made = front_end.make_site(tmp_path / "b", bank)
    simulated = SimConfig.from_file(made.simulator(bank))
    loaded = settings.read_settings(made.settings, {})
    assert not loaded.mistakes
    assert dict(loaded.settings.banks[bank].lanes["main"].ports) == dict(simulated.ports)
    assert {one.number for one in loaded.settings.accounts} == {one.number for one in simulated.accounts}
    assert simulated.control is not None and simulated.exchange_log is not None


def bankgw(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "simulate", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_made_started_and_spoken_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("f") / "b"
    assert bankgw("--init", "sample", str(folder)).returncode == 0
    again = bankgw("--init", "sample", str(folder))
    assert again.returncode == 3 and "nothing is overwritten" in again.stderr
    file = str(folder / "simbank-sample.toml")
    assert bankgw(file, "--tell", "report").returncode == 69
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", "simulate", file],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        end_s = time.monotonic() + 60
        while not (folder / "simbank-sample.ready.json").exists():
            assert running.poll() is None and time.monotonic() < end_s
            time.sleep(0.05)
        struck = bankgw(file, "--tell", "strike", "--fault", "half", "--touch", "money")
        assert (struck.returncode, json.loads(struck.stdout)) == (0, {"faults_to_come": 1}), struck.stderr
        wrong = bankgw(file, "--tell", "strike", "--fault", "halve")
        assert wrong.returncode == 69 and "halve" in wrong.stderr
        assert json.loads(bankgw(file, "--tell", "report").stdout)["faults_to_come"] == 1
        assert bankgw(file, "--tell", "calm").returncode == 0
        assert json.loads(bankgw(file, "--tell", "report").stdout)["faults_to_come"] == 0
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


@pytest.mark.parametrize("page", ["docs/do/simulate.md", "docs/do/simulate.zh.md"])
def test_the_page_has_every_fault(page: str) -> None:
    assert [fault for fault in BankFault if f"| `{fault.value}` |" not in texts()[page]] == []
    if page.endswith("simulate.md"):
        assert [one.meaning for one in FAULTS.values() if one.meaning not in texts()[page]] == []


@pytest.mark.parametrize("page", ["docs/do/simulate.md", "docs/do/simulate.zh.md"])
def test_the_page_has_every_setting(page: str) -> None:
    keys = {one.name for one in fields(SimConfig)} - {"fault_seed", "fault_rates", "delays"} | {"faults"}
    assert [key for key in sorted(keys) if not re.search(rf"\| `(\[+)?{key}(\]+)?` \|", texts()[page])] == []
    for record in (BookingRules, Delays):
        assert [one.name for one in fields(record) if f"`{one.name}`" not in texts()[page]] == []
