"""Output of commands: text or JSON on stdout, errors on stderr, a documented exit code; and the options they share."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.cli import exit_codes

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.cli.environment import Environment
    from gateway.control.client import ControlClient
    from gateway.settings import Loaded, Mistake

DEFAULT_CONFIG = Path("/etc/bankgw/bankgw.toml")

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="BANKGW_CONFIG", help="Main settings file; conf.d beside it is read too."),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", envvar="BANKGW_SOCKET", help="The daemon's control socket; default: as the settings say."),
]
_errors_as_json: ContextVar[bool] = ContextVar("errors as JSON", default=False)


def tell_errors_in_words() -> None:
    """Where a command line begins; its `--json` says otherwise."""
    _errors_as_json.set(False)


def _note_json(asked: bool) -> bool:
    _errors_as_json.set(asked)
    return asked


AsJson = Annotated[
    bool, typer.Option("--json", callback=_note_json, help="Print one JSON document instead of words; errors, too.")
]
WatchOption = Annotated[
    float | None,
    typer.Option("--watch", min=0.2, metavar="SECONDS", help="Show it again every so many seconds, until interrupted."),
]
Clear = Annotated[
    bool, typer.Option("--clear", help="Show unmasked data. Only root and the daemon's user may, and it is audited.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]

STATE_STYLE = {
    "settled": "green", "failed": "red", "rejected": "red", "in_doubt": "yellow", "escalated": "bold yellow",
    "held": "magenta", "returned": "red", "reversed": "red", "cancelled": "dim", "expired": "dim",
}  # fmt: skip


_NUMBERS = frozenset({"amount", "item_no"})


def environment(context: typer.Context) -> Environment:
    """What the program handed in."""
    found: Environment = context.find_root().obj
    return found


def say(text: str) -> None:
    """A line on stdout."""
    print(text)


def dump(said: Any) -> None:
    """A JSON document on stdout."""
    print(as_json(said, indent=1))


def as_json(said: Any, indent: int | None = None) -> str:
    """JSON in characters that stdout can write: those it lacks are escaped as JSON knows it."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(said, ensure_ascii=not unicode, indent=indent)


def warn(*lines: str) -> None:
    """Lines on stderr."""
    for one in lines:
        print(one, file=sys.stderr)


def leave(code: int, *lines: str, reason: str = "") -> NoReturn:
    """Say on stderr why not, in words or with --json as one document, and end with this code. `reason` is the daemon's
    own code of a refusal, which the lines name too."""
    if _errors_as_json.get():
        tell_json_error(code, lines, reason)
    else:
        for one in lines:
            print(one, file=sys.stderr)
    raise typer.Exit(code)


def tell_json_error(code: int, lines: Sequence[str], reason: str = "") -> None:
    """One JSON document on stderr: the exit code with its name, the daemon's code if it refused, and the lines."""
    error = {"exit": code, "name": exit_codes.NAMES[code], "reason": reason or None, "messages": list(lines)}
    print(as_json({"error": error}), file=sys.stderr)


def console() -> Console:
    """Where tables go. Never wrapped to nothing when the output is a pipe."""
    from rich.console import Console

    made = Console(soft_wrap=False, highlight=False)
    return made if made.is_terminal else Console(width=200, highlight=False, no_color=True)


def line(*pieces: str | tuple[str, str], whole: bool = False) -> None:
    """A line on the terminal, each piece plain or with a style. `whole`: never folded, however narrow the terminal."""
    from rich.text import Text

    console().print(Text.assemble(*pieces), soft_wrap=whole)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], nothing: str) -> None:
    """Rows as a table; `columns` maps a field to its heading."""
    if not rows:
        say(nothing)
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", pad_edge=False)
    for name, heading in columns.items():
        grid.add_column(heading, overflow="fold", justify="right" if name in _NUMBERS else "left")
    for row in rows:
        cells = ["" if row.get(name) is None else str(row[name]) for name in columns]
        grid.add_row(*(Text(cell, style=STATE_STYLE.get(cell, "")) for cell in cells))
    console().print(grid)


def remote(context: typer.Context, config: Path, socket: Path | None, patience_s: float | None = None) -> ControlClient:
    """The daemon these options mean. `patience_s`: how long its answer is waited for; default: the client's."""
    from gateway.control.client import TIMEOUT_S, ControlClient
    from gateway.settings import BadSettings, socket_of

    patience_s = TIMEOUT_S if patience_s is None else patience_s
    if socket is not None:
        return ControlClient(socket, patience_s)
    if found := shards(context, config):
        leave(exit_codes.UNAVAILABLE, "the gateway runs in shards: say with --socket which one you mean; bankgw status "
              "tells the lanes of each", *(f"  --socket {one.path}" for one in found))  # fmt: skip
    try:
        return ControlClient(socket_of(config, environment(context).variables), patience_s)
    except BadSettings as error:
        leave(exit_codes.CONFIG, *map(str, error.mistakes), "or name the daemon's socket with --socket")


def shards(context: typer.Context, config: Path) -> list[ControlClient]:
    """The daemons of the shards that have a socket; none where one process does all, where the environment says which
    shard is meant, or where the settings are not right."""
    from gateway.control.client import ControlClient
    from gateway.settings import SHARD_VARIABLE, BadSettings, shard_sockets, socket_of

    variables = environment(context).variables
    try:
        alone = SHARD_VARIABLE in variables or socket_of(config, variables).exists()
        return [] if alone else [ControlClient(path) for path in shard_sockets(config, variables)]
    except BadSettings:
        return []


def end_if_away(said: Any, what: str) -> None:
    """An answer from memory is told as one, and ends with UNAVAILABLE: `what` says what it is."""
    journal = said.get("journal")
    if journal is not None and not journal["reachable"]:
        leave(exit_codes.UNAVAILABLE, f"journal unreachable since {journal['since']}: {what}")


@contextmanager
def asking() -> Iterator[None]:
    """Turns the daemon's no, or its silence, into the documented exit."""
    from gateway.control.client import NoDaemon, Refused

    try:
        yield
    except NoDaemon as error:
        leave(exit_codes.UNAVAILABLE, str(error))
    except Refused as error:
        kinds: Mapping[int, int] = {
            400: exit_codes.USAGE, 404: exit_codes.FAILED, 500: exit_codes.FAILED, 502: exit_codes.FAILED,
            503: exit_codes.UNAVAILABLE,
        }  # fmt: skip
        leave(kinds.get(error.status, exit_codes.REFUSED), f"{error.code}: {error}", reason=error.code)


def loaded(context: typer.Context, config: Path, variables: Mapping[str, str] | None = None) -> Loaded:
    """The settings, whatever else is wrong with them; ends with CONFIG when there are none to be had. `variables`: in
    place of the environment's."""
    from gateway.settings import BadSettings, read

    try:
        return read(config, environment(context).variables if variables is None else variables)
    except BadSettings as error:
        refuse(error.mistakes)


def refuse(mistakes: Sequence[Mistake]) -> NoReturn:
    """One line per mistake, exit CONFIG."""
    leave(exit_codes.CONFIG, *map(str, mistakes))


def repeated(
    every_s: float | None, look: Callable[[], object], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Look once, or with `--watch` every so many seconds until Ctrl-C ends it with exit code 0. A daemon that is away
    meanwhile ends it as it ends a single look."""
    look()
    try:
        while every_s is not None:
            sys.stdout.flush()
            sleep(every_s)
            if sys.stdout.isatty():
                typer.echo("\x1b[2J\x1b[H", nl=False)
            look()
    except KeyboardInterrupt:
        pass


ShowResult = Callable[[Any], None]


def show(said: Any, *, as_json: bool, words: ShowResult) -> None:
    """The answer, as asked."""
    if as_json:
        dump(said)
    else:
        words(said)
