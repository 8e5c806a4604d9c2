"""Conversion between PaymentRow and the columns of table `payments`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from gateway.core.states import Life, Policy, Rules
from gateway.journal.commit import order_codec
from gateway.journal.commit.rows import PaymentRow, Reply
from gateway.journal.sql import schema
from gateway.journal.sql.vault import Vault
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State

# What an update may write; everything else is fixed when the payment is accepted.
MUTABLE = (
    "state", "version", "epoch", "seq", "attempt", "asked", "not_found", "doubted", "replaying", "first_write_ms",
    "last_write_ms", "deadline_ms", "send_after_ms", "changed_ms", "bank_serial", "bank_code", "bank_text", "booked_ms",
    "hold_reason", "hold_reasons", "hold_cleared", "refusal",
)  # fmt: skip
_RULES = frozenset(field.name for field in fields(Rules))
assert set(MUTABLE) <= set(schema.payments.c.keys())


def changes(row: PaymentRow, vault: Vault) -> dict[str, Any]:
    """The values of the columns that may change."""
    life, key = row.life, row.payment.encode()
    text, refusal = row.bank_text, row.refusal
    return {
        "state": life.state.value, "version": row.version, "epoch": row.epoch, "seq": life.seq,
        "attempt": life.attempt, "asked": life.asked, "not_found": life.not_found, "doubted": int(life.doubted),
        "replaying": life.repeats, "first_write_ms": life.first_write_ms, "last_write_ms": life.last_write_ms,
        "deadline_ms": life.deadline_ms, "send_after_ms": life.send_after_ms, "changed_ms": row.changed_ms,
        "bank_serial": row.bank_serial, "bank_code": row.bank_code, "booked_ms": row.booked_ms,
        "bank_text": None if text is None else vault.seal(text.encode(), b"payments/bank_text/" + key),
        "hold_reason": row.hold_reason, "hold_reasons": ",".join(row.holds) or None,
        "hold_cleared": ",".join(row.cleared) or None,
        "refusal": None if refusal is None
        else vault.seal(order_codec.write_refusal(refusal), b"payments/refusal/" + key),
    }  # fmt: skip


def columns(row: PaymentRow, blind: Mapping[str, str | None], vault: Vault) -> dict[str, Any]:
    """All columns of a new payment; `blind` are its blind index columns."""
    order, reply, life = row.order, row.reply, row.life
    found = changes(row, vault)
    found.update({
        "payment": row.payment, "company": row.company, "sender": row.sender, "order_id": order.id,
        "kind": order.kind.value, "bank": row.bank, "lane": row.lane, "bank_ref": row.bank_ref,
        "ref_bank": row.bank,
        "tell_sent": int(life.tell_sent), "valid_until_ms": life.valid_until_ms, "rules": _rules(life.rules),
        "fingerprint": vault.blind(row.fingerprint),
        **blind,
        "currency": order.amount.currency, "amount_minor": order.amount.minor, "batch": row.batch,
        "item_no": row.item_no, "reply_to": reply.reply_to, "correlation_id": reply.correlation_id,
        "traceparent": reply.traceparent, "content_type": reply.content_type, "accepted_ms": row.accepted_ms,
        "order": vault.seal(order_codec.write(order, row.fingerprint), b"payments/order/" + row.payment.encode()),
    })  # fmt: skip
    return found


def read(found: Any, vault: Vault) -> PaymentRow:
    """The row of the table as a value. VaultError if what was sealed was altered."""
    payment: str = found.payment
    key = payment.encode()
    order, fingerprint = _open_order(vault, payment, found.order)
    text, refusal = found.bank_text, found.refusal
    # The sealed order is authentic; the clear columns beside it must agree with it.
    beside = (found.order_id, found.amount_minor, found.currency)
    assert (order.id, order.amount.minor, order.amount.currency) == beside, f"payment {payment}: columns were altered"
    return PaymentRow(
        payment=payment, company=found.company, sender=found.sender, bank=found.bank, lane=found.lane,
        order=order, fingerprint=fingerprint, life=_life(found), version=found.version, epoch=found.epoch,
        bank_ref=found.bank_ref,
        reply=Reply(found.reply_to, found.correlation_id, found.traceparent, found.content_type),
        accepted_ms=found.accepted_ms, changed_ms=found.changed_ms, bank_serial=found.bank_serial,
        bank_code=found.bank_code,
        bank_text=None if text is None else vault.open(text, b"payments/bank_text/" + key).decode(),
        booked_ms=found.booked_ms, holds=_holds(found), cleared=_words(found.hold_cleared), batch=found.batch,
        item_no=found.item_no,
        refusal=None if refusal is None
        else order_codec.read_refusal(vault.open(refusal, b"payments/refusal/" + key)),
    )  # fmt: skip


def _holds(found: Any) -> tuple[str, ...]:
    """All hold reasons. Older versions wrote only the first one, so the list may be missing or out of date."""
    first, reasons = found.hold_reason, _words(found.hold_reasons)
    if first is None or first in reasons:
        return reasons if first is not None else ()
    return (first,)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


@lru_cache(maxsize=1024)
def _open_order(vault: Vault, payment: str, sealed: bytes) -> tuple[AnyOrder, str]:
    """Cached, because an order never changes and its payment is read several times within seconds."""
    return order_codec.read(vault.open(sealed, b"payments/order/" + payment.encode()))


def _life(found: Any) -> Life:
    return Life(
        state=State(found.state), rules=_read_rules(found.rules), seq=found.seq, attempt=found.attempt,
        asked=found.asked, not_found=found.not_found, doubted=bool(found.doubted),
        repeats=found.replaying, first_write_ms=found.first_write_ms,
        last_write_ms=found.last_write_ms, deadline_ms=found.deadline_ms, send_after_ms=found.send_after_ms,
        valid_until_ms=found.valid_until_ms, tell_sent=bool(found.tell_sent),
        since_ms=found.changed_ms,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _rules(rules: Rules) -> str:
    return json.dumps({**asdict(rules), "replay": rules.replay.value}, separators=(",", ":"))


@lru_cache(maxsize=256)
def _read_rules(text: str) -> Rules:
    # Skip rules that a newer version wrote and this one does not know.
    said = {name: value for name, value in json.loads(text).items() if name in _RULES}
    return Rules(**{**said, "replay": Policy(said["replay"])})
