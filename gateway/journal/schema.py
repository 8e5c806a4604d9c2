"""The journal's tables as they are now. How a database gets there is in `migrations`; a test holds the two together.

Columns named `*_idx`, `fingerprint` and `dup_key` are blind (keyed hashes); columns of type `sealed` are ciphertext.
Times are milliseconds of UTC, business dates are ISO text, amounts are minor units.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

SCHEMA_VERSION = 1


class word(TypeDecorator[str]):  # noqa: N801 - reads as a column type, like `text`
    """Text of bounded length that compares byte by byte on every database: `a`, `A` and `a ` are three ids."""

    impl = String
    cache_ok = True

    def __init__(self, length: int = 64) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The database's own type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.TEXT())
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.VARCHAR(self.length, collation="C"))
        collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return dialect.type_descriptor(mysql.VARCHAR(self.length, charset="utf8mb4", collation=collation))


integer = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
text = Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4"), "mysql", "mariadb")
sealed = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

metadata = MetaData()
_STRICT = {"sqlite_strict": True, "mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}
_CLUSTERED = {"sqlite_with_rowid": False, **_STRICT}


def _id(name: str, length: int = 64) -> Column[str]:
    return Column(name, word(length), primary_key=True)


def _word(name: str, length: int = 64, *, null: bool = False) -> Column[str]:
    return Column(name, word(length), nullable=null)


def _int(name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(name, integer, primary_key=True, autoincrement=False) if key else Column(name, integer, nullable=null)


def _sealed(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, sealed, nullable=null)


def _payment() -> Column[str]:
    return Column("payment", word(26), ForeignKey("payments.payment"), primary_key=True)


def _reply() -> tuple[Column[str], ...]:
    return (_word("reply_to", 255, null=True), _word("correlation_id", 255, null=True),
            _word("traceparent", 255, null=True), _word("content_type"))  # fmt: skip


payments = Table(
    "payments", metadata,
    _id("payment", 26), _word("company"), _word("sender"), _word("order_id", 128), _word("kind"), _word("bank"),
    _word("lane"), _word("bank_ref"), _word("state", 16), _int("version"), _int("epoch"), _int("seq"),
    _int("attempt"), _int("asked"), _int("not_found"), _int("doubted"), _int("replaying"), _int("tell_sent"),
    _int("first_write_ms", null=True), _int("last_write_ms", null=True), _int("deadline_ms", null=True),
    _int("send_after_ms", null=True), _int("valid_until_ms", null=True), Column("rules", text, nullable=False),
    _word("fingerprint"), _word("dup_key", null=True), _word("debtor_idx"), _word("creditor_idx"),
    _word("currency", 3), _int("amount_minor"), _word("batch", 128, null=True), _int("item_no", null=True), *_reply(),
    _int("accepted_ms"), _int("changed_ms"), _word("bank_serial", 255, null=True), _word("bank_code", null=True),
    _sealed("bank_text", null=True), _int("booked_ms", null=True), _word("hold_reason", null=True),
    _sealed("order"), _sealed("refusal", null=True),
    UniqueConstraint("sender", "order_id", name="payments_identity"),
    UniqueConstraint("lane", "bank_ref", name="payments_reference"),
    Index("payments_lane_state", "lane", "state"), Index("payments_alike", "dup_key", "accepted_ms"), **_STRICT,
)  # fmt: skip

attempts = Table(
    "attempts", metadata,
    _payment(), _int("attempt", key=True), _int("epoch"), _word("node"), _word("bank_date", 10),
    Column("serials", text, nullable=False), _word("port"), _sealed("wire"), _word("key_id", 255, null=True),
    _int("first_write_ms", null=True), _word("replay_policy", 16), _int("at_ms"), **_STRICT,
)  # fmt: skip

evidence = Table(
    "evidence", metadata,
    _id("evidence", 26), Column("payment", word(26), ForeignKey("payments.payment"), nullable=False), _int("at_ms"),
    _word("source", 16), _word("fate", 16, null=True), _word("code"), _sealed("note"), _sealed("body"),
    Index("evidence_payment", "payment"), **_STRICT,
)  # fmt: skip

outbox = Table(
    "outbox", metadata,
    _id("message_id", 36), _word("node"), _word("state", 16), _word("exchange", 255), _word("routing_key", 255),
    Column("headers", text, nullable=False), _word("correlation_id", 255, null=True), _word("content_type"),
    _word("payment", 26, null=True), _int("created_ms"), _sealed("body"),
    Index("outbox_waiting", "node", "state", "message_id"), Index("outbox_payment", "payment"), **_STRICT,
)  # fmt: skip

work = Table(
    "work", metadata,
    _payment(), _id("kind", 16), _word("lane"), _int("due_ms"), _int("epoch"),
    Index("work_due", "lane", "due_ms"), **_CLUSTERED,
)  # fmt: skip

lanes = Table(
    "lanes", metadata,
    _id("lane"), _int("epoch"), _word("owner"), _int("expires_ms"), _int("serial"), **_CLUSTERED,
)  # fmt: skip

jobs = Table(
    "jobs", metadata,
    _id("job"), _id("bank"), _id("business_date", 10), _word("node"), _word("state", 16), _int("started_ms"),
    _int("finished_ms", null=True), **_CLUSTERED,
)  # fmt: skip

statement_entries = Table(
    "statement_entries", metadata,
    _id("entry", 26), _word("bank"), _word("account_idx"), _word("line"), _word("bank_line_id", 255, null=True),
    _word("bank_date", 10), _word("direction", 8), _word("currency", 3), _int("amount_minor"),
    _int("booked_ms", null=True), _word("matched_payment", 26, null=True), _int("seen_ms"), _sealed("body"),
    UniqueConstraint("bank", "account_idx", "line", name="statement_entries_line"),
    Index("statement_entries_day", "account_idx", "bank_date"), **_STRICT,
)  # fmt: skip

audit = Table(
    "audit", metadata,
    _id("node"), _int("seq", key=True), _int("at_ms"), _word("actor", 255), _word("entry"), _word("object_id", 255),
    _sealed("detail"), _word("prev_hash"), _word("hash"), Index("audit_object", "object_id"), **_STRICT,
)  # fmt: skip

refusals = Table(
    "refusals", metadata,
    _id("refusal", 255), _word("sender", null=True), _word("code"), _int("at_ms"), _sealed("body"), **_STRICT,
)  # fmt: skip

questions = Table(
    "questions", metadata,
    _id("question", 255), _word("sender"), _word("operation"), *_reply(), _int("received_ms"), _int("expires_ms"),
    _sealed("body"), **_STRICT,
)  # fmt: skip

usage = Table(
    "usage_counts", metadata,
    _id("sender"), _id("scope", 16), _id("key"), _id("currency", 3), _id("day", 10), _int("sum_minor"), _int("count"),
    **_CLUSTERED,
)  # fmt: skip

payees = Table("payees", metadata, _id("sender"), _id("payee"), _int("first_ms"), **_CLUSTERED)

units = Table(
    "units", metadata,
    _id("node"), _word("unit", 26), _int("at_ms"), _int("audit_seq"), _word("audit_hash"), **_CLUSTERED,
)  # fmt: skip

meta = Table("meta", metadata, _id("name"), Column("value", text, nullable=False), **_CLUSTERED)
