"""Runs the program that prints a secret: without a shell, in bounded time, with an output that is never shown."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

TIMEOUT_S = 5.0
OUTPUT_MAX = 65_536


def run_secret_command(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> bytes:
    """The text that the program prints. Raises OSError, whose text has the program's path, without its arguments and
    its output.

    The program gets no input and this process's environment, in which clients of a vault find its address. Its standard
    error is dropped, because such programs may write secrets there too. A program that is late is killed together with
    the processes that it started.
    """
    import subprocess  # imported only here, because most settings have no such secret

    program = command[0]
    try:
        running = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise OSError(error.errno, f"{program} cannot be run: {error.strerror}") from None
    assert running.stdout is not None
    until_s = time.monotonic() + timeout_s
    with running.stdout as out:
        try:
            printed = _read(out, until_s)
            code = running.wait(max(until_s - time.monotonic(), 0.0))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise OSError(errno.ETIMEDOUT, f"{program} did not end within {timeout_s:g} s") from None
        finally:
            if running.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()
    if code != 0:
        raise OSError(errno.EIO, f"{program} ended with code {code}")
    if not printed:
        raise OSError(errno.EIO, f"{program} printed nothing")
    return printed


def _read(out: IO[bytes], until_s: float) -> bytes:
    """All that is printed. Raises TimeoutError, and OSError if it is too much for a secret."""
    printed = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while True:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                raise TimeoutError
            piece = os.read(out.fileno(), OUTPUT_MAX)
            if not piece:
                return bytes(printed)
            printed += piece
            if len(printed) > OUTPUT_MAX:
                raise OSError(errno.EFBIG, f"the program printed more than the {OUTPUT_MAX} bytes of a secret")
