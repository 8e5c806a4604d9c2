"""The states of a payment, and what a bank can report about one. All other tables are derived from this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from protocols.canon.fast_init import fast_init
from protocols.canon.money import Money


class State(StrEnum):
    """The state of a payment. The journal stores the value; the ERP reads it in every reply and event."""

    ACCEPTED = "accepted"
    HELD = "held"
    READY = "ready"
    SENDING = "sending"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    ESCALATED = "escalated"
    SETTLED = "settled"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RETURNED = "returned"
    REVERSED = "reversed"


class Certainty(StrEnum):
    """How certain it is in this state whether the money moved."""

    NOT_MOVED = "not_moved"
    UNKNOWN = "unknown"
    MOVED = "moved"
    MOVED_BACK = "moved_back"


@dataclass(frozen=True, slots=True)
class StateFacts:
    """One row of the state table.

    `event` is the event that the ERP receives (None: no event of its own), `optional` that it is only
    sent to subscribers, `iso` the ISO 20022 payment status, `final` whether the ERP may book on it.
    """

    event: str | None
    iso: str
    final: bool
    certainty: Certainty
    meaning: str
    meaning_zh: str
    erp_does: str
    erp_does_zh: str
    optional: bool = False


STATE_TABLE: Mapping[State, StateFacts] = {
    State.ACCEPTED: StateFacts(
        "payment.accepted",
        "ACTC",
        False,
        Certainty.NOT_MOVED,
        "stored durably in the gateway; it is not lost, and it is paid at most once",
        "已可靠接收；不会丢失，至多支付一次",
        "nothing",
        "无需操作",
    ),
    State.HELD: StateFacts(
        "payment.held",
        "PDNG",
        False,
        Certainty.NOT_MOVED,
        "waits for a person: an approval, a confirmation or a withdrawal",
        "等待人工：审批、确认或撤回",
        "someone must approve, or confirm a suspected duplicate; `funding`: wait; "
        "`cannot_be_prepared`: ask the gateway's operator",
        "需要审批，或确认疑似重复；`funding`：等待；`cannot_be_prepared`：向网关运维询问原因",
    ),
    State.READY: StateFacts(
        None,
        "ACSP",
        False,
        Certainty.NOT_MOVED,
        "may be sent; its bank reference is fixed",
        "可以发送；银行参考号已确定",
        "nothing",
        "无需操作",
    ),
    State.SENDING: StateFacts(
        "payment.sent",
        "ACSP",
        False,
        Certainty.UNKNOWN,
        "may have reached the bank from this moment on",
        "从此刻起可能已到达银行",
        "nothing",
        "无需操作",
        optional=True,
    ),
    State.PENDING: StateFacts(
        "payment.processing",
        "ACSP",
        False,
        Certainty.UNKNOWN,
        "the bank has it and has not decided",
        "银行已受理，尚未给出结果",
        "wait",
        "等待",
    ),
    State.IN_DOUBT: StateFacts(
        "payment.in_doubt",
        "PDNG",
        False,
        Certainty.UNKNOWN,
        "nobody knows yet; the bank is being asked",
        "结果未知；正在向银行查询",
        "never resend; the next event tells",
        "切勿重发；等待后续事件",
    ),
    State.ESCALATED: StateFacts(
        "payment.escalated",
        "PDNG",
        False,
        Certainty.UNKNOWN,
        "in doubt past its deadline; people are on it",
        "超过期限仍未知；已转人工处理",
        "never resend; people are on it",
        "切勿重发；人工处理中",
    ),
    State.SETTLED: StateFacts(
        "payment.settled",
        "ACSC",
        True,
        Certainty.MOVED,
        "the bank says it is done",
        "银行确认成功",
        "book it; it may still be returned",
        "入账；日后仍可能退汇",
    ),
    State.FAILED: StateFacts(
        "payment.failed",
        "RJCT",
        True,
        Certainty.NOT_MOVED,
        "the bank said no",
        "银行明确拒绝",
        "correct it and send with a new id",
        "更正后用新编号重新提交",
    ),
    State.REJECTED: StateFacts(
        "payment.rejected",
        "RJCT",
        True,
        Certainty.NOT_MOVED,
        "the gateway said no before anything was sent",
        "网关在发送之前拒绝",
        "correct it; `resend` says with which id",
        "更正；`resend` 说明应使用哪个编号",
    ),
    State.CANCELLED: StateFacts(
        "payment.cancelled",
        "CANC",
        True,
        Certainty.NOT_MOVED,
        "withdrawn before sending",
        "发送前已撤销",
        "nothing",
        "无需操作",
    ),
    State.EXPIRED: StateFacts(
        "payment.expired",
        "RJCT",
        True,
        Certainty.NOT_MOVED,
        "its time ran out before sending",
        "发送前已过期",
        "send with a new id if it is still wanted",
        "如仍需要，用新编号提交",
    ),
    State.RETURNED: StateFacts(
        "payment.returned",
        "RJCT",
        True,
        Certainty.MOVED_BACK,
        "came back after it was settled (退汇)",
        "成功后被退回（退汇）",
        "un-book it",
        "冲回入账",
    ),
    State.REVERSED: StateFacts(
        "payment.reversed",
        "RJCT",
        True,
        Certainty.MOVED_BACK,
        "the bank reversed its booking (冲正)",
        "银行冲正",
        "un-book it",
        "冲回入账",
    ),
}

CORRECTION_EVENT = "payment.correction"


class Fate(StrEnum):
    """A bank's report about one payment, by its code table. UNKNOWN if the report is not clear."""

    SETTLED = "settled"
    FAILED = "failed"
    PENDING = "pending"
    UNKNOWN = "in_doubt"
    NOT_FOUND = "not_found"
    DUPLICATE = "duplicate"
    RETURNED = "returned"
    REVERSED = "reversed"


@fast_init
@dataclass(frozen=True, slots=True)
class Outcome:
    """The meaning of a bank's answer for one payment.

    `code` and `text` are the bank's own, `bank_serial` its own key for the payment; `listed` is False if the code is in
    no table (the fate is then UNKNOWN and a metric counts it). `findings` are oddities of an answer that was read all
    the same.
    """

    fate: Fate
    code: str = ""
    text: str = ""
    bank_serial: str | None = None
    booked_at: datetime | None = None
    fee: Money | None = None
    listed: bool = True
    findings: tuple[str, ...] = ()
