"""One order as `GET /orders/<id>` returns it: its row, and its history from the ERP's message to the bank's bytes.

Unless unmasked data is asked for, account numbers, names and everything that looks like an account number are masked,
in fields and in bytes alike. The login's secrets are never shown.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.kernel import log
from gateway.kernel.commit.attempts import StoredEvidence
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow, OutboxRow, PaymentRow
from gateway.payments.act_answers.signed_octets import signed_octets
from gateway.payments.rows.bundles import BundleRow
from gateway.payments.rows.timeline import Moment
from protocols.canon.outcome import STATE_TABLE
from protocols.canon.party import Name, Party
from protocols.canon.terms import Terms, terms_fields
from protocols.erp.news import error_fields, instant

SHOWN_BYTES = 65_536
LONGEST_WORD = 200
_DIGITS = re.compile(r"[0-9]{12,}")


@dataclass(frozen=True, slots=True)
class Masking:
    """Hides parts of one order's texts. `words` are its accounts and names, each with the text shown instead.

    `secrets` are the lane's credentials, hidden whether or not `clear` is set.
    """

    words: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    clear: bool

    def text(self, text: str) -> str:
        """`text` with secrets and, unless `clear`, words and long numbers hidden."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        if self.clear:
            return text
        for word, shown in self.words:
            text = text.replace(word, shown)
        return _DIGITS.sub(lambda found: log.masked(found.group()), text)

    def octets(self, octets: bytes) -> dict[str, Any]:
        """Bytes as masked text, with their size and fingerprint. Bytes that are not UTF-8 are read as GB18030."""
        cut = len(octets) > SHOWN_BYTES
        try:
            # The cut may split a character; that must not make it look like another charset.
            text, charset = _UTF8().decode(octets[:SHOWN_BYTES], final=not cut), "UTF-8"
        except UnicodeDecodeError:
            text, charset = octets[:SHOWN_BYTES].decode("gb18030", "replace"), "GB18030"
        shown = self.text(text)
        said = {
            "bytes": len(octets),
            "sha256": hashlib.sha256(octets).hexdigest(),
            "read_as": charset,
            # Half a name or number at the cut would not be recognised and masked.
            "text": shown[:-LONGEST_WORD] if cut else shown,
        }
        if cut:
            said["cut_after"] = SHOWN_BYTES
        return said


_UTF8 = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class BundleMessage:
    """The message that carried an order together with others: the number of orders, and the bank's answer to the
    message."""

    bundle: BundleRow
    items: int
    answer: bytes | None


def masking_of(rows: Sequence[PaymentRow], secrets: Mapping[str, str], *, clear: bool) -> Masking:
    """The masking for these orders on a lane with these credentials."""
    words: dict[str, str] = {}
    for row in rows:
        for party in (row.order.debtor, row.order.creditor):
            words[party.account.clear], words[party.name.clear] = str(party.account), str(party.name)
    # The longest first, because replacing a word inside a longer one would leave the rest of the longer one.
    ordered = sorted((word for word in words.items() if word[0]), key=lambda word: -len(word[0]))
    # A secret of two letters would blank out half of every text.
    hidden = sorted((secret for secret in secrets.values() if len(secret) >= 4), key=len, reverse=True)
    return Masking(tuple(ordered), tuple(hidden), clear)


def brief(row: PaymentRow) -> dict[str, Any]:
    """An order as a line of a list. Only its accounts need a mask, and they are masked."""
    life, order = row.life, row.order
    return {
        "payment": row.payment,
        "sender": row.sender,
        "id": order.id,
        "state": life.state.value,
        "final": STATE_TABLE[life.state].final,
        "amount": str(order.amount),
        "currency": order.amount.currency,
        "bank": row.bank,
        "lane": row.lane,
        "bank_reference": row.bank_ref,
        "debtor": str(order.debtor.account),
        "creditor": str(order.creditor.account),
        "hold_reason": row.hold_reason,
        "hold_reasons": list(row.holds),
        "bank_code": row.bank_code,
        "accepted_at": instant(row.accepted_ms),
        "changed_at": instant(row.changed_ms),
        "attempts": life.attempt,
        "batch": row.batch,
        "item_no": row.item_no,
    }


def full(row: PaymentRow, masking: Masking) -> dict[str, Any]:
    """An order's row with every field, masked."""
    life, order = row.life, row.order
    said = brief(row)
    said.update(
        {
            "company": row.company,
            "kind": order.kind.value,
            "debtor": _party(order.debtor, masking),
            "creditor": _party(order.creditor, masking),
            "purpose": masking.text(order.purpose),
            **_terms(order.terms, masking),
            "urgency": order.urgency.value,
            "channel": order.channel.value,
            "tags": dict(order.tags),
            "correlation_id": row.reply.correlation_id,
            "reply_to": row.reply.reply_to,
            "traceparent": row.reply.traceparent,
            "fingerprint": row.fingerprint,
            "version": row.version,
            "epoch": row.epoch,
            "seq": life.seq,
            "bank_serial": row.bank_serial,
            "bank_text": None if row.bank_text is None else masking.text(row.bank_text),
            "booked_at": _time(row.booked_ms),
            "send_after": _time(life.send_after_ms),
            "first_sent_at": _time(life.first_write_ms),
            "last_sent_at": _time(life.last_write_ms),
            "deadline": _time(life.deadline_ms),
            "valid_until": _time(life.valid_until_ms),
            "enquiries": life.asked,
            "replay_policy": life.rules.replay.value,
            "hold_cleared": list(row.cleared) or None,
            "refusal": None if row.refusal is None else error_fields(row.refusal),
            "meaning": STATE_TABLE[life.state].meaning,
        }
    )
    return {name: value for name, value in said.items() if value is not None}


def story(moments: Sequence[Moment], masking: Masking, message: BundleMessage | None = None) -> list[dict[str, Any]]:
    """The order's history.

    An order that was sent in a bundle has no bytes of its own: its last send shows the message of the bundle and the
    answer to it.
    """
    told = [moment(one, masking) for one in moments]
    last = max((n for n, one in enumerate(moments) if isinstance(one.what, AttemptRow)), default=None)
    if message is None or last is None:
        return told
    bundle, sent = message.bundle, moments[last].what
    # The bundle in which the order will be sent next is not the one in which it was sent.
    if isinstance(sent, AttemptRow) and not sent.wire and bundle.wire is not None and _same_send(bundle, sent):
        told[last].update(
            bundle={
                "bundle": bundle.bundle,
                "reference": bundle.bank_ref,
                "items": message.items,
                "attempt": bundle.attempt,
            },
            wire=masking.octets(bundle.wire),
            signed=_signed(bundle.wire, masking),
            answer=None if message.answer is None else masking.octets(message.answer),
        )
    return told


def _same_send(bundle: BundleRow, sent: AttemptRow) -> bool:
    return (bundle.bank_date, bundle.serials, bundle.port) == (sent.bank_date, sent.serials, sent.port)


def moment(one: Moment, masking: Masking) -> dict[str, Any]:
    """One event of the order's history: `what` is `act`, `sent`, `heard` or `told`."""
    at, what = _time(one.at_ms or None), one.what
    if isinstance(what, AuditEntry):
        detail = masked_value(what.detail, masking)
        return {"at": at, "what": "act", "actor": what.actor, "act": what.entry, "detail": detail}
    if isinstance(what, AttemptRow):
        return {
            "at": at,
            "what": "sent",
            "attempt": what.attempt,
            "node": what.node,
            "epoch": what.epoch,
            "bank_date": what.bank_date,
            "serials": list(what.serials),
            "port": what.port,
            "key": what.key_id,
            "first_write_at": _time(what.first_write_ms),
            "replay_policy": what.replay_policy,
            "wire": masking.octets(what.wire) if what.wire else None,
            "signed": _signed(what.wire, masking),
        }
    if isinstance(what, StoredEvidence):
        heard = what.content
        return {
            "at": at,
            "what": "heard",
            "source": heard.source.value,
            "fate": None if heard.fate is None else heard.fate.value,
            "code": heard.code,
            "note": masking.text(heard.note),
            "wire": masking.octets(heard.body) if heard.body else None,
        }
    return {"at": at, "what": "told", **mail(what), "body": masking.octets(what.body)}


def _signed(wire: bytes, masking: Masking) -> list[dict[str, Any]]:
    """The octets that the message's own XML signatures sign. Empty for an unsigned message: the bank's front end may
    sign it."""
    return [masking.octets(one) for one in signed_octets(wire)]


def mail(row: OutboxRow) -> dict[str, Any]:
    """The envelope of a message to the ERP, and its delivery tries.

    Tries are None before the first one, and for messages that were written before tries were counted.
    """
    tries = row.tries
    return {
        "message_id": row.message_id,
        "event": row.headers.get("type", ""),
        "state": row.state.value,
        "exchange": row.exchange,
        "routing_key": row.routing_key,
        "correlation_id": row.correlation_id,
        "tries": tries and tries.count,
        "last_tried_at": tries and _time(tries.last_ms),
        "last_result": tries and tries.result,
        "last_text": tries and tries.text,
    }


def masked_value(value: Any, masking: Masking) -> Any:
    """A nested value with every text in it masked."""
    if isinstance(value, str):
        return masking.text(value)
    if isinstance(value, Mapping):
        return {name: masked_value(one, masking) for name, one in value.items()}
    if isinstance(value, list):
        return [masked_value(one, masking) for one in value]
    return value


def _party(party: Party, masking: Masking) -> dict[str, Any]:
    return {
        "account": party.account.clear if masking.clear else str(party.account),
        "name": party.name.clear if masking.clear else str(party.name),
        "kind": party.kind.value,
        "bank_name": party.bank_name,
        "cnaps": party.cnaps,
        **({} if party.bic is None else {"bic": party.bic}),
    }


def _terms(terms: Terms, masking: Masking) -> dict[str, Any]:
    """The order's terms beyond parties, amount and text, if any."""
    said = masked_value(terms_fields(terms), masking)
    if not masking.clear:
        said |= {name: str(Name(said[name])) for name in ("ultimate_debtor", "ultimate_creditor") if name in said}
    return {"terms": said} if said else {}


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else instant(at_ms)
