"""The rotation of the vault's key: which key seals new values since when, what each node's vault has, and how far older
values are sealed anew."""

from __future__ import annotations

from alembic import op

from gateway.kernel.sql.columns import STRICT, bounded, key, key_number, number, seal, unbounded

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables. They are empty until a key is activated: until then the key file names the current key."""
    op.create_table(
        "vault_keys",
        key_number("number"),
        bounded("name", 32),
        bounded("earlier", 32),
        number("at_ms"),
        seal(),
        **STRICT,
    )
    op.create_table("vault_nodes", key("node"), unbounded("vault_keys"), bounded("uses", 32), number("at_ms"), **STRICT)
    op.create_table(
        "vault_rotations", key_number("number"), bounded("node"), number("at_ms"), unbounded("work"), **STRICT
    )
    op.execute("UPDATE meta SET value = '18' WHERE name = 'schema'")


def downgrade() -> None:
    """Remove the tables."""
    for table in ("vault_rotations", "vault_nodes", "vault_keys"):
        op.drop_table(table)
    op.execute("UPDATE meta SET value = '17' WHERE name = 'schema'")
