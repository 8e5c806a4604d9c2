"""A foreign client at a simulated bank: every request is judged, and what it did twice is told."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.jointtest import front_end
from gateway.jointtest.client_check import ClientCheck
from gateway.simbank.config import SimConfig
from gateway.simbank.exchange_log import Exchanged, ExchangeLog
from gateway.simbank.pki import BankPki
from tests.house import ROOT

ORDER = Exchanged(1, "business", "money", "REF-1", b"<pay>1</pay>", b"<ok/>")


def test_what_came_twice_is_told(tmp_path: Path) -> None:
    log = ExchangeLog(tmp_path / "log")
    check = ClientCheck(tmp_path / "log")
    log.write(ORDER)
    assert list(check.news()) == ["money     REF-1 answered with 5 bytes"] and check.findings() == []
    log.write(ORDER)
    log.write(replace(ORDER, reference="REF-2", fault="half"))
    log.write(replace(ORDER, reference="REF-2", request=b"<pay>2</pay>"))
    log.write(replace(ORDER, touch="probe", reference="", complaint="signature: no key"))
    log.close()
    lines = list(check.news())
    assert lines[0].endswith("; its reference came 2 times") and lines[1].endswith(", then half")
    assert lines[3] == "NOT READ  business: signature: no key (12 bytes)"
    assert list(check.news()) == []
    assert check.findings() == [
        "1 requests could not be read", "order REF-1 was sent 2 times: the same bytes",
        "order REF-2 was sent 2 times: other bytes under the same reference",
    ]  # fmt: skip
    assert check.last_line() == "joint-test serve: 4 money; 1 not read; 3 findings"


@pytest.mark.timeout(120)
def test_a_client_of_somebody_elses_is_told_what_is_wrong(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("c") / "b"
    made = front_end.write(folder, "pab")
    file, files = made.simulator("pab"), BankPki(folder / "pki", "pab")
    port = SimConfig.read(file).ports["business"]
    running = subprocess.Popen([sys.executable, "-m", "gateway", "joint-test", "serve", str(file)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ))  # fmt: skip
    assert running.stdout is not None
    try:
        assert running.stdout.readline().startswith("serving pab at ")
        context = ssl.create_default_context(cafile=str(files.ca_cert))
        context.load_cert_chain(files.client_cert, files.client_key)
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as line:
            line.sendall(b"X" * 300)
            end_s = time.monotonic() + 30
            while time.monotonic() < end_s and "NOT READ" not in (said := running.stdout.readline()):
                pass
        assert said.startswith("NOT READ  business: "), said
    finally:
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 1 and out.splitlines()[-1] == "joint-test serve: nothing; 1 not read; 1 findings", out
