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
from protocols.canon.statement import Balance, Direction, Line, Page, Receipt
from protocols.erp import treasury_examples
from protocols.erp.account_replies import (
    BalanceAnswer,
    ReceiptSubject,
    Statement,
    Totals,
    balance_result,
    receipt_ready,
    statement_closed,
    statement_ready,
    transaction_booked,
    transactions_page,
)
from protocols.erp.batch_news import (
    BATCH_ACCEPTED,
    BATCH_COMPLETED,
    BATCH_STATUS,
    BatchNews,
    ItemState,
    batch_fields,
    shares_of,
)
from protocols.erp.news import News, fields
from protocols.erp.replies import (
    PAYMENT_REJECTED,
    STATEMENT_CLOSED,
    TRANSACTION_BOOKED,
    Validation,
    payment_validated,
    rejection,
    status_result,
)
from protocols.erp.words import CommandType, TransactionsQuery

_ID, _PAYMENT, _SENDER, _BANK = "AP-2026-000871", "01KA5V3Q8ZJ4M2N7R9T6W0XYBC", "kingdee", "icbc"
_DIGEST = "28bdee3c5839e532bccdb88662343442575122d90746eb8bf59b4a9e7e9aab6e"
_SIGNED = "A" * 86 + "=="
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
        "payment.approve": {"id": _ID, "person": "sun", "digest": _DIGEST, "signature": _SIGNED},
        "payment.reject": {"id": _ID, "person": "sun", "digest": _DIGEST, "signature": _SIGNED, "reason": "重复录入"},
        **_money_commands(),
        "status.query": {"id": _ID},
        "status.query+payment": {"payment": _PAYMENT},
        "balance.query": {"accounts": [_OWN, "0000000000000000041"], "max_age": "PT30S"},
        "balance.query+day": {"accounts": [_OWN], "on": "2026-11-23"},
        "transactions.query": {"account": _OWN, "from": "2026-11-01", "to": "2026-11-24", "after": None, "limit": 500},
        "statement.request": {"account": _OWN, "date": "2026-11-23"},
        "receipt.request": {"account": _OWN, "bank_date": "2026-11-24", "bank_line_id": "20261124000917"},
        "receipt.request+payment": {"payment": _PAYMENT, "page": 2, "max_wait": "PT2H"},
        "payment.validate": least,
        **treasury_examples.commands(),
    }


def _money_commands() -> dict[str, dict[str, Any]]:
    own = {"account": _OWN, "name": "示例甲公司"}
    return {
        "transfer.submit": {
            "id": "TR-2026-000031", "debtor": own, "creditor": {"account": "0000000000000000041", "name": "示例甲公司"},
            "amount": "500000.00", "currency": "CNY", "purpose": "日终归集", "direction": "sweep",
        },
        "batch.submit": {
            "id": "B-2026-0042", "count": 3, "sum": "350.00", "currency": "CNY", "purpose": "货款",
            "tags": {"run": "2026-47"}, "debtor": own,
            "items": [
                {"id": "B-2026-0042-1", "amount": "100.00", "creditor": {
                    "account": "0000000000000000025", "name": "示例乙公司", "bank_name": "示例银行某支行",
                    "cnaps": "000000000000"}},
                {"id": "B-2026-0042-2", "amount": "100.00", "creditor": {
                    "account": "0000000000000000025", "name": "示例乙公司", "bank_name": "示例银行某支行",
                    "cnaps": "000000000000"}},
                {"id": "B-2026-0042-3", "amount": "150.00", "purpose": "差旅费", "tags": {"claim": "7"}, "creditor": {
                    "account": "0000000000000000033", "name": "张示例", "kind": "person"}},
            ],
        },
        "payroll.submit": {
            "id": "P-2026-11", "count": 2, "sum": "20000.50", "currency": "CNY", "purpose": "11月工资",
            "on_item_error": "refuse_item", "debtor": own, "agreement": "DF-0001",
            "items": [
                {"id": "P-2026-11-1", "amount": "12000.00", "creditor": {
                    "account": "0000000000000000058", "name": "李示例"}},
                {"id": "P-2026-11-2", "amount": "8000.50", "creditor": {
                    "account": "0000000000000000066", "name": "王示例"}},
            ],
        },
        "collection.submit": {
            "id": "C-2026-11", "count": 2, "sum": "86.40", "currency": "CNY", "purpose": "11月水费",
            "creditor": own, "agreement": "DK-0007",
            "items": [
                {"id": "C-2026-11-1", "amount": "43.20", "debtor": {
                    "account": "0000000000000000074", "name": "赵示例", "kind": "person"}},
                {"id": "C-2026-11-2", "amount": "43.20", "agreement": "DK-0008", "debtor": {
                    "account": "0000000000000000082", "name": "示例丙公司"}},
            ],
        },
    }  # fmt: skip


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
        "1 field of payment.submit missing or of the wrong form; 1 other field cannot be sent",
        (
            Fault("/amount", FieldCode.TYPE, 'money is a string such as "12345.67", not a number'),
            Fault("/debtor/account", FieldCode.UNKNOWN_ACCOUNT, "is not in the gateway's account register"),
        ),
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
        "payment.validated": payment_validated(
            Validation("AP-2026-000872", _SENDER, "held", _AT_MS, _BANK, f"{_BANK}.main", ("new_payee", "approval"))
        ),
        "balance.result": _balances(),
        "transactions.page": _page(),
        "statement.ready": statement_ready(_statement(), (_entry(),), None, {"B26112400000871": _PAYMENT}),
        "receipt.ready": receipt_ready(
            ReceiptSubject(AccountNumber(_OWN), date(2026, 11, 24), bank_line_id="20261124000917"),
            Receipt(b"%PDF-1.7 ...", "application/pdf", "20261124000917.pdf"),
            1,
        ),
        **_batch_replies(),
        **treasury_examples.replies(),
    }


def _batch_replies() -> dict[str, dict[str, Any]]:
    wrong = Refusal(
        Code.SCHEMA,
        "3 fields of batch.submit missing or of the wrong form",
        (
            Fault("/count", FieldCode.TOTAL, "says 3, there are 2 items", 2),
            Fault("/items/1/amount", FieldCode.AMOUNT, "CNY has 2 decimals, the amount has 3"),
            Fault("/items/1/id", FieldCode.REPEATED, "is the id of item 0 too"),
        ),
    )
    return {
        BATCH_ACCEPTED: batch_fields(_batch(BATCH_ACCEPTED, 1, (State.READY, State.HELD, State.READY))),
        BATCH_STATUS: batch_fields(_batch(BATCH_STATUS, 1, (State.SETTLED, State.IN_DOUBT, State.FAILED))),
        "batch.rejected": rejection(CommandType.BATCH_SUBMIT, "B-2026-0042", wrong),
    }


def _batch(event: str, seq: int, states: tuple[State, State, State], *, told: bool = True) -> BatchNews:
    more: Mapping[State, Mapping[str, Any]] = {
        State.HELD: {"hold_reasons": ("suspected_duplicate",)},
        State.SETTLED: {"bank_code": "0000", "bank_text": "交易成功", "bank_serial": "20261124000918"},
        State.FAILED: {"bank_code": "E102", "bank_text": "户名不符"},
    }
    items = tuple(
        ItemState(
            f"B-2026-0042-{number}",
            number,
            f"01KA5V3Q8ZJ4M2N7R9T6W0XY{number:02d}",
            state,
            number,
            Money(minor),
            bank_reference=f"B2611240000090{number}",
            **more.get(state, {}),
        )
        for number, (state, minor) in enumerate(zip(states, (10_000, 10_000, 15_000), strict=True), start=1)
    )
    return BatchNews(
        event,
        "B-2026-0042",
        _SENDER,
        _BANK,
        Kind.BATCH_ITEM,
        seq,
        _AT_MS,
        3,
        Money(35_000),
        shares_of(items),
        items if told else (),
        tags={"run": "2026-47"},
    )


def events() -> dict[str, dict[str, Any]]:
    """Example bodies of events, made by the code that makes the real ones."""
    made = {
        facts.event: fields(_event(facts.event, state))
        for state, facts in STATE_TABLE.items()
        if facts.event is not None and state not in (State.ACCEPTED, State.REJECTED)
    }
    made[CORRECTION_EVENT] = fields(_event(CORRECTION_EVENT, State.FAILED))
    ended = (State.SETTLED, State.RETURNED, State.FAILED)
    made[BATCH_COMPLETED] = batch_fields(_batch(BATCH_COMPLETED, 3, ended, told=False))
    made[TRANSACTION_BOOKED] = transaction_booked(_SENDER, _BANK, _entry(), _AT_MS, {"B26112400000871": _PAYMENT})
    made[STATEMENT_CLOSED] = statement_closed(_SENDER, _BANK, _statement(), _AT_MS)
    return made | treasury_examples.events()


_MORE: Mapping[str, Mapping[str, Any]] = {
    "payment.held": {"seq": 2, "hold_reasons": ("suspected_duplicate", "approval"), "bank_reference": None},
    "payment.sent": {"seq": 2},
    "payment.processing": {"seq": 3, "bank_code": "P001", "bank_text": "银行处理中", "evidence": "submit"},
    "payment.in_doubt": {"seq": 2, "next_enquiry_ms": _AT_MS + 2_000},
    "payment.escalated": {"seq": 3, "next_enquiry_ms": _AT_MS + 3_600_000},
    "payment.settled": {
        "seq": 3,
        "bank_serial": "20261124000917",
        "bank_code": "0000",
        "bank_text": "交易成功",
        "booked_ms": _AT_MS - 5_000,
        "fee": Money(500),
        "was": State.IN_DOUBT,
        "evidence": "enquiry",
    },
    "payment.failed": {"seq": 2, "bank_code": "E102", "bank_text": "户名不符", "evidence": "submit"},
    "payment.cancelled": {"seq": 2, "bank_reference": None},
    "payment.expired": {"seq": 2, "bank_reference": None},
    "payment.returned": {"seq": 4, "bank_text": "账户已销户,退汇", "evidence": "returns"},
    "payment.reversed": {"seq": 4, "bank_text": "冲正", "evidence": "statement"},
    CORRECTION_EVENT: {
        "seq": 3,
        "bank_code": "0000",
        "bank_text": "交易成功",
        "evidence": "statement",
        "reported": Fate.SETTLED,
    },
}


def _event(name: str, state: State) -> News:
    more: dict[str, Any] = {"bank_reference": "B26112400000871", **_MORE[name]}
    return _news(name, state, more.pop("seq"), **more)


def _news(name: str, state: State, seq: int, **more: Any) -> News:
    return News(
        name,
        _ID,
        _PAYMENT,
        _SENDER,
        _BANK,
        state,
        seq,
        _AT_MS,
        kind=Kind.PAYMENT,
        amount=Money(1234567),
        tags={"invoice": "INV-0931"},
        **more,
    )


def _balances() -> dict[str, Any]:
    balance = Balance(AccountNumber(_OWN), Money(98765432), Money(98765432), frozen=Money(0))
    silent = Refusal(Code.BANK_UNAVAILABLE, "ccb did not answer within 60 s")
    return balance_result(
        [BalanceAnswer(balance, "CNY", _AT_MS, "bank")], [(AccountNumber("0000000000000000041"), silent)]
    )


def _entry() -> Line:
    own, day = AccountNumber(_OWN), date(2026, 11, 24)
    return Line(
        own,
        "20261124000917",
        Direction.DEBIT,
        Money(1234567),
        day,
        booked_at=datetime(2026, 11, 24, 9, 39, 55, tzinfo=UTC),
        value_date=day,
        counterparty_account=AccountNumber("0000000000000000025"),
        counterparty_name=Name("示例乙公司"),
        counterparty_bank="示例银行某支行",
        text="货款 合同 HT-0931",
        balance=Money(98765432),
        reference="B26112400000871",
    )


def _statement() -> Statement:
    return Statement(
        AccountNumber(_OWN), "CNY", date(2026, 11, 24), Totals.of([_entry()]), Money(99999999), Money(98765432)
    )


def _page() -> dict[str, Any]:
    query = TransactionsQuery(AccountNumber(_OWN), date(2026, 11, 1), date(2026, 11, 24), None, 500, 60)
    page = Page((_entry(),), cursor="2", opening=Money(99999999))
    return transactions_page(query, page, _NEXT, {"B26112400000871": _PAYMENT})
