"""Our TLS listeners, judged by testssl.sh.

All of them, simulated banks and the listener for banks' pushes, have one context: gateway.bank.tls.server_context.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from pathlib import Path

import pytest

from gateway.bank import tls
from gateway.demo import site as demo_site
from gateway.demo.processes import Child, simulator_command
from tests.house import product
from tests.independent.site import program, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
# Complaints about the temporary certificate: an unknown authority, valid for a week, no revocation list or CAA record.
CERTIFICATE = ("cert_", "intermediate_cert", "DNS_CAArecord")
BAD = ("LOW", "MEDIUM", "HIGH", "CRITICAL")


def test_testssl_finds_no_weakness_of_protocols_ciphers_or_known_attacks(tmp_path: Path) -> None:
    command = program("testssl")
    site = demo_site.prepare(tmp_path / "s", (demo_site.BankPlan("pab"),))
    bank, report = (
        Child("pab", simulator_command(site.simulator("pab")), tmp_path / "bank.log"),
        tmp_path / "report.json",
    )
    bank.start()
    try:
        until(lambda: site.ready_file("pab").exists(), 60, "the simulated bank listens")
        port = next(iter(json.loads(site.ready_file("pab").read_text("utf-8"))["ports"].values()))
        subprocess.run(
            [
                command,
                "--quiet",
                "--warnings",
                "off",
                "--color",
                "0",
                "--jsonfile",
                str(report),
                "-p",
                "-s",
                "-f",
                "-S",
                "-U",
                f"127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=400,
            check=False,
        )
    finally:
        bank.stop(20)
    found = json.loads(report.read_text("utf-8"))
    assert {"TLS1_2", "TLS1_3", "SSLv3", "heartbleed", "ROBOT", "FS"} <= {one["id"] for one in found}, "it looked"
    weak = [
        (one["id"], one["severity"], one["finding"])
        for one in found
        if one["severity"] in BAD and not one["id"].startswith(CERTIFICATE)
    ]
    assert weak == []


def test_every_listener_has_that_context() -> None:
    assert "server_context(" in inspect.getsource(tls.pinned_server_context)
    made = {source.module for source in product() if re.search(r"\b(pinned_)?server_context\(", source.text)}
    listening = {
        source.module for source in product() if re.search(r"TLSMemoryBIOFactory\([^)]*, False, ", source.text)
    }
    # The simulated bank's server gets the context that its service makes.
    assert listening == {"gateway.bank.push_listener", "gateway.simbank.server"}
    assert {"gateway.bank.push_listener", "gateway.simbank.service"} <= made
