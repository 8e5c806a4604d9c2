"""Sessions in browsers that their persons ended."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.journal.sql.columns import CLUSTERED, key, number

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("sign_outs", metadata, key("nonce", 32), number("until_ms"), **CLUSTERED)


def upgrade() -> None:
    """Make the table."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '12' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove it: whoever signed out and copied the session before is signed in until the session's own end."""
    op.drop_table("sign_outs")
    op.execute("UPDATE meta SET value = '11' WHERE name = 'schema'")
