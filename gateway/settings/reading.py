"""Reads settings from files and environment variables, or reports every mistake at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.settings.agreement import findings
from gateway.settings.shards import Shard, narrowed, shard_socket, state_folder
from gateway.settings.tables import CONTROL_SOCKET, Settings
from gateway.settings.values import ACCOUNT, AMOUNT, CNAPS, CURRENCY, SLUG

ENVIRONMENT_PREFIX = "BANKGW__"
BOM = "begins with a BOM; save the file as UTF-8 without BOM"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in the settings: where, and what to do."""

    file: str
    key: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.remedy}"


class BadSettings(Exception):
    """The settings cannot be used; `mistakes` holds every one of them."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings whose every field is well-formed, and what is wrong among them; `origin` says where a key was set."""

    settings: Settings
    path: Path
    origin: Mapping[str, str] = field(repr=False)
    mistakes: tuple[Mistake, ...] = ()

    def mistake(self, key: str, remedy: str) -> Mistake:
        """A mistake at `key`, with the file that set it."""
        return Mistake(_origin_of(key, self.origin, str(self.path)), key, remedy)


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `path`, then `conf.d/*.toml` beside it, then the environment. Raises BadSettings with all mistakes."""
    loaded = read(path, environment)
    if loaded.mistakes:
        raise BadSettings(loaded.mistakes)
    return loaded.settings


def read(path: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """As `load`, for those who look further: raises BadSettings only when no settings can be made of the files."""
    tables, origin = _tables(path, environment)
    try:
        settings = Settings.model_validate(tables, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise BadSettings(tuple(_mistakes_of(error, origin, str(path)))) from None
    loaded = Loaded(settings, path, origin)
    mistakes = tuple(loaded.mistake(key, remedy) for key, remedy in findings(settings))
    known = all(one.key != "shard" for one in mistakes)
    return replace(loaded, settings=narrowed(settings) if known else settings, mistakes=mistakes)


def socket_of(path: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Where the control API of these settings listens, whatever else may be wrong with them. Raises BadSettings."""
    tables, _origin = _tables(path, environment)
    try:
        shard = Shard.of(tables.get("shard", "1/1"))
    except (ValueError, TypeError):
        shard = Shard(1, 1)
    socket, state = _socket_and_state(tables, path.resolve().parent)
    if shard.count > 1:
        state = state_folder(state, shard.number)
        socket = None if socket is None else shard_socket(socket, shard.number)
    return socket or state / CONTROL_SOCKET


def shard_sockets(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The control sockets of the shards that run, or ran, with these settings, by number. Raises BadSettings."""
    tables, _origin = _tables(path, environment)
    socket, state = _socket_and_state(tables, path.resolve().parent)
    numbered = ((number, shard_socket(socket, number) if socket else state_folder(state, number) / CONTROL_SOCKET)
                for number in range(1, 100))  # fmt: skip
    return tuple(one for _number, one in numbered if one.exists())


def _socket_and_state(tables: Mapping[str, Any], folder: Path) -> tuple[Path | None, Path]:
    control, state = tables.get("control"), tables.get("state_dir")
    socket = control.get("socket") if isinstance(control, dict) else None
    state_dir = folder / (state if isinstance(state, str) else Settings.model_fields["state_dir"].default)
    return folder / socket if isinstance(socket, str) else None, state_dir


def _tables(path: Path, environment: Mapping[str, str] | None) -> tuple[dict[str, Any], dict[str, str]]:
    tables: dict[str, Any] = {}
    origin: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for file in (path, *sorted((path.parent / "conf.d").glob("*.toml"))):
        mistakes += _merge_file(file, tables, origin)
    for name, value in sorted((environment or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            mistakes += _merge_variable(name, value, tables, origin)
    if mistakes:
        raise BadSettings(tuple(mistakes))
    return tables, origin


def _merge_file(file: Path, tables: dict[str, Any], origin: dict[str, str]) -> list[Mistake]:
    try:
        text = file.read_text("utf-8")
        if text.startswith("\ufeff"):
            return [Mistake(str(file), "line 1", BOM)]
        read = tomllib.loads(text)
    except OSError as error:
        return [Mistake(str(file), "-", f"cannot be read ({error.strerror}); create it or name another with --config")]
    except UnicodeDecodeError as error:
        return [Mistake(str(file), f"byte {error.start}", "is not UTF-8; save the file in UTF-8")]
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (line \d+), column \d+\)$", str(error))
        return [Mistake(str(file), found.group(1) if found else "-", f"is not TOML; mend it: {error}")]
    return list(_merge(read, tables, origin, str(file), ""))


def _merge(
    new: Mapping[str, Any], into: dict[str, Any], origin: dict[str, str], file: str, at: str
) -> Iterator[Mistake]:
    for key, value in new.items():
        name = f"{at}.{key}" if at else key
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            yield from _merge(value, into.setdefault(key, {}), origin, file, name)
        elif isinstance(value, list) and isinstance(into.get(key, []), list):
            start = len(into.setdefault(key, []))
            into[key].extend(value)
            origin.update({f"{name}.{start + n}": file for n in range(len(value))})
        elif key in into:
            yield Mistake(file, name, f"is set in {origin.get(name, 'another file')} already; keep one")
        else:
            into[key] = value
        origin.setdefault(name, file)


def _merge_variable(name: str, value: str, tables: dict[str, Any], origin: dict[str, str]) -> Iterator[Mistake]:
    *parents, last = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
    source, key = f"environment variable {name}", ".".join((*parents, last))
    table: Any = tables
    for parent in parents:
        table = table.setdefault(parent, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict) or isinstance(table.get(last), dict | list):
        yield Mistake(source, key, "a variable can set one plain value of a table; unset it and write it in a file")
    else:
        table[last] = value
        origin[key] = source


def _origin_of(key: str, origin: Mapping[str, str], default: str) -> str:
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        found = origin.get(".".join(parts[:end]))
        if found is not None:
            return found
    return default


def _mistakes_of(error: ValidationError, origin: Mapping[str, str], default: str) -> Iterator[Mistake]:
    found = error.errors(include_url=False, include_input=False)
    wrong = {one["loc"][:-1] for one in found}
    for one in found:
        if one["type"] == "too_short" and one["loc"] in wrong:
            continue  # an element that is wrong was not counted; it has a line of its own
        parts = [str(part) for part in one["loc"]]
        named = parts[-1:] == ["[key]"]
        key = ".".join(parts[:-1] if named else parts) or "-"
        yield Mistake(_origin_of(key, origin, default), key, remedy_of(one, named=named))


_PATTERNS = {
    SLUG: "write lower-case letters, digits and _, beginning with a letter, at most 31",
    AMOUNT: 'write an amount as text with a point, such as "50000.00"',
    ACCOUNT: "write the account number as text of 4 to 34 letters and digits, without blanks",
    CNAPS: "write the number of the branch as text of 12 digits",
    CURRENCY: 'write a currency code of three capital letters, such as "CNY"',
}
_REMEDIES = {
    "extra_forbidden": "there is no such setting; remove it or mend its spelling ({manual} lists all)",
    "missing": "is required; add it ({manual} says what it is)",
    "string_type": "write text in quotes",
    "path_type": "write a path in quotes",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "tuple_type": "write a list in brackets",
    "mapping_type": "make it a table",
    "dict_type": "make it a table",
    "model_type": "make it a table",
    "model_attributes_type": "make it a table",
}


def remedy_of(one: Any, *, named: bool = False, manual: str = "docs/lookup/settings.md") -> str:
    """What to do about one of pydantic's complaints; `manual` lists all keys of the file."""
    kind: str = one["type"]
    context: Mapping[str, Any] = one.get("ctx", {})
    if kind in _REMEDIES:
        return _REMEDIES[kind].format(manual=manual)
    if kind == "string_pattern_mismatch":
        return ("its name is wrong: " if named else "") + _PATTERNS[context["pattern"]]
    if kind == "literal_error":
        return f"write {context['expected']}"
    limits = {"greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "more than"),
              "less_than_equal": ("le", "at most"), "less_than": ("lt", "less than")}  # fmt: skip
    if kind in limits:
        bound, words = limits[kind]
        return f"must be {words} {context[bound]:g}"
    if kind in ("too_short", "string_too_short"):
        return f"needs at least {context['min_length']}"
    if kind.startswith("date"):
        return "write a date, such as 2026-11-24"
    said: str = one["msg"]
    return said.removeprefix("Value error, ")
