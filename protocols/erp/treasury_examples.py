"""Examples of the treasury's messages, with invented values. See `examples`."""

from __future__ import annotations

from datetime import date
from typing import Any

from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.erp import treasury_replies as told
from protocols.erp.replies import rejection
from protocols.erp.treasury_replies import (
    AccountPlace,
    ClaimState,
    LedgerState,
    MatchingReply,
    OpenRowReply,
    ReportFile,
)
from protocols.erp.treasury_words import LedgerHead
from protocols.erp.words import CommandType

_OWN, _PAYMENT, _SENDER, _BANK = "0000000000000000017", "01KA5V3Q8ZJ4M2N7R9T6W0XYBC", "kingdee", "icbc"
_BOOK, _AT_MS = "01KA5V3Q8ZJ4M2N7R9T6W0XYBD", 1_795_482_000_000
_LINE = "5f1d0c7e9ab24863917c04d8e6f2a35b"
_FIRST, _LAST = date(2026, 11, 1), date(2026, 11, 30)
_HEAD = LedgerHead(AccountNumber(_OWN), _FIRST, _LAST, "CNY", 99_999_999, 98_815_432, 2, 1_234_567, 50_000, 1)
_CLAIM = ClaimState("RC-2026-0017", _SENDER, _OWN, _LINE, Money(50_000), True, "SO-2026-3105", "示例丁公司", "li")
_PLACE = AccountPlace(_SENDER, _BANK, _OWN, _AT_MS)
_OPEN = OpenRowReply(
    "line:01KA5V3Q8ZJ4M2N7R9T6W0XYBE",
    date(2026, 11, 24),
    "debit",
    Money(500),
    "no_counterpart",
    "20261124000920 手续费",
)


def commands() -> dict[str, dict[str, Any]]:
    """Example bodies of commands."""
    book = {
        "id": "JZ-2026-11",
        "account": _OWN,
        "from": "2026-11-01",
        "to": "2026-11-30",
        "currency": "CNY",
        "opening": "999999.99",
        "closing": "988154.32",
        "count": 2,
        "debit_sum": "12345.67",
        "credit_sum": "500.00",
        "part": 1,
        "parts": 1,
        "rows": [
            {
                "id": "V-1",
                "date": "2026-11-24",
                "direction": "debit",
                "amount": "12345.67",
                "counterparty_account": "0000000000000000025",
                "counterparty_name": "示例乙公司",
                "reference": "AP-2026-000871",
                "voucher": "银付-0871",
                "text": "货款 合同 HT-0931",
            },
            {
                "id": "V-2",
                "date": "2026-11-25",
                "direction": "credit",
                "amount": "500.00",
                "counterparty_name": "示例丁公司",
                "voucher": "银收-0112",
                "settlement_no": "20261125000311",
            },
        ],
    }
    return {
        "ledger.submit": book,
        "ledger.withdraw": {"id": "JZ-2026-11", "reason": "重新过账"},
        "credit.claim": {
            "id": "RC-2026-0017",
            "account": _OWN,
            "line": _LINE,
            "reference": "SO-2026-3105",
            "customer": "示例丁公司",
            "by": "li",
        },
        "credit.claim+release": {"id": "RC-2026-0017", "account": _OWN, "line": _LINE, "act": "release"},
        "reconciliation.query": {"account": _OWN, "to": "2026-11-30", "limit": 50},
        "report.request": {"report": "daily", "form": "xlsx", "to": "2026-11-24", "company": "example"},
    }


def replies() -> dict[str, dict[str, Any]]:
    """Example bodies of replies."""
    wrong = Refusal(
        Code.BOOK_REFUSED, "the book's debit total is 12345.67, its rows add up to 12000.00; the book was dropped"
    )
    paid = MatchingReply("A", {"code": 311, "serial": 4}, 1, 0, 1, (), (_OPEN,))
    booked = MatchingReply("B", {"code": 305}, 0, 0, 1, (), (_OPEN,))
    return {
        "ledger.result": told.ledger_result(LedgerState("JZ-2026-11", _BOOK, _HEAD, "in_force", 1)),
        "command.rejected+book": rejection(CommandType.LEDGER_SUBMIT, "JZ-2026-11", wrong),
        "credit.result": told.credit_result(_CLAIM),
        "reconciliation.result": told.reconciliation_result(_OWN, "CNY", _LAST, 1, (paid, booked)),
        "report.ready": told.report_ready(
            ReportFile(
                "daily",
                date(2026, 11, 1),
                date(2026, 11, 24),
                "daily-2026-11-24.csv",
                "text/csv",
                b"account,closing\r\n",
                1,
            ),
            1,
        ),
    }


def events() -> dict[str, dict[str, Any]]:
    """Example bodies of events."""
    closed = LedgerState("JZ-2026-11", _BOOK, _HEAD, "in_force", 1, closed_now=True)
    return {
        "ledger.closed": told.ledger_closed(closed, _SENDER, _SENDER, _BANK, _AT_MS),
        "credit.claimed": told.credit_news(_CLAIM, _SENDER, _BANK, _AT_MS),
        "credit.released": told.credit_news(
            ClaimState("RC-2026-0017", _SENDER, _OWN, _LINE, Money(50_000), False), _SENDER, _BANK, _AT_MS
        ),
        "reconciliation.matched": told.reconciliation_matched(_PLACE, "code", [_PAYMENT], [_LINE]),
        "reconciliation.exception": told.reconciliation_exception(_PLACE, "A", _OPEN),
        "reconciliation.completed": told.reconciliation_completed(_PLACE, date(2026, 11, 24), 315, 0, 1),
    }
