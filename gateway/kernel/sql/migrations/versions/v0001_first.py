"""The first schema. Frozen: a later change of the schema is a later migration."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import (
    CLUSTERED,
    STRICT,
    bounded,
    hidden,
    key,
    key_number,
    number,
    payment_key,
    payment_ref,
    reply_columns,
    unbounded,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

metadata = MetaData()

Table(
    "payments",
    metadata,
    key("payment", 26),
    bounded("company"),
    bounded("sender"),
    bounded("order_id", 128),
    bounded("kind"),
    bounded("bank"),
    bounded("lane"),
    bounded("bank_ref"),
    bounded("state", 16),
    number("version"),
    number("epoch"),
    number("seq"),
    number("attempt"),
    number("asked"),
    number("not_found"),
    number("doubted"),
    number("replaying"),
    number("tell_sent"),
    number("first_write_ms", null=True),
    number("last_write_ms", null=True),
    number("deadline_ms", null=True),
    number("send_after_ms", null=True),
    number("valid_until_ms", null=True),
    unbounded("rules"),
    bounded("fingerprint"),
    bounded("dup_key", null=True),
    bounded("debtor_idx"),
    bounded("creditor_idx"),
    bounded("currency", 3),
    number("amount_minor"),
    bounded("batch", 128, null=True),
    number("item_no", null=True),
    *reply_columns(),
    number("accepted_ms"),
    number("changed_ms"),
    bounded("bank_serial", 255, null=True),
    bounded("bank_code", null=True),
    hidden("bank_text", null=True),
    number("booked_ms", null=True),
    bounded("hold_reason", null=True),
    hidden("order"),
    hidden("refusal", null=True),
    UniqueConstraint("sender", "order_id", name="payments_identity"),
    UniqueConstraint("lane", "bank_ref", name="payments_reference"),
    Index("payments_lane_state", "lane", "state"),
    Index("payments_alike", "dup_key", "accepted_ms"),
    **STRICT,
)

Table(
    "attempts",
    metadata,
    payment_key(),
    key_number("attempt"),
    number("epoch"),
    bounded("node"),
    bounded("bank_date", 10),
    unbounded("serials"),
    bounded("port"),
    hidden("wire"),
    bounded("key_id", 255, null=True),
    number("first_write_ms", null=True),
    bounded("replay_policy", 16),
    number("at_ms"),
    **STRICT,
)

Table(
    "evidence",
    metadata,
    key("evidence", 26),
    payment_ref(),
    number("at_ms"),
    bounded("source", 16),
    bounded("fate", 16, null=True),
    bounded("code"),
    hidden("note"),
    hidden("body"),
    Index("evidence_payment", "payment"),
    **STRICT,
)

Table(
    "outbox",
    metadata,
    key("message_id", 36),
    bounded("node"),
    bounded("state", 16),
    bounded("exchange", 255),
    bounded("routing_key", 255),
    unbounded("headers"),
    bounded("correlation_id", 255, null=True),
    bounded("content_type"),
    bounded("payment", 26, null=True),
    number("created_ms"),
    hidden("body"),
    Index("outbox_waiting", "node", "state", "message_id"),
    Index("outbox_payment", "payment"),
    **STRICT,
)

Table(
    "work",
    metadata,
    payment_key(),
    key("kind", 16),
    bounded("lane"),
    number("due_ms"),
    number("epoch"),
    Index("work_due", "lane", "due_ms"),
    **CLUSTERED,
)

Table(
    "lanes",
    metadata,
    key("lane"),
    number("epoch"),
    bounded("owner"),
    number("expires_ms"),
    number("serial"),
    **CLUSTERED,
)

Table(
    "jobs",
    metadata,
    key("job"),
    key("bank"),
    key("business_date", 10),
    bounded("node"),
    bounded("state", 16),
    number("started_ms"),
    number("finished_ms", null=True),
    **CLUSTERED,
)

Table(
    "statement_entries",
    metadata,
    key("entry", 26),
    bounded("bank"),
    bounded("account_idx"),
    bounded("line"),
    bounded("bank_line_id", 255, null=True),
    bounded("bank_date", 10),
    bounded("direction", 8),
    bounded("currency", 3),
    number("amount_minor"),
    number("booked_ms", null=True),
    bounded("matched_payment", 26, null=True),
    number("seen_ms"),
    hidden("body"),
    UniqueConstraint("bank", "account_idx", "line", name="statement_entries_line"),
    Index("statement_entries_day", "account_idx", "bank_date"),
    **STRICT,
)

Table(
    "audit",
    metadata,
    key("node"),
    key_number("seq"),
    number("at_ms"),
    bounded("actor", 255),
    bounded("entry"),
    bounded("object_id", 255),
    hidden("detail"),
    bounded("prev_hash"),
    bounded("hash"),
    Index("audit_object", "object_id"),
    **STRICT,
)

Table(
    "refusals",
    metadata,
    key("refusal", 255),
    bounded("sender", null=True),
    bounded("code"),
    number("at_ms"),
    hidden("body"),
    **STRICT,
)

Table(
    "questions",
    metadata,
    key("question", 255),
    bounded("sender"),
    bounded("operation"),
    *reply_columns(),
    number("received_ms"),
    number("expires_ms"),
    hidden("body"),
    **STRICT,
)

Table(
    "usage_counts",
    metadata,
    key("sender"),
    key("scope", 16),
    key("key"),
    key("currency", 3),
    key("day", 10),
    number("sum_minor"),
    number("count"),
    **CLUSTERED,
)

Table("payees", metadata, key("sender"), key("payee"), number("first_ms"), **CLUSTERED)

Table(
    "units",
    metadata,
    key("node"),
    bounded("unit", 26),
    number("at_ms"),
    number("audit_seq"),
    bounded("audit_hash"),
    **CLUSTERED,
)

Table("meta", metadata, key("name"), unbounded("value"), **CLUSTERED)


def upgrade() -> None:
    """Create the tables of the first schema."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    meta = metadata.tables["meta"]
    op.bulk_insert(meta, [{"name": "schema", "value": "1"}])
