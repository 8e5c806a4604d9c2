"""The tables of requests: a mistake in one of them is seen by the reader that shares nothing with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocols.banks.boc import requests
from protocols.banks.boc.requests import REQUESTS
from protocols.canon.order import Kind
from protocols.canon.party import Name, PartyKind
from protocols.kit.errors import ProtocolError
from protocols.readback import differs
from tests.protocols.banks.every.bench import table
from tests.protocols.readback.test_readback import line, orders_of, written


def own(one: Any) -> str:
    return str(one.order.debtor.account.clear)


def payee(one: Any) -> str:
    return str(one.order.creditor.account.clear)


def fen(one: Any) -> str:
    return str(one.order.amount.minor)


def payee_bank(one: Any) -> str:
    return one.order.creditor.cnaps or "0"


Change = tuple[str, str, Callable[[Any], str]]
ORDERS: dict[str, tuple[Change, ...]] = {
    "accounts swapped": (("PAYER", "actacn", payee), ("PAYEE", "actacn", own), ("PERSON", "actacn", own)),
    "the payee is the payer": (("PAYEE", "actacn", own), ("PERSON", "actacn", own)),
    "fen for yuan": (("ORDER", "trnamt", fen), ("PERSON_ORDER", "trnamt", fen)),
    "the payee's bank for the payee": (("PAYEE", "actacn", payee_bank), ("PERSON", "actacn", payee_bank)),
}
WAGES: dict[str, tuple[Change, ...]] = {
    "accounts swapped": (("PAYER", "actacn", payee), ("WAGE", "toactn", own)),
    "fen for yuan": (("WAGE", "pydamt", fen),),
    "the payee's bank for the payee": (("WAGE", "toactn", payee_bank),),
}
CASES = [
    pytest.param(kind, person, changes, id=f"{kind.value}{' to a person' if person else ''}: {name}")
    for kind, person in (
        (Kind.PAYMENT, False),
        (Kind.PAYMENT, True),
        (Kind.TRANSFER, False),
        (Kind.BATCH_ITEM, False),
        (Kind.PAYROLL_ITEM, False),
    )
    for name, changes in (WAGES if kind is Kind.PAYROLL_ITEM else ORDERS).items()
]


@pytest.mark.parametrize(("kind", "person", "changes"), CASES)
def test_a_mistake_in_a_table_is_read_back(
    kind: Kind, person: bool, changes: tuple[Change, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = table("boc")
    orders: list[Any] = orders_of(at, kind, 2)
    if person:
        orders = [replace(one, creditor=replace(one.creditor, kind=PartyKind.PERSON)) for one in orders]
    approved = [line(one) for one in orders]
    assert differs("boc", written(at, orders), approved) == ""
    for name, field, value in changes:
        old = getattr(requests, name)
        assert field in {one.name for one in old.fields}
        fields = tuple(replace(one, value=value) if one.name == field else one for one in old.fields)
        monkeypatch.setattr(requests, name, replace(old, fields=fields))
    assert differs("boc", written(at, orders), approved) != ""


def test_every_field_has_its_row_of_the_page_and_stands_once() -> None:
    for one in REQUESTS:
        names = [field.name for field in one.fields]
        assert len(names) == len(set(names)), one.operation
        assert all(field.source.startswith("boc.md ") for field in one.fields), one.operation


def test_a_field_over_its_length_is_refused_by_name_before_anything_is_sent() -> None:
    at = table("boc")
    [order] = orders_of(at, Kind.PAYMENT, 1)
    given: Any = replace(order, creditor=replace(order.creditor, name=Name("名" * 36)))
    with pytest.raises(ProtocolError, match="payee's name takes 70 bytes in toname, not 72"):
        written(at, [given])
