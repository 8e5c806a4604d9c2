"""Cash pools: their versions, the runs of their rules, and the moves of each run."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, key_number, number

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("pools", metadata, key("pool", 31), key_number("version"), number("at_ms"), hidden("body"), **CLUSTERED)

Table(
    "pool_runs",
    metadata,
    key("run"),
    bounded("pool", 31),
    number("version"),
    bounded("business_date", 10),
    bounded("slot", 16),
    bounded("state", 16),
    number("at_ms"),
    number("until_ms"),
    number("finished_ms", null=True),
    hidden("body"),
    Index("pool_runs_day", "pool", "business_date"),
    Index("pool_runs_state", "state"),
    **STRICT,
)

Table(
    "pool_moves",
    metadata,
    key("run"),
    key_number("place"),
    bounded("pool", 31),
    number("version"),
    bounded("business_date", 10),
    bounded("order_id", 128),
    bounded("debit_idx"),
    bounded("credit_idx"),
    bounded("child_idx"),
    number("up"),
    number("over"),
    bounded("currency", 3),
    number("amount_minor"),
    bounded("state", 16),
    bounded("payment", 26, null=True),
    bounded("reason", 32, null=True),
    hidden("body"),
    UniqueConstraint("order_id", name="pool_moves_order"),
    Index("pool_moves_state", "state"),
    Index("pool_moves_day", "pool", "business_date"),
    **STRICT,
)


def upgrade() -> None:
    """Create the tables of pools, runs and moves."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '11' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables that `upgrade` created. The audit trail keeps who signed which pool; the payments keep the
    moved amounts.
    """
    for name in ("pool_moves", "pool_runs", "pools"):
        op.drop_table(name)
    op.execute("UPDATE meta SET value = '10' WHERE name = 'schema'")
