"""`python -m faults`: exit code 0 only if no payment was duplicated, lost or contradicted."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.python.failure import Failure

from faults.campaign import Campaign, Wishes
from faults.site import ENDING, Journal
from gateway.clock import SystemClock
from gateway.desk import demo_site
from gateway.desk.demo_erp import BrokerTrouble
from gateway.desk.processes import NotStarted

CHECKOUT = Path(__file__).resolve().parents[1]
HELD, BROKEN, UNAVAILABLE, INTERRUPTED = 0, 1, 69, 130


def main(arguments: list[str]) -> int:
    """Run a campaign; the exit code."""
    from twisted.internet import reactor

    asked = _arguments(arguments)
    try:
        broker, journal = _broker(asked.vhost), _journal(asked.db)
    except BrokerTrouble as problem:
        print(f"faults: {problem}", file=sys.stderr)
        return UNAVAILABLE
    folder = Path(asked.folder) if asked.folder else Path(tempfile.mkdtemp(prefix="bankgw-faults-"))
    wishes = Wishes(
        seed=asked.seed, minutes=asked.minutes, kills=asked.kills or max(20, round(asked.minutes * 20)),
        per_second=asked.per_second, banks=demo_site.BANKS, nodes=asked.nodes, journal=journal,
        folder=folder, report=Path(asked.report), daemon=asked.daemon, dedup=not asked.forgetful_banks,
    )  # fmt: skip
    journal.make()
    try:
        code = _run(reactor, wishes, broker)
    finally:
        journal.drop()
    if code == HELD and not asked.folder:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _run(reactor: Any, wishes: Wishes, broker: dict[str, Any]) -> int:
    codes: list[int] = []
    campaign = Campaign(reactor, SystemClock(reactor), wishes, broker)

    def begin() -> None:
        playing = Deferred.fromCoroutine(campaign.play())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: reactor.callFromThread(playing.cancel))
        playing.addCallbacks(lambda held: HELD if held else BROKEN, _explain)
        playing.addCallback(codes.append)
        playing.addBoth(lambda _: reactor.stop())

    try:
        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
    finally:
        campaign.end_children()
    return codes[0] if codes else INTERRUPTED


def _explain(failure: Failure) -> int:
    error: object = failure.value
    while isinstance(error, FirstError):
        failure = error.subFailure
        error = failure.value
    if isinstance(error, CancelledError):
        print("faults: interrupted; everything it started is being stopped", flush=True)
        return INTERRUPTED
    if isinstance(error, (BrokerTrouble, NotStarted, demo_site.SimulatorSilent)):
        print(f"faults: {error}", flush=True)
        return UNAVAILABLE if isinstance(error, BrokerTrouble) else BROKEN
    print(failure.getTraceback(), flush=True)
    return BROKEN


def _broker(vhost: str | None) -> dict[str, Any]:
    file = Path(os.environ.get("BANKGW_BROKER_JSON") or CHECKOUT / ".run" / "broker.json")
    if not file.exists():
        raise BrokerTrouble(f"there is no {file}; run `make broker` first")
    broker: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return {**broker, "vhost": vhost or broker["vhost"]}


def _journal(kind: str) -> Journal:
    if kind == "sqlite":
        return Journal()
    file = Path(os.environ.get("BANKGW_DATABASES_JSON") or CHECKOUT / ".run" / "databases.json")
    url = json.loads(file.read_text("utf-8")).get(kind) if file.exists() else None
    if not url:
        raise BrokerTrouble(f"there is no {kind} in {file}; run `make databases` first")
    ours = make_url(url)
    name = f"{ours.database}{ENDING}{os.getpid()}"
    return Journal(ours.set(database=name).render_as_string(hide_password=False))


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description="The fault campaign.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long everything goes wrong")
    parser.add_argument("--kills", type=int, default=0, help="lives of the daemon to end at least (20 a minute)")
    parser.add_argument("--per-second", type=float, default=15.0, help="orders a second")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 2), help="daemons; two need a database server")
    parser.add_argument("--db", default="sqlite", choices=("sqlite", "postgresql", "mariadb"))
    parser.add_argument("--vhost", help="virtual host of the broker; the one of this checkout unless given")
    parser.add_argument("--report", default="faults-report.html")
    parser.add_argument("--folder", help="where everything is kept; a temporary one unless given")
    parser.add_argument("--daemon", default="gateway", help="module run as the daemon, for tests of the campaign")
    parser.add_argument("--forgetful-banks", action="store_true", help="banks that book what they are sent, even twice")
    asked = parser.parse_args(arguments)
    if asked.nodes == 2 and asked.db == "sqlite":
        parser.error("two daemons need --db postgresql or mariadb")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
