"""Finds the names that a page writes as code, and checks whether the program has them. It does not ship.

`mentions` finds names in a page's inline code and shell blocks: by their shape (`--switch`, `a/file.py`, `bankgw_metric`,
`[settings.table]`, `dotted.name`, `snake_case`) and by the word before them ("table `payments`", "alarm `stopped`").
`missing` says which of them nothing in the checkout is called. A name of somebody else's program stands in `FOREIGN`.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import typer
from prometheus_client import CollectorRegistry

from gateway.cli import application, reference
from gateway.erp.topology import Topology, standard
from gateway.kernel.meters import ALARMS, Meters
from gateway.kernel.sql.schema import metadata
from protocols.canon.errors import Code
from protocols.canon.outcome import State
from tests.house import committed, texts

# Names of other programs, by program.
FOREIGN: Mapping[str, frozenset[str]] = {
    "RabbitMQ": frozenset(
        {
            "rabbitmq_auth_mechanism_ssl",
            "ssl_cert_login_from",
            "common_name",
            "change_password",
            "import_definitions",
            "auth_mechanisms.1",
            "amq.rabbitmq.reply-to",
            "rabbitmq.conf",
            "basic.nack",
            "basic.reject",
        }
    ),
    "PostgreSQL and MariaDB": frozenset(
        {
            "idle_in_transaction_session_timeout",
            "idle_transaction_timeout",
            "max_connections",
            "pg_archivecleanup",
            "postgresql.auto.conf",
        }
    ),
    "systemd and sysstat": frozenset({"sysusers.d", "tmpfiles.d", "TimeoutStopSec", "w_await", "journald.conf"}),
    "Java and .NET": frozenset(
        {"OffsetDateTime.toString", "BigDecimal.toPlainString", "ToString", "DateTimeOffset.ToString"}
    ),
    "Python and Spring": frozenset({"Exception", "CancelledError", "MessageProperties"}),
    "no program: a pattern": frozenset({"seam.verb.subject.before"}),
}
_FOREIGN = frozenset[str]().union(*FOREIGN.values())

_FENCE = re.compile(r"^```([^\s`]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_LIST = r"((?:`[^`]+`(?:\s*(?:,|、|and|or|和|或|与)\s*)*)+)"
# The word before the code, which shows the kind of the name.
_BEFORE: Mapping[str, re.Pattern[str]] = {
    kind: re.compile(rf"(?:{words})\s*{_LIST}", re.IGNORECASE)
    for kind, words in {
        "table": r"\btables?|(?<!列)表",
        "alarm": r"\balarms?|\balarm\*\*|告警|警报",
        "error code": r"\bcodes?|错误码|代码",
        "metric": r"\bmetrics?|指标",
        "setting": r"\bsettings?|设置(?:项)?",
        "state": r"\bstates?|状态",
    }.items()
}
_SUFFIXES = "py|toml|json|jsonl|sh|dlg|md|txt|xsd|xml|html|service|target"
_FILE = re.compile(rf"[\w*-][\w.*-]*\.(?:{_SUFFIXES})")
_PATH = re.compile(r"[\w*-][\w.*-]*(?:/[\w.*-]+)+/?|[\w-]+/")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_DOTTED = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+")
_DEEP = 4
_CLASS = re.compile(r"(?:[A-Z][a-z]+)+")
_SWITCH = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Mention:
    """One name on a page: its kind, and for a switch the command line that contains it."""

    kind: str
    name: str
    line: str = ""


def mentions(markdown: str) -> Iterator[Mention]:
    """Every name on a page whose kind can be recognised."""
    for lang, text in _FENCE.findall(markdown):
        if lang == "sh":
            for line in re.sub(r"\\\n", " ", text).splitlines():
                yield from _in_shell(line.partition(" #")[0])
    prose = _FENCE.sub("", re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL))
    for indented in re.findall(r"(?m)^ {4}(?=make |\.venv/bin/)(.*)$", prose):
        yield from _in_shell(indented.partition(" #")[0])
    for shown in re.findall(r"\[([\w./-]+\.py)\]\(", prose):
        yield Mention("file", shown)
    for code in _CODE.findall(prose):
        yield from _in_code(" ".join(code.split()))
    for kind, pattern in _BEFORE.items():
        for found in pattern.findall(prose):
            for code in _CODE.findall(found):
                if re.fullmatch(r"[a-z][a-z0-9_]*", code) and not code.startswith("bankgw_"):
                    yield Mention(kind, code)


def _in_shell(line: str) -> Iterator[Mention]:
    for part in re.split(r"[|;&]", line):
        for switch in _SWITCH.findall(part):
            yield Mention("switch", switch, part.strip())
        for word in part.split()[1:]:
            if re.fullmatch(r"(?:tests|docs|conf|systemd|protocols|requirements)/[\w./*-]+", word):
                yield Mention("file", word, part.strip())
        if re.match(r"\s*make ", part):
            for variable in re.findall(r" ([A-Z_]+)=", part):
                yield Mention("make variable", variable, part.strip())


def _in_code(code: str) -> Iterator[Mention]:
    first = code.split()[0]
    if _SWITCH.search(code):
        for switch in _SWITCH.findall(code):
            yield Mention("switch", switch, code)
        return
    if first == "make":
        yield from _in_shell(code)
    if match := re.match(r"(bankgw_[a-z_]+)(?:\{([a-z_]+)=.*\})?$", code):
        yield Mention("metric", match[1])
    elif match := re.fullmatch(r"(BANKGW_[A-Z_]+)(?:=.*)?", code):
        if not match[1].startswith("BANKGW__"):
            yield Mention("variable", match[1])
    elif match := re.fullmatch(r"\[\[?([a-z_]+(?:\.[A-Za-z_…]+)*)\]?\]", code):
        yield Mention("settings table", re.sub(r"\.(?:[A-Z]+|…)(?=\.|$)", "", match[1]))
    elif match := re.match(r"([a-z][a-z_.]*) = \S", code):
        if match[1] not in _FOREIGN:
            yield Mention("setting", match[1])
    elif match := re.match(r"([A-Za-z_][\w.]*)\(", code):
        if match[1] not in _FOREIGN:
            yield Mention("function", match[1])
    elif " " not in code:
        yield from _one_word(code)


def _one_word(code: str) -> Iterator[Mention]:
    if code in _FOREIGN:
        return
    if "/" in code:
        folder = code.split("/")[0]
        if _PATH.fullmatch(code) and (folder in _folders() or _FILE.fullmatch(code.rstrip("/").rpartition("/")[2])):
            yield Mention("file", code)
    elif _FILE.fullmatch(code):
        yield Mention("file", code)
    elif _SNAKE.fullmatch(code):
        yield Mention("name", code)
    elif _DOTTED.fullmatch(code) and code == code.lower():
        yield Mention("dotted name", code)
    elif _CLASS.fullmatch(code):
        yield Mention("class", code)
    elif (match := re.fullmatch(r"([A-Z]\w+)\.([a-z]\w*)", code)) and match[1] in _classes():
        yield Mention("attribute", code)


# ---- what the checkout has --------------------------------------------------------------------------------------


def missing(mention: Mention, page: str) -> bool:
    """True if nothing has the mentioned name. `page` is the text that mentions it; files that its own shell blocks make
    count."""
    name = mention.name
    match mention.kind:
        case "file":
            made = name in "".join(text for _lang, text in _FENCE.findall(page)) or _is_written(name)
            return not (has_file(name) or (made and not mention.line))
        case "switch":
            return not has_switch(name, mention.line)
        case "make variable":
            target = mention.line.split()[1]
            return f"$({name})" not in _recipe(target) and f"${{{name}" not in _scripts()
        case "variable":
            return name not in _all_source()
        case "metric":
            return name not in metrics()
        case "table":
            return name not in metadata.tables
        case "alarm":
            return name not in ALARMS
        case "error code":
            return name not in {code.value for code in Code} and name not in _reasons()
        case "state":
            return name not in {state.value for state in State} and name not in _vocabulary()
        case "settings table":
            tables = f"\n[{name}"
            return not (
                any(f".{name}." in f".{known}." for known in settings_paths())
                or any(tables in text for path, text in texts().items() if not path.endswith(".md"))
            )
        case "setting":
            return not _is_setting(name) and name not in _vocabulary()
        case "function":
            return not _is_function(name)
        case "class":
            return name not in _classes() and name not in _elements()
        case "attribute":
            kind, _, attribute = name.partition(".")
            return attribute not in _classes()[kind]
        case "dotted name":
            return not _is_dotted(name)
        case _:
            return name not in _vocabulary()


def has_file(name: str) -> bool:
    """True if a committed file or folder ends with these parts of a path. `*` stands for anything, `.py` may be left
    out.
    """
    wanted = name.rstrip("/")
    if "*" in wanted:
        return any(fnmatchcase(path, wanted) or fnmatchcase(path, f"*/{wanted}") for path in committed())
    ends = (f"/{wanted}", f"/{wanted}.py")
    return any(f"/{path}".endswith(ends) or f"/{wanted}/" in f"/{path}" for path in committed())


@cache
def _folders() -> frozenset[str]:
    return frozenset(part for path in committed() for part in path.split("/")[:-1])


def _is_written(name: str) -> bool:
    """True if the program makes or reads a file with this last name. Modules do not count."""
    last = name.rpartition("/")[2]
    return bool(_FILE.fullmatch(last)) and not last.endswith(".py") and last in _all_source()


@cache
def _all_source() -> str:
    return "\n".join(
        text for path, text in texts().items() if not path.startswith("tests/docs/") and path[-3:] != ".md"
    )


@cache
def _scripts() -> str:
    return "\n".join(text for path, text in texts().items() if path.endswith(".sh"))


@cache
def metrics() -> frozenset[str]:
    """Every metric, as Prometheus shows it and as the code declares it."""
    registry = CollectorRegistry()
    Meters(registry)
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    declared = set(re.findall(r'"(bankgw_[a-z_]+)"', _all_source()))
    series = {f"{name}{end}" for name in declared if name.endswith("_seconds") for end in ("_bucket", "_sum", "_count")}
    return frozenset(names | declared | series)


@cache
def settings_paths() -> frozenset[str]:
    """Every settings table and key: `journal`, `journal.url`, `banks.lanes.tls.ca_file`."""
    found: set[str] = set()
    for at, model in reference._models():
        place = re.sub(r"\.(NAME|LANE|[A-Z]+)\b", "", at.strip("`[]")) if not at.startswith("top level") else ""
        found.add(place)
        found.update(f"{place}.{name}".lstrip(".") for name in model.model_fields)
    return frozenset(found)


def _is_setting(name: str) -> bool:
    plain = re.sub(r"\.[A-Z]+\b", "", name)
    return any(path == plain or path.endswith(f".{plain}") for path in settings_paths())


@cache
def _trees() -> Mapping[str, ast.Module]:
    return {path: ast.parse(text) for path, text in texts().items() if path.endswith(".py")}


def _product(path: str) -> bool:
    return path.startswith(("gateway/", "protocols/"))


@cache
def _constants() -> frozenset[str]:
    """Every string in the product's code, with docstrings and messages."""
    return frozenset(text for path in _trees() if _product(path) for text in _texts_of(path))


@cache
def _texts_of(path: str) -> frozenset[str]:
    return frozenset(
        node.value
        for node in ast.walk(_trees()[path])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def _vocabulary() -> frozenset[str]:
    """Names in the product's data: columns, fields, keys, and strings of one word. Local variables do not count."""
    words = {text for text in _constants() if re.fullmatch(r"[a-z][a-z0-9_]*", text)}
    words |= {column.name for table in metadata.tables.values() for column in table.columns} | set(metadata.tables)
    words |= metrics()
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                words.add(node.name)
            if isinstance(node, ast.ClassDef) and _product(path):
                words |= {
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                }
    for path, text in texts().items():
        if path.endswith(".toml"):
            words |= _keys(tomllib.loads(text))
        elif path.startswith("tests/docs/") or path.endswith(".dlg"):
            continue
    words |= {path.rpartition("/")[2].removesuffix(".py") for path in _trees() if _product(path)}
    return frozenset(words) | {path.rpartition(".")[2] for path in settings_paths()}


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


@cache
def _reasons() -> frozenset[str]:
    """Codes of single faults, which stand beside the contract's error codes: strings of one word in `protocols`."""
    return frozenset(text for path in _trees() if path.startswith("protocols/") for text in _texts_of(path))


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Dotted strings with variable parts: f"payment.{state}"."""
    found = set()
    for path, tree in _trees().items():
        for node in ast.walk(tree) if _product(path) else ():
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[a-z_]+" for part in node.values
                )
                if re.fullmatch(r"[a-z_]+\\\.\[a-z_\]\+", text):
                    found.add(text)
    return tuple(re.compile(text) for text in sorted(found))


def _is_event(name: str) -> bool:
    """True for a log event or a message of the contract."""
    return name in _constants() or any(pattern.fullmatch(name) for pattern in _patterns())


@cache
def _contract() -> frozenset[str]:
    """Fields of messages inside other fields, as the pages write them: `debtor.account`, `error.code`."""
    found: set[str] = set()

    def walk(schema: Any, above: tuple[str, ...]) -> None:
        if isinstance(schema, list):
            for one in schema:
                walk(one, above)
        elif isinstance(schema, dict):
            for name, one in schema.get("properties", {}).items():
                found.update(".".join((*above, name)[n:]) for n in range(len(above)))
                walk(one, (*above, name))
                # Pages call an item of `lines` a `line`.
                walk(one.get("items", {}), (*above, name.removesuffix("s")))
            for key in ("allOf", "anyOf", "oneOf", "items"):
                walk(schema.get(key, []), above)
            if "$ref" in schema and len(above) < _DEEP:
                walk(_definitions().get(schema["$ref"].rpartition("/")[2], {}), above)

    for name, text in texts().items():
        if name.startswith("docs/lookup/contract/schema/"):
            _definitions().update(json.loads(text).get("$defs", {}))
            walk(json.loads(text), ())
    return frozenset(found)


@cache
def _definitions() -> dict[str, Any]:
    return {}


def _is_routing_key(name: str) -> bool:
    """`payment.settled.icbc.kingdee`: event, bank, sender."""
    event = ".".join(name.split(".")[:2])
    return name.count(".") == 3 and _is_event(event)


@cache
def _fields() -> Mapping[str, frozenset[str]]:
    """The attributes of an object, by its class's name in small letters; and the keys of a bank's option tables."""
    found: dict[str, set[str]] = {}
    for path, tree in _trees().items():
        for node in ast.walk(tree) if _product(path) else ():
            if isinstance(node, ast.ClassDef):
                names = {
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                }
                found.setdefault(node.name.lower(), set()).update(names)
    return {name: frozenset(fields) for name, fields in found.items()}


@cache
def _elements() -> frozenset[str]:
    """Elements of XML that the product writes or reads: words of texts without a blank; and classes of the tests."""
    words = {word for text in _constants() if " " not in text for word in re.findall(r"\w+", text)}
    words |= {
        node.arg
        for path, tree in _trees().items()
        if _product(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg
    }
    return frozenset(
        words | {node.name for tree in _trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    )


@cache
def _classes() -> Mapping[str, frozenset[str]]:
    """The classes of the product, each with the names in its body."""
    found: dict[str, set[str]] = {}
    for path, tree in _trees().items():
        for node in ast.walk(tree) if _product(path) else ():
            if isinstance(node, ast.ClassDef):
                names = found.setdefault(node.name, set())
                for item in node.body:
                    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                        names.add(item.name)
                    elif isinstance(item, ast.Assign | ast.AnnAssign):
                        names.update(re.findall(r"^\w+", ast.unparse(item)))
    return {name: frozenset(names) for name, names in found.items()}


def _is_function(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in _vocabulary() or last in _defined()


@cache
def _defined() -> frozenset[str]:
    return frozenset(
        target.id
        for tree in _trees().values()
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _is_dotted(name: str) -> bool:
    if _is_setting(name) or _is_event(name) or name in _queues() or name in _contract() or _is_routing_key(name):
        return True
    head, _, last = name.rpartition(".")
    if head in metadata.tables and last in metadata.tables[head].columns or last in _fields().get(head.lower(), ()):
        return True
    if head in _option_tables() and last in _vocabulary():
        return True
    # `app.build`: a module, or a package, and a name that it defines.
    place = f"/{head.replace('.', '/')}"
    modules = [
        tree for path, tree in _trees().items() if f"/{path}".endswith(f"{place}.py") or f"{place}/" in f"/{path}"
    ]
    return any(_defines(tree, last) for tree in modules) or has_file(name.replace(".", "/"))


@cache
def _option_tables() -> frozenset[str]:
    """Options of banks: `codes` of `[banks.NAME.options.codes]`."""
    return frozenset(
        name
        for path, text in texts().items()
        if re.fullmatch(r"protocols/banks/\w+/options\.py", path)
        for name in re.findall(r'^    "(\w+)": \(?\w*\(?', text, re.MULTILINE)
    )


def _defines(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == name
        or isinstance(node, ast.Assign | ast.AnnAssign)
        and name in ast.unparse(node).split("=")[0]
        for node in ast.walk(tree)
    )


@cache
def _queues() -> frozenset[str]:
    topology: Topology = standard()
    return frozenset(re.findall(r"'([a-z][a-z0-9._-]*)'", repr(topology)))


# ---- switches ----------------------------------------------------------------------------------------------------


def has_switch(switch: str, line: str) -> bool:
    """True if the command of the line takes this switch. If the line names no command of ours, any command counts."""
    words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    program = words[0].rpartition("/")[2] if words else ""
    if program == "bankgw":
        return switch in _of_bankgw(words[1:])
    if program == "make":
        return switch in _of_module(_module_of_target(words[1] if len(words) > 1 else ""))
    if program.startswith("python") and "-m" in words:
        module = words[words.index("-m") + 1]
        return switch in _of_module(module) if module.split(".")[0] in _own() else True
    if program.startswith("-") or not program:
        return switch in _every_switch()
    return True


def _own() -> frozenset[str]:
    return frozenset(path.split("/")[0] for path in committed() if path.endswith(".py"))


def _recipe(target: str) -> str:
    """A target's lines, with the variables of `SIDE_BY_SIDE` written out."""
    found = re.search(rf"^{re.escape(target)}:.*?(?=^\S|\Z)", texts()["Makefile"], re.MULTILINE | re.DOTALL)
    [side_by_side] = re.findall(r"^SIDE_BY_SIDE = (.*)$", texts()["Makefile"], re.MULTILINE)
    return found[0].replace("$(SIDE_BY_SIDE)", side_by_side) if found else ""


def _module_of_target(target: str) -> str:
    text = _recipe(target)
    if "bin/bankgw demo" in text:
        return "bankgw demo"
    found = re.search(r"-m ([\w.]+)", text)
    return found[1] if found else ""


@cache
def _root() -> Any:
    return typer.main.get_command(application.application())


def _of_bankgw(words: list[str]) -> set[str]:
    command = _root()
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


@cache
def _of_module(module: str) -> frozenset[str]:
    if module.startswith("bankgw "):
        return frozenset(_of_bankgw(module.split()[1:]))
    path = module.replace(".", "/")
    text = texts().get(f"{path}.py", texts().get(f"{path}/__main__.py", ""))
    both = re.findall(r'"--([a-z0-9-]+)",\s*action=argparse.BooleanOptionalAction', text)
    return frozenset(re.findall(r'"(--[a-z0-9-]+)"', text)) | {"--help"} | {f"--no-{name}" for name in both}


@cache
def _every_switch() -> frozenset[str]:
    found = set(re.findall(r"[\"' ](--[a-z0-9-]+)", _all_source()))

    def walk(command: Any) -> None:
        found.update(name for one in command.params for name in (*one.opts, *one.secondary_opts))
        for one in getattr(command, "commands", {}).values():
            walk(one)

    walk(_root())
    return frozenset(found)


def wrong(markdown: str) -> list[str]:
    """The names on a page that do not exist, one sentence each."""
    found: Iterable[Mention] = dict.fromkeys(mentions(markdown))
    return [
        f"there is no {one.kind} {one.name}" + (f" in: {one.line}" if one.line else "")
        for one in found
        if missing(one, markdown)
    ]
