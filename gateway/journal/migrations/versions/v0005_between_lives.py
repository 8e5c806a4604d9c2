"""What holds between two lives of the daemon: anchors, lane numbers, holds with several reasons, a stop for all."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.journal.columns import CLUSTERED, bounded, hidden, key, number

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "payees_registered", metadata, key("sender"), key("payee"), number("at_ms"), hidden("body"), **CLUSTERED,
)  # fmt: skip


def upgrade() -> None:
    """Add the tables and columns."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.add_column("payments", bounded("hold_reasons", 255, null=True))
    op.add_column("payments", bounded("hold_cleared", 255, null=True))
    op.create_index("payments_payee", "payments", ["sender", "creditor_idx", "amount_minor"])
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("payments_payee", "payments")
    op.drop_column("payments", "hold_cleared")
    op.drop_column("payments", "hold_reasons")
    op.drop_table("payees_registered")
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
