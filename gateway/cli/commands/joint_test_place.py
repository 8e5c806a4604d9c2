"""`bankgw joint-test trial`, `place` and `relay`: a place to play a joint test at, and our proxy on a line."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, joint_run, output

if TYPE_CHECKING:
    from protocols.bank import Bank

_LIMIT_S = 3_600.0
_LOOK_EVERY_S = 0.2
_STANDS_S = 7 * 86_400.0


def trial(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank with a simulated front end.")] = "sample",
    folder: Annotated[Path | None, typer.Option(help="Where to make everything; default: a new folder.")] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only these cases.")] = None,
) -> None:
    """Make a place with real parts (daemon, broker, simulated bank, our relay), and play all cases of a bank there."""
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.demo.processes import NotStarted
    from gateway.jointtest import runner
    from gateway.jointtest.cases import derive
    from gateway.jointtest.erp_line import LineDown
    from gateway.jointtest.trial_run import TrialParts, play
    from gateway.jointtest.verdicts import CaseVerdict
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, f"no bank {bank}; there are {', '.join(banks())}")
    world = output.environment(context)
    at = (folder or Path(tempfile.mkdtemp(prefix="bankgw-joint-"))).absolute()

    def load_bank(settings: Path, name: str) -> Bank:
        return world.load_bank(output.loaded(context, settings).settings.banks[name])

    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        reactor = world.reactor()
        trial_ = TrialParts(broker, load_bank, world.version(), world.now)
        try:
            store = visit(reactor, lambda: play(reactor, SystemClock(reactor), at, bank, trial_, tuple(case or ()),
                                                joint_run.say_verdict), _LIMIT_S)  # fmt: skip
        except (NotStarted, LineDown, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, str(error))
        except ValueError as error:
            output.leave(exit_codes.USAGE, str(error))
        run_folder = at / "run"
        cases = derive(load_bank(at / "bankgw.toml", bank))
        made = joint_run.packed(context, store, joint_run.plan_of(run_folder), cases, run_folder / "pack-key.pem")
    findings = {name: one.finding for name, one in store.run.standing().items()}
    output.say(f"everything is in {at}")
    output.say(runner.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


@contextmanager
def _broker() -> Iterator[dict[str, Any]]:
    from gateway.demo import application as demo
    from gateway.demo.broker import NoBroker, own_broker
    from gateway.demo.erp import BrokerTrouble

    named = os.environ.get("BANKGW_BROKER_JSON")
    file = Path(named or Path(".run") / "broker.json")
    try:
        if named or file.exists():
            yield demo.read_broker(file)
        else:
            with own_broker() as own:
                yield demo.read_broker(own)
    except (BrokerTrouble, NoBroker) as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))


def place(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank with a simulated front end.")],
    folder: Annotated[Path, typer.Option(help="Where to make everything; must be new or empty.")],
    own_front_end: Annotated[
        bool, typer.Option("--own-front-end", help="Leave the bank's ports and keys to a front end of your own.")
    ] = False,
) -> None:
    """Make the place of a trial and leave it running until Ctrl-C, to try `run`, `resume` and the others at.

    The run's folder is DIR/run, the gateway's settings are DIR/bankgw.toml.
    """
    from twisted.internet.defer import Deferred

    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.demo.processes import NotStarted
    from gateway.jointtest import place as places

    made = places.prepare(folder.absolute(), bank)
    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        stack.callback(places.stop, made)
        reactor = output.environment(context).reactor()
        over: Deferred[None] = Deferred()

        async def stand() -> None:
            await places.start(made, broker, SystemClock(reactor), reactor)
            if own_front_end:
                keys = made.site.folder / "pki"
                for name, port in places.hand_over(made).items():
                    print(f"your front end: port {name} is 127.0.0.1:{port}, its keys are in {keys}")
            print(f"ready: bankgw joint-test run {made.folder} -c {made.site.settings}", flush=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: reactor.callFromThread(over.callback, None))
            await over

        try:
            visit(reactor, stand, _STANDS_S)
        except (NotStarted, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, str(error))


def serve(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The simulated bank's settings, with exchange_log set.")],
) -> None:
    """Be the bank for a foreign client: say of each request whether the bank's rules take it, until Ctrl-C.

    The exit code is 1 when the visit shows something that a bank would not like.
    """
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError
    from twisted.internet.task import LoopingCall

    from gateway.jointtest.client_check import ClientCheck
    from gateway.simbank import service
    from gateway.simbank.config import BadConfig, SimConfig

    try:
        config = SimConfig.read(file)
        if config.exchange_log is None:
            output.leave(exit_codes.CONFIG, f"{file}: exchange_log is not set: there would be nothing to look at")
        log = config.exchange_log
        check = ClientCheck(log, log.stat().st_size if log.exists() else 0)
        reactor = output.environment(context).reactor()
        running = service.serve(reactor, config)
    except (BadConfig, CannotListenError, ValueError) as error:
        output.leave(exit_codes.CONFIG, str(error))
    print(f"serving {config.bank} at {dict(running.bank.ports)}", flush=True)
    looking = LoopingCall(lambda: [print(line, flush=True) for line in check.news()])
    looking.clock = reactor
    looking.start(_LOOK_EVERY_S)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.run(installSignalHandlers=False)
    for line in (*check.news(), *check.findings(), check.last_line()):
        output.say(line)
    if check.findings():
        raise typer.Exit(exit_codes.FAILED)


def relay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: control, ready, ports {name: {to, listen}}.")],
) -> None:
    """Stand between the gateway and a front end, and cut the line when a case wants it; loopback only.

    FILE is JSON: `control` the socket for commands, `ports` for each door of the bank `to` (host:port or a port of this
    machine) and `listen` (0: any free port), `ready` a file that tells the ports once they are open.
    """
    from gateway.jointtest import relay as relaying

    try:
        told = json.loads(file.read_text("utf-8"))
        doors = {name: _door(one) for name, one in told["ports"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be used: {error!r}; see `bankgw joint-test relay --help`")
    reactor = output.environment(context).reactor()
    line = relaying.LineRelay(reactor)
    ports = {name: line.stand(host, port, listen) for name, (host, port, listen) in doors.items()}
    relaying.control(reactor, Path(told["control"]), line)
    if told.get("ready"):
        fresh = Path(f"{told['ready']}.new")
        fresh.write_text(json.dumps({"ports": ports, "pid": os.getpid()}), "utf-8")
        fresh.replace(told["ready"])
    output.say(f"relay: {ports}")
    reactor.run()


def _door(told: Any) -> tuple[str, int, int]:
    to = str(told["to"])
    host, _, port = to.rpartition(":")
    return host or "127.0.0.1", int(port), int(told.get("listen", 0))
