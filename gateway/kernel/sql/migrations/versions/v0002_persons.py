"""Persons, proposals, and lanes released after a restored database."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import CLUSTERED, STRICT, bounded, hidden, key, number

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "persons",
    metadata,
    key("person", 31),
    number("uid"),
    bounded("fingerprint"),
    number("at_ms"),
    hidden("body"),
    UniqueConstraint("uid", name="persons_uid"),
    UniqueConstraint("fingerprint", name="persons_key"),
    **STRICT,
)

Table(
    "proposals",
    metadata,
    key("proposal", 26),
    bounded("kind", 16),
    bounded("subject"),
    bounded("state", 16),
    number("made_ms"),
    number("expires_ms"),
    hidden("body"),
    hidden("evidence"),
    Index("proposals_subject", "subject"),
    **STRICT,
)

Table("past_cleared", metadata, key("lane"), key("episode"), bounded("proposal", 26), number("at_ms"), **CLUSTERED)


def upgrade() -> None:
    """Create the tables of persons, proposals and released lanes."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")
