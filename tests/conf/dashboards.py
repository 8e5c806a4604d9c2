"""Makes the two Grafana dashboards from the tables below:  python -m tests.conf.dashboards --write"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.house import ROOT

FOLDER = ROOT / "conf" / "grafana"
_RED_GREEN: list[dict[str, Any]] = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
_GREEN_RED: list[dict[str, Any]] = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
_PLAIN: list[dict[str, Any]] = [{"color": "green", "value": None}]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `queries` are pairs of PromQL and legend. `kind` is Grafana's; 24 columns make a row."""

    title: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    tell: str = ""
    steps: tuple[dict[str, Any], ...] = ()


def _p(quantile: float, metric: str, by: str) -> str:
    of = (
        f"sum by ({by}, le) (rate({metric}_bucket[$__rate_interval]))"
        if by
        else f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    )
    return f"histogram_quantile({quantile}, {of})"


def _stat(title: str, query: str, legend: str, red: bool, tell: str = "", unit: str = "short") -> Panel:
    return Panel(title, ((query, legend),), "stat", unit, 4, tell, tuple(_GREEN_RED if red else _RED_GREEN))


OPERATIONS = (
    _stat("Ready", "bankgw_ready", "{{instance}}", False, "1: commands are taken in and a bank can be reached."),
    _stat("Not ready for", "sum by (reason) (bankgw_not_ready)", "{{reason}}", True),
    _stat("Journal", "bankgw_journal_up", "{{instance}}", False),
    _stat("Broker", "bankgw_broker_up", "{{instance}}", False),
    _stat("Emergency stop", "max(bankgw_stopped)", "in force", True),
    _stat("Alarms, 24 h", "sum by (alarm) (increase(bankgw_alarms_total[24h]))", "{{alarm}}", True),
    Panel(
        "Lanes",
        (("max by (lane, state, reason) (bankgw_lane_state) == 1", "{{lane}} {{state}} {{reason}}"),),
        "stat",
        width=12,
    ),
    Panel("Sessions that may carry money", (("max by (lane) (bankgw_session_up)", "{{lane}}"),), width=12),
    Panel(
        "Since the last answer of a bank",
        (("time() - max by (lane) (bankgw_lane_last_exchange_timestamp_seconds > 0)", "{{lane}}"),),
        unit="s",
    ),
    Panel(
        "Exchanges",
        (("sum by (bank, outcome) (rate(bankgw_bank_requests_total[$__rate_interval]))", "{{bank}} {{outcome}}"),),
        unit="reqps",
    ),
    Panel("Bank, 95 %", ((_p(0.95, "bankgw_bank_request_duration_seconds", "bank"), "{{bank}}"),), unit="s"),
    Panel(
        "Failed connections",
        (
            (
                "sum by (bank, reason) (increase(bankgw_connect_failures_total[$__rate_interval])) or vector(0)",
                "{{bank}} {{reason}}",
            ),
        ),
    ),
    Panel("Commit, 99 %", ((_p(0.99, "bankgw_journal_commit_duration_seconds", ""), "commit"),), unit="s"),
    Panel(
        "Units of work",
        (("sum by (instance) (rate(bankgw_journal_units_total[$__rate_interval]))", "{{instance}}"),),
        unit="ops",
    ),
    Panel("Timer late by", (("bankgw_reactor_delay_seconds", "{{instance}}"),), unit="s"),
    Panel(
        "Since the last heartbeat through the broker",
        (("time() - (bankgw_canary_last_success_timestamp_seconds > 0)", "{{instance}}"),),
        unit="s",
    ),
    Panel(
        "Certificates end in",
        (("min by (bank, role) (bankgw_certificate_not_after_timestamp_seconds) - time()", "{{bank}} {{role}}"),),
        unit="s",
    ),
    Panel("Disk free", (("bankgw_disk_free_bytes / bankgw_disk_size_bytes", "{{instance}}"),), unit="percentunit"),
    Panel("Permit log", (("bankgw_permit_log_bytes", "{{instance}}"),), unit="bytes"),
    Panel("Memory", (('process_resident_memory_bytes{job="bankgw"}', "{{instance}}"),), unit="bytes"),
    Panel(
        "Processor",
        (('rate(process_cpu_seconds_total{job="bankgw"}[$__rate_interval])', "{{instance}}"),),
        unit="percentunit",
    ),
)
MONEY = (
    Panel(
        "Money in doubt",
        (("max by (bank, currency) (bankgw_money_in_doubt_amount)", "{{bank}} {{currency}}"),),
        "stat",
        width=6,
        tell="In units of the currency.",
    ),
    Panel("Payments in doubt", (("max by (bank) (bankgw_payments_in_doubt)", "{{bank}}"),), "stat", width=6),
    Panel("Held for a person", (("max by (bank) (bankgw_payments_held)", "{{bank}}"),), "stat", width=6),
    Panel("Approvals late", (("max(bankgw_approvals_late)", "late"),), "stat", width=6, steps=tuple(_GREEN_RED)),
    Panel(
        "Age of the oldest doubt",
        (
            (
                "(time() - max by (bank) (bankgw_payment_in_doubt_oldest_timestamp_seconds > 0)) or 0 * max by (bank) (bankgw_payments_in_doubt)",
                "{{bank}}",
            ),
        ),
        unit="s",
    ),
    Panel(
        "Open payments unknown to the settings", (("max by (what) (bankgw_payments_unknown_to_settings)", "{{what}}"),)
    ),
    Panel("Days of accounts that do not close", (("max by (bank) (bankgw_statements_missing)", "{{bank}}"),)),
    Panel(
        "Commands",
        (("sum by (type, result) (rate(bankgw_commands_total[$__rate_interval]))", "{{type}} {{result}}"),),
        unit="ops",
        width=12,
    ),
    Panel(
        "Payments that entered a state",
        (("sum by (bank, state) (rate(bankgw_payments_total[$__rate_interval]))", "{{bank}} {{state}}"),),
        unit="ops",
        width=12,
    ),
    Panel(
        "Stages of a payment, 95 %",
        ((_p(0.95, "bankgw_payment_stage_duration_seconds", "stage"), "{{stage}}"),),
        unit="s",
    ),
    Panel("Refusals", (("sum by (code) (increase(bankgw_refusals_total[$__rate_interval]))", "{{code}}"),)),
    Panel("Open work", (("sum by (lane, work) (bankgw_lane_work)", "{{lane}} {{work}}"),)),
    Panel("Messages that wait for the broker", (("bankgw_outbox_depth", "{{instance}}"),)),
    Panel(
        "Messages by the broker's verdict",
        (("sum by (verdict) (rate(bankgw_messages_published_total[$__rate_interval]))", "{{verdict}}"),),
        unit="ops",
    ),
    Panel("Messages nobody could take", (("bankgw_messages_parked", "{{instance}}"),)),
)
BOARDS = {"bankgw-operations": ("bankgw: operations", OPERATIONS), "bankgw-money": ("bankgw: money", MONEY)}


def _panel(number: int, panel: Panel, x: int, y: int, height: int) -> dict[str, Any]:
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "description": panel.tell,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": list(panel.steps or _PLAIN)}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}
        if panel.kind == "stat"
        else {},
        "targets": [
            {"refId": "ABC"[at], "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(panel.queries)
        ],
    }


def board(uid: str) -> dict[str, Any]:
    """One dashboard, as Grafana imports it."""
    title, panels = BOARDS[uid]
    placed, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y = 0, y + height
        height = 4 if panel.kind == "stat" else 8
        placed.append(_panel(number, panel, x, y, height))
        x += panel.width
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["bankgw"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": [source]},
        "panels": placed,
    }


def text(uid: str) -> str:
    """A dashboard's file."""
    return json.dumps(board(uid), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the dashboards, or print the names of those that differ."""
    for uid in BOARDS:
        path = FOLDER / f"{uid}.json"
        if "--write" in sys.argv[1:]:
            path.write_text(text(uid), "utf-8")
        elif path.read_text("utf-8") != text(uid):
            raise SystemExit(f"{path.name} differs: run `python -m tests.conf.dashboards --write`")


if __name__ == "__main__":
    main()
