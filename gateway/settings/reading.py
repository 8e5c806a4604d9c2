"""Reads settings from files and environment variables, or reports every mistake at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.settings.agreement import findings
from gateway.settings.shards import narrowed
from gateway.settings.tables import Settings
from gateway.settings.values import ACCOUNT, AMOUNT, CNAPS, CURRENCY, SLUG
from gateway.settings_files import BadSettings, Mistake, merged_tables


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings whose every field is well-formed, and the mistakes among them; `origin` says where a key was set."""

    settings: Settings
    path: Path
    origin: Mapping[str, str] = field(repr=False)
    mistakes: tuple[Mistake, ...] = ()

    def mistake(self, key: str, remedy: str) -> Mistake:
        """A mistake at `key`, with the file that set it."""
        return Mistake(_origin_of(key, self.origin, str(self.path)), key, remedy)


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `path`, then `conf.d/*.toml` beside it, then the environment. Raises BadSettings with all mistakes."""
    loaded = read_settings(path, environment)
    if loaded.mistakes:
        raise BadSettings(loaded.mistakes)
    return loaded.settings


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> LoadedSettings:
    """As `load`, but returns settings with their mistakes. Raises BadSettings only when no settings can be made of the
    files.
    """
    tables, origin = merged_tables(path, environment)
    try:
        settings = Settings.model_validate(tables, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise BadSettings(tuple(_mistakes_of(error, origin, str(path)))) from None
    loaded = LoadedSettings(settings, path, origin)
    mistakes = tuple(loaded.mistake(key, remedy) for key, remedy in findings(settings))
    known = all(one.key != "shard" for one in mistakes)
    return replace(loaded, settings=narrowed(settings) if known else settings, mistakes=mistakes)


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
            continue  # a wrong element was not counted, because it has a line of its own
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
    """The remedy for one of pydantic's errors; `manual` lists all keys of the file."""
    kind: str = one["type"]
    context: Mapping[str, Any] = one.get("ctx", {})
    if kind in _REMEDIES:
        return _REMEDIES[kind].format(manual=manual)
    if kind == "string_pattern_mismatch":
        return ("its name is wrong: " if named else "") + _PATTERNS[context["pattern"]]
    if kind == "literal_error":
        return f"write {context['expected']}"
    limits = {
        "greater_than_equal": ("ge", "at least"),
        "greater_than": ("gt", "more than"),
        "less_than_equal": ("le", "at most"),
        "less_than": ("lt", "less than"),
    }
    if kind in limits:
        bound, words = limits[kind]
        return f"must be {words} {context[bound]:g}"
    if kind in ("too_short", "string_too_short"):
        return f"needs at least {context['min_length']}"
    if kind.startswith("date"):
        return "write a date, such as 2026-11-24"
    said: str = one["msg"]
    return said.removeprefix("Value error, ")
