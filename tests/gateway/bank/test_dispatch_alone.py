"""Dispatch alone, at its edges: what may leave when, and what becomes of the session, the conversation and the payment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, succeed

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.dispatch import Dispatch
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.handshake_errors import Reason
from gateway.bank.recorder import PaymentEvent
from gateway.bank.send_gate import SendGate
from gateway.bank.session_states import SessionState
from gateway.core.states import Answered, Hold, Life, NotSent, Policy, Rules, Silent, Source, Work
from gateway.journal.commit.hand_over import Applied
from gateway.journal.commit.rows import AttemptRow, Evidence, PaymentRow, Reply
from gateway.journal.commit.send_leave import SendLeave
from gateway.meters import Meters
from protocols.bank import Submit
from protocols.canon.outcome import Fate, Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.erp.orders import ORDER
from tests.world.clock import HeapClock
from tests.world.world import LifeClock

NOW_MS = 1_795_000_000_000
DAY = date(2026, 11, 18)
SETTLED = Outcome(Fate.SETTLED, "0", "done")
IN_ORDER, DISTRUSTED, SIGNED_OUT = (False, False), (True, False), (False, True)
UNREACHABLE = NotConnected("bank", Reason.REFUSED, "nobody there")


class _Line:
    """A connection that answers as it is told; `wrote` is what left on it."""

    def __init__(self) -> None:
        self.wrote: list[bytes] = []
        self.answers: list[bytes | NoAnswer] = []

    async def exchange(self, data: bytes) -> bytes:
        self.wrote.append(data)
        answer = self.answers.pop(0) if self.answers else b"yes"
        if isinstance(answer, NoAnswer):
            raise answer
        return answer


class _Session:
    def __init__(self, carries: _Line | Exception, release: Callable[..., None]) -> None:
        self.state = SessionState.BUSY
        self.carries = carries
        self.release = release

    async def line(self, _port: str, *, same: bool = False) -> _Line:
        assert not same
        if isinstance(self.carries, Exception):
            raise self.carries
        return self.carries


class _Alone:
    """One Dispatch whose surroundings only note what they are told. `before` and `result` are the bank's conversation."""

    def __init__(self, **life: Any) -> None:
        self.clock = HeapClock(NOW_MS / 1000)
        clock = LifeClock(self.clock)
        self.meters = Meters(CollectorRegistry())
        self.given: list[tuple[bool, bool]] = []
        self.later: list[tuple[int, Work]] = []
        self.recorded: list[tuple[Any, Evidence | None, State | None, int | None]] = []
        self.said: list[Generator[Any, bytes, Outcome]] = []
        self.contexts: list[tuple[str, int]] = []
        self.commits = 0
        self.repeating = False
        self.line = _Line()
        self.session: Any = _Session(self.line, self._give_back)
        self.row: PaymentRow | None = row(**life)
        self.before: Exception | Outcome | None = None
        self.result: Exception | Outcome = SETTLED
        self.applied: Applied | None = None
        self.leave = SendLeave()
        self.last = AttemptRow("P", 1, 1, "gw1", "2026-11-18", (), "p", b"stored", None, NOW_MS, "replay_safe")
        self.clock_trust: Any = SimpleNamespace(trusted=lambda: True, quarantine_left_ms=lambda _quarantine_ms: 0)
        self.parts: Any = SimpleNamespace(
            clock=clock, store=self, name="b.main", node="gw1", bank_name="b", signers={}, meters=self.meters,
            rules=lambda _kind: Rules(), rules_of=lambda row: row.life.rules,
            bank=SimpleNamespace(money={ORDER.kind: self._pay}, bundles={}, read=self._read,
                                 profile=SimpleNamespace(signs=())),
        )  # fmt: skip
        self.lease: Any = SimpleNamespace(epoch=1, holds=True, permits=lambda _epoch, _since_s: True)
        self.calendar: Any = SimpleNamespace(
            next_open_ms=lambda at_ms: at_ms, day_ends_ms=lambda _day: NOW_MS + 3_600_000, shut=lambda _day: None,
        )  # fmt: skip
        around: tuple[Any, Any, Any] = (self.parts, self.lease, self.calendar)
        self.gate = SendGate(*around, lambda: None)
        shared: Any = SimpleNamespace(
            parts=self.parts, lease=self.lease, clock_trust=self.clock_trust, calendar=self.calendar, gate=self.gate,
            serials=SimpleNamespace(context=self._context), recorder=SimpleNamespace(record_all=self._record_all),
            metrics=ExchangeMetrics("b", self.meters),
            work_queue=SimpleNamespace(postpone=lambda _payment, kind, at_ms: self.later.append((at_ms, kind))),
            ready=SimpleNamespace(take=lambda _payment: succeed(self.row)),
        )  # fmt: skip
        self.dispatch = Dispatch(shared)

    def _context(self, _session: object, reference: str, attempt: int) -> SimpleNamespace:
        self.contexts.append((reference, attempt))
        return SimpleNamespace(bank_date=DAY)

    def _pay(self, _order: object, _context: object) -> Generator[Any, bytes, Outcome]:
        def conversation() -> Generator[Any, bytes, Outcome]:
            if isinstance(self.before, Exception):
                raise self.before
            if self.before is not None:
                return self.before
            yield Submit("p", b"money")
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

        self.said.append(conversation())
        return self.said[-1]

    def _read(self, _kind: object, _sent: object, _answer: bytes) -> Outcome:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def _give_back(self, *, distrust: bool = False, signed_out: bool = False) -> None:
        self.given.append((distrust, signed_out))

    async def _record_all(
        self, events: Sequence[PaymentEvent], epoch: int, also: object = None, expect: State | None = None
    ) -> None:
        assert also is None, "what belongs to one order is kept with it"
        self.recorded += [(one.event, one.evidence, expect, epoch) for one in events]

    def read(self, _fn: object) -> Deferred[Any]:
        """A look into the journal: the payment, and its last send."""
        return succeed(None if self.row is None else (self.row, self.last))

    def write(self, _unit: object) -> Deferred[Any]:
        """A commit: the payment is in sending, or what the test says came of it."""
        self.commits += 1
        assert self.row is not None
        again = self.row.life.state is State.IN_DOUBT
        life = replace(self.row.life, state=State.SENDING, attempt=self.row.life.attempt + 1, repeats=int(again),
                       first_write_ms=self.row.life.first_write_ms or NOW_MS, last_write_ms=NOW_MS)  # fmt: skip
        sending = replace(self.row, life=life)
        applied = self.applied or Applied(self.row, sending, None, conflict=False, leave=self.leave)
        return succeed(applied if self.repeating else (applied,))

    def carry(self) -> _Alone:
        done: list[object] = []
        Deferred.fromCoroutine(self.dispatch.carry(self.session, "P")).addBoth(done.append)
        assert done == [None]
        return self

    def repeat(self) -> _Alone:
        self.repeating = True
        done: list[object] = []
        Deferred.fromCoroutine(self.dispatch.repeat(self.session, "P")).addBoth(done.append)
        assert done == [None]
        return self

    def closed(self) -> bool:
        """Whether the bank's conversation was told that it is over, however long somebody holds it."""
        return inspect.getgeneratorstate(self.said[-1]) == inspect.GEN_CLOSED

    def requests(self, outcome: str) -> float:
        """How many exchanges were counted so."""
        return float(self.meters.bank_requests.labels("b", ORDER.kind.value, outcome)._value.get())


def row(state: State = State.READY, epoch: int = 1, **life: Any) -> PaymentRow:
    return PaymentRow("P", "c", "s", "b", "b.main", ORDER, "v1:0", Life(state, **life), 1, epoch, "R1",
                      Reply(None, None), NOW_MS, NOW_MS)  # fmt: skip


def in_doubt(**more: Any) -> _Alone:
    return _Alone(**{"state": State.IN_DOUBT, "rules": Rules(Policy.REPLAY_SAFE), "attempt": 1,
                     "first_write_ms": NOW_MS - 700_000, "last_write_ms": NOW_MS - 700_000, **more})  # fmt: skip


def conflict(before: PaymentRow | None) -> Applied:
    return Applied(before, None, None, conflict=True)


# ---- may it go? ----


def test_what_is_ready_leaves_and_the_banks_word_is_recorded() -> None:
    alone = _Alone().carry()
    assert alone.line.wrote == [b"money"] and alone.given == [IN_ORDER] and alone.later == []
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT, attempt=1) and epoch == 1
    assert evidence == Evidence(Source.SUBMIT, b"yes", Fate.SETTLED, "0", "done")


def test_the_bank_is_told_which_attempt_it_is() -> None:
    assert _Alone().carry().contexts == [("R1", 1)] and _Alone(attempt=2).carry().contexts == [("R1", 3)]


def test_a_payment_that_is_gone_or_not_ready_any_more_costs_nothing_but_the_look() -> None:
    for row_now in (None, row(State.CANCELLED), row(State.SENDING)):
        alone = _Alone()
        alone.row = row_now
        alone.carry()
        assert alone.given == [IN_ORDER] and not alone.said and not alone.commits and not alone.later


@pytest.mark.parametrize(("until_ms", "leaves"), [(NOW_MS - 1, False), (NOW_MS, False), (NOW_MS + 1, True)])
def test_validity_ends_at_its_moment(until_ms: int, leaves: bool) -> None:
    alone = _Alone(valid_until_ms=until_ms).carry()
    assert bool(alone.line.wrote) == leaves and not alone.later and alone.given == [IN_ORDER]


@pytest.mark.parametrize(
    ("opens_ms", "after_ms", "leased", "wanted_ms"),
    [
        (NOW_MS, None, True, None),
        (NOW_MS, NOW_MS, True, None),
        (NOW_MS, NOW_MS - 9, True, None),
        (NOW_MS + 1, None, True, NOW_MS + 1),
        (NOW_MS + 60, NOW_MS + 70, True, NOW_MS + 70),
        (NOW_MS + 70, NOW_MS + 60, True, NOW_MS + 70),
        (NOW_MS, None, False, NOW_MS + 2_000),
        (NOW_MS + 9_000, None, False, NOW_MS + 9_000),
    ],
)
def test_it_waits_for_the_banks_hours_its_own_hour_and_the_lease(
    opens_ms: int, after_ms: int | None, leased: bool, wanted_ms: int | None
) -> None:
    alone = _Alone(send_after_ms=after_ms)
    alone.calendar.next_open_ms, alone.lease.holds = lambda _at_ms: opens_ms, leased
    alone.carry()
    assert alone.later == ([] if wanted_ms is None else [(wanted_ms, Work.SEND)])
    assert alone.line.wrote == ([b"money"] if wanted_ms is None else []) and alone.given == [IN_ORDER]
    assert alone.commits == (1 if wanted_ms is None else 0)


# ---- before the commit ----


@pytest.mark.parametrize(
    ("trouble", "given", "wait_ms"),
    [
        (Outcome(Fate.UNKNOWN, "7", "not today"), IN_ORDER, 30_000),
        (Declined("token", "9", "come back later", "retry"), IN_ORDER, 30_000),
        (Declined("token", "9", "who are you", "signed_out"), SIGNED_OUT, 30_000),
    ],
)
def test_a_bank_that_does_not_get_as_far_as_the_money_is_tried_again_in_half_a_minute(
    trouble: Exception | Outcome, given: tuple[bool, bool], wait_ms: int
) -> None:
    alone = _Alone()
    alone.before = trouble
    alone.carry()
    assert alone.given == [given] and alone.later == [(NOW_MS + wait_ms, Work.SEND)]
    assert not alone.commits and not alone.recorded


@pytest.mark.parametrize("trouble", [UNREACHABLE, NoAnswer("no_answer", written=True)])
def test_without_a_connection_it_is_tried_again_in_two_seconds(trouble: Exception) -> None:
    alone = _Alone()
    alone.session.carries = trouble
    alone.carry()
    assert alone.given == [DISTRUSTED] and alone.later == [(NOW_MS + 2_000, Work.SEND)]
    assert alone.closed() and not alone.commits and not alone.recorded


@pytest.mark.parametrize("why", ["no_session", "not_its_time"])
def test_a_thousand_that_stay_one_after_the_other_do_not_call_each_other(why: str) -> None:
    """Each gives its session to the next, which is in line for the same account: once, that was a RecursionError."""
    alone = _Alone(send_after_ms=NOW_MS + 1 if why == "not_its_time" else None)
    alone.session.carries = UNREACHABLE
    done: list[object] = []
    begun = [0]

    def next_one(**_how: bool) -> None:
        begun[0] += 1
        if begun[0] <= 1_000:
            Deferred.fromCoroutine(alone.dispatch.carry(alone.session, "P")).addBoth(done.append)

    alone.session.release = next_one
    next_one()
    alone.clock.advance(0.001)
    assert done == [None] * 1_000 and len(alone.later) == 1_000


def test_what_cannot_be_said_to_the_bank_is_held_for_a_person() -> None:
    alone = _Alone()
    alone.before = ProtocolError("value", "no word for it")
    alone.carry()
    assert alone.given == [IN_ORDER] and alone.later == [] and not alone.commits
    assert alone.recorded == [(Hold(NOW_MS, "cannot_be_prepared"), None, State.READY, 1)]


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (row(), True),
        (row(epoch=0), True),
        (row(epoch=2), False),
        (row(State.CANCELLED), False),
        (None, False),
    ],
    ids=["newer", "older_epoch", "other_owner", "cancelled", "gone"],
)
def test_what_changed_meanwhile_is_looked_at_again_while_it_is_ready_and_ours(
    before: PaymentRow | None, again: bool
) -> None:
    alone = _Alone()
    alone.applied = conflict(before)
    alone.carry()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and alone.closed() and not alone.recorded
    assert alone.later == ([(NOW_MS, Work.SEND)] if again else [])


# ---- the last gate ----


def refused(alone: _Alone, reason: str, attempt: int = 1) -> bool:
    """Whether nothing left, for this reason, and all was put in order again."""
    [(event, evidence, _, epoch)] = alone.recorded
    told = event == NotSent(NOW_MS, reason, NOW_MS + 2_000, attempt) and evidence is None and epoch == 1
    counted = alone.meters.permits_refused.labels("b")._value.get() == 1 and alone.requests("not_sent") == 1
    return told and counted and alone.given == [DISTRUSTED] and alone.line.wrote == []


def test_without_a_permit_nothing_leaves() -> None:
    alone = _Alone()
    asked: list[tuple[int, float]] = []
    alone.lease.permits = lambda *about: asked.append(about)
    assert refused(alone.carry(), "permit_refused") and alone.closed()
    assert asked == [(1, NOW_MS / 1000)]


@pytest.mark.parametrize(("late_ms", "leaves"), [(-1, True), (0, False), (1, False)])
def test_an_order_that_ends_during_the_commit_does_not_leave(late_ms: int, leaves: bool) -> None:
    alone = _Alone(valid_until_ms=NOW_MS + 5)
    commit = alone.write

    def slow(unit: object) -> Deferred[Applied]:
        alone.parts.clock.now_ms = lambda: NOW_MS + 5 + late_ms
        return commit(unit)

    alone.parts.store = SimpleNamespace(write=slow)
    alone.carry()
    assert bool(alone.line.wrote) == leaves
    if not leaves:
        assert alone.recorded[0][0].reason == "expired"


def test_a_banks_window_for_repeats_is_no_matter_of_first_sends() -> None:
    assert _Alone(rules=Rules(Policy.REPLAY_SAFE, quarantine_ms=2_000, window_ms=1_000)).carry().line.wrote == [b"money"]
    alone = in_doubt(rules=Rules(Policy.REPLAY_SAFE, quarantine_ms=2_000, window_ms=1_000))
    assert refused(alone.repeat(), "window_closed", attempt=2)


@pytest.mark.parametrize("now", [{"replay": Policy.NEVER}, {"most_repeats": 0}])
def test_a_repeat_that_the_settings_forbid_by_now_does_not_leave(now: dict[str, Any]) -> None:
    alone = in_doubt()
    alone.parts.rules_of = lambda row: replace(row.life.rules, **now)
    assert refused(alone.repeat(), "window_closed", attempt=2)


def test_a_first_send_names_todays_date_and_a_repeat_that_of_the_first() -> None:
    for alone, day in ((_Alone(), DAY), (in_doubt(), None)):
        asked: list[date | None] = []
        alone.calendar.shut = lambda day, asked=asked: asked.append(day) or "bank_closed"
        if day is None:
            assert refused(alone.repeat(), "bank_closed", attempt=2)
        else:
            assert refused(alone.carry(), "bank_closed")
        assert asked == [day]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_lane_that_is_paused_during_the_commit_lets_nothing_leave(repeats: bool) -> None:
    alone = in_doubt() if repeats else _Alone()
    commit = alone.write

    def paused_meanwhile(unit: object) -> Deferred[Applied]:
        alone.gate.pause("operator")
        return commit(unit)

    alone.parts.store = SimpleNamespace(read=alone.read, write=paused_meanwhile)
    assert refused(alone.repeat() if repeats else alone.carry(), "paused", attempt=2 if repeats else 1)


@pytest.mark.parametrize("repeats", [False, True])
def test_on_a_paused_lane_nothing_is_written_down_for_nothing(repeats: bool) -> None:
    alone = in_doubt() if repeats else _Alone()
    alone.gate.pause("operator")
    alone.repeat() if repeats else alone.carry()
    assert alone.later == [(NOW_MS + 2_000, Work.REPLAY if repeats else Work.SEND)]
    assert not alone.commits and not alone.recorded and alone.given == [IN_ORDER] and alone.line.wrote == []


# ---- after the first byte ----


def test_a_connection_that_was_gone_is_proof_that_nothing_left() -> None:
    alone = _Alone()
    alone.line.answers = [NoAnswer("connection_gone", written=False)]
    alone.carry()
    assert [event for event, *_ in alone.recorded] == [NotSent(NOW_MS, "connection_gone", NOW_MS + 2_000, 1)]
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.requests("not_sent") == 1
    assert alone.meters.permits_refused.labels("b")._value.get() == 0, "no gate stopped it"


def test_a_lease_that_ended_while_the_message_was_sealed_is_counted_like_one_before() -> None:
    alone = _Alone()
    alone.line.answers = [NoAnswer("permit_refused", written=False)]
    alone.carry()
    assert [event for event, *_ in alone.recorded] == [NotSent(NOW_MS, "permit_refused", NOW_MS + 2_000, 1)]
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.meters.permits_refused.labels("b")._value.get() == 1


@pytest.mark.parametrize("partial", [b"", b"half an an"])
def test_silence_is_doubt_and_what_was_heard_of_the_answer_is_kept(partial: bytes) -> None:
    alone = _Alone()
    alone.line.answers = [NoAnswer("no_answer", written=True, partial=partial)]
    alone.carry()
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, "no_answer", 1) and epoch == 1
    assert evidence == (Evidence(Source.SUBMIT, partial, note="no_answer") if partial else None)
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.requests("silent") == 1


@pytest.mark.parametrize(
    ("trouble", "reason", "given", "counted"),
    [
        (NoAnswer("connection_gone", written=False), "connection_gone", DISTRUSTED, "silent"),
        (UNREACHABLE, "not_connected:refused", DISTRUSTED, "silent"),
        (ProtocolError("value", "nonsense"), "bad_answer:value", DISTRUSTED, "bad_answer"),
        (Declined("status", "9", "who are you", "signed_out"), "bad_answer:value", (True, True), "refused"),
    ],
)
def test_what_goes_wrong_once_there_was_an_answer_is_doubt_with_that_answer_as_evidence(
    trouble: Exception, reason: str, given: tuple[bool, bool], counted: str
) -> None:
    alone = _Alone()
    alone.result = trouble
    alone.carry()
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, reason, 1) and epoch == 1
    assert evidence == Evidence(Source.SUBMIT, b"yes", note=reason)
    assert alone.given == [given] and alone.requests(counted) == 1


def test_a_defect_once_there_was_an_answer_is_doubt_and_goes_on_to_stop_the_lane() -> None:
    alone = _Alone()
    alone.result = ZeroDivisionError("planted")
    done: list[Any] = []
    Deferred.fromCoroutine(alone.dispatch.carry(alone.session, "P")).addBoth(done.append)
    assert done[0].check(ZeroDivisionError)
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, "adapter_defect", 1) and evidence == Evidence(Source.SUBMIT, b"yes") and epoch == 1
    assert alone.given == [DISTRUSTED]


@pytest.mark.parametrize(
    ("outcome", "counted", "unlisted"),
    [
        (SETTLED, "ok", 0),
        (Outcome(Fate.PENDING), "ok", 0),
        (Outcome(Fate.FAILED), "refused", 0),
        (Outcome(Fate.UNKNOWN), "in_doubt", 0),
        (Outcome(Fate.UNKNOWN, "Z9", listed=False), "unlisted_code", 1),
    ],
)
def test_an_answer_is_counted_as_what_it_was(outcome: Outcome, counted: str, unlisted: int) -> None:
    alone = _Alone()
    alone.result = outcome
    alone.carry()
    assert alone.requests(counted) == 1 and alone.given == [IN_ORDER]
    assert alone.meters.unlisted_codes.labels("b", ORDER.kind.value)._value.get() == unlisted


# ---- repeats ----


def test_a_repeat_is_the_stored_bytes_again() -> None:
    alone = in_doubt().repeat()
    assert alone.line.wrote == [b"stored"] and alone.given == [IN_ORDER] and alone.later == []
    [(event, _, _, _)] = alone.recorded
    assert event == Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT, attempt=2)


def test_a_repeat_of_what_is_gone_gives_the_berth_back() -> None:
    alone = in_doubt()
    alone.row = None
    alone.repeat()
    assert alone.given == [IN_ORDER] and not alone.commits and not alone.later


@pytest.mark.parametrize("state", [State.SETTLED, State.SENDING])
def test_a_repeat_of_what_is_not_in_doubt_says_nothing_to_the_bank(state: State) -> None:
    alone = in_doubt(state=state)
    assert alone.row is not None
    alone.applied = Applied(alone.row, alone.row, None, conflict=False)
    alone.calendar.next_open_ms = lambda at_ms: at_ms + 60
    alone.repeat()
    assert alone.commits == 1, "the work is taken off the journal"
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded and not alone.later


@pytest.mark.parametrize(
    ("opens_ms", "leased", "trusted", "wanted_ms"),
    [
        (NOW_MS, True, True, None),
        (NOW_MS + 1, True, True, NOW_MS + 1),
        (NOW_MS, False, True, NOW_MS + 2_000),
        (NOW_MS + 9_000, False, True, NOW_MS + 9_000),
        (NOW_MS, True, False, NOW_MS + 600_000),
        (NOW_MS + 1, True, False, NOW_MS + 1),
    ],
)
def test_a_repeat_waits_for_the_banks_hours_the_lease_and_a_clock_that_can_be_trusted(
    opens_ms: int, leased: bool, trusted: bool, wanted_ms: int | None
) -> None:
    alone = in_doubt()
    alone.calendar.next_open_ms, alone.lease.holds = lambda _at_ms: opens_ms, leased
    alone.clock_trust.trusted = lambda: trusted
    alone.repeat()
    assert alone.later == ([] if wanted_ms is None else [(wanted_ms, Work.REPLAY)])
    assert alone.line.wrote == ([b"stored"] if wanted_ms is None else []) and alone.given == [IN_ORDER]
    assert alone.commits == (1 if wanted_ms is None else 0)


def test_a_repeat_waits_until_this_node_has_had_the_lane_for_a_quarantine() -> None:
    alone = in_doubt()
    alone.clock_trust.quarantine_left_ms = lambda quarantine_ms: quarantine_ms // 2
    alone.repeat()
    rest_ms = Rules(Policy.REPLAY_SAFE).quarantine_ms // 2
    assert alone.later == [(NOW_MS + rest_ms, Work.REPLAY)] and rest_ms > 0
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.commits


@pytest.mark.parametrize("repeats", [False, True])
def test_what_something_was_learnt_of_after_it_was_written_down_does_not_leave(repeats: bool) -> None:
    alone = in_doubt() if repeats else _Alone()
    alone.leave.revoked = True
    alone.repeat() if repeats else alone.carry()
    ((event, evidence, _, epoch),) = alone.recorded
    assert isinstance(event, NotSent) and event.reason == "overtaken" and (evidence, epoch) == (None, 1)
    assert alone.line.wrote == [] and alone.commits == 1


def test_without_a_connection_a_repeat_is_tried_again_in_two_seconds() -> None:
    alone = in_doubt()
    alone.session.carries = UNREACHABLE
    alone.repeat()
    assert alone.given == [DISTRUSTED] and alone.later == [(NOW_MS + 2_000, Work.REPLAY)] and not alone.commits


@pytest.mark.parametrize(
    ("before", "again"),
    [(row(State.IN_DOUBT), True), (row(State.IN_DOUBT, epoch=0), True), (row(State.IN_DOUBT, epoch=2), False), (None, False)],
    ids=["newer", "older_epoch", "other_owner", "gone"],
)
def test_a_repeat_of_what_changed_meanwhile_is_looked_at_again_while_it_is_ours(
    before: PaymentRow | None, again: bool
) -> None:
    alone = in_doubt()
    alone.applied = conflict(before)
    alone.repeat()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded
    assert alone.later == ([(NOW_MS, Work.REPLAY)] if again else [])


def test_a_repeat_that_the_banks_rules_do_not_allow_any_more_is_left_to_the_next_enquiry() -> None:
    alone = in_doubt()
    assert alone.row is not None
    alone.applied = Applied(alone.row, alone.row, None, conflict=False)
    alone.repeat()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded and not alone.later
