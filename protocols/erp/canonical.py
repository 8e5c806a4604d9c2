"""The canonical text of an order, which does not depend on the form in which it was written. Fingerprints are made of
it.

The form is RFC 8785 canonical JSON of canon's types: sorted names, no blanks, money as minor units in a string. Fields
that are unset, or at their default, are left out. So JSON and XML of one order agree, 1.5 and 1.50 agree, and an
optional field of a later version changes no existing text. A maker's signature is left out, because it is made of this
text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Channel,
    CollectionDetail,
    Detail,
    PaymentDetail,
    PayrollItemDetail,
    TransferDetail,
    Urgency,
)
from protocols.canon.party import Party, PartyKind, address_fields
from protocols.canon.terms import debit_fields, terms_fields
from protocols.erp.words import OnItemError, SubmitBatch
from protocols.kit.json_writer import json_writer

# RFC 8785 sorts names by UTF-16 units and Python by code points. All names here are ASCII, so both agree, and
# there are no numbers but small integers; strings are escaped alike by both.
_encode = json_writer(sort_keys=True)


def text(order: AnyOrder) -> bytes:
    """The order's canonical JSON in UTF-8."""
    return _encode(fields(order)).encode()


def fields(order: AnyOrder) -> dict[str, Any]:
    """The order as a JSON value, without anything that is unset or at its default."""
    said: dict[str, Any] = {
        "id": order.id,
        "kind": order.kind.value,
        "debtor": _party(order.debtor),
        "creditor": _party(order.creditor),
        "minor": str(order.amount.minor),
        "currency": order.amount.currency,
    }
    detail = _detail(order.detail)
    if detail:
        said["detail"] = detail
    if order.purpose:
        said["purpose"] = order.purpose
    if order.urgency is not Urgency.NORMAL:
        said["urgency"] = order.urgency.value
    if order.channel is not Channel.AUTO:
        said["channel"] = order.channel.value
    if order.valid_until is not None:
        said["valid_until"] = _instant(order.valid_until)
    if order.not_before is not None:
        said["not_before"] = _instant(order.not_before)
    if order.tags:
        said["tags"] = dict(order.tags)
    terms = terms_fields(order.terms)
    if terms:
        said["terms"] = terms
    if order.maker is not None:
        said["maker"] = order.maker
    if order.funded_by is not None:
        said["funded_by"] = order.funded_by
    return said


def batch_text(batch: SubmitBatch) -> bytes:
    """The canonical JSON of a batch in UTF-8. Fields that all its orders share are repeated in each order."""
    said: dict[str, Any] = {"id": batch.id, "items": [fields(order) for order in batch.orders]}
    if batch.on_item_error is not OnItemError.REFUSE_BATCH:
        said["on_item_error"] = batch.on_item_error.value
    if batch.tags:
        said["tags"] = dict(batch.tags)
    return _encode(said).encode()


def _instant(at: datetime) -> str:
    assert at.tzinfo is not None, "an order's times carry a zone"
    return at.astimezone(UTC).isoformat()


def _party(party: Party) -> dict[str, Any]:
    said: dict[str, Any] = {"account": party.account.clear, "name": party.name.clear}
    if party.bank_name is not None:
        said["bank_name"] = party.bank_name
    if party.cnaps is not None:
        said["cnaps"] = party.cnaps
    if party.kind is not PartyKind.CORPORATE:
        said["kind"] = party.kind.value
    if party.bic is not None:
        said["bic"] = party.bic
    if party.address is not None:
        said["address"] = address_fields(party.address)
    return said


def _detail(detail: Detail) -> dict[str, Any]:
    said: dict[str, Any]
    match detail:
        case PaymentDetail():
            said = {}
        case TransferDetail(direction):
            said = {} if direction == "transfer" else {"direction": direction}
        case BatchItemDetail(batch_id, item_no):
            said = {"batch_id": batch_id, "item_no": item_no}
        case PayrollItemDetail(batch_id, item_no, purpose_code, agreement, document):
            said = {
                "batch_id": batch_id,
                "item_no": item_no,
                "purpose_code": purpose_code,
                "agreement": agreement,
                "payee_document": None if document is None else document.clear,
            }
        case CollectionDetail(agreement, batch_id, item_no, terms):
            said = {
                "agreement": agreement,
                "batch_id": batch_id,
                "item_no": item_no,
                "terms": debit_fields(terms) or None,
            }
    return {name: value for name, value in said.items() if value is not None}
