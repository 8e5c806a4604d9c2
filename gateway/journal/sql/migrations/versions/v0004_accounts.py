"""Balances of watched accounts."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.journal.sql.columns import CLUSTERED, bounded, hidden, key, number

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "balances", metadata,
    key("account_idx"), bounded("bank"), number("seen_ms"), hidden("body"), **CLUSTERED,
)  # fmt: skip


def upgrade() -> None:
    """Make the table."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")


def downgrade() -> None:
    """Drop the table; balances can be asked for again."""
    op.drop_table("balances")
    op.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
