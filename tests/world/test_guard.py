"""The guard of tests/conftest.py fails a test that hides an error or leaves something behind. Each case is its own
run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.services import ROOT

HEAD = """
import pytest
from twisted.internet.defer import Deferred, CancelledError, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger
from tests.world.within import within
"""
PASSES = """
async def test_waits():
    from twisted.internet import reactor
    assert await deferLater(reactor, 0.01, lambda: 7) == 7

def test_expected_failure(logged_failures):
    fail(ValueError("expected"))
    assert [str(error) for error in logged_failures.take(ValueError)] == ["expected"]

@within(5)
async def test_in_time():
    pass

def test_timer_put_away():
    from twisted.internet import reactor
    reactor.callLater(60, print).cancel()
    reactor.callLater(0, lambda: None)
"""
FAILS = """
def test_failure_nobody_took():
    fail(ValueError("dropped"))

def test_failure_only_logged():
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("logged")

def test_other_failure_than_expected(logged_failures):
    fail(KeyError("other"))
    logged_failures.take(ValueError)

def test_timer_left():
    from twisted.internet import reactor
    reactor.callLater(60, print)

@within(0.05)
async def test_too_slow():
    await Deferred()

@within(0.05)
async def test_swallows_the_cancellation():
    try:
        await Deferred()
    except CancelledError:
        return

@pytest.mark.timeout(5.1)
async def test_hangs():
    await Deferred()

class TestInAClass:
    @pytest.mark.timeout(5.1)
    async def test_hangs(self):
        await Deferred()

@pytest.fixture
def messy():
    yield
    fail(ValueError("in the teardown"))

def test_fixture_drops_a_failure(messy):
    pass
"""


def run_pytest(folder: Path, body: str) -> tuple[int, str]:
    """Run `body` as a test file under the house's conftest; (exit code, output)."""
    (folder / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (folder / "test_case.py").write_text(HEAD + body, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout + done.stderr


def test_clean_tests_pass(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, PASSES)
    assert code == 0, output
    assert "4 passed" in output


def test_every_mess_is_caught(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, FAILS)
    assert code == 1, output
    verdicts = re.findall(r"^(FAILED|ERROR) \S*::(\w+)", output, re.MULTILINE)
    # An error that only shows after everything was put away is an error of the teardown.
    late = {"test_timer_left", "test_fixture_drops_a_failure"}
    expected = [("ERROR" if name in late else "FAILED", name) for name in re.findall(r"def (test_\w+)", FAILS)]
    assert sorted(verdicts) == sorted(expected), output


@pytest.mark.slow
def test_a_blocked_reactor_ends_the_run_with_every_stack(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, "@pytest.mark.timeout(1)\ndef test_block():\n    while True: pass\n")
    assert code == 1
    assert "Timeout" in output
    assert "test_block" in output
