"""Records events of a lane's payments, and counts and logs each change after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import Lease
from gateway.kernel import log
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import Evidence
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Alarm, Event
from gateway.payments.rows import transition
from protocols.canon.fast_init import fast_init
from protocols.canon.outcome import Outcome, State

_log = log.get("bank.recorder")


@fast_init
@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One event for one payment, with its evidence and the bank's own text."""

    payment: str
    event: Event
    evidence: Evidence | None = None
    outcome: Outcome | None = None


class Recorder:
    """Commits events under the lane's epoch. `on_applied` gets every change of the lane's payments."""

    def __init__(self, parts: LaneParts, lease: Lease) -> None:
        self._parts = parts
        self._lease = lease
        self._actor = f"lane:{parts.name}"

    async def record(
        self,
        payment: str,
        event: Event,
        evidence: Evidence | None = None,
        outcome: Outcome | None = None,
        expect: State | None = None,
        epoch: int | None = None,
    ) -> None:
        """Commit one event. Under a stale epoch, or in another state than `expect`, it changes nothing.

        `epoch` is the epoch under which the recorded exchange began (default: the present one), because the lane may
        have a later epoch by now.
        """
        began = self._lease.epoch if epoch is None else epoch
        await self.record_all([PaymentEvent(payment, event, evidence, outcome)], began, expect=expect)

    async def record_all(
        self,
        events: Sequence[PaymentEvent],
        epoch: int,
        also: Callable[[Tx], None] | None = None,
        expect: State | None = None,
    ) -> None:
        """Commit these events in one unit. `also` runs in the same unit, unless another owner has the lane by then."""

        def apply_events(tx: Tx) -> tuple[Applied, ...]:
            if also is not None and tx.epoch_of(self._parts.name) <= epoch:
                also(tx)
            return tuple(
                transition.apply(
                    tx,
                    one.payment,
                    one.event,
                    epoch=epoch,
                    actor=self._actor,
                    evidence=one.evidence,
                    outcome=one.outcome,
                    expect=expect,
                    rules=self._parts.rules,
                )
                for one in events
            )

        for one, applied in zip(events, await self._parts.store.write(apply_events), strict=True):
            if applied.row_before is None:
                _log.warning(
                    "payment.not_ours",
                    lane=self._parts.name,
                    epoch=epoch,
                    payment=one.payment,
                    action="the journal has no such payment; nothing was changed",
                )

    def on_applied(self, applied: Applied) -> None:
        """Count and log what a commit changed about a payment of this lane, whoever caused it."""
        if applied.conflict:
            self._on_conflict(applied)
            return
        assert applied.row_before is not None and applied.row_after is not None and applied.step is not None
        before, after = applied.row_before.life, applied.row_after.life
        bank = self._parts.bank_name
        if after.state is not before.state:
            state = str(after.state)
            self._parts.meters.payments.labels(bank, state).inc()
            _log.info(
                f"payment.{state}",
                bank=bank,
                lane=self._parts.name,
                payment=applied.row_after.payment,
                order=applied.row_after.order.id,
                was=str(before.state),
                rule=applied.step.rule,
                correlation_id=applied.row_after.reply.correlation_id,
            )
        for effect in applied.step.effects:
            if isinstance(effect, Alarm):
                self._parts.meters.alarms.labels(effect.slug).inc()
                _log.error(
                    "payment.alarm",
                    bank=bank,
                    alarm=effect.slug,
                    payment=applied.row_after.payment,
                    action=f"a person must check the payment: bankgw orders show {applied.row_after.payment}",
                )

    def _on_conflict(self, applied: Applied) -> None:
        assert applied.row_before is not None, "a commit hands over changes of payments that exist"
        row = applied.row_before
        if applied.overtaken:
            _log.warning(
                "payment.not_ours",
                lane=self._parts.name,
                epoch=self._lease.epoch,
                payment=row.payment,
                action="another node has the lane now; this node changed nothing",
            )
        else:
            # The work was handed out twice, by memory and by the journal; the first run has done it.
            _log.debug("payment.done_already", lane=self._parts.name, payment=row.payment, state=row.life.state.value)
