"""The fields of every reply and event, with their meaning: JSON Schema, XSD and reference are made of these.

These classes write nothing (`news`, `batch_news`, `replies` and `account_replies` do); tests check that both have the
same fields. `account_forms` has the fields about accounts.
"""

from __future__ import annotations

from typing import Literal

from protocols.canon.outcome import STATE_TABLE
from protocols.erp.form import said
from protocols.erp.told import (
    CertaintyName,
    CommandName,
    Error,
    FateName,
    GatewayForm,
    Instant,
    Iso,
    KindName,
    ResendName,
    SignedAmount,
    StateName,
)


class MoneyAmount(GatewayForm):
    """A single amount of money."""

    amount: SignedAmount = said("a string with a decimal point", "带小数点的字符串")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")


class PaymentNews(GatewayForm):
    """One change of one payment. The highest `seq` is the newest state, in whatever order the messages arrive."""

    event: str = said("the message's name", "消息名称")
    id: str = said("the order's id", "付款指令编号")
    payment: str | None = said("the gateway's key of the payment", "网关的付款编号", None)
    sender: str = said("the configured sender whose order it is", "付款指令所属的来源系统")
    bank: str | None = said("the bank that carries it", "承办银行", None)
    state: StateName = said("where the payment is", "当前状态")
    seq: int = said("number of this news, from 1; the highest wins", "消息序号，从 1 开始；以最大者为准")
    at: Instant = said("when it changed, UTC", "变化时间（UTC）")
    final: bool = said("whether the ERP may book on it", "ERP 是否可据此记账")
    iso: Iso | None = said("ISO 20022 payment status; absent in a correction", "ISO 20022 状态；更正消息中没有", None)
    certainty: CertaintyName = said("what is known about the money", "资金状况")
    resend: ResendName = said("whether, and with which id, the order may be sent again", "是否可重发及使用哪个编号")
    replayed: bool = said("true in the reply to a repeated command", "对重复命令的应答为 true")
    kind: KindName | None = said("what sort of order", "付款指令种类", None)
    amount: SignedAmount | None = said("the order's amount", "付款指令金额", None)
    currency: str | None = said("its currency", "币种", None)
    bank_reference: str | None = said("our reference at the bank", "网关在银行的参考号", None)
    bank_serial: str | None = said("the bank's own key for the payment", "银行流水号", None)
    bank_code: str | None = said("the bank's code, unchanged", "银行返回码", None)
    bank_text: str | None = said("the bank's text, unchanged", "银行返回信息", None)
    booked_at: Instant | None = said("when the bank booked it", "银行记账时间", None)
    fee: MoneyAmount | None = said("what the bank charged", "手续费", None)
    was: StateName | None = said("the state it left, when it comes out of doubt", "脱离未知状态之前的状态", None)
    evidence: str | None = said(
        "where the word came from: submit, late, enquiry, returns, statement, persons",
        "结论来源：submit、late、enquiry、returns、statement、persons",
        None,
    )
    reported: FateName | None = said("in a correction: what the bank says now", "更正消息中：银行现在的说法", None)
    next_enquiry: Instant | None = said("when the bank will be asked next", "下次查询时间", None)
    hold_reason: str | None = said(
        "the gravest reason why it is held: not_entitled, approval, new_payee, suspected_duplicate, funding, "
        "cannot_be_prepared",
        "最主要的待放行原因：not_entitled、approval、new_payee、suspected_duplicate、funding、cannot_be_prepared",
        None,
    )
    hold_reasons: list[str] | None = said(
        "all reasons why it is held; each is cleared apart", "全部待放行原因；每个原因分别解除", None
    )
    send_after: Instant | None = said("nothing is sent before this moment", "此时刻之前不发送", None)
    batch: str | None = said("the batch it belongs to", "所属批次", None)
    item_no: int | None = said("its number in the batch, from 1", "批内序号", None)
    tags: dict[str, str] | None = said("the order's tags", "付款指令标签", None)
    error: Error | None = said("why it was rejected", "拒绝原因", None)


class Rejected(GatewayForm):
    """A command that was refused. Nothing was done.

    `payment.rejected` answers commands with one order, `batch.rejected` those with many; `command.rejected` every
    other command.
    """

    event: str = said("the message's name", "消息名称")
    command: CommandName | None = said("the refused command, if it could be told", "被拒绝的命令", None)
    id: str | None = said("its `id`, if one could be read", "命令中的 `id`（若可读取）", None)
    state: Literal["rejected"] | None = said(
        "`rejected`; absent where the id belongs to an earlier order or batch, of which this says nothing",
        "`rejected`；若该编号属于先前的付款指令或批次则不出现，本消息不涉及它",
        None,
    )
    error: Error = said("why", "原因")


class PaymentValidated(GatewayForm):
    """The result that `payment.submit` would have for an order now. It promises nothing, because the facts may change
    at any moment."""

    event: str = said("the message's name", "消息名称")
    id: str | None = said("the order's `id`, if one could be read", "付款指令的 `id`（若可读取）", None)
    sender: str = said("the configured sender who asked", "询问的来源系统")
    would: Literal["ready", "held", "rejected", "replayed"] = said(
        "`ready`: it would be sent; `held`: a person must release it; `rejected`: see `error`; `replayed`: this very "
        "order was accepted before",
        "`ready`：将发送；`held`：须由人员放行；`rejected`：见 `error`；`replayed`：此付款指令先前已接收",
    )
    at: Instant = said("when it was so, UTC", "时点（UTC）")
    bank: str | None = said("the bank that would carry it", "承办银行", None)
    lane: str | None = said("the bank login it would go through", "所用的银行通道", None)
    payment: str | None = said("in `replayed`: the gateway's key of the payment", "`replayed` 时：网关的付款编号", None)
    hold_reason: str | None = said("the gravest reason to hold it", "最主要的待放行原因", None)
    hold_reasons: list[str] | None = said("all reasons to hold it, as in `payment.held`", "全部待放行原因", None)
    send_after: Instant | None = said("nothing would be sent before this moment", "此时刻之前不会发送", None)
    error: Error | None = said("every fault, and rights that are missing", "全部错误，包括缺少的权限", None)


class StateShare(GatewayForm):
    """The items of a batch that are in one state."""

    state: StateName = said("the state", "状态")
    count: int = said("how many items", "笔数")
    sum: SignedAmount = said("their amounts together", "金额合计")


class BatchItemState(GatewayForm):
    """The present state of one item of a batch."""

    id: str = said("the item's id", "明细编号")
    item_no: int = said("its number in the batch, from 1", "批内序号")
    payment: str = said("the gateway's key of the payment it became", "网关的付款编号")
    state: StateName = said("where it is", "当前状态")
    seq: int = said("number of its last news", "该明细最近消息的序号")
    final: bool = said("whether the ERP may book on it", "ERP 是否可据此记账")
    resend: ResendName = said("whether, and with which id, it may be sent again", "是否可重发及使用哪个编号")
    amount: SignedAmount = said("its amount", "金额")
    bank_reference: str | None = said("our reference at the bank", "网关在银行的参考号", None)
    bank_serial: str | None = said("the bank's own key for it", "银行流水号", None)
    bank_code: str | None = said("the bank's code, unchanged", "银行返回码", None)
    bank_text: str | None = said("the bank's text, unchanged", "银行返回信息", None)
    hold_reason: str | None = said("why it is held, as in `payment.held`", "待放行原因，同 `payment.held`", None)
    hold_reasons: list[str] | None = said(
        "all reasons, as in `payment.held`", "全部待放行原因，同 `payment.held`", None
    )
    error: Error | None = said("why it was rejected", "拒绝原因", None)


class BatchNewsForm(GatewayForm):
    """The present state of a batch. The highest `seq` is the newest state."""

    event: str = said("the message's name", "消息名称")
    id: str = said("the batch's id", "批次编号")
    sender: str = said("the configured sender whose batch it is", "批次所属的来源系统")
    bank: str = said("the bank that carries it", "承办银行")
    kind: KindName = said("what sort of orders its items are", "明细的付款指令种类")
    seq: int = said(
        "number of this news of the batch, from 1; the highest wins", "批次消息序号，从 1 开始；以最大者为准"
    )
    at: Instant = said("when it was so, UTC", "时点（UTC）")
    final: bool = said("whether every item's state is final", "是否每笔明细都已到终态")
    replayed: bool = said("true in the reply to a repeated command", "对重复命令的应答为 true")
    count: int = said("how many items the batch has", "笔数")
    sum: SignedAmount = said("the items' amounts together", "金额合计")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    states: list[StateShare] = said("count and sum of the items by state", "按状态统计的笔数与金额")
    items: list[BatchItemState] | None = said(
        "every item; not in `batch.completed`", "全部明细；`batch.completed` 中没有", None
    )
    tags: dict[str, str] | None = said("the batch's tags", "批次标签", None)


EVENT_STATES = {facts.event: state for state, facts in STATE_TABLE.items() if facts.event is not None}
"""Each payment event and the state it announces."""
