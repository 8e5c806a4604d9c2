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

HEAVY = ("cryptography", "http.client", "lxml", "pika", "prometheus_client", "pydantic", "rich", "sqlalchemy", "structlog", "twisted",
         "urllib.request", "xmlsec", "gateway.app", "gateway.bank", "gateway.erp", "gateway.journal", "gateway.settings")  # fmt: skip
MOST_TIMES_TYPER = 8
"""CPU of `bankgw --version` as a multiple of what an interpreter that only imports typer needs, in the same run."""
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
    def cpu_s(*words: str) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        before_s = used.ru_utime + used.ru_stime
        subprocess.run([sys.executable, *words], capture_output=True, check=True, timeout=60)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime - before_s

    spans = [(cpu_s("-m", "gateway", "--version"), cpu_s("-c", "import typer")) for _ in range(5)]
    ours_s, typer_s = (min(column) for column in zip(*spans, strict=True))
    assert ours_s <= MOST_TIMES_TYPER * typer_s, spans


def test_no_group_of_commands_cuts_a_summary_off() -> None:
    program = typer.main.get_command(application())
    assert isinstance(program, Listing)
    groups = {name: one for name, one in program.commands.items() if hasattr(one, "commands")}
    assert len(groups) > 5
    assert {name for name, one in groups.items() if not isinstance(one, Listing)} == set()
