"""Seals: each row on which a decision about money depends gets a MAC under the vault's key. Also the journal's own id,
and the lives in which it held a virtual host of the broker.

Earlier rows have no seals. The journal counts as sealed once all of them have one
(`gateway/kernel/cluster/sealing.py`).
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from gateway.kernel.sql.columns import STRICT, bounded, key_number, number, seal

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SEALED = (
    "payments",
    "attempts",
    "work",
    "lanes",
    "bundles",
    "bundle_items",
    "batches",
    "persons",
    "delegations",
    "password_factors",
    "proposals",
    "approval_policies",
    "approval_requests",
    "approvals",
    "stops",
    "usage_counts",
    "payees",
    "payees_registered",
    "pools",
    "pool_runs",
    "pool_moves",
    "linked_orders",
    "lane_renames",
    "sign_in_failures",
    "credit_claims",
    "counters",
)


def upgrade() -> None:
    """Add the columns of seals, empty in the existing rows."""
    for table in SEALED:
        op.add_column(table, seal())
    # How the payment of a pool's move ended: it stays when the payment is deleted.
    op.add_column("pool_moves", bounded("outcome", 16, null=True))
    op.add_column("units", number("rows_seq", null=True))
    op.create_table(
        "broker_holds",
        key_number("fence"),
        bounded("node"),
        bounded("host", 255),
        number("since_ms"),
        number("renewed_ms"),
        **STRICT,
    )
    made = sa.text("INSERT INTO meta (name, value) VALUES ('journal', :id)")
    op.get_bind().execute(made, {"id": secrets.token_hex(16)})
    op.execute("UPDATE meta SET value = '17' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the columns that `upgrade` added."""
    op.drop_column("pool_moves", "outcome")
    op.drop_column("units", "rows_seq")
    op.execute("DELETE FROM meta WHERE name = 'journal'")
    op.drop_table("broker_holds")
    for table in reversed(SEALED):
        op.drop_column(table, "seal")
    op.execute("UPDATE meta SET value = '16' WHERE name = 'schema'")
