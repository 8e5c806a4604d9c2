"""The house rules about form and names: sizes, names, docstrings, named errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from tests.house import Source

FILE_LINES, FUNCTION_LINES = 600, 70
UNFORMATTED_MOST = 49
"""How many times the whole tree may tell the formatter to leave something alone: tables that are read as rows."""
EMPTY_NOUNS: Mapping[str, str] = {
    "manager": "say what it keeps: ledger, register, pool",
    "handler": "say what it does: intake, reply, on_delivery, take",
    "util": "put it where it is used, or name what it is about: dates, paths, masks",
    "helper": "put it where it is used, or name what it is about",
    "engine": "say what it decides or drives: flow, schedule, policy",
    "processor": "say the verb: reader, writer, sender, matcher",
    "component": "say which part it is",
}
# The places that may catch everything, each with its reason. All others name the errors that they expect.
BROAD: Mapping[str, str] = {
    "gateway/__main__.py": "border of the process: the exit code says what happened",
    "gateway/cli/run.py": "border of the process: why a start failed is kept for `bankgw status`",
    "gateway/kernel/tasks.py": "border of a round of a job that goes on for ever: the error is told, and the next round comes",
    "gateway/kernel/sql/executor.py": "border of a thread: the error goes to whoever asked for the work",
    "gateway/kernel/commit/committer.py": "border of a unit: whatever it raises is its own, the others commit",
    "gateway/kernel/commit/group_commit.py": "border of a listener: what is committed stays committed",
    "gateway/bank/dispatch.py": "border of a message: whatever happens after the write leaves its orders in doubt",
    "gateway/bank/account_watch.py": "border of a look: what goes wrong with one entry, day or account stops no other",
    "gateway/bank/dialer.py": "the caller's bug goes to the caller's Deferred, not to the reactor",
    "gateway/bank/tls.py": "called from C: an exception must become a refusal, or it would be lost",
    "gateway/erp/amqp.py": "border of a connection: bytes that cannot be taken end it",
    "gateway/erp/question_service.py": "border of a question: a defect is an answer too, and the next question is looked for",
    "gateway/erp/client.py": "border of a connection and of a delivery: reconnect, give back",
    "gateway/payments/erp/dry_build.py": "border of a bank's adapter: what a dry build ends in stops no order by itself",
    "gateway/erp/intake.py": "border of a message: it is parked, the others go on",
    "gateway/web/query/read_store.py": "border of a read: whatever it raises, its connection is not used again",
    "gateway/notices/process.py": "border of a courier's thread: a defect at one destination stops no other",
    "protocols/kit/dsig/stack.py": "xmlsec's own error class exists only after a successful import",
}


def file_size(path: str, text: str) -> Iterator[str]:
    """A file has at most FILE_LINES lines, in whichever room it is."""
    lines = text.count("\n") + 1
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, more than {FILE_LINES}; give one of its nouns a file of its own"


def size(one: Source) -> Iterator[str]:
    """A file has at most 600 lines, a function at most 70."""
    yield from file_size(one.path, one.text)
    for node in ast.walk(one.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                where = f"{one.path}:{node.lineno}"
                yield f"{where}: {node.name} has {length} lines, more than {FUNCTION_LINES}; split it"


def unformatted(found: Mapping[str, str]) -> Iterator[str]:
    """The formatter shapes the code. In few places of the whole tree a table may keep its layout."""
    mark = "# fmt: " + "skip"
    counts = {path: text.count(mark) for path, text in found.items() if path.endswith(".py") and mark in text}
    if sum(counts.values()) > UNFORMATTED_MOST:
        worst = ", ".join(f"{path} {count}" for path, count in sorted(counts.items(), key=lambda pair: -pair[1])[:5])
        yield f"{sum(counts.values())} times `{mark}`, more than {UNFORMATTED_MOST}; most in {worst}"


def full_nouns(one: Source) -> Iterator[str]:
    """Names must have a meaning: words that could name anything are refused."""
    names = [(1, part) for part in PurePosixPath(one.path).with_suffix("").parts]
    for node in ast.walk(one.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append((node.lineno, node.name))
    for line, name in names:
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name):
            singular = word.lower().removesuffix("s")
            if singular in EMPTY_NOUNS:
                instead = EMPTY_NOUNS[singular]
                yield f"{one.path}:{line}: `{name}` says little; instead of `{singular}`: {instead}"


def named_errors(one: Source) -> Iterator[str]:
    """An except clause names the errors that it expects. It may catch everything only at a border, and never a
    cancellation."""
    for function, node in _tries(one.tree):
        cancelled_goes_on = False
        for handler in node.handlers:
            where = f"{one.path}:{handler.lineno}"
            caught = ast.unparse(handler.type) if handler.type else ""
            if handler.type is None:
                yield f"{where}: a bare except catches even the wish to stop; name the errors"
            if "CancelledError" in caught and any(isinstance(part, ast.Raise) for part in handler.body):
                cancelled_goes_on = True
            if not is_broad(handler):
                continue
            if one.path not in BROAD:
                yield f"{where}: catches {caught}; name the errors, or tell BROAD (tests/house_shape.py) why"
            elif isinstance(function, ast.AsyncFunctionDef) and not cancelled_goes_on:
                yield f"{where}: catches {caught} in a coroutine; before it: `except CancelledError: raise`"


def is_broad(clause: ast.ExceptHandler) -> bool:
    """True when an except clause names Exception or BaseException."""
    return clause.type is not None and bool(re.search(r"\b(Base)?Exception\b", ast.unparse(clause.type)))


def stale_reasons(sources: Iterable[Source]) -> Iterator[str]:
    """Files that may catch everything but do not."""
    for one in sources:
        clauses = [clause for _, node in _tries(one.tree) for clause in node.handlers]
        if one.path in BROAD and not any(is_broad(clause) for clause in clauses):
            yield f"{one.path} catches nothing broadly any more; remove it from BROAD of tests/house_shape.py"


def _tries(tree: ast.Module) -> Iterator[tuple[ast.AST | None, ast.Try]]:
    def walk(node: ast.AST, function: ast.AST | None) -> Iterator[tuple[ast.AST | None, ast.Try]]:
        if isinstance(node, ast.Try):
            yield function, node
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, node if inside else function)

    return walk(tree, None)


def docstrings(one: Source) -> Iterator[str]:
    """Every module and every public name at its top has a docstring."""
    if not ast.get_docstring(one.tree):
        yield f"{one.path}: the module has no docstring"
    for node in one.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
        if not node.name.startswith("_") and not overload and not ast.get_docstring(node):
            yield f"{one.path}:{node.lineno}: {node.name} has no docstring"


def no_print(one: Source) -> Iterator[str]:
    """Only the command line, the demo, and the `main` of a module run as a script may print; the daemon logs."""
    if one.path.startswith(("gateway/cli/", "gateway/demo/")):
        return
    rest = [node for node in one.tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "main")]
    for node in (found for part in rest for found in ast.walk(part)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{one.path}:{node.lineno}: print(); log it, or return it to the command line"


def nothing_postponed(one: Source) -> Iterator[str]:
    """No comment postpones work: a note in the code is forgotten."""
    for line, text in enumerate(one.text.splitlines(), 1):
        if re.search(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b", text):
            yield f"{one.path}:{line}: a postponed thought: {text.strip()}"
