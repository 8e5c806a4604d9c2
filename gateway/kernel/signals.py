"""Signals of the operating system that the reactor must notice at once.

Python runs a signal's handler between two of its own instructions. The reactor waits in one system call. A signal that
comes just before that call, or that the kernel gives to another thread, would be handled at the reactor's next timer
only, which in a quiet process may be minutes away. So each signal also writes a byte that ends the wait.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any


def listen(reactor: Any, numbers: Iterable[signal.Signals], act: Callable[[int], object]) -> None:
    """Call `act` with the signal's number in the reactor, at each of these signals from now on. Call it in the main
    thread."""
    _wake(reactor)
    for number in numbers:
        signal.signal(number, lambda came, _frame: reactor.callFromThread(act, came))


def _wake(reactor: Any) -> None:
    present = signal.set_wakeup_fd(-1)
    if present != -1:
        signal.set_wakeup_fd(present, warn_on_full_buffer=False)
        return
    reader = _Wakeup()
    reactor.addReader(reader)
    signal.set_wakeup_fd(reader.written.fileno(), warn_on_full_buffer=False)


class _Wakeup:
    """The reactor's end of the bytes that signals write."""

    def __init__(self) -> None:
        self.written, self._read = socket.socketpair()
        self.written.setblocking(False)
        self._read.setblocking(False)

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self._read.fileno()

    def doRead(self) -> None:
        """Take the bytes away; the handlers have run when Python came back from the wait."""
        try:
            self._read.recv(4096)
        except BlockingIOError:
            return

    def connectionLost(self, _reason: object) -> None:
        """Signals write nothing more, because the reactor has ended."""
        signal.set_wakeup_fd(-1)
        self.written.close()
        self._read.close()

    def logPrefix(self) -> str:
        """The name in Twisted's own log lines."""
        return "signals"
