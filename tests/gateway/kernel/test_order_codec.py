from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.kernel.commit import order_codec
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.order import (
    BatchItemDetail,
    Channel,
    CollectionDetail,
    Detail,
    PaymentDetail,
    PayrollItemDetail,
    TransferDetail,
    Urgency,
)
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from tests.gateway.kernel.bench import order

DETAILS: list[Detail] = [
    PaymentDetail(),
    TransferDetail("sweep"),
    BatchItemDetail("B1", 3),
    PayrollItemDetail("B2", 4, "09", "AGR", Name("身份证")),
    PayrollItemDetail("B2", 5),
    CollectionDetail("AGR", "B3", 1),
    CollectionDetail("AGR"),
]


@pytest.mark.parametrize("detail", DETAILS, ids=lambda detail: type(detail).__name__)
def test_every_kind_of_order_comes_back_as_it_was(detail: Detail) -> None:
    changed: dict[str, Any] = {
        "detail": detail,
        "urgency": Urgency.URGENT,
        "channel": Channel.LARGE_VALUE,
        "tags": {"a": "b"},
        "valid_until": datetime(2026, 11, 24, 17, tzinfo=timezone(timedelta(hours=8))),
        "not_before": datetime(2026, 11, 24, 9, 0, 0, 123456, tzinfo=UTC),
    }
    changed |= {"maker": "li.wei", "maker_signature": "c2lnbmVk", "funded_by": "group"}
    person = Party(AccountNumber("0017"), Name("张三"), None, None, PartyKind.PERSON)
    made: Any = replace(order("a", **changed), creditor=person)
    assert order_codec.decode(order_codec.encode(made, "1:abc")) == (made, "1:abc")
    assert order_codec.decode(order_codec.encode(order("a", detail=detail), "x")) == (order("a", detail=detail), "x")


def test_a_refusal_comes_back_as_it_was() -> None:
    refusal = Refusal(
        Code.VALIDATION,
        "two fields",
        (Fault("/purpose", FieldCode.TOO_LONG, "40 bytes", 38), Fault("/amount", FieldCode.AMOUNT, "no")),
    )
    assert order_codec.read_refusal(order_codec.write_refusal(refusal)) == refusal
