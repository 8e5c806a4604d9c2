"""The fields of every command: types, limits and meaning, in one place.

pydantic lives at this edge only; what leaves is canon's words. JSON Schema, XSD, AsyncAPI and the reference
page are generated from these classes, so the text beside a field is the documentation of that field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import BadMoney, Money
from protocols.canon.order import Channel, Order, PaymentDetail, Urgency
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.erp.scalars import (
    Account,
    Amount,
    Cnaps,
    Currency,
    Cursor,
    Day,
    MaxAge,
    MaxWait,
    OrderId,
    PaymentKey,
    Purpose,
    Reason,
    TagName,
    TagValue,
    Text140,
    Time,
    bounded,
)
from protocols.erp.words import (
    BalanceQuery,
    Cancel,
    Command,
    CommandType,
    StatusQuery,
    Submit,
    TransactionsQuery,
)

MAX_TAGS = 20
MAX_ACCOUNTS = 50
MAX_DAYS = 366


class Contradiction(ValueError):
    """Each field is well formed, but they do not fit together."""

    def __init__(self, found: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(fault.detail for fault in found))
        self.faults = found


class Strict(BaseModel):
    """A JSON object that has these fields and no others, every value of exactly the type named."""

    # Without the input in its text, an error that ever reached a log would show no account number.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Form(Strict):
    """One command as its sender wrote it; every field is well formed by itself."""

    def word(self) -> Command:
        """The command as canon words. Raises Contradiction when its fields do not fit together."""
        raise NotImplementedError

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults between fields, judged from those that could be read; `faulty` names the others."""
        return ()


def said(en: str, zh: str, default: Any = ..., alias: str | None = None, shown: str | None = None) -> Any:
    """A field with its meaning in both languages. `shown` is the default as the ERP would write it."""
    extra: dict[str, Any] = {"x-zh": zh} if shown is None else {"x-zh": zh, "default": shown}
    return Field(default, alias=alias, description=en, json_schema_extra=extra)


_DETAIL = PaymentDetail()
_PARTY_KINDS = {kind.value: kind for kind in PartyKind}
_URGENCIES = {urgency.value: urgency for urgency in Urgency}
_CHANNELS = {channel.value: channel for channel in Channel}


class PartyForm(Strict):
    """An account with its holder."""

    account: Account = said("account number; leading zeros count", "账号;前导零有意义")
    name: Text140 = said("the holder's name exactly as the bank has it", "户名,须与银行登记一致")
    bank_name: Text140 | None = said("name of the account's branch", "开户行名称", None)
    cnaps: Cnaps | None = said("12-digit payment-system number of the branch", "联行号(12 位)", None)
    kind: Literal["corporate", "person"] = said("organisation or person", "对公或对私", "corporate")

    def party(self) -> Party:
        """The same as a canon word."""
        return Party(AccountNumber(self.account), Name(self.name), self.bank_name, self.cnaps, _PARTY_KINDS[self.kind])


class PaymentSubmit(Form):
    """Carry out one payment, exactly once."""

    id: OrderId = said("the order's id, unique per sender for ever", "订单编号,同一发送方永久唯一")
    debtor: PartyForm = said("who pays: an own account", "付款方:本单位账户")
    creditor: PartyForm = said("who is paid", "收款方")
    amount: Amount = said("a string, never a number; more than zero", "字符串,不得为数字;大于零")
    currency: Currency = said("ISO 4217 code", "币种代码(ISO 4217)")
    purpose: Purpose = said("text for the payee; banks limit it further", "用途/附言;各银行另有长度限制", "")
    urgency: Literal["normal", "urgent"] = said("how fast it is wanted", "加急程度", "normal")
    channel: Literal["auto", "same_bank", "large_value", "small_value", "instant"] = said(
        "payment rail; `auto` lets the gateway choose", "汇路;`auto` 由网关选择", "auto"
    )
    valid_until: Time | None = said(
        "after this moment no byte is sent any more; the order expires", "过此时刻不再发送,订单过期", None
    )
    not_before: Time | None = said("before this moment nothing is sent", "此时刻之前不发送", None)
    tags: Annotated[dict[TagName, TagValue | None], Field(max_length=MAX_TAGS), bounded(MAX_TAGS)] = said(
        "names (ASCII letters, digits, _ . -) and values of your own, returned with every event",
        "自定义标签(名称限 ASCII 字母、数字、_ . -),随每个事件返回",
        {},
    )

    def word(self) -> Submit:
        """The order as a canon word. Raises Contradiction."""
        if self.not_before is not None and self.valid_until is not None and self.not_before >= self.valid_until:
            raise Contradiction(self.contradictions(self.__dict__, frozenset()))
        try:
            money = Money.parse(self.amount, self.currency)
        except BadMoney:
            raise Contradiction(self.contradictions(self.__dict__, frozenset())) from None
        return Submit(
            Order(
                self.id,
                self.debtor.party(),
                self.creditor.party(),
                money,
                _DETAIL,
                self.purpose,
                _URGENCIES[self.urgency],
                _CHANNELS[self.channel],
                self.valid_until,
                self.not_before,
                {name: value for name, value in self.tags.items() if value is not None},
            )
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Decimals the currency does not have; a start that is not before the end."""
        found: list[Fault] = []
        amount, currency = values.get("amount"), values.get("currency")
        if amount is not None and currency is not None:
            try:
                Money.parse(amount, currency)
            except BadMoney as error:
                found.append(Fault("/amount", FieldCode.AMOUNT, str(error)))
        start, end = values.get("not_before"), values.get("valid_until")
        if start is not None and end is not None and start >= end:
            found.append(Fault("/not_before", FieldCode.DATE_RANGE, "is not before valid_until"))
        return tuple(found)


class PaymentCancel(Form):
    """Withdraw an order before it is sent."""

    id: OrderId = said("the id of the order to withdraw", "要撤销的订单编号")
    reason: Reason = said("kept in the audit trail", "原因,记入审计记录", "")

    def word(self) -> Cancel:
        """The command as a word."""
        return Cancel(self.id, self.reason)


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string"}}}


class StatusQueryForm(Form):
    """What became of an order? Exactly one of the two fields."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_given("id"), _given("payment")]}, title="StatusQuery")

    id: OrderId | None = said("the order's id, as it was sent", "订单编号", None)
    payment: PaymentKey | None = said("the gateway's key of the payment", "网关的付款编号", None)

    def word(self) -> StatusQuery:
        """The question as a word. Raises Contradiction."""
        if (self.id is None) == (self.payment is None):
            raise Contradiction(self.contradictions(self.__dict__, frozenset()))
        return StatusQuery(self.id, self.payment)

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Neither or both of the two names."""
        given = [name for name in ("id", "payment") if name in faulty or values.get(name) is not None]
        if not given:
            return (Fault("/id", FieldCode.REQUIRED, "give id or payment"),)
        if len(given) == 2:
            return (Fault("/payment", FieldCode.PATTERN, "give id or payment, not both"),)
        return ()


class BalanceQueryForm(Form):
    """What do these own accounts hold?"""

    model_config = ConfigDict(title="BalanceQuery")

    accounts: Annotated[list[Account], Field(min_length=1, max_length=MAX_ACCOUNTS), bounded(MAX_ACCOUNTS)] = said(
        "own accounts of the account register", "本单位账户列表"
    )
    max_age: MaxAge = said(
        "an answer this old will do, PT0S asks the bank, at most PT24H",
        "可接受的数据时效,PT0S 表示必须查询银行,最长 PT24H",
        30,
        shown="PT30S",
    )
    max_wait: MaxWait = said(
        "after this long the answer is `expired`, PT1S to PT10M",
        "最长等待时间,超时应答 `expired`,PT1S 至 PT10M",
        60,
        shown="PT1M",
    )

    def word(self) -> BalanceQuery:
        """The question as a word; an account named twice is asked once."""
        return BalanceQuery(tuple(map(AccountNumber, dict.fromkeys(self.accounts))), self.max_age, self.max_wait)


class TransactionsQueryForm(Form):
    """One page of an own account's entries."""

    model_config = ConfigDict(title="TransactionsQuery")

    account: Account = said("an own account of the account register", "本单位账号")
    first: Day = said("first bank date wanted", "起始日期(银行日期)", alias="from")
    last: Day = said(f"last bank date wanted; at most {MAX_DAYS} days", f"截止日期;跨度至多 {MAX_DAYS} 天", alias="to")
    after: Cursor | None = said("the `next` of the page before; absent for the first page", "上一页的 `next`", None)
    limit: Annotated[int, Field(ge=1, le=1000)] = said("most lines in one page", "每页最多行数", 500)
    max_wait: MaxWait = said(
        "after this long the answer is `expired`, PT1S to PT10M",
        "最长等待时间,超时应答 `expired`,PT1S 至 PT10M",
        60,
        shown="PT1M",
    )

    def word(self) -> TransactionsQuery:
        """The question as a word. Raises Contradiction."""
        found = self.contradictions({"from": self.first, "to": self.last}, frozenset())
        if found:
            raise Contradiction(found)
        return TransactionsQuery(
            AccountNumber(self.account), self.first, self.last, self.after, self.limit, self.max_wait
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Days in the wrong order, or too many of them."""
        first, last = values.get("from"), values.get("to")
        if first is None or last is None:
            return ()
        if last < first:
            return (Fault("/to", FieldCode.DATE_RANGE, "is before from"),)
        if (last - first).days >= MAX_DAYS:
            return (Fault("/to", FieldCode.DATE_RANGE, f"more than {MAX_DAYS} days after from", MAX_DAYS),)
        return ()


FORMS: Mapping[CommandType, type[Form]] = {
    CommandType.PAYMENT_SUBMIT: PaymentSubmit,
    CommandType.PAYMENT_CANCEL: PaymentCancel,
    CommandType.STATUS_QUERY: StatusQueryForm,
    CommandType.BALANCE_QUERY: BalanceQueryForm,
    CommandType.TRANSACTIONS_QUERY: TransactionsQueryForm,
}
