"""What holds between two lives of the daemon: anchors, lane numbers, holds with several reasons, a stop for all."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData

from gateway.journal.columns import bounded, number

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

metadata = MetaData()


def upgrade() -> None:
    """Add the tables and columns."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    for column in (number("size", null=True), bounded("sha256", null=True), bounded("parked", 36, null=True)):
        op.add_column("refusals", column)
    op.create_index("refusals_at", "refusals", ["at_ms"])
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")


def downgrade() -> None:
    """Take them away again."""
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
