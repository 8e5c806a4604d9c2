"""A journal from a version without seals: every row is sealed in small units, and the journal is marked at the end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from operator import eq
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, event, func, select, update

from gateway.approvals.rows import approval_policies
from gateway.kernel.cluster import sealing, stops
from gateway.kernel.cluster.gaps import GapKind, RestoreFindings
from gateway.kernel.cluster.restored_database import Comparison
from gateway.kernel.commit import registers
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.unsealed_rows import SealedRows, seal_page
from gateway.kernel.sql import migrations, schema, seal_mark
from gateway.kernel.sql.sealed import SEAL
from gateway.payments.rows import payees
from gateway.people.rows import delegations, password_factors
from gateway.people.rows.password_factors import PasswordFactor
from gateway.wiring import SEALINGS
from tests.gateway.kernel.bench import NOW_MS, Journal, order
from tests.gateway.people.test_people import people, week


def unsealed(journal: Journal) -> Journal:
    """The next process over this journal, as the upgrade from an earlier version leaves it."""
    journal.committer.close()
    with journal.stranger() as conn:
        for table in schema.metadata.sorted_tables:
            if SEAL in table.c and table is not schema.units:
                conn.execute(update(table).values(seal=None))
        conn.execute(delete(schema.meta).where(schema.meta.c.name == "sealed"))
        conn.execute(update(schema.meta).where(schema.meta.c.name == "beside").values(value="0016"))
    life = Journal(journal.url)
    life.committer.open()
    return life


def page(tx: Tx, table: Table, after: tuple[Any, ...] = (), most: int = 200) -> SealedRows:
    return seal_page(tx, table, SEALINGS[table], after, most)


def without(journal: Journal) -> int:
    return journal.read(
        lambda conn: conn.execute(
            select(func.count()).select_from(schema.payments).where(schema.payments.c.seal.is_(None))
        ).scalar_one()
    )


def test_rows_are_sealed_some_at_a_time_and_the_journal_is_marked_last(journal: Journal) -> None:
    for n in range(5):
        journal.admit(order(f"AP-{n}"))
    life = unsealed(journal)
    assert not life.vault.rows_sealed
    after: tuple[Any, ...] | None = ()
    left = []
    while after is not None:
        after = life.do(partial(page, table=schema.payments, after=after, most=2)).last
        left.append(without(life))
    assert left == [3, 1, 0]
    assert not life.read(lambda conn: seal_mark.is_marked(conn, life.vault))
    life.do(lambda tx: sealing.finish(tx, 5, []))
    assert life.read(lambda conn: seal_mark.is_marked(conn, life.vault))
    assert life.read(migrations.beside_of) == "0017"
    life.close()


def test_a_payment_of_which_the_chain_tells_otherwise_gets_no_seal(journal: Journal) -> None:
    rows = [journal.admit(order(f"AP-{n}")).row for n in range(3)]
    life = unsealed(journal)
    with life.stranger() as conn:
        conn.execute(update(schema.payments).where(schema.payments.c.payment == rows[1].payment).values(state="held"))
    done = life.do(partial(page, table=schema.payments))
    assert (done.sealed, len(done.refused), done.last) == (2, 1, None)
    assert rows[1].payment in done.refused[0]
    assert without(life) == 1
    life.close()


ALTERED = (
    (schema.persons, {"uid": 9999}),
    (schema.delegations, {"until_ms": NOW_MS + 1}),
    (schema.approval_policies, {"body": b"forged"}),
    (schema.stops, {"stopped": 1}),
    (schema.password_factors, {"body": b"forged"}),
)


@pytest.mark.parametrize(("table", "values"), ALTERED, ids=lambda one: getattr(one, "name", ""))
def test_a_row_that_was_altered_before_gets_no_seal_and_the_others_do(
    journal: Journal, table: Table, values: dict[str, Any]
) -> None:
    people(journal, wang="supervisor@*", li="viewer@*", zhao="viewer@*")
    journal.do(lambda tx: delegations.delegate(tx, week("wang", "li"), "leave", "uid:wang"))
    journal.do(lambda tx: delegations.delegate(tx, week("wang", "zhao"), "leave", "uid:wang"))
    for version in range(2):
        journal.do(partial(approval_policies.put_in_force, text=f"CNY 0.. {version + 1}", proposal="p"))
        journal.do(partial(stops.say, actor="user:wang", reason="drill", stopped=False))
    for name in ("wang", "li"):
        journal.do(
            partial(password_factors.store_factor, factor=PasswordFactor(name, "$argon2id$", "S"), entry="x", actor="x")
        )
    life = unsealed(journal)
    keys = list(table.primary_key.columns)
    with life.stranger() as conn:
        last = conn.execute(select(*keys).order_by(*keys)).all()[-1]
        conn.execute(update(table).where(*map(eq, keys, last)).values(values))
    rows = life.read(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())
    done = life.do(partial(page, table=table))
    assert (done.sealed, len(done.refused), done.last) == (rows - 1, 1, None)
    assert f"{table.name}: the row of {last[0]}" in done.refused[0]
    named = (f"{table.name}/{last[0]}",)
    assert life.read(lambda conn: registers.altered(life.vault)) == named, "alarm and status name it"
    life.close()


def test_pages_go_on_behind_rows_that_were_refused(journal: Journal) -> None:
    """A table with two columns in its key, of which every page begins with an altered row."""
    for sender in "ab":
        for n in range(3):
            wanted = partial(payees.register, sender=sender, order=order(creditor=f"000000{n}"), proposal="p")
            assert journal.do(wanted)
    life = unsealed(journal)
    with life.stranger() as conn:
        conn.execute(
            update(schema.payees_registered).where(schema.payees_registered.c.sender == "a").values(body=b"no")
        )
    after: tuple[Any, ...] | None = ()
    refused, sealed = 0, 0
    while after is not None:
        done = life.do(partial(page, table=schema.payees_registered, after=after, most=2))
        after, refused, sealed = done.last, refused + len(done.refused), sealed + done.sealed
    assert (refused, sealed) == (3, 3)
    life.close()


def compared(conn: Connection) -> Comparison:
    return sealing.compared(conn, "gw1", lambda: Comparison(RestoreFindings(), Group(0, "", 0), (), None, None))


def test_what_two_persons_sign_says_how_many_rows_have_no_seal(journal: Journal) -> None:
    people(journal, wang="supervisor@*")
    for n in range(3):
        journal.admit(order(f"AP-{n}"))
    life = unsealed(journal)
    with life.stranger() as conn:
        lacking = sum(conn.execute(select(func.count()).select_from(table)).scalar_one() for table in SEALINGS)
    (gap,) = life.read(compared).past.gaps
    assert "no seals: 3 payments" in gap.sentence() and f"{lacking} rows have no seal, 0 have one" in gap.sentence()
    assert "2 audit entries are such as only this version writes" in gap.sentence(), "the person's register was written"
    assert "somebody removed the seals" in gap.sentence()
    assert sealing.waits_for_seals(RestoreFindings(gaps=(gap,))) == gap.sentence()
    older = replace(gap, lack=GapKind.JOURNAL)
    assert sealing.waits_for_seals(RestoreFindings(gaps=(gap, older))) == "", "the database is older too"
    life.do(partial(page, table=schema.payments))
    (gap,) = life.read(compared).past.gaps
    assert f"{lacking - 3} rows have no seal, 3 have one" in gap.sentence()
    life.close()


@pytest.mark.parametrize("statement", range(1, 6))
def test_a_new_journal_that_the_writer_marks_during_the_comparison_is_sealed(journal: Journal, statement: int) -> None:
    """The writer begins to use an empty journal after any statement of the reader. The reader may see the rows that are
    committed then."""
    done: list[str] = []

    def after_statement(_conn: Any, _cursor: Any, said: str, *_rest: Any) -> None:
        done.append(said)
        if len(done) == statement:
            journal.committer.open()

    event.listen(journal.readers, "after_cursor_execute", after_statement)
    found = journal.read(compared)
    assert len(done) >= statement, f"the comparison made {len(done)} statements: the writer was not in between"
    assert found.past.gaps == (), found.past.gaps[0].sentence()
    assert journal.vault.rows_sealed, "what the writer found is not taken back"
