"""Batches and bundles in the journal, on every database: all or nothing, items counted down, one event at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Executable, Table, delete, select, update

from gateway.kernel.cluster import renames
from gateway.kernel.commit import batch_counts, payment_rows
from gateway.kernel.commit.rows import AttemptRow, PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import PASS, Refuse, RuleVerdict
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.core.states import Answered, Cancel, NotSent, Resolve, Send, Silent, Source
from gateway.kernel.sql import driver, schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault
from gateway.payments.rows import batch_rows, batches, bundles, take_over
from gateway.payments.rows import transition as applying
from gateway.payments.rows.batch_rows import BatchRow
from gateway.payments.rows.batches import BatchAdmission, NewBatch
from gateway.payments.rows.bundles import BundleSend
from gateway.receipts.rows import receipts
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import BatchItemDetail, Kind, Order
from protocols.canon.outcome import Fate, State
from protocols.canon.statement import Receipt
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, Judged, admission, order, take_lane

FORM = ReferenceForm(20)


def released(_facts: UsageFacts) -> RuleVerdict:
    return PASS


def batch(
    minors: tuple[int, ...] = (100, 200),
    *,
    whole: bool = True,
    fingerprint: str = "v1:b",
    id_: str = "B",
    judged: Callable[[int], Judged] = lambda _n: released,
    later_ms: Callable[[int], int] = lambda _n: 0,
) -> BatchAdmission:
    items = []
    for n, minor in enumerate(minors, 1):
        one: Order[Any] = order(f"{id_}-{n}", minor=minor)
        made = admission(replace(one, detail=BatchItemDetail(id_, n)), judged=judged(n))
        terms = replace(made.terms, send_after_ms=NOW_MS + later_ms(n))
        items.append(replace(made, batch=id_, item_no=n, terms=terms, reply=Reply(None, "c-1")))
    return BatchAdmission(
        sender=items[0].sender,
        bank=items[0].bank,
        lane=items[0].lane,
        batch=id_,
        kind=Kind.BATCH_ITEM,
        fingerprint=fingerprint,
        total=Money(sum(minors)),
        items=tuple(items),
        whole=whole,
        reply=Reply("q", "c-1"),
        actor="user:erp",
        tags={"run": "1"},
    )


def taken(journal: Journal, asked: BatchAdmission) -> NewBatch:
    made = journal.do(lambda tx: batches.admit(tx, asked, tx.entropy))
    assert isinstance(made, NewBatch), made
    return made


def row_of(journal: Journal, id_: str = "B") -> BatchRow:
    found = journal.read(lambda conn: batch_rows.find(conn, admission().sender, id_))
    assert found is not None
    return found


def befall(journal: Journal, row: PaymentRow, event: Any, **more: Any) -> PaymentRow:
    applied = journal.do(lambda tx: applying.apply(tx, row.payment, event, epoch=None, actor="test", **more))
    assert applied.row_after is not None
    return applied.row_after


def test_a_batch_is_written_with_its_items_and_found_again(journal: Journal) -> None:
    made = taken(journal, batch((100, 200, 300)))
    found = row_of(journal)
    assert found == made.row and (found.open_items, found.seq, found.total) == (3, 1, Money(600))
    assert found.tags == {"run": "1"} and found.reply == Reply("q", "c-1")
    items = journal.read(lambda conn: batch_rows.items(conn, found.sender, "B"))
    assert [(one.order.id, one.item_no, one.life.state) for one in items] == [
        ("B-1", 1, State.READY),
        ("B-2", 2, State.READY),
        ("B-3", 3, State.READY),
    ]


def test_the_same_again_is_known_and_another_is_a_conflict(journal: Journal) -> None:
    taken(journal, batch())
    again = journal.do(lambda tx: batches.admit(tx, batch(), tx.entropy))
    assert isinstance(again, BatchRow)
    other = journal.do(lambda tx: batches.admit(tx, batch(fingerprint="v1:c"), tx.entropy))
    assert isinstance(other, Refusal) and other.code is Code.ID_CONFLICT
    assert journal.count(schema.payments) == 2


def test_two_of_one_id_in_one_group_are_one(journal: Journal) -> None:
    first, second = journal.group([lambda tx: batches.admit(tx, batch(), tx.entropy)] * 2)
    assert isinstance(first, NewBatch) and isinstance(second, BatchRow)
    assert journal.count(schema.payments) == 2


def test_an_order_takes_no_batchs_id_and_a_batch_no_orders(journal: Journal) -> None:
    taken(journal, batch())
    assert journal.admit(order("B")).kind.value == "conflict"
    journal.admit(order("C"))
    no = journal.do(lambda tx: batches.admit(tx, batch(id_="C"), tx.entropy))
    assert isinstance(no, Refusal) and no.code is Code.ID_CONFLICT
    journal.admit(order("D-2"))
    items = journal.do(lambda tx: batches.admit(tx, batch(id_="D"), tx.entropy))
    assert isinstance(items, Refusal) and [fault.at for fault in items.faults] == ["/items/1/id"]
    assert journal.read(lambda conn: batch_rows.items(conn, admission().sender, "D")) == ()


def no(n: int) -> Judged:
    fault = Fault("/amount", FieldCode.OVER_LIMIT, "too much")
    return lambda facts: Refuse(Code.VALIDATION, faults=(fault,)) if n == 2 else released(facts)


def rows(journal: Journal, table: Table) -> list[Any]:
    return journal.read(lambda conn: list(conn.execute(select(table))))


def sums(journal: Journal) -> list[int]:
    return sorted(row.sum_minor for row in rows(journal, schema.usage))


def test_one_item_refuses_all_and_nothing_is_claimed(journal: Journal) -> None:
    refusal = journal.do(lambda tx: batches.admit(tx, batch((100, 200, 300), judged=no), tx.entropy))
    assert isinstance(refusal, Refusal) and [fault.at for fault in refusal.faults] == ["/items/1/amount"]
    assert journal.count(schema.payments) == 0 and journal.count(schema.batches) == 0
    assert set(sums(journal)) <= {0}, "the limits of the day are as they were"


def test_or_only_itself(journal: Journal) -> None:
    made = taken(journal, batch((100, 200, 300), judged=no, whole=False))
    assert [one.life.state for one in made.items] == [State.READY, State.REJECTED, State.READY]
    assert made.row.open_items == 2
    assert set(sums(journal)) == {400}, "what was refused uses no limit up"


def test_items_are_judged_with_those_before_them(journal: Journal) -> None:
    seen: list[int] = []

    def judge_of(n: int) -> Judged:
        def judge(facts: UsageFacts) -> RuleVerdict:
            seen.append(facts.day_minor)
            return released(facts)

        return judge

    taken(journal, batch((100, 200, 300), judged=judge_of))
    assert seen[-3:] == [0, 100, 300]


def completions(journal: Journal) -> list[str]:
    messages = rows(journal, schema.outbox)
    return [row.routing_key for row in messages if json.loads(row.headers)["type"] == "batch.completed"]


def test_the_end_is_told_in_the_unit_that_brings_it_and_again_when_an_item_changes(journal: Journal) -> None:
    made = taken(journal, batch())
    first, second = made.items
    befall(journal, first, Cancel(NOW_MS))
    assert completions(journal) == [] and row_of(journal).open_items == 1
    befall(journal, second, Cancel(NOW_MS))
    assert completions(journal) == ["batch.completed.sample.erp"]
    assert (row_of(journal).open_items, row_of(journal).seq) == (0, 2)
    befall(journal, second, Cancel(NOW_MS))
    assert len(completions(journal)) == 1, "nothing changed"


def test_a_group_that_fails_leaves_the_count_as_it_was(journal: Journal) -> None:
    made = taken(journal, batch())

    def fails(tx: Tx) -> None:
        for row in made.items:
            applying.apply(tx, row.payment, Cancel(NOW_MS), epoch=None, actor="test")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        journal.do(fails)
    assert (row_of(journal).open_items, row_of(journal).seq) == (2, 1) and not completions(journal)


def test_all_in_one_unit_is_told_once(journal: Journal) -> None:
    made = taken(journal, batch((100, 200, 300)))

    def cancel_items(tx: Tx) -> None:
        for row in made.items:
            applying.apply(tx, row.payment, Cancel(NOW_MS), epoch=None, actor="test")

    journal.do(cancel_items)
    assert len(completions(journal)) == 1 and row_of(journal).seq == 2


# ---- bundles ----


def allot(journal: Journal, row: PaymentRow, most: int = 10, epoch: int = 1) -> Any:
    return journal.do(lambda tx: bundles.allot(tx, row.payment, most, FORM, epoch))


def send(journal: Journal, found: Any, epoch: int = 1) -> None:
    bundle, members = found

    def send_bundle(tx: Tx) -> None:
        bundles.sending(tx, bundle, members, BundleSend("2026-11-24", ("7",), "business", b"all of them"))
        for row in members:
            attempt = AttemptRow(
                row.payment,
                row.life.attempt + 1,
                epoch,
                "n",
                "2026-11-24",
                ("7",),
                "business",
                b"",
                None,
                NOW_MS,
                "never",
            )
            applying.apply(tx, row.payment, Send(NOW_MS), epoch=epoch, actor="lane", attempt=attempt)

    journal.do(send_bundle)


@pytest.fixture
def leased(journal: Journal) -> Journal:
    assert journal.do(lambda tx: take_lane(tx, LANE, "n", 60_000)) == 1
    return journal


def test_a_bundle_takes_what_is_ready_up_to_its_size(leased: Journal) -> None:
    made = taken(leased, batch((1, 2, 3, 4, 5)))
    befall(leased, made.items[1], Cancel(NOW_MS))
    bundle, members = allot(leased, made.items[0], 3)
    assert [row.item_no for row in members] == [1, 3, 4] and len(bundle.bank_ref) == 20 and not bundle.spent
    again, same = allot(leased, made.items[2], 3)
    assert again.bundle == bundle.bundle and [row.item_no for row in same] == [1, 3, 4]
    other, rest = allot(leased, made.items[4], 3)
    assert other.bank_ref != bundle.bank_ref and [row.item_no for row in rest] == [5]


def test_a_bundle_passes_over_what_may_not_leave_yet_however_much_that_is(leased: Journal) -> None:
    def later_ms(n: int) -> int:
        return 3_600_000 if 2 <= n <= 7 else 0

    made = taken(leased, batch(tuple(range(1, 10)), later_ms=later_ms))
    _bundle, members = allot(leased, made.items[8], 2)
    assert [row.item_no for row in members] == [1, 9], "the one that is due, and the first that may go with it"
    _bundle, rest = allot(leased, made.items[7], 2)
    assert [row.item_no for row in rest] == [8]


@pytest.mark.parametrize("known", [True, False])
def test_a_bundle_costs_at_most_one_read_of_each_of_its_orders(
    leased: Journal, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    made = taken(leased, batch(tuple(range(1, 31))))
    if not known:
        leased.do(lambda tx: tx.fresh)
    reads: list[str] = []

    def counted(found: Any, vault: Vault) -> PaymentRow:
        row = real(found, vault)
        reads.append(row.payment)
        return row

    real = payment_rows.decode_row
    monkeypatch.setattr(payment_rows, "decode_row", counted)
    found = allot(leased, made.items[0], 10)
    most = 1 if known else 1 + 11
    assert len(reads) <= most, "the one that is due; of others that the writer knows it asks for the version alone"
    reads.clear()
    send(leased, found)
    if known:
        assert set(reads) <= {made.items[0].payment}, "the writer still knows the others from their admission"


def test_an_order_without_a_batch_travels_alone(leased: Journal) -> None:
    _bundle, members = allot(leased, leased.admit().row)
    assert len(members) == 1


def test_whoever_is_not_ready_or_of_an_older_owner_gets_none(leased: Journal) -> None:
    made = taken(leased, batch())
    assert allot(leased, made.items[0], epoch=0) is None
    befall(leased, made.items[0], Cancel(NOW_MS))
    assert allot(leased, made.items[0]) is None


def test_bytes_and_answer_are_kept_once_and_the_bundle_is_spent(leased: Journal) -> None:
    made = taken(leased, batch())
    found = allot(leased, made.items[0])
    send(leased, found)
    leased.do(lambda tx: bundles.answered(tx, found[0].bundle, b"their word"))
    carried = leased.read(lambda conn: bundles.of_payment(conn, made.items[1].payment))
    assert carried is not None
    bundle, members = carried
    assert (bundle.spent, bundle.attempt, bundle.wire, bundle.serials) == (True, 1, b"all of them", ("7",))
    assert [row.life.state for row in members] == [State.SENDING] * 2
    assert leased.read(lambda conn: bundles.answer_of(conn, bundle.bundle)) == b"their word"
    sealed = rows(leased, schema.bundles)[0]
    assert b"all of them" not in sealed.wire and b"their word" not in sealed.answer


def test_unsent_it_is_sent_with_the_same_reference_without_those_that_left(leased: Journal) -> None:
    made = taken(leased, batch((1, 2, 3)))
    found = allot(leased, made.items[0])
    send(leased, found)

    def record_unsent(tx: Tx) -> None:
        bundles.unsent(tx, found[0].bundle)
        for row in made.items:
            applying.apply(tx, row.payment, NotSent(NOW_MS, "x", NOW_MS), epoch=1, actor="lane")

    leased.do(record_unsent)
    befall(leased, made.items[1], Cancel(NOW_MS))
    bundle, members = allot(leased, made.items[2])
    assert (bundle.bank_ref, bundle.attempt) == (found[0].bank_ref, 1) and [row.item_no for row in members] == [1, 3]
    send(leased, (bundle, members))
    carried = leased.read(lambda conn: bundles.of_payment(conn, made.items[0].payment))
    assert carried is not None
    assert [row.item_no for row in carried[1]] == [1, 3], "it holds those that its bytes name"


def test_what_has_left_once_is_in_no_other_bundle(leased: Journal) -> None:
    made = taken(leased, batch((1, 2, 3)))
    bundle, _members = found = allot(leased, made.items[0], 2)
    send(leased, found)
    befall(leased, made.items[1], Silent(NOW_MS, "no_answer"))
    befall(leased, made.items[1], Resolve(NOW_MS, None))
    assert allot(leased, made.items[1]) is None
    other, rest = allot(leased, made.items[2])
    assert other.bundle != bundle.bundle and [row.item_no for row in rest] == [3]
    carried = leased.read(lambda conn: bundles.of_payment(conn, made.items[1].payment))
    assert carried is not None and carried[0].bundle == bundle.bundle
    assert leased.read(lambda conn: bundles.has_left(conn, made.items[1].payment))
    assert not leased.read(lambda conn: bundles.has_left(conn, made.items[2].payment)), "allotted, not sent"


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (schema.bundles, {"kind": "payroll_item"}),
        (schema.bundles, {"spent": 2}),
        (schema.bundles, {"bank_date": "2026-11-23"}),
        (schema.bundle_items, {"place": 7}),
        (schema.bundle_items, None),
        (schema.bundles, None),
        (schema.bundles, {"seal": None}),
    ],
)
def test_a_bundle_that_sql_altered_is_neither_asked_about_nor_sent(
    leased: Journal, table: Table, values: dict[str, Any] | None
) -> None:
    made = taken(leased, batch((1, 2, 3)))
    send(leased, allot(leased, made.items[0], 2))
    allot(leased, made.items[2])
    with leased.stranger() as conn:
        conn.execute(delete(table) if values is None else update(table).values(**values))
    for asked in (bundles.of_payment, bundles.has_left, bundles.reference_of):
        with pytest.raises(SealBroken, match="table bundle"):
            leased.read(partial(asked, payment=made.items[0].payment))
    if values is not None:
        with pytest.raises(SealBroken, match="table bundle"):
            allot(leased, made.items[2])


def test_a_new_owner_doubts_every_order_of_a_bundle(leased: Journal) -> None:
    made = taken(leased, batch((1, 2, 3)))
    send(leased, allot(leased, made.items[0]))
    leased.do(lambda tx: take_lane(tx, LANE, "n", 60_000))
    doubted = leased.do(lambda tx: take_over.recover(tx, LANE, 2, "n"))
    assert [one.row_after.life.state for one in doubted if one.row_after is not None] == [State.IN_DOUBT] * 3


def test_the_last_word_completes_the_batch_in_its_own_unit(leased: Journal) -> None:
    made = taken(leased, batch())
    send(leased, allot(leased, made.items[0]))

    def answer_items(tx: Tx) -> None:
        for row, fate in zip(made.items, (Fate.SETTLED, Fate.FAILED), strict=True):
            event = Answered(NOW_MS, fate, Source.SUBMIT)
            applying.apply(tx, row.payment, event, epoch=1, actor="lane")

    leased.do(answer_items)
    assert completions(leased) == ["batch.completed.sample.erp"]


# ---- receipts ----


def test_the_items_of_one_answer_are_counted_by_two_statements(
    leased: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, deltas = taken(leased, batch((1, 2, 3, 4, 5))), []
    found = allot(leased, made.items[0], 4)
    send(leased, found)
    real = driver.run_write

    def counted(conn: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
        deltas.append(values["b_delta"])
        return real(conn, statement, values)

    monkeypatch.setattr(batch_counts, "run_write", counted)

    def settle_members(tx: Tx) -> None:
        for row in found[1]:
            answered = Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT, attempt=1)
            applying.apply(tx, row.payment, answered, epoch=1, actor="lane")

    leased.do(settle_members)
    assert deltas == [-1, -3] and row_of(leased).open_items == 1 and not completions(leased)


def test_tickets_and_files_are_sealed_and_end(journal: Journal) -> None:
    journal.do(lambda tx: receipts.later(tx, "q", "ticket-1", 5))
    journal.do(lambda tx: receipts.later(tx, "q", "ticket-2", 6))
    assert journal.read(lambda conn: receipts.ticket_of(conn, "q")) == ("ticket-2", 6)
    assert b"ticket-2" not in rows(journal, schema.tickets)[0].ticket
    journal.do(lambda tx: receipts.forget(tx, "q"))
    assert journal.read(lambda conn: receipts.ticket_of(conn, "q")) is None
    file = Receipt(b"bytes" * 100_000, "application/pdf", "name.pdf")
    for _ in range(2):
        journal.do(lambda tx: receipts.keep(tx, "k", file))
    assert journal.read(lambda conn: receipts.kept(conn, "k", NOW_MS)) == file
    assert journal.read(lambda conn: receipts.kept(conn, "k", NOW_MS + receipts.KEPT_MS * 2)) is None
    assert b"name.pdf" not in rows(journal, schema.receipts)[0].name


def test_a_batch_of_a_renamed_sender_is_known_again_and_still_completes(journal: Journal) -> None:
    made = taken(journal, batch())
    journal.do(lambda tx: renames.rename_sender(tx, "erp", "kingdee", "uid:root", "x"))
    assert journal.read(lambda conn: batch_rows.find(conn, "erp", "B")) is None
    again = replace(batch(), sender="kingdee")
    known = journal.do(lambda tx: batches.admit(tx, again, tx.entropy))
    assert isinstance(known, BatchRow) and known.tags == {"run": "1"}
    for row in made.items:
        befall(journal, row, Cancel(NOW_MS))
    after = journal.read(lambda conn: batch_rows.find(conn, "kingdee", "B"))
    assert after is not None and after.open_items == 0
