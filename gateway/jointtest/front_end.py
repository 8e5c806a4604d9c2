"""Makes the files for a simulated bank of one's own: its settings, keys of both sides, and matching
gateway settings.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from gateway.demo import site
from gateway.simbank.config import SimConfig
from gateway.simbank.service import build_twin
from protocols.trial import trial

_BROKER = {
    "host": "127.0.0.1",
    "port": 5672,
    "vhost": "bankgw",
    "users": {"bankgw": {"user": "bankgw", "password": "change-me"}},
}
_SENDER = {
    "users": ["erp"],
    "operations": ["payment.submit", "payment.cancel", "status.query", "balance.query", "transactions.query"],
    "reply_to": r"erp\..*",
}


def make_site(folder: Path, bank: str) -> site.Site:
    """Make the files of a simulated bank. Its ports are fixed ones that are free now. Raises OSError."""
    made = site.prepare(folder, (site.BankPlan(bank, twin_options=trial(bank).demo.get("twin", {})),))
    settings = made.simulator(bank)
    ports = {name: _free() for name in build_twin(SimConfig.from_file(settings)).ports}
    text = settings.read_text("utf-8")
    log = folder / f"simbank-{bank}.exchanges.jsonl"
    settings.write_text(f"exchange_log = {json.dumps(str(log))}\n{text}\n" + site.toml({"ports": ports}), "utf-8")
    # The gateway's settings need known ports, so these ports are chosen here.
    made.ready_file(bank).write_text(json.dumps({"bank": bank, "ports": ports}), "utf-8")
    site.configure(made, _BROKER, {"erp": _SENDER}, watch_port=0)
    made.ready_file(bank).unlink()
    return made


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
