"""The SQL that differs on Oracle. SQLAlchemy's dialect checks the texts; no Oracle has run them yet.

One difference keeps it from running, and no dialect shows it: Oracle stores an empty text as NULL, and the journal has
columns that hold empty texts and may not be NULL.
"""

from __future__ import annotations

from sqlalchemy import Column, Executable, Table, bindparam, text
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Dialect


def merge(table: Table, add: tuple[str, ...]) -> Executable:
    """Oracle's statement for an upsert: where the primary key exists, add to the columns of `add` and overwrite the
    others.
    """
    dialect: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]
    name = dialect.identifier_preparer.quote
    columns = list(table.columns)
    key = [column for column in columns if column.primary_key]
    others = [column for column in columns if not column.primary_key]

    def fresh(column: Column[object]) -> str:
        own, news = f"old.{name(column.key)}", f"news.{name(column.key)}"
        return f"{own} = {f'{own} + {news}' if column.key in add else news}"

    given = ", ".join(f":{column.key} AS {name(column.key)}" for column in columns)
    words = [
        f"MERGE INTO {name(table.name)} old USING (SELECT {given} FROM DUAL) news",
        "ON (" + " AND ".join(f"old.{name(column.key)} = news.{name(column.key)}" for column in key) + ")",
    ]
    if others:
        words.append("WHEN MATCHED THEN UPDATE SET " + ", ".join(fresh(column) for column in others))
    words.append(
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(name(column.key) for column in columns)}) "
        f"VALUES ({', '.join(f'news.{name(column.key)}' for column in columns)})"
    )
    return text(" ".join(words)).bindparams(*(bindparam(column.key, type_=column.type) for column in columns))
