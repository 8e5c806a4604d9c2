"""The manual page bankgw(1), from the same command tree as docs/lookup/cli.md: python -m setup.deb.manual >bankgw.1"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from gateway.cli import application, exit_codes


def page() -> str:
    """The page as roff."""
    group = typer.main.get_command(application.application())
    lines = [
        ".TH BANKGW 1", ".SH NAME", "bankgw \\- payment gateway between RabbitMQ and banks", ".SH SYNOPSIS",
        ".B bankgw", ".I COMMAND", "[\\fIOPTION\\fR ...]", ".SH DESCRIPTION",
        "Runs the gateway, asks it, and steers it. Commands that talk to the daemon use its control socket, which only",
        "root and the daemon's own user can open.", ".SH COMMANDS",
    ]  # fmt: skip
    for name, command in _commands("", group):
        lines += [".SS " + _plain(name), *_paragraphs(command.help or "")]
        for parameter in command.params:
            words = ", ".join([*parameter.opts, *parameter.secondary_opts])
            told = " ".join((getattr(parameter, "help", "") or "").split())
            lines += [".TP", f"\\fB{_plain(words)}\\fR", _plain(told) or "."]
    lines += [".SH EXIT STATUS"]
    for code, meaning in exit_codes.MEANING.items():
        lines += [".TP", f".B {code}", _plain(re.sub(r"[`*]", "", meaning))]
    lines += [".SH FILES", ".TP", ".I /etc/bankgw/bankgw.toml", "Settings; one file for each bank in conf.d beside it.",
              ".TP", ".I /usr/share/doc/bankgw", "The documentation; examples has settings to begin with."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for word, one in subcommands.items():
        yield from _commands(f"{name} {word}".strip(), one)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:
            yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Print it."""
    print(page(), end="")


if __name__ == "__main__":
    main()
