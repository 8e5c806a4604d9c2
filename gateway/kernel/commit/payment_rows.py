"""Conversion between PaymentRow and the columns of table `payments`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from gateway.kernel.commit import order_codec
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.core.states import Life, Policy, Rules
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import PAYMENT_CHANGES, SEAL, SealBroken, by_name, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State
from protocols.canon.replaced import replace

# The columns that an update may write; all others are fixed when the payment is accepted.
MUTABLE = (*PAYMENT_CHANGES, "bank_text", SEAL)
_SEAL = row_seal(schema.payments)
_RULES = frozenset(field.name for field in fields(Rules))
assert set(MUTABLE) <= set(schema.payments.c.keys())


def changes(row: PaymentRow, vault: Vault) -> dict[str, Any]:
    """The values of a payment's changeable columns, with the row's new seal."""
    found = _changes(row, vault)
    found[SEAL] = _SEAL.over(vault, found, row.fixed)
    return found


def _changes(row: PaymentRow, vault: Vault) -> dict[str, Any]:
    life, key = row.life, row.payment.encode()
    text, refusal = row.bank_text, row.refusal
    return {
        "state": life.state.value,
        "version": row.version,
        "epoch": row.epoch,
        "seq": life.seq,
        "attempt": life.attempt,
        "asked": life.asked,
        "not_found": life.not_found,
        "doubted": int(life.doubted),
        "replaying": life.repeats,
        "first_write_ms": life.first_write_ms,
        "last_write_ms": life.last_write_ms,
        "deadline_ms": life.deadline_ms,
        "send_after_ms": life.send_after_ms,
        "changed_ms": row.changed_ms,
        "bank_serial": row.bank_serial,
        "bank_code": row.bank_code,
        "booked_ms": row.booked_ms,
        "bank_text": None if text is None else vault.seal(text.encode(), b"payments/bank_text/" + key),
        "hold_reason": row.hold_reason,
        "hold_reasons": ",".join(row.holds) or None,
        "hold_cleared": ",".join(row.cleared) or None,
        "refusal": None
        if refusal is None
        else vault.seal(order_codec.write_refusal(refusal), b"payments/refusal/" + key),
    }


def columns(row: PaymentRow, blind: Mapping[str, str | None], vault: Vault) -> dict[str, Any]:
    """All columns of a new payment's row; `blind` are its blind index columns."""
    order, reply, life = row.order, row.reply, row.life
    found = _changes(row, vault)
    found.update(
        {
            "payment": row.payment,
            "company": row.company,
            "sender": row.sender,
            "order_id": order.id,
            "kind": order.kind.value,
            "bank": row.bank,
            "lane": row.lane,
            "bank_ref": row.bank_ref,
            "ref_bank": row.bank,
            "tell_sent": int(life.tell_sent),
            "valid_until_ms": life.valid_until_ms,
            "rules": _rules(life.rules),
            "fingerprint": vault.blind(row.fingerprint),
            **blind,
            "currency": order.amount.currency,
            "amount_minor": order.amount.minor,
            "batch": row.batch,
            "item_no": row.item_no,
            "reply_to": reply.reply_to,
            "correlation_id": reply.correlation_id,
            "traceparent": reply.traceparent,
            "content_type": reply.content_type,
            "accepted_ms": row.accepted_ms,
            "order": vault.seal(order_codec.encode(order, row.fingerprint), b"payments/order/" + row.payment.encode()),
        }
    )
    found[SEAL] = _SEAL.over(vault, found)
    return found


def written(row: PaymentRow, values: Mapping[str, Any]) -> PaymentRow:
    """A new payment as the cache keeps it after its `columns` were written."""
    return replace(row, fixed=_SEAL.fixed_part(values))


def decode_row(found: Any, vault: Vault) -> PaymentRow:
    """A row of the payments table as a value. Raises SealBroken if the row was altered, VaultError if a sealed value
    was.
    """
    payment: str = found.payment
    values = by_name(found)
    fixed = _SEAL.fixed_part(values)
    _SEAL.check(vault, values, fixed)
    key = payment.encode()
    order, fingerprint = _open_order(vault, payment, found.order)
    text, refusal = found.bank_text, found.refusal
    # The sealed order is authentic; the clear columns beside it must agree with it.
    beside = (found.order_id, found.amount_minor, found.currency)
    if (order.id, order.amount.minor, order.amount.currency) != beside:
        raise SealBroken("payments", payment, "differs from its sealed order")
    return PaymentRow(
        payment=payment,
        company=found.company,
        sender=found.sender,
        bank=found.bank,
        lane=found.lane,
        order=order,
        fingerprint=fingerprint,
        life=_life(found),
        version=found.version,
        epoch=found.epoch,
        bank_ref=found.bank_ref,
        reply=Reply(found.reply_to, found.correlation_id, found.traceparent, found.content_type),
        accepted_ms=found.accepted_ms,
        changed_ms=found.changed_ms,
        bank_serial=found.bank_serial,
        bank_code=found.bank_code,
        bank_text=None if text is None else vault.open(text, b"payments/bank_text/" + key).decode(),
        booked_ms=found.booked_ms,
        holds=_holds(found),
        cleared=_words(found.hold_cleared),
        batch=found.batch,
        item_no=found.item_no,
        refusal=None if refusal is None else order_codec.read_refusal(vault.open(refusal, b"payments/refusal/" + key)),
        fixed=fixed,
    )


def _holds(found: Any) -> tuple[str, ...]:
    """All reasons for which the payment is held. Older versions wrote only the first one, so the list may be missing or
    out of date.
    """
    first, reasons = found.hold_reason, _words(found.hold_reasons)
    if first is None or first in reasons:
        return reasons if first is not None else ()
    return (first,)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


@lru_cache(maxsize=1024)
def _open_order(vault: Vault, payment: str, sealed: bytes) -> tuple[AnyOrder, str]:
    """Decrypt an order and its fingerprint. Cached, because an order never changes and its payment is read several
    times within seconds.
    """
    return order_codec.decode(vault.open(sealed, b"payments/order/" + payment.encode()))


def _life(found: Any) -> Life:
    return Life(
        state=State(found.state),
        rules=_read_rules(found.rules),
        seq=found.seq,
        attempt=found.attempt,
        asked=found.asked,
        not_found=found.not_found,
        doubted=bool(found.doubted),
        repeats=found.replaying,
        first_write_ms=found.first_write_ms,
        last_write_ms=found.last_write_ms,
        deadline_ms=found.deadline_ms,
        send_after_ms=found.send_after_ms,
        valid_until_ms=found.valid_until_ms,
        tell_sent=bool(found.tell_sent),
        since_ms=found.changed_ms,
    )


@lru_cache(maxsize=256)
def _rules(rules: Rules) -> str:
    return json.dumps({**asdict(rules), "replay": rules.replay.value}, separators=(",", ":"))


@lru_cache(maxsize=256)
def _read_rules(text: str) -> Rules:
    # Skip rules that a newer version wrote and this one does not know.
    said = {name: value for name, value in json.loads(text).items() if name in _RULES}
    return Rules(**{**said, "replay": Policy(said["replay"])})


def order_of(found: Any, vault: Vault) -> tuple[AnyOrder, str]:
    """The order and its fingerprint from a row whose other columns are not trusted. Raises VaultError if the sealed
    order was altered.
    """
    return _open_order(vault, found.payment, found.order)


def rules_of(found: Any) -> Rules:
    """The bank's rules stored in the row. Raises ValueError, KeyError or TypeError if they cannot be read."""
    return _read_rules(found.rules)


def told_by_bank(found: Any, vault: Vault) -> dict[str, Any]:
    """The fields of PaymentRow about the bank's answer, without sealed values that were altered."""
    key = found.payment.encode()

    def opened(sealed: bytes | None, name: bytes) -> bytes | None:
        try:
            return None if sealed is None else vault.open(sealed, b"payments/" + name + b"/" + key)
        except VaultError:
            return None

    text, refusal = opened(found.bank_text, b"bank_text"), opened(found.refusal, b"refusal")
    return {
        "bank_serial": found.bank_serial,
        "bank_code": found.bank_code,
        "booked_ms": found.booked_ms,
        "bank_text": None if text is None else text.decode(),
        "refusal": None if refusal is None else order_codec.read_refusal(refusal),
    }
