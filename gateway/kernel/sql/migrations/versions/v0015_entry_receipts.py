"""Receipts of entries that no payment of ours explains: a search or a file may belong to an entry."""

from __future__ import annotations

from alembic import op

from gateway.kernel.sql.columns import bounded

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns that link a receipt to an entry. A search for an entry's receipt has the entry's key."""
    op.add_column("receipt_searches", bounded("entry", 26, null=True))
    op.add_column("receipt_files", bounded("entry", 26, null=True))
    op.create_index("receipt_files_entry", "receipt_files", ["entry"], unique=True)
    op.execute("UPDATE meta SET value = '15' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the columns that `upgrade` added, and the rows about entries. Export the originals of entries' receipts
    before.
    """
    op.execute("DELETE FROM receipt_files WHERE entry IS NOT NULL")
    op.execute("DELETE FROM receipt_searches WHERE entry IS NOT NULL")
    op.drop_index("receipt_files_entry", "receipt_files")
    op.drop_column("receipt_files", "entry")
    op.drop_column("receipt_searches", "entry")
    op.execute("UPDATE meta SET value = '14' WHERE name = 'schema'")
