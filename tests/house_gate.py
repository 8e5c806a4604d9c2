"""The rules that one function decides whether money may leave, that one function writes it, and that every way to them
passes the lists of the gate. They do not ship.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from tests.house import SUBJECTS, Source

GATE = ("gateway/bank/send_gate.py", "refusal")
"""The last gate: the function that decides whether money bytes may leave."""


PERMIT = ("gateway/bank/gates/permit.py", "PermitRule")
PERMIT_TESTS = {("gateway/bank/gates/permit.py", "judge"), ("gateway/bank/send_gate.py", "permits")}
"""The rule that tests the permit, and what it asks the lease through."""

WRITE_LIST = ("gateway/bank/gates/lists.py", "WRITE")
"""The list of rules that are asked in the reactor turn that writes."""

ONLY_IN: Mapping[str, Mapping[str, str]] = {
    "Send": {"gateway/bank/dispatch.py": "the unit of a first send, behind the list `sending`"},
    "Replay": {"gateway/bank/dispatch.py": "the unit of a repeat, behind the list `repeating`"},
    "Release": {
        "gateway/payments/gates/order_facts.py": "what the list of admission let pass",
        "gateway/payments/rows/held_orders.py": "what the list of a release let pass",
        "gateway/approvals/rows/approval_holds.py": "stands for a payment that is not held, and befalls none",
    },
    "Resolve": {"gateway/control/decisions.py": "two persons decide, `ready` behind the list `resend`"},
    "OrderTerms": {"gateway/payments/rows/order_checks.py": "the one door for orders, an ERP's or treasury's own"},
}
"""The events and values that bring a payment on its way to the bank, and who makes them."""

OTHER_RULES = "judged_by"
"""The argument by which a test has an order judged by rules of its own."""

CALLED_IN: Mapping[str, Mapping[str, str]] = {
    "permit": {"gateway/payments/rows/transition.py": "writes the send to the permit log, with its state"},
    "write_down": {"gateway/bank/dispatch.py": "the unit of a first send"},
    "allot": {"gateway/bank/outgoing.py": "puts ready orders into one message; each is judged with it"},
}
"""The methods that do so, and who calls them."""


MONEY_WRITE = ("gateway/bank/dispatch.py", "_speak")


WRITES = {MONEY_WRITE, ("gateway/bank/conversation.py", "carry_out"), ("gateway/bank/remote_signing.py", "_signature")}
"""The places that write to a bank: money behind the gate, and the steps that move no money; and the one that writes to a
signing service, which is no bank."""


_BESIDE_THE_BANK = (
    "gateway/bank/",
    *("gateway/app.py", "gateway/daemon.py", "gateway/parts.py", "gateway/system_parts.py"),
    "gateway/erp/",
    "gateway/control/",
    *(f"gateway/{room}/" for room in SUBJECTS),
)


def one_last_gate(sources: Iterable[Source]) -> Iterator[str]:
    """One rule tests the permit, and one function writes money. Between gate and write the reactor takes no other
    turn."""
    sources = tuple(sources)
    asked = guarded = tested = False
    for one in sources:
        if not one.path.startswith(_BESIDE_THE_BANK):
            continue
        for function in ast.walk(one.tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            place, where = (one.path, function.name), f"{one.path}:{function.lineno}: {function.name}"
            called = dict(_calls(function))
            if "permits" in called and place not in PERMIT_TESTS:
                yield f"{where} tests the permit; the last gate is {GATE[1]} of {GATE[0]}, and there is one"
            tested |= place == (PERMIT[0], "judge") and "permits" in called
            if place == GATE:
                asked = _asks(function, "WRITE")
            if one.path.startswith("gateway/bank/") and "exchange" in called and place not in WRITES:
                yield f"{where} writes to a bank; money leaves in {MONEY_WRITE[1]} of {MONEY_WRITE[0]}"
            if place == MONEY_WRITE:
                guarded = True
                yield from _in_one_turn(function, where)
    if not asked:
        yield f"{GATE[0]}: {GATE[1]} does not ask the list {WRITE_LIST[1]} any more"
    if _last_of_list(sources) != PERMIT[1]:
        yield f"{WRITE_LIST[0]}: {PERMIT[1]} is not the last rule of {WRITE_LIST[1]}: the lease may end while others ask"
    if not tested:
        yield f"{PERMIT[0]}: {PERMIT[1]} does not test the permit any more"
    if not guarded:
        yield f"{MONEY_WRITE[0]}: {MONEY_WRITE[1]} is gone; say where money leaves (tests/house_gate.py)"


def _calls(function: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


def _in_one_turn(function: ast.AsyncFunctionDef | ast.FunctionDef, where: str) -> Iterator[str]:
    """The gate is asked before the write, and no call waits between the two."""
    asked = min((line for name, line in _calls(function) if name == GATE[1]), default=None)
    written = min((line for name, line in _calls(function) if name == "exchange"), default=None)
    if asked is None or written is None or asked > written:
        yield f"{where} writes money without asking the last gate first"
        return
    leaving = [
        node for node in ast.walk(function) if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return)
    ]
    ends = {id(part) for node in leaving for statement in node.body for part in ast.walk(statement)}
    for node in ast.walk(function):
        if isinstance(node, ast.Await) and asked <= node.lineno < written and id(node) not in ends:
            yield f"{where} waits between the last gate and the write: the permit may have ended by then"


def _asks(function: ast.AST, name: str) -> bool:
    """True if the function asks the whole list of this name, and returns its verdict."""
    firsts = [
        node.args[0]
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "gate.first" and node.args
    ]
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return (
        [ast.unparse(one) for one in firsts] == [name]
        and len(returns) == 1
        and not isinstance(returns[0], ast.Constant)
    )


def _last_of_list(sources: Iterable[Source]) -> str:
    """The class of the last rule in the list of the write."""
    for one in sources:
        for node in ast.walk(one.tree) if one.path == WRITE_LIST[0] else ():
            named = isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == WRITE_LIST[1]
            if named and isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple) and node.value.elts:
                return ast.unparse(node.value.elts[-1]).removesuffix("()")
    return ""


def ways_to_the_bank(sources: Iterable[Source]) -> Iterator[str]:
    """Calls that may cause a send stand only in functions that judge the payment by a list of rules of the gate."""
    seen: set[tuple[str, str]] = set()
    for one in sources:
        if not one.path.startswith("gateway/"):
            continue
        imported = _imported(one)
        for node in ast.walk(one.tree):
            if not isinstance(node, ast.Call):
                continue
            if any(word.arg == OTHER_RULES for word in node.keywords):
                yield f"{one.path}:{node.lineno}: gives {OTHER_RULES}; only tests have an order judged by other rules"
            if isinstance(node.func, ast.Name) and imported.get(node.func.id) in ONLY_IN:
                name = imported[node.func.id]
                places = ONLY_IN[name]
            elif isinstance(node.func, ast.Attribute) and node.func.attr in {**ONLY_IN, **CALLED_IN}:
                name = node.func.attr
                places = {**ONLY_IN, **CALLED_IN}[name]
            else:
                continue
            seen.add((name, one.path))
            if one.path not in places:
                yield (
                    f"{one.path}:{node.lineno}: {name} brings a payment on its way; it stands in {', '.join(places)}, "
                    f"behind a list of the gate (gateway/gate_lists.py)"
                )
    for name, places in {**ONLY_IN, **CALLED_IN}.items():
        for path in places:
            if (name, path) not in seen:
                yield f"{path} has no {name} any more; remove it from tests/house_gate.py"


def _imported(one: Source) -> dict[str, str]:
    """The names that the module imports: the name in the other module, by the name here."""
    froms = (node for node in ast.walk(one.tree) if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: alias.name for node in froms for alias in node.names}


def units_behind_lists(sources: Iterable[Source]) -> Iterator[str]:
    """In the units of a send, the list is asked before the payment is set to `sending`."""
    wanted = {"_unit": ("_stopped", "write_down"), "_repeat_unit": ("first", "at_repeat")}
    for one in sources:
        for function in ast.walk(one.tree) if one.path == MONEY_WRITE[0] else ():
            if not isinstance(function, ast.FunctionDef) or function.name not in wanted:
                continue
            asked, then = wanted.pop(function.name)
            lines = dict(_calls(function))
            if asked not in lines or then not in lines or lines[asked] > lines[then]:
                yield f"{one.path}:{function.lineno}: {function.name} writes a send down before its list is asked"
    for name in wanted:
        yield f"{MONEY_WRITE[0]}: {name} is gone; say where a send is written down (tests/house_gate.py)"
