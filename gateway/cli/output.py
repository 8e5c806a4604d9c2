"""What commands say and how they end: words or JSON on stdout, mistakes on stderr, a documented exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli import exit_codes
from gateway.cli.environment import Environment
from gateway.control.client import TIMEOUT_S, ControlClient, NoDaemon, Refused
from gateway.settings import BadSettings, Loaded, Mistake, read, socket_of

DEFAULT_CONFIG = Path("/etc/bankgw/bankgw.toml")

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="BANKGW_CONFIG", help="Main settings file; conf.d beside it is read too."),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", envvar="BANKGW_SOCKET", help="The daemon's control socket; default: as the settings say."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words.")]
Clear = Annotated[
    bool, typer.Option("--clear", help="Show unmasked data. Only root and the daemon's user may, and it is audited.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]

STATE_STYLE = {
    "settled": "green", "failed": "red", "rejected": "red", "in_doubt": "yellow", "escalated": "bold yellow",
    "held": "magenta", "returned": "red", "reversed": "red", "cancelled": "dim", "expired": "dim",
}  # fmt: skip


_NUMBERS = frozenset({"amount", "item_no"})


def environment(context: typer.Context) -> Environment:
    """What the program handed in."""
    found = context.find_root().obj
    assert isinstance(found, Environment)
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


def leave(code: int, *lines: str) -> NoReturn:
    """Say on stderr why not, and end with this code."""
    for line in lines:
        print(line, file=sys.stderr)
    raise typer.Exit(code)


def console() -> Console:
    """Where tables go. Never wrapped to nothing when the output is a pipe."""
    made = Console(soft_wrap=False, highlight=False)
    return made if made.is_terminal else Console(width=200, highlight=False, no_color=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], nothing: str) -> None:
    """Rows as a table; `columns` maps a field to its heading."""
    if not rows:
        say(nothing)
        return
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for name, heading in columns.items():
        grid.add_column(heading, overflow="fold", justify="right" if name in _NUMBERS else "left")
    for row in rows:
        cells = ["" if row.get(name) is None else str(row[name]) for name in columns]
        grid.add_row(*(Text(cell, style=STATE_STYLE.get(cell, "")) for cell in cells))
    console().print(grid)


def remote(context: typer.Context, config: Path, socket: Path | None, patience_s: float = TIMEOUT_S) -> ControlClient:
    """The daemon these options mean. `patience_s`: how long its answer is waited for."""
    if socket is not None:
        return ControlClient(socket, patience_s)
    try:
        return ControlClient(socket_of(config, environment(context).variables), patience_s)
    except BadSettings as error:
        leave(exit_codes.CONFIG, *map(str, error.mistakes), "or name the daemon's socket with --socket")


def end_if_away(said: Any, what: str) -> None:
    """An answer from memory is told as one, and ends with UNAVAILABLE: `what` says what it is."""
    journal = said.get("journal")
    if journal is not None and not journal["reachable"]:
        leave(exit_codes.UNAVAILABLE, f"journal unreachable since {journal['since']}: {what}")


@contextmanager
def asking() -> Iterator[None]:
    """Turns the daemon's no, or its silence, into the documented exit."""
    try:
        yield
    except NoDaemon as error:
        leave(exit_codes.UNAVAILABLE, str(error))
    except Refused as error:
        kinds: Mapping[int, int] = {
            400: exit_codes.USAGE, 404: exit_codes.FAILED, 500: exit_codes.FAILED, 502: exit_codes.FAILED,
            503: exit_codes.UNAVAILABLE,
        }  # fmt: skip
        leave(kinds.get(error.status, exit_codes.REFUSED), f"{error.code}: {error}")


def loaded(context: typer.Context, config: Path) -> Loaded:
    """The settings, whatever else is wrong with them; ends with CONFIG when there are none to be had."""
    try:
        return read(config, environment(context).variables)
    except BadSettings as error:
        refuse(error.mistakes)


def refuse(mistakes: Sequence[Mistake]) -> NoReturn:
    """One line per mistake, exit CONFIG."""
    leave(exit_codes.CONFIG, *map(str, mistakes))


Shown = Callable[[Any], None]


def show(said: Any, *, as_json: bool, words: Shown) -> None:
    """The answer, as asked."""
    if as_json:
        dump(said)
    else:
        words(said)
