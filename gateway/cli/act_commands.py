"""Makes commands from acts: arguments and options from an act's parameters, help in the language of the environment,
and the answer as tables, sentences or JSON. `gateway.cli.act_hooks` names the additional work of some commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from gateway.act import Act, ActDecision, ActEvidence, ActParam, Bilingual, SentenceAnswer, TableAnswer, params_of, said
from gateway.cli import completion, exit_codes, output
from gateway.cli.act_hooks import HOOKS, NO_HOOKS, ActHooks

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.language import Lang

_NO_DEFAULT = inspect.Parameter.empty
_ARGUMENT = "argument"


@dataclass(frozen=True, slots=True)
class ActRun:
    """One run of an act's command with a hand-written body: `given` has the values that the command line gives for the
    act's parameters."""

    context: typer.Context
    config: Path
    socket: Path | None
    act: Act
    remote: ControlClient
    given: Mapping[str, Any]
    as_json: bool

    def patient(self, patience_s: float) -> ActRun:
        """The same run with this time limit for an answer."""
        return replace(self, remote=output.remote(self.context, self.config, self.socket, patience_s))

    def ask(self, **other: Any) -> Any:
        """The daemon's answer to the values of the command line, or to the values in the arguments."""
        with output.asking():
            return asked(self.remote, self.act, {**self.given, **other})

    def show(self, answer: Any, words: Callable[[Any], None]) -> None:
        """Print the answer as text, or as JSON if the command line asks for JSON."""
        output.show(answer, as_json=self.as_json, words=words)


def command_of(act: Act, language: Lang) -> Callable[..., None]:
    """The command of this act, with its help in this language."""
    hooks = HOOKS.get(act.code, NO_HOOKS)

    def run(context: typer.Context, **given: Any) -> None:
        _run(act, hooks, context, given)

    return _as_command(run, _parameters(act, hooks, language), help_of(act, language))


def command_with(act: Act, body: Callable[..., None], language: Lang) -> Callable[..., None]:
    """The command of this act with a hand-written body. The body takes the run; its other parameters become options of
    the command, in addition to those of the act."""
    _run, *own = inspect.signature(body, eval_str=True).parameters.values()
    params = _parameters(act, NO_HOOKS, language)
    shared = params.index(next(one for one in params if one.name == "config"))
    more = [_parameter(one.name, _in_language(one.annotation, language), _default(one, language)) for one in own]

    def run(context: typer.Context, config: Path, socket: Path | None, as_json: bool, **given: Any) -> None:
        mine = {one.name: given.pop(one.name) for one in own}
        remote = output.remote(context, config, socket)
        body(ActRun(context, config, socket, act, remote, given, as_json), **mine)

    text = help_of(act, language) if language == "zh" else inspect.getdoc(body) or ""
    return _as_command(run, [*params[:shared], *more, *params[shared:]], text)


def _as_command(run: Callable[..., None], params: list[inspect.Parameter], text: str) -> Callable[..., None]:
    made: Any = run
    made.__signature__ = inspect.Signature(params)
    made.__annotations__ = {one.name: one.annotation for one in params}
    made.__doc__ = text
    return run


def help_of(act: Act, language: Lang) -> str:
    """The `--help` text of the act's command."""
    return "\n\n".join(text for text in (said(act.title, language), said(act.help, language)) if text)


def _parameters(act: Act, hooks: ActHooks, language: Lang) -> list[inspect.Parameter]:
    params = [one for one in params_of(act) if one.form.command]
    arguments = [one for one in params if _is_argument(act, one)]
    options = [one for one in params if not _is_argument(act, one)]
    made = [_parameter("context", typer.Context)]
    made += [_typed(one, language, argument=one in arguments) for one in (*arguments, *options)]
    if hooks.watch:
        made.append(_parameter("watch", output.WatchOption, None))
    if act.decision is not None:
        made += _signing(act)
    made.append(_parameter("config", output.Config, output.DEFAULT_CONFIG))
    made.append(_parameter("socket", output.Socket, None))
    made.append(_parameter("as_json", output.AsJson, False))
    return [one.replace(annotation=_in_language(one.annotation, language)) for one in made]


def in_language(command: Callable[..., None], language: Lang, act: Act | None = None) -> Callable[..., None]:
    """A hand-written command, with the help of its options in this language. An option with the English help of a
    parameter of its act has that parameter's Chinese help; `option_texts` has the Chinese of the others."""
    if language == "en":
        return command
    texts = {one.form.help[0]: one.form.help[1] for one in (params_of(act) if act else ())}
    signature = inspect.signature(command, eval_str=True)
    params = [
        one.replace(annotation=_in_language(one.annotation, language, texts), default=_default(one, language))
        for one in signature.parameters.values()
    ]

    @wraps(command)
    def run(*given: Any, **named: Any) -> None:
        command(*given, **named)

    made: Any = run
    made.__signature__ = signature.replace(parameters=params)
    made.__annotations__ = {one.name: one.annotation for one in params}
    return run


def _default(one: inspect.Parameter, language: Lang) -> Any:
    """The default of an option. A default that is an English phrase is given in the language of the environment."""
    return language if one.default == "en" else one.default


def _is_argument(act: Act, one: ActParam) -> bool:
    """True for a value that the command line gives by position: a part of the path, or the subject of a proposal that
    two persons sign."""
    subject = "" if act.decision is None else act.decision.subject
    return one.in_path or one.form.option == _ARGUMENT or subject == f"{{{one.name}}}"


def _parameter(name: str, annotation: Any, default: Any = _NO_DEFAULT) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _typed(one: ActParam, language: Lang, *, argument: bool) -> inspect.Parameter:
    text, metavar = said(one.form.help, language), one.form.metavar or None
    more: dict[str, Any] = {}
    if one.form.names:
        more["autocompletion"] = completion.names_of(one.form.names)
    if one.type in (int, float, int | None):
        more |= {"min": one.form.least, "max": one.form.most}
    info: Any
    if argument:
        info = typer.Argument(metavar=metavar, help=text, **more)
    else:
        switch = one.form.option or f"--{one.name.replace('_', '-')}"
        info = typer.Option(switch, metavar=metavar, help=text, **more)
    many = one.type == tuple[str, ...]
    kind: Any = list[str] | None if many else str | None if one.type == date | None else one.type
    default = _NO_DEFAULT if one.required else None if many else one.default
    return _parameter(one.name, Annotated[kind, info], default)


def _signing(act: Act) -> list[inspect.Parameter]:
    from gateway.cli import signing

    made = [
        _parameter("yes", signing.Yes, False),
        _parameter("key", signing.KeyOption, signing.DEFAULT_KEY),
        _parameter("passphrase_file", signing.PassphraseFile, None),
    ]
    evidence = [] if act.evidence is ActEvidence.NONE else [_parameter("evidence", signing.EvidenceOption, None)]
    return evidence + made


def _in_language(annotation: Any, language: Lang, texts: Mapping[str, str] = MappingProxyType({})) -> Any:
    """An argument or option with its help in this language; `texts` is the Chinese by the English, before that of
    `option_texts`."""
    if language == "en" or get_origin(annotation) is not Annotated:
        return annotation
    from gateway.cli.option_texts import IN_CHINESE

    kind, info, *_ = get_args(annotation)
    english = getattr(info, "help", None) or ""
    text = texts.get(english) or IN_CHINESE.get(english)
    if text is None:
        return annotation
    info = copy(info)
    info.help = text
    return Annotated[kind, info]


# ---- asking ----


def _run(act: Act, hooks: ActHooks, context: typer.Context, given: dict[str, Any]) -> None:
    from gateway.cli.signing import PersonSigner, administered, propose

    config, socket, as_json = given.pop("config"), given.pop("socket"), given.pop("as_json")
    watch, evidence = given.pop("watch", None), given.pop("evidence", None)
    signer = (
        None if act.decision is None else PersonSigner(given.pop("key"), given.pop("passphrase_file"), given.pop("yes"))
    )
    if hooks.prepare:
        given = function_at(hooks.prepare)(given)
    remote = output.remote(context, config, socket)
    if act.decision is not None and (not act.path or administered(remote)):
        assert signer is not None, "an act of two persons has a signer"
        propose(remote, _wanted(act, act.decision, hooks, given), evidence, signer, as_json=as_json)
        return

    def ask_and_show() -> None:
        with output.asking():
            answer = asked(remote, act, given, hooks.pages)
        output.show(answer, as_json=as_json, words=lambda found: show(act, found))
        if hooks.after:
            function_at(hooks.after)(answer)

    output.repeated(watch, ask_and_show)


def _wanted(act: Act, decision: ActDecision, hooks: ActHooks, given: Mapping[str, Any]) -> dict[str, str]:
    """The content that two persons sign, in the form in which the daemon is asked to draft it."""
    filled = {name: "" if value is None else str(value) for name, value in given.items()}
    if not filled["reason"]:
        output.leave(exit_codes.USAGE, NO_REASON)
    to = decision.to.format_map(filled) or decision.to_default
    return {
        "kind": decision.kind,
        "subject": decision.subject.format_map(filled),
        "to": to or (function_at(hooks.default_to)() if hooks.default_to else ""),
        "note": filled["reason"],
    }


NO_REASON: Bilingual = ("two persons sign this here: say why with --reason …", "此处由两人签署：请以 --reason 说明理由")


def asked(remote: ControlClient, act: Act, given: Mapping[str, Any], pages: str = "") -> Any:
    """The daemon's answer. `pages` names the list that continues on further pages; all of them are read."""
    parts = [str(given[one[1:-1]]) if one.startswith("{") else one for one in act.path.strip("/").split("/")]
    values: dict[str, Any] = {}
    for one in params_of(act):
        value = given.get(one.name)
        # 0 is a value: a forecast of no days is no forecast.
        if one.in_path or value is None or value is False or value == "":
            continue
        many = isinstance(value, list | tuple)
        values[one.wire] = list(value) if many else 1 if value is True and act.method == "GET" else value
    ask: Callable[..., Any] = remote.get if act.method == "GET" else remote.post
    answer = ask(*parts, **values)
    if not pages:
        return answer
    rows = list(answer[pages])
    while answer["next"] is not None:
        answer = ask(*parts, **{**values, "after": answer["next"]})
        rows += answer[pages]
    return {pages: rows}


# ---- answers ----


def show(act: Act, answer: Any) -> None:
    """Print the answer in words: the act's tables and sentences, or the output of its hook."""
    hooks = HOOKS.get(act.code, NO_HOOKS)
    if hooks.words:
        function_at(hooks.words)(answer)
        return
    for piece in act.answer:
        if isinstance(piece, TableAnswer):
            _table(piece, answer, hooks)
        else:
            _sentence(piece, answer)


def _table(piece: TableAnswer, answer: Any, hooks: ActHooks) -> None:
    rows = answer[piece.rows]
    if hooks.row:
        rows = [function_at(hooks.row)(row) for row in rows]
    shown = [
        {one.place: _value(row, one.place) or output.in_language(one.otherwise) for one in piece.columns}
        for row in rows
    ]
    if not shown and not piece.nothing[0]:
        return
    output.table(
        shown, {one.place: output.in_language(one.title) for one in piece.columns}, output.in_language(piece.nothing)
    )


def _sentence(piece: SentenceAnswer, answer: Any) -> None:
    if piece.when and not answer[piece.when]:
        return
    for one in answer[piece.each] if piece.each else (answer,):
        output.say(output.in_language(piece.text).format_map({name: _text(value) for name, value in one.items()}))


def _value(row: Any, place: str) -> str:
    """The value at a place of a row: `a.b` is a nested field, `a[].b` is that field of every list item."""
    name, _dot, rest = place.partition(".")
    found = row.get(name.removesuffix("[]"))
    if name.endswith("[]"):
        return ", ".join(_value(one, rest) for one in found or ())
    return _value(found, rest) if rest and found is not None else _text(found)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return output.in_language(("yes", "是")) if value else ""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)


def function_at(place: str) -> Callable[..., Any]:
    """The function of a command's module that is written `module:function`, imported now."""
    module, _colon, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"gateway.cli.commands.{module}"), name)
    return function
