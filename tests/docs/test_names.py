"""A page names only what exists: files, tables, commands, switches, metrics, settings, log events, error codes.

Commands are looked at in test_docs. The changelog is not looked at: it speaks of what was.
"""

from __future__ import annotations

import re

import pytest

from tests.docs import names
from tests.house import texts

PAGES = sorted(path for path in texts() if path.endswith(".md") and path != "CHANGELOG.md")


@pytest.mark.parametrize("path", PAGES)
def test_pages_name_what_exists(path: str) -> None:
    assert names.wrong(texts()[path]) == []


# ---- the check itself -------------------------------------------------------------------------------------------

# Each is a name of its kind that does not exist in the checkout, beside one that exists.
PLANTED = {
    "a file by its path": ("see `gateway/kernel/core/flaw.py`", "see `gateway/kernel/core/flow.py`"),
    "a module without its ending": ("see `erp/intakes`", "see `erp/intake`"),
    "a file by its name": ("see `flaw.py`", "see `flow.py`"),
    "a folder": ("in `gateway/desk/` it", "in `gateway/control/` it"),
    "files of a pattern": ("see `gateway/cli/commands/laness*.py`", "see `gateway/cli/commands/lane*.py`"),
    "a file in a shell block": (
        "```sh\npython -m pytest tests/world/test_simm.py\n```\n",
        "```sh\npython -m pytest tests/world/test_sim.py\n```\n",
    ),
    "a table": ("the table `unit` has", "the table `units` has"),
    "tables in a list": ("tables `units` and `persns`", "tables `units` and `persons`"),
    "a table, in Chinese": ("表 `unit`", "表 `units`"),
    "a switch of a command": ("`bankgw orders list --states x`", "`bankgw orders list --state x`"),
    "a switch in a shell block": ("```sh\nbankgw status --wate 60\n```\n", "```sh\nbankgw status --wait 60\n```\n"),
    "a switch alone": ("with `--evrything`", "with `--every`"),
    "a switch of a make target": ("`make sim ARGS=--neighbours`", "`make sim ARGS=--peer-nodes`"),
    "a switch that is set off": ("`make sim ARGS=--no-depud`", "`make sim ARGS=--no-dedup`"),
    "a switch of a test program": (
        "    .venv/bin/python -m tests.world.sim --sead 4711\n",
        "    .venv/bin/python -m tests.world.sim --seed 4711\n",
    ),
    "a variable of make": ("`make sim SEED=20`", "`make sim SEEDS=20`"),
    "an environment variable": ("`BANKGW_CONFG=/x`", "`BANKGW_CONFIG=/x`"),
    "a metric": ("`bankgw_journal_ups`", "`bankgw_journal_up`"),
    "a metric with a label": ('`bankgw_alarm_total{alarm="x"}`', '`bankgw_alarms_total{alarm="x"}`'),
    "a setting by its path": ("`journal.permit_log_day`", "`journal.permit_log_days`"),
    "a setting with its value": ("`most_repeat = 0`", "`most_repeats = 0`"),
    "a settings table": ("`[banks.NAME.lane.LANE.keys]`", "`[banks.NAME.lanes.LANE.keys]`"),
    "a setting, in Chinese": ("设置 `permit_log_day`", "设置 `permit_log_days`"),
    "a log event": ("the log says `journal.unreached`", "the log says `journal.unreachable`"),
    "a log event that is put together": ("`paymant.settled`", "`payment.settled`"),
    "an error code": ("code `id_conflicts`", "code `id_conflict`"),
    "an error code of one word": ("code `schemes`", "code `schema`"),
    "an error code, in Chinese": ("错误码 `id_conflicts`", "错误码 `id_conflict`"),
    "an alarm": ("alarm `booked_thrice`", "alarm `booked_twice`"),
    "a state": ("in state `paid_out`", "in state `settled`"),
    "a queue": ("queue `bankgw.parkt`", "queue `bankgw.parked`"),
    "a field of a message": ("`debtor.acount`", "`debtor.account`"),
    "a class": ("commits give a `Leave`", "commits give a `SendLeave`"),
    "a method": ("`Tx.shown`", "`Tx.read`"),
    "a file that a link shows": ("[puppet.py](faults/hooked_daemon.py)", "[hooked_daemon.py](faults/hooked_daemon.py)"),
    "a function": ("`flow.stepp(life, event)`", "`flow.step(life, event)`"),
    "a name with underscores": ("`hold_reasonz`", "`hold_reasons`"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_name_is_found(kind: str) -> None:
    planted, _right = PLANTED[kind]
    assert len(names.wrong(planted)) >= 1


@pytest.mark.parametrize("kind", PLANTED)
def test_the_right_name_is_left_alone(kind: str) -> None:
    _planted, right = PLANTED[kind]
    assert list(names.mentions(right)) != []
    assert names.wrong(right) == []


@pytest.mark.parametrize(
    "path", ["docs/do/operate.md", "docs/understand/simulation.md", "docs/learn/erp-developer.zh.md"]
)
def test_pages_are_really_read(path: str) -> None:
    assert len(list(names.mentions(texts()[path]))) >= 40


# ---- lines of the program ---------------------------------------------------------------------------------------


def _said() -> str:
    """The product's source, with strings over several lines joined."""
    source = "\n".join(
        text for path, text in texts().items() if path.startswith(("gateway/", "protocols/")) and path.endswith(".py")
    )
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", source).replace("`", "").replace('\\"', '"')


def unsaid(markdown: str) -> list[str]:
    """Lines in the first column of a page's tables that the program does not print; `…` stands for any text."""
    source = _said()
    rows = re.findall(r"^\| (.*?) \| ", markdown, re.MULTILINE)
    lines = [code for row in rows for code in re.findall(r"`([^`]+)`", row) if " " in code]
    return [
        line
        for line in lines
        if any(part.strip(" ,;") not in source for part in line.split("…") if len(part.strip(" ,;")) > 2)
    ]


def test_bad_settings_quotes_what_the_program_says() -> None:
    assert unsaid(texts()["docs/do/bad-settings.md"]) == []


def test_a_line_that_nobody_says_is_noticed() -> None:
    assert unsaid("| `holds no self-signed route` | ask |\n| `holds no self-signed root` | ask |\n") == [
        "holds no self-signed route"
    ]
