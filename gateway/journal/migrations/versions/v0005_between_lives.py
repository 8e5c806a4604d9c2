"""What holds between two lives of the daemon: anchors, lane numbers, holds with several reasons, a stop for all."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.journal.columns import CLUSTERED, bounded, hidden, key, key_number, number, unbounded

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "checkpoints", metadata,
    key("node"), key_number("size"), number("at_ms"), unbounded("note"), hidden("tree"), **CLUSTERED,
)  # fmt: skip

Table("lane_renames", metadata, key("old"), bounded("lane"), number("at_ms"), **CLUSTERED)

Table(
    "stops", metadata, key_number("number"), number("stopped"), number("at_ms"), hidden("body"), **CLUSTERED,
)  # fmt: skip


def upgrade() -> None:
    """Add the tables and columns."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    for column in (number("size", null=True), bounded("sha256", null=True), bounded("parked", 36, null=True)):
        op.add_column("refusals", column)
    op.create_index("refusals_at", "refusals", ["at_ms"])
    op.add_column("units", number("before_seq", null=True))
    op.add_column("units", bounded("seal", null=True))
    op.add_column("past_cleared", bounded("seal", null=True))
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("past_cleared", "seal")
    op.drop_column("units", "seal")
    op.drop_column("units", "before_seq")
    op.drop_table("checkpoints")
    op.drop_table("stops")
    op.drop_table("lane_renames")
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
