"""Every message of the contract: its name, its sender, its fields. All generators read this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, State
from protocols.erp.account_forms import (
    BalanceResult,
    ReceiptReady,
    StatementClosed,
    StatementReady,
    TransactionBooked,
    TransactionsPage,
)
from protocols.erp.batch_news import BATCH_ACCEPTED, BATCH_COMPLETED, BATCH_REJECTED, BATCH_STATUS
from protocols.erp.forms import FORMS
from protocols.erp.replies import (
    BALANCE_RESULT,
    COMMAND_REJECTED,
    CREDIT_CLAIMED,
    CREDIT_RELEASED,
    CREDIT_RESULT,
    LEDGER_CLOSED,
    LEDGER_RESULT,
    PAYMENT_ACCEPTED,
    PAYMENT_REJECTED,
    PAYMENT_VALIDATED,
    RECEIPT_READY,
    RECONCILIATION_COMPLETED,
    RECONCILIATION_EXCEPTION,
    RECONCILIATION_MATCHED,
    RECONCILIATION_RESULT,
    REPORT_READY,
    STATEMENT_CLOSED,
    STATEMENT_READY,
    STATUS_RESULT,
    TRANSACTION_BOOKED,
    TRANSACTIONS_PAGE,
)
from protocols.erp.reply_forms import BatchNewsForm, PaymentNews, PaymentValidated, Rejected
from protocols.erp.treasury_reply_forms import (
    CreditNews,
    CreditResult,
    ExceptionNews,
    LedgerClosed,
    LedgerResult,
    ReconciliationCompleted,
    ReconciliationMatched,
    ReconciliationResult,
    ReportReady,
)
from protocols.erp.words import CommandType


class MessageWay(StrEnum):
    """The sender of a message, and the route by which it travels."""

    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `replies` are the names of a command's replies; `state` is the state that a payment event announces.

    A body has the fields of `form`, or of `other` where there is one.
    """

    name: str
    voice: MessageWay
    form: type[BaseModel]
    meaning: str
    meaning_zh: str
    replies: tuple[str, ...] = ()
    state: State | None = None
    other: type[BaseModel] | None = None


_COMMANDS = {
    CommandType.PAYMENT_SUBMIT: (
        "carry out one payment, exactly once",
        "提交一笔付款，恰好执行一次",
        (PAYMENT_ACCEPTED, PAYMENT_REJECTED),
    ),
    CommandType.PAYMENT_CANCEL: (
        "withdraw an order before it is sent, or the unsent items of a batch",
        "在发送之前撤销付款指令，或撤销批次中未发送的明细",
        (STATUS_RESULT, BATCH_STATUS, COMMAND_REJECTED),
    ),
    CommandType.PAYMENT_APPROVE: (
        "send an approver's signed approval of an order or batch that waits for [approvals](../../do/approvals.md)",
        "转交复核人对待复核付款指令或批次的签名同意（见[审批](../../do/approvals.zh.md)）",
        (STATUS_RESULT, BATCH_STATUS, COMMAND_REJECTED),
    ),
    CommandType.PAYMENT_REJECT: (
        "send an approver's signed rejection: the waiting order or items are cancelled",
        "转交复核人签名的拒绝：待复核的付款撤销",
        (STATUS_RESULT, BATCH_STATUS, COMMAND_REJECTED),
    ),
    CommandType.TRANSFER_SUBMIT: (
        "move money between own accounts, exactly once",
        "提交一笔资金调拨，恰好执行一次",
        (PAYMENT_ACCEPTED, PAYMENT_REJECTED),
    ),
    CommandType.BATCH_SUBMIT: (
        "carry out many payments, each exactly once",
        "提交批量付款，每笔恰好执行一次",
        (BATCH_ACCEPTED, BATCH_REJECTED),
    ),
    CommandType.PAYROLL_SUBMIT: (
        "pay wages to many persons, each exactly once",
        "提交代发工资，每笔恰好执行一次",
        (BATCH_ACCEPTED, BATCH_REJECTED),
    ),
    CommandType.COLLECTION_SUBMIT: (
        "collect money from others who agreed to it, each exactly once",
        "提交代收，每笔恰好执行一次",
        (BATCH_ACCEPTED, BATCH_REJECTED),
    ),
    CommandType.STATUS_QUERY: (
        "ask for the state of an order or a batch",
        "查询付款指令或批次状态",
        (STATUS_RESULT, BATCH_STATUS, COMMAND_REJECTED),
    ),
    CommandType.BALANCE_QUERY: (
        "ask for the balances of own accounts, now or on a past day",
        "查询账户余额（实时或历史）",
        (BALANCE_RESULT, COMMAND_REJECTED),
    ),
    CommandType.TRANSACTIONS_QUERY: (
        "ask for one page of an account's entries",
        "查询账户明细（分页）",
        (TRANSACTIONS_PAGE, COMMAND_REJECTED),
    ),
    CommandType.STATEMENT_REQUEST: (
        "ask for an account's statement of one day",
        "请求账户某日对账单",
        (STATEMENT_READY, COMMAND_REJECTED),
    ),
    CommandType.RECEIPT_REQUEST: (
        "ask for the electronic receipt of one entry",
        "请求一笔明细的电子回单",
        (RECEIPT_READY, COMMAND_REJECTED),
    ),
    CommandType.PAYMENT_VALIDATE: (
        "ask which result `payment.submit` would have for this body; nothing is recorded and no id is used",
        "询问以此内容提交 `payment.submit` 的结果；不作任何记录，也不占用编号",
        (PAYMENT_VALIDATED, COMMAND_REJECTED),
    ),
    CommandType.LEDGER_SUBMIT: (
        "send an account's bank journal, so that it can be [reconciled](../../do/reconcile.md)",
        "提交企业银行日记账，用于[对账](../../do/reconcile.zh.md)",
        (LEDGER_RESULT, COMMAND_REJECTED),
    ),
    CommandType.LEDGER_WITHDRAW: ("withdraw a bank journal", "撤回企业银行日记账", (LEDGER_RESULT, COMMAND_REJECTED)),
    CommandType.CREDIT_CLAIM: (
        "claim an entry: say whose money it is; an entry is claimed once",
        "来款认领，一笔仅认领一次",
        (CREDIT_RESULT, COMMAND_REJECTED),
    ),
    CommandType.RECONCILIATION_QUERY: (
        "ask for the matched and the open rows of an account",
        "查询账户对账结果",
        (RECONCILIATION_RESULT, COMMAND_REJECTED),
    ),
    CommandType.REPORT_REQUEST: (
        "ask for a treasury report as a file",
        "请求一份报表文件",
        (REPORT_READY, COMMAND_REJECTED),
    ),
}

_REPLIES = (
    Message(
        PAYMENT_ACCEPTED,
        MessageWay.REPLY,
        PaymentNews,
        "the order is stored durably in the gateway",
        "付款指令已可靠接收",
        state=State.ACCEPTED,
    ),
    Message(
        PAYMENT_REJECTED,
        MessageWay.REPLY,
        Rejected,
        "the order was refused; nothing was done",
        "付款指令被拒绝，未做任何处理",
        state=State.REJECTED,
        other=PaymentNews,
    ),
    Message(
        BATCH_ACCEPTED,
        MessageWay.REPLY,
        BatchNewsForm,
        "the batch is stored durably in the gateway; each item has its own events",
        "批次已可靠接收；每笔明细各有事件",
    ),
    Message(
        BATCH_REJECTED,
        MessageWay.REPLY,
        Rejected,
        "the batch was refused; nothing was done",
        "批次被拒绝，未做任何处理",
    ),
    Message(
        BATCH_STATUS, MessageWay.REPLY, BatchNewsForm, "the present states of a batch's items", "批次各明细的当前状态"
    ),
    Message(STATUS_RESULT, MessageWay.REPLY, PaymentNews, "the present state of the payment", "付款当前状态"),
    Message(BALANCE_RESULT, MessageWay.REPLY, BalanceResult, "the balances", "余额查询结果"),
    Message(TRANSACTIONS_PAGE, MessageWay.REPLY, TransactionsPage, "one page of entries", "一页明细"),
    Message(STATEMENT_READY, MessageWay.REPLY, StatementReady, "one page of a day's statement", "对账单的一页"),
    Message(RECEIPT_READY, MessageWay.REPLY, ReceiptReady, "a receipt, or one page of it", "电子回单，或其中一页"),
    Message(
        PAYMENT_VALIDATED,
        MessageWay.REPLY,
        PaymentValidated,
        "the result that the order would have; nothing was done",
        "该付款指令会得到的结果；未做任何处理",
    ),
    Message(LEDGER_RESULT, MessageWay.REPLY, LedgerResult, "the state of a book", "日记账当前状态"),
    Message(CREDIT_RESULT, MessageWay.REPLY, CreditResult, "the state of a claim", "来款认领结果"),
    Message(
        RECONCILIATION_RESULT,
        MessageWay.REPLY,
        ReconciliationResult,
        "the counts of matched rows, and the open rows",
        "已匹配与未达账项",
    ),
    Message(REPORT_READY, MessageWay.REPLY, ReportReady, "a report, or one page of it", "报表，或其中一页"),
    Message(
        COMMAND_REJECTED,
        MessageWay.REPLY,
        Rejected,
        "a command that submits nothing was refused",
        "提交类以外的命令被拒绝",
    ),
)

_CORRECTION = Message(
    CORRECTION_EVENT,
    MessageWay.EVENT,
    PaymentNews,
    "a contradiction was found after a final state; page a person, book nothing",
    "终态之后发现矛盾；请人工处理，不要记账",
)

_OTHER_EVENTS = (
    Message(
        BATCH_COMPLETED,
        MessageWay.EVENT,
        BatchNewsForm,
        "every item of a batch is final; told again, with a higher `seq`, when an item changes after that",
        "批次每笔明细都已到终态；此后若有明细变化（如退汇），以更大的 `seq` 再次发送",
    ),
    Message(
        TRANSACTION_BOOKED,
        MessageWay.EVENT,
        TransactionBooked,
        "an entry was booked on an own account",
        "本单位账户发生一笔明细",
    ),
    Message(
        STATEMENT_CLOSED,
        MessageWay.EVENT,
        StatementClosed,
        "a bank day of an own account is complete: opening plus entries is closing",
        "本单位账户某银行日已完整：期初加发生额等于期末",
    ),
    Message(
        LEDGER_CLOSED, MessageWay.EVENT, LedgerClosed, "a bank journal is complete and in force", "日记账完整并已生效"
    ),
    Message(CREDIT_CLAIMED, MessageWay.EVENT, CreditNews, "money on an own account was claimed", "一笔来款已认领"),
    Message(
        CREDIT_RELEASED, MessageWay.EVENT, CreditNews, "a claim was released; the money is free again", "来款认领已取消"
    ),
    Message(
        RECONCILIATION_MATCHED,
        MessageWay.EVENT,
        ReconciliationMatched,
        "payments have their entries on the statement",
        "付款已与银行明细匹配",
    ),
    Message(
        RECONCILIATION_EXCEPTION,
        MessageWay.EVENT,
        ExceptionNews,
        "a row of a closed day is open; a person must look",
        "已闭合日期内有未达账项，须人工处理",
    ),
    Message(
        RECONCILIATION_COMPLETED,
        MessageWay.EVENT,
        ReconciliationCompleted,
        "the rules went through an account's closed day",
        "账户某闭合日已完成匹配",
    ),
)


def _table() -> dict[str, Message]:
    listed = [
        Message(type_.value, MessageWay.COMMAND, FORMS[type_], en, zh, replies)
        for type_, (en, zh, replies) in _COMMANDS.items()
    ]
    listed.extend(_REPLIES)
    known = {message.name for message in listed}
    listed.extend(
        Message(facts.event, MessageWay.EVENT, PaymentNews, facts.meaning, facts.meaning_zh, state=state)
        for state, facts in STATE_TABLE.items()
        if facts.event is not None and facts.event not in known
    )
    listed.append(_CORRECTION)
    listed.extend(_OTHER_EVENTS)
    return {message.name: message for message in listed}


MESSAGES: Mapping[str, Message] = _table()
