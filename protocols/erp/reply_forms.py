"""The fields of every reply and event, with their meaning: JSON Schema, XSD and reference are made of these.

Nothing is written through these classes (that is `news` and `replies`); tests hold both to the same fields.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from protocols.canon.errors import Code, FieldCode, Resend
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, Certainty, Fate, State
from protocols.canon.statement import Direction
from protocols.erp.forms import said
from protocols.erp.words import CommandType

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
BankDay = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
SignedAmount = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]{1,4})?$"})]
Iso = Literal["ACTC", "ACSP", "ACSC", "PDNG", "RJCT", "CANC"]


def _one_of(words: type[Enum]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [word.value for word in words]})


StateName = Annotated[str, _one_of(State)]
CertaintyName = Annotated[str, _one_of(Certainty)]
ResendName = Annotated[str, _one_of(Resend)]
KindName = Annotated[str, _one_of(Kind)]
FateName = Annotated[str, _one_of(Fate)]
CodeName = Annotated[str, _one_of(Code)]
FieldCodeName = Annotated[str, _one_of(FieldCode)]
DirectionName = Annotated[str, _one_of(Direction)]
CommandName = Annotated[str, _one_of(CommandType)]


class Told(BaseModel):
    """Something the gateway says. A reader must ignore fields it does not know: versions to come add some."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ErrorItem(Told):
    """One fault of one field."""

    at: str = said("JSON pointer to the field; empty for the whole body", "字段的 JSON 指针;空串表示整个消息体")
    code: FieldCodeName = said("what is wrong, of the closed list below", "错误代码,见下表")
    detail: str = said("the same in words, for people", "文字说明")
    limit: int | None = said("the number that was broken, if one was", "被突破的限值", None)


class Error(Told):
    """Why something was refused."""

    type: str = said("`urn:bankgw:error:` and the code", "`urn:bankgw:error:` 加代码")
    code: CodeName = said("of the closed list below", "错误代码,见下表")
    title: str = said("one sentence for people; it may change", "一句话说明,文字可能变化")
    resend: ResendName = said("whether, and with which id, to send again", "是否可重发及使用哪个编号")
    errors: list[ErrorItem] = said("every fault at once; may be empty", "一次列出全部错误;可为空")


class AccountError(Error):
    """Why one account of a question has no answer."""

    account: str = said("the account asked for", "所查账号")


class MoneyAmount(Told):
    """An amount that stands alone."""

    amount: SignedAmount = said("a string with a decimal point", "带小数点的字符串")
    currency: str = said("ISO 4217 code", "币种代码(ISO 4217)")


class PaymentNews(Told):
    """One change of one payment. The highest `seq` wins, in whatever order the messages arrive."""

    event: str = said("the message's name", "消息名称")
    id: str = said("the order's id", "订单编号")
    payment: str | None = said("the gateway's key of the payment", "网关的付款编号", None)
    sender: str = said("the configured sender whose order it is", "订单所属的发送方")
    bank: str | None = said("the bank that carries it", "承办银行", None)
    state: StateName = said("where the payment is", "当前状态")
    seq: int = said("number of this news, from 1; the highest wins", "消息序号,从 1 开始;以最大者为准")
    at: Instant = said("when it changed, UTC", "变化时间(UTC)")
    final: bool = said("whether the ERP may book on it", "ERP 是否可据此记账")
    iso: Iso | None = said("ISO 20022 payment status; absent in a correction", "ISO 20022 状态;更正消息中没有", None)
    certainty: CertaintyName = said("what is known about the money", "资金状况")
    resend: ResendName = said("whether, and with which id, the order may be sent again", "是否可重发及使用哪个编号")
    replayed: bool = said("true in the reply to a repeated command", "对重复命令的应答为 true")
    kind: KindName | None = said("what sort of order", "订单种类", None)
    amount: SignedAmount | None = said("the order's amount", "订单金额", None)
    currency: str | None = said("its currency", "币种", None)
    bank_reference: str | None = said("our reference at the bank", "网关在银行的参考号", None)
    bank_serial: str | None = said("the bank's own key for the payment", "银行流水号", None)
    bank_code: str | None = said("the bank's code, unchanged", "银行返回码", None)
    bank_text: str | None = said("the bank's text, unchanged", "银行返回信息", None)
    booked_at: Instant | None = said("when the bank booked it", "银行记账时间", None)
    fee: MoneyAmount | None = said("what the bank charged", "手续费", None)
    was: StateName | None = said("the state it left, when it comes out of doubt", "脱离未知状态之前的状态", None)
    evidence: str | None = said(
        "where the word came from: submit, late, enquiry, returns, statement, persons", "结论来源", None
    )
    reported: FateName | None = said("in a correction: what the bank says now", "更正消息中:银行现在的说法", None)
    next_enquiry: Instant | None = said("when the bank will be asked next", "下次查询时间", None)
    hold_reason: str | None = said("why it is held: approval, new_payee, suspected_duplicate", "暂停原因", None)
    send_after: Instant | None = said("nothing is sent before this moment", "此时刻之前不发送", None)
    batch: str | None = said("the batch it belongs to", "所属批次", None)
    item_no: int | None = said("its number in the batch, from 1", "批内序号", None)
    tags: dict[str, str] | None = said("the order's tags", "订单标签", None)
    error: Error | None = said("why it was rejected", "拒绝原因", None)


class Rejected(Told):
    """A command that was refused. Nothing was done.

    `payment.rejected` answers `payment.submit`; `command.rejected` answers every other command.
    """

    event: str = said("the message's name", "消息名称")
    command: CommandName | None = said("the refused command, if it could be told", "被拒绝的命令", None)
    id: str | None = said("its `id`, if one could be read", "命令中的 `id`(若可读取)", None)
    state: Literal["rejected"] | None = said(
        "`rejected`; absent where the id belongs to an earlier payment, of which this says nothing",
        "`rejected`;若该编号属于先前的付款则不出现,本消息不涉及那笔付款",
        None,
    )
    error: Error = said("why", "原因")


class AccountBalance(Told):
    """What one account holds, as the bank stated it; what the bank does not state is absent."""

    account: str = said("the account", "账号")
    currency: str = said("ISO 4217 code", "币种代码(ISO 4217)")
    book: SignedAmount | None = said("book balance", "账面余额", None)
    available: SignedAmount | None = said("available balance", "可用余额", None)
    frozen: SignedAmount | None = said("frozen amount", "冻结金额", None)
    previous_day: SignedAmount | None = said("balance at the end of the day before", "昨日余额", None)
    as_of: Instant = said("when it was true", "数据时点")
    source: Literal["bank", "cache"] = said("asked now, or an answer within `max_age`", "实时查询或缓存")


class BalanceResult(Told):
    """Answers `balance.query`. Every account asked for is in one of the two lists."""

    balances: list[AccountBalance] = said("accounts with an answer", "查到的余额")
    errors: list[AccountError] = said("accounts without one", "未查到的账户")


class Counterparty(Told):
    """The other side of an entry, as far as the bank names it."""

    account: str | None = said("its account number", "对方账号", None)
    name: str | None = said("its name", "对方户名", None)
    bank: str | None = said("its bank", "对方开户行", None)


class EntryLine(Told):
    """One entry of an account."""

    line: str = said("the entry's own id; the same in every answer for ever", "明细唯一编号,永久不变")
    bank_line_id: str = said("the bank's key; entries may share one", "银行明细编号,可能重复")
    direction: DirectionName = said("credit is money in, debit money out", "credit 收入,debit 支出")
    amount: SignedAmount = said("the amount", "金额")
    currency: str = said("ISO 4217 code", "币种代码(ISO 4217)")
    bank_date: BankDay = said("the bank's business date", "银行记账日期")
    booked_at: Instant | None = said("when it was booked", "记账时间", None)
    value_date: BankDay | None = said("value date", "起息日", None)
    counterparty: Counterparty | None = said("the other side", "对方", None)
    text: str = said("the bank's text", "摘要/附言")
    balance: SignedAmount | None = said("balance after the entry", "余额", None)
    fee: bool = said("whether it is a charge", "是否手续费")
    reference: str | None = said("our payment reference, where the bank returns it", "网关参考号", None)
    matched_payment: str | None = said("the payment it belongs to", "对应的付款编号", None)


class TransactionsPage(Told):
    """Answers `transactions.query`: one page. Ask on with `after` = `next` until `complete`."""

    account: str = said("the account", "账号")
    lines: list[EntryLine] = said("the entries, in the bank's order", "明细,按银行顺序")
    next: str | None = said("opaque; absent on the last page", "翻页标记;末页没有", None)
    complete: bool = said("whether this was the last page", "是否末页")
    opening: SignedAmount | None = said("balance before the first entry, if stated", "期初余额", None)
    closing: SignedAmount | None = said("balance after the last entry, if stated", "期末余额", None)


EVENT_STATES = {facts.event: state for state, facts in STATE_TABLE.items() if facts.event is not None}
"""Each payment event and the state it announces."""
