"""All commands of `bankgw`, made from acts or written by hand. The daemon imports none of them.

A command line needs one command, so `add` can add that one alone. Then the modules of the others are not imported, and
the command line library does not read their options.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from gateway.act import said
from gateway.cli.act_commands import command_of, command_with, function_at, help_of, in_language
from gateway.cli.command_texts import IN_CHINESE
from gateway.cli.help_pages import FullHelpGroup
from gateway.control.register import GROUPS, REGISTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.act import Act
    from gateway.language import Lang

OF_ACTS: Mapping[str, str] = {
    "books.begin": "reconcile:book",
    "node.drain": "drain:drain",
    "node.status": "status:status",
    "orders.resolve": "resolve:resolve",
    "parked.replay": "parked:replay",
    "persons.enrol": "persons:enrol",
    "pools.show": "liquidity:show",
    "reports.make": "report:report",
    "sign_in.sign_in": "login:login",
    "statements.begin": "reconcile:statement",
}
"""Commands that do more than ask and show, by the code of their act. As in all of these tables, a function is written
`module:function`, and is imported when its command is needed."""
WITH_BODY: Mapping[str, str] = {
    "approvals.approve": "approvals:approve",
    "approvals.reject": "approvals:reject",
    "approvals.show": "approvals:show",
    "directory.find": "directory:directory",
    "lanes.probe": "lanes_probe:probe",
    "lanes.trace": "lanes_trace:trace",
    "node.top": "top:top",
    "orders.list": "orders:list_orders",
    "orders.show": "orders:show_order",
    "parked.list": "parked:list_parked",
    "parked.show": "parked:show",
    "positions.show": "positions:positions",
}
"""Bodies of commands that have the options of their act, and some of their own."""
_OTHERS: Mapping[str, str] = {
    "approvals sign-made": "made_orders:sign_made",
    "keys prepare": "keys:prepare",
    "keys retire": "keys:retire",
    "lanes rename": "rename:rename_lane",
    "liquidity return": "liquidity:send_back",
    "liquidity stay": "liquidity:stay",
    "receipts export": "receipts:export",
    "init": "init:init",
    "run": "run:run",
    "query": "query:query",
    "console": "console:console",
    "approval-page": "console:approval_page",
    "backup": "backup:backup",
    "restore": "restore:restore",
    "support-bundle": "support_bundle:support_bundle",
    "send": "send:send",
    "explain": "explain:explain",
    "simulate": "simulate:simulate",
    "demo": "demo:demo",
    "check": "check:check",
    "doctor": "doctor:doctor",
    "banks": "banks:banks",
}
_GROUPS: Mapping[str, str] = {
    "notices": "notices:application",
    "signer": "signer:application",
    "audit": "audit:application",
    "certificates": "certificates:application",
    "senders": "rename:senders",
    "topology": "topology:application",
    "joint-test": "joint_test:application",
}


_Made = tuple["Callable[..., Any]", str | None]
"""The function of a command, and its help where the function does not give it."""


def add(app: typer.Typer, language: Lang, words: Sequence[str] | None = None) -> None:
    """Add the commands to the application, with help in this language.

    `words` is a command line without the options before its command. If it names a command, only that one is added; if
    it asks for the list of all, they are added without their options. Otherwise, or without it, all are added.
    """
    made = _commands(language)
    by_hand = {f"{name} ": place for name, place in _GROUPS.items()}
    listed = words is not None and words[:1] in _LISTS
    wanted = _wanted(words or (), (*made, *by_hand))
    groups = {}
    for name, group in GROUPS.items():
        if any(one.startswith(f"{name} ") for one in wanted):
            groups[name] = typer.Typer(help=said(group.help, language), no_args_is_help=True, cls=FullHelpGroup)
    for one in wanted:
        group_name, space, verb = one.rpartition(" ")
        if one in by_hand:
            _add_group(app, one.strip(), by_hand[one], language, listed=listed)
        elif not listed:
            command, text = made[one]()
            (groups[group_name] if space else app).command(verb, help=text)(command)
        elif not space:
            app.command(verb, help=_summary(one, language))(_no_options)
    for name, application in groups.items():
        app.add_typer(application, name=name)


_LISTS: tuple[list[str], ...] = ([], ["-h"], ["--help"])
"""Beginnings of command lines that ask for the list of all commands."""


def _no_options() -> None:
    pass


def _summary(words: str, language: Lang) -> str:
    """The help of a command that is not in a group."""
    act = next((act for act in REGISTER.values() if act.command == words), None)
    place = (OF_ACTS if act is None or act.code in OF_ACTS else WITH_BODY).get(act.code if act else "", "")
    if act is None or (place and language == "en"):
        return _help_by_hand(words, language) or inspect.getdoc(function_at(place or _OTHERS[words])) or ""
    return help_of(act, language)


def _commands(language: Lang) -> dict[str, Callable[[], _Made]]:
    """The functions that make the commands, by the command's words."""

    def of_act_by_hand(act: Act, place: str) -> _Made:
        return in_language(function_at(place), language, act), help_of(act, language) if language == "zh" else None

    def of_act(act: Act) -> _Made:
        body = WITH_BODY.get(act.code)
        return (command_with(act, function_at(body), language) if body else command_of(act, language)), None

    def by_hand(words: str, place: str) -> _Made:
        return in_language(function_at(place), language), _help_by_hand(words, language)

    made: dict[str, Callable[[], _Made]] = {}
    for act in REGISTER.values():
        if act.command:
            place = OF_ACTS.get(act.code)
            made[act.command] = partial(of_act_by_hand, act, place) if place else partial(of_act, act)
    for words, place in _OTHERS.items():
        made[words] = partial(by_hand, words, place)
    return made


def _wanted(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """The commands that this command line needs: the one that it names, all of the group that it names, or all."""
    for length in (2, 1):
        name = " ".join(words[:length])
        wanted = [one for one in commands if one == name or (length == 1 and one.startswith(f"{name} "))]
        if wanted and len(words) >= length:
            return wanted
    return list(commands)


def _add_group(app: typer.Typer, name: str, place: str, language: Lang, *, listed: bool) -> None:
    """Add a group whose commands are all written by hand. `listed`: only the group itself."""
    made: typer.Typer = function_at(place)()
    if listed:
        made.registered_commands.clear()
    for one in made.registered_commands if language == "zh" else ():
        assert one.callback is not None, "a command has a function"
        one.callback, one.help = in_language(one.callback, language), _help_by_hand(f"{name} {one.name}", language)
    app.add_typer(made, name=name, help=_help_by_hand(name, language) or made.info.help)


def _help_by_hand(words: str, language: Lang) -> str | None:
    """The help of a command without an act, if the docstring does not give it."""
    return IN_CHINESE.get(words) if language == "zh" else None
