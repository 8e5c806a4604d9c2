"""The house rules: each reads one source or text and yields its complaints. tests/test_house.py applies them.

CONTRIBUTING.md gives the reasons in prose. A rule that is wrong is changed here, not worked round.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("gateway/", "protocols/")


# ---- what is looked at -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its text and tree, and the dotted name it is imported by."""

    path: str
    text: str
    tree: ast.Module
    module: str


@dataclass(frozen=True, slots=True)
class Import:
    """One imported thing: `name` is `package.module.name` as far as the statement tells."""

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
    """What is, or would be, committed; outside a git checkout, every file that is not hidden."""
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
    """Every import of a file, with relative ones resolved, and whether it is only there for the types."""
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
    """True when the dotted name is the room or something inside it."""
    return name == room or name.startswith(room + ".")


# ---- who may import whom ---------------------------------------------------------------------------------

# From the ground up. A room may import the rooms of lower floors and itself, never its neighbours.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"protocols.canon"}),
    frozenset({"protocols.bank"}),
    frozenset({"protocols.twin", "protocols.certificates"}),
    frozenset({"protocols.kit"}),
    frozenset({"protocols.erp", "protocols.banks", "protocols.readback"}),
    frozenset({"protocols.trial"}),
    frozenset(
        {"gateway.clock", "gateway.settings", "gateway.meters", "gateway.log", "gateway.core", "gateway.people",
         "gateway.treasury.liquidity", "gateway.treasury.reconciliation", "gateway.version"}
    ),
    frozenset({"gateway.calendars"}),
    frozenset({"gateway.tasks", "gateway.asking", "gateway.adapters", "gateway.start_failures", "gateway.typesetting"}),
    frozenset({"gateway.registry"}),
    frozenset({"gateway.journal"}),
    frozenset({"gateway.bank", "gateway.erp", "gateway.treasury"}),
    frozenset({"gateway.watch", "gateway.control", "gateway.capabilities", "gateway.bank_questions"}),
    frozenset({"gateway.app", "gateway.notices", "gateway.query", "gateway.web"}),
    frozenset({"gateway.console", "gateway.approval_page"}),
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
    # What reads the adapters' bytes back shares nothing with them but the words.
    "protocols.readback": ("protocols.canon",),
    "gateway.core": ("protocols.canon",),
    "gateway.people": ("protocols.canon",),
    "gateway.treasury.liquidity": ("protocols.canon",),
    "gateway.treasury.reconciliation": ("protocols.canon",),
    "gateway.simbank": ("protocols", "gateway.clock", "gateway.bank.tls"),
}
# The simulated bank must not become part of the gateway.
SIMBANK_GUESTS = ("gateway.simbank", "gateway.__main__", "gateway.cli", "gateway.demo", "gateway.jointtest")

# `protocols` turns bytes into words and back. Time, chance and the world come in as arguments.
IMPURE = (
    *("asyncio", "http.client", "pika", "random", "secrets", "select", "selectors", "socket", "sqlalchemy"),
    *("sqlite3", "ssl", "subprocess", "threading", "time", "twisted", "urllib.request", "zope"),
)


def room_of(name: str) -> str | None:
    """The room a dotted name is in: the longest that fits."""
    rooms = [room for room in (*FLOOR, *ONLY) if belongs(name, room)]
    return max(rooms, key=len, default=None)


def import_order(one: Source) -> Iterator[str]:
    """Imports go down the floors, and never sideways."""
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


def cli_without_journal(one: Source) -> Iterator[str]:
    """The command line asks the daemon, or gateway.control.offline; it never opens the journal by itself."""
    if not belongs(one.module, "gateway.cli"):
        return
    for found in imports(one):
        if belongs(found.name, "gateway.journal"):
            yield f"{one.path}:{found.line}: imports {found.name}; put it into gateway.control.offline"


# The left column of the rename table: words that say nothing to a newcomer. `canary` is not among them: the settings and
# metrics `canary_*` are the message that the gateway sends to itself, and `heartbeat` is AMQP's own word for another thing.
OLD_MODULES = frozenset(
    {"agenda", "answers", "apply", "arrival", "berth", "berths", "book", "claims", "deeds", "desk", "ears",
     "endpoint", "field", "hearing", "leave", "letter", "levers", "lives", "lookout", "mail", "neighbours", "past",
     "peer", "puppet", "quay", "reasons", "repeats", "rig", "sightings", "standing", "talk", "tally", "telling",
     "tenure", "wallclock", "wanted", "watching", "weather", "words", "world"}
)  # fmt: skip
# Those that no public name may carry. The rest are common words that a name may need: `past_days`, `wanted`.
OLD_WORDS = frozenset(
    {"agenda", "berth", "berths", "deed", "deeds", "desk", "ears", "lookout", "neighbour", "neighbours", "puppet",
     "quay", "rig", "sighting", "sightings", "tenure", "wallclock", "weather"}
)  # fmt: skip
OLD_ALLOWED: Mapping[str, str] = {
    "protocols/erp/words.py": "the words of the ERP's messages, not what a session measures",
}


def plain_names(one: Source) -> Iterator[str]:
    """No module, public name or log part bears a name that was given up for a plain one."""
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
    """The campaign and the benchmark change no name of the product: what they need is an argument of a part."""
    product_names = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(one.tree) if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (node.module or "" if isinstance(node, ast.ImportFrom) else alias.name).startswith(("gateway", "protocols"))
    }  # fmt: skip
    for node in ast.walk(one.tree):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Attribute) and ast.unparse(target).partition(".")[0] in product_names:
                yield f"{one.path}:{target.lineno}: sets {ast.unparse(target)}; take it as an argument of a part"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "patch", "patch.object")):
            yield f"{one.path}:{node.lineno}: calls {ast.unparse(node.func)}; take it as an argument of a part"


_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def banks_apart(one: Source) -> Iterator[str]:
    """A bank knows the kit, never another bank."""
    bank = re.match(r"protocols\.banks\.(\w+)", one.module)
    for found in imports(one) if bank else ():
        other = re.match(r"protocols\.banks\.(\w+)", found.name)
        if bank and other and other[1] != bank[1]:
            where = f"{one.path}:{found.line}"
            yield f"{where}: bank {bank[1]} imports bank {other[1]}; move what they share into the kit"


def purity(one: Source) -> Iterator[str]:
    """`protocols` does no input or output and reads no clock; `canon` needs the standard library only."""
    if not belongs(one.module, "protocols"):
        return
    for found in imports(one):
        top, where = found.name.partition(".")[0], f"{one.path}:{found.line}: imports {found.name}"
        if any(belongs(found.name, impure) for impure in IMPURE):
            yield f"{where}; protocols are pure, take it as an argument"
        elif belongs(one.module, "protocols.canon") and top not in (*sys.stdlib_module_names, "protocols"):
            yield f"{where}; the vocabulary needs the standard library only"


def no_hidden_clock(one: Source) -> Iterator[str]:
    """Pure code never asks what time it is."""
    if not any(belongs(one.module, room) for room in ("protocols", "gateway.core", "gateway.people", "gateway.treasury.liquidity", "gateway.treasury.reconciliation")):
        return
    for node in ast.walk(one.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        called = ast.unparse(node.func)
        if re.fullmatch(
            r"(datetime\.)?(datetime|date)\.(now|utcnow|today)|time\.\w*time\w*|uuid\.uuid\d", called
        ):
            yield f"{one.path}:{node.lineno}: calls {called}(); take the time or the id as an argument"


def pika_in_one_place(one: Source) -> Iterator[str]:
    """One file knows the AMQP library, so that replacing it is a one-file job."""
    if one.path == "gateway/erp/amqp.py":
        return
    for found in imports(one):
        if belongs(found.name, "pika"):
            yield f"{one.path}:{found.line}: imports {found.name}; only gateway/erp/amqp.py does"


def reactor_as_argument(one: Source) -> Iterator[str]:
    """Importing the reactor installs it: only the two files that build the whole do, inside a function."""
    for found in imports(one):
        if found.for_types or not belongs(found.name, "twisted.internet.reactor"):
            continue
        if found.at_top or one.path not in ("gateway/app.py", "gateway/__main__.py"):
            yield f"{one.path}:{found.line}: imports the reactor; take it (IReactorTime, …) as an argument"


def cycles(sources: Iterable[Source]) -> Iterator[str]:
    """Modules that import each other in a ring: at the top, inside functions, and for types only."""
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


# A room on the left imports nothing of the room on the right; the reason is what would be lost.
NEVER: tuple[tuple[str, str, str], ...] = (
    ("protocols", "gateway", "the languages of the banks and the ERP are usable without a daemon"),
    ("gateway.erp", "gateway.bank", "the ERP's side and the bank's side meet in the journal only"),
    ("gateway.bank", "gateway.erp", "the ERP's side and the bank's side meet in the journal only"),
    ("protocols.kit", "protocols.banks", "the kit serves every bank alike"),
    ("gateway.journal.commit", "gateway.journal.cluster", "the commit is below what is committed"),
    ("gateway.journal.commit", "gateway.journal.payments", "the commit is below what is committed"),
    ("gateway.journal.payments", "gateway.journal.cluster", "a payment changes alike on one node and on many"),
    ("gateway.control", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.watch", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.app", "gateway.demo", "the product runs without its demonstration"),
    ("gateway.control", "gateway.cli", "the command line is a client"),
    ("gateway.watch", "gateway.cli", "the command line is a client"),
    ("gateway.app", "gateway.cli", "the command line is a client"),
)


def never(one: Source) -> Iterator[str]:
    """Some rooms know nothing of others, whatever the floors allow."""
    for room, other, reason in NEVER:
        if belongs(one.module, room):
            for found in imports(one):
                if belongs(found.name, other):
                    yield f"{one.path}:{found.line}: {room} may never import {found.name}: {reason}"


# ---- one name, one meaning ----------------------------------------------------------------------------------

# Public names that several modules define, each with its reason. At most 15.
REPEATED_NAMES: Mapping[str, str] = {
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
    """No public name has two meanings. A bank's folder keeps its bank's own words, which nobody else imports."""
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
    """What a bank's folder calls its things stays inside: only its options, tables and twins are loaded, by name."""
    if one.path.startswith("protocols/banks/"):
        return
    for found in imports(one):
        if belongs(found.name, "protocols.banks") and found.name != "protocols.banks":
            yield f"{one.path}:{found.line}: imports {found.name}; banks are loaded by the registry"


# ---- the bank's room -------------------------------------------------------------------------------------------


def lane_on_top(one: Source) -> Iterator[str]:
    """A lane's parts never know the lane, not even by type: what they need is handed to them."""
    if not belongs(one.module, "gateway.bank") or one.module == "gateway.bank.lane":
        return
    for found in imports(one):
        if belongs(found.name, "gateway.bank.lane"):
            yield f"{one.path}:{found.line}: imports the lane; take what it shares (gateway/bank/lane_shared.py)"


# ---- shape and words of the code ---------------------------------------------------------------------------

FILE_LINES, FUNCTION_LINES = 600, 70
EMPTY_NOUNS: Mapping[str, str] = {
    "manager": "say what it keeps: ledger, register, pool",
    "handler": "say what it does: intake, reply, on_delivery, take",
    "util": "put it where it is used, or name what it is about: dates, paths, masks",
    "helper": "put it where it is used, or name what it is about",
    "engine": "say what it decides or drives: flow, schedule, policy",
    "processor": "say the verb: reader, writer, sender, matcher",
    "component": "say which part it is",
}
# Who may catch everything, and why. Everybody else names the errors it expects.
BROAD: Mapping[str, str] = {
    "gateway/__main__.py": "border of the process: the exit code says what happened",
    "gateway/tasks.py": "border of a round of a job that goes on for ever: the error is told, and the next round comes",
    "gateway/journal/sql/executor.py": "border of a thread: the error goes to whoever asked for the work",
    "gateway/journal/commit/committer.py": "border of a unit: whatever it raises is its own, the others commit",
    "gateway/journal/commit/group_commit.py": "border of a listener: what is committed stays committed",
    "gateway/bank/dispatch.py": "border of a message: whatever happens after the write leaves its orders in doubt",
    "gateway/bank/account_watch.py": "border of a look: what goes wrong with one entry, day or account stops no other",
    "gateway/bank/dialer.py": "the caller's bug goes to the caller's Deferred, not to the reactor",
    "gateway/bank/tls.py": "called from C: an exception must become a refusal, or it would be lost",
    "gateway/erp/amqp.py": "border of a connection: bytes that cannot be taken end it",
    "gateway/erp/question_service.py": "border of a question: a defect is an answer too, and the next question is looked for",
    "gateway/erp/client.py": "border of a connection and of a delivery: reconnect, give back",
    "gateway/erp/dry_build.py": "border of a bank's adapter: what a dry build ends in stops no order by itself",
    "gateway/erp/intake.py": "border of a message: it is parked, the others go on",
    "protocols/kit/dsig/stack.py": "xmlsec's own error class exists only after a successful import",
}


def size(one: Source) -> Iterator[str]:
    """A file fits a mind, a function fits a screen."""
    lines = one.text.count("\n") + 1
    if lines > FILE_LINES:
        yield f"{one.path}: {lines} lines, more than {FILE_LINES}; give one of its nouns a file of its own"
    for node in ast.walk(one.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                where = f"{one.path}:{node.lineno}"
                yield f"{where}: {node.name} has {length} lines, more than {FUNCTION_LINES}; split it"


def full_nouns(one: Source) -> Iterator[str]:
    """Names say something."""
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
    """Catch what you expect; catch everything only at a border, and never a cancellation."""
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
                yield f"{where}: catches {caught}; name the errors, or tell BROAD (tests/house.py) why"
            elif isinstance(function, ast.AsyncFunctionDef) and not cancelled_goes_on:
                yield f"{where}: catches {caught} in a coroutine; before it: `except CancelledError: raise`"


def is_broad(clause: ast.ExceptHandler) -> bool:
    """True when an except clause names Exception or BaseException."""
    return clause.type is not None and bool(re.search(r"\b(Base)?Exception\b", ast.unparse(clause.type)))


def stale_reasons(sources: Iterable[Source]) -> Iterator[str]:
    """Files that may catch everything and do not."""
    for one in sources:
        clauses = [clause for _, node in _tries(one.tree) for clause in node.handlers]
        if one.path in BROAD and not any(is_broad(clause) for clause in clauses):
            yield f"{one.path} catches nothing broadly any more; remove it from BROAD of tests/house.py"


def _tries(tree: ast.Module) -> Iterator[tuple[ast.AST | None, ast.Try]]:
    def walk(node: ast.AST, function: ast.AST | None) -> Iterator[tuple[ast.AST | None, ast.Try]]:
        if isinstance(node, ast.Try):
            yield function, node
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, node if inside else function)

    return walk(tree, None)


def docstrings(one: Source) -> Iterator[str]:
    """Every module and every public name at its top says what it is for."""
    if not ast.get_docstring(one.tree):
        yield f"{one.path}: the module has no docstring"
    for node in one.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
        if not node.name.startswith("_") and not overload and not ast.get_docstring(node):
            yield f"{one.path}:{node.lineno}: {node.name} has no docstring"


def no_print(one: Source) -> Iterator[str]:
    """The daemon logs; only the command line, the demo, and the `main` of a module run as a script, talk to a terminal."""
    if one.path.startswith(("gateway/cli/", "gateway/demo/")):
        return
    rest = [node for node in one.tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "main")]
    for node in (found for part in rest for found in ast.walk(part)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{one.path}:{node.lineno}: print(); log it, or return it to the command line"


def nothing_postponed(one: Source) -> Iterator[str]:
    """Do it, or file it; a note in the code is forgotten."""
    for line, text in enumerate(one.text.splitlines(), 1):
        if re.search(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b", text):
            yield f"{one.path}:{line}: a postponed thought: {text.strip()}"


CODE_RULES: tuple[Callable[[Source], Iterator[str]], ...] = (
    *(import_order, lane_on_top, cli_without_journal, plain_names, banks_apart, banks_words, never, purity),
    *(no_hidden_clock, pika_in_one_place, reactor_as_argument),
    *(size, full_nouns, named_errors, docstrings, no_print, nothing_postponed),
)
