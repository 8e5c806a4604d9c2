"""A few hundred alterations of a journal by SQL between two lives: none makes a payment leave twice or a person exceed
rights."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.kernel.sql import schema
from protocols.canon.money import Money
from tests.world import sim, tamper_rows, tampered_life, tampered_pools, tampering
from tests.world.tamper_rows import Alteration
from tests.world.tampered_life import EndSituation, FinishedLife
from tests.world.tampered_pools import PoolLife

EMPTY = {
    "jobs": "a job of a day is done twice or not at all: jobs look, and make no payment",
    "lane_renames": "the alterations add its rows: the life renames no lane",
    "checkpoints": "a copy of the audit trail's head for other machines, written once a day",
    "payees": "no version reads it any more",
    "stops": "the life that ends stopped has its rows, and a test below alters them",
    "batches": "no batch is taken in a life: an item of a batch has a payment's row of its own, and those decide",
    "bundles": "no life sends a bundle: `scenes_seals` alters a bundle in doubt",
    "bundle_items": "no life sends a bundle: `scenes_seals` deletes a place in a bundle in doubt",
    "past_cleared": "has rows after a restored database only: the scenes of amnesia tell these lives",
}
"""Tables that are altered, but that neither of the two lives has rows of, each with the reason."""
NOT_ALTERED = {
    "refusals": "what an ERP was refused, kept for persons to read",
    "questions": "open questions of ERPs: an answer moves no money",
    "tickets": "questions to a bank whose answer comes later: an answer to a question moves no money",
    "pushes": "what banks sent unasked, kept for persons to read; a fate was taken in the unit that kept it",
    "broker_holds": "which node reads the broker; who sends is decided by lanes and permits",
    "password_factors": "opens a session of the console, which decides nothing without a person's key",
    "sign_in_failures": "a deleted count lifts a lock-out of the console: docs/adr/0040",
    "sign_outs": "ended sessions of the console",
    "receipts": "files for ERPs",
    "receipt_files": "files of banks, shown to persons",
    "receipt_searches": "which files of banks to look for",
    "statement_days": "closed days, for reconciliation and reports",
    "books": "an ERP's books, for reconciliation",
    "book_rows": "an ERP's books, for reconciliation",
    "match_decisions": "what persons said about entries, for reconciliation",
    "match_news": "what an ERP was told about its books",
    "balance_tables": "monthly tables of reconciliation, signed outside the gate",
    "ledgers": "an ERP's books on their way in",
    "ledger_parts": "an ERP's books on their way in",
    "vault_keys": "which key seals: a register, altered in tests/gateway/kernel/test_vault_rotation.py",
    "vault_nodes": "which keys a node has: a false row delays the removal of a key, or hastens it; nothing is sent by it",
    "vault_rotations": "how far values are sealed anew; `bankgw keys retire` reads the whole journal by itself",
}
"""Tables that decide neither about money nor about rights, each with the reason."""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> FinishedLife:
    sim.quiet()
    return tampered_life.lived(tmp_path_factory.mktemp("tampered"), 1, EndSituation.RUNNING)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> PoolLife:
    sim.quiet()
    return tampered_pools.lived(tmp_path_factory.mktemp("pooled"), 1)


def filled(life: FinishedLife) -> set[str]:
    """The tables that have rows at the end of this life."""
    tampering._lay(life)
    with closing(sqlite3.connect(life.world.folder / "journal.db")) as db:
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        return {name for name in names if db.execute(f'select 1 from "{name}" limit 1').fetchone()}


def test_each_table_that_decides_is_in_a_life(running: FinishedLife, pooled: PoolLife) -> None:
    """A new table of the schema must be altered by a test here, or have an entry with a reason above."""
    every = set(schema.metadata.tables)
    assert every == tamper_rows.ALTERED | set(NOT_ALTERED), "no table may be forgotten"
    assert not tamper_rows.ALTERED & set(NOT_ALTERED)
    lacking = tamper_rows.ALTERED - filled(running) - filled(pooled)
    assert lacking == set(EMPTY), lacking ^ set(EMPTY)


def test_no_alteration_of_a_life_with_pools_is_noticed(pooled: PoolLife) -> None:
    found = tampering._fork(pooled, ())
    assert (found.signs, found.second, found.looser) == ([], [], [])


def test_the_judge_of_pools_sees_a_transfer_with_another_reference(pooled: PoolLife) -> None:
    tampering._lay(pooled)
    executions = pooled.world.bank.ledger.executions
    own = set(pooled.world.bank.accounts)
    move = next(one for one in executions if one.instruction.creditor_account in own)
    executions.append(move)
    assert any(one.startswith(pooled.orders[move.instruction.reference]) for one in pooled.worse().second)
    executions[-1] = replace(move, instruction=replace(move.instruction, reference="ANOTHER"))
    assert any("no order: reference ANOTHER" in one for one in pooled.worse().looser)
    executions.pop()
    assert not pooled.worse()


def test_the_judge_of_pools_sees_an_order_before_its_money_and_a_quota(pooled: PoolLife) -> None:
    tampering._lay(pooled)
    executions = pooled.world.bank.ledger.executions
    order = next(one for one in executions if one.instruction.amount.minor == tampered_pools.SPENDER_MINOR + 10_000)
    executions.insert(0, order)
    assert any("arrived when its account had" in one for one in pooled.worse().looser)
    del executions[0]
    leg = next(one for one in executions if one.instruction.reference in pooled.legs.values())
    executions.append(replace(leg, instruction=replace(leg.instruction, amount=Money(200_000))))
    assert any(" owes " in one or " moved " in one for one in pooled.worse().looser)
    executions.pop()
    assert not pooled.worse()


def test_a_pool_whose_newest_version_is_deleted_and_hidden_moves_nothing(pooled: PoolLife) -> None:
    found = heard(
        pooled,
        ("delete from pools where pool = 'a' and version > 1", ()),
        ("update audit set object_id = 'nothing' where entry = 'pool.in_force' and object_id = 'a'", ()),
    )
    assert (found.second, found.looser) == ([], [])


def test_moves_that_are_deleted_and_hidden_free_no_mandate(pooled: PoolLife) -> None:
    for pool in ("a", "b"):
        found = heard(
            pooled,
            ("delete from pool_moves where pool = ? and run like '%.linked.%'", (pool,)),
            ("update audit set object_id = 'nothing' where entry = 'pool.move_ordered'", ()),
        )
        assert (found.second, found.looser) == ([], [])


def heard(life: FinishedLife, *statements: tuple[str, tuple[object, ...]]) -> tampering.NextLifeResult:
    return tampering._fork(life, [Alteration("by hand", "by hand", "", statements)])


def test_nothing_altered_is_nothing_noticed(running: FinishedLife) -> None:
    found = tampering._fork(running, ())
    assert (found.signs, found.second, found.looser) == ([], [], [])


def test_the_judge_sees_a_payment_that_is_executed_twice(running: FinishedLife) -> None:
    """The banks' books get a payment again: whatever the gateway did, the judge must say so."""
    tampering._lay(running)
    ledger = running.world.bank.ledger
    again = next(one for one in ledger.executions if not one.refused)
    ledger.executions.append(again)
    try:
        assert tampered_life.judged(running).second
    finally:
        ledger.executions.pop()
    assert not tampered_life.judged(running)


def test_a_settled_payment_set_to_ready_is_not_paid_again(running: FinishedLife) -> None:
    found = heard(
        running,
        (
            "update payments set state = 'ready', attempt = 0, first_write_ms = null, bank_ref = 'Z' || bank_ref "
            "where state = 'settled'",
            (),
        ),
        ("delete from attempts", ()),
        ("delete from audit where entry in ('payment.send', 'payment.settle')", ()),
        (
            "insert or replace into work (payment, kind, lane, due_ms, epoch) select payment, 'send', lane, 0, epoch "
            "from payments where state = 'ready'",
            (),
        ),
    )
    assert (found.second, found.looser) == ([], [])
    assert found.signs


def test_a_sum_of_the_day_that_was_lowered_is_counted_again(running: FinishedLife) -> None:
    found = heard(running, ("delete from usage_counts", ()))
    assert (found.second, found.looser) == ([], [])
    assert any("usage_counts" in one for one in found.signs)


def test_the_newest_policy_is_deleted(running: FinishedLife) -> None:
    found = heard(running, ("delete from approval_policies where version = 2", ()))
    assert (found.second, found.looser) == ([], [])
    assert any("approval_policies" in one for one in found.signs)


def test_a_deactivated_person_is_put_back(running: FinishedLife) -> None:
    with closing(sqlite3.connect(running.older[0])) as db:
        older = db.execute("select body, seal from persons where person = ?", (tampered_life.GONE,)).fetchone()
    found = heard(running, ("update persons set body = ?, seal = ? where person = ?", (*older, tampered_life.GONE)))
    assert (found.second, found.looser) == ([], [])
    assert any(f"persons/{tampered_life.GONE}" in one for one in found.signs)
    assert "alarm row_altered" in found.signs


def test_a_stop_is_deleted(tmp_path: Path) -> None:
    stopped = tampered_life.lived(tmp_path, 1, EndSituation.STOPPED)
    found = heard(stopped, ("delete from stops", ()))
    assert (found.second, found.looser) == ([], [])
    found = heard(
        stopped,
        ("delete from stops", ()),
        ("delete from audit where object_id like '%stops%'", ()),
        ("delete from audit where object_id = 'gateway'", ()),
    )
    assert (found.second, found.looser) == ([], [])


def test_what_the_database_refuses_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("create table t (a integer primary key, b)")
        db.execute("insert into t values (1, 'x')")
        db.commit()
    twice = Alteration("by hand", "", "", (("update t set b = 'y'", ()), ("insert into t values (1, 'z')", ())))
    assert tamper_rows.applied(file, [twice]) == 0
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("select * from t").fetchall() == [(1, "x")]


def test_a_few_hundred_alterations(capsys: pytest.CaptureFixture[str]) -> None:
    assert tampering.main(["--mutations", "240", "--living", "0", "--seed", "7"]) == 0, capsys.readouterr().out
