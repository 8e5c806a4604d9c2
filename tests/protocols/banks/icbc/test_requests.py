"""The tables of requests: a mistake in one of them is seen by the reader that shares nothing with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocols.banks.icbc import requests
from protocols.banks.icbc.requests import REQUESTS
from protocols.canon.order import Kind
from protocols.kit.request_fields import RequestTable
from protocols.readback import differs
from tests.protocols.banks.every.bench import table
from tests.protocols.readback.test_readback import line, orders_of, written

KINDS = (Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)
Value = Callable[[Any], str]


def own(one: Any) -> str:
    return str(one.order.debtor.account.clear)


def payee(one: Any) -> str:
    return str(one.order.creditor.account.clear)


def others(one: Any) -> str:
    return str(one.bundle.items[0].order.debtor.account.clear)


MISTAKES: dict[str, dict[str, Value]] = {
    "accounts swapped": {"PayAccNo": payee, "RecAccNo": own},
    "the payee is the payer": {"RecAccNo": own},
    "yuan for fen": {"PayAmt": lambda one: str(one.order.amount)},
    "whole yuan for fen": {"PayAmt": lambda one: str(one.order.amount.minor // 100)},
    "fen with two more digits": {"PayAmt": lambda one: str(one.order.amount.minor * 100)},
    "the payee's bank for the payee": {"RecAccNo": lambda one: one.order.creditor.cnaps or "0"},
}
COLLECTING: dict[str, dict[str, Value]] = {
    "the payer is ours": {"PayAccNo": payee},
    "yuan for fen": {"PayAmt": lambda one: str(one.order.amount)},
    "the payer's bank for the payer": {"PayAccNo": lambda one: one.order.debtor.cnaps or "0"},
}
CASES = [
    pytest.param(kind, values, id=f"{kind.value}: {name}")
    for kind in KINDS
    for name, values in (COLLECTING if kind is Kind.COLLECTION else MISTAKES).items()
]


def changed(of: RequestTable[Any], values: dict[str, Value]) -> RequestTable[Any]:
    """The table with other values in some of its fields."""
    assert values.keys() <= {one.name for one in of.fields}
    fields = tuple(replace(one, value=values[one.name]) if one.name in values else one for one in of.fields)
    return replace(of, fields=fields)


@pytest.mark.parametrize(("kind", "values"), CASES)
def test_a_mistake_in_a_table_is_read_back(
    kind: Kind, values: dict[str, Value], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = table("icbc")
    orders = orders_of(at, kind, 2)
    approved = [line(one) for one in orders]
    assert differs("icbc", written(at, orders), approved) == ""
    name = "COLLECTION" if kind is Kind.COLLECTION else "NEW_PAYMENT"
    monkeypatch.setattr(requests, name, changed(getattr(requests, name), values))
    assert differs("icbc", written(at, orders), approved) != ""


def test_the_own_account_of_a_collection_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    at = table("icbc")
    orders = orders_of(at, Kind.COLLECTION, 2)
    monkeypatch.setattr(requests, "COLLECTION_PACKAGE", changed(requests.COLLECTION_PACKAGE, {"RecAccNo": others}))
    assert differs("icbc", written(at, orders), [line(one) for one in orders]) != ""


def test_every_field_has_its_row_of_the_page_and_stands_once() -> None:
    for one in REQUESTS:
        names = [field.name for field in one.fields]
        assert len(names) == len(set(names)), one.operation
        assert all(field.source.startswith("icbc.md ") for field in one.fields), one.operation
