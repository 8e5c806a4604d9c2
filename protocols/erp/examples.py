"""One example of every message, with invented values. The reference shows them, and each is a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Fate, State
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.erp.news import News, fields
from protocols.erp.replies import (
    PAYMENT_REJECTED,
    BalanceAnswer,
    balance_result,
    rejection,
    status_result,
    transactions_page,
)
from protocols.erp.words import CommandType, TransactionsQuery

_ID, _PAYMENT, _SENDER, _BANK = "AP-2026-000871", "01KA5V3Q8ZJ4M2N7R9T6W0XYBC", "kingdee", "icbc"
_OWN = "0000000000000000017"
_AT_MS = 1_795_482_000_000
_NEXT = "q83vEjRWeJCrze8SNFZ4kHsicGFnZSI6Mn0"


def commands() -> dict[str, dict[str, Any]]:
    """Example bodies of commands by file name without ending; the part before `+` is the message's name."""
    order = {
        "id": _ID,
        "valid_until": "2026-11-24T17:00:00+08:00",
        "debtor": {"account": _OWN, "name": "示例甲公司"},
        "creditor": {
            "account": "0000000000000000025",
            "name": "示例乙公司",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
            "kind": "corporate",
        },
        "amount": "12345.67",
        "currency": "CNY",
        "purpose": "货款 合同 HT-0931",
        "urgency": "normal",
        "channel": "auto",
        "tags": {"invoice": "INV-0931"},
    }
    least = {
        "id": "AP-2026-000872",
        "debtor": {"account": _OWN, "name": "示例甲公司"},
        "creditor": {"account": "0000000000000000033", "name": "张示例", "kind": "person"},
        "amount": "100.00",
        "currency": "CNY",
    }
    return {
        "payment.submit": order,
        "payment.submit+least": least,
        "payment.cancel": {"id": _ID, "reason": "重复录入"},
        "status.query": {"id": _ID},
        "status.query+payment": {"payment": _PAYMENT},
        "balance.query": {"accounts": [_OWN, "0000000000000000041"], "max_age": "PT30S"},
        "transactions.query": {
            "account": _OWN,
            "from": "2026-11-01",
            "to": "2026-11-24",
            "after": None,
            "limit": 500,
        },
    }


def replies() -> dict[str, dict[str, Any]]:
    """Example bodies of replies, made by the code that makes the real ones."""
    bank_limits = Refusal(
        Code.VALIDATION,
        "3 fields cannot be sent to icbc",
        (
            Fault("/purpose", FieldCode.TOO_LONG, "40 bytes in GBK, limit 38", 38),
            Fault("/creditor/name", FieldCode.CHARSET, "'䶮' (U+4DAE, position 2) not in GBK"),
            Fault("/creditor/cnaps", FieldCode.UNKNOWN_CODE, "no bank with 000000000000"),
        ),
    )
    unformed = Refusal(
        Code.SCHEMA,
        "1 field of payment.submit missing or of the wrong form",
        (Fault("/amount", FieldCode.TYPE, 'money is a string such as "12345.67", not a number'),),
    )
    reused = Refusal(Code.ID_CONFLICT, "AP-2026-000871 was used on 2026-11-24 with other content; nothing happened")
    late = Refusal(Code.TOO_LATE, "AP-2026-000871 may already be at icbc")
    return {
        "payment.accepted": fields(_news("payment.accepted", State.ACCEPTED, 1, send_after_ms=_AT_MS)),
        "payment.rejected": fields(_news(PAYMENT_REJECTED, State.REJECTED, 1, refusal=bank_limits)),
        "payment.rejected+schema": rejection(CommandType.PAYMENT_SUBMIT, _ID, unformed),
        "payment.rejected+id_conflict": rejection(CommandType.PAYMENT_SUBMIT, _ID, reused),
        "command.rejected": rejection(CommandType.PAYMENT_CANCEL, _ID, late),
        "status.result": status_result(_event("payment.settled", State.SETTLED)),
        "balance.result": _balances(),
        "transactions.page": _page(),
    }


def events() -> dict[str, dict[str, Any]]:
    """Example bodies of events, made by the code that makes the real ones."""
    made = {
        facts.event: fields(_event(facts.event, state))
        for state, facts in STATE_TABLE.items()
        if facts.event is not None and state not in (State.ACCEPTED, State.REJECTED)
    }
    made[CORRECTION_EVENT] = fields(_event(CORRECTION_EVENT, State.FAILED))
    return made


_MORE: Mapping[str, Mapping[str, Any]] = {
    "payment.held": {"seq": 2, "hold_reason": "suspected_duplicate", "bank_reference": None},
    "payment.sent": {"seq": 2},
    "payment.processing": {"seq": 3, "bank_code": "P001", "bank_text": "银行处理中", "evidence": "submit"},
    "payment.in_doubt": {"seq": 2, "next_enquiry_ms": _AT_MS + 2_000},
    "payment.escalated": {"seq": 3, "next_enquiry_ms": _AT_MS + 3_600_000},
    "payment.settled": {
        "seq": 3, "bank_serial": "20261124000917", "bank_code": "0000", "bank_text": "交易成功",
        "booked_ms": _AT_MS - 5_000, "fee": Money(500), "was": State.IN_DOUBT, "evidence": "enquiry"},
    "payment.failed": {"seq": 2, "bank_code": "E102", "bank_text": "户名不符", "evidence": "submit"},
    "payment.cancelled": {"seq": 2, "bank_reference": None},
    "payment.expired": {"seq": 2, "bank_reference": None},
    "payment.returned": {"seq": 4, "bank_text": "账户已销户,退汇", "evidence": "returns"},
    "payment.reversed": {"seq": 4, "bank_text": "冲正", "evidence": "statement"},
    CORRECTION_EVENT: {
        "seq": 3, "bank_code": "0000", "bank_text": "交易成功", "evidence": "statement",
        "reported": Fate.SETTLED},
}  # fmt: skip


def _event(name: str, state: State) -> News:
    more: dict[str, Any] = {"bank_reference": "B26112400000871", **_MORE[name]}
    return _news(name, state, more.pop("seq"), **more)


def _news(name: str, state: State, seq: int, **more: Any) -> News:
    return News(
        name, _ID, _PAYMENT, _SENDER, _BANK, state, seq, _AT_MS,
        kind=Kind.PAYMENT, amount=Money(1234567), tags={"invoice": "INV-0931"}, **more,
    )  # fmt: skip


def _balances() -> dict[str, Any]:
    balance = Balance(AccountNumber(_OWN), Money(98765432), Money(98765432), frozen=Money(0))
    silent = Refusal(Code.BANK_UNAVAILABLE, "ccb did not answer within 60 s")
    return balance_result(
        [BalanceAnswer(balance, "CNY", _AT_MS, "bank")], [(AccountNumber("0000000000000000041"), silent)]
    )


def _page() -> dict[str, Any]:
    own, day = AccountNumber(_OWN), date(2026, 11, 24)
    line = Line(
        own, "20261124000917", Direction.DEBIT, Money(1234567), day,
        booked_at=datetime(2026, 11, 24, 9, 39, 55, tzinfo=UTC), value_date=day,
        counterparty_account=AccountNumber("0000000000000000025"), counterparty_name=Name("示例乙公司"),
        counterparty_bank="示例银行某支行", text="货款 合同 HT-0931", balance=Money(98765432),
        reference="B26112400000871",
    )  # fmt: skip
    query = TransactionsQuery(own, date(2026, 11, 1), day, None, 500, 60)
    page = Page((line,), cursor="2", opening=Money(99999999))
    return transactions_page(query, page, _NEXT, {"B26112400000871": _PAYMENT})
