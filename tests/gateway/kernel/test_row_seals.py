"""The seal of a row: equal before writing and after reading on every database, broken by any change."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, select, update

from gateway.kernel.commit import attempts, audit, payment_rows
from gateway.kernel.commit.store import StoreFailed
from gateway.kernel.core.states import Cancel, Expire, Silent
from gateway.kernel.sql import migrations, schema, seal_mark, sealed
from gateway.kernel.sql.columns import ExactText, LongText
from gateway.kernel.sql.sealed import SEAL, SealBroken
from gateway.payments.rows import lookup
from tests.gateway.kernel.bench import NOW_MS, Journal, vault

PAYEE: dict[str, Any] = {"sender": "erp", "payee": "示例 'a\\b\"", "at_ms": 7, "body": b"\0\xff"}


def sealed_payee(**changed: Any) -> dict[str, Any]:
    values = {**PAYEE, **changed}
    return {**values, SEAL: sealed.seal_of(vault(), schema.payees_registered, PAYEE)}


@pytest.mark.parametrize(
    "values",
    [
        {"sender": "erp", "payee": "a", "at_ms": 0, "body": b""},
        {
            "sender": "",
            "payee": "emoji \U0001f600 \u2028 zero\u200bwidth",
            "at_ms": -(2**62),
            "body": bytes(range(256)),
        },
        PAYEE,
    ],
)
def test_a_row_has_the_same_seal_before_it_is_written_and_after_it_was_read(url: str, values: dict[str, Any]) -> None:
    engine, table = create_engine(url), schema.payees_registered
    with engine.connect() as conn:
        try:
            conn.execute(insert(table), {**values, SEAL: sealed.seal_of(vault(), table, values)})
            row = conn.execute(select(table)).one()
            sealed.check(vault(), table, row)
        finally:
            conn.rollback()
    engine.dispose()


def test_empty_columns_have_the_same_seal_after_they_were_read(url: str) -> None:
    engine, table = create_engine(url), schema.approvals
    values = {"request": "r", "person": "p", "maker": None, "decision": "no", "digest": "", "at_ms": 0, "body": b"x"}
    with engine.connect() as conn:
        try:
            conn.execute(insert(table), {**values, SEAL: sealed.seal_of(vault(), table, values)})
            sealed.check(vault(), table, conn.execute(select(table)).one())
        finally:
            conn.rollback()
    engine.dispose()


@pytest.mark.parametrize(
    "changed", [{"sender": "erp2"}, {"payee": "other"}, {"at_ms": 8}, {"at_ms": None}, {"body": b"\0"}, {"body": None}]
)
def test_a_change_of_any_column_breaks_the_seal(changed: dict[str, Any]) -> None:
    sealed.check(vault(), schema.payees_registered, sealed_payee())
    with pytest.raises(SealBroken, match="table payees_registered: the row of ") as caught:
        sealed.check(vault(), schema.payees_registered, sealed_payee(**changed))
    assert caught.value.table == "payees_registered"


def test_a_seal_of_another_table_or_made_without_the_key_is_broken() -> None:
    values = {"sender": "erp", "payee": "p", "first_ms": 7}
    foreign = sealed.RowSeal("others", ("sender",), ("first_ms", "payee", "sender")).over(vault(), values)
    for wrong in (foreign, "", "0" * 64, "no hex"):
        with pytest.raises(SealBroken):
            sealed.check(vault(), schema.payees, {**values, SEAL: wrong})


def test_a_row_without_a_seal_passes_only_in_a_journal_that_is_not_sealed() -> None:
    keeper, row = vault(), {"sender": "erp", "payee": "p", "first_ms": 7, SEAL: None}
    sealed.check(keeper, schema.payees, row)
    keeper.rows_sealed = True
    with pytest.raises(SealBroken, match="erp/p has no seal, but this journal is sealed"):
        sealed.check(keeper, schema.payees, row)


def test_a_truth_value_is_sealed_as_the_number_that_the_database_gives_back() -> None:
    said = {"sender": "a", "payee": "b", "first_ms": True}
    sealed.check(vault(), schema.payees, {**said, "first_ms": 1, SEAL: sealed.seal_of(vault(), schema.payees, said)})


def test_two_columns_that_exchange_their_values_break_the_seal() -> None:
    values = {"sender": "a", "payee": "b", "first_ms": 7}
    seal = sealed.seal_of(vault(), schema.payees, values)
    with pytest.raises(SealBroken):
        sealed.check(vault(), schema.payees, {"sender": "b", "payee": "a", "first_ms": 7, SEAL: seal})


def change(journal: Journal, statement: Any) -> None:
    """Change the database by SQL; the node has no cached rows, as after a restart."""
    with journal.stranger() as conn:
        conn.execute(statement)
    journal.committer._cache.distrust()


def test_an_older_row_of_the_payment_is_not_believed(journal: Journal) -> None:
    row = journal.admit().row
    older = dict(journal.read(lambda conn: conn.execute(select(schema.payments)).one())._mapping)
    journal.send(row)
    change(journal, delete(schema.attempts))
    change(journal, update(schema.payments).values(older))
    with pytest.raises(SealBroken, match=r"has version 1 \(ready\), and the audit chain has version 2 \(sending\)"):
        journal.send(row)
    assert journal.count(schema.attempts) == 0


@pytest.mark.parametrize("event", [Cancel(NOW_MS), Expire(NOW_MS)], ids=["cancelled", "expired"])
def test_a_payment_that_ended_unsent_is_not_sent_by_its_older_row(journal: Journal, event: Any) -> None:
    """Its ERP was told that it ended. SQL puts the older row back and deletes the entry that shows the end."""
    row = journal.admit().row
    older = dict(journal.read(lambda conn: conn.execute(select(schema.payments)).one())._mapping)
    journal.apply(row.payment, event, epoch=None)
    change(journal, delete(schema.audit).where(schema.audit.c.entry.in_(["payment.cancel", "payment.expire"])))
    change(journal, update(schema.payments).values(older))
    with pytest.raises(SealBroken, match=r"has version 1 \(ready\), and this process has ended it unsent"):
        journal.send(row)
    assert journal.count(schema.attempts) == 0


def test_a_deleted_attempt_is_missed(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    change(journal, delete(schema.attempts))
    with pytest.raises(SealBroken, match="names 1 sends, and table attempts has 0"):
        journal.apply(row.payment, Silent(NOW_MS, "lost", 1))


def test_an_altered_attempt_is_not_believed(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    change(journal, update(schema.attempts).values(bank_date="2026-11-25"))
    with pytest.raises(SealBroken, match="table attempts"):
        journal.read(lambda conn: attempts.last(conn, row.payment))


@pytest.mark.parametrize(
    "name",
    sorted(
        {*sealed.row_seal(schema.payments).columns, *sealed.row_seal(schema.payments).fixed} - {"refusal", "payment"}
    ),
)
def test_each_column_of_a_payment_that_decides_is_sealed(small: Journal, name: str) -> None:
    row = small.admit().row
    column = schema.payments.c[name]
    other: Any = "held" if name == "state" else "x" if isinstance(column.type, ExactText | LongText) else 77
    change(small, update(schema.payments).values({name: other}))
    with pytest.raises(SealBroken, match="its seal does not fit"):
        small.read(lambda conn: payment_rows.decode_row(conn.execute(select(schema.payments)).one(), small.vault))
    assert row.version == 1


def test_a_seal_is_made_anew_with_each_change(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    journal.committer._cache.distrust()
    answered = journal.apply(row.payment, Silent(NOW_MS, "lost", 1))
    assert answered.row_after is not None and answered.row_after.fixed
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == answered.row_after


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            update(schema.units).values(audit_seq=0, audit_hash=audit.GENESIS),
            "not written by a holder of the vault's key",
        ),
        (update(schema.units).values(seal=None), "carries no seal"),
        (delete(schema.units), "is gone"),
        (delete(schema.audit).where(schema.audit.c.seq == 2), "it ends at entry 1, the last commit wrote entry 2"),
        (delete(schema.audit).where(schema.audit.c.seq == 1), "1 of its entries after entry 0 are missing"),
        (update(schema.audit).where(schema.audit.c.seq == 1).values(object_id="nothing"), "its entry 1 was altered"),
        (update(schema.audit).where(schema.audit.c.seq == 1).values(seq=0), "of its entries|does not continue"),
        (
            update(schema.meta).where(schema.meta.c.name == "sealed").values(value='{"at_ms": 1, "mac": ""}'),
            "table meta",
        ),
    ],
)
def test_a_node_does_not_continue_a_chain_that_was_cut_or_forged(journal: Journal, statement: Any, why: str) -> None:
    row = journal.admit().row
    journal.send(row)
    with journal.stranger() as conn:
        conn.execute(statement)
    for _ in range(2):
        again = Journal(journal.url)
        with pytest.raises(StoreFailed, match=why):
            again.committer.open()
        again.close()


def test_a_node_does_not_start_where_an_entry_of_another_node_was_altered(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    other.do(lambda tx: audit.append(tx, "node:n2", "lane.leased", "sample.other"))
    other.close()
    journal.admit()
    with journal.stranger() as conn:
        conn.execute(update(schema.audit).where(schema.audit.c.node == "n2").values(object_id="nothing"))
    again = Journal(journal.url)
    with pytest.raises(StoreFailed, match="the audit trail of node 'n2' was altered: its entry 1 was altered"):
        again.committer.open()
    again.close()


def test_an_empty_journal_is_sealed_from_its_first_row(journal: Journal) -> None:
    row = journal.admit().row
    assert journal.vault.rows_sealed
    assert journal.read(lambda conn: seal_mark.is_marked(conn, journal.vault))
    assert journal.read(migrations.beside_of) == "0017"
    change(journal, update(schema.payments).values(seal=None))
    with pytest.raises(SealBroken, match="has no seal, but this journal is sealed"):
        journal.send(row)
