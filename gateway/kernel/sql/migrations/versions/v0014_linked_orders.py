"""Orders whose account a cash pool funds first (联动支付)."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table

from gateway.kernel.sql.columns import STRICT, bounded, hidden, key, number

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "linked_orders",
    metadata,
    key("payment", 26),
    bounded("pool", 31),
    bounded("member_idx"),
    bounded("state", 16),
    bounded("run", null=True),
    bounded("back_run", null=True),
    number("changed_ms"),
    hidden("body"),
    Index("linked_orders_state", "state"),
    **STRICT,
)


def upgrade() -> None:
    """Create the table of linked orders."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '14' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the table of linked orders. A person must release or cancel the orders that still wait for funding."""
    op.drop_table("linked_orders")
    op.execute("UPDATE meta SET value = '13' WHERE name = 'schema'")
