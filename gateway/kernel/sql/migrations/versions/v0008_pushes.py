"""Pushes, which banks send of their own accord: each is answered after it is stored, and the same one is stored
once."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table

from gateway.kernel.sql.columns import STRICT, bounded, hidden, key, number

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "pushes",
    metadata,
    key("push"),
    bounded("bank"),
    bounded("kind"),
    number("received_ms"),
    number("last_ms"),
    number("times"),
    hidden("body"),
    Index("pushes_received", "received_ms"),
    **STRICT,
)


def upgrade() -> None:
    """Create the table of pushes."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '8' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the table of pushes. The audit trail keeps the payments that a push named."""
    op.drop_table("pushes")
    op.execute("UPDATE meta SET value = '7' WHERE name = 'schema'")
