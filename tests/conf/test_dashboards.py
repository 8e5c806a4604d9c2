"""The committed dashboards equal their tables, and promtool parses every expression in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conf.dashboards import BOARDS, FOLDER, board, text
from tests.conf.rules import Rule
from tests.conf.test_alerts import promtool, shelf, unknown_names

PROCESS = {"process_resident_memory_bytes": (), "process_cpu_seconds_total": ()}
QUERIES = [
    (uid, panel.title, expr)
    for uid, (_title, panels) in BOARDS.items()
    for panel in panels
    for expr, _legend in panel.queries
]


@pytest.mark.parametrize("uid", BOARDS)
def test_committed_is_generated(uid: str) -> None:
    assert (FOLDER / f"{uid}.json").read_text("utf-8") == text(uid), "run `python -m tests.conf.dashboards --write`"


def test_there_are_no_others() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(BOARDS)


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_neither_overlap_nor_leave_the_page(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(text(uid))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    titles = [panel["title"] for panel in board(uid)["panels"]]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("uid", "title", "expr"), QUERIES, ids=[f"{uid}:{title}" for uid, title, _ in QUERIES])
def test_metrics_and_labels_exist(uid: str, title: str, expr: str) -> None:
    [legend] = [legend for panel in BOARDS[uid][1] for query, legend in panel.queries if query == expr]
    shown = " ".join(f"{{{{ $labels.{label} }}}}" for label in re.findall(r"\{\{(\w+)\}\}", legend))
    known = {**shelf(), **PROCESS}
    if any(name in expr for name in PROCESS):
        assert re.fullmatch(r"(rate\()?process_\w+\{job=\"bankgw\"\}(\[\$__rate_interval\]\))?", expr)
        assert legend == "{{instance}}"
    else:
        assert unknown_names(Rule(title, True, expr, "", shown, ""), known) == []


def test_promtool_reads_every_expression(tmp_path: Path) -> None:
    rules = tmp_path / "panels.yml"
    lines = ["groups:", "  - name: panels", "    rules:"]
    for at, (_uid, _title, expr) in enumerate(QUERIES):
        lines += [
            f"      - record: panel:{at}",
            "        expr: >-",
            f"          {expr.replace('$__rate_interval', '1m')}",
        ]
    rules.write_text("\n".join(lines) + "\n", "utf-8")
    done = promtool("check", "rules", str(rules))
    assert done.returncode == 0 and f"{len(QUERIES)} rules found" in done.stdout, done.stdout + done.stderr
    rules.write_text(rules.read_text("utf-8").replace("bankgw_ready", "bankgw_ready[", 1), "utf-8")
    assert promtool("check", "rules", str(rules)).returncode != 0
