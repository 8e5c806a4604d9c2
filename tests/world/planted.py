"""A defect planted on purpose: a line that writes whatever it is given a second time, over a connection of its own.

With a bank that books what it is sent, every payment is made twice, and everything that claims to see doubles must
see these. `python -m tests.world.planted SETTINGS` is a daemon with the defect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway import app, log
from gateway.bank.connection import BankConnection
from gateway.bank.session_pool import Dialer
from gateway.cli import run
from gateway.clock import Clock
from gateway.settings import Settings, load
from protocols.bank import Port
from protocols.kit import dsig

PLANTED = {"double-send": "tests.world.planted", "pool-moves-twice": "tests.world.planted_pools"}
"""Defects by name, and the module that is a daemon with it: for `python -m faults --daemon MODULE`, with banks that
book what they are sent."""


class Doubling:
    """A dialer whose lines write everything twice."""

    def __init__(self, inner: Dialer, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect."""
        return self._inner.dial(port, lambda: self._doubled(build(), port))

    def _doubled(self, line: BankConnection, port: Port) -> BankConnection:
        exchange = line.exchange

        def twice(data: bytes) -> Deferred[bytes]:
            again = self._inner.dial(port, lambda: BankConnection(port, self._clock, lambda _line: None, lambda: True))
            again.addCallback(lambda other: other.exchange(data).addBoth(lambda _said: other.hang_up()))
            again.addErrback(lambda _failure: None)
            return exchange(data)

        line.exchange = twice  # type: ignore[method-assign]
        return line


def doubled(parts: app.Parts) -> app.Parts:
    """The parts of a gateway with the defect."""
    return replace(parts, dialers={name: Doubling(inner, parts.clock) for name, inner in parts.dialers.items()})


def serve(settings: Path, plant: Callable[[app.Parts], app.Parts]) -> int:
    """A daemon as `bankgw run` starts it, with other parts."""
    from twisted.internet import reactor

    dsig.start()
    log.start()

    def start(given: Any, found: Settings, fatal: Callable[[str], None]) -> app.Gateway:
        return app.build(found, plant(app.system_parts(given, found, fatal)), fatal)

    return run.serve(reactor, load(settings), start)


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]), doubled))
