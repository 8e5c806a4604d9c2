"""The writer's cache: a group's units see each other's payments before they are written, and no outdated rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from twisted.python.failure import Failure

from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import PASS, RuleVerdict
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.kernel.core.states import Cancel, Expire, Release, Send
from gateway.kernel.sql import schema
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import lookup, refusals
from gateway.payments.rows import transition as applying
from gateway.payments.rows.admission import Admittance
from protocols.canon.errors import Code
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import NOW_MS, Journal, admission, admit, attempt, hold, order
from tests.gateway.kernel.owned import own_up
from tests.world.world import World

AT = NOW_MS + 1_000
P = schema.payments.c


def change(row: PaymentRow, event: Any, **options: Any) -> Callable[[Tx], Applied]:
    return lambda tx: applying.apply(tx, row.payment, event, epoch=1, actor="lane:x", **options)


def stored(journal: Journal, payment: str) -> PaymentRow:
    found = journal.read(lambda conn: lookup.fetch(conn, payment))
    assert found is not None
    return found


def test_a_payment_is_not_read_again_by_the_writer_that_wrote_it(journal: Journal, monkeypatch: Any) -> None:
    row = journal.admit().row
    monkeypatch.setattr(payment_rows, "decode_row", lambda *_: pytest.fail("it was read"))
    sent = journal.send(row)
    monkeypatch.undo()
    assert sent.row_before == row
    assert stored(journal, row.payment) == sent.row_after


def test_who_only_reads_sees_what_is_pending_and_leaves_what_is_known(journal: Journal, monkeypatch: Any) -> None:
    row = journal.admit().row
    seen: list[PaymentRow | None] = []

    def looks(tx: Tx) -> None:
        applying.apply(tx, row.payment, Cancel(AT), epoch=None, actor="user:erp")
        seen.append(lookup.fetch(tx.read, row.payment))
        refusals.refuse(tx, "k1", "erp", Code.TOO_LATE, b"{}", None, None)
        monkeypatch.setattr(payment_rows, "decode_row", lambda *_: pytest.fail("it was read"))
        seen.append(tx.payment_cache.row(tx.raw, tx.vault, row.payment))
        monkeypatch.undo()

    journal.do(looks)
    assert seen[0] == seen[1] and seen[0] is not None and seen[0].life.state is State.CANCELLED


def test_one_group_carries_a_payment_from_its_order_to_its_withdrawal(journal: Journal) -> None:
    asked = admission(order("a"))
    made: list[PaymentRow] = []

    def first(tx: Tx) -> payments_admission.Admitted:
        admitted = payments_admission.admit(tx, asked, tx.entropy)
        made[:] = [admitted.row]
        return admitted

    def second(tx: Tx) -> Applied:
        return applying.apply(tx, made[0].payment, Cancel(AT), epoch=None, actor="user:erp")

    journal.group([first, second])
    after = stored(journal, made[0].payment)
    assert (after.life.state, after.version) == (State.CANCELLED, 2)


def test_two_changes_in_one_group_are_written_as_one_and_guarded_by_the_first(journal: Journal) -> None:
    row = journal.admit().row
    made = attempt(row.payment, 1)
    sent, moot = journal.group([change(row, Send(AT), attempt=made), change(row, Expire(AT))])
    assert [sent.conflict, moot.conflict] == [False, False]
    assert stored(journal, row.payment) == moot.row_after
    assert moot.row_after.version == 3


def test_another_node_that_was_faster_is_seen_and_the_neighbours_are_not_hurt(url: str) -> None:
    ours, others = Journal(url, "n1"), Journal(url, "n2")
    mine, peer_node = ours.admit(order("a")).row, ours.admit(order("b")).row
    others.apply(mine.payment, Cancel(AT), epoch=7)
    late, fine = ours.group(
        [
            change(mine, Send(AT), attempt=attempt(mine.payment)),
            change(peer_node, Send(AT), attempt=attempt(peer_node.payment)),
        ]
    )
    assert (late.conflict, fine.conflict) == (True, False)
    assert stored(ours, mine.payment).life.state is State.CANCELLED
    assert stored(ours, peer_node.payment).life.state is State.SENDING
    assert ours.count(schema.attempts) == 1
    ours.close()
    others.close()


def test_an_order_that_another_node_released_is_sent_by_the_one_that_held_it(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    row = journal.admit(judged=hold).row
    other.apply(row.payment, Release(AT, AT), epoch=None)
    seen = stored(journal, row.payment)
    assert (seen.life.state, seen.version) == (State.READY, 2)
    sent = journal.do(change(row, Send(AT), attempt=attempt(row.payment), version=seen.version, expect=State.READY))
    assert (sent.conflict, sent.row_before) == (False, seen)
    assert stored(journal, row.payment) == sent.row_after
    other.close()


def test_what_another_node_did_before_is_no_reason_to_overlook_what_the_own_group_does(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    row = journal.admit(judged=hold).row
    other.apply(row.payment, Release(AT, AT), epoch=None)
    send = change(row, Send(AT), attempt=attempt(row.payment), version=2, expect=State.READY)
    sent, again = journal.group([send, send])
    assert (sent.conflict, again.conflict, again.row_before) == (False, True, sent.row_after)
    assert journal.count(schema.attempts) == 1
    other.close()


def test_a_payment_held_by_the_lanes_owner_and_released_on_the_standby_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path, sender={"suspected_duplicate_hours": 24}, settings={"journal": {"poll_ms": 1_000}})
    owner = world.start("gw1")
    world.run(3)
    world.submit("AP-1")
    world.run(3)
    world.command("payment.submit", {**world.order("AP-1"), "id": "AP-2"})
    world.run(3)
    assert (world.state("AP-1"), world.state("AP-2")) == ("settled", "held")
    standby = world.start("gw2")
    world.run(3)
    world.befall("AP-2", Release(0, 0))
    world.run(60)
    assert world.state("AP-2") == "settled" and owner.fatal + standby.fatal == []


def test_an_epoch_raised_behind_the_writers_back_is_a_conflict(journal: Journal) -> None:
    row = journal.admit().row
    with journal.stranger() as conn:
        conn.execute(update(schema.payments).values(epoch=9))
        own_up(conn, journal.vault)
    late = journal.do(change(row, Send(AT), attempt=attempt(row.payment)))
    assert late.conflict
    assert journal.messages == []
    assert journal.count(schema.attempts) == 0


def test_what_a_unit_changes_with_sql_is_read_again(journal: Journal) -> None:
    row = journal.admit().row
    journal.do(lambda tx: tx.fresh.execute(update(schema.payments).values(bank_code="E1")).rowcount)
    journal.own_up()
    sent = journal.send(row)
    assert sent.row_before is not None
    assert sent.row_before.bank_code == "E1"


def test_a_unit_that_looks_with_sql_sees_what_the_units_before_it_did(journal: Journal) -> None:
    row = journal.admit().row

    def states_by_order(tx: Tx) -> list[tuple[str, str]]:
        return [(one.order_id, one.state) for one in tx.fresh.execute(select(P.order_id, P.state).order_by(P.order_id))]

    seen = journal.group([change(row, Cancel(AT)), admit(order("AP-2")), states_by_order])[-1]
    assert seen == [("AP-1", "cancelled"), ("AP-2", "ready")]


def test_what_was_rolled_back_is_not_remembered(journal: Journal) -> None:
    row = journal.admit().row

    def fail(tx: Tx) -> None:
        applying.apply(tx, row.payment, Cancel(AT), epoch=None, actor="x")
        raise ValueError("no")

    assert isinstance(journal.group([fail])[0], Failure)
    assert journal.apply(row.payment, Cancel(AT)).row_before == row


def test_one_id_twice_in_a_group_is_one_payment(journal: Journal) -> None:
    first, second, other = journal.group([admit(order("a")), admit(order("a")), admit(order("a", minor=5))])
    assert [one.kind for one in (first, second, other)] == [Admittance.NEW, Admittance.REPLAYED, Admittance.CONFLICT]
    assert second.row == first.row
    assert journal.count(schema.payments) == 1


def test_limits_count_what_the_same_group_spent(journal: Journal) -> None:
    allowance = Allowance("erp", per_day_minor=100 * 100, alike_hours=0)
    asked = [order(f"a{n}", minor=40 * 100, creditor=f"{n:019d}") for n in range(3)]
    states = [one.row.life.state for one in journal.group([admit(one, allowance) for one in asked])]
    assert states == [State.READY, State.READY, State.REJECTED]
    again = journal.do(admit(order("b", minor=20 * 100), allowance))
    assert again.row.life.state is State.READY


def _seen(journal: Journal, *asked: tuple[str, Any]) -> list[UsageFacts]:
    facts: list[UsageFacts] = []

    def admit_then_apply(id: str, event: Any) -> Callable[[Tx], object]:
        made = order(id)

        def judged(seen: UsageFacts) -> RuleVerdict:
            facts.append(seen)
            return PASS

        wanted = admission(made, judged=judged, dup_key="k", alike_since_ms=NOW_MS - 1000)

        def run(tx: Tx) -> object:
            row = payments_admission.admit(tx, wanted, tx.entropy).row
            return None if event is None else applying.apply(tx, row.payment, event, epoch=None, actor="x")

        return run

    journal.group([admit_then_apply(id, event) for id, event in asked])
    return facts


def test_orders_of_one_group_that_look_alike_see_each_other(journal: Journal) -> None:
    first, second = _seen(journal, ("a", None), ("b", None))
    assert (first.alike_id, second.alike_id) == (None, "a")
    assert second.day_minor == order().amount.minor


def test_an_order_withdrawn_in_the_same_group_is_no_duplicate(journal: Journal) -> None:
    _, second = _seen(journal, ("a", Cancel(AT)), ("b", None))
    assert second.alike_id is None
    row = journal.read(lambda conn: lookup.find(conn, "erp", "b"))
    assert row is not None
    facts: list[UsageFacts] = []

    def judged(seen: UsageFacts) -> RuleVerdict:
        facts.append(seen)
        return PASS

    wanted = replace(admission(order("c"), judged=judged, dup_key="k"), alike_since_ms=NOW_MS - 1000)
    journal.group([change(row, Cancel(AT)), lambda tx: payments_admission.admit(tx, wanted, tx.entropy)])
    assert facts[0].alike_id is None


def test_a_remembered_row_of_another_version_than_the_databases_is_read_again(
    journal: Journal, monkeypatch: Any
) -> None:
    row = journal.admit().row
    by_another = update(schema.payments).where(P.payment == row.payment).values(version=row.version + 1)
    seen: list[PaymentRow | None] = []

    def looks(tx: Tx) -> None:
        cache = tx.payment_cache
        with monkeypatch.context() as patched:
            patched.setattr(payment_rows, "decode_row", lambda *_: pytest.fail("it was read"))
            seen.append(cache.in_version(tx.raw, tx.vault, row.payment, row.version))
        tx.raw.execute(by_another)
        own_up(tx.raw, tx.vault)
        seen.append(cache.in_version(tx.raw, tx.vault, row.payment, row.version + 1))

    journal.do(looks)
    assert [one and one.version for one in seen] == [row.version, row.version + 1]
