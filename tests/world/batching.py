"""Batches for tests of a whole gateway: bodies whose sums are right, and the states of a batch and its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from protocols.bank import Bank, Context, MoneyConversation
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind, Order, PaymentDetail
from tests.world.world import World

SENDER: dict[str, Any] = {"suspected_duplicate_hours": 0}


def batch(
    world: World,
    id_: str,
    minors: Sequence[int],
    *,
    kind: str = "batch",
    bank: str | None = None,
    account: str | None = None,
    **head: Any,
) -> dict[str, Any]:
    """The body of a batch whose items differ only in their ids and amounts."""
    own = {"account": account or (world.banks[bank] if bank else world.bank).account, "name": "示例甲公司"}
    other = {"account": "0000000000000000025", "name": "示例乙"}
    sides = {"creditor": own, "agreement": "A1"} if kind == "collection" else {"debtor": own}
    theirs = "debtor" if kind == "collection" else "creditor"
    items = [
        {"id": f"{id_}-{n}", "amount": str(Money(minor)), theirs: dict(other)} for n, minor in enumerate(minors, 1)
    ]
    return {
        "id": id_,
        "count": len(minors),
        "sum": str(Money(sum(minors))),
        "currency": "CNY",
        "purpose": "货款",
        **sides,
        "items": items,
        **head,
    }


def states(world: World, id_: str) -> list[str | None]:
    """The items' states in their order, as committed."""
    found: list[str | None] = []
    while (state := world.state(f"{id_}-{len(found) + 1}")) is not None:
        found.append(state)
    return found


def completed(world: World, id_: str) -> list[tuple[int, dict[str, int]]]:
    """Each `batch.completed` of a batch in the order of its numbers: the number, and the items by state.

    One that was published twice stands here once; two of one number must say the same.
    """
    told: dict[int, dict[str, int]] = {}
    for event in world.events:
        if event["event"] == "batch.completed" and event["id"] == id_:
            shares = {share["state"]: share["count"] for share in event["states"]}
            assert told.setdefault(event["seq"], shares) == shares
    return sorted(told.items())


def answers(world: World, id_: str) -> list[dict[str, Any]]:
    """The replies about a batch."""
    return [body for _said, body in world.replies if body.get("id") == id_]


def moved(world: World) -> Counter[str]:
    """The number of times that each order's money moved at the bank, by reference. No number may be over 1."""
    return Counter(one.instruction.reference for one in world.bank.ledger.executions if not one.refused)


def alone(bank: Bank) -> Bank:
    """The bank's adapter without messages for many orders."""
    pay, read = bank.money[Kind.PAYMENT], bank.read

    def word(order: AnyOrder, context: Context) -> MoneyConversation:
        single: Order[Any] = order
        return pay(replace(single, detail=PaymentDetail()), context)

    return replace(
        bank,
        bundles={},
        money={**dict.fromkeys(bank.bundles, word), **bank.money},
        read=lambda _kind, sent, data: read(Kind.PAYMENT, sent, data),
    )


def narrow(most: int) -> Callable[[Bank], Bank]:
    """The bank's adapter with at most `most` orders in one message."""
    return lambda bank: replace(bank, bundles={kind: replace(one, most=most) for kind, one in bank.bundles.items()})
