"""The content of a message to the ERP about a batch: the states of its items.

Each item has its own states and messages (`news`); the batch's state follows from theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.canon.errors import Refusal
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State
from protocols.erp.news import error_fields, instant, put_holds, resend

BATCH_ACCEPTED, BATCH_REJECTED = "batch.accepted", "batch.rejected"
BATCH_STATUS, BATCH_COMPLETED = "batch.status", "batch.completed"


@dataclass(frozen=True, slots=True)
class ItemState:
    """The state of one item of a batch. `refusal` is set for a rejected item."""

    id: str
    item_no: int
    payment: str
    state: State
    seq: int
    amount: Money
    bank_reference: str | None = None
    bank_serial: str | None = None
    bank_code: str | None = None
    bank_text: str | None = None
    hold_reasons: tuple[str, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """The number of a batch's items in one state, and their sum in minor units."""

    count: int
    sum_minor: int


@dataclass(frozen=True, slots=True)
class BatchNews:
    """A batch at one moment, in milliseconds of UTC. `seq` numbers its messages from 1: the highest number is the
    newest.

    `items` are listed in answers only; for `batch.completed` the items have their own events.
    """

    event: str
    id: str
    sender: str
    bank: str
    kind: Kind
    seq: int
    at_ms: int
    count: int
    total: Money
    shares: Mapping[State, Share]
    items: tuple[ItemState, ...] = ()
    replayed: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """True if every item's state is final."""
        return all(STATE_TABLE[state].final for state in self.shares)


def shares_of(items: tuple[ItemState, ...]) -> dict[State, Share]:
    """The items counted and summed by state, in the order of the state table."""
    found: dict[State, Share] = {}
    for state in STATE_TABLE:
        amounts = [item.amount.minor for item in items if item.state is state]
        if amounts:
            found[state] = Share(len(amounts), sum(amounts))
    return found


def batch_fields(news: BatchNews) -> dict[str, Any]:
    """The body's fields in the contract's order; unknown ones are left out."""
    currency = news.total.currency
    said: dict[str, Any] = {
        "event": news.event,
        "id": news.id,
        "sender": news.sender,
        "bank": news.bank,
        "kind": news.kind.value,
        "seq": news.seq,
        "at": instant(news.at_ms),
        "final": news.final,
        "replayed": news.replayed,
        "count": news.count,
        "sum": str(news.total),
        "currency": currency,
        "states": [
            {"state": state.value, "count": share.count, "sum": str(Money(share.sum_minor, currency))}
            for state, share in news.shares.items()
        ],
    }
    if news.items:
        said["items"] = [_item(item) for item in news.items]
    if news.tags:
        said["tags"] = dict(news.tags)
    return said


def _item(item: ItemState) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": item.id,
        "item_no": item.item_no,
        "payment": item.payment,
        "state": item.state.value,
        "seq": item.seq,
        "final": STATE_TABLE[item.state].final,
        "resend": resend(item.state, item.refusal).value,
        "amount": str(item.amount),
    }
    for name, value in (
        ("bank_reference", item.bank_reference),
        ("bank_serial", item.bank_serial),
        ("bank_code", item.bank_code),
        ("bank_text", item.bank_text),
    ):
        if value is not None:
            said[name] = value
    put_holds(said, item.hold_reasons)
    if item.refusal is not None:
        said["error"] = error_fields(item.refusal)
    return said
