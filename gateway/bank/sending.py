"""Sends one payment, once: what is about to leave is committed first, and the permit is tested as it leaves.

    row ready? -> prepare (sign, hops) -> commit `sending` with the exact bytes -> permit -> write -> answer -> commit

Up to the write nothing can have reached the bank; from the commit on, whatever goes wrong is doubt. Where the bank's
rules allow it, a payment in doubt is repeated: the stored bytes leave once more, with the same two gates before them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, DeferredLock

from gateway import log
from gateway.bank import conversation as bank_conversation
from gateway.bank.connection import GONE, NO_PERMIT, BankConnection, NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.enquiry import sent_from
from gateway.bank.fault_reasons import reason_of, signed_out
from gateway.bank.session_pool import BankSession
from gateway.core import guards
from gateway.core.states import Answered, Hold, NotSent, Replay, Send, Silent, Source, Work
from gateway.journal.commit import attempts
from gateway.journal.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.journal.commit.send_leave import SendLeave
from gateway.journal.commit.store import Tx
from gateway.journal.commit.work import may_leave_ms
from gateway.journal.payments import transition as journal_apply
from protocols.bank import MoneyConversation, Submit
from protocols.canon.outcome import Fate, Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

if TYPE_CHECKING:
    from gateway.bank.lane import Lane

RETRY_UNSENT_MS = 2_000
RETRY_REFUSED_MS = 30_000
RETRY_UNTRUSTED_MS = 600_000
_log = log.get("bank.sending")


class Sending:
    """The lane's way of carrying payments. `sending` commits follow acceptance order per debtor account."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._parts = lane.parts
        self._door = DeferredLock()
        self._turns: dict[str, DeferredLock] = {}

    async def carry(self, session: BankSession, payment: str) -> None:
        """Take one payment from ready to whatever the bank says."""
        # One at a time through the door: look-ups may finish in any order, accounts must queue in theirs.
        await self._door.acquire()
        stays = False
        try:
            row = await self._lane.row(payment)
            stays = row is None or not self._may_go(row)
            if row is None or stays:
                # One whose validity has ended is ended by its own work, which needs no bank.
                self._lane.session_pool.release(session)
                return
            turn = self._turn(row)
            entered = turn.acquire()
        finally:
            self._pass_on(self._door, soon=stays)
        await entered
        if self._lane.paused:
            # It waited for its turn meanwhile; written down, it would only be stopped at the last gate.
            self._pass_on(turn, soon=True)
            self._lane.session_pool.release(session)
            self._lane.postpone(payment, self._parts.clock.now_ms() + RETRY_UNSENT_MS)
            return
        if self._lane.bundling.carries(row):
            await self._lane.bundling.carry(session, row, turn)
            return
        stays = False
        try:
            ready = await self._prepare(session, row)
            stays = ready is None
            if ready is None:
                return
            committed_s = self._parts.clock.monotonic_s()
            committing = self._parts.store.write(self._unit(row, ready))
        finally:
            # The writer commits in the order of the calls (strangers' locks apart): the next of this account may begin.
            self._pass_on(turn, soon=stays)
        applied = await committing
        self._lane.noted(applied)
        sending = applied.row_after
        if sending is None:
            ready.conversation.close()
            self._lane.session_pool.release(session)
            if self._still_ours(applied.row_before):
                self._lane.postpone(payment, self._parts.clock.now_ms())
            return
        assert sending.life.state is State.SENDING, "a send that is no conflict is always let go"
        assert applied.leave is not None, "what was written down may leave"
        conversation = ready.conversation
        await self._speak(session, sending, _Leaving(
            ready.submit.data, ready.line, committed_s, date.fromisoformat(ready.bank_date), applied.leave,
            lambda answer: bank_conversation.after_submit(session, conversation, self._parts.signers, answer),
            conversation.close,
        ))  # fmt: skip

    def _pass_on(self, lock: DeferredLock, *, soon: bool) -> None:
        """Let the next one in: at once, or `soon`, from the event loop.

        Whatever stays has given its session to another one, which is next in this line: many in a row that stay at once
        would call each other deeper than Python allows.
        """
        if soon:
            self._parts.clock.later(0, lock.release)
        else:
            lock.release()

    def _still_ours(self, row: PaymentRow | None) -> bool:
        """Whether only our view of it was old: it is read again, and then sent."""
        return row is not None and row.life.state is State.READY and row.epoch <= self._lane.epoch

    def _turn(self, row: PaymentRow) -> DeferredLock:
        return self._turns.setdefault(row.order.ours.account.clear, DeferredLock())

    # ---- before the commit: nothing can have been sent ----

    def _may_go(self, row: PaymentRow) -> bool:
        now_ms, until_ms = self._parts.clock.now_ms(), row.life.valid_until_ms
        if row.life.state is not State.READY or (until_ms is not None and now_ms >= until_ms):
            return False
        opens_ms = max(self._opens_ms(now_ms), may_leave_ms(row, now_ms))
        if opens_ms > now_ms:
            self._lane.postpone(row.payment, opens_ms)
            return False
        return True

    def _opens_ms(self, now_ms: int) -> int:
        """When something may leave: now or later."""
        opens_ms = self._lane.next_open_ms(now_ms)
        # Without the lease, or on a paused lane, the last gate would refuse it, after one commit for nothing.
        lane = self._lane
        return opens_ms if lane.permitted() and not lane.paused else max(opens_ms, now_ms + RETRY_UNSENT_MS)

    async def _prepare(self, session: BankSession, row: PaymentRow) -> _Ready | None:
        """The bytes and the connection to write them to; None, and the session is given back, if it cannot go now."""
        if row.order.kind not in self._parts.bank.money:
            await self._switched_off(session, row)
            return None
        context = self._lane.context(session, row.bank_ref, row.life.attempt + 1)
        conversation = self._parts.bank.money[row.order.kind](row.order, context)
        try:
            step = await bank_conversation.until_submit(session, conversation, self._parts.signers)
            if isinstance(step, Submit):
                line = await bank_conversation.proven(session, step.port)
                return _Ready(conversation, step, line, context.bank_date.isoformat())
        except Declined as error:
            # A session the bank does not know any more must sign on again before anything else is said on it.
            self._lane.session_pool.release(session, signed_out=signed_out(error))
            retry_ms, why = RETRY_REFUSED_MS, str(error)
        except ProtocolError as error:
            # Nothing was sent, and trying again would end the same way: a person must look at this order.
            self._lane.session_pool.release(session)
            self._lane.exchange_metrics.fault(error, row.order.kind.value)
            _log.error("payment.cannot_be_prepared", bank=self._parts.bank_name, payment=row.payment, error=str(error),
                       action="held; nothing was sent" if row.life.first_write_ms is None else
                       "escalated, as an earlier copy has left; it is asked about on")  # fmt: skip
            hold = Hold(self._parts.clock.now_ms(), "cannot_be_prepared")
            await self._lane.record(row.payment, hold, expect=State.READY)
            return None
        except (NotConnected, NoAnswer) as error:
            conversation.close()
            self._lane.session_pool.release(session, distrust=True)
            self._lane.exchange_metrics.fault(error, row.order.kind.value)
            retry_ms, why = RETRY_UNSENT_MS, str(error)
        else:
            self._lane.session_pool.release(session)
            retry_ms, why = RETRY_REFUSED_MS, f"{step.code} {step.text}"
        _log.warning("payment.not_prepared", bank=self._parts.bank_name, lane=self._parts.name, payment=row.payment,
                     error=why, action="stays ready and is tried again")  # fmt: skip
        self._lane.postpone(row.payment, self._parts.clock.now_ms() + retry_ms)
        return None

    async def _switched_off(self, session: BankSession, row: PaymentRow) -> None:
        """Its kind was taken out of the bank's settings after it was accepted: a person must look at it."""
        self._lane.session_pool.release(session)
        _log.error("payment.cannot_be_prepared", bank=self._parts.bank_name, payment=row.payment,
                   error=f"{row.order.kind.value} is switched off at this bank",
                   action="held; switch it on again and release it, or cancel it")  # fmt: skip
        hold = Hold(self._parts.clock.now_ms(), "cannot_be_prepared")
        await self._lane.record(row.payment, hold, expect=State.READY)

    def _unit(self, row: PaymentRow, ready: _Ready) -> Callable[[Tx], journal_apply.Applied]:
        epoch = self._lane.epoch
        replay = self._lane.rules_of(row).replay.value
        key_ids = ",".join(self._parts.signers[name].key_id for name in self._parts.bank.profile.signs)

        def unit(tx: Tx) -> journal_apply.Applied:
            attempt = AttemptRow(
                payment=row.payment, attempt=row.life.attempt + 1, epoch=epoch, node=self._parts.node,
                bank_date=ready.bank_date, serials=ready.submit.serials, port=ready.submit.port,
                wire=ready.submit.data, key_id=key_ids or None, first_write_ms=tx.now_ms, replay_policy=replay,
            )  # fmt: skip
            return journal_apply.apply(tx, row.payment, Send(tx.now_ms), epoch=epoch, expect=State.READY,
                                       version=row.version, actor=f"lane:{self._parts.name}",
                                       attempt=attempt, rules=self._parts.rules)  # fmt: skip

        return unit

    # ---- repeats ----

    async def repeat(self, session: BankSession, payment: str) -> None:
        """Let the stored bytes of a payment in doubt leave once more, if its rules still allow that."""
        lane, now_ms = self._lane, self._parts.clock.now_ms()
        found = await self._parts.store.read(lambda conn: attempts.last_with_payment(conn, payment))
        if found is None:
            lane.session_pool.release(session)
            return
        row, last = found
        opens_ms = self._opens_ms(now_ms)
        if opens_ms <= now_ms:
            rest_ms = lane.clock_trust.quarantine_left_ms(lane.rules_of(row).quarantine_ms)
            opens_ms = now_ms + (rest_ms if lane.clock_trust.trusted() else RETRY_UNTRUSTED_MS)
        line: BankConnection | None = None
        if row.life.state is State.IN_DOUBT:
            if opens_ms > now_ms:
                lane.session_pool.release(session)
                lane.postpone(payment, opens_ms, Work.REPLAY)
                return
            try:
                line = await bank_conversation.proven(session, last.port)
            except NotConnected as error:
                lane.session_pool.release(session, distrust=True)
                lane.exchange_metrics.fault(error, row.order.kind.value)
                lane.postpone(payment, self._parts.clock.now_ms() + RETRY_UNSENT_MS, Work.REPLAY)
                return
        bank_date = date.fromisoformat(last.bank_date)
        day_ends_ms = lane.day_ends_ms(bank_date)
        committed_s = self._parts.clock.monotonic_s()
        applied = await self._parts.store.write(self._repeat_unit(row, last, day_ends_ms))
        lane.noted(applied)
        sending = applied.row_after
        if line is None or sending is None or sending.life.state is not State.SENDING:
            lane.session_pool.release(session)
            if applied.conflict and applied.row_before is not None and applied.row_before.epoch <= lane.epoch:
                lane.postpone(payment, self._parts.clock.now_ms(), Work.REPLAY)
            return
        sent = sent_from(sending, last, sending.life.attempt)

        async def read(answer: bytes) -> Outcome:
            return self._parts.bank.read(sending.order.kind, sent, answer)

        assert applied.leave is not None, "what was written down may leave"
        leaving = _Leaving(last.wire, line, committed_s, bank_date, applied.leave, read, lambda: None)
        await self._speak(session, sending, leaving)

    def _repeat_unit(
        self, row: PaymentRow, last: AttemptRow, day_ends_ms: int
    ) -> Callable[[Tx], journal_apply.Applied]:
        epoch = self._lane.epoch

        def unit(tx: Tx) -> journal_apply.Applied:
            # Everything of the attempt is copied: what leaves is what left, to the byte.
            attempt = replace(last, attempt=row.life.attempt + 1, epoch=epoch, node=self._parts.node,
                              first_write_ms=tx.now_ms)  # fmt: skip
            return journal_apply.apply(tx, row.payment, Replay(tx.now_ms, day_ends_ms), epoch=epoch,
                                       version=row.version, actor=f"lane:{self._parts.name}",
                                       attempt=attempt, rules=self._parts.rules)  # fmt: skip

        return unit

    # ---- after the commit: whatever goes wrong is doubt, unless not one byte was written ----

    async def _speak(self, session: BankSession, row: PaymentRow, leaving: _Leaving) -> None:
        lane, started_s = self._lane, self._parts.clock.monotonic_s()
        refusal = self._gate(row, leaving)
        if refusal is not None:
            await self._not_sent(session, row, leaving, refusal)
            return
        answer, heard = b"", False
        try:
            answer = await leaving.line.exchange(leaving.wire)
            heard = True
            outcome = await leaving.read(answer)
        except NoAnswer as error:
            if not error.written and not heard:
                await self._not_sent(session, row, leaving, error.reason)
                return
            leaving.close()
            await self._silent(session, row, error, answer or error.partial, started_s)
        except (NotConnected, ProtocolError) as error:
            await self._silent(session, row, error, answer, started_s)
        except CancelledError:
            raise
        except Exception:
            # A defect in the bank's code after the bytes left: the payment is in doubt, and the lane must stop.
            lane.session_pool.release(session, distrust=True)
            silent = Silent(self._parts.clock.now_ms(), "adapter_defect", row.life.attempt)
            await lane.record(row.payment, silent, Evidence(Source.SUBMIT, answer), epoch=row.epoch)
            raise
        else:
            lane.session_pool.release(session)
            await self._heard(row, outcome, answer, started_s)

    def _gate(self, row: PaymentRow, leaving: _Leaving) -> str | None:
        """The last gate, in the same turn as the write: why these bytes may not leave now, or None."""
        if not self._lane.permits(row.epoch, leaving.committed_s):
            return NO_PERMIT
        if leaving.leave.revoked:
            return "overtaken"
        if self._lane.paused:
            # Given while this was prepared or committed: whoever paused the lane was told that nothing is sent.
            return "paused"
        now_ms, valid_until_ms = self._parts.clock.now_ms(), row.life.valid_until_ms
        day_ends_ms = self._lane.day_ends_ms(leaving.bank_date)
        if valid_until_ms is not None and now_ms >= valid_until_ms:
            return "expired"
        if row.life.repeats:
            life = replace(row.life, rules=self._lane.rules_of(row))
            if not guards.may_leave_again(life, now_ms, day_ends_ms):
                return "window_closed"
        return self._lane.shut(None if row.life.repeats else leaving.bank_date)

    async def _heard(self, row: PaymentRow, outcome: Outcome, answer: bytes, started_s: float) -> None:
        lane, kind = self._lane, row.order.kind.value
        if not outcome.listed:
            lane.exchange_metrics.unlisted(kind, outcome)
        word = "unlisted_code" if not outcome.listed else _WORDS.get(outcome.fate, "ok")
        lane.exchange_metrics.observe(kind, word, self._parts.clock.monotonic_s() - started_s)
        evidence = Evidence(Source.SUBMIT, answer, outcome.fate, outcome.code, outcome.text)
        event = Answered(self._parts.clock.now_ms(), outcome.fate, Source.SUBMIT, attempt=row.life.attempt)
        await lane.record(row.payment, event, evidence, outcome, epoch=row.epoch)

    async def _silent(
        self, session: BankSession, row: PaymentRow, error: NotConnected | NoAnswer | ProtocolError, seen: bytes,
        started_s: float,
    ) -> None:  # fmt: skip
        self._lane.session_pool.release(session, distrust=True, signed_out=signed_out(error))
        word = self._lane.exchange_metrics.fault(error, row.order.kind.value)
        word = "silent" if word == "not_sent" else word
        self._lane.exchange_metrics.observe(row.order.kind.value, word, self._parts.clock.monotonic_s() - started_s)
        reason = reason_of(error)
        evidence = Evidence(Source.SUBMIT, seen, note=reason) if seen else None
        silent = Silent(self._parts.clock.now_ms(), reason, row.life.attempt)
        await self._lane.record(row.payment, silent, evidence, epoch=row.epoch)

    async def _not_sent(self, session: BankSession, row: PaymentRow, leaving: _Leaving, reason: str) -> None:
        if reason != GONE:
            self._parts.meters.permits_refused.labels(self._parts.bank_name).inc()
        leaving.close()
        self._lane.session_pool.release(session, distrust=True)
        self._lane.exchange_metrics.observe(row.order.kind.value, "not_sent", 0.0)
        now_ms = self._parts.clock.now_ms()
        not_sent = NotSent(now_ms, reason, now_ms + RETRY_UNSENT_MS, row.life.attempt)
        await self._lane.record(row.payment, not_sent, epoch=row.epoch)


_WORDS = {Fate.FAILED: "refused", Fate.UNKNOWN: "in_doubt", Fate.DUPLICATE: "in_doubt", Fate.NOT_FOUND: "in_doubt"}


@dataclass(frozen=True, slots=True)
class _Ready:
    conversation: MoneyConversation
    submit: Submit
    line: BankConnection
    bank_date: str


@dataclass(frozen=True, slots=True)
class _Leaving:
    """Bytes that were written down, and what is done with their answer. `committed_s` is from before the commit."""

    wire: bytes
    line: BankConnection
    committed_s: float
    bank_date: date
    leave: SendLeave
    read: Callable[[bytes], Awaitable[Outcome]]
    close: Callable[[], None]
