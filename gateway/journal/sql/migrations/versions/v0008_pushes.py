"""What banks told of their own accord: answered once it is kept, and taken once however often it comes."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table

from gateway.journal.sql.columns import STRICT, bounded, hidden, key, number

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "pushes", metadata,
    key("push"), bounded("bank"), bounded("kind"), number("received_ms"), number("last_ms"), number("times"),
    hidden("body"), Index("pushes_received", "received_ms"), **STRICT,
)  # fmt: skip


def upgrade() -> None:
    """Make the table."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '8' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the table. The audit trail keeps that something was pushed, and of which payments."""
    op.drop_table("pushes")
    op.execute("UPDATE meta SET value = '7' WHERE name = 'schema'")
