"""Indexes of payments by own account, in the order of their first write."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

metadata = MetaData()


def upgrade() -> None:
    """Create the indexes of payments by own account. Collections are few: where a database can, their index has only
    them.
    """
    collections = text("kind = 'collection'")
    op.create_index("payments_debtor", "payments", ["debtor_idx", "first_write_ms"])
    op.create_index(
        "payments_collected",
        "payments",
        ["creditor_idx", "first_write_ms"],
        sqlite_where=collections,
        postgresql_where=collections,
    )
    op.execute("UPDATE meta SET value = '13' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the indexes that `upgrade` created."""
    for name in ("payments_debtor", "payments_collected"):
        op.drop_index(name, table_name="payments")
    op.execute("UPDATE meta SET value = '12' WHERE name = 'schema'")
