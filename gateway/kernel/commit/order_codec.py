"""Orders and refusals as the JSON that the journal seals, and back. This form is the journal's own, not the ERP's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Channel,
    CollectionDetail,
    Detail,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
    TransferDetail,
    Urgency,
)
from protocols.canon.party import AccountNumber, Name, Party, PartyKind, address_fields, address_from
from protocols.canon.terms import debit_fields, debit_from, terms_fields, terms_from
from protocols.kit.json_writer import json_writer

_encode = json_writer()


def encode(order: AnyOrder, fingerprint: str) -> bytes:
    """Encode an order and its fingerprint as JSON, without unset fields."""
    said: dict[str, Any] = {
        "fingerprint": fingerprint,
        "id": order.id,
        "kind": order.kind.value,
        "debtor": _party(order.debtor),
        "creditor": _party(order.creditor),
        "minor": order.amount.minor,
        "currency": order.amount.currency,
        "detail": _detail(order.detail),
        "purpose": order.purpose,
        "urgency": order.urgency.value,
        "channel": order.channel.value,
    }
    if order.valid_until is not None:
        said["valid_until"] = order.valid_until.isoformat()
    if order.not_before is not None:
        said["not_before"] = order.not_before.isoformat()
    if order.tags:
        said["tags"] = dict(order.tags)
    terms = terms_fields(order.terms)
    if terms:
        said["terms"] = terms
    if order.maker is not None:
        said["maker"] = order.maker
    if order.funded_by is not None:
        said["funded_by"] = order.funded_by
    if order.maker_signature is not None:
        said["maker_signature"] = order.maker_signature
    return _encode(said).encode()


def decode(body: bytes) -> tuple[AnyOrder, str]:
    """Decode an order and its fingerprint from the JSON that `encode` wrote."""
    said = json.loads(body)
    valid_until, not_before = said.get("valid_until"), said.get("not_before")
    order: Order[Any] = Order(
        id=said["id"],
        debtor=_read_party(said["debtor"]),
        creditor=_read_party(said["creditor"]),
        amount=Money(said["minor"], said["currency"]),
        detail=_DETAILS[Kind(said["kind"])](said["detail"]),
        purpose=said["purpose"],
        urgency=Urgency(said["urgency"]),
        channel=Channel(said["channel"]),
        valid_until=None if valid_until is None else datetime.fromisoformat(valid_until),
        not_before=None if not_before is None else datetime.fromisoformat(not_before),
        tags=said.get("tags", {}),
        terms=terms_from(said.get("terms", {})),
        maker=said.get("maker"),
        funded_by=said.get("funded_by"),
        maker_signature=said.get("maker_signature"),
    )
    return order, said["fingerprint"]


def write_refusal(refusal: Refusal) -> bytes:
    """Encode a refusal with its faults as JSON."""
    faults = [[fault.at, fault.code.value, fault.detail, fault.limit] for fault in refusal.faults]
    return _encode({"code": refusal.code.value, "title": refusal.title, "faults": faults}).encode()


def read_refusal(body: bytes) -> Refusal:
    """Decode a refusal from the JSON that `write_refusal` wrote."""
    said = json.loads(body)
    faults = tuple(Fault(at, FieldCode(code), detail, limit) for at, code, detail, limit in said["faults"])
    return Refusal(Code(said["code"]), said["title"], faults)


def _party(party: Party) -> dict[str, Any]:
    said: dict[str, Any] = {"account": party.account.clear, "name": party.name.clear, "kind": party.kind.value}
    if party.bank_name is not None:
        said["bank_name"] = party.bank_name
    if party.cnaps is not None:
        said["cnaps"] = party.cnaps
    if party.bic is not None:
        said["bic"] = party.bic
    if party.address is not None:
        said["address"] = address_fields(party.address)
    return said


def _read_party(said: Mapping[str, Any]) -> Party:
    where = said.get("address")
    return Party(
        AccountNumber(said["account"]),
        Name(said["name"]),
        said.get("bank_name"),
        said.get("cnaps"),
        PartyKind(said["kind"]),
        said.get("bic"),
        None if where is None else address_from(where),
    )


def _detail(detail: Detail) -> dict[str, Any]:
    if isinstance(detail, PaymentDetail):
        return {}
    if isinstance(detail, TransferDetail):
        return {"direction": detail.direction}
    if isinstance(detail, BatchItemDetail):
        return {"batch_id": detail.batch_id, "item_no": detail.item_no}
    if isinstance(detail, CollectionDetail):
        said: dict[str, Any] = {"agreement": detail.agreement, "batch_id": detail.batch_id, "item_no": detail.item_no}
        terms = debit_fields(detail.terms)
        return {**said, "terms": terms} if terms else said
    document = detail.payee_document
    return {
        "batch_id": detail.batch_id,
        "item_no": detail.item_no,
        "purpose_code": detail.purpose_code,
        "agreement": detail.agreement,
        "payee_document": None if document is None else document.clear,
    }


def _payroll(said: Mapping[str, Any]) -> PayrollItemDetail:
    document = said["payee_document"]
    return PayrollItemDetail(
        said["batch_id"],
        said["item_no"],
        said["purpose_code"],
        said["agreement"],
        None if document is None else Name(document),
    )


_DETAILS: Mapping[Kind, Callable[[Mapping[str, Any]], Detail]] = {
    Kind.PAYMENT: lambda said: PaymentDetail(),
    Kind.TRANSFER: lambda said: TransferDetail(said["direction"]),
    Kind.BATCH_ITEM: lambda said: BatchItemDetail(said["batch_id"], said["item_no"]),
    Kind.PAYROLL_ITEM: _payroll,
    Kind.COLLECTION: lambda said: CollectionDetail(
        said["agreement"], said["batch_id"], said["item_no"], debit_from(said.get("terms", {}))
    ),
}
