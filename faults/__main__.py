"""`python -m faults`: exit code 0 only if no payment was duplicated, lost or contradicted."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.python.failure import Failure

from faults import links
from faults.campaign import ZOMBIE_S, Campaign
from faults.campaign_options import CampaignOptions
from faults.servers import Postgresql, Rabbit
from faults.site import ENDING, HOOKED_DAEMON, Journal
from faults.versions import NoVersion
from gateway.demo import stage
from gateway.demo.erp import BrokerTrouble
from gateway.demo.own_vhost import own_vhost
from gateway.demo.processes import NotStarted
from gateway.kernel import signals
from gateway.kernel.clock import SystemClock
from setup.machine import ServiceMissing

KILL_S = 4.0
"""The time of one life between incidents, with its start and end. Incidents need time too."""
CHECKOUT = Path(__file__).resolve().parents[1]
HELD, BROKEN, UNAVAILABLE, INTERRUPTED = 0, 1, 69, 130


def main(arguments: list[str]) -> int:
    """Run a campaign; returns the exit code."""
    from twisted.internet import reactor

    asked = _arguments(arguments)
    folder = Path(asked.folder) if asked.folder else Path(tempfile.mkdtemp(prefix="bankgw-faults-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        try:
            rabbit = own_rabbit(stack, folder) if asked.broker == "own" else None
            broker = _broker(stack, asked.vhost) if rabbit is None else rabbit.facts
            journal = journal_of(stack, asked.db, own=asked.broker == "own")
        except (BrokerTrouble, ServiceMissing) as problem:
            print(f"faults: {problem}", file=sys.stderr)
            return UNAVAILABLE
        code = _run(reactor, _options(asked, arguments, journal, rabbit, folder), broker)
    if code == HELD and not asked.folder:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _options(
    asked: argparse.Namespace, arguments: list[str], journal: Journal, rabbit: Rabbit | None, folder: Path
) -> CampaignOptions:
    kills_s, zombies_s = asked.kills * KILL_S, asked.zombies * ZOMBIE_S
    minutes = max(asked.minutes, kills_s / 60, zombies_s / 60)
    # While a zombie is played, no daemon is killed, because its round needs every daemon.
    kills = asked.kills or max(20, round((minutes - zombies_s / 60) * 10))
    per_second = asked.payments / (minutes * 60) if asked.payments else asked.per_second
    daemon, dedup = asked.daemon, asked.dedup
    if asked.planted:
        from tests.world.planted import PLANTED

        daemon, dedup = PLANTED[asked.planted], False
    root = os.geteuid() == 0
    return CampaignOptions(
        seed=asked.seed,
        minutes=minutes,
        kills=kills,
        per_second=per_second,
        banks=tuple(asked.banks.split(",")),
        nodes=asked.nodes,
        journal=journal,
        folder=folder,
        report=Path(asked.report),
        daemon=daemon,
        dedup=dedup,
        payments=asked.payments,
        zombies=asked.zombies,
        crash_loop=asked.crash_loop,
        rabbit=rabbit,
        networks=asked.networks and links.to_be_had(),
        small_disk=root,
        beside=asked.beside,
        again=" ".join(("python -m faults", *arguments)),
    )


def own_rabbit(stack: ExitStack, folder: Path) -> Rabbit:
    """Start a RabbitMQ for this campaign, which runs until the stack ends. Raises ServiceMissing."""
    rabbit = Rabbit(folder / "rabbit")
    stack.callback(rabbit.close)
    rabbit.open()
    return rabbit


def _run(reactor: Any, options: CampaignOptions, broker: dict[str, Any]) -> int:
    codes: list[int] = []
    campaign = Campaign(reactor, SystemClock(reactor), options, broker)

    def begin() -> None:
        playing = Deferred.fromCoroutine(campaign.play())
        signals.listen(reactor, (signal.SIGINT, signal.SIGTERM), lambda _: playing.cancel())
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
    if isinstance(error, (BrokerTrouble, NotStarted, NoVersion, stage.SimulatorSilent)):
        print(f"faults: {error}", flush=True)
        return UNAVAILABLE if isinstance(error, BrokerTrouble) else BROKEN
    print(failure.getTraceback(), flush=True)
    return BROKEN


def _broker(stack: ExitStack, vhost: str | None) -> dict[str, Any]:
    file = Path(os.environ.get("BANKGW_BROKER_JSON") or CHECKOUT / ".run" / "broker.json")
    if not file.exists():
        raise BrokerTrouble(f"there is no {file}; run `make broker` first")
    broker: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return {**broker, "vhost": vhost} if vhost else stack.enter_context(own_vhost(broker, "faults"))


def journal_of(stack: ExitStack, kind: str, *, own: bool) -> Journal:
    """Make a journal of that kind, which exists until the stack ends. Raises BrokerTrouble, NotToBeHad."""
    if kind == "sqlite":
        return Journal()
    if kind == "postgresql" and own:
        server = Postgresql()
        stack.callback(server.close)
        server.open()
        journal = Journal(_named(server.url), server)
    else:
        file = Path(os.environ.get("BANKGW_DATABASES_JSON") or CHECKOUT / ".run" / "databases.json")
        url = json.loads(file.read_text("utf-8")).get(kind) if file.exists() else None
        if not url:
            raise BrokerTrouble(f"there is no {kind} in {file}; run `make databases` first")
        journal = Journal(_named(url))
    journal.make()
    stack.callback(journal.drop)
    return journal


def _named(url: str) -> str:
    ours = make_url(url)
    return ours.set(database=f"{ours.database}{ENDING}{os.getpid()}").render_as_string(hide_password=False)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description="The fault campaign.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long everything goes wrong")
    parser.add_argument("--kills", type=int, default=0, help="lives of the daemon to end at least (10 a minute)")
    parser.add_argument("--payments", type=int, default=0, help="orders in all, instead of so many a second")
    parser.add_argument("--zombies", type=int, default=0, help="rounds of SIGSTOP, take-over, SIGCONT")
    parser.add_argument("--crash-loop", type=int, default=5, help="deaths in one crash loop")
    parser.add_argument("--per-second", type=float, default=15.0, help="orders a second")
    parser.add_argument("--nodes", type=int, default=0, choices=(1, 2), help="daemons; 2 on a database server")
    parser.add_argument("--db", default="sqlite", choices=("sqlite", "postgresql", "mariadb"))
    parser.add_argument(
        "--broker",
        default="own",
        choices=("own", "shared"),
        help="a RabbitMQ (and PostgreSQL) of its own, to be killed, or this checkout's",
    )
    parser.add_argument(
        "--networks",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a network of its own for each daemon, where this user may make one",
    )
    parser.add_argument("--banks", default="sample,pab", help="simulated banks, with commas between")
    parser.add_argument("--vhost", help="virtual host of the broker; one of its own unless given")
    parser.add_argument("--report", default="faults-report.html")
    parser.add_argument("--folder", help="where everything is kept; a temporary one unless given")
    parser.add_argument("--daemon", default=HOOKED_DAEMON, help="module run as the daemon")
    parser.add_argument("--beside", default="", help="an earlier commit to run beside this version; else a next one")
    parser.add_argument(
        "--dedup",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-dedup: banks book whatever they are sent, and nothing is sent again",
    )
    parser.add_argument("--planted", help="a daemon with this defect, and banks that book what they are sent")
    asked = parser.parse_args(arguments)
    asked.nodes = asked.nodes or (1 if asked.db == "sqlite" else 2)
    if asked.nodes == 2 and asked.db == "sqlite":
        parser.error("two daemons need --db postgresql or mariadb")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
