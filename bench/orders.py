"""Invented payment orders, as an ERP writes them."""

from __future__ import annotations

import json
from typing import Any

DEBTORS = ("示例甲公司", "示例乙公司")


def order_id(run: str, number: int) -> str:
    """The ERP's id of an order."""
    return f"{run}-{number:06d}"


def batch_id(run: str, numbers: range) -> str:
    """The ERP's id of a batch of these orders."""
    return f"{run}-B-{numbers[0]:06d}"


def order(run: str, number: int, accounts: tuple[str, ...]) -> bytes:
    """The body of one `payment.submit`. No two are alike, so that none is held as a suspected duplicate."""
    debtor = {"account": accounts[number % len(accounts)], "name": DEBTORS[number % len(DEBTORS)]}
    return json.dumps({**_item(run, number), "debtor": debtor, "currency": "CNY"}, ensure_ascii=False).encode()


def batch(run: str, numbers: range, account: str) -> bytes:
    """The body of one `batch.submit` with these orders as its items."""
    cents = sum(100 + number for number in numbers)
    return json.dumps(
        {
            "id": batch_id(run, numbers),
            "count": len(numbers),
            "sum": f"{cents // 100}.{cents % 100:02d}",
            "currency": "CNY",
            "debtor": {"account": account, "name": DEBTORS[0]},
            "items": [_item(run, number) for number in numbers],
        },
        ensure_ascii=False,
    ).encode()


def number_of(creditor_account: str) -> int:
    """The number of the order that pays this account."""
    return int(creditor_account)


def _item(run: str, number: int) -> dict[str, Any]:
    return {
        "id": order_id(run, number),
        "creditor": {
            "account": f"0000{number:015d}",
            "name": "示例供应商",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
            "kind": "corporate",
        },
        "amount": f"{1 + number // 100}.{number % 100:02d}",
        "purpose": f"货款 {number}",
    }
