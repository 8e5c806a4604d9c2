"""A view that is shown again and again: redrawn in place on a terminal, one after the other in a pipe or a file."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from types import FrameType
from typing import NoReturn

from gateway.cli import terminal
from gateway.language import Bilingual

_ALTERNATE, _MAIN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_TERMINATED = 128 + signal.SIGTERM
INTERVAL: Bilingual = ("every {every:g} s   {now}   Ctrl-C ends", "每 {every:g} 秒   {now}   按 Ctrl-C 结束")


def repeated(
    every_s: float | None,
    look: Callable[[], object],
    head: Callable[[Bilingual], str],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call `look`, which prints, once, or with `--watch` every so many seconds until Ctrl-C ends the command with exit
    code 0. `head` gives the first line of a redrawn view in the language of the environment.

    If the daemon goes away meanwhile, the command ends as it would after a single call.
    """
    if every_s is None:
        look()
        return
    with ended_by_interrupt():
        if not terminal.is_terminal():
            while True:
                look()
                sys.stdout.flush()
                sleep(every_s)
        with redrawn() as draw:
            while True:
                text = printed(look)
                draw(f"{head(INTERVAL).format(every=every_s, now=clock_text())}\n\n{text}")
                sleep(every_s)


def clock_text() -> str:
    """The time of this machine, as the head of a view shows it."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}"


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C is the usual end of the block, and no error."""
    try:
        yield
    except KeyboardInterrupt:
        pass


def printed(look: Callable[[], object]) -> str:
    """The text that `look` prints, made for the terminal although it does not go there yet."""
    text = io.StringIO()
    with terminal.drawn_later(), redirect_stdout(text):
        look()
    return text.getvalue()


@contextmanager
def redrawn() -> Iterator[Callable[[str], None]]:
    """Draws views over each other, without a blank screen in between. The last one stays when it ends.

    Meanwhile the terminal shows its second screen, so that its earlier content comes back.
    """
    last = ""

    def draw(text: str) -> None:
        nonlocal last
        last = text
        size = terminal.size()
        lines = text.rstrip("\n").split("\n")
        if len(lines) > size.lines:
            lines = [*lines[: size.lines - 1], f"… {len(lines) - size.lines + 1}"]
        # One write: a terminal that shows a half of it would flicker.
        body = f"{_END_OF_LINE}\r\n".join(lines)
        sys.stdout.write(f"{_HOME}{body}{_END_OF_LINE}{_END_OF_SCREEN}")
        sys.stdout.flush()

    before = signal.signal(signal.SIGTERM, _terminate)
    sys.stdout.write(_ALTERNATE)
    try:
        yield draw
    finally:
        sys.stdout.write(_MAIN)
        if last:
            print(last.rstrip("\n"))
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Single keys from the terminal: gives the function that waits so many seconds for one, "" for none.

    Without a terminal at standard input it only waits.
    """
    if not sys.stdin.isatty():
        yield _wait
        return
    import termios
    import tty

    there = sys.stdin.fileno()
    before = termios.tcgetattr(there)
    tty.setcbreak(there)
    try:
        yield lambda wait_s: os.read(there, 1).decode("ascii", "replace") if _has_key(there, wait_s) else ""
    finally:
        termios.tcsetattr(there, termios.TCSADRAIN, before)


def _wait(wait_s: float) -> str:
    time.sleep(wait_s)
    return ""


def _has_key(there: int, wait_s: float) -> bool:
    ready, _, _ = select.select([there], [], [], wait_s)
    return bool(ready)
