"""One child of the benchmark: `python -m bench.part daemon SETTINGS` or `python -m bench.part simulator CONFIG`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from gateway import app, log
from gateway.desk import daemon
from gateway.settings import Settings, load
from gateway.simbank.config import SimConfig
from gateway.simbank.service import serve
from protocols.kit import dsig


def run_daemon(path: Path) -> int:
    """The gateway as `bankgw run` starts it."""
    from twisted.internet import reactor

    log.start()
    dsig.start()

    def start(given: Any, settings: Settings, fatal: Any) -> Any:
        return app.build(settings, app.system_parts(given, settings, fatal), fatal)

    return daemon.serve(reactor, load(path), start)


def run_simulator(path: Path) -> int:
    """A simulated bank."""
    from twisted.internet import reactor

    log.start()
    serve(reactor, SimConfig.read(path))  # type: ignore[arg-type]
    reactor.run()  # type: ignore[attr-defined]
    return 0


if __name__ == "__main__":
    sys.exit({"daemon": run_daemon, "simulator": run_simulator}[sys.argv[1]](Path(sys.argv[2])))
