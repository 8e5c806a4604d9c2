"""`bankgw parked`: messages that need an operator: undeliverable events and unreadable commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, ReasonOption, Socket

_COLUMNS = {
    "from": "from", "written_at": "since", "event": "what", "routing_key": "key", "refused": "refused",
    "tries": "tries", "last_result": "last try",
    "message_id": "message",
}  # fmt: skip
MessageArgument = Annotated[
    str, typer.Argument(metavar="MESSAGE", help="The message id, as `bankgw parked list` shows it.")
]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Look at messages that wait for a person.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_parked)
    group.command("show")(show)
    group.command("replay")(replay)
    group.command("discard")(discard)
    return group


def list_parked(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many of each kind.")] = 50,
    queue: Annotated[bool, typer.Option("--queue/--no-queue", help="Look into queue bankgw.parked too.")] = True,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List news whose addressee is gone (outbox) and refused or returned commands (queue bankgw.parked)."""
    with output.asking():
        rows = output.remote(context, config, socket).get("parked", limit=limit)["parked"]
    if queue:
        rows += [one.shown() for one in _in_queue(context, config, limit)]
    output.show(rows, as_json=as_json, words=lambda said: output.table(said, _COLUMNS, "nothing is parked"))


def show(
    context: typer.Context,
    message: MessageArgument,
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show one parked message: outbox first, then queue bankgw.parked."""
    from gateway.control.client import Refused

    with output.asking():
        try:
            said = output.remote(context, config, socket).get("parked", message, clear=1 if clear else None)
        except Refused as error:
            if error.status != 404:
                raise
            found = [one for one in _in_queue(context, config, 1000) if one.message_id == message]
            if not found:
                raise
            said = found[0].shown(body=True, clear=clear)
    output.show(said, as_json=as_json, words=_words)


def replay(
    context: typer.Context,
    message: MessageArgument,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Publish news again, once its addressee is back. A parked command cannot be replayed: its ERP sends it again."""
    with output.asking():
        said = output.remote(context, config, socket).post("parked", message, "replay")
    output.show(said, as_json=as_json, words=lambda one: output.say(f"{one['message_id']} is published again"))


def discard(
    context: typer.Context,
    message: MessageArgument,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Count parked news as dealt with. Its copy stays in queue bankgw.unrouted.news."""
    with output.asking():
        said = output.remote(context, config, socket).post("parked", message, "discard", reason=reason)
    output.show(said, as_json=as_json, words=lambda one: output.say(f"{one['message_id']} is dealt with"))


def _words(said: Any) -> None:
    for name, value in said.items():
        if name == "body":
            output.say(f"{'body':>16}  {value['bytes']} bytes")
            output.say(value["text"])
        elif value not in (None, {}, ""):
            output.say(f"{name:>16}  {value}")


def _in_queue(context: typer.Context, config: Any, limit: int) -> list[Any]:
    """What lies in the queue, left where it is; ends with UNAVAILABLE when the broker cannot be asked."""
    from gateway.cli import parked_queue

    found = output.loaded(context, config)
    try:
        return list(parked_queue.browse(output.environment(context).reactor(), found.settings, limit))
    except parked_queue.BrokerSilent as error:
        output.leave(exit_codes.UNAVAILABLE, f"{error}; --no-queue lists the outbox alone")
