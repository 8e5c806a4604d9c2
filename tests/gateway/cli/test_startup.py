"""The command line starts at once: what is heavy is imported by the commands that need it, not by `--version`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
import typer

from gateway.cli.application import application
from gateway.cli.help_pages import Listing

HEAVY = ("cryptography", "lxml", "pika", "prometheus_client", "pydantic", "rich", "sqlalchemy", "structlog", "twisted",
         "xmlsec", "gateway.app", "gateway.bank", "gateway.erp", "gateway.journal", "gateway.settings")  # fmt: skip
LIMIT_S = 0.3
_ASK = """
import json, sys
from gateway import __main__ as program
try:
    program.main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _ASK, *words], capture_output=True, text=True, check=True, timeout=60)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("orders", "--help"), ("run", "--help")])
def test_nothing_heavy_is_imported(words: tuple[str, ...]) -> None:
    # typer itself needs pydantic as soon as there is an option to read.
    mine = () if words[0].startswith("--") else ("pydantic",)
    assert not loaded(*words).intersection(HEAVY) - set(mine)


def test_the_version_comes_in_little_time() -> None:
    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    spans = []
    for _ in range(3):
        before_s = cpu_s()
        subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, check=True, timeout=60)
        spans.append(cpu_s() - before_s)
    assert min(spans) <= LIMIT_S, spans


def test_no_group_of_commands_cuts_a_summary_off() -> None:
    program = typer.main.get_command(application())
    assert isinstance(program, Listing)
    groups = {name: one for name, one in program.commands.items() if hasattr(one, "commands")}
    assert len(groups) > 5
    assert {name for name, one in groups.items() if not isinstance(one, Listing)} == set()
