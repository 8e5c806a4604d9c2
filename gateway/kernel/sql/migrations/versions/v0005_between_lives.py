"""State that survives a restart: sealed heads, counters per bank, several hold reasons, the emergency stop."""

from __future__ import annotations

from alembic import op
from sqlalchemy import MetaData, Table, column, insert, select, table

from gateway.kernel.sql.columns import CLUSTERED, bounded, hidden, key, key_number, number, unbounded

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "checkpoints",
    metadata,
    key("node"),
    key_number("size"),
    number("at_ms"),
    unbounded("note"),
    hidden("tree"),
    **CLUSTERED,
)

Table("lane_renames", metadata, key("old"), bounded("lane"), number("at_ms"), **CLUSTERED)

Table("stops", metadata, key_number("number"), number("stopped"), number("at_ms"), hidden("body"), **CLUSTERED)

_COUNTERS = Table("counters", metadata, key("bank"), number("serial"), **CLUSTERED)
# Older programs may still draw numbers per lane. No form's number space divides this lead.
_LEAD = 1_000_003

Table("payees_registered", metadata, key("sender"), key("payee"), number("at_ms"), hidden("body"), **CLUSTERED)


def upgrade() -> None:
    """Add the tables and columns of state that survives a restart."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    for added in (number("size", null=True), bounded("sha256", null=True), bounded("parked", 36, null=True)):
        op.add_column("refusals", added)
    op.create_index("refusals_at", "refusals", ["at_ms"])
    op.add_column("units", number("before_seq", null=True))
    op.add_column("units", bounded("seal", null=True))
    op.add_column("past_cleared", bounded("seal", null=True))
    for referring in ("payments", "bundles"):
        # Older rows have NULL, which is not compared, because lanes of one bank may have given out the same reference.
        op.add_column(referring, bounded("ref_bank", null=True))
        op.create_index(f"{referring}_bank_reference", referring, ["bank_ref", "ref_bank"], unique=True)
    op.add_column("work", number("set_ms", null=True))
    _count_by_bank()
    op.add_column("payments", bounded("hold_reasons", 255, null=True))
    op.add_column("payments", bounded("hold_cleared", 255, null=True))
    op.create_index("payments_payee", "payments", ["sender", "creditor_idx", "amount_minor"])
    op.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")


def _count_by_bank() -> None:
    """Start each bank's counter above those of all its lanes, so that no number is given out twice."""
    lanes, highest = table("lanes", column("lane"), column("serial")), dict[str, int]()
    for lane, serial in op.get_bind().execute(select(lanes.c.lane, lanes.c.serial)):
        bank = lane.partition(".")[0]
        highest[bank] = max(highest.get(bank, 0), serial)
    if highest:
        op.get_bind().execute(
            insert(_COUNTERS), [{"bank": bank, "serial": serial + _LEAD} for bank, serial in highest.items()]
        )


def downgrade() -> None:
    """Remove the tables and columns that `upgrade` added."""
    op.drop_index("refusals_at", "refusals")
    for name in ("size", "sha256", "parked"):
        op.drop_column("refusals", name)
    op.drop_column("past_cleared", "seal")
    op.drop_column("units", "seal")
    op.drop_column("units", "before_seq")
    op.drop_table("checkpoints")
    op.drop_table("stops")
    op.drop_table("lane_renames")
    for referring in ("payments", "bundles"):
        op.drop_index(f"{referring}_bank_reference", referring)
        op.drop_column(referring, "ref_bank")
    op.drop_column("work", "set_ms")
    op.drop_table("counters")
    op.drop_index("payments_payee", "payments")
    op.drop_column("payments", "hold_cleared")
    op.drop_column("payments", "hold_reasons")
    op.drop_table("payees_registered")
    op.execute("UPDATE meta SET value = '4' WHERE name = 'schema'")
