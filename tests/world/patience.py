"""Time limits of tests: CPU time for tests that work, real time for tests that wait.

A busy machine gives a test a fifth of a core, and a test that computes is then late through no fault of its own. So the
limit that a test names counts the CPU time of its process; in real time it has longer.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

MORE_S = 240.0
"""How much longer than its CPU time a test may take in real time."""
SHORT_S = 30.0
"""A limit shorter than this is meant in real time, because such a test is about time."""
EVERY_S = 10.0


def real_s(limit_s: float) -> float:
    """The limit in real seconds for a test with this CPU limit."""
    return limit_s if limit_s < SHORT_S else limit_s + MORE_S


def limit_cpu(item: pytest.Item, limit_s: float) -> None:
    """Print every stack and end the process when this test has used so much CPU time, as pytest-timeout does."""
    if limit_s < SHORT_S or threading.current_thread() is not threading.main_thread():
        return

    def too_much(_number: int, _frame: object) -> None:
        capture = item.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        os.write(2, f"\nTimeout: {item.nodeid} used more than {limit_s:g} s of CPU time\n".encode())
        faulthandler.dump_traceback(2)
        os._exit(1)

    signal.signal(signal.SIGPROF, too_much)
    signal.setitimer(signal.ITIMER_PROF, limit_s)


def lift() -> None:
    """Remove the time limit, because the test is over."""
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_PROF, 0)


class CollectionTicker:
    """Prints every ten seconds that tests are being collected, which takes a minute on a slow machine."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()

    def _tell(self) -> None:
        began_s = time.monotonic()
        while not self._done.wait(EVERY_S):
            self._say(f"collecting tests, {time.monotonic() - began_s:.0f} s")

    def end(self) -> None:
        """Stop printing, because the tests are collected."""
        self._done.set()
        self._thread.join()
