"""Sending once: the record before a byte is sent, the proof that no byte was sent, and the cases of doubt."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.dispatch import RETRY_UNSENT_MS
from gateway.kernel.commit.store import Store
from gateway.kernel.core.states import Work
from gateway.kernel.tasks import sleep
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, Delays, ExchangeKind, FaultScript, ScriptedFault
from protocols.bank import Bank, MoneyConversation, Submit
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.world import files
from tests.world.lines import events, lines
from tests.world.points import KillAt
from tests.world.world import Life, World

NO_REPEATS = {"banks": {"sample": {"most_repeats": 0}}}


def written(life: Life) -> list[bytes]:
    """The payment messages that were sent, as whole frames in order."""
    return [data for pipe in life.pipes for data in pipe.written if b">Pay<" in data]


def lane_of(life: Life) -> Any:
    return next(iter(life.gateway.lanes.values()))


# ---- before the first byte ----


def test_exactly_what_leaves_was_committed_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    [attempt] = files.sends(world, "AP-1")
    assert [attempt.wire] == written(life)
    row = files.payment(world, "AP-1")
    assert (attempt.attempt, attempt.epoch, attempt.node, attempt.port) == (1, lane_of(life).epoch, "gw1", "business")
    assert row.bank_ref.encode() in attempt.wire and attempt.bank_date == "2026-11-18" and attempt.serials
    assert [(permit.ref, permit.attempt) for permit in world.permits.written] == [(f"sample.main/{row.bank_ref}", 1)]
    assert attempt.key_id == "order" and attempt.replay_policy == "replay_safe"


@pytest.mark.parametrize(
    "where", ["permits.append.group.before", "permits.append.group.after", "bank.write.request.before"]
)
def test_a_crash_between_commit_and_write_is_doubt_and_only_asked_about(where: str, tmp_path: Path) -> None:
    points = KillAt("never")
    world = World(tmp_path, points=points, settings=NO_REPEATS)
    first = world.start()
    world.run(1)
    points.where, points.nth = where, points.names[where] + 1
    world.submit("AP-1")
    world.run(1)
    assert points.killed == where and not written(first)
    second = world.start()
    world.run(600)
    assert not written(second), "a new life never sends what the old one had in sending"
    if files.sends(world, "AP-1"):
        assert "taken_over" in files.rules(world, "AP-1")
        assert world.last("AP-1")["state"] == "in_doubt" and not world.bank.ledger.executions


def test_a_crash_after_the_write_is_resolved_by_asking(tmp_path: Path) -> None:
    points = KillAt("never")
    world = World(tmp_path, points=points)
    world.start()
    world.run(1)
    points.where, points.nth = "bank.write.request.after", points.names["bank.write.request.after"] + 1
    world.submit("AP-1")
    world.run(1)
    second = world.start()
    world.run(30)
    assert list(dict.fromkeys(world.told("AP-1"))) == ["payment.accepted", "payment.in_doubt", "payment.settled"]
    assert not written(second) and len(world.bank.ledger.executions) == 1


def test_work_for_a_payment_that_is_not_in_the_journal_costs_no_session(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 2})
    life = world.start()
    world.run(1)
    for n in range(5):
        lane_of(life).work_queue.postpone(f"nobody-{n}", Work.SEND, life.clock.now_ms())
    world.run(1)
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert len(written(life)) == 1


# ---- order ----


@pytest.mark.parametrize("from_journal", [False, True])
def test_sends_of_one_account_follow_their_acceptance(from_journal: bool, tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 8})
    if from_journal:
        world.bank.reachable = False
    life = world.start()
    world.run(1)
    for n in range(40):
        world.submit(f"AP-{n:02d}")
    world.run(1)
    if from_journal:
        world.leave()
        world.bank.reachable = True
        life = world.start()
        assert not lane_of(life).ready_payments.rows, "nothing is remembered, every row is read"
    world.run(60)
    with sqlite3.connect(tmp_path / "journal.db") as db:
        sent = [
            row[0]
            for row in db.execute(
                "select p.order_id from audit a join payments p on p.payment = a.object_id "
                "where a.entry = 'payment.send' order by a.seq"
            )
        ]
    assert sent == [f"AP-{n:02d}" for n in range(40)]
    assert len(world.bank.ledger.executions) == 40


def test_a_slow_look_up_does_not_change_the_order(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    lane = lane_of(life)
    row = lane.ready_payments.take_payment

    async def slow_for_the_first(payment: str) -> Any:
        found = await row(payment)
        if found.order.id == "AP-0":
            await sleep(life.clock, 0.5)
        return found

    lane.ready_payments.take_payment = slow_for_the_first
    for n in range(4):
        world.submit(f"AP-{n}")
    world.run(5)
    orders = [one.instruction.amount.minor for one in world.bank.ledger.executions]
    assert len(orders) == 4
    with sqlite3.connect(tmp_path / "journal.db") as db:
        sent = [
            row[0]
            for row in db.execute(
                "select p.order_id from audit a join payments p on p.payment = a.object_id "
                "where a.entry = 'payment.send' order by a.seq"
            )
        ]
    assert sent == [f"AP-{n}" for n in range(4)]


# ---- proof that nothing was sent ----


class StuckDisk:
    """A store whose commits succeed, but are reported `late_s` later while it is `stuck`."""

    def __init__(self, store: Store, life: Life) -> None:
        self._store = store
        self._life = life
        self.late_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def listen(self, on_commit: Callable[..., None]) -> None:
        def later(*said: Any) -> None:
            self._life.clock.later(self.late_s, on_commit, *said)

        self._store.listen(later)

    def write(self, unit: Callable[[Any], Any], **how: Any) -> Deferred[Any]:
        late_s, heard = self.late_s, self._store.write(unit, **how)
        later: Deferred[Any] = Deferred()
        heard.addBoth(lambda result: self._life.clock.later(late_s, later.callback, result))
        return later


def world_with_stuck_disk(tmp_path: Path, **options: Any) -> tuple[World, list[StuckDisk]]:
    made: list[StuckDisk] = []

    def wrap(life: Life, parts: Parts) -> Parts:
        made.append(StuckDisk(parts.store, life))
        return replace(parts, store=made[-1])

    return World(tmp_path, wrap=wrap, **options), made


def test_no_byte_leaves_without_the_lease_and_the_payment_goes_later(tmp_path: Path) -> None:
    world, disks = world_with_stuck_disk(tmp_path)
    life = world.start()
    world.submit("AP-1", not_before=world.moment(6))
    world.run(5.9)
    disks[-1].late_s = 16.0
    world.run(16)
    assert files.rules(world, "AP-1") == ["admitted", "send"] and not written(life)
    assert not lane_of(life).permitted(), "no renewal was heard of for a whole lease"
    disks[-1].late_s = 0.0
    world.run(60)
    assert life.sample("bankgw_permits_refused_total", bank="sample") == 1
    assert files.rules(world, "AP-1") == ["admitted", "send", "not_sent", "send", "sent_settled"]
    assert len(written(life)) == 1 and len(world.bank.ledger.executions) == 1
    assert [attempt.attempt for attempt in files.sends(world, "AP-1")] == [1, 2]
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"], "the ERP hears nothing of it"


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_what_is_prepared_when_the_lane_is_paused_does_not_leave_and_goes_once_after_it(
    bank: str, tmp_path: Path
) -> None:
    """A pause is tried at every moment from the order's arrival until its bytes are gone."""
    told = set()
    for half in range(1, 40):
        folder = tmp_path / str(half)
        folder.mkdir()
        world = World(folder, banks=(bank,))
        lane = world.start().gateway.lanes[f"{bank}.main"]
        world.run(5)
        world.submit("AP-1")
        world.run(half * 0.0005)
        lane.pause("operator")
        world.run(40)
        rules = files.rules(world, "AP-1")
        paid = len(world.bank.ledger.executions)
        if "not_sent" in rules:
            assert "paused" in [entry.detail.get("reason") for entry in files.trail(world, "AP-1")]
            assert rules.count("send") == 1, "it is not tried again and again while the lane is paused"
            assert not paid and world.state("AP-1") == "ready"
        told.add("paid" if paid else rules[-1])
        lane.resume("operator")
        world.run(10)
        assert world.last("AP-1")["state"] == "settled" and len(world.bank.ledger.executions) == 1
    assert told == {"admitted", "not_sent", "paid"}, "it was paused before, meanwhile, and too late"


def test_a_connection_lost_between_commit_and_write_is_proof_that_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    written_permits = world.permits.append_permits

    def drop_all(some: Any) -> None:
        written_permits(some)
        if some and len(world.permits.written) == 1:
            for pipe in life.pipes:
                if pipe.open:
                    assert pipe.protocol is not None
                    pipe.protocol.live = False  # type: ignore[attr-defined]
                    pipe.abortConnection()

    monkeypatch.setattr(world.permits, "append_permits", drop_all)
    world.submit("AP-1")
    world.run(20)
    assert files.rules(world, "AP-1") == ["admitted", "send", "not_sent", "send", "sent_settled"]
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert len(written(life)) == 1
    assert life.sample("bankgw_bank_requests_total", bank="sample", operation="payment", outcome="not_sent") == 1
    sends = [entry.at_ms for entry in files.trail(world, "AP-1") if entry.entry == "payment.send"]
    assert sends[1] - sends[0] >= RETRY_UNSENT_MS


def test_a_session_lost_before_it_is_used_is_not_replaced_by_an_unproven_one(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    lane = lane_of(life)
    row = lane.ready_payments.take_payment

    async def losing(payment: str) -> Any:
        found = await row(payment)
        life.pipes[-1].abortConnection()
        await sleep(life.clock, 0.0001)
        return found

    lane.ready_payments.take_payment = losing
    world.submit("AP-1")
    world.run(0.5)
    lane.ready_payments.take_payment = row
    world.run(20)
    for pipe in life.pipes:
        assert b">SignOn<" in pipe.written[0], "the first word on a kept connection is the sign-on, never money"
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]


def test_a_bank_out_of_reach_leaves_the_payment_ready(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("pab",))
    life = world.start()
    world.run(1)
    world.bank.reachable = False
    world.submit("AP-1")
    world.run(200)
    assert files.payment(world, "AP-1").life.state is State.READY and not files.sends(world, "AP-1")
    assert not lane_of(life).ready, "readiness ends with the next probe, however often sending was tried"
    assert life.sample("bankgw_session_up", bank="pab", lane="pab.main") == 0
    world.bank.reachable = True
    world.run(120)
    assert world.told("AP-1")[-1] == "payment.settled"
    [attempt] = files.sends(world, "AP-1")
    assert attempt.key_id is None, "this bank wants no signature, so no key is named"


# ---- orders that cannot be written at all ----


def bank_with(change: Callable[[Bank], Bank]) -> Callable[[Life, Parts], Parts]:
    def wrap(life: Life, parts: Parts) -> Parts:
        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    return wrap


def paying(before: Callable[[AnyOrder], None], *, sent: Callable[[AnyOrder], None] = lambda _order: None) -> Any:
    """A bank whose payments run `before` ahead of their Submit, and `sent` after its answer."""

    def change(bank: Bank) -> Bank:
        def wrapped(word: Any) -> Any:
            def pay(order: AnyOrder, context: Any) -> MoneyConversation:
                before(order)
                conversation = word(order, context)
                step = next(conversation)
                try:
                    while True:
                        answer = yield step
                        if isinstance(step, Submit):
                            sent(order)
                        step = conversation.send(answer)
                except StopIteration as end:
                    outcome: Outcome = end.value
                    return outcome

            return pay

        return replace(bank, money={kind: wrapped(word) for kind, word in bank.money.items()})

    return bank_with(change)


def test_an_order_that_cannot_be_written_down_is_held_for_a_person(tmp_path: Path) -> None:
    def before(order: AnyOrder) -> None:
        if order.id == "BAD":
            raise ProtocolError("value", "this cannot be said in the bank's language")

    with lines() as heard:
        world = World(tmp_path, wrap=paying(before))
        life = world.start()
        for id_ in ("AP-1", "BAD", "AP-2"):
            world.submit(id_)
        world.run(60)
    assert world.told("BAD") == ["payment.accepted", "payment.held"]
    assert world.last("BAD")["hold_reason"] == "cannot_be_prepared"
    assert not files.sends(world, "BAD") and not files.due(world, "BAD")
    assert world.told("AP-1")[-1] == world.told("AP-2")[-1] == "payment.settled"
    [line] = events(heard, "payment.cannot_be_prepared")
    assert line["log_level"] == "error" and "nothing was sent" in line["action"]
    assert lane_of(life).halted is None


def test_an_order_cancelled_while_it_turned_out_unwritable_stays_cancelled(tmp_path: Path) -> None:
    lives: list[Life] = []

    def before(_order: AnyOrder) -> None:
        raise ProtocolError("value", "no")

    world = World(tmp_path, wrap=paying(before))
    lives.append(world.start())
    lane = lane_of(lives[0])
    row = lane.ready_payments.take_payment

    async def slow(payment: str) -> Any:
        found = await row(payment)
        world.command("payment.cancel", {"id": "AP-1"})
        await sleep(lives[0].clock, 1)
        return found

    lane.ready_payments.take_payment = slow
    world.submit("AP-1")
    world.run(10)
    assert world.told("AP-1") == ["payment.accepted", "payment.cancelled"]
    assert lane.halted is None


def test_an_order_cancelled_while_it_is_prepared_is_not_sent(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    lane = lane_of(life)
    row = lane.ready_payments.take_payment

    async def slow(payment: str) -> Any:
        found = await row(payment)
        if found.order.id == "AP-1":
            world.command("payment.cancel", {"id": "AP-1"})
            await sleep(life.clock, 1)
        return found

    lane.ready_payments.take_payment = slow
    world.submit("AP-1")
    world.submit("AP-2")
    world.run(10)
    assert world.told("AP-1") == ["payment.accepted", "payment.cancelled"]
    assert world.told("AP-2")[-1] == "payment.settled" and len(world.bank.ledger.executions) == 1
    assert lane.halted is None and lane.session_pool.ready


def test_an_order_cancelled_while_the_bank_is_away_is_not_sent_later(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    life = world.start()
    world.submit("AP-1")
    world.run(1)
    world.command("payment.cancel", {"id": "AP-1"})
    world.run(1)
    world.bank.reachable = True
    world.submit("AP-2")
    world.run(60)
    assert world.told("AP-1") == ["payment.accepted", "payment.cancelled"]
    assert world.told("AP-2")[-1] == "payment.settled" and len(world.bank.ledger.executions) == 1
    assert lane_of(life).halted is None


def test_a_bank_that_declines_before_the_submit_is_tried_again(tmp_path: Path) -> None:
    declines = [2]

    def before(_order: AnyOrder) -> None:
        if declines[0]:
            declines[0] -= 1
            raise Declined("token", "9", "come back later", "retry")

    world = World(tmp_path, wrap=paying(before))
    life = world.start()
    world.submit("AP-1")
    world.run(90)
    assert files.rules(world, "AP-1") == ["admitted", "send", "sent_settled"]
    assert lane_of(life).session_pool.ready and declines == [0]


def test_a_defect_after_the_bytes_left_is_doubt_and_stops_the_lane(tmp_path: Path) -> None:
    def sent(order: AnyOrder) -> None:
        if order.id == "BAD":
            raise ZeroDivisionError("planted")

    with lines() as heard:
        world = World(tmp_path, wrap=paying(lambda _order: None, sent=sent))
        life = world.start()
        world.submit("BAD")
        world.run(5)
        world.submit("AP-1")
        world.run(60)
    assert world.told("BAD") == ["payment.accepted", "payment.in_doubt"]
    assert lane_of(life).halted == "defect:ZeroDivisionError"
    assert world.told("AP-1") == ["payment.accepted"], "accepted, but nothing is sent on a halted lane"
    assert events(heard, "lane.halted") and life.sample("bankgw_alarms_total", alarm="impossible") == 1
    [exhibit] = files.evidence(world, "BAD")
    assert b">Pay<" in exhibit.content.body, "what the bank answered is kept"


# ---- answers that cannot be read ----

_SILENT = {
    BankFault.DROP_BEFORE: ("closed_without_answer", False),
    BankFault.DROP_AFTER: ("closed_without_answer", False),
    BankFault.DELAY: ("no_answer", False),
    BankFault.HALF: ("half_answer", True),
    BankFault.GARBAGE: ("bad_frame", True),
    BankFault.WRONG_SIGNATURE: ("bad_answer", True),
    BankFault.OTHERS_ANSWER: ("bad_answer", True),
    BankFault.HIDE: ("closed_without_answer", False),
}


@pytest.mark.parametrize("bank", ["sample", "pab"])
@pytest.mark.parametrize("fault", list(_SILENT), ids=lambda fault: fault.value)
def test_an_answer_that_is_none_is_doubt_until_the_bank_says_otherwise(
    fault: BankFault, bank: str, tmp_path: Path
) -> None:
    plan = FaultScript([ScriptedFault(fault, touch=ExchangeKind.MONEY, skip=1)], delays=Delays(delay_s=150, hide_s=20))
    world = World(tmp_path, banks=(bank,), plan=plan)
    life = world.start()
    world.submit("FIRST")
    world.run(5)
    world.submit("AP-1")
    world.run(400 if fault is BankFault.DELAY else 90)
    assert not world.bank.simbank.script.left(), "the fault struck"
    told = world.told("AP-1")
    assert told[:2] == ["payment.accepted", "payment.in_doubt"]
    if fault is not BankFault.DROP_BEFORE:
        assert told[2:] == ["payment.settled"]
        last = world.last("AP-1")
        assert last["was"] == "in_doubt" and last["evidence"] == "enquiry"
    else:
        assert told[2:] == [] and world.last("AP-1")["state"] == "in_doubt", "not found is never failure"
    reason, seen = _SILENT[fault]
    silent = next(entry for entry in files.trail(world, "AP-1") if entry.entry == "payment.silent")
    if not (fault is BankFault.WRONG_SIGNATURE and bank == "pab"):
        assert silent.detail["reason"].startswith((reason, "bad_answer" if seen else reason))
    bodies = [one.content.body for one in files.evidence(world, "AP-1") if one.content.source.value == "submit"]
    assert [bool(body) for body in bodies] == ([True] if seen else []), "what was seen of it is kept"
    assert len(list(world.bank.ledger.executions)) == (1 if fault is BankFault.DROP_BEFORE else 2)
    assert not world.bank.ledger.doubles() and len(files.sends(world, "AP-1")) == 1
    assert lane_of(life).halted is None and lane_of(life).ready
    if fault is BankFault.WRONG_SIGNATURE and bank == "sample":
        assert life.sample("bankgw_signature_failures_total", bank=bank) == 1


def test_an_answer_that_comes_twice_settles_once_and_ends_its_session(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.TWICE, touch=ExchangeKind.MONEY)]),
        bank_options={"sessions": 1},
    )
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(0.5)
    assert not life.pipes[0].open, "bytes that nobody asked for end the connection"
    world.run(10)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert len(life.pipes) == 2 and lane_of(life).ready


def test_the_second_copy_of_an_answer_never_answers_the_next_payment(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.TWICE, touch=ExchangeKind.MONEY) for _ in range(3)])
    world = World(tmp_path, plan=plan, bank_options={"sessions": 1})
    world.start()
    for n in range(6):
        world.submit(f"AP-{n}", 10_000 + n)
    world.run(120)
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(6))
    for n in range(6):
        [booked] = [one for one in world.bank.ledger.executions if one.instruction.amount.minor == 10_000 + n]
        assert world.last(f"AP-{n}")["bank_serial"] == booked.bank_serial


def test_a_refusal_is_a_failure_with_the_banks_words(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.REFUSE)]))
    world.start()
    world.submit("AP-1")
    world.run(5)
    last = world.last("AP-1")
    assert (last["event"], last["final"], last["resend"]) == ("payment.failed", True, "new_id")
    assert last["bank_code"] and not files.due(world, "AP-1")
    assert not json.dumps(last).count("在途")


def test_an_expired_order_is_not_sent_when_the_bank_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    life = world.start()
    world.submit("AP-1", valid_until=world.moment(30))
    world.run(29)
    world.bank.reachable = True
    world.bank.reachable = False
    world.run(31)
    assert world.told("AP-1") == ["payment.accepted", "payment.expired"]
    world.bank.reachable = True
    world.run(60)
    assert not written(life) and not world.bank.ledger.executions
    assert not files.due(world, "AP-1") and lane_of(life).halted is None


def test_an_order_that_expires_in_the_queue_of_its_account_is_not_sent(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.DELAY, seconds=40)])
    world = World(tmp_path, bank_options={"sessions": 1, "answer_s": 60.0}, plan=plan)
    life = world.start()
    world.submit("SLOW")
    world.submit("AP-1", valid_until=world.moment(30))
    world.run(100)
    assert world.told("SLOW")[-1] == "payment.settled"
    assert world.told("AP-1") == ["payment.accepted", "payment.expired"]
    assert len(written(life)) == 1


def test_not_before_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    start_ms = round(world.clock.seconds() * 1000)
    world.submit("AP-1", not_before=world.moment(100))
    world.run(300)
    [send] = [entry for entry in files.trail(world, "AP-1") if entry.entry == "payment.send"]
    assert 100_000 <= send.at_ms - start_ms < 100_200
    assert not [row for row in files.due(world, "AP-1") if row.work is Work.SEND]
