"""Every bank's bytes for every kind are read back by code that shares nothing with the adapter; 10,000 changes are
noticed.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from protocols.bank import Sign, Submit
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.party import AccountNumber
from protocols.readback import PaidLine, differs, reads, wanted
from tests.protocols.banks.every.bench import EVERY, Table, bundled, kinds, table


@cache
def words() -> tuple[tuple[str, Kind], ...]:
    """Each bank with each kind that it takes and that is read back."""
    return tuple(
        (name, kind) for name in EVERY for kind in Kind if reads(name, kind) and kind in (*kinds(name), *bundled(name))
    )


def written(at: Table, orders: list[AnyOrder]) -> bytes:
    """The adapter's bytes for these orders: of one, or of a bundle."""
    kind, context = orders[0].kind, at.stage.context(at.reference())
    if kind in at.bank.bundles:
        items = tuple(Item(one, at.reference()) for one in orders)
        conversation: Any = at.bank.bundles[kind].word(Bundle(kind, items), context)
    else:
        conversation = at.bank.money[kind](orders[0], context)
    step = next(conversation)
    while not isinstance(step, Submit):
        heard = (
            at.stage.signers[step.key](step.octets)
            if isinstance(step, Sign)
            else at.stage.exchange(step.port, step.data)
        )
        step = conversation.send(heard)
    conversation.close()
    return step.data


def line(order: AnyOrder) -> PaidLine:
    return wanted(order.debtor.account.clear, order.creditor.account.clear, str(order.amount))


def orders_of(at: Table, kind: Kind, count: int) -> list[AnyOrder]:
    most = min(count, at.bank.bundles[kind].most) if kind in at.bank.bundles else 1
    return [at.order(kind, minor=1_000 + 7 * number, number=number) for number in range(1, most + 1)]


def test_every_bank_that_is_not_read_back_is_named() -> None:
    assert sorted(name for name in EVERY if not reads(name, Kind.PAYMENT)) == []


@pytest.mark.parametrize(("name", "kind"), words(), ids=lambda one: getattr(one, "value", one))
def test_the_bytes_say_what_the_order_says(name: str, kind: Kind) -> None:
    at = table(name)
    orders = orders_of(at, kind, 3)
    assert differs(name, written(at, orders), [line(one) for one in orders]) == ""


@pytest.mark.parametrize("mutations", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", sorted({name for name, _kind in words()}))
def test_of_many_changed_orders_none_passes(name: str, mutations: int) -> None:
    """The order is changed between its approval and its bytes: payee, own account, amount, lines, or the bytes."""
    at, chance = table(name), random.Random(name)
    read = [kind for one, kind in words() if one == name]
    share = mutations // len({name for name, _kind in words()}) + 1
    made = 0
    for number in range(share):
        kind = read[number % len(read)]
        orders = orders_of(at, kind, 2)
        approved = [line(one) for one in orders]
        n = chance.randrange(len(orders))
        what = number // len(read) % 4
        if what == 0:
            changed = replace(orders[n].amount, minor=orders[n].amount.minor + chance.choice((-1, 1, 100, 900)))
            orders[n] = replace(orders[n], amount=changed)
        elif what == 1:
            side = "debtor" if kind is Kind.COLLECTION else "creditor"
            other = _digit(getattr(orders[n], side).account.clear, chance)
            orders[n] = replace(orders[n], **{side: replace(getattr(orders[n], side), account=AccountNumber(other))})
        elif what == 2:
            approved[n] = replace(approved[n], debtor=_digit(approved[n].debtor, chance))
        else:
            approved = approved[:-1] if len(approved) > 1 else [*approved, replace(approved[0], amount=Decimal(1))]
        try:
            data = written(at, orders)
        except Exception:  # the adapter itself refuses what the bank's form cannot carry
            continue
        made += 1
        assert differs(name, data, approved) != "", (kind, what, number)
    assert made > share // 2


def _digit(account: str, chance: random.Random) -> str:
    at = chance.randrange(max(len(account) - 6, 0), len(account))
    return account[:at] + str((int(account[at]) + chance.randint(1, 9)) % 10) + account[at + 1 :]
