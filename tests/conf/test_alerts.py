"""Tests of the alerts with promtool: each is silent, fires and ends at the right time; its metrics, labels and runbook
exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.kernel.meters import ALARMS, NOT_READY, Meters, NoticeMeters
from tests.conf.rules import CASES, PROMETHEUS, RULES, Rule, rules, with_every_alert
from tests.house import product, texts
from tests.independent.site import program

ALERTS = [rule for rule in rules() if rule.alert]
BY_NAME = {alert.name: alert for alert in ALERTS}
RUNBOOKS = "docs/do/runbooks"
# Labels that Prometheus itself adds to every series.
FOREIGN = {"up": ()}
ADDED = ("job", "instance", "le")


def shelf() -> dict[str, tuple[str, ...]]:
    """Every series of the daemon and of the notices process by name, with its labels."""
    found: dict[str, tuple[str, ...]] = dict(FOREIGN)
    made = (Meters(CollectorRegistry()), NoticeMeters(CollectorRegistry()))
    for one in (metric for meters in made for metric in vars(meters).values()):
        if hasattr(one, "_labelnames"):
            ends = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_count", "_sum")}
            for end in ends.get(one._type, ("",)):
                found[one._name + end] = one._labelnames
    return found


def unknown_names(rule: Rule, known: dict[str, tuple[str, ...]]) -> list[str]:
    """Metrics and labels of a rule that do not exist."""
    recorded = {one.name: ("alarm",) for one in rules() if not one.alert}
    bare = re.sub(r'"[^"]*"', '""', rule.expr)
    used = re.findall(r"\b(?:bankgw_\w+|up\b(?=\{)|bankgw:[\w:]+)", bare)
    labels = re.findall(r"([a-z_]+)(?==~?\"\"|!=\"\"|!~\"\")", bare)
    for inside in re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", bare):
        labels += re.split(r",\s*", inside)
    labels += re.findall(r"\$labels\.(\w+)", rule.summary)
    every = {**known, **recorded}
    allowed = {label for name in used for label in every.get(name, ())} | set(ADDED)
    missing = [name for name in used if name not in every] + [label for label in labels if label not in allowed]
    return missing if used else [f"{rule.name} looks at nothing"]


def promtool(*words: str, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


# ---- judged by Prometheus' own program ----------------------------------------------------------------------------


def test_promtool_takes_the_rules_and_the_sample_settings() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_each_alert_is_silent_then_fires_then_is_over() -> None:
    done = promtool("test", "rules", *(f"tests/{case.name}" for case in sorted(CASES.glob("*.yml"))))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("expr", ["vector(0) == 1", "vector(1)"])
def test_each_case_notices_an_alert_that_never_or_always_fires(tmp_path: Path, expr: str) -> None:
    shutil.copytree(CASES, tmp_path / "tests")
    (tmp_path / RULES.name).write_text(with_every_alert(expr), "utf-8")
    noticed = set()
    for case in sorted(CASES.glob("*.yml")):
        done = promtool("test", "rules", f"tests/{case.name}", cwd=tmp_path)
        noticed |= set(re.findall(r'alertname="(\w+)"', done.stdout + done.stderr))
    assert noticed == set(BY_NAME)


def test_every_alert_has_its_case() -> None:
    named = [
        name
        for case in sorted(CASES.glob("*.yml"))
        for name in re.findall(r"^  - name: (\w+)$", case.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(named) == sorted(BY_NAME)


# ---- what they look at --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_metrics_and_labels_exist(rule: Rule) -> None:
    assert unknown_names(rule, shelf()) == []


@pytest.mark.parametrize(
    ("expr", "summary"),
    [
        ("bankgw_redy == 0", ""),
        ("sum by (banc) (bankgw_payments_held) > 0", ""),
        ('bankgw_payments_held{lane="x"} > 0', ""),
        ("bankgw_payments_held > 0", "{{ $labels.lane }}"),
        ("vector(1)", ""),
        ("bankgw_alarms > 0", ""),
        ('bankgw_payments_held{lane=~"x"} > 0', ""),
    ],
)
def test_unknown_names_are_found(expr: str, summary: str) -> None:
    assert unknown_names(Rule("X", True, expr, "page", summary, ""), shelf())


def test_every_alarm_and_every_reason_has_its_alert() -> None:
    rung = re.findall(r'bankgw:alarms_rung:1h\{alarm="(\w+)"\}', RULES.read_text("utf-8"))
    assert sorted(rung) == sorted(ALARMS)
    named = re.findall(
        r"^   \| `(\w+)` \| \[[^\]]+\]\((\w+)\.md\) \|$", texts()[f"{RUNBOOKS}/BankgwNotReady.md"], re.MULTILINE
    )
    assert [reason for reason, _page in named] == list(NOT_READY)
    assert all(page in BY_NAME for _reason, page in named)


def test_severities_are_two() -> None:
    assert {alert.severity for alert in ALERTS} == {"page", "ticket"}
    assert all(alert.summary for alert in ALERTS)


# ---- runbooks -----------------------------------------------------------------------------------------------------


def test_every_alert_has_a_runbook_and_vice_versa() -> None:
    pages = {path.rpartition("/")[2].partition(".")[0] for path in texts() if path.startswith(f"{RUNBOOKS}/Bankgw")}
    assert pages == set(BY_NAME)
    for alert in ALERTS:
        assert alert.runbook == f"file:///usr/share/doc/bankgw/do/runbooks/{alert.name}.md"


@pytest.mark.parametrize("end", [".md", ".zh.md"])
def test_the_index_has_every_alert_with_its_severity(end: str) -> None:
    row = rf"^\| \[(\w+)\]\((\w+){re.escape(end)}\) \| (\w+) \| .+ \|$"
    rows = re.findall(row, texts()[f"{RUNBOOKS}/README{end}"], re.MULTILINE)
    assert rows == [(alert.name, alert.name, alert.severity) for alert in ALERTS]


@pytest.mark.parametrize(("end", "over"), [(".md", "The trouble is over when "), (".zh.md", "结束标志：")])
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_the_first_step_is_a_command_and_the_last_says_when_it_is_over(name: str, end: str, over: str) -> None:
    page = texts()[f"{RUNBOOKS}/{name}{end}"]
    assert page.startswith(f"# {name}\n\n")
    steps = re.findall(r"^(\d)\. (.+)$", page, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1)) and len(steps) >= 3
    assert re.fullmatch(
        r"`(bankgw|journalctl|systemctl|promtool|top|iostat|df|ls|rabbitmq-diagnostics|timedatectl|chronyc) ?[^`]*`",
        steps[0][1],
    )
    assert steps[-1][1].startswith(over)


def test_the_log_has_every_line_that_a_runbook_looks_for() -> None:
    events = set()
    for source in product():
        events |= set(re.findall(r'"([a-z]+\.[a-z_]+)"', source.text))
    looked = {
        pattern.strip("'")
        for path, text in texts().items()
        if path.startswith(RUNBOOKS)
        for pattern in re.findall(r"journalctl [^`]*-g ('[^']+'|\S+?)`", text)
    }
    assert len(looked) > 10
    assert [one for one in sorted(looked) if not any(re.search(one, event) for event in events)] == []
