"""References are unique per bank: no two of its lanes give out the same reference, whatever references were given out
before."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import migrations, schema
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import bundles, lookup
from protocols.canon.limits import ReferenceForm
from tests.gateway.kernel.bench import Journal, admission, order

LANES = ("sample.main", "sample.second")
SHORT = ReferenceForm(12, prefix="AB")
"""As boc's with a prefix: the time and the number share ten characters."""


def admitted(one: payments_admission.Admission, tx: Tx) -> str:
    return payments_admission.admit(tx, one, tx.entropy).row.bank_ref


def taken_in(journal: Journal, lane: str, *ids: str, form: ReferenceForm = SHORT) -> list[str]:
    """The references of a lane's orders, each order being admitted in a group of its own."""
    admissions = [admission(order(id), lane=lane, form=form) for id in ids]
    return [journal.do(partial(admitted, one)) for one in admissions]


@pytest.mark.parametrize("form", [SHORT, ReferenceForm(20), ReferenceForm(20, "0123456789", "123456")])
def test_two_lanes_of_one_bank_never_give_out_the_same_reference(journal: Journal, form: ReferenceForm) -> None:
    """Both lanes start in the same second."""
    found = [one for n in range(6) for lane in LANES for one in taken_in(journal, lane, f"{lane}-{n}", form=form)]
    assert len(set(found)) == 12


def test_two_nodes_draw_from_one_counter_of_the_bank(journal: Journal) -> None:
    other = Journal(journal.url, node="n2")
    found = [
        *taken_in(journal, LANES[0], "A", "B"),
        *taken_in(other, LANES[1], "C", "D"),
        *taken_in(journal, LANES[1], "E"),
    ]
    other.close()
    assert len(set(found)) == 5


def test_another_bank_counts_for_itself(journal: Journal) -> None:
    assert journal.do(lambda tx: draw_serials(tx, "one", 3)) == range(3)
    assert journal.do(lambda tx: draw_serials(tx, "two", 3)) == range(3)


def test_the_database_refuses_a_reference_that_another_lane_of_the_bank_has(journal: Journal) -> None:
    taken_in(journal, LANES[0], "A")
    [other] = taken_in(journal, LANES[1], "B")
    with pytest.raises(IntegrityError):
        journal.do(lambda tx: tx.fresh.execute(update(schema.payments).values(bank_ref=other)))


def test_the_database_refuses_two_messages_of_a_bank_with_one_reference(journal: Journal) -> None:
    made = admission(order("A"), lane=LANES[0], batch="B1", item_no=1)
    row = journal.do(lambda tx: payments_admission.admit(tx, made, tx.entropy)).row
    found = journal.do(lambda tx: bundles.allot(tx, row.payment, 10, SHORT, 0))
    assert found is not None
    bundle = found[0]
    twin = {
        "bundle": "B" * 26,
        "lane": LANES[1],
        "kind": bundle.kind.value,
        "bank_ref": bundle.bank_ref,
        "attempt": 0,
        "spent": 0,
        "made_ms": 1,
        "serials": "[]",
        "port": "",
        "ref_bank": "sample",
    }
    with pytest.raises(IntegrityError):
        journal.do(lambda tx: tx.fresh.execute(insert(schema.bundles), twin))
    assert bundle.bank_ref != row.bank_ref, "an order and the message that carries it have one counter, too"


def test_a_lane_of_another_name_goes_on_with_its_banks_counter(journal: Journal) -> None:
    before = taken_in(journal, LANES[0], "A", "B")
    assert not set(before) & set(taken_in(journal, "sample.renamed", "C", "D"))


FOLDER = Path(migrations.__file__).with_name("versions")
STEPS = [
    import_module(f"{migrations.__name__}.versions.{one.stem}")
    for one in sorted(FOLDER.glob("v*.py"))
    if one.stem > "v0005"
]
"""The steps since the fifth, which this is about."""


def back_to_the_schema_before(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as conn:
        with Operations.context(MigrationContext.configure(conn)):
            for step in reversed(STEPS):
                step.downgrade()
        conn.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    engine.dispose()


def test_an_older_database_keeps_its_references_and_counts_on_above_all_its_lanes(journal: Journal) -> None:
    """Its two lanes gave out the same reference: both payments stay, and both are found."""
    for lane, id in zip(LANES, ("A", "B"), strict=True):
        taken_in(journal, lane, id)
    url = journal.url
    journal.close()
    back_to_the_schema_before(url)
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(update(schema.payments).values(bank_ref="SAME"))
        rows = [
            {"lane": lane, "epoch": 0, "owner": "", "expires_ms": 0, "serial": serial}
            for lane, serial in zip(LANES, (300, 7_000), strict=True)
        ]
        conn.execute(insert(schema.lanes), rows)
    engine.dispose()
    migrations.upgrade(url)
    again = Journal(url, node="n7")
    found = [again.read(partial(lookup.find_by_reference, lane=lane, bank_ref="SAME")) for lane in LANES]
    assert [row.order.id for row in found if row is not None] == ["A", "B"]
    assert again.do(lambda tx: draw_serials(tx, "sample", 1)).start >= 7_000
    new = [*taken_in(again, LANES[0], "C"), *taken_in(again, LANES[1], "D")]
    assert len({*new, "SAME"}) == 3
    banks = dict(
        again.read(lambda conn: conn.execute(select(schema.payments.c.order_id, schema.payments.c.ref_bank)).all())
    )
    assert banks == {"A": None, "B": None, "C": "sample", "D": "sample"}
    again.close()
