"""Many orders in one message: each gets its own result, whatever happens to the message."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.commit import attempts
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.core.states import Resolve, Work
from gateway.payments.rows import bundles, lookup
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from protocols.canon.outcome import Fate
from tests.gateway.bank.test_enquiry import OneReturnEach, asking, back, unreadable
from tests.world import files
from tests.world.batching import SENDER, alone, batch, completed, moved, narrow, states
from tests.world.crashes import cutting, settle
from tests.world.points import KillAt
from tests.world.world import World


def world(folder: Path, *faults: ScriptedFault, **more: Any) -> World:
    made = World(folder, plan=FaultScript(faults), sender=SENDER, **{"spans": {"enquiry_deadline_s": 3_600.0}, **more})
    made.start()
    made.run(3)
    return made


def submit(made: World, id_: str, minors: list[int], **head: Any) -> None:
    kind = head.pop("kind", "batch")
    made.command(f"{kind}.submit", batch(made, id_, minors, kind=kind, **head))


def test_identical_items_travel_in_one_message_and_each_gets_its_own_result(tmp_path: Path) -> None:
    made = world(tmp_path)
    submit(made, "B-1", [10_000] * 5)
    made.run(5)
    assert states(made, "B-1") == ["settled"] * 5
    executions = made.bank.ledger.executions
    assert len(executions) == 5 and len({one.instruction.bundle for one in executions}) == 1
    serials = [made.last(f"B-1-{n}")["bank_serial"] for n in range(1, 6)]
    assert serials == [one.bank_serial for one in executions], "each has the result of its own line"
    assert completed(made, "B-1") == [(2, {"settled": 5})]
    assert all(made.told(f"B-1-{n}") == ["payment.accepted", "payment.settled"] for n in range(1, 6))
    assert {made.last(f"B-1-{n}")["item_no"] for n in range(1, 6)} == {1, 2, 3, 4, 5}
    assert {made.last(f"B-1-{n}")["batch"] for n in range(1, 6)} == {"B-1"}


def test_the_message_is_kept_once_and_nothing_leaves_before_it_is(tmp_path: Path) -> None:
    made = world(tmp_path)
    submit(made, "B-1", [10_000, 20_000])
    made.run(5)

    def bundle_of_second(conn: Any) -> Any:
        row = lookup.find(conn, "kingdee", "B-1-2")
        assert row is not None
        found = bundles.of_payment(conn, row.payment)
        assert found is not None
        bundle, rows = found
        return (
            bundle,
            [one.order.id for one in rows],
            attempts.last(conn, row.payment),
            bundles.answer_of(conn, bundle.bundle),
        )

    bundle, ids, attempt, answer = made.read(bundle_of_second)
    assert ids == ["B-1-1", "B-1-2"] and bundle.spent and bundle.attempt == 1
    assert b"<Operation>PayBatch</Operation>" in bundle.wire and attempt.wire == b""
    assert attempt.serials == bundle.serials and b"BatchItem" not in answer and b"<Result>" in answer
    references = {permit.ref.partition("/")[2] for permit in made.permits.written}
    assert len(references) == 2, "every order has its permit"
    assert made.bank.ledger.executions[0].instruction.bundle == bundle.bank_ref


def test_partial_success(tmp_path: Path) -> None:
    made = world(tmp_path, conduct=BookingRules(late_s=20))
    body = batch(made, "B-1", [10_000, 20_000, 30_000, 40_000])
    body["items"][1]["purpose"] = "#refuse"
    body["items"][2]["purpose"] = "#late"
    made.command("batch.submit", body)
    made.run(5)
    assert states(made, "B-1") == ["settled", "failed", "pending", "settled"]
    assert completed(made, "B-1") == [], "one is still open"
    made.run(60)
    assert states(made, "B-1") == ["settled", "failed", "settled", "settled"]
    [told] = [event for event in made.events if event["event"] == "batch.completed"]
    assert told["states"] == [
        {"state": "settled", "count": 3, "sum": "800.00"},
        {"state": "failed", "count": 1, "sum": "200.00"},
    ]
    assert (told["count"], told["sum"], told["final"]) == (4, "1000.00", True)


@pytest.mark.parametrize("fault", [BankFault.DROP_AFTER, BankFault.HALF, BankFault.GARBAGE, BankFault.WRONG_SIGNATURE])
def test_an_answer_that_cannot_be_used_is_doubt_for_all_and_one_enquiry_clears_it(
    fault: BankFault, tmp_path: Path
) -> None:
    made = world(tmp_path, ScriptedFault(fault, touch=ExchangeKind.MONEY))
    submit(made, "B-1", [10_000] * 20)
    made.run(1)
    assert states(made, "B-1") == ["in_doubt"] * 20
    made.run(30)
    assert states(made, "B-1") == ["settled"] * 20
    assert sorted(moved(made).values()) == [1] * 20
    assert made.bank.simbank.tally.exchanges[ExchangeKind.ENQUIRY] == 1, "all were asked about at once"
    assert made.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1, "a bundle is never sent again"
    assert completed(made, "B-1") == [(2, {"settled": 20})]


def test_an_enquiry_due_while_its_message_is_asked_about_for_another_reason_comes_soon_after(tmp_path: Path) -> None:
    made = world(tmp_path, ScriptedFault(BankFault.DROP_AFTER, touch=ExchangeKind.MONEY))
    submit(made, "B-1", [10_000] * 2)
    made.run(1)
    assert states(made, "B-1") == ["in_doubt"] * 2 and made.life is not None
    row = made.read(lambda conn: lookup.find(conn, "kingdee", "B-1-1"))
    found = made.read(lambda conn: bundles.of_payment(conn, row.payment)) if row is not None else None
    assert found is not None
    under_way = made.life.gateway.lanes["sample.main"].enquiry.bundles.under_way
    under_way[found[0].bundle] = frozenset()  # as during a question about the returns of its settled orders
    made.run(10)
    assert states(made, "B-1") == ["in_doubt"] * 2
    del under_way[found[0].bundle]
    made.run(5)
    assert states(made, "B-1") == ["settled"] * 2


def test_what_one_question_told_is_not_asked_again_for_the_sake_of_those_it_ended(tmp_path: Path) -> None:
    """Several orders of a message were taken up at once, and the answer came before the others had been read."""
    made = world(
        tmp_path, ScriptedFault(BankFault.DROP_AFTER, touch=ExchangeKind.MONEY), conduct=BookingRules(late_s=3_000.0)
    )
    body = batch(made, "B-1", [10_000] * 6)
    for item in body["items"][4:]:
        item["creditor"]["name"] += "#late"
    made.command("batch.submit", body)
    made.run(20)
    life, asked = made.life, made.bank.simbank.tally.exchanges
    assert states(made, "B-1") == ["settled"] * 4 + ["pending"] * 2 and life is not None
    lane = life.gateway.lanes["sample.main"]
    rows = [made.read(partial(lookup.find, sender="kingdee", order_id=f"B-1-{n}")) for n in range(1, 5)]
    before = asked[ExchangeKind.ENQUIRY]
    for row in rows:
        assert row is not None
        lane.work_queue.postpone(row.payment, Work.ENQUIRE, life.clock.now_ms())
        made.run(0.2)
    assert asked[ExchangeKind.ENQUIRY] == before

    stray = rows[0]
    assert stray is not None
    left = WorkRow(stray.payment, Work.ENQUIRE, stray.lane, life.clock.now_ms(), stray.epoch)
    life.store.write(lambda tx: tx.due(left))
    lane.work_queue.postpone(stray.payment, Work.ENQUIRE, life.clock.now_ms())
    made.run(0.2)
    assert {one.work for one in files.due(made, "B-1-1")} == {Work.RETURNS}
    assert asked[ExchangeKind.ENQUIRY] == before


def test_an_unreadable_list_of_returns_does_not_keep_the_message_from_being_asked_about(tmp_path: Path) -> None:
    made = World(
        tmp_path,
        sender=SENDER,
        wrap=asking(unreadable),
        conduct=BookingRules(return_s=600),
        spans={"enquiry_deadline_s": 3_600.0, "returns_every_s": 900.0, "returns_watch_s": 9_000.0},
    )
    made.start()
    made.run(3)
    body = batch(made, "B-1", [10_000] * 2)
    body["items"][1]["creditor"]["name"] += "#return"
    made.command("batch.submit", body)
    made.run(2_000)
    assert states(made, "B-1") == ["settled", "returned"]


@pytest.mark.parametrize(("named", "ends"), [(True, ["settled", "returned"]), (False, ["settled", "settled"])])
def test_a_return_under_the_message_s_own_reference_makes_it_asked_about(
    named: bool, ends: list[str], tmp_path: Path
) -> None:
    """The bank says that money of the message came back, but not of which order, so the gateway asks about each
    order."""
    returns = OneReturnEach()
    made = World(
        tmp_path,
        sender=SENDER,
        wrap=asking(returns),
        conduct=BookingRules(return_s=600),
        spans={"enquiry_deadline_s": 3_600.0, "returns_every_s": 900.0, "returns_watch_s": 9_000.0},
    )
    made.start()
    made.run(3)
    body = batch(made, "B-1", [10_000] * 2)
    body["items"][1]["creditor"]["name"] += "#return"
    made.command("batch.submit", body)
    made.run(30)
    carried = made.read(lambda conn: bundles.of_payment(conn, made.last("B-1-1")["payment"]))
    assert carried is not None
    returns.pages = [(back(carried[0].bank_ref if named else "OTHER", 20_000),)]
    made.run(2_000)
    assert states(made, "B-1") == ends


def test_a_bank_that_drops_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    made = world(tmp_path, ScriptedFault(BankFault.PART))
    submit(made, "B-1", [10_000] * 5)
    made.run(120)
    assert states(made, "B-1") == ["settled"] * 3 + ["in_doubt"] * 2
    assert completed(made, "B-1") == [] and len(made.bank.ledger.executions) == 3
    for n in (4, 5):
        made.befall(f"B-1-{n}", Resolve(0, Fate.FAILED))
    made.run(5)
    assert completed(made, "B-1") == [(2, {"settled": 3, "failed": 2})]
    assert made.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1


def test_an_item_is_never_torn_out_of_the_message_that_carried_it(tmp_path: Path) -> None:
    """The order became ready again. If it were sent in another message, questions about the first message would not
    cover it any more."""
    made = world(tmp_path, ScriptedFault(BankFault.PART))
    submit(made, "B-1", [10_000] * 4)
    made.run(60)
    assert states(made, "B-1") == ["settled", "settled", "in_doubt", "in_doubt"]
    made.befall("B-1-4", Resolve(0, None))
    made.run(600)
    assert states(made, "B-1") == ["settled", "settled", "in_doubt", "escalated"]
    assert made.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and len(moved(made)) == 2
    carried = made.read(lambda conn: bundles.of_payment(conn, made.last("B-1-1")["payment"]))
    assert carried is not None and [row.item_no for row in carried[1]] == [1, 2, 3, 4]


def test_a_connection_lost_between_commit_and_write_is_proof_that_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(tmp_path)
    life = made.life
    assert life is not None
    write_permits = made.permits.append_permits

    def drop_all(some: Any) -> None:
        write_permits(some)
        if some and len(made.permits.written) == 3:
            for pipe in life.pipes:
                if pipe.open:
                    assert pipe.protocol is not None
                    pipe.protocol.live = False  # type: ignore[attr-defined]
                    pipe.abortConnection()

    monkeypatch.setattr(made.permits, "append_permits", drop_all)
    submit(made, "B-1", [10_000] * 3)
    made.run(20)
    assert files.rules(made, "B-1-2") == ["admitted", "send", "not_sent", "send", "sent_settled"]
    assert states(made, "B-1") == ["settled"] * 3 and sorted(moved(made).values()) == [1] * 3
    bundle = made.read(lambda conn: bundles.of_payment(conn, made.last("B-1-1")["payment"]))
    assert bundle is not None and bundle[0].attempt == 2, "the same message with the same reference"


def test_a_lane_that_is_paused_between_commit_and_write_lets_nothing_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(tmp_path)
    life = made.life
    assert life is not None
    lane, write_permits = life.gateway.lanes["sample.main"], made.permits.append_permits

    def pause(some: Any) -> None:
        write_permits(some)
        if some and len(made.permits.written) == 3:
            lane.pause("operator")

    monkeypatch.setattr(made.permits, "append_permits", pause)
    submit(made, "B-1", [10_000] * 3)
    made.run(20)
    assert files.rules(made, "B-1-2") == ["admitted", "send", "not_sent"] and not moved(made)
    assert life.sample("bankgw_permits_refused_total", bank="sample") == 1
    lane.resume("operator")
    made.run(10)
    assert states(made, "B-1") == ["settled"] * 3 and sorted(moved(made).values()) == [1] * 3


def test_a_bank_that_is_away_gets_the_batch_later(tmp_path: Path) -> None:
    made = World(tmp_path, sender=SENDER)
    made.bank.reachable = False
    made.start()
    submit(made, "B-1", [10_000] * 3)
    made.run(30)
    assert states(made, "B-1") == ["ready"] * 3
    made.bank.reachable = True
    made.run(60)
    assert states(made, "B-1") == ["settled"] * 3 and len(made.bank.ledger.executions) == 3


def test_no_message_is_larger_than_the_bank_takes(tmp_path: Path) -> None:
    made = world(tmp_path, adapters={"sample": narrow(2)})
    submit(made, "B-1", [10_000] * 5)
    made.run(10)
    assert states(made, "B-1") == ["settled"] * 5
    assert sorted(Counter(one.instruction.bundle for one in made.bank.ledger.executions).values()) == [1, 2, 2]
    assert completed(made, "B-1") == [(2, {"settled": 5})]


def test_a_bank_without_such_messages_gets_each_order_alone(tmp_path: Path) -> None:
    made = world(tmp_path, adapters={"sample": alone})
    submit(made, "B-1", [10_000] * 3)
    made.run(10)
    assert states(made, "B-1") == ["settled"] * 3
    assert {one.instruction.bundle for one in made.bank.ledger.executions} == {""}
    assert completed(made, "B-1") == [(2, {"settled": 3})]


@pytest.mark.parametrize("kind", ["payroll", "collection"])
def test_wages_and_collections(kind: str, tmp_path: Path) -> None:
    made = world(tmp_path)
    submit(made, "B-1", [10_000, 20_000], kind=kind)
    made.run(5)
    assert states(made, "B-1") == ["settled", "settled"]
    holding = made.bank.ledger.holding(made.bank.account)
    assert holding is not None
    assert holding.book.minor - 10**12 == (30_000 if kind == "collection" else -30_000)


def test_money_that_comes_back_completes_the_batch_again(tmp_path: Path) -> None:
    made = world(tmp_path, conduct=BookingRules(return_s=3_600), spans={"returns_every_s": 1_800.0})
    body = batch(made, "B-1", [10_000, 20_000])
    body["items"][1]["purpose"] = "#return"
    made.command("batch.submit", body)
    made.run(7_200)
    assert states(made, "B-1") == ["settled", "returned"]
    assert completed(made, "B-1") == [(2, {"settled": 2}), (3, {"settled": 1, "returned": 1})]


def test_what_is_withdrawn_while_the_message_waits_is_not_in_it(tmp_path: Path) -> None:
    made = world(tmp_path)
    submit(made, "B-1", [10_000, 20_000, 30_000], not_before=made.moment(60))
    made.run(2)
    made.command("payment.cancel", {"id": "B-1-2"})
    made.run(70)
    assert states(made, "B-1") == ["settled", "cancelled", "settled"]
    assert [one.instruction.amount.minor for one in made.bank.ledger.executions] == [10_000, 30_000]


@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_at_any_commit_no_order_is_paid_twice_and_none_is_lost(nth: int, tmp_path: Path) -> None:
    points = KillAt("journal.commit.group.after", 0)
    made = World(tmp_path, sender=SENDER, points=points)
    made.start()
    made.run(3)
    points.nth = points.names["journal.commit.group.after"] + nth
    submit(made, "B-1", [10_000] * 4)
    made.run(20)
    assert settle(made) == []
    if not made.bank.ledger.executions:
        # Killed between the commit and the write: nobody can know whether bytes left, so that persons must look.
        assert set(states(made, "B-1")) <= {"in_doubt", "escalated"} and completed(made, "B-1") == []
        return
    assert states(made, "B-1") == ["settled"] * 4
    assert sorted(moved(made).values()) == [1] * 4
    assert completed(made, "B-1") == [(2, {"settled": 4})]


def test_killed_with_half_the_message_written_all_is_doubt_and_is_asked_about(tmp_path: Path) -> None:
    made = World(
        tmp_path, sender=SENDER, wrap=cutting(lambda data: b"PayBatch" in data), spans={"enquiry_deadline_s": 600.0}
    )
    made.start()
    made.run(3)
    submit(made, "B-1", [10_000] * 3)
    made.run(20)
    assert made.life is None and states(made, "B-1") == ["sending"] * 3
    made.start()
    made.run(5)
    assert states(made, "B-1") == ["in_doubt"] * 3
    made.run(900)
    assert states(made, "B-1") == ["escalated"] * 3 and not made.bank.ledger.executions
    assert made.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 0, "never sent again"
