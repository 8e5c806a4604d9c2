"""A site for all foreign clients of the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.independent.site import ROOT, Running, not_to_be_had, program, running

HERE = Path(__file__).parent / "node"
INSTALLED = ROOT / ".run" / "node"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole gateway on real parts."""
    with running(tmp_path_factory.mktemp("independent")) as found:
        yield found


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder of amqplib, installed under .run by the ordinary npm client. If it is there, nothing is fetched."""
    program("node")
    wanted = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]["amqplib"]
    mark = INSTALLED / "node_modules" / "amqplib" / "package.json"
    if not mark.exists() or json.loads(mark.read_text("utf-8"))["version"] != wanted:
        npm = program("npm")
        INSTALLED.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", INSTALLED / "package.json")
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
            cwd=INSTALLED,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            not_to_be_had(f"npm cannot install amqplib {wanted}: {done.stderr[-300:]}")
    return INSTALLED / "node_modules"
