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
from gateway.cli import application, exit_codes
from gateway.kernel import meters
from gateway.notices.notice_file import NoticeFile
from gateway.settings import tables, values
from gateway.signer.signer_file import SignerFile

FOLDER = Path("docs") / "lookup"
_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_hours": "hours", "per_second": "a second"}
_NOTICES, _SIGNER = "top level of notices.toml", "top level of signer.toml"
_MADE = "<!-- Made by `python -m gateway.cli.reference --write`; edit the source, not this page. -->\n\n"
_NAMED = {values.Slug: "name", tables.AmountText: "amount", values.SettingsPath: "path"}


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "cli.md": cli_page(),
        "banks.md": capabilities.page(_MADE),
    }


# ---- settings ----------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """The text of the page of settings: type, unit, default and meaning of each."""
    lines = [
        "# Settings",
        "",
        _MADE.strip(),
        "",
        "The daemon reads `/etc/bankgw/bankgw.toml`, then every `conf.d/*.toml` beside it (one file per bank), then",
        "the environment: `BANKGW__WATCH__PORT=9465` sets `watch.port`. A key may stand in one file only; lists of",
        "tables (`[[accounts]]`) add up over the files. Relative paths are relative to the main file's folder.",
        "`bankgw check` finds every mistake at once and says where it is and what to do: see",
        "[bad settings](../do/bad-settings.md).",
        "",
        "Names are lower-case letters, digits and `_`, beginning with a letter, at most 31. Amounts are text with a",
        'point, such as `"50000.00"`. A secret is a table that names its place, never its value:',
        '`{ file = "broker.password" }` or `{ credential = "broker" }`.',
        "",
    ]
    for at, model in _models():
        if at == _NOTICES:
            lines += [
                "# notices.toml",
                "",
                "The file of `bankgw notices`, which the daemon does not read: [notices](../do/notices.md).",
                "",
            ]
        if at == _SIGNER:
            lines += [
                "# signer.toml",
                "",
                "The file of `bankgw signer`, which the daemon cannot change: [keys](../do/keys.md).",
                "",
            ]
        lines += [
            f"## {at}",
            "",
            (model.__doc__ or "").split("\n")[0],
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            kind = _type(name, field)
            lines.append(f"| `{name}` | {kind} | {_default(field)} | {_cell(field.description or '')} |")
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
                place = name if at in ("top level", _NOTICES, _SIGNER) else f"{at.strip('`[]')}.{name}"
                yield from walk(f"`[[{place}]]`" if suffix == "list" else f"`[{place}{suffix}]`", inner)

    yield from walk("top level", settings.Settings)
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


def _type(name: str, field: FieldInfo) -> str:
    patterns = {getattr(one, "pattern", None) for one in field.metadata}
    kind = "name" if values.SLUG in patterns else "amount" if values.AMOUNT in patterns else _words(field.annotation)
    unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), None)
    return f"{kind}, {unit}" if unit and kind in ("number", "whole number") else kind


def _words(annotation: Any) -> str:
    for known, word in _NAMED.items():
        if annotation == known:
            return word
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, types.UnionType):
        return _words(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if origin is _MAPPING:
        return f"table of {_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {settings.Secret: "secret", settings.KeyPlace: "key file"}.get(annotation, "table")
    plain: Mapping[Any, str] = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        date: "date",
        time: "time",
    }
    return plain.get(annotation, "any value")


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "**required**"
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

_LABELS = {
    "alarm": ", ".join(meters.ALARMS),
    "bank": "a table `banks.NAME`",
    "code": "an error code of the contract",
    "company": "`company` of an account in the settings; from the 201st on `other`",
    "credential": "a name in `expires` of the lane",
    "destination": "a table `destinations.NAME` of notices.toml",
    "currency": "an ISO 4217 code",
    "key": "the name of a signing key in the settings",
    "kind": "unit, unreachable",
    "lane": "`BANK.LOGIN`",
    "operation": "what was asked of the bank",
    "outcome": ", ".join(meters.OUTCOMES),
    "queue": "a queue that the gateway consumes",
    "reason": f"why no connection came about, or one was given up; of not being ready {', '.join(meters.NOT_READY)}; "
    "of a lane's state what `bankgw lanes list` shows behind it",
    "result": "new, replayed, conflict, asked, answered, cancelled, repeated, or an error code",
    "role": "client, ca, crl, signing, server",
    "stage": ", ".join(meters.STAGES),
    "state": "a payment's state; of a company held, ready, sent, in_doubt; "
    f"of a session {', '.join(meters.SESSION_STATES)}; of a lane "
    f"{', '.join(meters.LANE_STATES)}",
    "trouble": ", ".join(meters.TROUBLES),
    "type": "a command's name, or unknown",
    "verdict": "confirmed, returned, nacked, refused, lost",
    "what": ", ".join(meters.UNKNOWN),
    "work": "send, enquire, escalate, returns, expire",
}


def metrics_page() -> str:
    """The text of the page of metrics: type, labels and meaning of each."""
    registry = CollectorRegistry()
    made = [*_collectors(meters.Meters(registry)), *_collectors(meters.NoticeMeters(registry))]
    lines = [
        "# Metrics",
        "",
        _MADE.strip(),
        "",
        "Served at `/metrics` ([settings](settings.md) `watch.host` and `watch.port`), beside `/healthz` (the process",
        "lives) and `/readyz` (503 with reasons unless the journal writes, the broker is consumed, a lane is ready).",
        "Times are seconds since 1970, so that `time() - metric` is an age. Labels come from closed sets; an order, an",
        "account or an amount is never one. `process_*` (memory, processor, open files) are the usual ones",
        "of a Prometheus client. `bankgw_notices_*` are served by `bankgw notices run` at a port of its own.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    used: set[str] = set()
    for metric in sorted(made, key=lambda one: one._name):
        used.update(metric._labelnames)
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        suffix = {"counter": "_total", "info": "_info"}.get(metric._type, "")
        name = f"{metric._name}{suffix}"
        lines.append(f"| `{name}` | {metric._type} | {labels} | {_cell(metric._documentation)} |")
    lines += ["", "## Labels", "", "| label | values |", "|---|---|"]
    lines += [f"| `{label}` | {_LABELS[label]} |" for label in sorted(used)]
    return "\n".join(lines) + "\n"


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
