"""`bankgw simulate`, `banks`, `topology export`, `demo`: what surrounds the daemon."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway import capabilities, log
from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson
from gateway.settings.tables import SLUG
from protocols.bank import BadOptions

Level = Literal["debug", "info", "warning", "error"]
# RabbitMQ takes nearly anything; blanks are mistakes of the shell.
_BROKER_NAME = re.compile(r"[^\s\x00-\x1f]+")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("simulate")(simulate)
    app.command("banks")(banks)
    app.command("demo")(demo)
    group = typer.Typer(help="What the gateway needs on the broker.", no_args_is_help=True)
    group.command("export")(export)
    # A second command would be the first's sibling; without one, typer would drop the verb.
    group.callback()(_topology)
    app.add_typer(group, name="topology")


def simulate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The simulated bank's settings, TOML or JSON.")],
    log_level: Annotated[Level, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run one simulated bank in the foreground: its own side of the protocol, with a ledger and seeded faults."""
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from gateway.simbank.config import BadConfig, SimConfig
    from gateway.simbank.service import serve

    reactor = output.environment(context).reactor()
    try:
        config = SimConfig.read(file)
        log.start(log_level)
        running = serve(reactor, config)
    except (BadConfig, CannotListenError) as error:
        code = exit_codes.CONFIG if isinstance(error, BadConfig) else exit_codes.UNAVAILABLE
        output.leave(code, str(error))
    except ValueError as error:
        output.leave(exit_codes.CONFIG, f"{file}: {error}")
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_stop, reactor))
    reactor.run(installSignalHandlers=False)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def banks(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings whose banks are shown in detail, as they are built.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the banks this program speaks to; with --config, what the configured ones can do, and on what authority."""
    if config is None:
        output.show(capabilities.everything(), as_json=as_json, words=_every_bank_words)
        return
    found, load = output.loaded(context, config), output.environment(context).load_bank
    rows = []
    for name, table in found.settings.banks.items():
        try:
            rows.append(capabilities.capabilities(name, load(table)))
        except (BadOptions, ModuleNotFoundError, OSError, ValueError) as error:
            output.leave(exit_codes.CONFIG, f"banks.{name}: {error}; `bankgw check` says more")
    output.show(rows, as_json=as_json, words=_bank_words)


def _every_bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['protocol']}: {row['heading']}")
        output.say(f"  {row['about']}")
        _deeds(row)


def _bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['bank']}: {row['title']} {row['title_zh']}")
        _deeds(row)


def _deeds(row: Any) -> None:
    together = ", ".join(f"{kind} by {most}" for kind, most in row["bundles"].items())
    output.say(f"  orders: {', '.join(row['orders'])}{f' (together: {together})' if together else ''}")
    output.say(f"  questions: {', '.join(row['questions'])}")
    for claim in row["reconstructed"]:
        output.say(f"  reconstructed from public material: {claim}")


def _topology() -> None:
    """What the gateway needs on the broker."""


def export(
    vhost: Annotated[str, typer.Option(help="The virtual host to define.")] = "bankgw",
    user: Annotated[str, typer.Option(help="The gateway's broker user.")] = "bankgw",
    sender: Annotated[
        list[str] | None, typer.Option(metavar="NAME=USER[,USER]", help="A sender and its broker users; repeatable.")
    ] = None,
) -> None:
    """Print exchanges, queues, rights and policies as RabbitMQ definitions, for `rabbitmqctl import_definitions`."""
    from gateway.erp.definitions import SenderAccess, definitions
    from gateway.erp.topology import standard

    access = []
    for option, value in (("--vhost", vhost), ("--user", user)):
        if not _BROKER_NAME.fullmatch(value):
            output.leave(exit_codes.USAGE, f"{option} {value!r}: write a name without blanks")
    for one in sender or ["demo=erp-demo"]:
        name, _equals, users = one.partition("=")
        if not re.fullmatch(SLUG, name) or not all(map(_BROKER_NAME.fullmatch, users.split(","))):
            output.leave(exit_codes.USAGE, f"--sender {one}: write NAME=USER, or NAME=USER,USER; NAME is the sender's "
                                           f"in "
                           "the settings (a-z, 0-9 and _), users have no blanks")  # fmt: skip
        access.append(SenderAccess(name, tuple(users.split(","))))
    output.dump(definitions(standard(), vhost=vhost, gateway_user=user, senders=access))


def demo(
    seed: Annotated[
        int, typer.Option(help="Chooses the orders; what the banks' faults strike depends on the time too.")
    ] = 7,
    orders: Annotated[
        int | None, typer.Option(min=1, help="How many orders to publish; default: 1000, fewer for slow banks only.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, help="How often the daemon is killed with SIGKILL.")] = 3,
    folder: Annotated[Path | None, typer.Option(help="Keep the site there; default: a folder of its own.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report; default: demo-report.html.")] = None,
    lang: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="The report's language; default: as LANG says, else English.")
    ] = None,
    banks: Annotated[str, typer.Option(help="Simulated banks, with commas between; `all` for each.")] = "sample,pab",
) -> None:
    """Run the whole on this machine: simulated banks that misbehave, the daemon, an ERP, three kills, a report."""
    from gateway.demo import application as demonstration

    raise typer.Exit(demonstration.main(seed, orders, folder, report, banks, kills, lang=lang))
