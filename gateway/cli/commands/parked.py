"""`bankgw parked`: messages that need an operator: undeliverable events and unreadable commands."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.act_commands import ActRun, asked
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

_COLUMNS = {
    "from": "kept in",
    "written_at": "since",
    "event": "what",
    "routing_key": "key",
    "refused": "refused",
    "tries": "tries",
    "last_result": "last try",
    "message_id": "message",
}


AT_ONCE, PAUSE_S = 100, 1.0
"""How many messages are published again at once, and the pause before the next ones."""


def list_parked(
    run: ActRun,
    queue: Annotated[bool, typer.Option("--queue/--no-queue", help="Look into queue bankgw.parked too.")] = True,
) -> None:
    """List events whose receiver is gone (outbox) and refused or returned commands (queue bankgw.parked)."""
    rows = run.ask()["parked"]
    if queue:
        rows += [one.shown() for one in _in_queue(run, run.given["limit"])]
    run.show(rows, lambda said: output.table(said, _COLUMNS, "nothing is parked"))


def show(run: ActRun) -> None:
    """Show one parked message: outbox first, then queue bankgw.parked."""
    from gateway.control.client import Refused

    with output.asking():
        try:
            said = asked(run.remote, run.act, run.given)
        except Refused as error:
            if error.status != 404:
                raise
            found = [one for one in _in_queue(run, 1000) if one.message_id == run.given["message"]]
            if not found:
                raise
            said = found[0].shown(body=True, clear=run.given["clear"])
    run.show(said, _words)


def replay(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="The message id, as `bankgw parked list` shows it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked message to the ERP, the oldest first.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only messages written at or after this time, as 2026-11-30T09:00+08:00."
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="WORD",
            help="Only messages whose last try ended with this word, as returned, 403 or NO_ROUTE.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Publish an event again, once its receiver is back. A parked command cannot be replayed: its ERP sends it again.

    With --all, --since or --reason: all matching messages, in their order, 100 a second, after a count and a question.
    """
    many = every or since is not None or reason is not None
    if many == (message is not None):
        output.leave(
            exit_codes.USAGE,
            (
                "name one MESSAGE, or say --all, --since or --reason",
                "请指定一条 MESSAGE，或使用 --all、--since、--reason",
            ),
        )
    daemon = output.remote(context, config, socket)
    if message is not None:
        with output.asking():
            one = daemon.post("parked", message, "replay")
        again = output.in_language(("{message_id} is published again", "{message_id} 已重新发布"))
        output.show(one, as_json=as_json, words=lambda said: output.say(again.format_map(said)))
        return
    which = {"since": since, "word": reason}
    with output.asking():
        counted = daemon.get("replays", **{name: value for name, value in which.items() if value is not None})
    if counted["count"] and not yes:
        question = (
            "Publish {count} parked messages to the ERP again, the oldest first?",
            "按先后顺序重新发布 {count} 条滞留的通知？",
        )
        if not output.confirmed((question[0].format_map(counted), question[1].format_map(counted))):
            output.leave(exit_codes.REFUSED, ("nothing was changed", "未作任何更改"))
    replayed, after = 0, "" if counted["count"] else None
    while after is not None:
        with output.asking():
            said = daemon.post("replays", through=counted["last"], after=after, limit=AT_ONCE, **which)
        replayed, after = replayed + said["replayed"], said["next"]
        if after is not None:
            time.sleep(PAUSE_S)
    done = output.in_language(("{replayed} messages are published again", "{replayed} 条消息已重新发布"))
    output.show({"replayed": replayed}, as_json=as_json, words=lambda said: output.say(done.format_map(said)))


def _words(said: Any) -> None:
    for name, value in said.items():
        if name == "body":
            size = value["bytes"]
            output.say((f"{'body':>16}  {size} bytes", f"{output.label('body')}  {size} 字节"))
            output.say(value["text"])
        elif value not in (None, {}, ""):
            output.say(f"{output.label(name)}  {value}")


def _in_queue(run: ActRun, limit: int) -> list[Any]:
    """The messages in the queue, which stay there; ends with UNAVAILABLE when the broker cannot be asked."""
    from gateway.cli import parked_queue

    found = output.loaded(run.context, run.config)
    try:
        return list(parked_queue.browse(output.environment(run.context).reactor(), found.settings, limit))
    except parked_queue.BrokerSilent as error:
        output.leave(
            exit_codes.UNAVAILABLE,
            (
                f"{error}; --no-queue lists the outbox alone",
                f"无法读取消息服务器的队列；--no-queue 只列发件箱：\n{error}",
            ),
        )
