"""Generates the reference pages from the program: settings, metrics, command line, banks.

python -m gateway.cli.reference            says which pages differ; exit 1 if any does
python -m gateway.cli.reference --write    writes them
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway import capabilities, settings
from gateway.capabilities import Translate
from gateway.cli import application, exit_codes, reference_words
from gateway.kernel import meters
from gateway.language import LANGS, Lang
from gateway.notices.notice_file import NoticeFile
from gateway.settings import tables, values
from gateway.signer.signer_file import SignerFile

FOLDER = Path("docs") / "lookup"
_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_hours": "hours", "per_second": "a second"}
_TOP, _NOTICES, _SIGNER = "top level", "top level of notices.toml", "top level of signer.toml"
_MADE = "<!-- Made by `python -m gateway.cli.reference --write`; edit the source, not this page. -->\n\n"
_OTHER: Mapping[Lang, str] = {"en": "[中文]({page}.zh.md)", "zh": "[English]({page}.md)"}
"""The link from a page to the same page in the other language."""
_NAMED = {values.Slug: "name", tables.AmountText: "amount", values.SettingsPath: "path"}


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    return {
        "settings.md": settings_page("en"),
        "settings.zh.md": settings_page("zh"),
        "metrics.md": metrics_page("en"),
        "metrics.zh.md": metrics_page("zh"),
        "cli.md": cli_page(),
        "banks.md": capabilities.page(_MADE, "en", reference_words.translator("en")),
        "banks.zh.md": capabilities.page(_MADE, "zh", reference_words.translator("zh")),
    }


# ---- settings ----------------------------------------------------------------------------------------------------


def settings_page(lang: Lang) -> str:
    """The text of the page of settings in one language: type, unit, default and meaning of each."""
    say, at_lang = reference_words.translator(lang), LANGS.index(lang)
    lines = [
        f"# {say('Settings')}",
        "",
        _MADE.strip(),
        "",
        _OTHER[lang].format(page="settings"),
        "",
        *reference_words.SETTINGS[at_lang].splitlines(),
        "",
    ]
    for at, model in _models():
        if at == _NOTICES:
            lines += ["# notices.toml", "", reference_words.NOTICES[at_lang], ""]
        if at == _SIGNER:
            lines += ["# signer.toml", "", reference_words.SIGNER[at_lang], ""]
        lines += [
            f"## {say(at) if at in (_TOP, _NOTICES, _SIGNER) else at}",
            "",
            say((model.__doc__ or "").split("\n")[0]),
            "",
            f"| {say('key')} | {say('type')} | {say('default')} | {say('meaning')} |",
            "|---|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            kind = _type(name, field, say)
            lines.append(f"| `{name}` | {kind} | {_default(field, say)} | {_cell(say(field.description or ''))} |")
        lines.append("")
    return "\n".join(lines)


def _models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table with its heading, each kind of table once, in the order in which a reader meets them."""
    seen: set[type[BaseModel]] = set()

    def walk(at: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
        if model in seen:
            return
        seen.add(model)
        yield at, model
        for name, field in model.model_fields.items():
            for inner, suffix in _inner(field.annotation):
                place = name if at in (_TOP, _NOTICES, _SIGNER) else f"{at.strip('`[]')}.{name}"
                yield from walk(f"`[[{place}]]`" if suffix == "list" else f"`[{place}{suffix}]`", inner)

    yield from walk(_TOP, settings.Settings)
    yield from walk(_NOTICES, NoticeFile)
    yield from walk(_SIGNER, SignerFile)


def _inner(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    for argument in arguments:
        for model, _suffix in _inner(argument):
            yield model, "list" if origin is tuple else ".NAME" if origin in (Mapping, _MAPPING) else ""


_MAPPING = get_origin(Mapping[str, str])


def _type(name: str, field: FieldInfo, say: Translate) -> str:
    patterns = {getattr(one, "pattern", None) for one in field.metadata}
    known = "name" if values.SLUG in patterns else "amount" if values.AMOUNT in patterns else None
    kind = say(known) if known else _words(field.annotation, say)
    unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), None)
    return say("{kind}, {unit}").format(kind=kind, unit=say(unit)) if unit and kind in _numbers(say) else kind


def _numbers(say: Translate) -> tuple[str, str]:
    return say("number"), say("whole number")


def _words(annotation: Any, say: Translate) -> str:
    for known, word in _NAMED.items():
        if annotation == known:
            return say(word)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], say)
    if origin in (Union, types.UnionType):
        return _words(next(one for one in arguments if one is not type(None)), say)
    if origin is Literal:
        return say(" or ").join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return say("list of {}").format(_words(arguments[0], say))
    if origin is _MAPPING:
        return say("table of {}").format(_words(arguments[1], say))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return say({settings.Secret: "secret", settings.KeyPlace: "key file"}.get(annotation, "table"))
    plain: Mapping[Any, str] = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        date: "date",
        time: "time",
    }
    return say(plain.get(annotation, "any value"))


def _default(field: FieldInfo, say: Translate) -> str:
    value = field.default
    if value is PydanticUndefined:
        return say("**required**")
    if value is None or value in ((), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- metrics -----------------------------------------------------------------------------------------------------

_LABELS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "alarm": ("{these}", {"these": ", ".join(meters.ALARMS)}),
    "bank": ("a table `banks.NAME`", {}),
    "code": ("an error code of the contract", {}),
    "company": ("`company` of an account in the settings; from the 201st on `other`", {}),
    "credential": ("a name in `expires` of the lane", {}),
    "destination": ("a table `destinations.NAME` of notices.toml", {}),
    "currency": ("an ISO 4217 code", {}),
    "key": ("the name of a signing key in the settings", {}),
    "kind": ("{these}", {"these": "unit, unreachable"}),
    "lane": ("`BANK.LOGIN`", {}),
    "operation": ("what was asked of the bank", {}),
    "outcome": ("{these}", {"these": ", ".join(meters.OUTCOMES)}),
    "queue": ("a queue that the gateway consumes", {}),
    "reason": (
        "why no connection came about, or one was given up; of not being ready {these}; of a lane's state what "
        "`bankgw lanes list` shows behind it",
        {"these": ", ".join(meters.NOT_READY)},
    ),
    "result": ("{these}, or an error code", {"these": "new, replayed, conflict, asked, answered, cancelled, repeated"}),
    "role": ("{these}", {"these": "client, ca, crl, signing, server"}),
    "stage": ("{these}", {"these": ", ".join(meters.STAGES)}),
    "state": (
        "a payment's state; of a company {company}; of a session {session}; of a lane {lane}",
        {
            "company": "held, ready, sent, in_doubt",
            "session": ", ".join(meters.SESSION_STATES),
            "lane": ", ".join(meters.LANE_STATES),
        },
    ),
    "trouble": ("{these}", {"these": ", ".join(meters.TROUBLES)}),
    "type": ("a command's name, or unknown", {}),
    "verdict": ("{these}", {"these": "confirmed, returned, nacked, refused, lost"}),
    "what": ("{these}", {"these": ", ".join(meters.UNKNOWN)}),
    "work": ("{these}", {"these": "send, enquire, escalate, returns, expire"}),
}
"""What the values of a label are: a text, and the names that it lists, which are the same in both languages."""


def metrics_page(lang: Lang) -> str:
    """The text of the page of metrics in one language: type, labels and meaning of each."""
    say = reference_words.translator(lang)
    registry = CollectorRegistry()
    made = [*_collectors(meters.Meters(registry)), *_collectors(meters.NoticeMeters(registry))]
    lines = [
        f"# {say('Metrics')}",
        "",
        _MADE.strip(),
        "",
        _OTHER[lang].format(page="metrics"),
        "",
        *reference_words.METRICS[LANGS.index(lang)].splitlines(),
        "",
        f"| {say('metric')} | {say('type')} | {say('labels')} | {say('meaning')} |",
        "|---|---|---|---|",
    ]
    used: set[str] = set()
    for metric in sorted(made, key=lambda one: one._name):
        used.update(metric._labelnames)
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        suffix = {"counter": "_total", "info": "_info"}.get(metric._type, "")
        name = f"{metric._name}{suffix}"
        lines.append(f"| `{name}` | {metric._type} | {labels} | {_cell(say(metric._documentation))} |")
    lines += ["", f"## {say('Labels')}", "", f"| {say('label')} | {say('values')} |", "|---|---|"]
    lines += [f"| `{label}` | {_label(label, say)} |" for label in sorted(used)]
    return "\n".join(lines) + "\n"


def _label(label: str, say: Translate) -> str:
    text, names = _LABELS[label]
    return (text if text == "{these}" else say(text)).format_map(names)


def _collectors(made: object) -> list[Any]:
    return [value for value in vars(made).values() if hasattr(value, "_labelnames")]


# ---- command line ------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """The text of the page of commands, with their arguments and options."""
    group: Any = typer.main.get_command(application.application())
    lines = ["# Command line", "", _MADE.strip(), "", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in exit_codes.MEANING.items()]
    lines += [
        "",
        "Commands that talk to the daemon use its control socket, which only root and the daemon's own user can",
        "open: run them as that user (`sudo -u bankgw bankgw status`). With `control.group_may_open` the daemon's",
        "group can too: its members may enrol, and do what their roles as persons allow ([roles](roles.md)), nothing",
        "else. Each change is in the audit trail under the user's name.",
        "",
        "## Commands",
        "",
    ]
    for name, command in _commands("bankgw", group):
        lines += _command(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for word in command.list_commands(None):
        yield from _commands(f"{name} {word}", subcommands[word])


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    yield f"### {name}"
    yield ""
    yield f"`{' '.join([name, *(one.metavar or one.name.upper() for one in arguments)])}`"
    yield ""
    yield re.sub(r"\n +", "\n", (command.help or "").strip())
    yield ""
    options = [one for one in command.params if getattr(one, "help", None) and not getattr(one, "hidden", False)]
    if options:
        yield "| | | default |"
        yield "|---|---|---|"
    for one in options:
        flags = one.metavar or one.name.upper() if one in arguments else ", ".join((*one.opts, *one.secondary_opts))
        variable = f" (`${one.envvar}`)" if getattr(one, "envvar", None) else ""
        yield f"| `{flags}` | {_cell(one.help)}{variable} | {_option_default(one, given=one in arguments)} |"
    if options:
        yield ""


def _option_default(option: Any, *, given: bool) -> str:
    if option.required:
        return "" if given else "**required**"
    value = option.default
    shown = isinstance(value, str | int | float | Path) and not isinstance(value, bool)
    return f"`{value}`" if shown else ""


def main(arguments: list[str]) -> int:
    """Compare the pages with the committed ones, or write them; returns the exit code."""
    different = [name for name, text in pages().items() if _read(FOLDER / name) != text]
    if "--write" in arguments:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in different:
            (FOLDER / name).write_text(pages()[name], "utf-8")
            print(f"wrote {FOLDER / name}")
        return 0
    for name in different:
        print(f"{FOLDER / name} is not what the program says; run python -m gateway.cli.reference --write")
    return 1 if different else 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
