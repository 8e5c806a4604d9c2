"""Cases of one's own: TOML files of a bank or a customer, beside the plan of a run.

    [[case]]
    id = "no-cover"                        # small letters, digits, - and .; no case of the catalogue has it
    title = "no cover: the ERP sees the bank's words"
    title_zh = "余额不足：ERP 显示银行原文"     # optional
    cause = "bank"                         # erp (default), bank, proxy or hand
    seen = ["twin"]                        # default: bank and twin

    [[case.step]]
    do = "order"                           # order, again, cancel, ask, line, clock or pause
    kind = "payment"
    change = { "/amount" = "12.00" }
    trigger = "no-funds"                   # what the bank must make of it
    expect = { states = ["failed"], words = ["余额不足|insufficient_funds"] }

A case without steps is one of the catalogue's form (`play`). All mistakes of all files are told at once, each with
file, line, key and remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gateway.jointtest.cases import STEPS_PLAY, BadCase, Case, CaseStep, ExpectedResult, StepKind, derive_template
from gateway.jointtest.player import COMMANDS
from gateway.jointtest.runner import PLAYS
from gateway.jointtest.verdicts import ConditionCause, SeenAt
from gateway.language import Bilingual
from gateway.simbank.faults import BankFault
from protocols.bank import Bank, Questions
from protocols.canon.order import Kind
from protocols.canon.outcome import State

_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,59}")
_HEADER = re.compile(r"\s*\[")
_CASE_HEADER = re.compile(r"\s*\[\[\s*case\s*\]\]")
_STEP_HEADER = re.compile(r"\s*\[\[\s*case\s*\.\s*step\s*\]\]")
_STATES = frozenset(state.value for state in State)
_EXPECT = frozenset(one.name for one in fields(ExpectedResult))
_LINES = ("down", "up", "swallow")
_PAUSE_MOST_S = 600
_BOTH: Mapping[str, tuple[type, ...]] = {"title": (str,), "title_zh": (str,)}
_CASE_TYPES: Mapping[str, tuple[type, ...]] = {
    **_BOTH,
    "id": (str,),
    "cause": (str,),
    "seen": (list,),
    "money": (bool,),
    "exclusive": (bool,),
    "step": (list,),
}
_TEMPLATE_TYPES: Mapping[str, tuple[type, ...]] = {
    **_CASE_TYPES,
    "play": (str,),
    "kinds": (list,),
    "fields": (str,),
    "asks": (str,),
    "change": (dict,),
    "trigger": (str,),
    "fault": (str,),
    "repeat": (int,),
    "other": (dict,),
    "size": (int,),
    "form": (str,),
    "steps": (str,),
    "steps_zh": (str,),
    "expect": (dict,),
}
_STEP_TYPES: Mapping[str, tuple[type, ...]] = {
    "do": (str,),
    "kind": (str,),
    "change": (dict,),
    "size": (int,),
    "trigger": (str,),
    "fault": (str,),
    "question": (str,),
    "fields": (dict,),
    "line": (str,),
    "days": (int,),
    "seconds": (int, float),
    "expect": (dict,),
}
_OF_STEP: Mapping[StepKind, frozenset[str]] = {
    StepKind.ORDER: frozenset({"kind", "change", "size", "trigger", "fault", "expect"}),
    StepKind.AGAIN: frozenset({"change", "expect"}),
    StepKind.CANCEL: frozenset({"expect"}),
    StepKind.ASK: frozenset({"question", "fields", "expect"}),
    StepKind.LINE: frozenset({"line"}),
    StepKind.CLOCK: frozenset({"days"}),
    StepKind.PAUSE: frozenset({"seconds"}),
}
_EXPECT_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_EXPECT - {"at", "executions"}, (list,)),
    "at": (str,),
    "executions": (int,),
}


@dataclass(frozen=True, slots=True)
class CaseMistake:
    """One mistake in a case file: where it is, what is wrong, and what to do."""

    file: str
    line: int
    where: Bilingual
    text: Bilingual

    def said(self) -> Bilingual:
        """The mistake in one line."""
        place = f"{self.file}:{self.line}: "
        return f"{place}{self.where[0]}: {self.text[0]}", f"{place}{self.where[1]}：{self.text[1]}"


class BadCaseFiles(ValueError):
    """Case files that cannot be used. `mistakes` has all mistakes of all files."""

    def __init__(self, mistakes: Sequence[CaseMistake]) -> None:
        super().__init__("\n".join(one.said()[0] for one in mistakes))
        self.mistakes = tuple(mistakes)


def own_cases(folder: Path, bank: Bank, catalogue: Sequence[Case] = ()) -> tuple[Case, ...]:
    """The cases of all `*.toml` in a folder, by file name; none if there is no folder. Raises BadCaseFiles."""
    taken = {case.id: ("the catalogue", "案例目录") for case in catalogue}
    mistakes: list[CaseMistake] = []
    made: list[Case] = []
    for file in sorted(folder.glob("*.toml")):
        reading = _Reading(file, taken)
        cases = reading.cases(bank)
        mistakes += sorted(reading.mistakes, key=lambda one: one.line)
        made += cases
    if mistakes:
        raise BadCaseFiles(mistakes)
    return tuple(made)


class _Reading:
    """Reads one file and collects its mistakes."""

    def __init__(self, file: Path, taken: dict[str, Bilingual]) -> None:
        self.file = file
        self.mistakes: list[CaseMistake] = []
        self._taken = taken
        self._lines: list[str] = []
        self._number = 0
        self._step: int | None = None
        self._id = "?"

    def cases(self, bank: Bank) -> list[Case]:
        """The cases of the file; none if it has a mistake."""
        tables = self._tables()
        for self._number, table in enumerate(tables):
            self._step, self._id = None, str(table.get("id", "?"))
            self._check_case(table)
        if self.mistakes:
            return []
        return [case for self._number, table in enumerate(tables) for case in self._made(table, bank)]

    def _tables(self) -> list[dict[str, Any]]:
        try:
            text = self.file.read_text("utf-8")
            self._lines = text.splitlines()
            tables = tomllib.loads(text)
        except OSError as error:
            self._wrong("", f"cannot be read ({error.strerror})", f"无法读取（{error.strerror}）", line=1)
            return []
        except ValueError as error:  # not UTF-8, not TOML
            at = re.search(r"at line (\d+)", str(error))
            self._wrong("", f"is not TOML in UTF-8: {error}", f"不是 UTF-8 的 TOML：{error}", int(at[1]) if at else 1)
            return []
        found = tables.pop("case", [])
        for key in tables:
            self._wrong(key, "only [[case]] tables may stand here; remove it", "此处只能有 [[case]]；请删除", line=1)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self._wrong("case", "write [[case]], with two brackets", "应写作 [[case]]，两层方括号", line=1)
            return []
        if not found and not tables:
            self._wrong(
                "", "has no [[case]]; write one, or remove the file", "没有 [[case]]；请填写或删除该文件", line=1
            )
        return found

    # ---- one case ----

    def _check_case(self, table: Mapping[str, Any]) -> None:
        has_steps = "step" in table
        types = _CASE_TYPES if has_steps else _TEMPLATE_TYPES
        self._check_keys(table, types)
        id_ = table.get("id")
        if not isinstance(id_, str) or not _ID.fullmatch(id_):
            self._wrong("id", "needs an id of small letters, digits, - and .", "须有 id：小写字母、数字、- 与 .")
        elif id_ in self._taken:
            where = self._taken[id_]
            remedy = (f"{id_} is there already, in {where[0]}; take another", f"{id_} 已在{where[1]}中；请换一个")
            self._wrong("id", *remedy)
        else:
            self._taken[id_] = (self.file.name, f" {self.file.name} ")
        if not table.get("title"):
            self._wrong("title", "is missing; say what the case shows", "缺少；请写明用例要说明什么")
        self._one_of("cause", table.get("cause", "erp"), [one.value for one in ConditionCause])
        for one in _list(table.get("seen", ())):
            self._one_of("seen", one, [where.value for where in SeenAt])
        if has_steps:
            self._check_steps(_list(table.get("step")))
        else:
            self._check_template(table)

    def _check_template(self, table: Mapping[str, Any]) -> None:
        if not table.get("play"):
            self._wrong("play", "is missing; or write [[case.step]] tables", "缺少；或改用 [[case.step]]")
        else:
            self._one_of("play", table["play"], sorted(PLAYS))
        for one in _list(table.get("kinds", ())):
            self._one_of("kinds", one, [kind.value for kind in Kind])
        if "asks" in table:
            self._one_of("asks", table["asks"], [one.name for one in fields(Questions)])
        self._check_shared(table)

    def _check_steps(self, steps: Sequence[Any]) -> None:
        has_order = False
        for self._step, step in enumerate(steps):
            if not isinstance(step, dict):
                self._wrong("step", "write [[case.step]] tables", "应写作 [[case.step]]")
                continue
            known = self._one_of("do", step.get("do"), [one.value for one in StepKind])
            if not known:
                continue
            kind = StepKind(step["do"])
            self._check_keys(step, {name: _STEP_TYPES[name] for name in ("do", *sorted(_OF_STEP[kind]))})
            if kind in (StepKind.AGAIN, StepKind.CANCEL) and not has_order:
                self._wrong("do", "no order was given before; put one first", "之前没有提交过指令；请先提交")
            has_order = has_order or kind is StepKind.ORDER
            self._check_step(kind, step)
        self._step = None

    def _check_step(self, kind: StepKind, step: Mapping[str, Any]) -> None:
        if kind is StepKind.ORDER:
            self._one_of("kind", step.get("kind", "payment"), sorted(COMMANDS))
        if kind is StepKind.ASK and not step.get("question"):
            self._wrong("question", "is missing, such as balance.query", "缺少，例如 balance.query")
        if kind is StepKind.LINE:
            self._one_of("line", step.get("line"), _LINES)
        seconds = step.get("seconds", 0)
        if kind is StepKind.PAUSE and isinstance(seconds, int | float) and not 0 < seconds <= _PAUSE_MOST_S:
            words = (f"needs seconds, up to {_PAUSE_MOST_S}", f"须填秒数，不超过 {_PAUSE_MOST_S}")
            self._wrong("seconds", *words)
        if kind is StepKind.CLOCK and step.get("days") not in (-1, 0, 1):
            self._wrong("days", "is -1, 0 or 1", "应为 -1、0 或 1")
        self._check_shared(step)

    def _check_shared(self, table: Mapping[str, Any]) -> None:
        size, items = table.get("size", 3), _list(_table(table.get("expect")).get("items"))
        if items and len(items) != size:
            english = f"names {len(items)} states, and size is {size}: write one state for each item"
            self._wrong("expect.items", english, f"有 {len(items)} 个状态，而 size 为 {size}：每笔写一个状态")
        if table.get("fault"):
            self._one_of("fault", table["fault"], [one.value for one in BankFault])
        for pointer in _table(table.get("change")):
            if not pointer.startswith("/"):
                remedy = (f'write "/{pointer}": a JSON pointer', f"应写作 “/{pointer}”（JSON pointer）")
                self._wrong("change", *remedy)
        expect = table.get("expect")
        if isinstance(expect, dict):
            self._check_keys(expect, _EXPECT_TYPES, "expect")
            for name in ("states", "through", "items"):
                for state in _list(expect.get(name, ())):
                    self._one_of(f"expect.{name}", state, sorted(_STATES))

    # ---- mistakes ----

    def _check_keys(self, table: Mapping[str, Any], types: Mapping[str, tuple[type, ...]], at: str = "") -> None:
        for key, value in table.items():
            name = f"{at}.{key}".lstrip(".")
            if key not in types:
                self._unknown(name, key, list(types), ("no such key", "没有这个键"))
            elif not isinstance(value, types[key]) or (isinstance(value, bool) and bool not in types[key]):
                wanted = " or ".join(_TYPE_WORDS[one][0] for one in types[key])
                chinese = "或".join(_TYPE_WORDS[one][1] for one in types[key])
                self._wrong(name, f"must be {wanted}", f"应为{chinese}")

    def _one_of(self, key: str, value: object, known: Sequence[str]) -> bool:
        if isinstance(value, str) and value in known:
            return True
        self._unknown(key, str(value), known, (f"{value!r} is not known", f"没有 {value!r}"))
        return False

    def _unknown(self, key: str, value: str, known: Sequence[str], text: Bilingual) -> None:
        close = get_close_matches(value, known, 1)
        there = ", ".join(known)
        english = f"did you mean {close[0]}?" if close else f"there are {there}"
        chinese = f"是否为 {close[0]}？" if close else f"可用的是 {there}"
        self._wrong(key, f"{text[0]}; {english}", f"{text[1]}；{chinese}")

    def _wrong(self, key: str, english: str, chinese: str, line: int | None = None) -> None:
        where = self._where(key) if line is None else (key or "file", key or "文件")
        place = self._line_of(key) if line is None else line
        self.mistakes.append(CaseMistake(str(self.file), place, where, (english, chinese)))

    def _where(self, key: str) -> Bilingual:
        step = ("", "") if self._step is None else (f" step {self._step + 1}", f"第 {self._step + 1} 步")
        return f"case {self._id}{step[0]}: {key}", f"用例 {self._id}{step[1]}：{key}"

    def _line_of(self, key: str) -> int:
        """The line of a key of the present case or step; the line of its header if the key is not found."""
        start = self._header(_CASE_HEADER, self._number, 0)
        if self._step is not None:
            start = self._header(_STEP_HEADER, self._step, start)
        name = re.compile(rf'\s*"?{re.escape(key.partition(".")[0])}"?\s*=')
        for number in range(start + 1, len(self._lines)):
            if _CASE_HEADER.match(self._lines[number]) or _STEP_HEADER.match(self._lines[number]):
                break
            if name.match(self._lines[number]):
                return number + 1
        return start + 1

    def _header(self, pattern: re.Pattern[str], count: int, start: int) -> int:
        """The index of the header number `count` from the line `start` on."""
        found = [number for number in range(start, len(self._lines)) if pattern.match(self._lines[number])]
        return found[count] if count < len(found) else start

    # ---- made ----

    def _made(self, table: Mapping[str, Any], bank: Bank) -> Iterator[Case]:
        steps = table.get("step")
        if steps is None:
            plain = {"title_zh": table["title"], **table}
            try:
                yield from derive_template(self.file.stem, plain, bank)
            except BadCase as error:
                self._wrong("id", str(error), str(error))
            return
        script = tuple(_step(one) for one in steps)
        kinds = {one.kind for one in script if one.do is StepKind.ORDER}
        lacking = sorted(kinds - {kind.value for kind in bank.money.keys() | bank.bundles.keys()})
        only_twin = any(one.fault or one.do is StepKind.CLOCK for one in script)
        seen = tuple(SeenAt(where) for where in table.get("seen", ("twin",) if only_twin else ("bank", "twin")))
        yield Case(
            id=table["id"],
            title=table["title"],
            title_zh=table.get("title_zh", table["title"]),
            section=self.file.stem,
            play=STEPS_PLAY,
            cause=ConditionCause(table.get("cause", "erp")),
            seen=seen,
            trigger=next((one.trigger for one in script if one.trigger), ""),
            exclusive=True,
            money=table.get("money", any(one.do is StepKind.ORDER for one in script)),
            lacks=f"this bank declares no {', '.join(lacking)}" if lacking else "",
            script=script,
        )


_TYPE_WORDS: Mapping[type, Bilingual] = {
    str: ("text in quotes", "加引号的文本"),
    int: ("a whole number", "整数"),
    float: ("a number", "数"),
    bool: ("true or false", "true 或 false"),
    list: ("a list in [ ]", "[ ] 中的列表"),
    dict: ("a table in { }", "{ } 中的表"),
}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _step(table: Mapping[str, Any]) -> CaseStep:
    values = {key: value for key, value in table.items() if key not in ("do", "expect")}
    told = table.get("expect", {}).items()
    expect: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told}
    kind = StepKind(table["do"])
    if kind is StepKind.ORDER:
        values.setdefault("kind", "payment")
    return CaseStep(do=kind, expect=ExpectedResult(**expect), **values)
