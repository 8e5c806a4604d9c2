"""Mistakes in the adapter's tables that would move other money: the readback notices each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocols.banks.spdb import requests
from protocols.canon.order import Kind
from protocols.canon.party import Party
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.readback import PaidLine, differs, wanted
from tests.protocols.banks.spdb.paper import (
    BUNDLE,
    CREDITOR,
    DEBTOR,
    PAYEE,
    REFERENCE,
    bank,
    bundle,
    context,
    order,
    steps,
)

ELSEWHERE = Party(PAYEE.account, PAYEE.name, "示例银行某支行", "105100000017")
Value = Callable[[Any], str]


def value_of(table: RequestTable[Any], name: str) -> Value:
    [found] = [one.value for one in table.fields if one.name == name]
    return found


def mistaken(table: RequestTable[Any], **values: Value) -> RequestTable[Any]:
    """The table with other values in some of its fields."""
    fields: tuple[RequestField[Any], ...] = tuple(
        replace(one, value=values[one.name]) if one.name in values else one for one in table.fields
    )
    assert values.keys() <= {one.name for one in fields}
    return replace(table, fields=fields)


def swapped(table: RequestTable[Any]) -> RequestTable[Any]:
    own, payee = value_of(table, "acctNo"), value_of(table, "payeeAcctNo")
    return mistaken(table, acctNo=payee, payeeAcctNo=own)


def in_fen(table: RequestTable[Any]) -> RequestTable[Any]:
    return mistaken(table, amount=lambda one: str(one.order.amount.minor))


def in_hundreds(table: RequestTable[Any]) -> RequestTable[Any]:
    return mistaken(table, amount=lambda one: f"{one.order.amount.minor / 10_000:.4f}")


def paid_to_the_bank(table: RequestTable[Any]) -> RequestTable[Any]:
    return mistaken(table, payeeAcctNo=lambda one: one.order.creditor.cnaps, payeeBankNo=value_of(table, "payeeAcctNo"))


def paid_to_a_name(table: RequestTable[Any]) -> RequestTable[Any]:
    return mistaken(table, payeeAcctNo=value_of(table, "payeeName"), payeeName=value_of(table, "payeeAcctNo"))


def of_one(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[RequestTable[Any]], RequestTable[Any]]
) -> tuple[bytes, list[PaidLine]]:
    monkeypatch.setattr(requests, "SINGLE", spoil(requests.SINGLE))
    data = steps(bank().money[Kind.PAYMENT](order(creditor=ELSEWHERE), context(REFERENCE)))[1].data
    return data, [wanted(DEBTOR, CREDITOR, "123.45")]


def of_many(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[RequestTable[Any]], RequestTable[Any]]
) -> tuple[bytes, list[PaidLine]]:
    monkeypatch.setattr(requests, "BATCH_LINE", spoil(requests.BATCH_LINE))
    given = bundle(creditor=ELSEWHERE)
    data = steps(bank().bundles[Kind.BATCH_ITEM].word(given, context(BUNDLE)))[1].data
    return data, [wanted(DEBTOR, CREDITOR, str(one.order.amount)) for one in given.items]


@pytest.mark.parametrize("made", [of_one, of_many], ids=["8801", "8800"])
@pytest.mark.parametrize(
    "spoil", [swapped, in_fen, in_hundreds, paid_to_the_bank, paid_to_a_name], ids=lambda one: one.__name__
)
def test_a_mistake_in_the_tables_is_noticed(made: Any, spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right, lines = made(monkeypatch, lambda table: table)
    assert differs("spdb", right, lines) == ""
    wrong, lines = made(monkeypatch, spoil)
    assert differs("spdb", wrong, lines) != ""


@pytest.mark.parametrize("field", ["totalNumber", "totalAmount"])
def test_a_total_that_is_not_the_lines_is_noticed(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SINGLE", "BATCH"):
        monkeypatch.setattr(requests, name, mistaken(getattr(requests, name), **{field: lambda _: "2"}))
    for made in (of_one, of_many):
        data, lines = made(monkeypatch, lambda table: table)
        assert "totalNumber or totalAmount" in differs("spdb", data, lines)
