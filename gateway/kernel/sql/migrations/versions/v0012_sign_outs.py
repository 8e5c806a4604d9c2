"""Sessions in browsers that their persons ended."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.kernel.sql.columns import CLUSTERED, key, number

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("sign_outs", metadata, key("nonce", 32), number("until_ms"), **CLUSTERED)


def upgrade() -> None:
    """Create the table of ended browser sessions."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '12' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the table of ended browser sessions. A copy of a session whose person has signed out is then valid again
    until the session ends by itself.
    """
    op.drop_table("sign_outs")
    op.execute("UPDATE meta SET value = '11' WHERE name = 'schema'")
