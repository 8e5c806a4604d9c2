"""The fields of every question: types, limits and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.party import AccountNumber
from protocols.erp.form import Contradiction, Form, patience, said
from protocols.erp.scalars import Account, BankKey, Cursor, Day, LongWait, MaxAge, MaxWait, OrderId, PaymentKey, bounded
from protocols.erp.words import BalanceQuery, ReceiptRequest, StatementRequest, StatusQuery, TransactionsQuery

MAX_ACCOUNTS = 50
MAX_DAYS = 366
MAX_RECEIPT_PAGES = 1_000


def _given(name: str) -> dict[str, Any]:
    return _all_given((name,))


def _all_given(names: tuple[str, ...]) -> dict[str, Any]:
    return {"required": list(names), "properties": {name: {"type": "string"} for name in names}}


class StatusQueryForm(Form):
    """Asks for the state of an order or a batch. Exactly one of the two fields names it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_given("id"), _given("payment")]}, title="StatusQuery")

    id: OrderId | None = said("the order's or batch's id, as it was sent", "付款指令或批次编号", None)
    payment: PaymentKey | None = said("the gateway's key of the payment", "网关的付款编号", None)

    def word(self) -> StatusQuery:
        """The question as a value. Raises Contradiction."""
        if (self.id is None) == (self.payment is None):
            raise Contradiction(self.contradictions(self.__dict__, frozenset()))
        return StatusQuery(self.id, self.payment)

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """A fault if neither or both of the two fields are given."""
        given = [name for name in ("id", "payment") if name in faulty or values.get(name) is not None]
        if not given:
            return (Fault("/id", FieldCode.REQUIRED, "give id or payment"),)
        if len(given) == 2:
            return (Fault("/payment", FieldCode.PATTERN, "give id or payment, not both"),)
        return ()


class BalanceQueryForm(Form):
    """Asks for the balances of own accounts, now or at the end of a past day."""

    model_config = ConfigDict(title="BalanceQuery")

    accounts: Annotated[list[Account], Field(min_length=1, max_length=MAX_ACCOUNTS), bounded(MAX_ACCOUNTS)] = said(
        "own accounts of the account register", "本单位账户列表"
    )
    max_age: MaxAge = said(
        "an answer this old will do, PT0S asks the bank, at most PT24H",
        "可接受的数据时效，PT0S 表示必须查询银行，最长 PT24H",
        30,
        shown="PT30S",
    )
    on: Day | None = said(
        "a past bank day: its closing balance; where the bank tells one", "历史日期：当日日终余额（银行支持时）", None
    )
    max_wait: MaxWait = patience()

    def word(self) -> BalanceQuery:
        """The question as a value; an account named twice is asked once."""
        accounts = tuple(map(AccountNumber, dict.fromkeys(self.accounts)))
        return BalanceQuery(accounts, self.max_age, self.max_wait, self.on)


class TransactionsQueryForm(Form):
    """One page of an own account's entries."""

    model_config = ConfigDict(title="TransactionsQuery")

    account: Account = said("an own account of the account register", "本单位账号")
    first: Day = said("first bank date wanted", "起始日期（银行日期）", alias="from")
    last: Day = said(f"last bank date wanted; at most {MAX_DAYS} days", f"截止日期；跨度至多 {MAX_DAYS} 天", alias="to")
    after: Cursor | None = said("the `next` of the page before; absent for the first page", "上一页的 `next`", None)
    limit: Annotated[int, Field(ge=1, le=1000)] = said("most lines in one page", "每页最多行数", 500)
    max_wait: MaxWait = patience()

    def word(self) -> TransactionsQuery:
        """The question as a value. Raises Contradiction."""
        found = self.contradictions({"from": self.first, "to": self.last}, frozenset())
        if found:
            raise Contradiction(found)
        return TransactionsQuery(
            AccountNumber(self.account), self.first, self.last, self.after, self.limit, self.max_wait
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults of days in the wrong order, or of too many days."""
        first, last = values.get("from"), values.get("to")
        if first is None or last is None:
            return ()
        if last < first:
            return (Fault("/to", FieldCode.DATE_RANGE, "is before from"),)
        if (last - first).days >= MAX_DAYS:
            return (Fault("/to", FieldCode.DATE_RANGE, f"more than {MAX_DAYS} days after from", MAX_DAYS),)
        return ()


class StatementRequestForm(Form):
    """Asks for one page of the statement of a past bank day."""

    model_config = ConfigDict(title="StatementRequest")

    account: Account = said("an own account of the account register", "本单位账号")
    date: Day = said("the bank day wanted", "对账单日期（银行日期）")
    after: Cursor | None = said("the `next` of the page before; absent for the first page", "上一页的 `next`", None)
    limit: Annotated[int, Field(ge=1, le=1000)] = said("most lines in one page", "每页最多行数", 500)
    max_wait: MaxWait = patience()

    def word(self) -> StatementRequest:
        """The question as a value."""
        return StatementRequest(AccountNumber(self.account), self.date, self.after, self.limit, self.max_wait)


_ENTRY = ("account", "bank_date", "bank_line_id")


class ReceiptRequestForm(Form):
    """The electronic receipt of one entry (电子回单).

    Name it by an order's `id`, by a `payment`, or by the three fields of an entry.
    """

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_given("id"), _given("payment"), _all_given(_ENTRY)]}, title="ReceiptRequest"
    )

    id: OrderId | None = said("an order's id, as it was sent", "付款指令编号", None)
    payment: PaymentKey | None = said("the gateway's key of the payment", "网关的付款编号", None)
    account: Account | None = said("the entry's own account", "明细所属的本单位账号", None)
    bank_date: Day | None = said("the entry's `bank_date`", "明细的 `bank_date`", None)
    bank_line_id: BankKey | None = said("the entry's `bank_line_id`", "明细的 `bank_line_id`", None)
    page: Annotated[int, Field(ge=1, le=MAX_RECEIPT_PAGES)] = said(
        "which page of a receipt over 1 MiB; the same receipt is kept for a day", "超过 1 MiB 的回单的页号；保留一天", 1
    )
    max_wait: LongWait = said(
        "banks may take long to make one; after this long the answer is `expired`, PT1S to PT24H",
        "银行生成回单可能较慢；最长等待时间，超时应答 `expired`，PT1S 至 PT24H",
        3600,
        shown="PT1H",
    )

    def word(self) -> ReceiptRequest:
        """The question as a value. Raises Contradiction."""
        found = self.contradictions(self.__dict__, frozenset())
        if found:
            raise Contradiction(found)
        account = None if self.account is None else AccountNumber(self.account)
        return ReceiptRequest(
            self.page, self.max_wait, self.id, self.payment, account, self.bank_date, self.bank_line_id
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults of the fields that name the entry: none, more than one, or an incomplete one."""
        given = [name for name in ("id", "payment") if name in faulty or values.get(name) is not None]
        parts = [name for name in _ENTRY if name in faulty or values.get(name) is not None]
        if not given and not parts:
            return (Fault("/id", FieldCode.REQUIRED, "give id, payment, or account, bank_date and bank_line_id"),)
        if len(given) + bool(parts) > 1:
            at = parts[0] if parts else given[1]
            return (Fault(f"/{at}", FieldCode.PATTERN, "names a second entry; give one"),)
        missing = [name for name in _ENTRY if name not in parts] if parts else []
        return tuple(Fault(f"/{name}", FieldCode.REQUIRED, "an entry needs all three fields") for name in missing)
