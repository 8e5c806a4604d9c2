"""The only way a payment changes: read the row, apply the state table, check version and epoch, write the effects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from gateway.kernel.commit import audit, lane_releases
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import AttemptRow, Evidence, PaymentRow, WorkRow
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import flow
from gateway.kernel.core.policy import in_order
from gateway.kernel.core.states import (
    UNSENT,
    Alarm,
    Answered,
    Cancel,
    Deny,
    Event,
    Expire,
    Hold,
    Reject,
    Release,
    Replay,
    Resolve,
    Rules,
    ScheduleWork,
    Send,
    SendNews,
    Work,
    WorkDone,
    stricter,
)
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting, speakable
from gateway.payments.gates.lists import LISTS
from gateway.payments.rows import batch_rows, events
from protocols.canon.errors import CODES, Refusal
from protocols.canon.order import Kind
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Outcome, State
from protocols.canon.replaced import replace

_P = schema.payments.c
_DOUBT = frozenset({State.IN_DOUBT, State.ESCALATED})
_OPEN = frozenset({State.SENDING, State.PENDING}) | _DOUBT
# Tuples, because `A | B` makes a new type each time, and isinstance is slower with it.
_OF_HOLDS, _OF_SENDS, _NOT_WRITTEN = (Hold, Release), (Send, Replay), (SendNews, Alarm, Deny)
_UNSENT_ENDS = (Cancel, Expire)


def apply(
    tx: Tx,
    payment: str,
    event: Event,
    *,
    epoch: int | None,
    actor: str,
    evidence: Evidence | None = None,
    attempt: AttemptRow | None = None,
    outcome: Outcome | None = None,
    version: int | None = None,
    expect: State | None = None,
    rules: Callable[[Kind], Rules] | None = None,
) -> Applied:
    """Apply `event` to the payment with all its effects, or change nothing.

    `epoch` is the acting lane's epoch. It is a conflict if the lane has a higher epoch now, or the payment was changed
    under a higher one. None is for acts outside any lane: the ERP's cancellation, an operator. With `version` or
    `expect` it is a conflict unless the payment still has that version, or is in that state. `attempt` belongs to Send
    and Replay: it is stored, and its permit requested, if the new state is `sending`. `outcome` is the bank's full
    answer, `evidence` the bytes it is based on. `rules` are the rules of the present settings: the table uses the
    stricter of them and the payment's own, and the stored rules do not change. Raises flow.ImpossibleEvent if the table
    has no row: the unit fails, and nothing of it is committed.
    """
    before = tx.payment_cache.row(tx.raw, tx.vault, payment)
    if before is not None and _moved_on(before, epoch, version, expect):
        # Perhaps the caller has seen another node's change that the cache has not.
        before = tx.payment_cache.afresh(tx.raw, tx.vault, payment)
    if before is None:
        return Applied(None, None, None, conflict=True)
    overtaken = epoch is not None and (before.epoch > epoch or tx.epoch_of(before.lane) > epoch)
    if overtaken or _moved_on(before, epoch, version, expect):
        return _handed_over(tx, Applied(before, None, None, conflict=True, overtaken=overtaken))
    as_written, before = before, _as_left(tx, before, event)
    step = _step(before, event, rules)
    after = _after(tx, before, event, step, before.epoch if epoch is None else epoch, outcome)
    tx.payment_cache.change(before, after)
    leave: SendLeave | None = None
    if before.life.state is State.SENDING and after.life.state is not State.SENDING:
        _revoke(tx.payment_cache.send_leaves.get(payment))
    if after.life.attempt > before.life.attempt:
        leave = tx.payment_cache.send_leaves[payment] = SendLeave()
        assert attempt is not None, "nothing is sent before it is written down"
        assert (attempt.payment, attempt.attempt) == (payment, after.life.attempt), "that is another send's attempt"
        tx.attempted(attempt)
        tx.permit(f"{after.lane}/{after.bank_ref}", attempt.attempt, after.epoch)
    key = None if evidence is None else tx.witness(payment, evidence)
    _follow(tx, before, after, event, step, outcome)
    if after.batch is not None:
        batch_rows.follow(tx, before, after)
    if after.life.state is not before.life.state and STATE_TABLE[after.life.state].final:
        _end(tx, before, after, actor)
    exchanged = attempt.wire if leave is not None and attempt is not None else evidence.body if evidence else b""
    detail = _detail(before, after, event, step, key, exchanged)
    audit.append(tx, actor, f"payment.{step.rule}", payment, detail)
    applied = _handed_over(tx, Applied(before, after, step, conflict=False, leave=leave))
    if before is not as_written:
        _ask_about(tx, after, actor)
    return applied


def _as_left(tx: Tx, row: PaymentRow, event: Event) -> PaymentRow:
    """The payment as the state table must treat it. If the permit log has a send of an unsent payment, or persons
    released the lane of an older journal without a list of the missing sends, the payment may be at the bank: it is
    neither cancelled nor expired as if it were unsent."""
    life = row.life
    if not isinstance(event, _UNSENT_ENDS) or life.state not in UNSENT or life.first_write_ms is not None:
        return row
    if not (
        tx.permitted(f"{row.lane}/{row.bank_ref}", life.attempt + 1)
        or row.accepted_ms < lane_releases.unlisted_until_ms(tx.raw, row.lane)
    ):
        return row
    return replace(row, life=replace(life, first_write_ms=row.accepted_ms, last_write_ms=row.accepted_ms))


def _ask_about(tx: Tx, row: PaymentRow, actor: str) -> None:
    """Schedule an enquiry now about an order that may have been sent although the journal says that it was not. The
    order no longer waits to be sent."""
    if row.life.state in UNSENT:
        apply(tx, row.payment, Expire(tx.now_ms), epoch=None, actor=actor)
    tx.due(WorkRow(row.payment, Work.ENQUIRE, row.lane, tx.now_ms, row.epoch))


def _end(tx: Tx, before: PaymentRow, after: PaymentRow, actor: str) -> None:
    """Let the reserving rules return what was reserved for a payment that has ended, and cancel the payments that end
    with it."""
    for rule in tx.ports.of(LISTS).reserving:
        for payment in rule.ended(tx, before, after, actor):
            apply(tx, payment, Cancel(tx.now_ms), epoch=None, actor=actor)


def _handed_over(tx: Tx, applied: Applied) -> Applied:
    tx.changes.append(applied)
    return applied


def _step(row: PaymentRow, event: Event, rules: Callable[[Kind], Rules] | None) -> flow.Step:
    if rules is None:
        return flow.step(row.life, event)
    holding = stricter(row.life.rules, rules(row.order.kind))
    if holding == row.life.rules:
        return flow.step(row.life, event)
    step = flow.step(replace(row.life, rules=holding), event)
    return replace(step, life=replace(step.life, rules=row.life.rules))


def _revoke(leave: SendLeave | None) -> None:
    if leave is not None:
        leave.revoked = True


def _moved_on(row: PaymentRow, epoch: int | None, version: int | None, expect: State | None) -> bool:
    """True if the caller's view of the payment is out of date."""
    return (
        (epoch is not None and row.epoch > epoch)
        or (version is not None and row.version != version)
        or (expect is not None and row.life.state is not expect)
    )


def _after(
    tx: Tx, before: PaymentRow, event: Event, step: flow.Step, epoch: int, outcome: Outcome | None
) -> PaymentRow:
    state = step.life.state
    changed: dict[str, Any] = {}
    if isinstance(event, Hold) and state is State.HELD:
        changed["holds"] = event.reasons
    elif state is not State.HELD:
        changed["holds"] = ()
    if isinstance(event, _OF_HOLDS) and event.cleared:
        changed["cleared"] = in_order({*before.cleared, *event.cleared})
    if isinstance(event, Reject):
        changed["refusal"] = Refusal(event.code, CODES[event.code].meaning)
    # A final state keeps the bank's code and text of its verdict; later answers are in the evidence.
    if outcome is not None and (before.life.state in _OPEN or state is not before.life.state):
        changed["bank_code"] = fitting(outcome.code, _P.bank_code) or before.bank_code
        changed["bank_text"] = speakable(outcome.text) or before.bank_text
        changed["bank_serial"] = fitting(outcome.bank_serial or "", _P.bank_serial) or before.bank_serial
        if outcome.booked_at is not None:
            changed["booked_ms"] = int(outcome.booked_at.timestamp() * 1000)
    # The time at which it entered its state, not of its last change, because later answers are compared with this time.
    changed_ms = before.changed_ms if state is before.life.state else tx.now_ms
    return replace(
        before,
        life=replace(step.life, since_ms=changed_ms),
        version=before.version + 1,
        epoch=epoch,
        changed_ms=changed_ms,
        **changed,
    )


def _follow(
    tx: Tx, before: PaymentRow, after: PaymentRow, event: Event, step: flow.Step, outcome: Outcome | None
) -> None:
    tells = [effect for effect in step.effects if isinstance(effect, SendNews)]
    for seq, effect in enumerate(tells, start=after.life.seq - len(tells) + 1):
        _tell(tx, before, after, event, effect.event, seq, step, outcome)
    schedule(tx, after, step)


def schedule(tx: Tx, row: PaymentRow, step: flow.Step) -> None:
    """Write the work rows that the step demands."""
    for effect in step.effects:
        if isinstance(effect, ScheduleWork):
            tx.due(WorkRow(row.payment, effect.work, row.lane, effect.at_ms, row.epoch))
        elif isinstance(effect, WorkDone):
            tx.done(row.payment, effect.work)
        else:
            assert isinstance(effect, _NOT_WRITTEN), f"nothing is written for {effect}"


def _tell(
    tx: Tx,
    before: PaymentRow,
    after: PaymentRow,
    event: Event,
    name: str,
    seq: int,
    step: flow.Step,
    outcome: Outcome | None,
) -> None:
    was = before.life.state
    answered = event if isinstance(event, Answered) else None
    source = answered.source.value if answered else "persons" if isinstance(event, Resolve) else None
    news = events.news_of(
        after,
        name,
        seq,
        tx.now_ms,
        was=was if was in _DOUBT and after.life.state is not was else None,
        evidence=source,
        fee=outcome.fee if outcome is not None else None,
        reported=answered.fate if answered and name == CORRECTION_EVENT else None,
        next_enquiry_ms=next(_enquiries(step), None),
    )
    events.publish(tx, after, news)


def _enquiries(step: flow.Step) -> Iterator[int]:
    return (effect.at_ms for effect in step.effects if isinstance(effect, ScheduleWork) and effect.work is Work.ENQUIRE)


def _detail(
    before: PaymentRow, after: PaymentRow, event: Event, step: flow.Step, evidence: str | None, exchanged: bytes
) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "event": type(event).__name__,
        "before": before.life.state.value,
        "after": after.life.state.value,
        "version": after.version,
        "epoch": after.epoch,
        "seq": after.life.seq,
    }
    if isinstance(event, Answered):
        detail["fate"], detail["source"] = event.fate.value, event.source.value
    if isinstance(event, _OF_SENDS):
        detail["attempt"] = after.life.attempt
    reason = getattr(event, "reason", None)
    if reason is not None:
        detail["reason"] = reason
    if isinstance(event, Hold) and event.also:
        detail["reasons"] = list(event.reasons)
    if isinstance(event, _OF_HOLDS) and event.cleared:
        detail["cleared"] = list(event.cleared)
    alarms = [effect.slug for effect in step.effects if isinstance(effect, Alarm)]
    if alarms:
        detail["alarms"] = alarms
    denials = [effect.code.value for effect in step.effects if isinstance(effect, Deny)]
    if denials:
        detail["denied"] = denials
    if evidence is not None:
        detail["evidence"] = evidence
    # The entry itself fixes the bytes of the exchange: a wire or evidence that was replaced later disagrees with it.
    if exchanged:
        detail["sha256"] = hashlib.sha256(exchanged).hexdigest()
    return detail
