"""A skip because of a missing program fails in CI, wherever in a test it happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT, texts
from tests.world.skipping import ALLOWED

TRIED = """
import pytest

@pytest.fixture
def broker():
    pytest.skip("no broker")

def test_in_a_fixture(broker): pass

def test_inside(): pytest.skip("no promtool")

@pytest.mark.skipif(True, reason="no soffice")
def test_by_a_mark(): pass

def test_allowed(): pytest.skip("root may write everywhere")
"""


@pytest.mark.parametrize(
    ("ci", "counted"), [("true", "1 failed, 1 skipped, 2 errors"), ("", "4 skipped"), ("1", "4 skipped")]
)
def test_a_skip_for_want_of_a_program_fails_in_ci(tmp_path: Path, ci: str, counted: str) -> None:
    (tmp_path / "test_tried.py").write_text(TRIED, "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:twisted",
            "-p",
            "tests.world.skipping",
            "-c",
            os.devnull,
            "--rootdir",
            str(tmp_path),
            str(tmp_path / "test_tried.py"),
        ],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    last = done.stdout.splitlines()[-1]
    assert set(counted.split(", ")) <= set(last.split(" in ")[0].split(", ")), done.stdout
    assert ("skipped in CI: no promtool" in done.stdout) is (ci == "true")


def test_every_reason_that_is_allowed_is_one_that_a_test_says() -> None:
    said = "".join(
        text for path, text in texts().items() if path.startswith("tests/") and path != "tests/world/skipping.py"
    )
    assert [reason for reason in ALLOWED if f'"{reason}"' not in said.replace("\n", "")] == []
