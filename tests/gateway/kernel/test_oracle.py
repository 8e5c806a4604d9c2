"""The journal's SQL as SQLAlchemy writes it for Oracle: nothing that Oracle lacks. No Oracle has run it."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import Executable, event
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.ddl import DDLElement

import gateway
from gateway.kernel.sql import databases, driver, schema
from tests.house import JOURNAL, belongs
from tests.world import sim

# SQLAlchemy declares no type for a dialect's constructor.
ORACLE: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]
# Features that Oracle before 23 or its driver lacks. They are searched for in the text without its strings.
DENIED = {
    "LIMIT": r"\bLIMIT\b",
    "ON CONFLICT": r"\bON CONFLICT\b",
    "ON DUPLICATE KEY": r"\bON DUPLICATE KEY\b",
    "IF NOT EXISTS": r"\bIF (NOT )?EXISTS\b",
    "a BOOLEAN": r"\bBOOLEAN\b|\b(true|false)\b",
    "TEXT": r"\bTEXT\b",
    "a condition as a column": r"\bSELECT (NOT )?\(?EXISTS\b|,\s*EXISTS \(",
    "SELECT without FROM": r"\bSELECT (?:(?!\bFROM\b).)*$",
    "several rows of VALUES": r"\bVALUES \([^)]*\), \(",
    "RETURNING without INTO": r"\bRETURNING (?:(?!\bINTO\b).)*$",
    "IS DISTINCT FROM": r"\bDISTINCT FROM\b",
    "an identity of SQLite": r"\bAUTOINCREMENT\b|\bWITHOUT ROWID\b",
    "a type of PostgreSQL": r"::|\bBYTEA\b|\bBIGINT\b",
    "an unbounded VARCHAR": r"\bVARCHAR2?\b(?! ?\()",
    "the words of another": r"\b(sqlite_|PRAGMA|pg_|utf8mb4)",
}


def faults(text: str) -> list[str]:
    """The items of the deny-list that a statement contains."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "x", " ".join(text.split()))
    return [name for name, pattern in DENIED.items() if re.search(pattern, bare, re.IGNORECASE)]


def written(statement: Any, keys: tuple[str, ...] = ()) -> str:
    return str(statement.compile(dialect=ORACLE, **({"column_keys": list(keys)} if keys else {})))


@lru_cache(maxsize=1)
def told() -> tuple[tuple[Any, tuple[str, ...]], ...]:
    """Every statement of four simulated stories on the journal, with its keys."""
    heard: dict[int, tuple[Any, tuple[str, ...]]] = {}

    def note(_conn: Any, statement: Any, *_more: Any) -> None:
        heard[id(statement)] = (statement, ())

    plain = driver._compiled

    def compiled(statement: Executable, dialect: Any, keys: tuple[str, ...]) -> Any:
        heard[id(statement)] = (statement, keys)
        return plain(statement, dialect, keys)

    event.listen(Engine, "before_execute", note)
    driver._compiled = compiled
    driver._written.cache_clear()
    try:
        sim.quiet()
        for seed in range(1, 5):
            sim.tell_one(seed)
    finally:
        event.remove(Engine, "before_execute", note)
        driver._compiled = plain
    return tuple(heard.values())


def constants() -> Iterator[tuple[str, Executable]]:
    """The statements that the journal's modules store as constants."""
    for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if ".versions." in found.name or not any(belongs(found.name, room) for room in JOURNAL):
            continue
        for name, value in vars(import_module(found.name)).items():
            if isinstance(value, Executable) and not isinstance(value, type):
                yield f"{found.name}.{name}", value


def foreign(statement: Any) -> bool:
    """SQLite's own upserts, for which Oracle has its own text, and the declaration of SQLite's schema."""
    return type(statement).__module__.startswith("sqlalchemy.dialects.sqlite") or isinstance(statement, DDLElement)


def test_what_a_gateway_says_is_nothing_that_oracle_lacks() -> None:
    texts = {written(statement, keys) for statement, keys in told() if not foreign(statement)}
    assert len(texts) > 80
    assert {text: found for text in texts if (found := faults(text))} == {}


def test_what_the_modules_keep_is_nothing_that_oracle_lacks() -> None:
    kept = {name: written(statement) for name, statement in constants() if not foreign(statement)}
    assert len(kept) > 20
    assert {name: found for name, text in kept.items() if (found := faults(text))} == {}


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_can_be_made_and_filled(table: Any) -> None:
    made = [written(CreateTable(table)), *(written(CreateIndex(index)) for index in sorted(table.indexes, key=str))]
    added = tuple(
        column.key for column in table.columns if not column.primary_key and "INTEGER" in str(column.type).upper()
    )
    filled = [
        written(databases._insert_new(table, "oracle", tuple(table.c.keys()))),
        written(databases._upsert(table, "oracle", added)),
    ]
    assert [found for text in (*made, *filled) if (found := faults(text))] == []
    assert filled[1].startswith("MERGE INTO ") and "INSERT" in filled[0] and "FROM DUAL" in filled[0]
    names = [table.name, *(index.name for index in table.indexes), *(column.name for column in table.columns)]
    assert all(len(str(name)) <= 30 for name in names), "30 bytes before Oracle 12.2"
    assert all(int(size) <= 4000 for text in made for size in re.findall(r"VARCHAR2\((\d+)", text))


def test_each_row_is_merged_as_the_other_databases_do() -> None:
    text = " ".join(written(databases._upsert(schema.usage, "oracle", ("sum_minor",))).split()).replace('"', "")
    assert "old.sum_minor = old.sum_minor + news.sum_minor, old.count = news.count" in text, text
    for column in schema.usage.primary_key.columns:
        assert f"old.{column.key} = news.{column.key}" in text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SELECT a FROM t LIMIT 1", "LIMIT"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", "ON DUPLICATE KEY"),
        ("CREATE TABLE IF NOT EXISTS t (a INTEGER)", "IF NOT EXISTS"),
        ("CREATE TABLE t (a BOOLEAN)", "a BOOLEAN"),
        ("SELECT a FROM t WHERE b = true", "a BOOLEAN"),
        ("CREATE TABLE t (a TEXT)", "TEXT"),
        ("SELECT EXISTS (SELECT 1 FROM t) FROM DUAL", "a condition as a column"),
        ("SELECT 1", "SELECT without FROM"),
        ("INSERT INTO t VALUES (1), (2)", "several rows of VALUES"),
        ("INSERT INTO t VALUES (1) RETURNING a", "RETURNING without INTO"),
        ("SELECT a FROM t WHERE a IS NOT DISTINCT FROM b", "IS DISTINCT FROM"),
        ("CREATE TABLE t (a BIGINT)", "a type of PostgreSQL"),
        ("CREATE TABLE t (a VARCHAR)", "an unbounded VARCHAR"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)", "an identity of SQLite"),
        ("PRAGMA user_version", "the words of another"),
    ],
)
def test_each_lack_is_noticed(text: str, fault: str) -> None:
    assert fault in faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u) FETCH FIRST 1 ROWS ONLY",
        "SELECT :a AS a FROM DUAL",
        "CREATE TABLE t (a VARCHAR2(64 CHAR), b NUMBER(19), c CLOB)",
        "INSERT INTO t (a) VALUES ('ON CONFLICT LIMIT true')",
        "INSERT INTO t (a) VALUES (1) RETURNING t.a INTO :ret_0",
    ],
)
def test_what_oracle_has_is_left_alone(text: str) -> None:
    assert faults(text) == []
