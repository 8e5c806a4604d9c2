"""Reads conf/prometheus/bankgw.rules.yml, whose simple layout needs only a dozen lines; promtool checks the real
syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.house import ROOT

PROMETHEUS = ROOT / "conf" / "prometheus"
RULES = PROMETHEUS / "bankgw.rules.yml"
CASES = PROMETHEUS / "tests"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `alert` is False for a recording rule; the texts of one are empty."""

    name: str
    alert: bool
    expr: str
    severity: str
    summary: str
    runbook: str


def rules(path: Path = RULES) -> list[Rule]:
    """All rules, in order."""
    found = []
    for block in re.split(r"^      - (?=alert:|record:)", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        head = re.match(r"(alert|record): (\S+)\n", block)
        assert head is not None, block
        kind, name = head.groups()
        folded = re.search(r"^        expr: >-\n((?:          .*\n)+)", block, re.MULTILINE)
        expr = folded[1] if folded else _field(block, r"        expr: (.+)$")
        found.append(
            Rule(
                name,
                kind == "alert",
                " ".join(expr.split()),
                _field(block, r"severity: (\w+)}$"),
                _field(block, r"          summary: '(.+)'$").replace("''", "'"),
                _field(block, r"          runbook: (\S+)$"),
            )
        )
    return found


def with_every_alert(expr: str) -> str:
    """The rules with this expression in place of that of every alert."""
    text = RULES.read_text("utf-8")
    return re.sub(r"(- alert: \S+\n        expr: )(>-\n(?:          .*\n)+|.+\n)", rf"\g<1>{expr}\n", text)


def _field(block: str, pattern: str) -> str:
    found = re.search(pattern, block, re.MULTILINE)
    return found[1] if found else ""
