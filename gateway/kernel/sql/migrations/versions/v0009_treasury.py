"""Reconciliation: entries with their counterparty, closed days, the ERP's books, persons' decisions, balance tables."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, key_number, number

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("statement_days", metadata, key("account_idx"), key("day", 10), number("at_ms"), hidden("body"), **CLUSTERED)

Table(
    "books",
    metadata,
    key("book", 26),
    bounded("account_idx"),
    bounded("first_day", 10),
    bounded("last_day", 10),
    bounded("state", 16),
    number("at_ms"),
    hidden("body"),
    Index("books_account", "account_idx", "first_day"),
    **STRICT,
)

Table(
    "book_rows",
    metadata,
    key("book", 26),
    key("row_id", 128),
    bounded("account_idx"),
    bounded("day", 10),
    hidden("body"),
    Index("book_rows_day", "account_idx", "day"),
    **STRICT,
)

Table(
    "match_decisions",
    metadata,
    key("decision", 26),
    bounded("account_idx"),
    bounded("kind", 8),
    bounded("state", 8),
    number("at_ms"),
    hidden("body"),
    Index("match_decisions_account", "account_idx", "state"),
    **STRICT,
)

Table(
    "balance_tables",
    metadata,
    key("account_idx"),
    key("month", 7),
    key_number("version"),
    bounded("state", 16),
    number("at_ms"),
    hidden("body"),
    **STRICT,
)


def upgrade() -> None:
    """Create the tables of reconciliation. Entries recorded before have no detail: they are matched by amount, code and
    text only.
    """
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.add_column("statement_entries", hidden("detail", null=True))
    op.execute("UPDATE meta SET value = '9' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables and columns that `upgrade` added. The audit trail keeps the decisions and their persons."""
    op.drop_column("statement_entries", "detail")
    for name in ("balance_tables", "match_decisions", "book_rows", "books", "statement_days"):
        op.drop_table(name)
    op.execute("UPDATE meta SET value = '8' WHERE name = 'schema'")
