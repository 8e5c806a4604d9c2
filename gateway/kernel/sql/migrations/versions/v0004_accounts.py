"""Balances of watched accounts."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.kernel.sql.columns import CLUSTERED, bounded, hidden, key, number

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("balances", metadata, key("account_idx"), bounded("bank"), number("seen_ms"), hidden("body"), **CLUSTERED)


def upgrade() -> None:
    """Create the table of balances of watched accounts."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")


def downgrade() -> None:
    """Drop the table of balances. They can be asked for again."""
    op.drop_table("balances")
    op.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
