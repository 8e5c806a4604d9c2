"""The content of a message to the ERP about a payment: one value, written as the body of a reply or of an event.

`final`, `iso`, `certainty` and `resend` are never arguments. They follow from the state table and from the closed list
of codes, so that no caller can contradict them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from protocols.canon.errors import Refusal, Resend
from protocols.canon.fast_init import fast_init
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Certainty, Fate, State
from protocols.kit.json_writer import json_writer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORBIDDEN_IN_WORD = frozenset(".*# \t\r\n")
MAX_ROUTING_KEY_BYTES = 255
_TEXT: Mapping[str, str] = {word: word.value for words in (State, Certainty, Resend, Kind, Fate) for word in words}
"""Each word's bare text: asking an enumeration's member for its `value` is five times a look-up."""


@fast_init
@dataclass(frozen=True, slots=True)
class News:
    """One change of one payment, as the journal knows it at that moment. Times are milliseconds of UTC.

    `event` is the routing noun and verb (`payment.settled`); `seq` numbers the payment's messages from 1: the highest
    one is the newest. `payment` and `bank` are None only if a refused command never became a payment. `was` is the
    state before, when the payment leaves doubt; `evidence` is the source of the change (`submit`, `enquiry`, …);
    `reported` is the bank's present statement in a `payment.correction`. `refusal` belongs to `payment.rejected`.
    """

    event: str
    id: str
    payment: str | None
    sender: str
    bank: str | None
    state: State
    seq: int
    at_ms: int
    kind: Kind | None = None
    amount: Money | None = None
    bank_reference: str | None = None
    bank_serial: str | None = None
    bank_code: str | None = None
    bank_text: str | None = None
    booked_ms: int | None = None
    fee: Money | None = None
    was: State | None = None
    evidence: str | None = None
    reported: Fate | None = None
    next_enquiry_ms: int | None = None
    hold_reasons: tuple[str, ...] = ()
    send_after_ms: int | None = None
    replayed: bool = False
    refusal: Refusal | None = None
    batch: str | None = None
    item_no: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


# Whether the order may be sent again. Its id is used up, because the payment is recorded. Where money may have moved,
# or still may move, the answer is never.
_RESEND: Mapping[State, Resend] = {
    State.REJECTED: Resend.NEW_ID,
    State.EXPIRED: Resend.NEW_ID,
    State.FAILED: Resend.NEW_ID,
    State.CANCELLED: Resend.NEW_ID,
    State.RETURNED: Resend.NEW_ID,
    State.REVERSED: Resend.NEW_ID,
}


def resend(state: State, refusal: Refusal | None = None) -> Resend:
    """The action that the sender may take for a recorded payment in `state`: a refusal's code decides, else the
    state."""
    return refusal.resend_recorded if refusal is not None else _RESEND.get(state, Resend.NEVER)


def _resend(news: News) -> Resend:
    if news.refusal is not None and news.payment is None:
        return news.refusal.resend
    return resend(news.state, news.refusal)


@lru_cache(maxsize=1024)
def instant(at_ms: int) -> str:
    """Milliseconds of UTC as the contract writes a time: `2026-11-24T09:00:00.000Z`."""
    seconds, rest = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """A time without its milliseconds, which many payments share."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:-6]


def error_fields(refusal: Refusal, *, recorded: bool = False) -> dict[str, Any]:
    """A refusal in the contract's shape: type, code, title, resend and every fault.

    `recorded` says that the refused order is a payment of the journal, in state `rejected`.
    """
    errors: list[dict[str, Any]] = []
    for fault in refusal.faults:
        one: dict[str, Any] = {"at": fault.at, "code": fault.code.value, "detail": fault.detail}
        if fault.limit is not None:
            one["limit"] = fault.limit
        errors.append(one)
    return {
        "type": f"urn:bankgw:error:{refusal.code.value}",
        "code": refusal.code.value,
        "title": refusal.title,
        "resend": (refusal.resend_recorded if recorded else refusal.resend).value,
        "errors": errors,
    }


def money_fields(money: Money) -> dict[str, str]:
    """A single amount, such as a fee: amount and currency."""
    return {"amount": str(money), "currency": money.currency}


def fields(news: News) -> dict[str, Any]:
    """The body's fields in the contract's order. Unknown ones are left out, never null."""
    facts = STATE_TABLE[news.state]
    correction = news.event == CORRECTION_EVENT
    said: dict[str, Any] = {"event": news.event, "id": news.id}
    _put(said, "payment", news.payment)
    said["sender"] = news.sender
    _put(said, "bank", news.bank)
    said["state"] = _TEXT[news.state]
    said["seq"] = news.seq
    said["at"] = instant(news.at_ms)
    # A contradiction ends the certainty of the final state: no one may book on it any more.
    said["final"] = facts.final and not correction
    if not correction:
        said["iso"] = facts.iso
    said["certainty"] = _TEXT[Certainty.UNKNOWN if correction else facts.certainty]
    said["resend"] = _TEXT[Resend.NEVER if correction else _resend(news)]
    said["replayed"] = news.replayed
    if news.kind is not None:
        said["kind"] = _TEXT[news.kind]
    if news.amount is not None:
        said["amount"] = str(news.amount)
        said["currency"] = news.amount.currency
    _put(said, "bank_reference", news.bank_reference)
    _put(said, "bank_serial", news.bank_serial)
    _put(said, "bank_code", news.bank_code)
    _put(said, "bank_text", news.bank_text)
    _put_time(said, "booked_at", news.booked_ms)
    if news.fee is not None:
        said["fee"] = money_fields(news.fee)
    if news.was is not None:
        said["was"] = _TEXT[news.was]
    _put(said, "evidence", news.evidence)
    if news.reported is not None:
        said["reported"] = _TEXT[news.reported]
    _put_time(said, "next_enquiry", news.next_enquiry_ms)
    put_holds(said, news.hold_reasons)
    _put_time(said, "send_after", news.send_after_ms)
    _put(said, "batch", news.batch)
    if news.item_no is not None:
        said["item_no"] = news.item_no
    if news.tags:
        said["tags"] = dict(news.tags)
    if news.refusal is not None:
        said["error"] = error_fields(news.refusal, recorded=news.payment is not None)
    return said


def put_holds(said: dict[str, Any], reasons: tuple[str, ...]) -> None:
    """Write all reasons of a hold, and the most serious one also into the field for readers that know only one
    reason."""
    if reasons:
        said["hold_reason"] = reasons[0]
        said["hold_reasons"] = list(reasons)


def body(news: News) -> bytes:
    """The news as JSON in UTF-8: the body of the reply or event named by `news.event`."""
    return write_json(fields(news))


_encode = json_writer()


def write_json(value: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8 with the keys in the order given."""
    return _encode(value).encode()


@lru_cache(maxsize=4096)
def routing_key(event: str, bank: str, sender: str) -> str:
    """`<noun>.<verb>.<bank>.<sender>`: the key of an event on exchange `bankgw.events`.

    `bank` and `sender` are single topic words. Raises ValueError for a dot, blank or wildcard in one, because a
    subscription or a topic permission could then match another sender's messages.
    """
    for word in (bank, sender):
        if not word or _FORBIDDEN_IN_WORD.intersection(word):
            raise ValueError(f"{word!r} cannot be one word of a routing key: dots, blanks, * and # may not be in it")
    key = f"{event}.{bank}.{sender}"
    if len(key.encode()) > MAX_ROUTING_KEY_BYTES:
        raise ValueError(f"routing key of {len(key.encode())} bytes, the broker takes {MAX_ROUTING_KEY_BYTES}")
    return key


def _put(said: dict[str, Any], name: str, value: str | None) -> None:
    if value is not None:
        said[name] = value


def _put_time(said: dict[str, Any], name: str, at_ms: int | None) -> None:
    if at_ms is not None:
        said[name] = instant(at_ms)
