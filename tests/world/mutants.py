"""Small defects for the money core, made one at a time: each changes one place of the source.

A mutant is named by file, function, what was changed, and the line as it stands: names survive edits elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_COMPARES: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitOr: ast.Sub,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
_NOT_MONEY = ("_log.", "meters.", ".words.", "_observe", ".observe(")
"""Lines that only log or count are left alone."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect: its file, its name, and the whole source with it."""

    file: str
    name: str
    line: int
    source: str


def mutants_of(file: str) -> list[Mutant]:
    """Every mutant of a file of the checkout, in the order of its lines."""
    text = (ROOT / file).read_text("utf-8")
    lines = text.splitlines()
    tree = ast.parse(text)
    _parents(tree)
    found: dict[str, Mutant] = {}
    same = ast.unparse(tree)
    for node in ast.walk(tree):
        if not _counts(node, lines):
            continue
        for what, changed in _changes(node):
            line = getattr(node, "lineno", 0)
            base = name = f"{file}::{_where(node)}::{what}::{lines[line - 1].strip()}"
            again = 1
            while name in found:
                again += 1
                name = f"{base} ({again})"
            source = _with(tree, node, changed)
            if source != same:
                found[name] = Mutant(file, name, line, source)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _parents(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child._parent = node  # type: ignore[attr-defined]


def _up(node: ast.AST) -> Iterator[ast.AST]:
    at: Any = node
    while at is not None:
        yield at
        at = getattr(at, "_parent", None)


def _counts(node: ast.AST, lines: list[str]) -> bool:
    """Whether a change of this node can affect money: logs, types, imports and texts cannot."""
    for above in _up(node):
        if isinstance(above, ast.Import | ast.ImportFrom | ast.Assert | ast.Raise):
            return False
        if isinstance(above, ast.AnnAssign) and _within(node, above.annotation):
            return False
        if isinstance(above, ast.arg) or (
            isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef)
            and (
                any(_within(node, one) for one in above.decorator_list)
                or (above.returns and _within(node, above.returns))
            )
        ):
            return False
        if isinstance(above, ast.If) and ast.unparse(above.test) == "TYPE_CHECKING":
            return False
        if isinstance(above, ast.Expr):
            words = ast.unparse(above)
            if any(word in words for word in _NOT_MONEY) or isinstance(above.value, ast.Constant):
                return False
        if isinstance(above, ast.ClassDef) and any(_within(node, one) for one in above.decorator_list):
            return False
        if isinstance(above, ast.Assign) and ast.unparse(above).startswith(("_log", "T = ", "R = ")):
            return False
    return True


def _within(node: ast.AST, tree: ast.AST) -> bool:
    return any(one is node for one in ast.walk(tree))


def _where(node: ast.AST) -> str:
    names = [
        above.name for above in _up(node) if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    rules = [
        above.args[0].value
        for above in _up(node)
        if isinstance(above, ast.Call) and ast.unparse(above.func) == "Rule" and isinstance(above.args[0], ast.Constant)
    ]
    return ".".join([*reversed(names), *map(str, rules)]) or "module"


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """The replacements for the node; None removes it."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _COMPARES.get(type(node.ops[0]), ()):
            yield f"{_word(node.ops[0])} becomes {_word(other())}", ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{_word(node.op)} becomes {_word(other_op)}", ast.BoolOp(other_op, node.values)
        for n in range(len(node.values)):
            rest = node.values[:n] + node.values[n + 1 :]
            yield f"part {n + 1} is gone", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not is gone", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        yield (
            f"{_word(node.op)} becomes {_word(_SUMS[type(node.op)]())}",
            ast.BinOp(node.left, _SUMS[type(node.op)](), node.right),
        )
    elif isinstance(node, ast.Constant) and not isinstance(getattr(node, "_parent", None), ast.JoinedStr):
        yield from _constants(node)
    elif isinstance(node, ast.IfExp):
        yield "always the first", node.body
        yield "always the second", node.orelse
    elif isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Constant):
        yield "never", type(node)(ast.Constant(False), node.body, node.orelse)
        if isinstance(node, ast.If):
            yield "always", ast.If(ast.Constant(True), node.body, node.orelse)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        yield "is not done", ast.Pass()
    elif isinstance(node, ast.Tuple | ast.Set) and isinstance(
        node.ctx if isinstance(node, ast.Tuple) else ast.Load(), ast.Load
    ):
        yield from _fewer(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST | None]]:
    if isinstance(node.value, bool):
        yield f"{node.value} becomes {not node.value}", ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        # Nobody would, or should, notice a long time that is longer by one.
        other = node.value + 1 if node.value < 10 else node.value * 10
        yield f"{node.value} becomes {other}", ast.Constant(other)


def _fewer(node: ast.Tuple | ast.Set) -> Iterator[tuple[str, ast.AST | None]]:
    parent = getattr(node, "_parent", None)
    if isinstance(parent, ast.Subscript | ast.Assign | ast.Return | ast.For | ast.comprehension) and len(node.elts) < 3:
        return  # a pair that is unpacked elsewhere would only crash
    if isinstance(parent, ast.Assign) and ast.unparse(parent).startswith("TABLE"):
        return  # whole rows are changed one by one
    for n, gone in enumerate(node.elts):
        if isinstance(gone, ast.Starred):
            continue
        rest = node.elts[:n] + node.elts[n + 1 :]
        yield (
            f"without {ast.unparse(gone)[:40]}",
            ast.Tuple(rest, ast.Load()) if isinstance(node, ast.Tuple) or not rest else ast.Set(rest),
        )


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST | None]]:
    name = ast.unparse(node.func)
    if name in ("_in", "_fates"):
        for n, gone in enumerate(node.args):
            rest = node.args[:n] + node.args[n + 1 :]
            yield f"without {ast.unparse(gone)}", ast.Call(node.func, rest, [])
    if name == "Rule":
        for n, keyword in enumerate(node.keywords):
            if keyword.arg in ("when", "change"):
                yield (
                    f"without {keyword.arg}",
                    ast.Call(node.func, node.args, node.keywords[:n] + node.keywords[n + 1 :]),
                )
        if not (isinstance(node.args[3], ast.Constant) and node.args[3].value is None):
            yield "stays", ast.Call(node.func, [*node.args[:3], ast.Constant(None), *node.args[4:]], node.keywords)
    if name == "replace":
        for n, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                yield (
                    f"{keyword.arg} is not changed",
                    ast.Call(node.func, node.args, node.keywords[:n] + node.keywords[n + 1 :]),
                )
    if name in ("max", "min") and len(node.args) == 2:
        other = "min" if name == "max" else "max"
        yield f"{name} becomes {other}", ast.Call(ast.Name(other, ast.Load()), node.args, node.keywords)


def _word(op: ast.AST) -> str:
    return type(op).__name__.lower()


def _with(tree: ast.Module, node: ast.AST, changed: ast.AST | None) -> str:
    """The whole source with the change. The tree is restored when this returns, because copying it takes the time."""
    _put(node, node, changed)
    try:
        return ast.unparse(tree)
    finally:
        _put(node, changed, node)


def _put(place: ast.AST, there: ast.AST | None, other: ast.AST | None) -> None:
    """Replace the node `there`, which is the node `place` of the tree, by `other`."""
    parent: ast.AST = place._parent  # type: ignore[attr-defined]
    for name, value in ast.iter_fields(parent):
        if value is there:
            setattr(parent, name, other)
            return
        if isinstance(value, list):
            for n, one in enumerate(value):
                if one is there:
                    value[n] = other
                    return
    raise AssertionError("a node that its parent does not know")
