"""Child processes: they are ended by their process id, in every way in which they can end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from gateway.demo.processes import Child, gateway_command, simulator_command, stop_all

READY = "import sys, time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(tmp_path: Path, code: str, name: str = "child") -> Child:
    return Child(name, (sys.executable, "-c", code), tmp_path / f"{name}.log")


def started(one: Child) -> Child:
    one.start()
    until_s = time.monotonic() + 20
    while one.tail().count("up") < one.lives:
        assert time.monotonic() < until_s, one.tail()
        time.sleep(0.01)
    return one


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_kill_and_start_again(tmp_path: Path) -> None:
    one = started(child(tmp_path, READY))
    first = one.kill()
    ended = one.ended()
    assert ended is not None
    assert (ended.pid, ended.code) == (first, -signal.SIGKILL)
    assert gone(first)
    started(one)
    assert (one.lives, one.ended()) == (2, None)
    assert one.pid != first
    assert one.stop(5.0) == -signal.SIGTERM
    assert one.tail().split() == ["up", "up"]


def test_the_cpu_time_of_a_child_is_read_from_the_system(tmp_path: Path) -> None:
    works = "import time\nwhile time.process_time() < 0.3: pass\n"
    one = child(tmp_path, works + READY)
    assert one.cpu_s == 0.0
    started(one)
    assert one.cpu_s >= 0.25
    one.kill()
    assert one.cpu_s == 0.0, "an ended process has none"


def test_the_deaf_are_killed(tmp_path: Path) -> None:
    one = started(child(tmp_path, DEAF))
    pid = one.pid
    assert one.stop(0.2) == -signal.SIGKILL
    assert pid is not None
    assert gone(pid)


def test_all_are_stopped_whatever_state_they_are_in(tmp_path: Path) -> None:
    running, deaf = started(child(tmp_path, READY, "a")), started(child(tmp_path, DEAF, "b"))
    over, never = started(child(tmp_path, "print('up', flush=True)", "c")), child(tmp_path, READY, "d")
    # The process says that it is ready before it ends.
    while over.ended() is None:
        time.sleep(0.01)
    began_s = time.monotonic()
    stop_all([running, deaf, over, never], 0.5)
    assert time.monotonic() - began_s < 5
    assert running.ended() is not None
    assert deaf.ended() is not None
    assert never.ended() is None
    assert over.stop(1.0) == 0


def test_a_ctrl_c_at_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    one = started(child(tmp_path, READY))
    assert one.pid is not None
    assert os.getpgid(one.pid) == one.pid != os.getpgid(0)
    one.kill()


def test_commands_run_this_python() -> None:
    file = Path("x.toml")
    assert gateway_command(file)[:3] == simulator_command(file)[:3] == (sys.executable, "-m", "gateway")
