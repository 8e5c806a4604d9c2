"""Fingerprints: the same order agrees in any form, another order differs, and the canonical form never changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.money import Money
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
from protocols.canon.party import AccountNumber, Address, Name, Party, PartyKind
from protocols.canon.terms import DebitTerms, Terms
from protocols.erp import canonical, xml_form
from protocols.erp.commands import parse_command
from protocols.erp.fingerprint import batch_fingerprint, dup_key, fingerprint
from protocols.erp.order_forms import PaymentSubmit
from protocols.erp.words import CommandType, OnItemError, SubmitBatch, SubmitOrder
from tests.protocols.erp.orders import BODY, ORDER, as_json, bodies, changed, orders


def of(body: dict[str, Any], content_type: str = "application/json") -> str:
    data = as_json(body)
    if content_type == "application/xml":
        data = xml_form.xml_document("payment.submit", body, PaymentSubmit)
    got = parse_command(CommandType.PAYMENT_SUBMIT, content_type, data)
    assert isinstance(got, SubmitOrder), got
    return fingerprint(got.order)


def test_the_form_never_moves() -> None:
    # These values are in journals. If one changes, every repeated order of the last 400 days becomes a
    # conflict: a new canonical form needs a new version prefix instead.
    assert canonical.text(ORDER).decode() == (
        '{"creditor":{"account":"0025","name":"乙"},"currency":"CNY","debtor":{"account":"0017","name":"甲"},'
        '"id":"AP-1","kind":"payment","minor":"1234567","purpose":"货款","valid_until":"2026-11-24T09:00:00+00:00"}'
    )
    assert fingerprint(ORDER) == "v1:6642499792bd0aa4a9f7b196f2ceebd7e9ad837acf775273c90ae96c23c89a2b"
    assert of(BODY) == "v1:6ae1caff486b4d49b7f2083637da182057a9a49a452ee7e2d9398ef65beaa911"


@given(bodies())
def test_json_and_xml_of_one_order_agree(body: dict[str, Any]) -> None:
    assert of(body) == of(body, "application/xml")


def test_how_it_is_written_does_not_matter() -> None:
    assert of(dict(reversed(BODY.items()))) == of(BODY)
    assert of(changed(amount="12345.6700")) == of(BODY)
    assert of(changed(valid_until="2026-11-24T09:00:00.000000Z")) == of(BODY)
    assert of(changed(urgency=..., channel=..., not_before=None)) == of(BODY)
    assert of(changed(purpose=...)) == of(changed(purpose=""))
    assert of(changed(tags=...)) == of(changed(tags={})) == of(changed(tags={"invoice": None}))


@given(orders, orders)
def test_different_orders_differ(one: AnyOrder, other: AnyOrder) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def _others(value: Any) -> Any:
    """Another value of the same type, for every type a field of an order has."""
    match value:
        case PartyKind():
            return PartyKind.PERSON
        case Urgency():
            return Urgency.URGENT
        case Channel():
            return Channel.INSTANT
        case AccountNumber():
            return AccountNumber(value.clear + "9")
        case Name():
            return Name(value.clear + "九")
        case Money():
            return Money(value.minor + 1)
        case str():
            return value + "9"
        case int():
            return value + 1
        case dict():
            return {**value, "new": "tag"}
    return None


_PARTY = Party(AccountNumber("1"), Name("乙"), "行", "000000000000")
_DETAILS: tuple[Any, ...] = (
    PaymentDetail(),
    TransferDetail("push"),
    BatchItemDetail("B", 1),
    PayrollItemDetail("B", 1, "P", "A", Name("D")),
    CollectionDetail("A", "B", 1),
)


_LEFT = Party(AccountNumber("2"), Name("丙"))
_TERMS = Terms(end_to_end_id="E2E")
_LATER = datetime(2026, 11, 25, tzinfo=UTC)


def _variants(value: Any, changes: Mapping[str, Any]) -> list[Any]:
    """`value` with each of its fields changed in turn. The class itself gives the fields."""
    return [
        replace(value, **{field.name: changes.get(field.name) or _others(getattr(value, field.name))})
        for field in dataclasses.fields(value)
        if field.name != "maker_signature"
    ]


@pytest.mark.parametrize("detail", _DETAILS)
def test_every_field_counts(detail: Any) -> None:
    # A new field of an order that the canonical form lacks makes this test fail.
    order: Any = replace(
        cast("Any", ORDER), detail=detail, debtor=_PARTY, creditor=_PARTY, tags={"a": "b"}, not_before=ORDER.valid_until
    )
    variants = _variants(
        order,
        {
            "valid_until": _LATER,
            "not_before": _LATER,
            "debtor": _LEFT,
            "creditor": _LEFT,
            "detail": TransferDetail("sweep"),
            "terms": _TERMS,
            "maker": "li",
            "funded_by": "group",
        },
    )
    unset = {"bic": "ABCDCNBJ", "address": Address(country="CN")}
    variants += [replace(order, debtor=party) for party in _variants(_PARTY, unset)]
    variants += [replace(order, creditor=party) for party in _variants(_PARTY, unset)]
    variants += [replace(order, detail=other) for other in _variants(detail, {"terms": DebitTerms(scheme_id="S")})]
    prints = {fingerprint(variant) for variant in (order, *variants)}
    assert len(prints) == len(variants) + 1


@given(orders)
def test_a_new_optional_field_changes_nothing(order: AnyOrder) -> None:
    # A field of a later version is unset in today's orders. An unset field must leave no trace, so that today's text
    # stays.
    said = canonical.fields(order)
    for owner, node in ((order, said), (order.debtor, said["debtor"]), (order.creditor, said["creditor"])):
        for field in dataclasses.fields(owner):
            absent = field.default is dataclasses.MISSING
            optional = not absent or field.default_factory is not dataclasses.MISSING
            if optional and getattr(owner, field.name) == ({} if absent else field.default):
                assert field.name not in node
    assert all(value not in (None, "", {}) for value in said.values() if value is not said.get("name"))


@given(orders)
def test_the_text_is_canonical_json(order: AnyOrder) -> None:
    assert canonical.text(order) == rfc8785.dumps(canonical.fields(order))
    assert json.loads(canonical.text(order)) == canonical.fields(order)


@given(orders, st.integers(-14 * 60, 14 * 60))
def test_the_zone_of_a_time_does_not_count(order: AnyOrder, minutes: int) -> None:
    if order.valid_until is not None:
        moved = order.valid_until.astimezone(timezone(timedelta(minutes=minutes)))
        assert fingerprint(replace(order, valid_until=moved)) == fingerprint(order)


def test_the_makers_signature_is_made_of_the_text_and_no_part_of_it() -> None:
    signed = replace(ORDER, maker="li", maker_signature="A" * 86 + "==")
    assert canonical.text(signed) == canonical.text(replace(ORDER, maker="li"))
    assert fingerprint(signed) != fingerprint(ORDER)


def test_suspected_duplicates_share_a_key() -> None:
    twin = replace(
        ORDER,
        id="AP-2",
        purpose="　货 款 ",
        tags={"x": "y"},
        urgency=Urgency.URGENT,
        creditor=replace(ORDER.creditor, name=Name("别名")),
    )
    assert dup_key(twin) == dup_key(ORDER)
    assert dup_key(replace(ORDER, purpose="ＨＴ-1")) == dup_key(replace(ORDER, purpose="ht-1"))
    for other in (
        replace(ORDER, amount=Money(1234568)),
        replace(ORDER, amount=Money(1234567, "USD")),
        replace(ORDER, purpose="货款2"),
        replace(ORDER, debtor=replace(ORDER.debtor, account=AccountNumber("17"))),
        replace(ORDER, creditor=replace(ORDER.creditor, account=AccountNumber("25"))),
    ):
        assert dup_key(other) != dup_key(ORDER)


def of_detail(detail: Detail) -> AnyOrder:
    """The same order as another kind."""
    other: dict[str, Any] = {"detail": detail}
    made: AnyOrder = replace(ORDER, **other)
    return made


def test_the_form_of_a_batch_never_moves() -> None:
    item = of_detail(BatchItemDetail("B-1", 1))
    plain = canonical.batch_text(SubmitBatch("B-1", (item,))).decode()
    assert plain.startswith('{"id":"B-1","items":[{"creditor"') and plain.endswith('"2026-11-24T09:00:00+00:00"}]}')
    assert "on_item_error" not in plain and "tags" not in plain.partition("]")[2]


def test_batches_differ_by_head_and_by_item() -> None:
    item = of_detail(BatchItemDetail("B-1", 1))
    batch = SubmitBatch("B-1", (item,))
    others = [
        replace(batch, id="B-2"),
        replace(batch, orders=()),
        replace(batch, orders=(item, item)),
        replace(batch, tags={"run": "7"}),
        *(replace(batch, on_item_error=other) for other in OnItemError if other is not batch.on_item_error),
    ]
    assert len({batch_fingerprint(one) for one in (batch, *others)}) == len(others) + 1


def test_the_usual_direction_of_a_transfer_is_left_out() -> None:
    transfer = of_detail(TransferDetail("transfer"))
    assert "direction" not in canonical.text(transfer).decode()
