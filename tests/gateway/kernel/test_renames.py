"""A lane or a sender with a new name keeps everything that the journal has about it, on each database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import insert, select, update

from gateway.approvals.rows import approval_policies
from gateway.kernel.cluster import lane_leases, lane_pauses, renames, restored_database
from gateway.kernel.cluster.renames import NotRenamed, Renamed
from gateway.kernel.commit import audit, lane_names, work
from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.sql import schema
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import lookup, payees, take_over
from gateway.payments.rows.limits import OrderClaim
from protocols.canon.limits import ReferenceForm
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import LANE, Journal, admission, order, take_lane

NEW = "sample.second"
ACTOR = "uid:root"


def rename_lane(journal: Journal, old: str = LANE, new: str = NEW) -> Renamed:
    return journal.do(lambda tx: renames.rename_lane(tx, old, new, ACTOR, "new name"))


def rename_sender(journal: Journal, old: str = "erp", new: str = "kingdee") -> Renamed:
    return journal.do(lambda tx: renames.rename_sender(tx, old, new, ACTOR, "new name"))


def told(journal: Journal, entry: str) -> audit.AuditEntry:
    def entry_of(conn: object) -> audit.AuditEntry:
        row = conn.execute(select(schema.audit).where(schema.audit.c.entry == entry)).one()  # type: ignore[attr-defined]
        return audit._entry(row, journal.vault)

    return journal.read(entry_of)


def test_a_lane_takes_payments_work_numbers_and_pause_along(journal: Journal) -> None:
    epoch = journal.do(lambda tx: take_lane(tx, LANE, "n1", 1_000))
    assert epoch == 1
    row = journal.admit(order("AP-1")).row
    journal.send(row)
    drawn = journal.do(lambda tx: draw_serials(tx, "sample", 3))
    journal.do(lambda tx: lane_pauses.say(tx, LANE, ACTOR, paused=True, detail={}))
    journal.hands.task.advance(2)
    said = rename_lane(journal)
    assert said.open_payments == 1 and said.rows["payments"] == 1 and said.rows["work"] >= 1
    moved = journal.read(lambda conn: lookup.find_by_reference(conn, NEW, row.bank_ref))
    assert moved is not None and moved.payment == row.payment
    assert journal.read(lambda conn: lookup.find_by_reference(conn, LANE, row.bank_ref)) is None
    assert journal.read(lambda conn: work.all_open(conn, LANE)) == []
    assert [one.payment for one in journal.read(lambda conn: work.all_open(conn, NEW))] == [row.payment]
    assert journal.read(lambda conn: lane_pauses.said(conn, [NEW]))[NEW].paused
    # A payment that the old name's last owner left in `sending` is found by the new name's next owner.
    again = journal.do(lambda tx: lane_leases.acquire(tx, NEW, "n1", 1_000))
    assert again is not None and again.epoch == 3
    recovered = journal.do(lambda tx: take_over.recover(tx, NEW, 3, "n1"))
    assert [one.row_after.life.state for one in recovered if one.row_after] == [State.IN_DOUBT]
    assert journal.do(lambda tx: draw_serials(tx, "sample", 1)).start >= drawn.stop
    entry = told(journal, "lane.renamed")
    assert (entry.actor, entry.object_id, entry.detail["old"], entry.detail["reason"]) == (ACTOR, NEW, LANE, "new name")
    assert journal.read(lambda conn: audit.verify(conn, journal.vault)) == []


def test_a_node_with_the_old_settings_can_neither_write_nor_take_the_lane(journal: Journal) -> None:
    journal.do(lambda tx: take_lane(tx, LANE, "n1", 1_000))
    row = journal.admit(order("AP-1")).row
    journal.hands.task.advance(2)
    rename_lane(journal)
    assert journal.send(replace(row, lane=NEW)).conflict
    assert not journal.do(lambda tx: lane_leases.renew(tx, LANE, "n1", 1, 1_000))
    with pytest.raises(lane_leases.LaneRenamed, match=f"{LANE} was renamed to {NEW}"):
        journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n1", 1_000))


def test_old_names_lead_to_the_present_one_over_several_renames_and_back(journal: Journal) -> None:
    journal.do(lambda tx: take_lane(tx, LANE, "n1", 1))
    journal.hands.task.advance(2)
    rename_lane(journal)
    rename_lane(journal, NEW, "sample.third")
    assert journal.read(lane_names.current_lanes) == {LANE: "sample.third", NEW: "sample.third"}
    assert journal.read(lambda conn: lane_names.current_lane(conn, LANE)) == "sample.third"
    assert journal.read(lambda conn: lane_names.current_lane(conn, "sample.fourth")) == "sample.fourth"
    rename_lane(journal, "sample.third", LANE)
    assert journal.read(lane_names.current_lanes) == {NEW: LANE, "sample.third": LANE}
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n1", 1)) is not None


def test_a_name_that_another_lane_had_is_not_given_away(journal: Journal) -> None:
    """The permit log has sends of the first lane under this name, and they would be attributed to the other lane."""
    for name in (LANE, "sample.other"):
        journal.do(partial(take_lane, lane=name, node="n1", ttl_ms=1))
    journal.hands.task.advance(2)
    rename_lane(journal)
    with pytest.raises(
        NotRenamed, match=f"{LANE} was the name of lane {NEW}.*choose a name that no other lane has had"
    ):
        rename_lane(journal, "sample.other", LANE)
    assert journal.read(lane_names.current_lanes) == {LANE: NEW}


def test_a_lane_that_was_used_under_both_names_becomes_one_unless_references_meet(journal: Journal) -> None:
    journal.do(lambda tx: take_lane(tx, LANE, "n1", 1))
    first = journal.admit(order("AP-1")).row
    journal.do(lambda tx: take_lane(tx, NEW, "n1", 1))
    second = journal.admit(order("AP-2"), lane=NEW, form=ReferenceForm(prefix="X")).row
    journal.do(lambda tx: take_lane(tx, "sample.other", "n1", 1))
    third = journal.admit(order("AP-3"), lane="sample.other").row
    journal.hands.task.advance(2)
    with journal.stranger() as conn:
        # A row of the versions before, whose references were unique on one lane only.
        conn.execute(
            update(schema.payments)
            .where(schema.payments.c.payment == third.payment)
            .values(bank_ref=first.bank_ref, ref_bank=None)
        )
    journal.own_up()
    with pytest.raises(NotRenamed, match="used the same references"):
        rename_lane(journal, "sample.other", LANE)
    assert rename_lane(journal).rows["payments"] == 1
    both = [journal.read(partial(lookup.find_by_reference, lane=NEW, bank_ref=one.bank_ref)) for one in (first, second)]
    assert [one.order.id for one in both if one] == ["AP-1", "AP-2"]
    assert journal.do(lambda tx: lane_leases.acquire(tx, NEW, "n1", 1)) == lane_leases.NewLease(3, orphaned=False)


def test_a_rename_is_refused_while_a_daemon_may_run(journal: Journal) -> None:
    journal.do(lambda tx: take_lane(tx, LANE, "n2", 15_000))
    with pytest.raises(NotRenamed, match=f"node n2 has lane {LANE}: stop that daemon"):
        rename_lane(journal)
    journal.hands.task.advance(20)
    other = Journal(journal.url, "n2", hands=journal.hands)
    other.do(lambda _tx: None)

    def refuse(conn: object) -> None:
        renames.refuse_while_running(conn, journal.hands.now_ms(), "n1")  # type: ignore[arg-type]

    with pytest.raises(NotRenamed, match="node n2 wrote to the journal within 15 s"):
        journal.read(refuse)
    journal.do(lambda tx: take_lane(tx, LANE, "n3", 60_000))
    journal.hands.task.advance(16)
    with pytest.raises(NotRenamed, match=rf"node n3 has lane {LANE}.*wait 44 s"):
        journal.read(refuse)
    journal.hands.task.advance(60)
    journal.read(refuse)
    other.close()


def test_what_cannot_be_renamed_is_told(journal: Journal) -> None:
    journal.do(lambda tx: take_lane(tx, LANE, "n1", 1))
    with pytest.raises(NotRenamed, match=f"no lane sample.nowhere; it has {LANE}"):
        rename_lane(journal, "sample.nowhere")
    with pytest.raises(NotRenamed, match="two banks"):
        rename_lane(journal, LANE, "pab.main")
    with pytest.raises(NotRenamed, match="called sample.main already"):
        rename_lane(journal, LANE, LANE)
    with pytest.raises(NotRenamed, match="no order of a sender nobody"):
        rename_sender(journal, "nobody")


def test_a_sender_keeps_the_identity_of_its_orders(journal: Journal) -> None:
    first = journal.admit(order("AP-1"))
    said = rename_sender(journal)
    assert said.rows["payments"] == 1 and said.open_payments == 1
    again = journal.admit(order("AP-1"), sender="kingdee")
    assert (
        again.kind is payments_admission.Admittance.REPLAYED
        and again.row.payment == first.row.payment
        and again.row.sender == "kingdee"
    )
    assert journal.count(schema.payments) == 1
    entry = told(journal, "sender.renamed")
    assert (entry.object_id, entry.detail["old"]) == ("kingdee", "erp")


def test_a_sender_keeps_the_sums_of_its_day_and_its_payees(journal: Journal) -> None:
    journal.admit(order("AP-1", minor=500))
    journal.admit(order("AP-2", minor=70), sender="kingdee")
    rename_sender(journal)

    def facts(sender: str) -> UsageFacts:
        def usage_of(tx: Tx) -> UsageFacts:
            asked = admission(order("AP-3"))
            found = OrderClaim(tx, sender, asked.order, asked.day, None, 0).usage_facts()
            assert isinstance(found, UsageFacts)
            return found

        return journal.do(usage_of)

    assert (facts("kingdee").day_minor, facts("kingdee").account_day_minor) == (570, 570)
    assert facts("erp").day_minor == 0
    with journal.stranger() as conn:
        conn.execute(
            insert(schema.payees),
            [{"sender": "kingdee", "payee": "p", "first_ms": 2}, {"sender": "ufida", "payee": "p", "first_ms": 1}],
        )
    rename_sender(journal, "ufida", "kingdee")
    kept = journal.read(lambda conn: conn.execute(select(schema.payees).where(schema.payees.c.payee == "p")).all())
    assert [(row.sender, row.first_ms) for row in kept] == [("kingdee", 1)]


def test_two_senders_with_one_id_do_not_become_one(journal: Journal) -> None:
    journal.admit(order("AP-1"))
    journal.admit(order("AP-1"), sender="kingdee")
    with pytest.raises(NotRenamed, match="both have orders with the ids AP-1"):
        rename_sender(journal)
    assert journal.read(lambda conn: lookup.find(conn, "erp", "AP-1")) is not None


def test_broker_users_follow_their_sender(journal: Journal) -> None:
    journal.do(lambda tx: renames.note_users(tx, {"u1": "erp", "u2": "other"}))
    journal.do(lambda tx: renames.note_users(tx, {"u3": "erp"}))
    journal.admit(order("AP-1"))
    rename_sender(journal)
    assert journal.read(renames.users) == {"u1": "kingdee", "u2": "other", "u3": "kingdee"}


def test_every_table_with_a_name_follows() -> None:
    """A new table with a lane or a sender is renamed with the others. One with its own rules is listed here."""
    names = {
        column: {table.name for table in schema.metadata.sorted_tables if column in table.c}
        for column in ("lane", "sender")
    }
    assert names["lane"] >= {"payments", "work", "lanes", "batches", "bundles", "past_cleared", "lane_renames"}
    assert names["sender"] >= {"payments", "batches", "refusals", "questions", "usage_counts", "payees"}
    sealed_with_sender = {"batches", "payees_registered"}
    # These are sealed with the key of their entry, or of their book.
    sealed_without = {"credit_claims", "ledgers"}
    for table in schema.metadata.sorted_tables:
        if "sender" in table.primary_key.columns and any(column.name == "body" for column in table.c):
            assert table.name in sealed_with_sender | sealed_without, (
                f"{table.name} may be sealed with its sender's name: see renames"
            )


def test_what_is_sealed_with_a_name_holds_under_the_new_one(journal: Journal) -> None:
    """A payee that two persons registered stays registered, and a lane that they released stays released."""
    one = order("AP-1")
    journal.do(lambda tx: payees.register(tx, "kingdee", one, "P1"))
    journal.do(lambda tx: payees.move_sender(tx, "kingdee", "kingdee2"))
    assert not journal.read(lambda conn: payees.is_registered(conn, "kingdee", one))
    assert journal.read(lambda conn: payees.is_registered(conn, "kingdee2", one))
    journal.do(lambda tx: restored_database.clear(tx, "sample.old", "episode", "P2"))
    assert journal.do(lambda tx: restored_database.move_lane(tx, "sample.old", "sample.new")) == 1
    # It was cleared already, by the seal that was made for the new name.
    assert not journal.do(lambda tx: restored_database.clear(tx, "sample.new", "episode", "P3"))
    assert journal.do(lambda tx: restored_database.clear(tx, "sample.old", "episode", "P4"))


def _put_in_force(text: str, tx: Tx) -> None:
    approval_policies.put_in_force(tx, text, "p")


def test_a_sender_that_has_bands_of_its_own_keeps_its_name(journal: Journal) -> None:
    """Under another name its orders would follow the bands of all senders, so a rename would loosen the policy."""
    journal.admit(order("AP-1"))
    for text in ("CNY 0.. 1; CNY 0.. 2 sender=erp", "CNY 0.. 1; CNY 0.. 2 sender=kingdee"):
        journal.do(partial(_put_in_force, text))
        if "erp" in text:
            with pytest.raises(NotRenamed, match="has bands for sender=erp"):
                rename_sender(journal)
    assert rename_sender(journal).open_payments == 1
