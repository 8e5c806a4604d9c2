"""Column types that mean the same on SQLite, PostgreSQL, MySQL and MariaDB. Shared with the migrations."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class ExactText(TypeDecorator[str]):
    """Text of bounded length that compares byte by byte on every database: `a`, `A` and `a ` are three ids."""

    impl = String
    cache_ok = True

    def __init__(self, length: int = 64) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The column type that this database uses for exact text."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.TEXT())
        # A dialect takes a megabyte or two of memory: only that of the database in use is loaded.
        if dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            return dialect.type_descriptor(postgresql.VARCHAR(self.length, collation="C"))
        if dialect.name == "oracle":
            from sqlalchemy.dialects import oracle

            return dialect.type_descriptor(oracle.VARCHAR2(self.length))
        from sqlalchemy.dialects import mysql

        collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return dialect.type_descriptor(mysql.VARCHAR(self.length, charset="utf8mb4", collation=collation))


class LongText(TypeDecorator[str]):
    """Text of any length, on MySQL and MariaDB up to 16 MiB."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The column type that this database uses for long text."""
        if dialect.name not in ("mysql", "mariadb"):
            return self.impl_instance
        from sqlalchemy.dialects import mysql

        return dialect.type_descriptor(mysql.MEDIUMTEXT(charset="utf8mb4"))


class SealedBytes(TypeDecorator[bytes]):
    """A column of bytes that the vault has sealed, of any length."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[bytes]:
        """The column type that this database uses for sealed bytes."""
        if dialect.name not in ("mysql", "mariadb"):
            return self.impl_instance
        from sqlalchemy.dialects import mysql

        return dialect.type_descriptor(mysql.LONGBLOB())


# Not storable: PostgreSQL refuses NUL, and surrogates cannot be encoded as UTF-8.
_UNSPEAKABLE = re.compile("[\x00\ud800-\udfff]")
_INTEGER = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")

STRICT: dict[str, Any] = {"sqlite_strict": True, "mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}
CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False, **STRICT}


def key(name: str, length: int = 64) -> Column[str]:
    """A text column of the primary key."""
    return Column(name, ExactText(length), primary_key=True)


def key_number(name: str) -> Column[int]:
    """A number in the primary key, assigned by the gateway."""
    return Column(name, _INTEGER, primary_key=True, autoincrement=False)


def bounded(name: str, length: int = 64, *, null: bool = False) -> Column[str]:
    """A text column in clear with a limited length, for values that identify nobody."""
    return Column(name, ExactText(length), nullable=null)


def unbounded(name: str) -> Column[str]:
    """A text column in clear without a limit, such as JSON that the gateway writes."""
    return Column(name, LongText(), nullable=False)


def number(name: str, *, null: bool = False) -> Column[int]:
    """A column of 64-bit integers."""
    return Column(name, _INTEGER, nullable=null)


def hidden(name: str, *, null: bool = False) -> Column[bytes]:
    """A column of bytes that the vault has sealed."""
    return Column(name, SealedBytes(), nullable=null)


def seal() -> Column[str]:
    """The column of a row's seal (see `sealed`). Rows from before schema 17 have none."""
    return Column("seal", ExactText(64), nullable=True)


def payment_key() -> Column[str]:
    """The column of a payment's key, as part of a primary key."""
    return Column("payment", ExactText(26), ForeignKey("payments.payment"), primary_key=True)


def payment_ref() -> Column[str]:
    """The column that names the payment to which a row belongs."""
    return Column("payment", ExactText(26), ForeignKey("payments.payment"), nullable=False)


def speakable(said: str) -> str:
    """A bank's text without the characters that no database can store. A key with such characters matches no row."""
    return _UNSPEAKABLE.sub("\ufffd", said)


def fitting(said: str, column: Column[Any]) -> str:
    """A bank's text, shortened to the length of its column.

    A server refuses a text that is too long (SQLite does not), and no unit may fail because of a bank's text.
    """
    assert isinstance(column.type, ExactText), f"{column} takes no words"
    return speakable(said)[: column.type.length]


def reply_columns() -> tuple[Column[str], ...]:
    """The columns that store a Reply."""
    return (
        bounded("reply_to", 255, null=True),
        bounded("correlation_id", 255, null=True),
        bounded("traceparent", 255, null=True),
        bounded("content_type"),
    )
