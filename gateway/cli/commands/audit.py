"""`bankgw audit`: hold the journal against its audit chains, and keep the checkpoints of others as a witness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli import exit_codes, output
from gateway.cli.check import PERMIT_LOG
from gateway.cli.commands.backup import Password, VaultKey, settings_of, url_of, vault_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config
from gateway.journal.checkpoints import checkpoints, verify
from gateway.journal.checkpoints.checkpoints import BadCheckpoint
from gateway.journal.checkpoints.verify import Report
from gateway.journal.commit import permit_log
from gateway.journal.commit.permit_log import PermitLogBroken
from gateway.journal.sql import databases, vaults
from gateway.journal.sql.vault import Vault
from gateway.settings import Settings

_LONG_S = 10 * 365 * 86_400.0
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A public key, as `bankgw audit key` prints it; may be given several times."),
]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Verify the audit trail, and witness that of others.", no_args_is_help=True)
    group.command("verify")(verify_all)
    group.command("witness")(witness)
    group.command("key")(key)
    return group


def verify_all(
    context: typer.Context,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Checkpoints that a witness kept; may be given several times."),
    ] = None,
    key: Keys = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Verify every link of the audit trail, and hold payments, events, evidence, the permit log and checkpoints against
    it, while the gateway works. Exit 1 if anything contradicts."""
    settings = settings_of(context, config)
    keys, url = vault_of(settings, vault_key), url_of(settings, password)
    try:
        report = _verified(settings, keys, url, checkpoint or [], key or [])
    except (OSError, BadCheckpoint, ValueError) as error:
        output.leave(exit_codes.FAILED, f"{error}; nothing was verified")
    except SQLAlchemyError as error:
        output.leave(exit_codes.UNAVAILABLE, f"the journal cannot be read: {str(error).splitlines()[0]}")
    said = {
        "whole": not report.problems, "problems": report.problems, "remarks": report.remarks,
        "entries": report.entries, "payments": report.payments, "checkpoints": report.points,
        "chain_s": round(report.chain_s, 3), "whole_s": round(report.whole_s, 3),
    }  # fmt: skip
    output.show(said, as_json=as_json, words=lambda _said: _words(report))
    if report.problems:
        raise typer.Exit(exit_codes.FAILED)


def _words(report: Report) -> None:
    for problem in report.problems:
        output.say(problem)
    for remark in report.remarks:
        output.say(f"remark: {remark}")
    rate = report.entries / report.chain_s if report.chain_s else 0.0
    output.say(f"chain: {report.entries} entries in {report.chain_s:.1f} s ({rate:.0f} a second)")
    output.say(f"whole: {report.payments} payments and {report.points} checkpoints, {report.whole_s:.1f} s in all")
    output.say(f"{len(report.problems)} contradictions" if report.problems else "the journal is whole")


def _verified(settings: Settings, keys: Vault, url: str, files: list[Path], given: list[str]) -> Report:
    known = dict(checkpoints.read_public(words) for words in given)
    path = settings.state_dir / checkpoints.KEY_FILE
    if path.exists():
        known.setdefault(checkpoints.origin_of(settings.node), checkpoints.load_key(path).public_key())
    folder = settings.state_dir / checkpoints.FOLDER
    notes = [note for file in [*([folder] if folder.is_dir() else []), *files] for note in checkpoints.kept(file)]
    points, wrong = verify.believed(notes, known)
    lines = verify.NOTHING
    try:
        # Before the database is read: what the log knows by now is committed.
        lines = verify.heads_of(permit_log.know(settings.state_dir / PERMIT_LOG, keys, settings.node))
    except PermitLogBroken as error:
        wrong.append(str(error))
    engine = databases.connect(url, connections=1, writing=False)
    vaults.attach(engine, keys)
    try:
        with engine.connect() as conn:
            if conn.dialect.name != "sqlite":
                conn = conn.execution_options(isolation_level="REPEATABLE READ")
            with conn.begin():
                tabled, others = _tabled(conn, known)
                report = verify.whole(conn, keys, [*points, *tabled], lines)
    finally:
        engine.dispose()
    report.problems[:0] = wrong
    report.remarks += others
    return report


def _tabled(conn: Connection, known: Any) -> tuple[list[checkpoints.Checkpoint], list[str]]:
    """The table's checkpoints; a sentence for each whose key is not known here."""
    points: list[checkpoints.Checkpoint] = []
    others: list[str] = []
    for note in checkpoints.notes(conn):
        believed, wrong = verify.believed([note], known)
        points += believed
        others += wrong
    return points, others


def key(context: typer.Context, config: Config = DEFAULT_CONFIG) -> None:
    """Print the public key of this node's checkpoints, for its witnesses; it is made at the first start."""
    settings = settings_of(context, config)
    path = settings.state_dir / checkpoints.KEY_FILE
    if not path.exists():
        output.leave(exit_codes.FAILED, f"there is no key at {path}; it is made when the gateway starts")
    try:
        public = checkpoints.load_key(path).public_key()
    except (OSError, ValueError) as error:
        output.leave(exit_codes.FAILED, str(error))
    output.say(checkpoints.public_words(public, checkpoints.origin_of(settings.node)))


def witness(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where checkpoints are kept: on another machine.")],
    key: Keys = None,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: when interrupted.")] = 0.0,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Take checkpoints from queue bankgw.audit.checkpoints, keep them, and say when one was taken back. Exit 1 if any
    was. A sample: whoever keeps them should be somebody else than whoever runs the gateway."""
    from twisted.internet.task import deferLater

    from gateway.cli import broker_client
    from gateway.erp.amqp_types import Delivery
    from gateway.erp.topology import CHECKPOINTS_QUEUE
    from gateway.journal.checkpoints.witness import Witness

    settings = settings_of(context, config)
    reactor = output.environment(context).reactor()
    try:
        keeper = Witness(folder, tuple(key or ()))
        amqp = broker_client.own_client(reactor, settings)
    except (BadCheckpoint, OSError) as error:
        output.leave(exit_codes.FAILED, str(error))
    alarms: list[str] = []

    def take(delivery: Delivery) -> None:
        seen = keeper.take(delivery.body)
        amqp.ack(delivery)
        if seen.alarm:
            alarms.append(seen.why)
        output.say(f"ALARM: {seen.why}" if seen.alarm else f"{seen.origin}: {seen.size} entries {seen.why}".rstrip())

    async def listen() -> None:
        amqp.consume(CHECKPOINTS_QUEUE, 100, take)
        try:
            await broker_client.up(amqp)
            await deferLater(reactor, seconds or _LONG_S, lambda: None)
        finally:
            await amqp.close(2.0)

    try:
        broker_client.visit(reactor, listen, (seconds or _LONG_S) + broker_client.CONNECT_S)
    except broker_client.BrokerSilent as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))
    except KeyboardInterrupt:
        pass
    if alarms:
        raise typer.Exit(exit_codes.FAILED)
