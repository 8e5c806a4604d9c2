"""Rotation of the vault's key: every sealed value comes under the new key, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, insert, select, update

from gateway.kernel.checkpoints import verify
from gateway.kernel.cluster import resealing, stops, vault_rotation
from gateway.kernel.cluster.resealing import BOUND_TO, TABLES, portions, sealed_columns
from gateway.kernel.cluster.vault_rotation import DONE, RotationState, WorkTakenOver
from gateway.kernel.commit import audit, payment_rows, registers, vault_keys
from gateway.kernel.commit.store import StoreFailed
from gateway.kernel.commit.vault_keys import CannotActivate
from gateway.kernel.sql import migrations, schema, vault
from gateway.kernel.sql.sealed import SEAL, SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from tests.gateway.kernel.bench import KEY, LANE, Journal, order, take_lane
from tests.gateway.kernel.rotating import (
    INDEX,
    NEXT,
    activate,
    both,
    only_next,
    progress,
    rotation,
    run_once,
    under_another_key,
)


@pytest.fixture
def old(small: Journal) -> Journal:
    """A journal with payments under the earlier key."""
    return paying(small)


@pytest.fixture
def old_on_each(journal: Journal) -> Journal:
    """The same on each kind of database in turn."""
    return paying(journal)


def paying(empty: Journal) -> Journal:
    empty.close()
    made = Journal(empty.url, sealing=both())
    assert made.do(lambda tx: take_lane(tx, LANE, "n1", 10**9)) == 1
    for n in range(7):
        row = made.admit(order(f"AP-{n}")).row
        if n % 2:
            made.send(row)
    return made


def again(one: Journal, sealing: Vault, node: str = "n1") -> Journal:
    """The next process over the same journal."""
    one.close()
    made = Journal(one.url, node, sealing=sealing)
    made.committer.open()
    return made


def test_every_sealed_column_says_what_it_is_bound_to() -> None:
    said = {(table, column) for table, columns in BOUND_TO.items() for column in columns}
    assert said == {
        (table.name, column.name) for table in schema.metadata.tables.values() for column in sealed_columns(table)
    }


def test_a_rotation_leaves_nothing_under_the_old_key_and_changes_nothing_else(old_on_each: Journal) -> None:
    old = old_on_each
    payments = old.read(lambda conn: conn.execute(select(schema.payments).order_by(schema.payments.c.payment)).all())
    before = [payment_rows.decode_row(row, old.vault) for row in payments]
    hashes = old.read(lambda conn: conn.execute(select(schema.audit.c.hash).order_by(schema.audit.c.seq)).all())
    assert under_another_key(old, "k1") == 0 < under_another_key(old)
    activate(old)
    run_once(old, rotation(old))
    state = progress(old)
    assert state is not None
    assert (state.state, state.unopened, state.round) == (DONE, 0, 2)
    assert under_another_key(old) == 0
    life = again(old, only_next())
    rows = life.read(lambda conn: conn.execute(select(schema.payments).order_by(schema.payments.c.payment)).all())
    assert [payment_rows.decode_row(row, life.vault) for row in rows] == before
    assert [row.seal for row in rows] == [row.seal for row in payments]
    now = life.read(lambda conn: conn.execute(select(schema.audit.c.hash).order_by(schema.audit.c.seq)).all())
    assert now[: len(hashes)] == hashes
    assert life.read(lambda conn: verify.whole(conn, life.vault)).problems == []
    # Payments go on with the new key alone, those of before too.
    life.send(before[0])
    life.admit(order("AP-next"))
    assert life.read(lambda conn: verify.whole(conn, life.vault)).problems == []
    life.close()


def test_new_values_are_under_the_new_key_from_the_next_look_on_at_every_node(old: Journal) -> None:
    other = Journal(old.url, "n2", sealing=both())
    other.committer.open()
    run_once(other, rotation(other))
    activate(old)
    assert (old.vault.current, other.vault.current) == ("k1", "k1")
    at_other, at_old = rotation(other), rotation(old)
    run_once(other, at_other)
    # This node has written since the activation and has not changed its key: the work does not begin without it.
    assert progress(old) is None
    run_once(old, at_old)
    assert (old.vault.current, other.vault.current) == ("k2", "k2")
    assert progress(old) is not None
    run_once(other, at_other)
    assert under_another_key(old) == 0
    other.close()
    old.close()


def test_a_key_that_a_running_node_lacks_is_not_activated(old_on_each: Journal) -> None:
    old = old_on_each
    other = Journal(old.url, "n2", sealing=Vault({"k1": KEY}, "k1", INDEX))
    other.committer.open()
    other.admit(order("AP-other"))
    with pytest.raises(CannotActivate, match="missing on n2"):
        activate(old)
    run_once(other, rotation(other))
    with pytest.raises(CannotActivate, match="missing on n2"):
        activate(old)
    with pytest.raises(CannotActivate, match="does not have vault key 'k9'"):
        activate(old, "k9")
    # A node that is off does not hold others up. It cannot start without the key.
    other.close()
    old.hands.task.advance(61)
    activate(old)
    with pytest.raises(StoreFailed, match="'k2', which this vault's key file does not have"):
        Journal(old.url, "n2", sealing=Vault({"k1": KEY}, "k1", INDEX)).committer.open()
    assert old.read(migrations.beside_of) == "0018"
    old.close()


def test_a_process_that_starts_seals_with_the_key_in_use(old: Journal) -> None:
    activate(old)
    life = again(old, both())
    assert life.vault.current == "k2"
    life.close()


def test_the_table_of_keys_cannot_be_set_back_by_sql(old: Journal) -> None:
    activate(old)
    run_once(old, rotation(old))
    activate(old, "k1")
    run_once(old, rotation(old))
    with old.stranger() as conn:
        conn.execute(delete(schema.vault_keys).where(schema.vault_keys.c.number == 2))
    with pytest.raises(SealBroken, match="put back"):
        old.read(vault_keys.in_use)
    with pytest.raises(StoreFailed, match="put back"):
        again(old, both())
    with old.stranger() as conn:
        conn.execute(delete(schema.vault_keys))
    with pytest.raises(StoreFailed, match="was deleted"):
        again(old, both())
    with old.stranger() as conn:
        row = {"number": 3, "name": "k2", "earlier": "k1", "at_ms": 0, "seal": "0" * 64}
        conn.execute(insert(schema.vault_keys), row)
    with pytest.raises(StoreFailed, match="seal does not fit"):
        again(old, both())


def test_an_altered_row_is_left_and_counted_and_the_work_ends(old: Journal) -> None:
    with old.stranger() as conn:
        first = conn.execute(select(schema.outbox.c.message_id, schema.outbox.c.body)).first()
        assert first is not None
        torn = first.body[:-1] + bytes([first.body[-1] ^ 1])
        conn.execute(update(schema.outbox).where(schema.outbox.c.message_id == first.message_id).values(body=torn))
    activate(old)
    run_once(old, rotation(old))
    state = progress(old)
    assert state is not None
    assert (state.state, state.unopened) == (DONE, 1)
    assert under_another_key(old) == 1
    assert f"outbox/{first.message_id}" in registers.altered(old.vault)
    old.close()


def _row_of(conn: Connection, table: Table, mine: Sequence[Any]) -> Any:
    return conn.execute(select(table).where(*mine)).first()


def test_a_row_that_changed_since_it_was_read_keeps_its_change(old_on_each: Journal) -> None:
    old = old_on_each
    activate(old)
    old.vault.use("k2")
    for table, change in ((schema.outbox, "body"), (schema.stops, SEAL)):
        if table is schema.stops:
            old.do(lambda tx: stops.say(tx, "user:ann", "an exercise", stopped=True))
            with old.stranger() as conn:
                row = conn.execute(select(table)).one()
                body = both().seal(b'{"by": "user:ann", "reason": "an exercise"}', b"stops/body/1/1")
                seal = row_seal(table).over(old.vault, {**row._mapping, "body": body})
                conn.execute(update(table).values(body=body, seal=seal))
        read = old.read(partial(_row_of, table=table, mine=()))
        assert read is not None
        mine = [column == read._mapping[column.name] for column in table.primary_key.columns]
        other = {"body": b"another"} if change == "body" else {SEAL: "f" * 64}
        with old.stranger() as conn:
            conn.execute(update(table).where(*mine).values(**other))
        assert not old.do(partial(resealing._reseal, table=table, mine=mine, row=dict(read._mapping)))
        now = old.read(partial(_row_of, table=table, mine=mine))
        assert now is not None
        assert now._mapping[change] == other[change]
    old.close()


def test_a_row_that_is_skipped_brings_another_round(old: Journal) -> None:
    activate(old)
    old.vault.use("k2")
    state = old.do(partial(vault_rotation.begin, number=1))
    assert state is not None
    row = old.read(lambda conn: conn.execute(select(schema.payments.c.payment)).first())
    assert row is not None
    begun, keys = replace(state, place="payments"), [(row.payment,)]
    first = old.do(lambda tx: vault_rotation.reseal(tx, begun, keys))
    # Under the new key already, as if somebody had written it between the page and the unit.
    second = old.do(lambda tx: vault_rotation.reseal(tx, first, keys))
    assert (second.found, second.resealed) == (2, 1)
    last = replace(second, place=TABLES[-1].name)
    after = old.do(lambda tx: vault_rotation.advance(tx, last))
    assert (after.state, after.round, after.found, after.place) == ("running", 2, 0, TABLES[0].name)
    old.close()


def test_another_node_takes_the_work_over_and_the_first_one_stops(old: Journal) -> None:
    activate(old)
    old.vault.use("k2")
    state = old.do(partial(vault_rotation.begin, number=1))
    assert state is not None
    other = again(old, both(), "n2")
    assert other.do(partial(vault_rotation.begin, number=1)) is None
    other.hands.task.advance(61)
    taken = other.do(partial(vault_rotation.begin, number=1))
    assert taken is not None
    assert taken.node == "n2"
    with pytest.raises(WorkTakenOver):
        other.do(lambda tx: vault_rotation.advance(tx, state))
    other.close()


def test_a_stop_stays_in_force_and_a_row_that_was_put_back_stays_refused(old: Journal) -> None:
    old.do(lambda tx: stops.say(tx, "user:ann", "an exercise", stopped=True))
    with old.stranger() as conn:
        first = conn.execute(select(schema.stops)).one()
    old.do(lambda tx: stops.say(tx, "user:ann", "it is over", stopped=False))
    activate(old)
    run_once(old, rotation(old))
    life = again(old, only_next())
    found = life.read(stops.last)
    assert (found.stopped, found.reason, found.altered) == (False, "it is over", ())
    with life.stranger() as conn:
        conn.execute(delete(schema.stops).where(schema.stops.c.number == 2))
        conn.execute(update(schema.stops).values(dict(first._mapping)))
    # The first stop under its old seal: an earlier row, put back.
    back = life.read(stops.last)
    assert (back.stopped, back.altered) == (True, ("stops/stops",))
    life.close()


def test_a_rotation_twice_keeps_the_chain(old: Journal) -> None:
    activate(old)
    run_once(old, rotation(old))
    life = again(old, Vault({"k2": NEXT, "k3": b"3" * 32}, "k2", INDEX))
    activate(life, "k3")
    run_once(life, rotation(life))
    last = again(life, Vault({"k3": b"3" * 32}, "k3", INDEX))
    assert last.read(lambda conn: verify.whole(conn, last.vault)).problems == []
    last.close()


def test_the_key_in_use_is_activated_again_to_seal_what_came_late_anew(old: Journal) -> None:
    activate(old)
    run_once(old, rotation(old))
    late = again(old, both())
    late.vault.use("k1")
    late.admit(order("AP-late"))
    assert under_another_key(late) > 0
    activate(late)
    run_once(late, rotation(late))
    assert under_another_key(late) == 0
    state = progress(late, 2)
    assert state is not None
    assert state.state == DONE
    late.close()


def test_an_entry_that_was_sealed_anew_and_altered_is_noticed(old: Journal) -> None:
    activate(old)
    run_once(old, rotation(old))
    with old.stranger() as conn:
        row = conn.execute(select(schema.audit).where(schema.audit.c.seq == 2)).one()
        forged = old.vault.seal(b"{}", audit.header_of(row))
        conn.execute(update(schema.audit).where(schema.audit.c.seq == 2).values(detail=forged))
    assert "audit of n1: entry 2 was altered" in old.read(lambda conn: audit.verify(conn, old.vault))
    with old.stranger() as conn:
        changed = bytes((2,)) + row.detail[1:-1] + bytes([row.detail[-1] ^ 1])
        conn.execute(update(schema.audit).where(schema.audit.c.seq == 2).values(detail=changed))
    assert "audit of n1: entry 2 was altered" in old.read(lambda conn: audit.verify(conn, old.vault))
    old.close()


def test_a_wrapped_value_and_a_plain_one_are_never_taken_for_each_other() -> None:
    one = both()
    plain = one.seal(b"\0\0\0\x01xdata", b"a")
    wrapped = one.wrap(plain, b"a")
    assert (one.open(wrapped, b"a"), one.original(wrapped, b"a")) == (b"\0\0\0\x01xdata", plain)
    for value in (bytes((2,)) + plain[1:], bytes((1,)) + wrapped[1:]):
        with pytest.raises(VaultError):
            one.open(value, b"a")


def test_units_are_bounded_by_rows_and_by_bytes() -> None:
    assert [len(one) for one in portions([((n,), 10) for n in range(120)])] == [50, 50, 20]
    assert [len(one) for one in portions([((n,), 600_000) for n in range(3)])] == [1, 1, 1]
    assert [len(one) for one in portions([((0,), 5 << 20)])] == [1]


def test_the_key_file_gets_a_key_and_loses_one(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    first = vault.create(path)
    name = vault.prepare_key(path)
    assert vault.load(path).current == first.current
    first_again = vault.load(path)
    third = vault.prepare_key(path)
    # A process that read the file before opens what is sealed with a key that came later.
    one = vault.load(path)
    one.use(third)
    assert first_again.open(one.seal(b"x", b"a"), b"a") == b"x"
    with pytest.raises(VaultError, match="would not be in it"):
        vault.remove_key(path, name, name)
    assert vault.remove_key(path, first.current, name)
    assert not vault.remove_key(path, first.current, name)
    assert (vault.load(path).current, set(vault.names_in(path))) == (name, {name, third})
    assert path.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other.key"
    vault.create(other)
    path.write_bytes(other.read_bytes())
    with pytest.raises(VaultError, match="of another journal"):
        one.refresh()


def test_progress_names_the_tables_that_are_done() -> None:
    assert RotationState(1, "running", "n1", 0, place=TABLES[3].name).tables_done == 3
    assert RotationState(1, DONE, "n1", 0).tables_done == len(TABLES)
