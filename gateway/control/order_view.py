"""One order as `GET /orders/<id>` returns it: its row, and its file from the ERP's message to the bank's bytes.

Masked unless asked otherwise: account numbers, names and whatever looks like a number of an account, in fields and in
bytes alike. The login's secrets are never shown.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import log
from gateway.control.signed_octets import signed_octets
from gateway.journal.commit.attempts import Exhibit
from gateway.journal.commit.audit import AuditEntry
from gateway.journal.commit.rows import AttemptRow, OutboxRow, PaymentRow
from gateway.journal.payments.bundles import BundleRow
from gateway.journal.payments.timeline import Moment
from protocols.canon.outcome import STATE_TABLE
from protocols.canon.party import Name, Party
from protocols.canon.terms import Terms, terms_fields
from protocols.erp.news import error_fields, instant

SHOWN_BYTES = 65_536
LONGEST_WORD = 200
_DIGITS = re.compile(r"[0-9]{12,}")


@dataclass(frozen=True, slots=True)
class Veil:
    """What of one order is hidden: `words` are its own accounts and names with what is shown for them.

    `secrets` are the lane's credentials, hidden whether or not `clear` is set.
    """

    words: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    clear: bool

    def text(self, text: str) -> str:
        """`text` as it may be shown."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        if self.clear:
            return text
        for word, shown in self.words:
            text = text.replace(word, shown)
        return _DIGITS.sub(lambda found: log.masked(found.group()), text)

    def octets(self, octets: bytes) -> dict[str, Any]:
        """Bytes as text, with size and fingerprint; what is not UTF-8 is read as GB18030."""
        cut = len(octets) > SHOWN_BYTES
        try:
            # Where it is cut, a character may be cut too, and that is no reason to take it for another charset.
            text, charset = _UTF8().decode(octets[:SHOWN_BYTES], final=not cut), "UTF-8"
        except UnicodeDecodeError:
            text, charset = octets[:SHOWN_BYTES].decode("gb18030", "replace"), "GB18030"
        shown = self.text(text)
        said = {"bytes": len(octets), "sha256": hashlib.sha256(octets).hexdigest(), "read_as": charset,
                # Half a name or number at the cut would not be known for one.
                "text": shown[:-LONGEST_WORD] if cut else shown}  # fmt: skip
        if cut:
            said["cut_after"] = SHOWN_BYTES
        return said


_UTF8 = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class BundleMessage:
    """The message that carried an order among others: their number, and the bytes that came back to it."""

    bundle: BundleRow
    items: int
    answer: bytes | None


def veil(rows: Sequence[PaymentRow], secrets: Mapping[str, str], *, clear: bool) -> Veil:
    """The veil of these orders, on a lane with these credentials."""
    words: dict[str, str] = {}
    for row in rows:
        for party in (row.order.debtor, row.order.creditor):
            words[party.account.clear], words[party.name.clear] = str(party.account), str(party.name)
    # The longest first, so that a word that is part of another does not spoil it.
    ordered = sorted((word for word in words.items() if word[0]), key=lambda word: -len(word[0]))
    # A secret of two letters would blank out half of every text.
    hidden = sorted((secret for secret in secrets.values() if len(secret) >= 4), key=len, reverse=True)
    return Veil(tuple(ordered), tuple(hidden), clear)


def brief(row: PaymentRow) -> dict[str, Any]:
    """One line of a list: nothing that needs a mask, except accounts, which wear one."""
    life, order = row.life, row.order
    return {
        "payment": row.payment, "sender": row.sender, "id": order.id, "state": life.state.value,
        "final": STATE_TABLE[life.state].final, "amount": str(order.amount), "currency": order.amount.currency,
        "bank": row.bank, "lane": row.lane, "bank_reference": row.bank_ref, "debtor": str(order.debtor.account),
        "creditor": str(order.creditor.account), "hold_reason": row.hold_reason, "hold_reasons": list(row.holds),
        "bank_code": row.bank_code,
        "accepted_at": instant(row.accepted_ms), "changed_at": instant(row.changed_ms), "attempts": life.attempt,
        "batch": row.batch, "item_no": row.item_no,
    }  # fmt: skip


def full(row: PaymentRow, veiled: Veil) -> dict[str, Any]:
    """Everything the row says."""
    life, order = row.life, row.order
    said = brief(row)
    said.update({
        "company": row.company, "kind": order.kind.value, "debtor": _party(order.debtor, veiled),
        "creditor": _party(order.creditor, veiled), "purpose": veiled.text(order.purpose),
        **_terms(order.terms, veiled),
        "urgency": order.urgency.value, "channel": order.channel.value, "tags": dict(order.tags),
        "correlation_id": row.reply.correlation_id, "reply_to": row.reply.reply_to,
        "traceparent": row.reply.traceparent,
        "fingerprint": row.fingerprint, "version": row.version, "epoch": row.epoch, "seq": life.seq,
        "bank_serial": row.bank_serial, "bank_text": None if row.bank_text is None else veiled.text(row.bank_text),
        "booked_at": _time(row.booked_ms), "send_after": _time(life.send_after_ms),
        "first_sent_at": _time(life.first_write_ms), "last_sent_at": _time(life.last_write_ms),
        "deadline": _time(life.deadline_ms), "valid_until": _time(life.valid_until_ms),
        "enquiries": life.asked, "replay_policy": life.rules.replay.value,
        "hold_cleared": list(row.cleared) or None,
        "refusal": None if row.refusal is None else error_fields(row.refusal),
        "meaning": STATE_TABLE[life.state].meaning,
    })  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def story(moments: Sequence[Moment], veiled: Veil, message: BundleMessage | None = None) -> list[dict[str, Any]]:
    """All that happened. An order that travelled with others has no bytes of its own: its last send shows the
    message's, and what came back to it."""
    told = [moment(one, veiled) for one in moments]
    last = max((n for n, one in enumerate(moments) if isinstance(one.what, AttemptRow)), default=None)
    if message is None or last is None:
        return told
    bundle, sent = message.bundle, moments[last].what
    # A message that it is to travel in next is not the one that it was sent in.
    if isinstance(sent, AttemptRow) and not sent.wire and bundle.wire is not None and _same_send(bundle, sent):
        told[last].update(
            bundle={"bundle": bundle.bundle, "reference": bundle.bank_ref, "items": message.items,
                    "attempt": bundle.attempt},
            wire=veiled.octets(bundle.wire), signed=_signed(bundle.wire, veiled),
            answer=None if message.answer is None else veiled.octets(message.answer),
        )  # fmt: skip
    return told


def _same_send(bundle: BundleRow, sent: AttemptRow) -> bool:
    return (bundle.bank_date, bundle.serials, bundle.port) == (sent.bank_date, sent.serials, sent.port)


def moment(one: Moment, veiled: Veil) -> dict[str, Any]:
    """One thing that happened: `what` is `act`, `sent`, `heard` or `told`."""
    at, what = _time(one.at_ms or None), one.what
    if isinstance(what, AuditEntry):
        detail = veiled_value(what.detail, veiled)
        return {"at": at, "what": "act", "actor": what.actor, "act": what.entry, "detail": detail}
    if isinstance(what, AttemptRow):
        return {
            "at": at, "what": "sent", "attempt": what.attempt, "node": what.node, "epoch": what.epoch,
            "bank_date": what.bank_date, "serials": list(what.serials), "port": what.port, "key": what.key_id,
            "first_write_at": _time(what.first_write_ms), "replay_policy": what.replay_policy,
            "wire": veiled.octets(what.wire) if what.wire else None,
            "signed": _signed(what.wire, veiled),
        }  # fmt: skip
    if isinstance(what, Exhibit):
        heard = what.content
        return {
            "at": at, "what": "heard", "source": heard.source.value,
            "fate": None if heard.fate is None else heard.fate.value, "code": heard.code,
            "note": veiled.text(heard.note),
            "wire": veiled.octets(heard.body) if heard.body else None,
        }  # fmt: skip
    return {"at": at, "what": "told", **mail(what), "body": veiled.octets(what.body)}


def _signed(wire: bytes, veiled: Veil) -> list[dict[str, Any]]:
    """What the message's own XML signatures sign; empty where it has none, for the front end may sign, or nobody."""
    return [veiled.octets(one) for one in signed_octets(wire)]


def mail(row: OutboxRow) -> dict[str, Any]:
    """The envelope of a message to the ERP, and its tries: None are known before the first, and of messages that were
    written before tries were counted."""
    tries = row.tries
    return {
        "message_id": row.message_id, "event": row.headers.get("type", ""), "state": row.state.value,
        "exchange": row.exchange, "routing_key": row.routing_key, "correlation_id": row.correlation_id,
        "tries": tries and tries.count, "last_tried_at": tries and _time(tries.last_ms),
        "last_result": tries and tries.result, "last_text": tries and tries.text,
    }  # fmt: skip


def veiled_value(value: Any, veiled: Veil) -> Any:
    """Every text of a nested value as it may be shown."""
    if isinstance(value, str):
        return veiled.text(value)
    if isinstance(value, Mapping):
        return {name: veiled_value(one, veiled) for name, one in value.items()}
    if isinstance(value, list):
        return [veiled_value(one, veiled) for one in value]
    return value


def _party(party: Party, veiled: Veil) -> dict[str, Any]:
    return {
        "account": party.account.clear if veiled.clear else str(party.account),
        "name": party.name.clear if veiled.clear else str(party.name), "kind": party.kind.value,
        "bank_name": party.bank_name, "cnaps": party.cnaps, **({} if party.bic is None else {"bic": party.bic}),
    }  # fmt: skip


def _terms(terms: Terms, veiled: Veil) -> dict[str, Any]:
    """What the order says beyond parties, amount and text, if anything."""
    said = veiled_value(terms_fields(terms), veiled)
    if not veiled.clear:
        said |= {name: str(Name(said[name])) for name in ("ultimate_debtor", "ultimate_creditor") if name in said}
    return {"terms": said} if said else {}


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else instant(at_ms)
