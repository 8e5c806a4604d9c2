"""The values that a commit hands over to its listeners: messages, due work, new payments, and changes of payments."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.kernel.commit.rows import OutboxRow, PaymentRow, WorkRow
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.core import flow
from protocols.canon.fast_init import fast_init


@fast_init
@dataclass(frozen=True, slots=True)
class Applied:
    """The result of an event for a payment. With `conflict` nothing changed, because the caller's lane or its view is
    out of date.

    `overtaken`: another node owns the lane now. If it is false in a conflict, this owner changed the payment meanwhile.
    `row_before` None: there is no such payment. `step` has the alarms to raise and the denials to answer. `leave` is
    set for a committed send.
    """

    row_before: PaymentRow | None
    row_after: PaymentRow | None
    step: flow.Step | None
    conflict: bool
    leave: SendLeave | None = None
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """The changes that one commit hands to its listeners, each list in the order of the units.

    `changes` are the events of payments that exist, conflicts included; `admitted` are new payments.
    """

    messages: tuple[OutboxRow, ...]
    works: tuple[WorkRow, ...]
    admitted: tuple[PaymentRow, ...] = ()
    changes: tuple[Applied, ...] = ()

    def by_lane(self) -> dict[str, HandOver]:
        """These changes by lane, without the messages."""
        works: dict[str, list[WorkRow]] = {}
        admitted: dict[str, list[PaymentRow]] = {}
        changes: dict[str, list[Applied]] = {}
        for work in self.works:
            works.setdefault(work.lane, []).append(work)
        for row in self.admitted:
            admitted.setdefault(row.lane, []).append(row)
        for applied in self.changes:
            if applied.row_before is not None:
                changes.setdefault(applied.row_before.lane, []).append(applied)
        return {
            lane: HandOver((), tuple(works.get(lane, ())), tuple(admitted.get(lane, ())), tuple(changes.get(lane, ())))
            for lane in (works | admitted | changes)
        }

    def __bool__(self) -> bool:
        return bool(self.messages or self.works or self.admitted or self.changes)
