"""Invented payment orders, as an ERP writes them."""

from __future__ import annotations

import json

DEBTORS = ("示例甲公司", "示例乙公司")


def order_id(run: str, number: int) -> str:
    """The ERP's id of an order."""
    return f"{run}-{number:06d}"


def order(run: str, number: int, accounts: tuple[str, ...]) -> bytes:
    """The body of one `payment.submit`. No two are alike, so that none is held as a suspected duplicate."""
    return json.dumps(
        {
            "id": order_id(run, number),
            "debtor": {"account": accounts[number % len(accounts)], "name": DEBTORS[number % len(DEBTORS)]},
            "creditor": {
                "account": f"0000{number:015d}", "name": "示例供应商", "bank_name": "示例银行某支行",
                "cnaps": "000000000000", "kind": "corporate",
            },
            "amount": f"{1 + number // 100}.{number % 100:02d}",
            "currency": "CNY",
            "purpose": f"货款 {number}",
        },
        ensure_ascii=False,
    ).encode()  # fmt: skip
