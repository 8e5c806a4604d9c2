"""Completion by the shell: commands and options come from the command line library, names and ids from the daemon.

The daemon is asked once, for a bounded list, and has one second to answer, because a key press should not wait longer.
If it does not answer, nothing is offered and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

VARIABLE = "_BANKGW_COMPLETE"
"""The environment variable with which a shell asks for completions."""
MOST = 50
"""At most so many names are offered."""
PATIENCE_S = 1.0
_NEWEST_ORDERS = 200
_SCRIPTS = ("--show-completion", "--install-completion")
# Bash takes a colon for the end of a word, and our ids have colons. So the words are those of the line, split at
# blanks, and the part before the last colon is removed from each answer.
_BASH = """
%(complete_func)s() {
    local line="${COMP_LINE:0:$COMP_POINT}" word number
    local -a words
    word="${line##*[[:space:]]}"
    read -r -a words <<< "$line"
    number=$(( ${#words[@]} - 1 ))
    [[ -n "$word" ]] || number=$(( number + 1 ))
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="$line" COMP_CWORD="$number" %(autocomplete_var)s=complete_bash "$1" 2>/dev/null ) )
    if [[ "$word" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
        COMPREPLY=( "${COMPREPLY[@]#"${word%%"${word##*:}"}"}" )
    fi
}

complete -o default -F %(complete_func)s %(prog_name)s
"""


def prepare(words: Sequence[str], variables: Mapping[str, str]) -> list[str] | None:
    """Get ready if this command line is a question of a shell, or asks for the script of one.

    Returns the complete words on the shell's line, so that only their command is made; None for any other command line.
    """
    if VARIABLE not in variables and not any(word.partition("=")[0] in _SCRIPTS for word in words):
        return None
    # The library's own script for bash cannot complete ids with a colon. It has no public place for another one.
    from typer import _completion_classes, _completion_shared

    _completion_shared._completion_scripts["bash"] = _BASH
    _completion_classes.BashComplete.source_template = _BASH
    if VARIABLE not in variables:
        return []
    line = variables.get("COMP_WORDS") or variables.get("_TYPER_COMPLETE_ARGS") or ""
    complete = line.split()[1:]
    return complete if line[-1:].isspace() else complete[:-1]


def names_of(kind: str) -> Callable[..., list[str]]:
    """The completion of an argument or option that takes a name of this kind."""
    path, query, found = _KINDS[kind]

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from gateway.control.client import NoDaemon, Refused
        from gateway.settings_files import BadSettings

        try:
            said = _daemon(ctx).get(path, **query)
        except (NoDaemon, Refused, BadSettings):
            # A message would appear in the middle of the line that is being typed.
            return []
        return list(dict.fromkeys(name for name in found(said) if name.startswith(incomplete)))[:MOST]

    return complete


def _daemon(context: typer.Context) -> Any:
    from gateway.cli import output
    from gateway.control.client import ControlClient
    from gateway.settings_files import socket_of

    given = context.params
    variables = output.environment(context).variables
    socket = given.get("socket") or variables.get("BANKGW_SOCKET")
    config = given.get("config") or variables.get("BANKGW_CONFIG") or output.DEFAULT_CONFIG
    return ControlClient(Path(socket) if socket else socket_of(Path(config), variables), PATIENCE_S)


def _orders(said: Any) -> Iterable[str]:
    return [f"{one['sender']}:{one['id']}" for one in said["orders"]] + [one["payment"] for one in said["orders"]]


def _persons(said: Any) -> Iterable[str]:
    return [one["person"] for one in said["persons"]]


_KINDS: Mapping[str, tuple[str, Mapping[str, int], Callable[[Any], Iterable[str]]]] = {
    "bank": ("lanes", {}, lambda said: sorted({one["bank"] for one in said["lanes"]})),
    "company": ("companies", {}, lambda said: [one["company"] for one in said["companies"]]),
    "lane": ("lanes", {}, lambda said: [one["lane"] for one in said["lanes"]]),
    "message": ("parked", {"limit": MOST}, lambda said: [one["message_id"] for one in said["parked"]]),
    "order": ("orders", {"limit": _NEWEST_ORDERS}, _orders),
    "person": ("persons", {}, _persons),
    "proposal": ("proposals", {}, lambda said: [one["proposal"] for one in said["proposals"]]),
    "request": ("approvals", {}, lambda said: [one["request"] for one in said["requests"]]),
}
"""By kind of name: the daemon's list, the limits of the question, and the names in the answer."""
