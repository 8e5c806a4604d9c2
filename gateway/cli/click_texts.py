"""The Chinese of the command line library's own sentences: errors of the command line, and notes in help pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_TERMS: Mapping[str, str] = {"argument": "参数", "option": "选项", "parameter": "参数"}
_HEADINGS: Mapping[str, str] = {"Arguments": "参数", "Options": "选项", "Commands": "命令"}
_HELP: Mapping[str, str] = {
    "Show this message and exit.": "显示此帮助后结束。",
    "Install completion for the current shell.": "为当前 shell 安装命令补全。",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "显示当前 shell 的命令补全脚本，供复制或自行安装。"
    ),
}
_TYPES: Mapping[str, str] = {
    "<str>": "<文字>",
    "<list[str]>": "<文字>…",
    "<path>": "<路径>",
    "<list[Path]>": "<路径>…",
    "<int>": "<整数>",
    "<int range>": "<整数>",
    "<float>": "<数字>",
    "<float range>": "<数字>",
    "<seconds>": "<秒>",
}
_USAGE: Sequence[tuple[str, str]] = (("[OPTIONS]", "[选项]"), ("COMMAND [ARGS]...", "命令 [参数]..."))
_NOTES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"env var: "), "环境变量："),
    (re.compile(r"default: \(dynamic\)"), "默认：运行时决定"),
    (re.compile(r"default: "), "默认："),
    (re.compile(r"required(?=[\];])"), "必填"),
    (re.compile(r"; "), "；"),
)
_NOTE = re.compile(r"(?:^|  )\[(?=env var: |default: |required[\];]|x[<>]=|[-0-9.]+<=x)[^\n]*\]$")
_MISTAKES: Sequence[tuple[str, str]] = (
    (r"Invalid value for (?P<name>.+?): (?P<rest>.*)", "{name} 的值无效：{rest}"),
    (r"Invalid value: (?P<rest>.*)", "值无效：{rest}"),
    (r"Missing (?P<term>\w+) (?P<name>'.+?')\.(?: (?P<rest>.*))?", "缺少{term} {name}。{rest}"),
    (r"Missing (?P<term>\w+)\.", "缺少{term}。"),
    (r"Missing command\.", "缺少命令。"),
    (r"Choose from:(?P<name>.*)", "可选：{name}"),
    (r"No such option: (?P<name>\S+) \(Possible options: (?P<other>.+)\)", "没有选项 {name}（可能是 {other}）"),
    (r"No such option: (?P<name>.+)", "没有选项 {name}"),
    (r"No such command (?P<name>.+?)\.? Did you mean (?P<other>.+)\?", "没有命令 {name}。是否为 {other}？"),
    (r"No such command (?P<name>.+)\.", "没有命令 {name}。"),
    (r"Got unexpected extra argument\(s\) \((?P<name>.*)\)", "多余的参数：{name}"),
    (r"Option (?P<name>.+) requires an argument\.", "选项 {name} 需要一个值。"),
    (r"Option (?P<name>.+) requires (?P<other>\d+) arguments\.", "选项 {name} 需要 {other} 个值。"),
    (r"Option (?P<name>.+) does not take a value\.", "选项 {name} 不带值。"),
    (r"Argument (?P<name>.+) takes (?P<other>\d+) values\.", "参数 {name} 需要 {other} 个值。"),
    (r"Value error, (?P<rest>.*)", "{rest}"),
    (r"(?P<name>.+) is not one of (?P<other>.+)\.", "{name} 不在可选范围内：{other}。"),
    (r"Value (?P<name>.+) is not a valid (?P<other>.+)\.", "{name} 不是有效的 {other}。"),
    (r"Input should be greater than or equal to (?P<name>\S+)", "须不小于 {name}"),
    (r"Input should be less than or equal to (?P<name>\S+)", "须不大于 {name}"),
    (r"Input should be greater than (?P<name>\S+)", "须大于 {name}"),
    (r"Input should be less than (?P<name>\S+)", "须小于 {name}"),
    (r"Input should be a valid integer.*", "须为整数"),
    (r"Input should be a valid number.*", "须为数字"),
    (r"Input should be a finite number.*", "须为有限的数字"),
    (r"Input should be a valid boolean.*", "须为 true 或 false"),
    (r"Could not open file (?P<name>.+?): (?P<other>.*)", "无法打开文件 {name}：{other}"),
)


def mistake(english: str) -> str:
    """An error of the command line in Chinese. A sentence without a known translation stays in English."""
    for pattern, chinese in _MISTAKES:
        found = re.fullmatch(pattern, english, re.DOTALL)
        if found is not None:
            named = {name: value or "" for name, value in found.groupdict().items()}
            if "term" in named:
                named["term"] = _TERMS.get(named["term"], named["term"])
            if "rest" in named:
                named["rest"] = mistake(named["rest"])
            return chinese.format_map(named)
    return english


def heading(english: str) -> str:
    """A heading of a help page in Chinese."""
    return _HEADINGS.get(english, english)


def usage(english: str) -> str:
    """The pieces of a usage line, with the library's own placeholders in Chinese."""
    for old, new in _USAGE:
        english = english.replace(old, new)
    return english


def name_of(english: str) -> str:
    """An argument's or option's name, with the kind of its value in Chinese."""
    for old, new in _TYPES.items():
        english = english.replace(old, new)
    return english


def option_help(english: str) -> str:
    """An option's help with its notes in Chinese; also the help of the library's own options."""
    found = _NOTE.search(english)
    text, note = (english, "") if found is None else (english[: found.start()], found.group().strip())
    for pattern, chinese in _NOTES:
        note = pattern.sub(chinese, note)
    text = _HELP.get(text, text)
    return f"{text}  {note}" if text and note else text or note
