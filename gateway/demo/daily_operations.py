"""The demo's other commands: a batch, a payroll, a collection and a transfer at each bank that supports them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ITEMS = 3
BATCH, PAYROLL, COLLECTION, TRANSFER = "batch_item", "payroll_item", "collection", "transfer"
COMMANDS: Mapping[str, str] = {
    BATCH: "batch.submit",
    PAYROLL: "payroll.submit",
    COLLECTION: "collection.submit",
    TRANSFER: "transfer.submit",
}
"""The command for each kind of order."""
BRANCH, NUMBER = "示例银行某支行", "000000000000"
PURPOSES: Mapping[str, str] = {BATCH: "货款", PAYROLL: "工资", COLLECTION: "水费", TRANSFER: "调拨"}


@dataclass(frozen=True, slots=True)
class BundleOrder:
    """One order of a bundle, or one transfer; `other` is the other party's account."""

    id: str
    ours: str
    other: str
    minor: int


@dataclass(frozen=True, slots=True)
class DailyCommand:
    """One command, with its orders."""

    id: str
    bank: str
    kind: str
    items: tuple[BundleOrder, ...]
    fields: Mapping[str, Any]

    @property
    def accepted(self) -> str:
        """The answer that says that the command was accepted."""
        return "accepted" if self.kind == TRANSFER else "batch.accepted"


def of_bank(
    bank: str,
    kinds: Sequence[str],
    own: Sequence[str],
    holders: Mapping[str, str],
    others: Iterator[str],
    names: Sequence[str],
    wants: Mapping[str, str],
    dice: random.Random,
    seed: int,
) -> Iterator[DailyCommand]:
    """The commands for this bank. `own` are the sender's accounts there, `others` gives accounts that are used only
    once.
    """
    for kind in kinds:
        if kind == TRANSFER and len(own) < 2:
            continue
        id_, purpose = f"{kind.split('_')[0].upper()}-{seed}-{bank}", PURPOSES[kind]
        ours = {"account": own[0], "name": holders[own[0]]}
        head = {"id": id_, "currency": "CNY", "purpose": purpose}
        if kind == TRANSFER:
            item = BundleOrder(id_, own[0], own[1], dice.randrange(1_00, 90_000_00))
            to = {"account": own[1], "name": holders[own[1]]}
            yield DailyCommand(
                id_, bank, kind, (item,), {**head, "debtor": ours, "creditor": to, "amount": _text(item.minor)}
            )
            continue
        items = tuple(
            BundleOrder(f"{id_}-{n}", own[0], next(others), dice.randrange(1_00, 9_000_00)) for n in range(1, ITEMS + 1)
        )
        theirs = "debtor" if kind == COLLECTION else "creditor"
        signed = {"signed_on": "2026-01-02"} if kind == COLLECTION else {}
        sides = {"creditor": ours, "agreement": "DK-0001"} if kind == COLLECTION else {"debtor": ours}
        yield DailyCommand(
            id_,
            bank,
            kind,
            items,
            {
                **head,
                **sides,
                "count": len(items),
                "sum": _text(sum(one.minor for one in items)),
                "items": [
                    {
                        "id": one.id,
                        "amount": _text(one.minor),
                        **signed,
                        theirs: _party(one.other, dice.choice(names), kind, wants),
                    }
                    for one in items
                ],
            },
        )


def _party(account: str, name: str, kind: str, wants: Mapping[str, str]) -> dict[str, Any]:
    party = {"account": account, "name": name, "bank_name": BRANCH, "cnaps": NUMBER}
    if kind == PAYROLL:
        party = {"account": account, "name": name}
    for pointer, value in wants.items():
        side, _, field = pointer.strip("/").partition("/")
        if side == "creditor" and field in party and field != "account":
            party[field] = value
    return party


def _text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"
