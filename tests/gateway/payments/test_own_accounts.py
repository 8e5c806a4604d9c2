"""Payments of an own account are found by an index on every database."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from gateway.kernel.sql import schema
from gateway.payments.rows.own_accounts import own_payments
from tests.gateway.kernel.bench import DEBTOR, Journal, order

_P = schema.payments.c
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN ", "mariadb": "EXPLAIN "}


@pytest.mark.parametrize(("place", "index"), [(0, "payments_debtor"), (1, "payments_collected")])
def test_an_own_accounts_payments_are_read_by_their_index(journal: Journal, place: int, index: str) -> None:
    for number in range(5):
        journal.send(journal.admit(order(f"AP-{number}")).row)
    own = own_payments([journal.vault.blind(DEBTOR)])[place]
    asked = select(_P.payment).where(own, _P.first_write_ms.between(0, 2**50))
    with journal.readers.connect() as conn:
        dialect = conn.dialect.name
        said = str(asked.compile(conn, compile_kwargs={"literal_binds": True}))
        if dialect == "postgresql":
            # For five rows the planner prefers no index, so it is asked which index it could use.
            conn.execute(text("SET enable_seqscan = off"))
        plan = str(conn.exec_driver_sql(EXPLAIN[dialect] + said.replace("%", "%%")).all())
        conn.rollback()
    assert index in plan
