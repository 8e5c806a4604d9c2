"""The house rules: each checks one source or text, and yields its complaints. tests/test_house.py applies them.

Here stands who may import whom; sizes, words and errors are in tests/house_shape.py, texts in tests/house_texts.py.

CONTRIBUTING.md gives the reasons in prose. A rule that is wrong is changed here, not worked round.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("gateway/", "protocols/")


# ---- the sources -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its text and tree, and the dotted name by which it is imported."""

    path: str
    text: str
    tree: ast.Module
    module: str


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `name` is `package.module.name`, as far as the statement shows it."""

    line: int
    name: str
    at_top: bool
    for_types: bool


def source(path: str, text: str) -> Source:
    """Parse one file; `path` is relative to the root."""
    dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Source(path, text, ast.parse(text), dotted)


@cache
def committed() -> tuple[str, ...]:
    """The files that are, or would be, committed; outside a git checkout, every file that is not hidden."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, subfolders, files in os.walk(ROOT):
            subfolders[:] = [name for name in subfolders if not name.startswith((".", "__pycache__"))]
            names += [str((Path(folder) / name).relative_to(ROOT)) for name in files]
    return tuple(sorted(name for name in names if name and (ROOT / name).is_file()))


@cache
def texts() -> Mapping[str, str]:
    """Every committed file that is text, by path."""
    found = {}
    for name in committed():
        try:
            found[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


@cache
def product() -> tuple[Source, ...]:
    """The Python files of the two packages."""
    names = [name for name in texts() if name.startswith(PRODUCT) and name.endswith(".py")]
    return tuple(source(name, texts()[name]) for name in names)


def imports(one: Source) -> Iterator[Import]:
    """Every import of a file, with relative ones resolved, and whether it is only for type checking."""
    package = one.module if one.path.endswith("/__init__.py") else one.module.rpartition(".")[0]

    def walk(node: ast.AST, at_top: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, at_top, for_types)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}", at_top, for_types)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for then in node.body:
                yield from walk(then, at_top, True)
            for otherwise in node.orelse:
                yield from walk(otherwise, at_top, for_types)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, at_top and not inside, for_types)

    yield from walk(one.tree, True, False)


def belongs(name: str, room: str) -> bool:
    """True if the dotted name is the package or something inside it."""
    return name == room or name.startswith(room + ".")


# ---- who may import whom ---------------------------------------------------------------------------------

# The rooms by subject, from the lowest. Each may ask those before it, and none after it: see gateway/wiring.py.
SUBJECTS = (
    *("people", "payments", "approvals", "statements", "positions", "receipts", "pools", "reconciliation", "reports"),
)
# From the lowest floor up. A room may import the rooms of lower floors and itself, never its neighbours.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"protocols.canon"}),
    frozenset({"protocols.bank"}),
    frozenset({"protocols.judge"}),
    frozenset({"protocols.twin", "protocols.certificates"}),
    frozenset({"protocols.kit"}),
    frozenset({"protocols.erp", "protocols.banks", "protocols.readback"}),
    frozenset({"protocols.trial"}),
    frozenset({"gateway.settings_files"}),
    frozenset({"gateway.version", "gateway.settings", "gateway.language"}),
    frozenset({"gateway.kernel.core"}),
    frozenset({"gateway.kernel"}),
    frozenset({"gateway.register"}),
    frozenset({"gateway.people.rules"}),
    frozenset({"gateway.act", "gateway.call", "gateway.act_ports"}),
    frozenset({"gateway.guarded_journal"}),
    frozenset({"gateway.people"}),
    frozenset({"gateway.payments"}),
    frozenset({"gateway.approvals.rules"}),
    frozenset({"gateway.approvals"}),
    frozenset({"gateway.statements"}),
    frozenset({"gateway.positions"}),
    frozenset({"gateway.receipts"}),
    frozenset({"gateway.pools.rules"}),
    frozenset({"gateway.pools"}),
    frozenset({"gateway.reconciliation.rules"}),
    frozenset({"gateway.reconciliation"}),
    frozenset({"gateway.reports"}),
    frozenset({"gateway.bank", "gateway.erp"}),
    frozenset({"gateway.gate_lists"}),
    frozenset({"gateway.wiring"}),
    frozenset({"gateway.watch", "gateway.control", "gateway.capabilities", "gateway.bank_questions"}),
    frozenset(
        {"gateway.parts", "gateway.notices", "gateway.signer", "gateway.web", "gateway.web.query", "gateway.web.shared"}
    ),
    frozenset({"gateway.app", "gateway.system_parts", "gateway.web.console", "gateway.web.approval_page"}),
    frozenset({"gateway.daemon"}),
    frozenset({"gateway.demo"}),
    frozenset({"gateway.jointtest"}),
    frozenset({"gateway.cli"}),
    frozenset({"gateway.__main__"}),
    frozenset({"gateway.demo_daemon"}),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Rooms that may know less than the floors below them.
ONLY: Mapping[str, tuple[str, ...]] = {
    "protocols.canon": (),
    # The code that reads the adapters' bytes back shares nothing with them but the words.
    "protocols.readback": ("protocols.canon",),
    "gateway.kernel.core": ("protocols.canon",),
    "gateway.people.rules": ("protocols.canon", "gateway.language"),
    "gateway.approvals.rules": ("protocols.canon", "gateway.language"),
    "gateway.pools.rules": ("protocols.canon", "gateway.language"),
    "gateway.reconciliation.rules": ("protocols.canon", "gateway.register.match_terms"),
    "gateway.simbank": ("protocols", "gateway.kernel.clock", "gateway.bank.tls"),
}
# The simulated bank must not become part of the gateway.
SIMBANK_GUESTS = ("gateway.simbank", "gateway.__main__", "gateway.cli", "gateway.demo", "gateway.jointtest")

# `protocols` turns bytes into values and back. Time, chance and the outside world come in as arguments.
IMPURE = (
    *("asyncio", "http.client", "pika", "random", "secrets", "select", "selectors", "socket", "sqlalchemy"),
    *("sqlite3", "ssl", "subprocess", "threading", "time", "twisted", "urllib.request", "zope"),
)


def room_of(name: str) -> str | None:
    """The package that a dotted name belongs to: the longest that matches."""
    rooms = [room for room in (*FLOOR, *ONLY) if belongs(name, room)]
    return max(rooms, key=len, default=None)


def import_order(one: Source) -> Iterator[str]:
    """A package imports packages on lower floors only, never one on its own floor."""
    if one.module in ("gateway", "protocols"):
        return
    home = room_of(one.module)
    if home is None:
        yield f"{one.path}: `{one.module}` has no place in FLOORS of tests/house.py yet"
        return
    for found in imports(one):
        target = room_of(found.name)
        if not found.name.startswith(("gateway.", "protocols.")) or target == home:
            continue
        where = f"{one.path}:{found.line}: {home} may not import {found.name}"
        if home in ONLY:
            if not any(belongs(found.name, allowed) for allowed in ONLY[home]):
                yield f"{where}; it may import {', '.join(ONLY[home]) or 'the standard library only'}"
        elif target == "gateway.simbank":
            if home not in SIMBANK_GUESTS:
                yield f"{where}; only the command line may start the simulated bank"
        elif target is None:
            yield f"{where}, which has no place in FLOORS of tests/house.py yet"
        elif FLOOR[target] >= FLOOR[home]:
            yield f"{where}; imports go downwards: turn it round, or pass the thing in as an argument"


# The rooms that read and write the journal.
JOURNAL = (
    *(f"gateway.kernel.{room}" for room in ("sql", "commit", "cluster", "checkpoints", "backup")),
    *(f"gateway.{room}.rows" for room in SUBJECTS),
)


def cli_without_journal(one: Source) -> Iterator[str]:
    """The command line asks the daemon or gateway.control.offline. It never opens the journal itself."""
    if not belongs(one.module, "gateway.cli"):
        return
    for found in imports(one):
        if any(belongs(found.name, room) for room in JOURNAL):
            yield f"{one.path}:{found.line}: imports {found.name}; put it into gateway.control.offline"


# The left column of the rename table: words that say nothing to a newcomer. `canary` is not among them: the settings and
# metrics `canary_*` are the message that the gateway sends to itself, and `heartbeat` is AMQP's own word for another thing.
OLD_MODULES = frozenset(
    {
        "agenda",
        "answers",
        "apply",
        "arrival",
        "berth",
        "berths",
        "book",
        "claims",
        "deeds",
        "desk",
        "ears",
        "endpoint",
        "field",
        "hearing",
        "leave",
        "letter",
        "levers",
        "lives",
        "lookout",
        "mail",
        "neighbours",
        "past",
        "peer",
        "puppet",
        "quay",
        "reasons",
        "repeats",
        "rig",
        "sightings",
        "standing",
        "talk",
        "tally",
        "telling",
        "tenure",
        "wallclock",
        "wanted",
        "watching",
        "weather",
        "words",
        "world",
    }
)
# Words that no public name may have. The rest are common words that a name may need: `past_days`, `wanted`.
OLD_WORDS = frozenset(
    {
        "agenda",
        "berth",
        "berths",
        "deed",
        "deeds",
        "desk",
        "ears",
        "lookout",
        "neighbour",
        "neighbours",
        "puppet",
        "quay",
        "rig",
        "sighting",
        "sightings",
        "tenure",
        "wallclock",
        "weather",
    }
)
OLD_ALLOWED: Mapping[str, str] = {
    "protocols/erp/words.py": "the words of the ERP's messages, not what a session measures"
}


def plain_names(one: Source) -> Iterator[str]:
    """No module, public name or log event has a name that was replaced by a plainer one."""
    stem = PurePosixPath(one.path).stem
    if stem in OLD_MODULES and one.path not in OLD_ALLOWED:
        yield f"{one.path}: `{stem}` is a name that was given up; see OLD_MODULES of tests/house.py"
    for node in ast.walk(one.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found = {word.lower() for word in _NAME_PART.findall(node.name)} & OLD_WORDS
            if found:
                yield f"{one.path}:{node.lineno}: {node.name} bears the old word {', '.join(sorted(found))}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "log.get" and node.args:
            part = ast.literal_eval(node.args[0])
            if old := OLD_MODULES.intersection(part.split(".")):
                yield f"{one.path}:{node.lineno}: log part {part} bears the old name {', '.join(sorted(old))}"


def nothing_patched(one: Source) -> Iterator[str]:
    """The campaign and the benchmark replace no name of the product: what they need to change is passed as an
    argument."""
    product_names = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(one.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).startswith(("gateway", "protocols"))
    }
    for node in ast.walk(one.tree):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Attribute) and ast.unparse(target).partition(".")[0] in product_names:
                yield f"{one.path}:{target.lineno}: sets {ast.unparse(target)}; take it as an argument of a part"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "patch", "patch.object")):
            yield f"{one.path}:{node.lineno}: calls {ast.unparse(node.func)}; take it as an argument of a part"


_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def banks_apart(one: Source) -> Iterator[str]:
    """A bank imports the kit, and never another bank."""
    bank = re.match(r"protocols\.banks\.(\w+)", one.module)
    for found in imports(one) if bank else ():
        other = re.match(r"protocols\.banks\.(\w+)", found.name)
        if bank and other and other[1] != bank[1]:
            where = f"{one.path}:{found.line}"
            yield f"{where}: bank {bank[1]} imports bank {other[1]}; move what they share into the kit"


def purity(one: Source) -> Iterator[str]:
    """The package `protocols` does no input or output and reads no clock; `canon` needs only the standard library."""
    if not belongs(one.module, "protocols"):
        return
    for found in imports(one):
        top, where = found.name.partition(".")[0], f"{one.path}:{found.line}: imports {found.name}"
        if any(belongs(found.name, impure) for impure in IMPURE):
            yield f"{where}; protocols are pure, take it as an argument"
        elif belongs(one.module, "protocols.canon") and top not in (*sys.stdlib_module_names, "protocols"):
            yield f"{where}; the vocabulary needs the standard library only"


def no_hidden_clock(one: Source) -> Iterator[str]:
    """Pure code never reads the time."""
    if not any(
        belongs(one.module, room) for room in ("protocols", *(pure for pure in ONLY if pure != "gateway.simbank"))
    ):
        return
    for node in ast.walk(one.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        called = ast.unparse(node.func)
        if re.fullmatch(r"(datetime\.)?(datetime|date)\.(now|utcnow|today)|time\.\w*time\w*|uuid\.uuid\d", called):
            yield f"{one.path}:{node.lineno}: calls {called}(); take the time or the id as an argument"


def pika_in_one_place(one: Source) -> Iterator[str]:
    """Only one file imports the AMQP library, so that replacing it is a change to one file."""
    if one.path == "gateway/erp/amqp.py":
        return
    for found in imports(one):
        if belongs(found.name, "pika"):
            yield f"{one.path}:{found.line}: imports {found.name}; only gateway/erp/amqp.py does"


def reactor_as_argument(one: Source) -> Iterator[str]:
    """Importing the reactor installs it, so only the two files that build the whole import it, inside a function."""
    for found in imports(one):
        if found.for_types or not belongs(found.name, "twisted.internet.reactor"):
            continue
        if found.at_top or one.path not in ("gateway/app.py", "gateway/__main__.py"):
            yield f"{one.path}:{found.line}: imports the reactor; take it (IReactorTime, …) as an argument"


def cycles(sources: Iterable[Source]) -> Iterator[str]:
    """Modules that import each other in a ring: at the top, inside functions, and for types."""
    by_name = {one.module: one for one in sources}

    def known(name: str) -> str | None:
        while name and name not in by_name:
            name = name.rpartition(".")[0]
        return name or None

    graph: dict[str, set[str]] = {}
    for module, one in by_name.items():
        targets = {known(found.name) for found in imports(one)}
        graph[module] = {target for target in targets if target and target != module}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> Iterator[str]:
        if module in trail:
            yield "import ring: " + " -> ".join((*trail[trail.index(module) :], module))
        elif module not in done:
            for target in sorted(graph[module]):
                yield from visit(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        yield from visit(module, ())


# A room on the left imports nothing of the room on the right. The reason names what would be lost.
NEVER: tuple[tuple[str, str, str], ...] = (
    ("protocols", "gateway", "the languages of the banks and the ERP are usable without a daemon"),
    ("gateway.erp", "gateway.bank", "the ERP's side and the bank's side meet in the journal only"),
    ("gateway.bank", "gateway.erp", "the ERP's side and the bank's side meet in the journal only"),
    ("protocols.kit", "protocols.banks", "the kit serves every bank alike"),
    ("gateway.kernel.commit", "gateway.kernel.cluster", "the commit is below what is committed"),
    ("gateway.payments", "gateway.kernel.cluster", "a payment changes alike on one node and on many"),
    ("gateway.control", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.watch", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.app", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.daemon", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.control", "gateway.cli", "the command line is a client"),
    ("gateway.watch", "gateway.cli", "the command line is a client"),
    ("gateway.app", "gateway.cli", "the command line is a client"),
    ("gateway.daemon", "gateway.cli", "the command line is a client"),
)


def never(one: Source) -> Iterator[str]:
    """Some packages never import certain others, even if the floors would allow it."""
    for room, other, reason in NEVER:
        if belongs(one.module, room):
            for found in imports(one):
                if belongs(found.name, other):
                    yield f"{one.path}:{found.line}: {room} may never import {found.name}: {reason}"


# ---- one name, one meaning ----------------------------------------------------------------------------------

# Public names that several modules define, each with its reason. At most 15.
REPEATED_NAMES: Mapping[str, str] = {
    "Hold": "the event of core/states that holds a payment, and what a rule of core/gate says that asks for it",
    "Replay": "the event of core/states, and the bank's permission for it in protocols/bank",
}
REPEATED_NAMES_MOST = 15


def public_names(one: Source) -> Iterator[tuple[str, int]]:
    """The classes and type aliases at the top of a module, without those whose name begins with `_`."""
    for node in one.tree.body:
        if isinstance(node, ast.ClassDef):
            found = node.name
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found = node.target.id
        else:
            continue
        variable = isinstance(node, ast.Assign) and "TypeVar" in ast.unparse(node.value)
        if re.fullmatch(r"[A-Z]\w*[a-z]\w*", found) and not variable:
            yield found, node.lineno


def repeated_names(sources: Iterable[Source]) -> Iterator[str]:
    """A public name is defined only once. A bank's folder may repeat names of its bank's own terms, because no other
    package imports them."""
    places: dict[str, list[str]] = {}
    for one in sources:
        if not one.module.startswith("protocols.banks."):
            for name, line in public_names(one):
                places.setdefault(name, []).append(f"{one.path}:{line}")
    for name, found in sorted(places.items()):
        if len(found) > 1 and name not in REPEATED_NAMES:
            yield f"{name} is defined in {', '.join(found)}; rename the lesser meaning"
    for name in REPEATED_NAMES:
        if len(places.get(name, ())) < 2:
            yield f"{name} has one meaning now; remove it from REPEATED_NAMES of tests/house.py"


def banks_words(one: Source) -> Iterator[str]:
    """A bank's own names are used only in its folder. Only its options, tables and twins are loaded from outside, by
    name."""
    if one.path.startswith("protocols/banks/"):
        return
    for found in imports(one):
        if belongs(found.name, "protocols.banks") and found.name != "protocols.banks":
            yield f"{one.path}:{found.line}: imports {found.name}; banks are loaded by the registry"


def judges(one: Source) -> Iterator[str]:
    """Only a bank's own side judges requests, because an adapter that reads the same rules would repeat their
    mistakes."""
    if not belongs(one.module, "protocols") or one.module in ("protocols.judge", "protocols.twin"):
        return
    if one.path.startswith("protocols/banks/") and one.path.rpartition("/")[2].startswith("twin"):
        return
    for found in imports(one):
        rules = found.name.startswith("protocols.banks.") and ".twin" in found.name
        if belongs(found.name, "protocols.judge") or rules:
            yield f"{one.path}:{found.line}: imports {found.name}; only a bank's own side (twin*.py) judges requests"


# ---- the bank's room -------------------------------------------------------------------------------------------


def lane_on_top(one: Source) -> Iterator[str]:
    """A lane's parts never import the lane, not even for types; the lane passes the objects that they need as
    arguments."""
    if not belongs(one.module, "gateway.bank") or one.module == "gateway.bank.lane":
        return
    for found in imports(one):
        if belongs(found.name, "gateway.bank.lane"):
            yield f"{one.path}:{found.line}: imports the lane; take what it shares (gateway/bank/lane_shared.py)"
