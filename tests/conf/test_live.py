"""A real Prometheus and a real Alertmanager watch a real gateway: every panel has data, and a stopped bank raises its
alert.
"""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from gateway.demo.processes import Child, stop_all
from tests.conf.dashboards import BOARDS
from tests.conf.rules import RULES
from tests.independent.site import Running, program, running, until

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.timeout(400)]
QUERIES = [
    (uid, panel.title, expr)
    for uid, (_title, panels) in BOARDS.items()
    for panel in panels
    for expr, _legend in panel.queries
]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Watchers:
    """Prometheus and Alertmanager, and the site that they watch."""

    site: Running
    prometheus: int
    alertmanager: int

    def _get(self, port: int, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)

    def query(self, expr: str) -> list[Any]:
        found = self._get(self.prometheus, "/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
        assert found["status"] == "success", found
        return list(found["data"]["result"])

    def ringing(self) -> set[tuple[str, str]]:
        """The name and the lane of each alert that Alertmanager has now."""
        return {
            (one["labels"]["alertname"], one["labels"].get("lane", ""))
            for one in self._get(self.alertmanager, "/api/v2/alerts?active=true")
        }

    def answers(self) -> bool:
        try:
            return bool(self.query("bankgw_ready")) and self.ringing() is not None
        except OSError:
            return False


def _settings(folder: Path, watch_port: str, alertmanager: int) -> Path:
    # The same expressions, but each waits seconds instead of minutes.
    rules = re.sub(r"^        for: \d+[mh]$", "        for: 2s", RULES.read_text("utf-8"), flags=re.MULTILINE)
    (folder / "bankgw.rules.yml").write_text(rules, "utf-8")
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: none, group_wait: 1s}\nreceivers: [{name: none}]\n", "utf-8"
    )
    path = folder / "prometheus.yml"
    path.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [bankgw.rules.yml]\n"
        f'scrape_configs: [{{job_name: bankgw, static_configs: [{{targets: ["127.0.0.1:{watch_port}"]}}]}}]\n'
        f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}\n',
        "utf-8",
    )
    return path


@contextmanager
def _watching(site: Running, folder: Path) -> Iterator[Watchers]:
    watch_port = (site.site.state / "watch.port").read_text("ascii").strip()
    ports = _free_port(), _free_port()
    settings = _settings(folder, watch_port, ports[1])
    children = [
        Child(
            "prometheus",
            [
                program("prometheus"),
                f"--config.file={settings}",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{ports[0]}",
            ],
            folder / "prometheus.log",
        ),
        Child(
            "alertmanager",
            [
                program("prometheus-alertmanager"),
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/am",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{ports[1]}",
            ],
            folder / "alertmanager.log",
        ),
    ]
    watchers = Watchers(site, *ports)
    try:
        for child in children:
            child.start()
        until(watchers.answers, 60, "\n".join(child.tail() for child in children))
        yield watchers
    finally:
        stop_all(children, 20)


@pytest.fixture(scope="module")
def watchers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    program("prometheus"), program("prometheus-alertmanager")
    with (
        running(tmp_path_factory.mktemp("watched")) as site,
        _watching(site, tmp_path_factory.mktemp("watchers")) as found,
    ):
        yield found


def _pay(site: Running, numbers: range) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(site.url))
    channel = connection.channel()
    for number in numbers:
        properties = pika.BasicProperties(
            user_id=site.erp.user, message_id=f"live-{number}", content_type="application/json"
        )
        channel.basic_publish(
            "bankgw.commands", "payment.submit", json.dumps(_order(site, number)).encode(), properties
        )
    connection.close()


def _order(site: Running, number: int) -> dict[str, Any]:
    return {
        "id": f"LIVE-{number}",
        "debtor": {"account": site.account("sample"), "name": "示例甲公司"},
        "creditor": {
            "account": "0000000000000000025",
            "name": "示例乙公司",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
            "kind": "corporate",
        },
        "amount": f"{number + 1}.00",
        "currency": "CNY",
    }


def test_no_panel_is_empty(watchers: Watchers) -> None:
    until(lambda: bool(watchers.query("bankgw_canary_last_success_timestamp_seconds > 0")), 60, "a heartbeat came back")
    _pay(watchers.site, range(10))
    until(lambda: len(watchers.site.booked("sample")) >= 10, 60, "the payments are booked")

    def empty() -> list[tuple[str, str]]:
        return [
            (uid, title) for uid, title, expr in QUERIES if not watchers.query(expr.replace("$__rate_interval", "1m"))
        ]

    end_s = time.monotonic() + 30
    while empty() and time.monotonic() < end_s:
        time.sleep(1)
    assert empty() == []


def test_a_stopped_bank_rings_and_the_bank_that_is_back_ends_it(watchers: Watchers) -> None:
    name, lane = "BankgwLaneDown", "sample.main"
    until(lambda: (name, lane) not in watchers.ringing(), 60, "silent before")
    bank = watchers.site.banks["sample"]
    ready = watchers.site.site.ready_file("sample")
    ports = json.loads(ready.read_text("utf-8"))["ports"]
    bank.kill()
    until(lambda: (name, lane) in watchers.ringing(), 60, "the alert rings")
    assert (name, "pab.main") not in watchers.ringing()
    assert watchers.query('bankgw_lane_state{lane="sample.main",state="down"} == 1')[0]["metric"]["reason"] == "refused"
    # The bank is back at the same port.
    config = watchers.site.site.simulator("sample")
    config.write_text(
        "\n".join([config.read_text("utf-8"), "[ports]", *(f"{key} = {port}" for key, port in ports.items()), ""]),
        "utf-8",
    )
    bank.start()
    until(lambda: (name, lane) not in watchers.ringing(), 120, "the alert is over")
    assert watchers.query('bankgw_session_up{lane="sample.main"} > 0')
