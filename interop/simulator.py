"""The simulated bank as its own process, over mutual TLS on loopback, for the time of a peer's test."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.peer import CHECKOUT, PeerDisagrees
from interop.samples import CUSTOMER, Samples

READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """The bank's port, and the file with its record."""

    port: int
    ledger: Path


@contextmanager
def running(samples: Samples, accounts: Mapping[str, str], **options: Any) -> Iterator[Running]:
    """Start the bank, wait until its port is open, and stop it at the end. `accounts`: numbers and
    balances in euros.
    """
    folder, pki = samples.folder / "bank", samples.pki
    folder.mkdir()
    settings = {
        "bank": "finws",
        "ledger_file": "ledger.jsonl",
        "ready_file": "ready.json",
        "keys": {
            "bank": str(pki.bank_sign_key),
            "bank_certificate": str(pki.bank_sign_cert),
            "client": str(pki.gateway_sign_cert),
        },
        "tls": {"cert": str(pki.server_cert), "key": str(pki.server_key), "client_ca": str(pki.ca_cert)},
        "options": {"customer": CUSTOMER, "accounts": list(accounts), "notify_s": 0, **options},
        "accounts": [
            {"number": number, "holder": "示例甲公司", "opening": opening, "currency": "EUR"}
            for number, opening in accounts.items()
        ],
    }
    file, ready = folder / "bank.json", folder / "ready.json"
    file.write_text(json.dumps(settings))
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen([CHECKOUT / ".venv/bin/bankgw", "simulate", file], stdout=log, stderr=log)
    try:
        end = time.monotonic() + READY_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise PeerDisagrees(f"the simulator did not start: {(folder / 'log.txt').read_text()[-300:]}")
            time.sleep(0.05)
        yield Running(json.loads(ready.read_text())["ports"]["business"], folder / "ledger.jsonl")
    finally:
        process.terminate()
        process.wait(10)
        log.close()
