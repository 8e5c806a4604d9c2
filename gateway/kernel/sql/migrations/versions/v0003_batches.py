"""Batches of orders, bundles for banks, and electronic receipts."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, number, reply_columns, unbounded

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "batches",
    metadata,
    key("sender"),
    key("batch", 128),
    bounded("bank"),
    bounded("lane"),
    bounded("kind"),
    bounded("fingerprint"),
    number("count"),
    bounded("currency", 3),
    number("sum_minor"),
    number("open_items"),
    number("seq"),
    *reply_columns(),
    number("accepted_ms"),
    number("changed_ms"),
    hidden("body"),
    **STRICT,
)

Table(
    "bundles",
    metadata,
    key("bundle", 26),
    bounded("lane"),
    bounded("kind"),
    bounded("bank_ref"),
    number("attempt"),
    number("spent"),
    number("made_ms"),
    bounded("bank_date", 10, null=True),
    unbounded("serials"),
    bounded("port"),
    hidden("wire", null=True),
    hidden("answer", null=True),
    UniqueConstraint("lane", "bank_ref", name="bundles_reference"),
    **STRICT,
)

Table(
    "bundle_items",
    metadata,
    key("payment", 26),
    bounded("bundle", 26),
    number("place"),
    Index("bundle_items_bundle", "bundle"),
    **CLUSTERED,
)

Table(
    "receipts",
    metadata,
    key("receipt"),
    bounded("media_type", 255),
    number("at_ms"),
    number("expires_ms"),
    hidden("name"),
    hidden("body"),
    Index("receipts_expires", "expires_ms"),
    **STRICT,
)

Table("tickets", metadata, key("question", 255), number("due_ms"), hidden("ticket"), **CLUSTERED)


def upgrade() -> None:
    """Create the tables of batches, bundles and receipts, and the index that finds a batch's items."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.create_index("payments_batch", "payments", ["sender", "batch", "item_no"])
    op.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
