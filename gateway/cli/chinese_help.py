"""Help pages and errors of the command line in Chinese. Lines are wrapped by terminal columns, not by characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from gateway.cli import click_texts, terminal
from gateway.cli.terminal import columns_of, folded

_MOST_COLUMNS = 80
_LEAST_COLUMNS = 50
_NAMES_COLUMNS = 30
_GAP = 2
_INDENT = 2


class ChineseHelp:
    """A help page that is being written, with the methods that the command line library calls to write it."""

    def __init__(self) -> None:
        self.width = max(min(terminal.size().columns, _MOST_COLUMNS) - _GAP, _LEAST_COLUMNS)
        self._indented = 0
        self._written: list[str] = []

    def write_usage(self, program: str, pieces: str = "", prefix: str | None = None) -> None:
        """Write the usage line."""
        first = f"用法：{program} "
        lines = folded(click_texts.usage(pieces), self.width - columns_of(first))
        self._written.append(
            f"\n{' ' * columns_of(first)}".join([first + "".join(lines[:1]), *lines[1:]]).rstrip() + "\n"
        )

    def write_paragraph(self) -> None:
        """Write an empty line between two parts."""
        if self._written:
            self._written.append("\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs, each wrapped to the width of the page."""
        paragraphs = [" ".join(one.split("\n")) for one in re.split(r"\n\s*\n", text.strip())]
        room = self.width - self._indented
        self._written.append(
            "\n".join("".join(f"{self._margin}{line}\n" for line in folded(one, room)) for one in paragraphs)
        )

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write a list of names in one column and their descriptions in the other."""
        shown = [(click_texts.name_of(name), click_texts.option_help(about)) for name, about in rows]
        most = min(max((columns_of(name) for name, _about in shown), default=0), _NAMES_COLUMNS) + _GAP
        for name, about in shown:
            lines = folded(about, max(self.width - most - self._indented, _GAP))
            beside = lines and columns_of(name) <= most - _GAP
            self._written.append(f"{self._margin}{name}")
            self._written.append(" " * (most - columns_of(name)) + lines.pop(0) if beside else "")
            self._written.append("\n")
            for line in lines:
                self._written.append(f"{self._margin}{' ' * most}{line}\n")

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Write a section of the help page under its heading."""
        self.write_paragraph()
        self._written.append(f"{self._margin}{click_texts.heading(name)}：\n")
        with self.indentation():
            yield

    @contextmanager
    def indentation(self) -> Iterator[None]:
        """Indent the lines that are written inside the block."""
        self._indented += _INDENT
        try:
            yield
        finally:
            self._indented -= _INDENT

    @property
    def _margin(self) -> str:
        return " " * self._indented

    def getvalue(self) -> str:
        """The text of the page so far."""
        return "".join(self._written)


class _ChineseContext(typer.Context):
    def make_formatter(self) -> Any:
        return ChineseHelp()


def in_chinese(command: Any) -> None:
    """Make this command and its subcommands write their help pages in Chinese."""
    command.context_class = _ChineseContext
    for below in getattr(command, "commands", {}).values():
        in_chinese(below)


def usage_error(wrong: Any) -> str:
    """The text on stderr for a wrong command line, in Chinese: the usage, the way to the help, and the mistake."""
    context = wrong.ctx
    if type(wrong).__name__ == "NoArgsIsHelpError":
        return str(wrong.format_message())
    lines = []
    if context is not None:
        lines.append(context.get_usage())
        if context.command.get_help_option(context) is not None:
            lines.append(f"帮助：{context.command_path} {context.help_option_names[0]}")
        lines.append("")
    return "\n".join([*lines, f"错误：{click_texts.mistake(wrong.format_message())}"])
