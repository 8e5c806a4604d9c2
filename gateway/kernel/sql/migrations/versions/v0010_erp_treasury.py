"""Commands of ERPs to the treasury (books by their ids, claims), receipts, and the events sent about matches."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, key_number, number

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "ledgers",
    metadata,
    key("sender"),
    key("ledger"),
    bounded("book", 26),
    bounded("account_idx"),
    bounded("fingerprint"),
    number("parts"),
    hidden("body"),
    Index("ledgers_book", "book"),
    **STRICT,
)

Table("ledger_parts", metadata, key("sender"), key("ledger"), key_number("part"), bounded("fingerprint"), **CLUSTERED)

Table(
    "credit_claims",
    metadata,
    key("sender"),
    key("claim"),
    bounded("entry", 26, null=True),
    bounded("line"),
    bounded("account_idx"),
    bounded("fingerprint"),
    number("at_ms"),
    hidden("body"),
    UniqueConstraint("entry", name="credit_claims_entry"),
    **STRICT,
)

Table(
    "receipt_files",
    metadata,
    key("receipt", 26),
    bounded("bank"),
    bounded("account_idx"),
    bounded("payment", 26, null=True),
    bounded("bank_date", 10),
    bounded("sha256"),
    bounded("media_type", 255),
    number("size"),
    number("at_ms"),
    hidden("detail"),
    hidden("body", null=True),
    UniqueConstraint("payment", name="receipt_files_payment"),
    Index("receipt_files_day", "account_idx", "bank_date"),
    **STRICT,
)

Table(
    "receipt_searches",
    metadata,
    key("payment", 26),
    bounded("lane"),
    bounded("account_idx"),
    bounded("bank_date", 10),
    bounded("state", 16),
    number("since_ms"),
    number("due_ms"),
    number("tries"),
    bounded("code", null=True),
    hidden("ticket", null=True),
    Index("receipt_searches_due", "lane", "state", "due_ms"),
    **STRICT,
)

Table("match_news", metadata, key("account_idx"), key("subject"), bounded("told"), number("at_ms"), **CLUSTERED)

_NEW = ("ledgers", "ledger_parts", "credit_claims", "receipt_files", "receipt_searches", "match_news")


def upgrade() -> None:
    """Create the tables of ERPs' treasury commands, receipts and events about matches."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '10' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables that `upgrade` created. Books stay; their ids, claims and receipts are lost."""
    for name in reversed(_NEW):
        op.drop_table(name)
    op.execute("UPDATE meta SET value = '9' WHERE name = 'schema'")
