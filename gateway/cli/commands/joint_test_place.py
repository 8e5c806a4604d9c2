"""`bankgw joint-test trial`, `place` and `relay`: a site for a joint test, and our relay on a connection."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, joint_run, output

if TYPE_CHECKING:
    from protocols.bank import Bank

_NOT_STARTED = "试用环境不能启动，或线路中断："
_LIMIT_S = 86_400.0
_STANDS_S = 7 * 86_400.0


def trial(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank with a simulated front end.")] = "sample",
    folder: Annotated[Path | None, typer.Option(help="Where to make everything; default: a new folder.")] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only these cases.")] = None,
    own: Annotated[Path | None, typer.Option("--dir", help="A folder with cases of one's own, *.toml.")] = None,
) -> None:
    """Make a place with real parts (daemon, broker, simulated bank, our relay), and play all cases of a bank there."""
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.demo.processes import NotStarted
    from gateway.jointtest.cases import derive
    from gateway.jointtest.erp_line import LineDown
    from gateway.jointtest.trial_run import TrialParts, play
    from gateway.jointtest.verdicts import CaseVerdict
    from gateway.kernel.clock import SystemClock
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, joint_run.no_bank(bank, banks()))
    world = output.environment(context)
    if own is not None:
        _checked(own, bank)
    at = (folder or Path(tempfile.mkdtemp(prefix="bankgw-joint-"))).absolute()

    def load_bank(settings: Path, name: str) -> Bank:
        return world.load_bank(output.loaded(context, settings).settings.banks[name])

    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        reactor = world.reactor()
        trial_ = TrialParts(broker, load_bank, world.version(), world.now, own)
        try:
            store = visit(
                reactor,
                lambda: play(reactor, SystemClock(reactor), at, bank, trial_, tuple(case or ()), joint_run.say_verdict),
                _LIMIT_S,
            )
        except (NotStarted, LineDown, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, output.explained(error, _NOT_STARTED))
        except ValueError as error:
            output.leave(exit_codes.USAGE, output.explained(error, "参数不能采用："))
        run_folder = at / "run"
        built = load_bank(at / "bankgw.toml", bank)
        catalogue = derive(built)
        cases = (*catalogue, *joint_run.own_cases_in(own, built, catalogue)) if own is not None else catalogue
        made = joint_run.packed(context, store, joint_run.plan_of(run_folder), cases, run_folder / "pack-key.pem")
    findings = {name: one.finding for name, one in store.run.standing().items()}
    output.say((f"everything is in {at}", f"全部内容在 {at}"))
    output.say(joint_run.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


def _checked(own: Path, bank: str) -> None:
    """Find the mistakes of case files before anything is started."""
    from gateway import capabilities
    from gateway.jointtest.cases import derive

    built = capabilities.tried(bank)
    joint_run.own_cases_in(own, built, derive(built))


@contextmanager
def _broker() -> Iterator[dict[str, Any]]:
    from gateway.demo import application as demo
    from gateway.demo.broker import NoBroker, own_broker
    from gateway.demo.erp import BrokerTrouble
    from gateway.demo.own_vhost import own_vhost

    named = os.environ.get("BANKGW_BROKER_JSON")
    file = Path(named or Path(".run") / "broker.json")
    try:
        if named or file.exists():
            with own_vhost(demo.read_broker(file), "joint") as broker:
                yield broker
        else:
            with own_broker() as own, own_vhost(demo.read_broker(own), "joint") as broker:
                yield broker
    except (BrokerTrouble, NoBroker) as error:
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "消息服务器不能使用："))


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
    from gateway.demo.processes import NotStarted
    from gateway.jointtest import place as places
    from gateway.kernel import signals
    from gateway.kernel.clock import SystemClock

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
                    output.say(
                        (
                            f"your front end: port {name} is 127.0.0.1:{port}, its keys are in {keys}",
                            f"您的前置机：端口 {name} 为 127.0.0.1:{port}，密钥在 {keys}",
                        )
                    )
            command = f"bankgw joint-test run {made.folder} -c {made.site.settings}"
            output.say((f"ready: {command}", f"就绪：{command}"))
            sys.stdout.flush()
            signals.listen(reactor, (signal.SIGINT, signal.SIGTERM), lambda _: over.callback(None))
            await over

        try:
            visit(reactor, stand, _STANDS_S)
        except (NotStarted, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, output.explained(error, _NOT_STARTED))


def relay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: control, ready, ports {name: {to, listen}}.")],
) -> None:
    """Relay connections between the gateway and a front end, and cut them when a case needs it; loopback only.

    FILE is JSON: `control` is the socket for commands, `ports` has for each port of the bank `to` (host:port or a port
    of this machine) and `listen` (0: any free port), `ready` is a file that gets the port numbers once the ports are
    open.
    """
    from gateway.jointtest import relay as relaying

    try:
        told = json.loads(file.read_text("utf-8"))
        doors = {name: _door(one) for name, one in told["ports"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        output.leave(
            exit_codes.USAGE,
            (
                f"{file} cannot be used: {error!r}; see `bankgw joint-test relay --help`",
                f"{file} 不能采用：{error!r}；见 `bankgw joint-test relay --help`",
            ),
        )
    reactor = output.environment(context).reactor()
    line = relaying.LineRelay(reactor)
    ports = {name: line.stand(host, port, listen, name) for name, (host, port, listen) in doors.items()}
    relaying.control(reactor, Path(told["control"]), line)
    if told.get("ready"):
        fresh = Path(f"{told['ready']}.new")
        fresh.write_text(json.dumps({"ports": ports, "pid": os.getpid()}), "utf-8")
        fresh.replace(told["ready"])
    output.say((f"relay: {ports}", f"线路代理：{ports}"))
    reactor.run()


def _door(told: Any) -> tuple[str, int, int]:
    to = str(told["to"])
    host, _, port = to.rpartition(":")
    return host or "127.0.0.1", int(port), int(told.get("listen", 0))
