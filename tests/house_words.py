"""House rules for names of classes and functions: a class is named by a term of the field, a function by what it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house import Source

# The folders whose names were checked. Folders are added, and none is removed.
READ_FOLDERS = (
    *("gateway/approvals/", "gateway/bank/", "gateway/kernel/", "gateway/payments/", "gateway/people/"),
    *("gateway/pools/", "gateway/positions/", "gateway/receipts/", "gateway/statements/", "gateway/gate_lists.py"),
    *("tests/gateway/approvals/", "tests/gateway/bank/", "tests/gateway/gates/", "tests/gateway/kernel/"),
    *("tests/gateway/payments/", "tests/gateway/people/", "tests/gateway/pools/", "tests/gateway/positions/"),
    *("tests/gateway/receipts/", "tests/gateway/statements/", "tests/world/", "faults/"),
    *("gateway/cli/", "gateway/control/", "gateway/demo/", "gateway/erp/", "gateway/jointtest/", "gateway/notices/"),
    *("gateway/reconciliation/", "gateway/reports/", "gateway/settings/", "gateway/simbank/", "gateway/watch/"),
    *("gateway/web/", "protocols/canon/", "protocols/erp/", "protocols/kit/", "protocols/readback/"),
    *("bench/", "fuzz/", "interop/", "setup/"),
)
# Words that tell a newcomer nothing about a class.
RIDDLES = frozenset(
    {
        *("adrift", "clumsy", "diary", "evening", "exhibit", "grounds", "hands", "look", "looker", "mouth"),
        *("noted", "rivals", "sights", "standing", "stranger", "talk", "talker", "talking", "tally", "told", "tongue"),
        *("veil", "wanted", "weather", "wish", "wishes", "words", "yard", "zoo"),
    }
)
# A function is named by what it takes or gives, and never by one of these alone.
BARE_NAMES = frozenset({"look", "read", "take", "unit", "words", "write"})
# The one meaning that `read` and `write` may have: the journal's store, and the transaction's connection for reading.
STORES = frozenset({"GuardedStore", "ReadStore", "SqlStore", "Store", "Tx"})
# Classes that override a stream's or a transport's own `write`: the name is the library's.
STREAMS = frozenset({"Output", "_Body", "_Outside"})

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def plain_classes(one: Source) -> Iterator[str]:
    """No class name contains a word of RIDDLES."""
    for node in ast.walk(one.tree) if one.path.startswith(READ_FOLDERS) else ():
        if isinstance(node, ast.ClassDef):
            found = {part.lower() for part in _PART.findall(node.name)} & RIDDLES
            if found:
                yield f"{one.path}:{node.lineno}: {node.name} bears `{', '.join(sorted(found))}`; use a term of the field"


def plain_functions(one: Source) -> Iterator[str]:
    """No function has a name of BARE_NAMES. In tests a class may stand in for a store, a transport or a stream."""
    if one.path.startswith(READ_FOLDERS):
        yield from _bare(one, one.tree, None)


def _bare(one: Source, node: ast.AST, owner: str | None) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _bare(one, child, child.name)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            stands_in = owner is not None and (owner in STORES | STREAMS or not one.path.startswith("gateway/"))
            if child.name in BARE_NAMES and not (stands_in and child.name in ("read", "write")):
                yield f"{one.path}:{child.lineno}: `{child.name}` does not say what is taken or given"
            yield from _bare(one, child, None)
        else:
            yield from _bare(one, child, owner)
