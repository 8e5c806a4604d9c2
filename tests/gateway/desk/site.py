"""A site on disk for checks: settings that are right in every respect, to be broken one by one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.desk import rig

NOW = datetime.now(UTC)
BROKER = {"host": "127.0.0.1", "port": 5672, "vhost": "bankgw", "users": {"bankgw": {"user": "bankgw",
     "password": "p"}}}
SENDER = {"users": ["erp"], "operations": ["payment.submit", "status.query"], "reply_to": r"erp\..*"}
PLANS = (
    rig.BankPlan("sample"),
    rig.BankPlan("pab", options={"enterprise_code": rig.ENTERPRISE_CODE}),
)


def make(folder: Path, broker: dict[str, Any] | None = None) -> rig.Site:
    """PKI, secrets and settings for two banks; nothing runs."""
    site = rig.prepare(folder, PLANS)
    for plan in PLANS:
        site.ready_file(plan.bank).write_text(json.dumps({"ports": {"business": 1}}))
    rig.configure(site, broker or BROKER, {"erp": SENDER})
    return site
