"""A real Prometheus with the product's rules, each without its waiting time, watches one daemon."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from setup.machine import free_port
from tests.conf.rules import RULES
from tests.independent.site import program, until

EVERY = "400ms"


class WatchingPrometheus:
    """Scrapes one target and evaluates the rules twice a second."""

    def __init__(self, folder: Path, watch_port: int) -> None:
        folder.mkdir()
        rules = re.sub(r"^        for: \d+[mh]$\n", "", RULES.read_text("utf-8"), flags=re.MULTILINE)
        (folder / RULES.name).write_text(rules, "utf-8")
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {EVERY}, scrape_timeout: {EVERY}, evaluation_interval: {EVERY}}}\n"
            f"rule_files: [{RULES.name}]\nscrape_configs:\n"
            f'  - {{job_name: bankgw, static_configs: [{{targets: ["127.0.0.1:{watch_port}"]}}]}}\n',
            "utf-8",
        )
        self._port = free_port()
        with (folder / "prometheus.log").open("wb") as out:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=out,
                stderr=out,
            )
        until(self._answers, 60, "Prometheus answers")

    def firing(self, alert: str) -> bool:
        """True if the alert fires now."""
        return bool(self._query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)

    def _query(self, expr: str) -> list[Any]:
        address = f"http://127.0.0.1:{self._port}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(address, timeout=5) as answer:
            return list(json.load(answer)["data"]["result"])

    def _answers(self) -> bool:
        try:
            self._query("up")
        except OSError:
            return False
        return True
