"""Sends each payment once: its bytes are committed first, and the permit is tested in the reactor turn that writes.

    ready? -> prepare (sign, hops) -> commit `sending` with the exact bytes -> last gate -> write -> answer -> commit

A message carries one order or many; a payment is a bundle of one. Up to the write nothing can have reached the bank;
from the commit on, every fault means doubt for every order of the message, unless not one byte was written. Where the
bank's rules allow it, a payment in doubt is repeated: the stored bytes leave once more, through the same two gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from twisted.internet.defer import CancelledError, DeferredLock

from gateway.approvals.gates import signed_lines
from gateway.approvals.rows import approval_checks
from gateway.bank import conversation as bank_conversation
from gateway.bank.bank_session import BankSession
from gateway.bank.connection import GONE, BankConnection, NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.enquiry import sent_from
from gateway.bank.fault_reasons import reason_of, signed_out
from gateway.bank.gates.approved_bytes import NOT_APPROVED, ApprovedBytes
from gateway.bank.key_trouble import NotSigned
from gateway.bank.lane_shared import LaneShared
from gateway.bank.outgoing import NOT_NAMED, Outgoing, SingleOrder, UnsendableOrder, leaves_of, outgoing, sending_rows
from gateway.bank.recorder import PaymentEvent
from gateway.bank.send_stages import CommittingSend, PreparedSend, RecordedSend
from gateway.kernel import log
from gateway.kernel.commit import attempts, audit
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.kernel.commit.store import PermittedBefore, Tx
from gateway.kernel.commit.work import may_leave_ms
from gateway.kernel.core import gate
from gateway.kernel.core.states import Answered, Cancel, Hold, NotSent, Overdue, Replay, Send, Silent, Source, Work
from gateway.payments.gates.send_facts import SendMessage
from gateway.payments.rows import transition
from protocols.bank import Fates, Submit
from protocols.canon.outcome import Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

RETRY_UNSENT_MS = 2_000
RETRY_REFUSED_MS = 30_000
RETRY_UNTRUSTED_MS = 600_000
_MAY_HAVE_LEFT = "escalated, because an earlier copy may be at the bank; the bank is still asked about it"
_log = log.get("bank.dispatch")


class Dispatch:
    """Carries a lane's payments to the bank. `sending` commits follow acceptance order per debtor account."""

    def __init__(self, shared: LaneShared) -> None:
        self._shared = shared
        self._parts = shared.parts
        self._gate = shared.gate
        self._recorder = shared.recorder
        self._metrics = shared.metrics
        self._work_queue = shared.work_queue
        self._door = DeferredLock()
        self._turns: dict[str, DeferredLock] = {}

    async def carry(self, session: BankSession, payment: str) -> None:
        """Send one ready payment, with those of its bundle, and record the bank's answer."""
        # One payment at a time: look-ups may finish in any order, but payments of an account must keep theirs.
        await self._door.acquire()
        stays = False
        try:
            row = await self._shared.ready.take_payment(payment)
            stays = row is None or not self._may_go(row)
            if row is None or stays:
                # An order whose validity has ended is ended by its own work item, which needs no bank.
                session.release()
                return
            turn, session.payment = self._turn(row), row.name
            entered = turn.acquire()
        finally:
            self._let_next_in(self._door, soon=stays)
        await entered
        if self._gate.paused or self._parts.companies.of(row):
            # The pause, of the lane or of the company, came while the payment waited for its turn; if written down, it
            # would only be stopped at the last gate.
            self._let_next_in(turn, soon=True)
            session.release()
            self._postpone((row,), RETRY_UNSENT_MS)
            return
        stays = False
        try:
            begun = await self._begin(session, row)
            stays = begun is None
        finally:
            # The writer commits in the order of the calls, except after locks of other sessions, so that the account's
            # next payment may begin.
            self._let_next_in(turn, soon=stays)
        if begun is not None:
            await self._after_commit(session, begun.ready, begun.committed_s, await begun.committing)

    async def _begin(self, session: BankSession, row: PaymentRow) -> CommittingSend | None:
        """Prepare the message and request its commit. Returns None, and gives the session back, if the message cannot
        be sent now."""
        message = await outgoing(self._parts, self._work_queue, row, self._shared.lease.epoch)
        if isinstance(message, UnsendableOrder):
            await self._hold(session, row, message)
            return None
        if message is None:
            session.release()
            return None
        ready = await self._prepare(session, message)
        if ready is None:
            return None
        committed_s = self._parts.clock.monotonic_s()
        return CommittingSend(ready, committed_s, self._parts.store.write(self._unit(ready)))

    async def _after_commit(
        self, session: BankSession, ready: PreparedSend, committed_s: float, applied: tuple[Applied, ...] | None
    ) -> None:
        if applied is None or any(one.conflict for one in applied):
            if ready.halts:
                ready.conversation.close()
                session.release()
                raise PermittedBefore(f"lane {self._parts.name}: a payment was about to be sent a second time")
            # The bytes name every order as it was. An order that only this lane saw in an old state is read again, and
            # then sent.
            ready.conversation.close()
            session.release()
            found = ready.message.rows if applied is None else [one.row_before for one in applied]
            self._postpone([row for row in found if row is not None and self._still_ours(row)], ready.again_ms)
            return
        signers, conversation = self._parts.signers, ready.conversation
        await self._speak(session, RecordedSend(
            ready.message, sending_rows(applied), leaves_of(applied), ready.submit.data, ready.line, committed_s,
            date.fromisoformat(ready.bank_date),
            lambda answer: bank_conversation.after_submit(session, conversation, signers, answer),
            conversation.close, ready.approved or NOT_APPROVED,
        ))  # fmt: skip

    def _let_next_in(self, lock: DeferredLock, *, soon: bool) -> None:
        """Release a lock: at once, or `soon`, from the event loop.

        A payment that is not sent has given its session to another payment, which is next for this lock. Many such
        payments in a row, each released at once, would call each other deeper than Python allows.
        """
        if soon:
            self._parts.clock.later(0, lock.release)
        else:
            lock.release()

    def _still_ours(self, row: PaymentRow) -> bool:
        return row.life.state is State.READY and row.epoch <= self._shared.lease.epoch

    def _turn(self, row: PaymentRow) -> DeferredLock:
        return self._turns.setdefault(row.order.ours.account.clear, DeferredLock())

    def _postpone(self, rows: Sequence[PaymentRow], by_ms: int, kind: Work = Work.SEND) -> None:
        due_ms = self._parts.clock.now_ms() + by_ms
        for row in rows:
            self._work_queue.postpone(row.payment, kind, due_ms)

    # ---- before the commit: nothing can have been sent ----

    def _may_go(self, row: PaymentRow) -> bool:
        now_ms, until_ms = self._parts.clock.now_ms(), row.life.valid_until_ms
        if row.life.state is not State.READY or (until_ms is not None and now_ms >= until_ms):
            return False
        opens_ms = max(self._opens_ms(now_ms), may_leave_ms(row, now_ms))
        if opens_ms > now_ms:
            self._work_queue.postpone(row.payment, Work.SEND, opens_ms)
            return False
        return True

    def _opens_ms(self, now_ms: int) -> int:
        """The time from which the payment may be sent: now or later."""
        opens_ms = self._shared.calendar.next_open_ms(now_ms)
        # Without the lease, or on a paused lane, the last gate would refuse it after a useless commit.
        # Without a key no message could be made.
        allowed = self._gate.permitted() and not self._gate.paused and not self._parts.keys_in_trouble()
        return opens_ms if allowed else max(opens_ms, now_ms + RETRY_UNSENT_MS)

    async def _prepare(self, session: BankSession, message: Outgoing) -> PreparedSend | None:
        """Make the bytes, and get the connection to write them to. Returns None, and gives the session back, if the
        message cannot be sent now."""
        context = self._shared.serials.context(session, message.reference, message.attempt + 1)
        conversation = message.conversation(context)
        kind = str(message.rows[0].order.kind)
        try:
            step = await bank_conversation.until_submit(session, conversation, self._parts.signers)
            if isinstance(step, Submit):
                line = await bank_conversation.proven(session, step.port)
                return PreparedSend(message, conversation, step, line, context.bank_date.isoformat())
        except NotSigned as error:
            # Nothing was sent, and the connections are in order.
            conversation.close()
            session.release()
            retry_ms, why = RETRY_UNSENT_MS, error.text
        except Declined as error:
            # A session that the bank does not know any more must sign on again before anything else is sent on it.
            session.release(signed_out=signed_out(error))
            retry_ms, why = RETRY_REFUSED_MS, str(error)
        except ProtocolError as error:
            # Nothing was sent, and another try would end the same way, so that a person must look at it.
            session.release()
            self._metrics.fault(error, kind)
            await self._hold_unprepared(message, str(error))
            return None
        except (NotConnected, NoAnswer) as error:
            conversation.close()
            session.release(distrust=True)
            self._metrics.fault(error, kind)
            retry_ms, why = RETRY_UNSENT_MS, str(error)
        else:
            session.release()
            said = f"{step.code} {step.text}" if isinstance(step, Outcome) else ""
            retry_ms, why = RETRY_REFUSED_MS, said or "the bank's adapter ended without a message to send"
        _log.warning(
            f"{message.noun}.not_prepared",
            bank=self._parts.bank_name,
            lane=self._parts.name,
            **message.facts,
            error=why,
            action=f"nothing was sent; the {message.noun} stays ready and is tried again",
        )
        self._postpone(message.rows, retry_ms)
        return None

    async def _hold_unprepared(self, message: Outgoing, error: str) -> None:
        left = any(row.life.first_write_ms is not None for row in message.rows)
        _log.error(
            f"{message.noun}.cannot_be_prepared",
            bank=self._parts.bank_name,
            **message.facts,
            error=error,
            action=_MAY_HAVE_LEFT if left else "held; nothing was sent; mend the cause, then release or cancel it",
        )
        await self._record_hold(message.rows, "cannot_be_prepared")

    async def _hold(self, session: BankSession, row: PaymentRow, why: UnsendableOrder) -> None:
        """Hold a payment that cannot be sent as it is: a person must look at it."""
        session.release()
        _log.error(
            "payment.cannot_be_prepared",
            bank=self._parts.bank_name,
            payment=row.payment,
            error=why.error,
            action=why.action,
        )
        await self._record_hold((row,), why.reason)

    async def _record_hold(self, rows: Sequence[PaymentRow], reason: str) -> None:
        hold = Hold(self._parts.clock.now_ms(), reason)
        events = [PaymentEvent(row.payment, hold) for row in rows]
        await self._recorder.record_all(events, self._shared.lease.epoch, expect=State.READY)

    def _unit(self, ready: PreparedSend) -> Callable[[Tx], tuple[Applied, ...] | None]:
        """The unit that sets all orders of the message to `sending` and stores its bytes. It returns None, and nothing
        is written, if one order has changed."""
        parts, epoch, message, submit = self._parts, self._shared.lease.epoch, ready.message, ready.submit
        key_ids = ",".join(parts.signers[name].key_id for name in parts.bank.profile.signs)

        def record_send(tx: Tx) -> tuple[Applied, ...] | None:
            # The bytes name every order as it was, and approvals are only about orders that may still be sent.
            overtaken = tx.epoch_of(parts.name) > epoch
            if changed := [row for row in message.rows if overtaken or not _unchanged(tx, row, State.READY)]:
                for row in changed:
                    # The event is a conflict: it writes nothing, and tells the recorder which kind of conflict it is.
                    transition.apply(
                        tx,
                        row.payment,
                        Send(tx.now_ms),
                        epoch=epoch,
                        expect=State.READY,
                        version=row.version,
                        actor=f"lane:{parts.name}",
                    )
                return None
            if self._stopped(tx, ready):
                return None
            wire = message.write_down(tx, ready.bank_date, submit)
            return tuple(
                transition.apply(
                    tx, row.payment, Send(tx.now_ms), epoch=epoch, expect=State.READY, version=row.version,
                    actor=f"lane:{parts.name}", rules=parts.rules,
                    attempt=AttemptRow(
                        payment=row.payment, attempt=row.life.attempt + 1, epoch=epoch, node=parts.node,
                        bank_date=ready.bank_date, serials=submit.serials, port=submit.port, wire=wire,
                        key_id=key_ids or None, first_write_ms=tx.now_ms,
                        replay_policy=str(parts.rules_of(row).replay),
                    ),
                )
                for row in message.rows
            )  # fmt: skip

        return record_send

    def _stopped(self, tx: Tx, ready: PreparedSend) -> bool:
        """Ask the rules of a send about every order of the message. If one rule does not pass, its verdict is carried
        out for its order, and no order is sent: True."""
        parts = self._parts
        message = SendMessage(tx, ready.message.rows, ready.submit.data, parts.bank.profile.name, parts.name)
        ready.again_ms, ready.halts, facts = 0, False, message.facts()
        for rule in parts.sending:
            stopped = [(one.row, against) for one in facts if (against := gate.ask(rule, one)) is not None]
            for row, against in stopped:
                self._befall(tx, ready, row, against)
            if stopped:
                return True
        lines = signed_lines.lines_of(message)
        ready.approved = ApprovedBytes(message.wire, lines) if lines else NOT_APPROVED
        return False

    def _befall(self, tx: Tx, ready: PreparedSend, row: PaymentRow, against: gate.Against) -> None:
        """Carry out a rule's verdict about one order: hold it, withdraw it, or let its message wait."""
        if isinstance(against, gate.Wait):
            ready.again_ms = max(against.until_ms - tx.now_ms, 0)
        elif isinstance(against, gate.Refuse):
            actor = f"lane:{self._parts.name}"
            transition.apply(
                tx,
                row.payment,
                Cancel(tx.now_ms),
                epoch=self._shared.lease.epoch,
                expect=State.READY,
                version=row.version,
                actor=actor,
            )
            audit.append(tx, actor, against.entry, row.payment, {"why": against.why})
        else:
            self._ring(against)
            ready.halts |= against.halts
            self._stop(tx, row, against.reason, against.entry, against.why)

    def _ring(self, against: gate.Against) -> None:
        if isinstance(against, gate.Hold) and against.alarm:
            self._parts.meters.alarms.labels(against.alarm).inc()

    def _stop(self, tx: Tx, row: PaymentRow, reason: str, entry: str, why: str) -> None:
        actor = f"lane:{self._parts.name}"
        applied = transition.apply(
            tx,
            row.payment,
            Hold(tx.now_ms, reason),
            epoch=self._shared.lease.epoch,
            expect=State.READY,
            version=row.version,
            actor=actor,
        )
        if not applied.conflict:
            audit.append(tx, actor, entry, row.payment, {"why": why})

    # ---- repeats ----

    async def repeat(self, session: BankSession, payment: str) -> None:
        """Send the stored bytes of a payment in doubt once more, if its rules still allow that."""
        found = await self._parts.store.read(lambda conn: attempts.last_with_payment(conn, payment))
        if found is None:
            session.release()
            return
        row, last = found
        line: BankConnection | None = None
        session.payment, now_ms = row.name, self._parts.clock.now_ms()
        if self._parts.companies.of(row):
            session.release()
            self._postpone((row,), RETRY_UNSENT_MS, Work.REPLAY)
            return
        opens_ms = self._repeat_opens_ms(row, now_ms)
        if row.life.state is State.IN_DOUBT:
            if opens_ms > now_ms:
                session.release()
                self._work_queue.postpone(payment, Work.REPLAY, opens_ms)
                return
            try:
                line = await bank_conversation.proven(session, last.port)
            except NotConnected as error:
                session.release(distrust=True)
                self._metrics.fault(error, row.order.kind.value)
                self._postpone((row,), RETRY_UNSENT_MS, Work.REPLAY)
                return
        bank_date = date.fromisoformat(last.bank_date)
        committed_s = self._parts.clock.monotonic_s()
        approved: list[ApprovedBytes] = []
        against: list[gate.Against] = []
        applied = await self._parts.store.write(
            self._repeat_unit(row, last, self._shared.calendar.day_ends_ms(bank_date), approved, against)
        )
        sending = applied.row_after
        if line is None or sending is None or sending.life.state is not State.SENDING:
            session.release()
            if any(isinstance(one, gate.Hold) and one.halts for one in against):
                raise PermittedBefore(f"lane {self._parts.name}: a repeat was about to be sent a second time")
            before = applied.row_before
            if applied.conflict and before is not None and before.epoch <= self._shared.lease.epoch:
                self._postpone((row,), 0, Work.REPLAY)
            return
        message, sent = SingleOrder(self._parts.bank, sending), sent_from(sending, last, sending.life.attempt)

        async def outcome_of(answer: bytes) -> Outcome:
            return self._parts.bank.read(sending.order.kind, sent, answer)

        await self._speak(session, RecordedSend(
            message, (sending,), leaves_of((applied,)), last.wire, line, committed_s, bank_date, outcome_of,
            lambda: None, *approved,
        ))  # fmt: skip

    def _repeat_opens_ms(self, row: PaymentRow, now_ms: int) -> int:
        """When the stored bytes may be sent again: in the bank's hours, by a trusted clock, and after a quarantine that
        this node has measured itself."""
        opens_ms, trust = self._opens_ms(now_ms), self._shared.clock_trust
        if opens_ms > now_ms:
            return opens_ms
        rest_ms = trust.quarantine_left_ms(self._parts.rules_of(row).quarantine_ms)
        return now_ms + (rest_ms if trust.trusted() else RETRY_UNTRUSTED_MS)

    def _repeat_unit(
        self,
        row: PaymentRow,
        last: AttemptRow,
        day_ends_ms: int,
        approved: list[ApprovedBytes],
        against: list[gate.Against],
    ) -> Callable[[Tx], Applied]:
        """The unit that records the repeat. Puts the bytes, with what approvers signed, into `approved`, and the
        finding of a rule that is against the repeat into `against`."""
        parts, epoch = self._parts, self._shared.lease.epoch

        def record_repeat(tx: Tx) -> Applied:
            # Every value of the attempt is copied, because the repeat must be the same bytes.
            attempt = replace(
                last, attempt=row.life.attempt + 1, epoch=epoch, node=self._parts.node, first_write_ms=tx.now_ms
            )
            actor = f"lane:{self._parts.name}"
            message = SendMessage(tx, (row,), last.wire, parts.bank.profile.name, parts.name, repeats=True)
            # The rules are asked about the payment as it is. If it changed, the event below is a conflict; another
            # repeat that is in the permit log by now is no sign of an altered journal.
            unchanged = tx.epoch_of(parts.name) <= epoch and _unchanged(tx, row, row.life.state)
            finding = gate.first(parts.repeating, message.facts()[0]) if unchanged else None
            # The unit may run again, after its group failed.
            against[:] = [] if finding is None else [finding]
            if finding is not None:
                self._ring(finding)
                return transition.apply(
                    tx, row.payment, Overdue(tx.now_ms), epoch=epoch, version=row.version, actor=actor
                )
            approved[:] = [ApprovedBytes(last.wire, approval_checks.at_repeat(tx, row))]
            return transition.apply(tx, row.payment, Replay(tx.now_ms, day_ends_ms), epoch=epoch,
                                    version=row.version, actor=actor,
                                    attempt=attempt, rules=self._parts.rules)  # fmt: skip

        return record_repeat

    # ---- after the commit: whatever goes wrong is doubt, unless not one byte was written ----

    async def _speak(self, session: BankSession, leaving: RecordedSend) -> None:
        """Ask the last rules, write the bytes, handle the answer. Rules and write are in one turn of the reactor."""
        started_s = self._parts.clock.monotonic_s()
        refusal = self._gate.refusal(
            leaving.rows, leaving.leaves, leaving.committed_s, leaving.bank_date, leaving.approved
        )
        if refusal is not None:
            await self._not_sent(session, leaving, refusal)
            return
        answer, heard = b"", False
        try:
            answer = await leaving.line.exchange(leaving.wire)
            heard = True
            result = await leaving.read(answer)
        except NoAnswer as error:
            if not error.written and not heard:
                await self._not_sent(session, leaving, error.reason)
                return
            leaving.close()
            await self._silent(session, leaving, error, answer or error.partial, started_s)
        except (NotConnected, ProtocolError) as error:
            await self._silent(session, leaving, error, answer, started_s)
        except CancelledError:
            raise
        except Exception:
            # The bank's code failed after the bytes left: the orders are in doubt, and the lane must stop.
            session.release(distrust=True)
            await self._record_silence(leaving, "adapter_defect", answer)
            raise
        else:
            session.release()
            await self._answered(leaving, leaving.message.outcomes(result), answer, started_s)

    async def _answered(self, leaving: RecordedSend, outcomes: Fates, answer: bytes, started_s: float) -> None:
        kind, now_ms, message = leaving.kind, self._parts.clock.now_ms(), leaving.message
        events = []
        for row in leaving.rows:
            outcome = outcomes.get(row.bank_ref, NOT_NAMED)
            if not outcome.listed:
                self._metrics.unlisted(kind, outcome)
            evidence = Evidence(Source.SUBMIT, message.own_answer(answer), outcome.fate, outcome.code, outcome.text)
            event = Answered(now_ms, outcome.fate, Source.SUBMIT, attempt=row.life.attempt)
            events.append(PaymentEvent(row.payment, event, evidence, outcome))
        self._metrics.observe(kind, message.metric_word(outcomes), self._parts.clock.monotonic_s() - started_s)
        await self._recorder.record_all(events, leaving.epoch, message.on_answer(answer))

    async def _silent(
        self,
        session: BankSession,
        leaving: RecordedSend,
        error: NotConnected | NoAnswer | ProtocolError,
        seen: bytes,
        started_s: float,
    ) -> None:
        session.release(distrust=True, signed_out=signed_out(error))
        word = self._metrics.fault(error, leaving.kind)
        word = "silent" if word == "not_sent" else word
        self._metrics.observe(leaving.kind, word, self._parts.clock.monotonic_s() - started_s)
        reason = reason_of(error)
        await self._record_silence(leaving, reason, seen, note=reason)

    async def _record_silence(self, leaving: RecordedSend, reason: str, seen: bytes, note: str = "") -> None:
        now_ms, own = self._parts.clock.now_ms(), leaving.message.own_answer(seen)
        evidence = Evidence(Source.SUBMIT, own, note=note) if own else None
        events = [PaymentEvent(row.payment, Silent(now_ms, reason, row.life.attempt), evidence) for row in leaving.rows]
        await self._recorder.record_all(events, leaving.epoch, leaving.message.on_answer(seen))

    async def _not_sent(self, session: BankSession, leaving: RecordedSend, reason: str) -> None:
        if reason != GONE:
            self._parts.meters.permits_refused.labels(self._parts.bank_name).inc()
        leaving.close()
        session.release(distrust=True)
        self._metrics.observe(leaving.kind, "not_sent", 0.0)
        now_ms = self._parts.clock.now_ms()
        events = [
            PaymentEvent(row.payment, NotSent(now_ms, reason, now_ms + RETRY_UNSENT_MS, row.life.attempt))
            for row in leaving.rows
        ]
        await self._recorder.record_all(events, leaving.epoch, leaving.message.on_not_sent())


def _unchanged(tx: Tx, row: PaymentRow, state: State) -> bool:
    now = tx.payment_cache.row(tx.raw, tx.vault, row.payment)
    if now is None or now.version != row.version:
        # Perhaps this lane has seen a change of another node that the writer's cache has not.
        now = tx.payment_cache.afresh(tx.raw, tx.vault, row.payment)
    return now is not None and now.version == row.version and now.life.state is state
