"""Delivery tries of messages to ERPs: how often each was published, and how the last try ended."""

from __future__ import annotations

from alembic import op

from gateway.kernel.sql.columns import bounded, number

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = ("tries", "last_tried_ms", "last_result", "last_text")


def upgrade() -> None:
    """Add the columns of delivery tries. They are empty in older messages, whose tries were not counted."""
    op.add_column("outbox", number("tries", null=True))
    op.add_column("outbox", number("last_tried_ms", null=True))
    op.add_column("outbox", bounded("last_result", 16, null=True))
    op.add_column("outbox", bounded("last_text", 255, null=True))
    op.execute("UPDATE meta SET value = '16' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the columns of delivery tries. The messages stay, without their tries."""
    for column in reversed(COLUMNS):
        op.drop_column("outbox", column)
    op.execute("UPDATE meta SET value = '15' WHERE name = 'schema'")
