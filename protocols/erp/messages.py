"""Every message of the contract: its name, who says it, its fields. All generators read this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, State
from protocols.erp.forms import FORMS
from protocols.erp.replies import (
    BALANCE_RESULT,
    COMMAND_REJECTED,
    PAYMENT_ACCEPTED,
    PAYMENT_REJECTED,
    STATUS_RESULT,
    TRANSACTIONS_PAGE,
)
from protocols.erp.reply_forms import BalanceResult, PaymentNews, Rejected, TransactionsPage
from protocols.erp.words import CommandType


class Voice(StrEnum):
    """Who says it, and on which way it travels."""

    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `replies` are the names of a command's replies; `state` is what a payment event announces.

    A body has the fields of `form`, or of `other` where there is one.
    """

    name: str
    voice: Voice
    form: type[BaseModel]
    meaning: str
    meaning_zh: str
    replies: tuple[str, ...] = ()
    state: State | None = None
    other: type[BaseModel] | None = None


_COMMANDS = {
    CommandType.PAYMENT_SUBMIT: (
        "carry out one payment, exactly once", "提交一笔付款,恰好执行一次",
        (PAYMENT_ACCEPTED, PAYMENT_REJECTED)),
    CommandType.PAYMENT_CANCEL: (
        "withdraw an order before it is sent", "在发送之前撤销订单", (STATUS_RESULT, COMMAND_REJECTED)),
    CommandType.STATUS_QUERY: (
        "ask what became of an order", "查询订单状态", (STATUS_RESULT, COMMAND_REJECTED)),
    CommandType.BALANCE_QUERY: (
        "ask what own accounts hold", "查询账户余额", (BALANCE_RESULT, COMMAND_REJECTED)),
    CommandType.TRANSACTIONS_QUERY: (
        "ask for one page of an account's entries", "查询账户明细(分页)",
        (TRANSACTIONS_PAGE, COMMAND_REJECTED)),
}  # fmt: skip

_REPLIES = (
    Message(PAYMENT_ACCEPTED, Voice.REPLY, PaymentNews, "the order is durably ours", "订单已可靠接收",
            state=State.ACCEPTED),
    Message(PAYMENT_REJECTED, Voice.REPLY, Rejected, "the order was refused; nothing was done",
            "订单被拒绝,未做任何处理", state=State.REJECTED, other=PaymentNews),
    Message(STATUS_RESULT, Voice.REPLY, PaymentNews, "where the payment is now", "付款当前状态"),
    Message(BALANCE_RESULT, Voice.REPLY, BalanceResult, "the balances", "余额查询结果"),
    Message(TRANSACTIONS_PAGE, Voice.REPLY, TransactionsPage, "one page of entries", "一页明细"),
    Message(COMMAND_REJECTED, Voice.REPLY, Rejected, "a command other than payment.submit was refused",
            "除 payment.submit 以外的命令被拒绝"),
)  # fmt: skip

_CORRECTION = Message(
    CORRECTION_EVENT, Voice.EVENT, PaymentNews,
    "a contradiction was found after a final state; page a person, book nothing",
    "终态之后发现矛盾;请人工处理,不要记账",
)  # fmt: skip


def _table() -> dict[str, Message]:
    listed = [
        Message(type_.value, Voice.COMMAND, FORMS[type_], en, zh, replies)
        for type_, (en, zh, replies) in _COMMANDS.items()
    ]
    listed.extend(_REPLIES)
    known = {message.name for message in listed}
    listed.extend(
        Message(facts.event, Voice.EVENT, PaymentNews, facts.meaning, facts.meaning_zh, state=state)
        for state, facts in STATE_TABLE.items()
        if facts.event is not None and facts.event not in known
    )
    listed.append(_CORRECTION)
    return {message.name: message for message in listed}


MESSAGES: Mapping[str, Message] = _table()
