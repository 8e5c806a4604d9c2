"""`bankgw`: one command with nouns and verbs, listed in groups. The reference page is generated from here.

Command modules import large modules inside their functions, so that `--version`, `--help` and commands that only ask
the daemon start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual, said
from gateway.cli import completion, exit_codes, output, plain_values, terminal
from gateway.cli.help_pages import GroupedCommands
from gateway.cli.terminal import ColourChoice
from gateway.language import Lang, lang_of

if TYPE_CHECKING:
    from gateway.cli.environment import Environment

HELP: Bilingual = (
    """银企直联网关 — carries payment orders from RabbitMQ to banks and back. Every payment, exactly once.

Exit codes: 0 done · 1 failed · 2 wrong command line · 3 refused or waits for approval · 4 in doubt ·
69 unavailable · 78 wrong settings · 141 the output was cut off.""",
    """银企直联网关 — 在 RabbitMQ 与银行之间传递付款指令。每一笔付款，恰好一次。

退出码：0 完成 · 1 失败 · 2 命令行写错 · 3 被拒绝或等待审批 · 4 结果未知 ·
69 暂时无法访问 · 78 设置有误 · 141 输出写不出去。""",
)

# The error of a wrong command line; typer exports only this descendant of it.
_COLOUR = "--color"
_SHARED = {"--config": True, "-c": True, "--socket": True, "--json": False}
"""Options that all commands share, and whether each takes a value."""
_WRONG_WORDS: Any = typer.BadParameter.__mro__[2]


def application(*, daemon: bool = False, language: Lang = "en", words: Sequence[str] | None = None) -> typer.Typer:
    """The commands with help in this language; the environment is the context's object.

    All commands, only that of the daemon, or only those that the command line `words` (without `--color`) needs.
    """
    app = typer.Typer(
        name="bankgw",
        help=said(HELP, language),
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        cls=GroupedCommands,
    )
    if daemon:
        app.callback()(_options)
        from gateway.cli.commands import run

        app.command("run")(run.run)
    elif words is not None and tuple(words) == ("--version",):
        app.callback()(_options)
    else:
        from gateway.cli import act_commands, every_command

        app.callback()(act_commands.in_language(_options, language))
        every_command.add(app, language, words)
    return app


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"bankgw {context.obj.version()}")
        raise typer.Exit(exit_codes.OK)


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    colour: Annotated[
        ColourChoice,
        typer.Option(
            "--color",
            metavar="WHEN",
            show_default=False,
            help="Use colours: always, never, or auto: on a terminal without NO_COLOR.",
        ),
    ] = "auto",
) -> None:
    terminal.choose_colour(colour)


def main(environment: Environment, arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code. With `--json` the error of a wrong command line is JSON too."""
    output.tell_errors_in_words()
    language = lang_of(environment.variables)
    output.speak(language)
    words = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in words
    words = _colour_first(_shared_last(words))
    typed = completion.prepare(words, environment.variables)
    command = _command(words if typed is None else typed, language)
    try:
        # The library's own sentences are English, so their Chinese is written here.
        alone = language == "en" and not as_json
        result = command.main(args=words, prog_name="bankgw", obj=environment, standalone_mode=alone)
    except _WRONG_WORDS as wrong:
        if as_json:
            output.tell_json_error(wrong.exit_code, [wrong.format_message()])
        else:
            from gateway.cli import chinese_help

            output.warn(chinese_help.usage_error(wrong))
        return int(wrong.exit_code)
    except typer.Abort:
        if as_json:
            output.tell_json_error(exit_codes.FAILED, ["interrupted at a question; nothing was changed"])
        else:
            output.warn("已中止！")
        return exit_codes.FAILED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else exit_codes.OK if ended.code is None else exit_codes.FAILED
    return result if isinstance(result, int) else exit_codes.OK


def _shared_last(words: list[str]) -> list[str]:
    """The command line with the options that all commands share moved behind the command, for people who write them
    before it.
    """
    moved: list[str] = []
    rest = list(words)
    while rest and rest[0].partition("=")[0] in _SHARED:
        option, equals, _value = rest[0].partition("=")
        size = 1 if equals or not _SHARED[option] else 2
        moved, rest = moved + rest[:size], rest[size:]
    if not rest:
        return words
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *moved, *rest[end:]]


def _colour_first(words: list[str]) -> list[str]:
    """The command line with `--color` in front of the command, wherever it stands, as people write it after the
    command too."""
    for at, word in enumerate(words):
        name, equals, choice = word.partition("=")
        if word == "--":
            break
        if name == _COLOUR and (equals or words[at + 1 : at + 2]):
            rest = [*words[:at], *words[at + (1 if equals else 2) :]]
            return [_COLOUR, choice if equals else words[at + 1], *rest]
    return words


def _command(words: Sequence[str], language: Lang) -> Any:
    """The typer program for this command line: only the daemon's own command for a daemon, unless Chinese help is asked
    for."""
    daemon = words[:1] == ["run"] and not (language == "zh" and {"-h", "--help"}.intersection(words))
    named = words[2:] if words[:1] == [_COLOUR] else words
    command = typer.main.get_command(application(daemon=daemon, language=language, words=named))
    plain_values.read_plainly(command)
    if language == "zh":
        from gateway.cli import chinese_help

        chinese_help.in_chinese(command)
    return command
