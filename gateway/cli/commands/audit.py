"""`bankgw audit`: verify the journal against its audit chains, and keep checkpoints as a witness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

_LONG_S = 10 * 365 * 86_400.0
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A public key, as `bankgw audit key` prints it; may be given several times."),
]


def application() -> typer.Typer:
    """The group `bankgw audit`."""
    group = typer.Typer(
        help="Verify the audit trail, and witness that of others.", no_args_is_help=True, cls=FullHelpGroup
    )
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
    signer_log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The signer's log of signatures, compared with the permits.")
    ] = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Verify every link of the audit trail, and compare payments, events, evidence, the permit log and checkpoints with
    it, while the gateway works. Exit 1 on any contradiction."""
    from gateway.control.offline import audit_check

    settings = settings_of(context, config)
    access = access_of(settings, vault_key, password)
    try:
        report = audit_check.verified(settings, access, checkpoint or (), key or (), signer_log)
    except audit_check.NotVerified as error:
        code = exit_codes.UNAVAILABLE if error.away else exit_codes.FAILED
        output.leave(code, output.explained(error, "未能核对审计链："))
    said = {
        "whole": not report.problems,
        "problems": report.problems,
        "remarks": report.remarks,
        "entries": report.entries,
        "payments": report.payments,
        "checkpoints": report.points,
        "chain_s": round(report.chain_s, 3),
        "whole_s": round(report.whole_s, 3),
    }
    output.show(said, as_json=as_json, words=lambda _said: _words(report))
    if report.problems:
        raise typer.Exit(exit_codes.FAILED)


def _words(report: Any) -> None:
    for problem in report.problems:
        output.say(output.explained(problem, "矛盾："))
    for remark in report.remarks:
        output.say((f"remark: {remark}", f"注：\n{remark}"))
    rate, count = report.entries / report.chain_s if report.chain_s else 0.0, len(report.problems)
    output.say(
        (
            f"chain: {report.entries} entries in {report.chain_s:.1f} s ({rate:.0f} a second)",
            f"审计链：{report.entries} 条，用时 {report.chain_s:.1f} 秒（每秒 {rate:.0f} 条）",
        )
    )
    output.say(
        (
            f"whole: {report.payments} payments and {report.points} checkpoints, {report.whole_s:.1f} s in all",
            f"全部：{report.payments} 笔付款，{report.points} 个检查点，共用时 {report.whole_s:.1f} 秒",
        )
    )
    whole = ("the journal is whole", "流水库完整，无矛盾")
    output.say((f"{count} contradictions", f"{count} 处矛盾") if count else whole)


def key(context: typer.Context, config: Config = DEFAULT_CONFIG) -> None:
    """Print the public key of this node's checkpoints, for its witnesses; it is made at the first start."""
    from gateway.control.offline import audit_check

    try:
        output.say(audit_check.public_key(settings_of(context, config)))
    except audit_check.NotVerified as error:
        output.leave(exit_codes.FAILED, output.explained(error, "无法取得检查点的公钥："))


def witness(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where checkpoints are kept: on another machine.")],
    key: Keys = None,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: when interrupted.")] = 0.0,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Read checkpoints from queue bankgw.audit.checkpoints, store them, and report a chain that went back. Exit 1 if
    one did. This is a sample: other people than those who run the gateway should run a witness.
    """
    from twisted.internet.task import deferLater

    from gateway.cli import broker_client
    from gateway.control.offline import audit_check
    from gateway.erp.topology import CHECKPOINTS_QUEUE
    from gateway.kernel.deliveries import Delivery

    settings = settings_of(context, config)
    reactor = output.environment(context).reactor()
    try:
        keeper = audit_check.witness(folder, key or ())
        amqp = broker_client.own_client(reactor, settings)
    except (audit_check.NotVerified, OSError) as error:
        output.leave(exit_codes.FAILED, output.explained(error, "无法作见证："))
    alarms: list[str] = []

    def keep_head(delivery: Delivery) -> None:
        seen = keeper.receive(delivery.body)
        amqp.ack(delivery)
        if seen.alarm:
            alarms.append(seen.why)
        kept = f"{seen.origin}: {seen.size} entries {seen.why}".rstrip()
        told = (kept, f"{seen.origin}：{seen.size} 条 {seen.why}".rstrip())
        output.say((f"ALARM: {seen.why}", f"报警：\n{seen.why}") if seen.alarm else told)

    async def listen() -> None:
        amqp.consume(CHECKPOINTS_QUEUE, 100, keep_head)
        try:
            await broker_client.up(amqp)
            await deferLater(reactor, seconds or _LONG_S, lambda: None)
        finally:
            await amqp.close(2.0)

    try:
        broker_client.visit(reactor, listen, (seconds or _LONG_S) + broker_client.CONNECT_S)
    except broker_client.BrokerSilent as error:
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "消息服务器无法访问："))
    except KeyboardInterrupt:
        pass
    if alarms:
        raise typer.Exit(exit_codes.FAILED)
