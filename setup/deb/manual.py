"""The manual pages: bankgw(1), a page for each command, and bankgw.toml(5).

    python -m setup.deb.manual FOLDER VERSION

They are made from the command tree and the tables of the settings, as docs/lookup/cli.md and settings.md are. Pages are
packed into FOLDER/man1 and FOLDER/man5.
"""

from __future__ import annotations

import gzip
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from gateway.cli import application, exit_codes, reference

_ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$")


def pages(version: str) -> dict[str, str]:
    """Each page as roff, by its file name below the folder of manual pages."""
    group = typer.main.get_command(application.application())
    names = {name: list(_commands(name, one)) for name, one in getattr(group, "commands", {}).items()}
    found = {"man1/bankgw.1": _overview(version, names)}
    for name, commands in names.items():
        found[f"man1/bankgw-{name}.1"] = _command_page(version, name, commands)
    found["man5/bankgw.toml.5"] = _settings_page(version)
    return found


def _head(name: str, section: int, version: str, what: str) -> list[str]:
    return [
        f'.TH "{_plain(name.upper())}" {section} "" "bankgw {_plain(version)}"',
        ".SH NAME",
        f"{_plain(name)} \\- {_plain(what)}",
    ]


def _overview(version: str, names: dict[str, list[tuple[str, Any]]]) -> str:
    lines = [
        *_head("bankgw", 1, version, "payment gateway between RabbitMQ and banks"),
        ".SH SYNOPSIS",
        ".B bankgw",
        ".I COMMAND",
        "[\\fIOPTION\\fR ...]",
        ".SH DESCRIPTION",
        "Runs the gateway, asks it, and steers it. Commands that talk to the daemon use its control socket, which only",
        "root and the daemon's own user can open.",
        ".SH COMMANDS",
        "Each command has a page of its own:",
    ]
    for name, commands in names.items():
        for words, command in commands:
            lines += [".TP", f"\\fBbankgw {_plain(words)}\\fR", _plain(_first(command))]
        lines.append(f"See \\fBbankgw\\-{_plain(name)}\\fR(1).")
    return "\n".join([*lines, *_exit_status(), *_files()]) + "\n"


def _command_page(version: str, name: str, commands: list[tuple[str, Any]]) -> str:
    what = _first(commands[0][1]) if len(commands) == 1 else ", ".join(words for words, _command in commands)
    lines = [*_head(f"bankgw-{name}", 1, version, what), ".SH SYNOPSIS"]
    for words, command in commands:
        arguments = " ".join(f"\\fI{_plain(_shown(one))}\\fR" for one in _arguments(command))
        lines += [f".B bankgw {_plain(words)}", f"{arguments} [\\fIOPTION\\fR ...]".strip(), ".br"]
    lines.append(".SH DESCRIPTION")
    for words, command in commands:
        lines += [".SS bankgw " + _plain(words), *_paragraphs(command.help or "")]
        for parameter in command.params:
            told = " ".join((getattr(parameter, "help", "") or "").split())
            shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
            if parameter.param_type_name == "argument":
                shown = _shown(parameter)
            lines += [".TP", f"\\fB{_plain(shown)}\\fR", _plain(told) or "."]
    return "\n".join([*lines, *_exit_status(), *_files()]) + "\n"


def _settings_page(version: str) -> str:
    """The page of settings, from the same tables as docs/lookup/settings.md."""
    lines = _head("bankgw.toml", 5, version, "settings of bankgw")
    lines.append(".SH DESCRIPTION")
    for line in reference.settings_page("en").splitlines()[1:]:
        if line.startswith("## "):
            lines.append(".SH " + _plain(_unmarked(line[3:])))
        elif row := _ROW.match(line):
            cells = [cell.strip() for cell in row[2].split(" | ")]
            lines += [".TP", f"\\fB{_plain(row[1])}\\fR ({_plain(_unmarked(', '.join(filter(None, cells[:-1]))))})"]
            lines.append(_plain(_unmarked(cells[-1])) or ".")
        elif line and not line.startswith(("|", "<!--", "[中文]")):
            lines.append(_plain(_unmarked(line)))
        elif not line and lines[-1] != ".PP" and not lines[-1].startswith(".SH"):
            lines.append(".PP")
    return "\n".join([*lines, *_files()]) + "\n"


def _unmarked(text: str) -> str:
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "")


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in exit_codes.MEANING.items():
        yield from (".TP", f".B {code}", _plain(re.sub(r"[`*]", "", meaning)))


def _files() -> list[str]:
    return [
        ".SH FILES",
        ".TP",
        ".I /etc/bankgw/bankgw.toml",
        "Settings, see \\fBbankgw.toml\\fR(5); one file for each bank in conf.d beside it.",
        ".TP",
        ".I /usr/share/doc/bankgw",
        "The documentation; examples has settings to begin with.",
        ".SH SEE ALSO",
        "\\fBbankgw\\fR(1), \\fBbankgw.toml\\fR(5)",
    ]


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for word, one in subcommands.items():
        yield from _commands(f"{name} {word}".strip(), one)


def _arguments(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "argument"]


def _shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _first(command: Any) -> str:
    """The first sentence of a command's help, without its full stop."""
    text = " ".join((command.help or "").split())
    return re.split(r"(?<=[a-z0-9)`])[.;:](?: |$)", text, maxsplit=1)[0].rstrip(".")


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:
            yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write them."""
    folder, version = Path(sys.argv[1]), sys.argv[2]
    for name, text in pages(version).items():
        file = folder / f"{name}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        # Without a name and a time stamp, so that two builds give the same octets.
        file.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
