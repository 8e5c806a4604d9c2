"""The rule that one function decides whether money may leave, and one writes it. It does not ship."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.house import Source

GATE = ("gateway/bank/send_gate.py", "refusal")
"""The last gate: the function that decides whether money bytes may leave."""


PERMIT_TESTS = {GATE, ("gateway/bank/send_gate.py", "permits")}
"""The gate, and what it asks the lease through."""


MONEY_WRITE = ("gateway/bank/dispatch.py", "_speak")


WRITES = {MONEY_WRITE, ("gateway/bank/conversation.py", "carry_out")}
"""Who writes to a bank: money behind the gate, and the steps that move none."""


def one_last_gate(sources: Iterable[Source]) -> Iterator[str]:
    """One function tests the permit, one function writes money, and between gate and write no other turn comes."""
    tested: set[tuple[str, str]] = set()
    guarded = False
    for one in sources:
        if not one.path.startswith(("gateway/bank/", "gateway/app.py", "gateway/erp/", "gateway/control/")):
            continue
        for function in ast.walk(one.tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            place, where = (one.path, function.name), f"{one.path}:{function.lineno}: {function.name}"
            called = dict(_calls(function))
            if "permits" in called:
                tested.add(place)
                if place not in PERMIT_TESTS:
                    yield f"{where} tests the permit; the last gate is {GATE[1]} of {GATE[0]}, and there is one"
            if one.path.startswith("gateway/bank/") and "exchange" in called and place not in WRITES:
                yield f"{where} writes to a bank; money leaves in {MONEY_WRITE[1]} of {MONEY_WRITE[0]}"
            if place == MONEY_WRITE:
                guarded = True
                yield from _in_one_turn(function, where)
    if GATE not in tested:
        yield f"{GATE[0]}: {GATE[1]} does not test the permit any more"
    if not guarded:
        yield f"{MONEY_WRITE[0]}: {MONEY_WRITE[1]} is gone; say where money leaves (tests/house_gate.py)"


def _calls(function: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


def _in_one_turn(function: ast.AsyncFunctionDef | ast.FunctionDef, where: str) -> Iterator[str]:
    """The gate is asked before the write, and whoever waits in between returns."""
    asked = min((line for name, line in _calls(function) if name == GATE[1]), default=None)
    written = min((line for name, line in _calls(function) if name == "exchange"), default=None)
    if asked is None or written is None or asked > written:
        yield f"{where} writes money without asking the last gate first"
        return
    leaving = [node for node in ast.walk(function) if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return)]
    ends = {id(part) for node in leaving for statement in node.body for part in ast.walk(statement)}
    for node in ast.walk(function):
        if isinstance(node, ast.Await) and asked <= node.lineno < written and id(node) not in ends:
            yield f"{where} waits between the last gate and the write: the permit may have ended by then"
