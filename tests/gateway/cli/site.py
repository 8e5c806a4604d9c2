"""A site on disk for checks: correct settings, which a test breaks one by one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.demo import site as demo_site

NOW = datetime.now(UTC)
BROKER = {
    "host": "127.0.0.1",
    "port": 5672,
    "vhost": "bankgw",
    "users": {"bankgw": {"user": "bankgw", "password": "p"}},
}
SENDER = {"users": ["erp"], "operations": ["payment.submit", "status.query"], "reply_to": r"erp\..*"}
PLANS = (
    demo_site.BankPlan("sample"),
    demo_site.BankPlan("pab", options={"enterprise_code": demo_site.ENTERPRISE_CODE}),
)


def make(folder: Path, broker: dict[str, Any] | None = None) -> demo_site.Site:
    """Make PKI, secrets and settings for two banks; no process is started."""
    site = demo_site.prepare(folder, PLANS)
    for plan in PLANS:
        site.ready_file(plan.bank).write_text(json.dumps({"ports": {"business": 1}}))
    demo_site.configure(site, broker or BROKER, {"erp": SENDER})
    return site
