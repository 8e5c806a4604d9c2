"""People: delegations, password factors, failed sign-ins. Roles are in the sealed body of a person's row."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, number

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "delegations",
    metadata,
    key("delegation", 26),
    bounded("delegator", 31),
    bounded("delegate", 31),
    number("until_ms"),
    hidden("body"),
    Index("delegations_until", "until_ms"),
    **STRICT,
)

Table("password_factors", metadata, key("person", 31), number("at_ms"), hidden("body"), **CLUSTERED)

Table("sign_in_failures", metadata, key("person", 31), number("failures"), number("locked_until_ms"), **CLUSTERED)


def upgrade() -> None:
    """Create the tables of delegations, password factors and failed sign-ins. Existing persons keep their rows. A
    person whose row has no roles counts as a supervisor of all accounts."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '6' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables that `upgrade` created. Delegations end and passwords must be set again. The audit trail keeps
    who acted for whom.
    """
    for name in ("delegations", "password_factors", "sign_in_failures"):
        op.drop_table(name)
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")
