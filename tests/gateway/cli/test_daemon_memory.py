"""The modules that the daemon loads: none that only other databases, pages or commands use, because each takes
megabytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.sql import migrations
from gateway.settings import load
from tests.gateway.cli import site as demo

ELSEWHERE = (
    "alembic",
    "gateway.cli.commands.orders",
    "gateway.cli.every_command",
    "greenlet",
    "openpyxl",
    "pygments",
    "rich",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.oracle",
    "sqlalchemy.dialects.postgresql",
    "twisted.web.client",
    "typst",
    "xlsxwriter",
)
OF_PASSKEYS = ("webauthn", "cbor2")
PAGES = '\n[web]\nconsole_origin = "https://console.example"\napproval_origin = "https://approval.example"\n'
_ASK = """
import gc, json, sys
from dataclasses import replace
from gateway import __main__ as program
from typer.core import TyperCommand

def start(*given):
    program.environment().start(*given)
    commands = sum(isinstance(one, TyperCommand) for one in gc.get_objects())
    print(json.dumps({"modules": sorted(sys.modules), "commands": commands}))
    sys.exit(0)

program.main(replace(program.environment(), start=start))
"""


def built(folder: Path, pages: str = "") -> Any:
    """The modules that are loaded once a daemon has been built and is about to start, and the number of commands that
    it has."""
    site = demo.make(folder)
    site.settings.write_text(site.settings.read_text("utf-8") + pages, "utf-8")
    site.state.mkdir(mode=0o700)
    # As on every day but its first, the journal exists already.
    migrations.upgrade(load(site.settings).journal_url())
    words = ("run", "--no-check", "--config", str(site.settings))
    done = subprocess.run(
        [sys.executable, "-c", _ASK, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return built(tmp_path_factory.mktemp("daemon"))


@pytest.mark.parametrize("name", ELSEWHERE + OF_PASSKEYS)
def test_a_daemon_does_not_load(daemon: Any, name: str) -> None:
    assert "gateway.app" in daemon["modules"]
    assert name not in daemon["modules"]


def test_a_daemon_holds_no_command_but_its_own(daemon: Any) -> None:
    assert daemon["commands"] == 1, "its own"


def test_where_there_are_pages_the_first_passkey_does_not_wait(tmp_path: Path) -> None:
    assert set(OF_PASSKEYS) <= set(built(tmp_path, PAGES)["modules"])
