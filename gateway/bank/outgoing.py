"""A message to the bank that leaves in one write: one order, or many orders in one file. Only `outgoing` decides which.

Both forms do the same for `dispatch`: they make the bank's conversation, record what must be durable before the write,
and turn the answer into one outcome per order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.bank.lane_parts import LaneParts
from gateway.bank.work_queue import WorkQueue
from gateway.kernel import log
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Work
from gateway.payments.rows import bundles
from gateway.payments.rows.bundles import BundleRow, BundleSend
from protocols.bank import Bank, Context, Fates, MoneyStep, Submit
from protocols.canon.fast_init import fast_init
from protocols.canon.order import Bundle, Item
from protocols.canon.outcome import Fate, Outcome, State

NOT_NAMED = Outcome(Fate.UNKNOWN, text="the answer does not name this item")
_METRIC_WORDS = {
    Fate.FAILED: "refused",
    Fate.UNKNOWN: "in_doubt",
    Fate.DUPLICATE: "in_doubt",
    Fate.NOT_FOUND: "in_doubt",
}
_log = log.get("bank.outgoing")


class Outgoing(Protocol):
    """One message to the bank and the orders in it. `noun` and `facts` name it in log lines."""

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """The message's orders, in their places in the message."""

    @property
    def noun(self) -> str:
        """`payment` or `bundle`, for log lines."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The message's key, for log lines."""

    @property
    def reference(self) -> str:
        """The bank's reference of the message."""

    @property
    def attempt(self) -> int:
        """The number of attempts that were recorded before this one."""

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """The bank's conversation that sends it."""

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """Record what belongs to the message as a whole, in the unit that found its orders unchanged and sets them to
        `sending`. Returns the bytes to keep with each order."""

    def outcomes(self, result: Any) -> Fates:
        """The bank's verdict on each order, by the order's reference."""

    def metric_word(self, outcomes: Fates) -> str:
        """The outcome of the exchange as the metric's label."""

    def own_answer(self, answer: bytes) -> bytes:
        """The bytes of the answer that are evidence for each order by itself."""

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """A function that stores the answer's bytes once for all orders; None if each order keeps them."""

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """A function that is run with the orders' events when not one byte was sent; None if there is nothing more to
        write."""


@dataclass(frozen=True, slots=True)
class UnsendableOrder:
    """An order that cannot be sent at all, with the reasons. The order is held under `reason`; `error` and `action` are
    for the log.
    """

    reason: str
    error: str
    action: str


def travels_in_bundles(bank: Bank, row: PaymentRow) -> bool:
    """True if the bank takes this order together with others in one file."""
    return row.order.kind in bank.bundles


async def outgoing(
    parts: LaneParts, work_queue: WorkQueue, row: PaymentRow, epoch: int
) -> Outgoing | UnsendableOrder | None:
    """The message for this ready order: alone, or with the orders of its bundle.

    None if the order need not be sent any more, because it left in another order's message.
    """
    if not travels_in_bundles(parts.bank, row):
        if row.order.kind in parts.bank.money:
            return SingleOrder(parts.bank, row)
        return UnsendableOrder(
            "cannot_be_prepared",
            f"{row.order.kind.value} is switched off at this bank",
            "the order is held; switch the kind on again and release the order, or cancel it",
        )
    most, form = parts.bank.bundles[row.order.kind].most, parts.bank.profile.limits.reference
    found = await parts.store.write(lambda tx: bundles.allot(tx, row.payment, most, form, epoch))
    if found is not None:
        # They leave together, so that none of them is sent by itself any more.
        for one in found[1]:
            work_queue.forget(one.payment, Work.SEND)
        return OrderBundle(parts, *found)
    if row.life.first_write_ms is None:
        return None
    # An order that left in one message is never sent in another: questions about the first would not cover it any more.
    return UnsendableOrder(
        "has_left_before",
        "the message that it was part of may be at the bank",
        "escalated and not sent again; the bank is asked what became of it",
    )


@fast_init
@dataclass(frozen=True, slots=True)
class SingleOrder:
    """One order in a message of its own. Bytes, answer and attempt are kept with the payment. See Outgoing."""

    bank: Bank
    row: PaymentRow

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """The one order of the message, as a tuple."""
        return (self.row,)

    @property
    def noun(self) -> str:
        """The noun `payment`, for log lines."""
        return "payment"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The payment's key, for log lines."""
        return {"payment": self.row.payment}

    @property
    def reference(self) -> str:
        """The payment's bank reference."""
        return self.row.bank_ref

    @property
    def attempt(self) -> int:
        """The number of attempts of the payment recorded before this one."""
        return self.row.life.attempt

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """The bank's conversation that sends the order."""
        return self.bank.money[self.row.order.kind](self.row.order, context)

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """Return the bytes, which are kept with the payment; nothing else is recorded."""
        return submit.data

    def outcomes(self, result: Any) -> Fates:
        """The bank's verdict on the one order, by its reference."""
        return {self.row.bank_ref: result}

    def metric_word(self, outcomes: Fates) -> str:
        """The metric's label for the bank's verdict on the order."""
        outcome = outcomes[self.row.bank_ref]
        return _METRIC_WORDS.get(outcome.fate, "ok") if outcome.listed else "unlisted_code"

    def own_answer(self, answer: bytes) -> bytes:
        """The whole answer, which is evidence for the one order."""
        return answer

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """None, because the answer is kept with the payment's evidence."""
        return None

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """None, because there is nothing to write besides the payment's event."""
        return None


@dataclass(frozen=True, slots=True)
class OrderBundle:
    """Many orders in one message. Bytes and answer are kept with the bundle, once. It is never sent again."""

    parts: LaneParts
    bundle: BundleRow
    rows: tuple[PaymentRow, ...]

    @property
    def noun(self) -> str:
        """The noun `bundle`, for log lines."""
        return "bundle"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The bundle's key and its number of orders, for log lines."""
        return {"bundle": self.bundle.bundle, "items": len(self.rows)}

    @property
    def reference(self) -> str:
        """The bundle's bank reference."""
        return self.bundle.bank_ref

    @property
    def attempt(self) -> int:
        """The number of attempts of the bundle recorded before this one."""
        return self.bundle.attempt

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """The bank's conversation that sends the orders together."""
        word = Bundle(self.bundle.kind, tuple(Item(row.order, row.bank_ref) for row in self.rows))
        return self.parts.bank.bundles[self.bundle.kind].word(word, context)

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """Record the bundle's attempt with its bytes. Returns no bytes, because none are kept with each order."""
        bundles.sending(tx, self.bundle, self.rows, BundleSend(bank_date, submit.serials, submit.port, submit.data))
        return b""

    def outcomes(self, result: Any) -> Fates:
        """The bank's verdict on each order. Raises an alarm for references that the message did not have."""
        alarm_on_strangers(self.parts, self.bundle, self.rows, result)
        fates: Fates = result
        return fates

    def metric_word(self, outcomes: Fates) -> str:
        """The metric's label, which is always `ok` for a bundle."""
        return "ok"

    def own_answer(self, answer: bytes) -> bytes:
        """No bytes, because the answer is stored once for the bundle."""
        return b""

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """A function that stores the answer with the bundle; None for an empty answer."""
        return (lambda tx: bundles.answered(tx, self.bundle.bundle, answer)) if answer else None

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """A function that marks the bundle unspent."""
        return lambda tx: bundles.unsent(tx, self.bundle.bundle)


def alarm_on_strangers(parts: LaneParts, bundle: BundleRow, rows: tuple[PaymentRow, ...], fates: Fates) -> None:
    """Raise an alarm if the bank's answer names references that the message did not have. Their outcomes are not
    applied to any payment."""
    strange = set(fates) - {row.bank_ref for row in rows}
    if strange:
        parts.meters.alarms.labels("answers_disagree").inc()
        _log.error(
            "bundle.strange_items",
            bank=parts.bank_name,
            bundle=bundle.bundle,
            references=sorted(strange)[:10],
            action=(
                "the answer names references that the message did not have; they are ignored; look at the bank's answer"
            ),
        )


def sending_rows(applied: Sequence[Applied]) -> tuple[PaymentRow, ...]:
    """The orders of a message whose send was committed, as the commit left them."""
    rows = tuple(one.row_after for one in applied if one.row_after is not None)
    assert len(rows) == len(applied) and all(row.life.state is State.SENDING for row in rows), (
        "a send that is no conflict is always let go"
    )
    return rows


def leaves_of(applied: Sequence[Applied]) -> tuple[SendLeave, ...]:
    """The SendLeaves of the orders of a message whose send was committed."""
    leaves = tuple(one.leave for one in applied if one.leave is not None)
    assert len(leaves) == len(applied), "what was written down may leave"
    return leaves
