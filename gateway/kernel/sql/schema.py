"""The journal's tables as they are now. `migrations` brings a database to this state; a test compares the two.

Columns `*_idx`, `fingerprint` and `dup_key` are keyed hashes (blind indexes); `hidden` columns are sealed by the vault.
Times are milliseconds of UTC, business dates are ISO text, amounts are minor units. `ref_bank` is the bank at which a
reference is unique; rows from before schema 5 have none. `lanes.serial` is the counter of programs before schema 5.

The migrations, which alone make tables, have the layout options of each database (strict, without rowid, engine, an
index of some rows). An option of a database here would load that database's dialect in every process.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, MetaData, Table, UniqueConstraint

from gateway.kernel.sql.columns import (
    bounded,
    hidden,
    key,
    key_number,
    number,
    payment_key,
    payment_ref,
    reply_columns,
    seal,
    unbounded,
)

SCHEMA_VERSION = 18

metadata = MetaData()

payments = Table(
    "payments", metadata,
    key("payment", 26), bounded("company"), bounded("sender"), bounded("order_id", 128), bounded("kind"),
    bounded("bank"), bounded("lane"), bounded("bank_ref"), bounded("state", 16), number("version"), number("epoch"),
    number("seq"), number("attempt"), number("asked"), number("not_found"), number("doubted"), number("replaying"),
    number("tell_sent"),
    number("first_write_ms", null=True), number("last_write_ms", null=True), number("deadline_ms", null=True),
    number("send_after_ms", null=True), number("valid_until_ms", null=True), unbounded("rules"),
    bounded("fingerprint"), bounded("dup_key", null=True), bounded("debtor_idx"), bounded("creditor_idx"),
    bounded("currency", 3), number("amount_minor"), bounded("batch", 128, null=True), number("item_no", null=True),
    *reply_columns(), number("accepted_ms"), number("changed_ms"), bounded("bank_serial", 255, null=True),
    bounded("bank_code", null=True),
    hidden("bank_text", null=True), number("booked_ms", null=True), bounded("hold_reason", null=True),
    bounded("hold_reasons", 255, null=True), bounded("hold_cleared", 255, null=True),
    hidden("order"), hidden("refusal", null=True), bounded("ref_bank", null=True), seal(),
    UniqueConstraint("sender", "order_id", name="payments_identity"),
    UniqueConstraint("lane", "bank_ref", name="payments_reference"),
    Index("payments_lane_state", "lane", "state"), Index("payments_alike", "dup_key", "accepted_ms"),
    Index("payments_batch", "sender", "batch", "item_no"),
    Index("payments_bank_reference", "bank_ref", "ref_bank", unique=True),
    Index("payments_payee", "sender", "creditor_idx", "amount_minor"),
    Index("payments_debtor", "debtor_idx", "first_write_ms"),
    Index("payments_collected", "creditor_idx", "first_write_ms"),
)  # fmt: skip

attempts = Table(
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
    seal(),
)

evidence = Table(
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
)

outbox = Table(
    "outbox", metadata,
    key("message_id", 36), bounded("node"), bounded("state", 16), bounded("exchange", 255),
    bounded("routing_key", 255), unbounded("headers"), bounded("correlation_id", 255, null=True),
    bounded("content_type"), bounded("payment", 26, null=True), number("created_ms"), hidden("body"),
    number("tries", null=True), number("last_tried_ms", null=True), bounded("last_result", 16, null=True),
    bounded("last_text", 255, null=True), Index("outbox_waiting", "node", "state", "message_id"),
    Index("outbox_payment", "payment"),
)  # fmt: skip

work = Table(
    "work",
    metadata,
    payment_key(),
    key("kind", 16),
    bounded("lane"),
    number("due_ms"),
    number("epoch"),
    number("set_ms", null=True),
    seal(),
    Index("work_due", "lane", "due_ms"),
)

lanes = Table(
    "lanes", metadata, key("lane"), number("epoch"), bounded("owner"), number("expires_ms"), number("serial"), seal()
)

counters = Table("counters", metadata, key("bank"), number("serial"), seal())

jobs = Table(
    "jobs",
    metadata,
    key("job"),
    key("bank"),
    key("business_date", 10),
    bounded("node"),
    bounded("state", 16),
    number("started_ms"),
    number("finished_ms", null=True),
)

statement_entries = Table(
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
    hidden("detail", null=True),
    UniqueConstraint("bank", "account_idx", "line", name="statement_entries_line"),
    Index("statement_entries_day", "account_idx", "bank_date"),
)

audit = Table(
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
)

refusals = Table(
    "refusals",
    metadata,
    key("refusal", 255),
    bounded("sender", null=True),
    bounded("code"),
    number("at_ms"),
    hidden("body"),
    number("size", null=True),
    bounded("sha256", null=True),
    bounded("parked", 36, null=True),
    Index("refusals_at", "at_ms"),
)

questions = Table(
    "questions",
    metadata,
    key("question", 255),
    bounded("sender"),
    bounded("operation"),
    *reply_columns(),
    number("received_ms"),
    number("expires_ms"),
    hidden("body"),
)

pushes = Table(
    "pushes",
    metadata,
    key("push"),
    bounded("bank"),
    bounded("kind"),
    number("received_ms"),
    number("last_ms"),
    number("times"),
    hidden("body"),
    Index("pushes_received", "received_ms"),
)

usage = Table(
    "usage_counts",
    metadata,
    key("sender"),
    key("scope", 16),
    key("key"),
    key("currency", 3),
    key("day", 10),
    number("sum_minor"),
    number("count"),
    seal(),
)

payees = Table("payees", metadata, key("sender"), key("payee"), number("first_ms"), seal())

payees_registered = Table(
    "payees_registered", metadata, key("sender"), key("payee"), number("at_ms"), hidden("body"), seal()
)

units = Table(
    "units",
    metadata,
    key("node"),
    bounded("unit", 26),
    number("at_ms"),
    number("audit_seq"),
    bounded("audit_hash"),
    number("before_seq", null=True),
    bounded("seal", null=True),
    number("rows_seq", null=True),
)

meta = Table("meta", metadata, key("name"), unbounded("value"))

broker_holds = Table(
    "broker_holds",
    metadata,
    key_number("fence"),
    bounded("node"),
    bounded("host", 255),
    number("since_ms"),
    number("renewed_ms"),
)

persons = Table(
    "persons",
    metadata,
    key("person", 31),
    number("uid"),
    bounded("fingerprint"),
    number("at_ms"),
    hidden("body"),
    seal(),
    UniqueConstraint("uid", name="persons_uid"),
    UniqueConstraint("fingerprint", name="persons_key"),
)

delegations = Table(
    "delegations",
    metadata,
    key("delegation", 26),
    bounded("delegator", 31),
    bounded("delegate", 31),
    number("until_ms"),
    hidden("body"),
    seal(),
    Index("delegations_until", "until_ms"),
)

password_factors = Table("password_factors", metadata, key("person", 31), number("at_ms"), hidden("body"), seal())

sign_in_failures = Table(
    "sign_in_failures", metadata, key("person", 31), number("failures"), number("locked_until_ms"), seal()
)

sign_outs = Table("sign_outs", metadata, key("nonce", 32), number("until_ms"))

proposals = Table(
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
    seal(),
    Index("proposals_subject", "subject"),
)

approval_policies = Table("approval_policies", metadata, key_number("version"), number("at_ms"), hidden("body"), seal())

approval_requests = Table(
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
    seal(),
    Index("approval_requests_subject", "sender", "subject", "request"),
    Index("approval_requests_open", "state", "expires_ms"),
)

approvals = Table(
    "approvals",
    metadata,
    key("request", 26),
    key("person", 31),
    bounded("maker", 31, null=True),
    bounded("decision", 8),
    bounded("digest"),
    number("at_ms"),
    hidden("body"),
    seal(),
    CheckConstraint("maker IS NULL OR maker <> person", name="approvals_not_by_maker"),
)

past_cleared = Table(
    "past_cleared",
    metadata,
    key("lane"),
    key("episode"),
    bounded("proposal", 26),
    number("at_ms"),
    bounded("seal", null=True),
)

batches = Table(
    "batches",
    metadata,
    key("sender"),
    key("batch", 128),
    bounded("bank"),
    bounded("lane"),
    bounded("kind"),
    bounded("fingerprint"),
    number("count"),
    bounded("currency", 3),
    number("sum_minor"),
    number("open_items"),
    number("seq"),
    *reply_columns(),
    number("accepted_ms"),
    number("changed_ms"),
    hidden("body"),
    seal(),
)

bundles = Table(
    "bundles",
    metadata,
    key("bundle", 26),
    bounded("lane"),
    bounded("kind"),
    bounded("bank_ref"),
    number("attempt"),
    number("spent"),
    number("made_ms"),
    bounded("bank_date", 10, null=True),
    unbounded("serials"),
    bounded("port"),
    hidden("wire", null=True),
    hidden("answer", null=True),
    bounded("ref_bank", null=True),
    seal(),
    UniqueConstraint("lane", "bank_ref", name="bundles_reference"),
    Index("bundles_bank_reference", "bank_ref", "ref_bank", unique=True),
)

bundle_items = Table(
    "bundle_items",
    metadata,
    key("payment", 26),
    bounded("bundle", 26),
    number("place"),
    seal(),
    Index("bundle_items_bundle", "bundle"),
)

receipts = Table(
    "receipts",
    metadata,
    key("receipt"),
    bounded("media_type", 255),
    number("at_ms"),
    number("expires_ms"),
    hidden("name"),
    hidden("body"),
    Index("receipts_expires", "expires_ms"),
)

tickets = Table("tickets", metadata, key("question", 255), number("due_ms"), hidden("ticket"))

balances = Table("balances", metadata, key("account_idx"), bounded("bank"), number("seen_ms"), hidden("body"))

checkpoints = Table(
    "checkpoints", metadata, key("node"), key_number("size"), number("at_ms"), unbounded("note"), hidden("tree")
)

lane_renames = Table("lane_renames", metadata, key("old"), bounded("lane"), number("at_ms"), seal())

stops = Table("stops", metadata, key_number("number"), number("stopped"), number("at_ms"), hidden("body"), seal())

statement_days = Table("statement_days", metadata, key("account_idx"), key("day", 10), number("at_ms"), hidden("body"))

books = Table(
    "books",
    metadata,
    key("book", 26),
    bounded("account_idx"),
    bounded("first_day", 10),
    bounded("last_day", 10),
    bounded("state", 16),
    number("at_ms"),
    hidden("body"),
    Index("books_account", "account_idx", "first_day"),
)

book_rows = Table(
    "book_rows",
    metadata,
    key("book", 26),
    key("row_id", 128),
    bounded("account_idx"),
    bounded("day", 10),
    hidden("body"),
    Index("book_rows_day", "account_idx", "day"),
)

match_decisions = Table(
    "match_decisions",
    metadata,
    key("decision", 26),
    bounded("account_idx"),
    bounded("kind", 8),
    bounded("state", 8),
    number("at_ms"),
    hidden("body"),
    Index("match_decisions_account", "account_idx", "state"),
)

balance_tables = Table(
    "balance_tables",
    metadata,
    key("account_idx"),
    key("month", 7),
    key_number("version"),
    bounded("state", 16),
    number("at_ms"),
    hidden("body"),
)

ledgers = Table(
    "ledgers",
    metadata,
    key("sender"),
    key("ledger"),
    bounded("book", 26),
    bounded("account_idx"),
    bounded("fingerprint"),
    number("parts"),
    hidden("body"),
    Index("ledgers_book", "book"),
)

ledger_parts = Table("ledger_parts", metadata, key("sender"), key("ledger"), key_number("part"), bounded("fingerprint"))

credit_claims = Table(
    "credit_claims",
    metadata,
    key("sender"),
    key("claim"),
    bounded("entry", 26, null=True),
    bounded("line"),
    bounded("account_idx"),
    bounded("fingerprint"),
    number("at_ms"),
    hidden("body"),
    seal(),
    UniqueConstraint("entry", name="credit_claims_entry"),
)

receipt_files = Table(
    "receipt_files",
    metadata,
    key("receipt", 26),
    bounded("bank"),
    bounded("account_idx"),
    bounded("payment", 26, null=True),
    bounded("bank_date", 10),
    bounded("sha256"),
    bounded("media_type", 255),
    number("size"),
    number("at_ms"),
    hidden("detail"),
    hidden("body", null=True),
    bounded("entry", 26, null=True),
    UniqueConstraint("payment", name="receipt_files_payment"),
    Index("receipt_files_day", "account_idx", "bank_date"),
    Index("receipt_files_entry", "entry", unique=True),
)

linked_orders = Table(
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
    seal(),
    Index("linked_orders_state", "state"),
)

receipt_searches = Table(
    "receipt_searches",
    metadata,
    key("payment", 26),
    bounded("lane"),
    bounded("account_idx"),
    bounded("bank_date", 10),
    bounded("state", 16),
    number("since_ms"),
    number("due_ms"),
    number("tries"),
    bounded("code", null=True),
    hidden("ticket", null=True),
    bounded("entry", 26, null=True),
    Index("receipt_searches_due", "lane", "state", "due_ms"),
)

match_news = Table("match_news", metadata, key("account_idx"), key("subject"), bounded("told"), number("at_ms"))

pools = Table("pools", metadata, key("pool", 31), key_number("version"), number("at_ms"), hidden("body"), seal())

pool_runs = Table(
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
    seal(),
    Index("pool_runs_day", "pool", "business_date"),
    Index("pool_runs_state", "state"),
)

pool_moves = Table(
    "pool_moves", metadata,
    key("run"), key_number("place"), bounded("pool", 31), number("version"), bounded("business_date", 10),
    bounded("order_id", 128), bounded("debit_idx"), bounded("credit_idx"), bounded("child_idx"), number("up"),
    number("over"), bounded("currency", 3), number("amount_minor"), bounded("state", 16),
    bounded("payment", 26, null=True), bounded("reason", 32, null=True), hidden("body"), seal(),
    bounded("outcome", 16, null=True), UniqueConstraint("order_id", name="pool_moves_order"),
    Index("pool_moves_state", "state"), Index("pool_moves_day", "pool", "business_date"),
)  # fmt: skip

# The keys with which new values are sealed, by the order in which they came into use: the highest number counts.
vault_keys = Table(
    "vault_keys", metadata, key_number("number"), bounded("name", 32), bounded("earlier", 32), number("at_ms"), seal()
)

# What each node's vault has: the names of its keys (JSON), and the key that it seals with.
vault_nodes = Table("vault_nodes", metadata, key("node"), unbounded("vault_keys"), bounded("uses", 32), number("at_ms"))

# How far older values are sealed anew after each activation.
vault_rotations = Table(
    "vault_rotations", metadata, key_number("number"), bounded("node"), number("at_ms"), unbounded("work")
)
