"""The command line in Chinese: help of every command, its options and arguments, and the library's own sentences."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli import (
    application,
    chinese_help,
    click_texts,
    command_texts,
    exit_codes,
    field_texts,
    option_texts,
    terminal,
)
from gateway.cli.commands import status
from gateway.cli.headings import IN_CHINESE as HEADINGS
from gateway.kernel.meters import TROUBLES
from gateway.language import lang_of
from tests.gateway.cli.chinese import CHINESE, ENVIRONMENT, english_in
from tests.gateway.cli.test_application import world

ROOT = Path(__file__).resolve().parents[3]
SAY = {"say", "warn", "leave", "line", "echo", "print", "prompt", "confirm", "confirmed", "hidden"}


def built(variables: Mapping[str, str]) -> Any:
    language = lang_of(variables)
    program = typer.main.get_command(application.application(language=language))
    if language == "zh":
        chinese_help.in_chinese(program)
    return program


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands below this one, the program itself first."""
    yield " ".join(words), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def texts(program: Any) -> Iterator[tuple[str, str]]:
    """The help of every command, group, option and argument, with its place."""
    for words, command in commands(program):
        yield words, command.help or ""
        for one in command.params:
            if not one.hidden:
                yield f"{words} {one.opts[0]}", click_texts.option_help(one.help or "")


def untranslated(program: Any) -> list[str]:
    return [place for place, text in texts(program) if not CHINESE.search(text) or english_in(text)]


@cache
def chinese() -> Any:
    return built(ENVIRONMENT)


@cache
def english() -> Any:
    return built({"LANG": "en_GB.UTF-8"})


def page(program: Any, words: str) -> str:
    context: Any = None
    command = program
    for word in (None, *words.split()):
        command = command if word is None else command.commands[word]
        context = command.context_class(command, info_name=word or "bankgw", parent=context)
    return str(command.get_help(context))


def test_every_help_is_chinese() -> None:
    assert len(list(commands(chinese()))) > 120
    assert untranslated(chinese()) == []


@pytest.mark.parametrize(
    ("module", "english_text", "place"),
    [
        (command_texts, "backup", "backup"),
        (command_texts, "audit", "audit"),
        (command_texts, "joint-test waive", "joint-test waive"),
        (option_texts, "Refuse to start on mistakes.", "run --check"),
        (option_texts, "A case, as `bankgw joint-test cases` names it.", "joint-test record case"),
    ],
)
def test_a_missing_text_is_found(module: Any, english_text: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(module.IN_CHINESE, english_text)
    assert place in untranslated(built(ENVIRONMENT))


def test_every_chinese_text_has_its_english() -> None:
    known = dict(commands(english()))
    assert sorted(command_texts.IN_CHINESE.keys() - known.keys()) == []
    said = {getattr(one, "help", None) for command in known.values() for one in command.params}
    assert sorted(option_texts.IN_CHINESE.keys() - said) == []


def test_every_help_page_fits_a_terminal_and_has_no_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words, _command in commands(chinese()):
        said = page(chinese(), words)
        assert english_in(said) == [], words
        assert said.startswith("用法：") and "选项：" in said and "显示此帮助后结束" in said
        assert "Options" not in said and "[default" not in said and "[required" not in said and "<str>" not in said
        # A name of the contract that is longer than the column stays whole.
        wide = [line for line in said.splitlines() if terminal.columns_of(line) > 80 and " " in line.strip()]
        assert wide == [], words


def test_english_help_is_the_librarys_own() -> None:
    said = page(english(), "orders list")
    assert said.startswith("Usage: bankgw orders list [OPTIONS]\n\n  List orders, the newest first.")
    assert "  --limit <int range>  At most so many, newest first.  [default: 50;\n" in said
    assert [place for place, text in texts(english()) if CHINESE.search(text) and "（" in text] == []


def test_lines_are_folded_by_columns() -> None:
    lines = terminal.folded("列出付款指令，最新的在前。", 12)
    assert "".join(lines) == "列出付款指令，最新的在前。"
    assert [one for one in lines if terminal.columns_of(one) > 14 or one[0] in "，。"] == []
    assert terminal.folded("由 `bankgw resolve` 批准", 12) == ["由 `bankgw", "resolve` 批", "准"]
    assert terminal.folded("", 10) == []


USAGE = [
    (("status", "--nope"), "没有选项 --nope"),
    (("status", "--wat", "3"), "没有选项 --wat（可能是 --wait, --watch）"),
    (("frob",), "没有命令 'frob'。"),
    (("orders", "lst"), "没有命令 'lst'。是否为 'list'？"),
    (("orders", "show"), "缺少参数 'ORDER'。"),
    (("lanes", "pause", "x"), "缺少选项 '--reason'。"),
    (("status", "extra"), "多余的参数：extra"),
    (("orders", "list", "--limit"), "选项 '--limit' 需要一个值。"),
    (("orders", "list", "--limit", "0"), "'--limit' 的值无效：须不小于 1"),
    (("orders", "list", "--limit", "1001"), "'--limit' 的值无效：须不大于 1000"),
    (("orders", "list", "--limit", "x"), "'--limit' 的值无效：须为整数"),
    (("lanes", "list", "--watch", "x"), "'--watch' 的值无效：须为数字"),
    (("banks", "--lang", "fr"), "'--lang' 的值无效：'fr' 不在可选范围内：'en', 'zh'。"),
    (("drain", "--off=3"), "选项 '--off' 不带值。"),
    (("run", "--nope"), "没有选项 --nope（可能是 --no-check）"),
]


@pytest.mark.parametrize(("words", "said"), USAGE, ids=[" ".join(words) for words, _said in USAGE])
def test_a_wrong_command_line_is_told_in_chinese(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert application.main(world(variables=ENVIRONMENT), words) == exit_codes.USAGE
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines()[-1] == f"错误：{said}"
    assert english_in(told.err) == [] and "Usage" not in told.err and "Try" not in told.err
    assert application.main(world(), words) == exit_codes.USAGE
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: ")


def test_a_wrong_command_line_is_english_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(world(variables=ENVIRONMENT), ["status", "--nope", "--json"]) == exit_codes.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["messages"] == ["No such option: --nope"]


def test_a_group_alone_shows_its_chinese_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(world(variables=ENVIRONMENT), ["audit"]) == exit_codes.USAGE
    assert capsys.readouterr().err.startswith("用法：bankgw audit [选项] 命令 [参数]...\n")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "zh_CN.GB18030", "LANG": "C"}, "zh"),
    ],
)
def test_the_environment_chooses(variables: dict[str, str], language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(world(variables=variables), ["--help"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("Usage: " if language == "en" else "用法：")


def test_an_interrupted_question_is_told_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_given: Any, **_more: Any) -> Any:
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", interrupted)
    for variables, said in ((ENVIRONMENT, "已中止！\n"), ({}, "Aborted!\n")):
        words = ["login", "--password", "--socket", "/nowhere"]
        assert application.main(world(variables=variables), words) == exit_codes.FAILED
        assert capsys.readouterr().err == said


def test_chinese_help_needs_nothing_heavy() -> None:
    asked = "import sys; from gateway.__main__ import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asked, "--help"],
        env={**os.environ, **ENVIRONMENT, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    assert "用法：bankgw" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"rich", "twisted", "sqlalchemy", "lxml", "pydantic", "gateway.web.console.code_texts"}


# ---- what commands print -----------------------------------------------------------------------------------------


_WORDS = re.compile(r"[a-z]{2,}.* .*[a-z]{2,}")


def plain(node: ast.expr) -> Iterator[str]:
    """The texts of an argument that are given in only one language."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(one.value) for one in parts if isinstance(one, ast.Constant))
        case ast.BinOp(left=left, right=right):
            yield from plain(left)
            yield from plain(right)
        case ast.IfExp(body=left, orelse=right):
            yield from plain(left)
            yield from plain(right)
        case ast.BoolOp(values=several):
            for one in several:
                yield from plain(one)


def sources() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted((ROOT / "gateway" / "cli").rglob("*.py")):
        if path.name != "reference.py":
            yield from ((path.name, node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


def test_what_a_command_prints_is_given_in_both_languages() -> None:
    found, count = [], 0
    for name, node in sources():
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for given in node.args if called in SAY else ():
            count += 1
            found += [f"{name}:{node.lineno} {text}" for text in plain(given) if _WORDS.search(text)]
            if isinstance(given, ast.Call) and getattr(given.func, "id", "") == "str":
                found.append(f"{name}:{node.lineno} a reason in English")
    assert count > 300 and found == []


def test_headings_written_by_hand_have_chinese() -> None:
    found: set[str] = set()
    for _name, node in sources():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            named = [one.id for one in node.targets if isinstance(one, ast.Name)]
            if any(one.strip("_").upper() in TABLES for one in named):
                texts_of = (one.value for one in node.value.values if isinstance(one, ast.Constant))
                found |= {str(one) for one in texts_of if one}
    assert len(found) > 70 and sorted(found - HEADINGS.keys()) == []


TABLES = {"COLUMNS", "WIDE", "ITEMS", "TOTALS", "FORECAST", "HISTORY", "OPEN", "EXCEPTIONS", "PROPOSED", "RUNS"}


def test_chinese_texts_have_no_english_sentence() -> None:
    for one in (
        *command_texts.IN_CHINESE.values(),
        *option_texts.IN_CHINESE.values(),
        *field_texts.IN_CHINESE.values(),
    ):
        assert english_in(one) == [], one


def test_every_trouble_has_chinese() -> None:
    assert sorted(status.TROUBLES) == sorted(TROUBLES)
