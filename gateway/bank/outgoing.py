"""What leaves for the bank in one write: one order, or many orders in one file. Only `outgoing` decides which.

Both forms do the same for `dispatch`: they make the bank's conversation, write down what must be durable before the
write, and turn the answer into one outcome per order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway import log
from gateway.bank.lane_parts import LaneParts
from gateway.bank.work_queue import WorkQueue
from gateway.core.states import Work
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import bundles
from gateway.journal.payments.bundles import BundleRow, BundleSend
from protocols.bank import Bank, Context, Fates, MoneyStep, Submit
from protocols.canon.fast_init import fast_init
from protocols.canon.order import Bundle, Item
from protocols.canon.outcome import Fate, Outcome

NOT_NAMED = Outcome(Fate.UNKNOWN, text="the answer does not name this item")
_METRIC_WORDS = {
    Fate.FAILED: "refused", Fate.UNKNOWN: "in_doubt", Fate.DUPLICATE: "in_doubt", Fate.NOT_FOUND: "in_doubt",
}  # fmt: skip
_log = log.get("bank.outgoing")


class Outgoing(Protocol):
    """One message to the bank and the orders in it. `noun` and `facts` name it in log lines."""

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """Its orders, in their places in the message."""

    @property
    def noun(self) -> str:
        """`payment` or `bundle`."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its key, for log lines."""

    @property
    def reference(self) -> str:
        """The bank's reference of the message."""

    @property
    def attempt(self) -> int:
        """How often it was written down to be sent before."""

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """The bank's conversation that sends it."""

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """Write down what belongs to the message as a whole, in the unit that has seen its orders unchanged and sets
        them to `sending`. Returns the bytes to keep with each order."""

    def outcomes(self, result: Any) -> Fates:
        """The bank's word per order, by the order's reference."""

    def metric_word(self, outcomes: Fates) -> str:
        """The outcome of the exchange as the metric counts it."""

    def own_answer(self, answer: bytes) -> bytes:
        """The bytes of the answer that are evidence for each order by itself."""

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """What keeps the answer's bytes once for all orders; None if each order keeps them."""

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """What is written down with the orders' events when not one byte left."""


@dataclass(frozen=True, slots=True)
class UnsendableOrder:
    """Why an order cannot leave at all: it is held under `reason`. `error` and `action` are for the log."""

    reason: str
    error: str
    action: str


def travels_in_bundles(bank: Bank, row: PaymentRow) -> bool:
    """Whether the bank takes this order together with others, in one file."""
    return row.order.kind in bank.bundles


async def outgoing(
    parts: LaneParts, work_queue: WorkQueue, row: PaymentRow, epoch: int
) -> Outgoing | UnsendableOrder | None:
    """The message that carries this ready order: alone, or with those that it may travel with.

    None if it need not be sent any more: another order's message has taken it along.
    """
    if not travels_in_bundles(parts.bank, row):
        if row.order.kind in parts.bank.money:
            return SingleOrder(parts.bank, row)
        return UnsendableOrder("cannot_be_prepared", f"{row.order.kind.value} is switched off at this bank",
                          "held; switch it on again and release it, or cancel it")  # fmt: skip
    most, form = parts.bank.bundles[row.order.kind].most, parts.bank.profile.limits.reference
    found = await parts.store.write(lambda tx: bundles.allot(tx, row.payment, most, form, epoch))
    if found is not None:
        # They leave together: none of them is sent by itself any more.
        for one in found[1]:
            work_queue.forget(one.payment, Work.SEND)
        return OrderBundle(parts, *found)
    if row.life.first_write_ms is None:
        return None
    # In another message than the one that carried it, it would not be asked about in that one any more.
    return UnsendableOrder("has_left_before", "its bundle may have left already", "held; nothing was sent again")


@fast_init
@dataclass(frozen=True, slots=True)
class SingleOrder:
    """One order in a message of its own. Bytes, answer and attempt are kept with the payment. See Outgoing."""

    bank: Bank
    row: PaymentRow

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """See Outgoing."""
        return (self.row,)

    @property
    def noun(self) -> str:
        """See Outgoing."""
        return "payment"

    @property
    def facts(self) -> Mapping[str, Any]:
        """See Outgoing."""
        return {"payment": self.row.payment}

    @property
    def reference(self) -> str:
        """See Outgoing."""
        return self.row.bank_ref

    @property
    def attempt(self) -> int:
        """See Outgoing."""
        return self.row.life.attempt

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """See Outgoing."""
        return self.bank.money[self.row.order.kind](self.row.order, context)

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """See Outgoing."""
        return submit.data

    def outcomes(self, result: Any) -> Fates:
        """See Outgoing."""
        return {self.row.bank_ref: result}

    def metric_word(self, outcomes: Fates) -> str:
        """See Outgoing."""
        outcome = outcomes[self.row.bank_ref]
        return _METRIC_WORDS.get(outcome.fate, "ok") if outcome.listed else "unlisted_code"

    def own_answer(self, answer: bytes) -> bytes:
        """See Outgoing."""
        return answer

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """See Outgoing."""
        return None

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """See Outgoing."""
        return None


@dataclass(frozen=True, slots=True)
class OrderBundle:
    """Many orders in one message. Bytes and answer are kept with the bundle, once. It is never sent again."""

    parts: LaneParts
    bundle: BundleRow
    rows: tuple[PaymentRow, ...]

    @property
    def noun(self) -> str:
        """See Outgoing."""
        return "bundle"

    @property
    def facts(self) -> Mapping[str, Any]:
        """See Outgoing."""
        return {"bundle": self.bundle.bundle, "items": len(self.rows)}

    @property
    def reference(self) -> str:
        """See Outgoing."""
        return self.bundle.bank_ref

    @property
    def attempt(self) -> int:
        """See Outgoing."""
        return self.bundle.attempt

    def conversation(self, context: Context) -> Generator[MoneyStep, bytes, Any]:
        """See Outgoing."""
        word = Bundle(self.bundle.kind, tuple(Item(row.order, row.bank_ref) for row in self.rows))
        return self.parts.bank.bundles[self.bundle.kind].word(word, context)

    def write_down(self, tx: Tx, bank_date: str, submit: Submit) -> bytes:
        """See Outgoing."""
        bundles.sending(tx, self.bundle, self.rows, BundleSend(bank_date, submit.serials, submit.port, submit.data))
        return b""

    def outcomes(self, result: Any) -> Fates:
        """See Outgoing."""
        alarm_on_strangers(self.parts, self.bundle, self.rows, result)
        fates: Fates = result
        return fates

    def metric_word(self, outcomes: Fates) -> str:
        """See Outgoing."""
        return "ok"

    def own_answer(self, answer: bytes) -> bytes:
        """See Outgoing."""
        return b""

    def on_answer(self, answer: bytes) -> Callable[[Tx], None] | None:
        """See Outgoing."""
        return (lambda tx: bundles.answered(tx, self.bundle.bundle, answer)) if answer else None

    def on_not_sent(self) -> Callable[[Tx], None] | None:
        """See Outgoing."""
        return lambda tx: bundles.unsent(tx, self.bundle.bundle)


def alarm_on_strangers(parts: LaneParts, bundle: BundleRow, rows: tuple[PaymentRow, ...], fates: Fates) -> None:
    """Ring if the bank's answer names references that the message did not carry: they speak for no payment."""
    strange = set(fates) - {row.bank_ref for row in rows}
    if strange:
        parts.meters.alarms.labels("answers_disagree").inc()
        _log.error("bundle.strange_items", bank=parts.bank_name, bundle=bundle.bundle,
                   references=sorted(strange)[:10], action="ignored; look at the bank's answer")  # fmt: skip
