"""A planted defect: a connection that writes everything a second time, over a connection of its own.

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

from gateway import app
from gateway.bank.bank_session import Dialer
from gateway.bank.connection import BankConnection
from gateway.cli import run
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.parts import Parts
from gateway.settings import Settings, load
from gateway.system_parts import system_parts
from protocols.bank import Port
from protocols.kit import dsig

PLANTED = {"double-send": "tests.world.planted", "pool-moves-twice": "tests.world.planted_pools"}
"""Defects by name, each with the module of a daemon that has it, for `python -m faults --daemon MODULE` with banks that
book whatever they get."""


class DoublingDialer:
    """A dialer whose connections write everything twice."""

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


def doubled(parts: Parts) -> Parts:
    """The parts of a gateway with the defect that everything is sent twice."""
    return replace(parts, dialers={name: DoublingDialer(inner, parts.clock) for name, inner in parts.dialers.items()})


def serve(settings: Path, plant: Callable[[Parts], Parts]) -> int:
    """Run a daemon as `bankgw run` does, with the parts that `plant` changes."""
    from twisted.internet import reactor

    dsig.start()
    log.start()

    def start(given: Any, found: Settings, fatal: Callable[[str], None]) -> app.Gateway:
        return app.build(found, plant(system_parts(given, found, fatal)), fatal)

    return run.serve(reactor, load(settings), start)


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]), doubled))
