"""Approvals: policies, requests for approval, and decisions. A constraint also keeps persons from approving their own
orders.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import CheckConstraint, Index, MetaData, Table

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, key_number, number

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

metadata = MetaData()

Table("approval_policies", metadata, key_number("version"), number("at_ms"), hidden("body"), **CLUSTERED)

Table(
    "approval_requests",
    metadata,
    key("request", 26),
    bounded("sender"),
    bounded("subject", 128),
    bounded("maker", 31, null=True),
    bounded("state", 16),
    number("made_ms"),
    number("escalates_ms", null=True),
    number("expires_ms"),
    bounded("digest"),
    hidden("body"),
    Index("approval_requests_subject", "sender", "subject", "request"),
    Index("approval_requests_open", "state", "expires_ms"),
    **STRICT,
)

Table(
    "approvals",
    metadata,
    key("request", 26),
    key("person", 31),
    bounded("maker", 31, null=True),
    bounded("decision", 8),
    bounded("digest"),
    number("at_ms"),
    hidden("body"),
    CheckConstraint("maker IS NULL OR maker <> person", name="approvals_not_by_maker"),
    **STRICT,
)


def upgrade() -> None:
    """Create the tables of policies, approval requests and decisions. Without a policy nothing needs an approval, as
    before.
    """
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '7' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables that `upgrade` created. The audit trail keeps the approvals. Payments held for an approval stay
    held."""
    for name in ("approvals", "approval_requests", "approval_policies"):
        op.drop_table(name)
    op.execute("UPDATE meta SET value = '6' WHERE name = 'schema'")
