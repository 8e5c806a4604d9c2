"""Commands with many orders: accepted whole or not at all, every fault at once, each item an order of its own."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from protocols.canon.errors import Code, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import CollectionDetail, Kind, PayrollItemDetail, TransferDetail
from protocols.canon.party import Name, PartyKind
from protocols.erp import canonical, examples, xml_form
from protocols.erp.commands import claimed_id, parse_command
from protocols.erp.fingerprint import batch_fingerprint, fingerprint
from protocols.erp.forms import FORMS
from protocols.erp.words import MAX_BODY_BYTES, MAX_ITEMS, CommandType, OnItemError, SubmitBatch, SubmitOrder
from tests.protocols.erp.orders import as_json, batches

BATCH = examples.commands()["batch.submit"]


def taken(body: Any, type_: CommandType = CommandType.BATCH_SUBMIT) -> SubmitBatch:
    got = parse_command(type_, "application/json", as_json(body))
    assert isinstance(got, SubmitBatch), got
    return got


def faults(body: Any, type_: CommandType = CommandType.BATCH_SUBMIT) -> dict[str, FieldCode]:
    got = parse_command(type_, "application/json", as_json(body))
    assert isinstance(got, Refusal) and got.code is Code.SCHEMA, got
    return {fault.at: fault.code for fault in got.faults}


def changed(**fields: Any) -> dict[str, Any]:
    return {**deepcopy(BATCH), **fields}


def item(number: int, **fields: Any) -> dict[str, Any]:
    return {**deepcopy(BATCH["items"][number]), **fields}


def test_each_item_is_an_order_of_its_own() -> None:
    batch = taken(BATCH)
    assert (batch.id, batch.kind, len(batch.orders), batch.sum_minor) == ("B-2026-0042", Kind.BATCH_ITEM, 3, 35_000)
    first, second, third = batch.orders
    assert first.amount == second.amount and first.creditor == second.creditor, "alike in all but their ids"
    assert fingerprint(first) != fingerprint(second)
    assert (third.purpose, third.tags) == ("差旅费", {"run": "2026-47", "claim": "7"})
    assert (first.purpose, first.tags) == ("货款", {"run": "2026-47"})
    assert batch.on_item_error is OnItemError.REFUSE_BATCH


def test_pay_goes_to_persons_with_the_agreement_of_the_head() -> None:
    body = deepcopy(examples.commands()["payroll.submit"])
    body["items"][0]["creditor"]["document"] = "110000"
    batch = taken(body, CommandType.PAYROLL_SUBMIT)
    first, second = batch.orders
    assert first.detail == PayrollItemDetail("P-2026-11", 1, None, "DF-0001", Name("110000"))
    assert (second.kind, second.creditor.kind) == (Kind.PAYROLL_ITEM, PartyKind.PERSON)
    assert batch.on_item_error is OnItemError.REFUSE_ITEM


def test_a_collection_is_paid_by_the_other_side() -> None:
    batch = taken(examples.commands()["collection.submit"], CommandType.COLLECTION_SUBMIT)
    first, second = batch.orders
    assert first.detail == CollectionDetail("DK-0007", "C-2026-11", 1)
    assert second.detail == CollectionDetail("DK-0008", "C-2026-11", 2)
    assert {order.ours.account.clear for order in batch.orders} == {"0000000000000000017"}
    assert first.theirs.account.clear == "0000000000000000074"


def test_a_transfer_has_its_direction() -> None:
    got = parse_command(CommandType.TRANSFER_SUBMIT, None, as_json(examples.commands()["transfer.submit"]))
    assert isinstance(got, SubmitOrder)
    assert got.order.detail == TransferDetail("sweep")


def test_every_fault_of_every_item_at_once() -> None:
    wrong = changed(
        count=4,
        currency="cny",
        items=[item(0, amount=100), item(1, creditor={"account": "1", "nmae": "x"}), item(2, purpose="a\tb")],
    )
    assert faults(wrong) == {
        "/currency": FieldCode.CURRENCY,
        "/items/0/amount": FieldCode.TYPE,
        "/items/1/creditor/name": FieldCode.REQUIRED,
        "/items/1/creditor/nmae": FieldCode.UNKNOWN_FIELD,
        "/items/2/purpose": FieldCode.FORBIDDEN_CHARACTER,
        "/count": FieldCode.TOTAL,
    }
    got = parse_command(CommandType.BATCH_SUBMIT, None, as_json(wrong))
    assert isinstance(got, Refusal)
    assert any("did you mean 'name'?" in fault.detail for fault in got.faults), "names of items are known too"


def test_count_sum_and_ids_are_those_of_the_items() -> None:
    wrong = changed(
        count=2, sum="350.01", items=[item(0), item(1, id="B-2026-0042-1"), item(2, id="B-2026-0042", amount="150.00")]
    )
    assert faults(wrong) == {
        "/count": FieldCode.TOTAL,
        "/sum": FieldCode.TOTAL,
        "/items/1/id": FieldCode.REPEATED,
        "/items/2/id": FieldCode.REPEATED,
    }
    assert faults(changed(items=[])) == {"/items": FieldCode.TOO_SHORT}
    assert faults(changed(sum="350.001")) == {"/sum": FieldCode.AMOUNT}
    assert faults(changed(items=[item(0, amount="1.001"), item(1), item(2)])) == {"/items/0/amount": FieldCode.AMOUNT}


def full() -> dict[str, Any]:
    name = "示" * 20
    items = [
        item(
            0,
            id=f"{'I' * 30}{number}",
            amount="0.01",
            purpose=name,
            tags={"a": "1"},
            creditor={"account": f"{number:030}", "name": name, "bank_name": name, "cnaps": "0" * 12, "kind": "person"},
        )
        for number in range(MAX_ITEMS)
    ]
    return changed(count=MAX_ITEMS, sum=str(Money(MAX_ITEMS)), items=items)


def test_a_full_batch_fits_in_both_forms() -> None:
    body = full()
    document = xml_form.xml_document("batch.submit", body, FORMS[CommandType.BATCH_SUBMIT])
    assert len(as_json(body)) < MAX_BODY_BYTES and len(document) < MAX_BODY_BYTES
    assert taken(body) == parse_command(CommandType.BATCH_SUBMIT, "application/xml", document)
    over = {**body, "items": [*body["items"], item(1)], "count": MAX_ITEMS + 1}
    assert faults(over) == {"/items": FieldCode.TOO_LONG, "/count": FieldCode.PATTERN}


@given(batches())
def test_json_and_xml_of_one_batch_agree(drawn: tuple[str, dict[str, Any]]) -> None:
    name, body = drawn
    type_ = CommandType(name)
    document = xml_form.xml_document(name, body, FORMS[type_])
    assert xml_form.parse(document, name, FORMS[type_]) == body
    got = parse_command(type_, "application/xml", document)
    assert isinstance(got, SubmitBatch), got
    assert got == taken(body, type_)
    assert batch_fingerprint(got) == batch_fingerprint(taken(body, type_))
    assert claimed_id("application/xml", document, type_) == claimed_id(None, as_json(body), type_) == body["id"]


def test_the_form_of_a_batchs_fingerprint_never_moves() -> None:
    # These values are in journals, as those in test_fingerprint.
    first = taken(changed(count=1, sum="100.00", items=[item(0)]))
    assert canonical.batch_text(first).decode() == (
        '{"id":"B-2026-0042","items":[{"creditor":{"account":"0000000000000000025","bank_name":"示例银行某支行",'
        '"cnaps":"000000000000","name":"示例乙公司"},"currency":"CNY","debtor":{"account":"0000000000000000017",'
        '"name":"示例甲公司"},"detail":{"batch_id":"B-2026-0042","item_no":1},"id":"B-2026-0042-1",'
        '"kind":"batch_item","minor":"10000","purpose":"货款","tags":{"run":"2026-47"}}],"tags":{"run":"2026-47"}}'
    )
    assert batch_fingerprint(taken(BATCH)) == "v1:4533f64c12ed2be2bc3d25079317b8aec25dacee1cfbf6c0cc24d5a9ab6e1887"


@pytest.mark.parametrize(
    "other",
    [
        changed(id="B-2"),
        changed(purpose="x"),
        changed(on_item_error="refuse_item"),
        changed(tags={}),
        changed(items=[item(1), item(0), item(2)]),
        changed(items=[item(0, id="x"), item(1), item(2)]),
        changed(items=[item(0, amount="99.99"), item(1, amount="100.01"), item(2)]),
        changed(valid_until="2026-11-24T17:00:00+08:00"),
        changed(urgency="urgent"),
    ],
)
def test_another_batch_has_another_fingerprint(other: dict[str, Any]) -> None:
    assert batch_fingerprint(taken(other)) != batch_fingerprint(taken(BATCH))


def test_what_is_at_its_default_changes_no_fingerprint() -> None:
    same = changed(on_item_error="refuse_batch", channel="auto", sum="350", valid_until=None)
    assert batch_fingerprint(taken(same)) == batch_fingerprint(taken(BATCH))
    later = changed(valid_until="2026-11-24T17:00:00+08:00")
    utc = changed(valid_until="2026-11-24T09:00:00Z")
    assert batch_fingerprint(taken(later)) == batch_fingerprint(taken(utc))
    first = taken(later).orders[0].valid_until
    assert first is not None and first.utcoffset() == timedelta(0)


def test_form_and_sum_errors_are_told_in_one_answer() -> None:
    """An item without a payee, besides a wrong count and a wrong sum."""
    broken = {name: value for name, value in item(0).items() if name != "creditor"}
    body = changed(count=3, sum="0.01", items=[broken, item(1)])
    assert faults(body) == {"/items/0/creditor": FieldCode.REQUIRED, "/count": FieldCode.TOTAL, "/sum": FieldCode.TOTAL}


def test_no_sum_is_judged_where_an_amount_cannot_be_read() -> None:
    body = changed(count=2, sum="0.01", items=[item(0, amount=7), item(1)])
    assert faults(body) == {"/items/0/amount": FieldCode.TYPE}
