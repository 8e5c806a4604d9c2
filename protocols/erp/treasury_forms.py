"""The fields of commands to the treasury: an ERP's bank journal, a claim of money received, questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import BadMoney, Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction
from protocols.erp.faults import MAX_FAULTS
from protocols.erp.form import Contradiction, Form, Strict, said
from protocols.erp.question_forms import MAX_RECEIPT_PAGES
from protocols.erp.scalars import (
    Account,
    BookRowId,
    Currency,
    Day,
    EntryKey,
    LongWait,
    OrderId,
    Purpose,
    ReasonText,
    ReportName,
    SignedAmountText,
    SlugName,
    Text70,
    Text140,
    bounded,
)
from protocols.erp.treasury_words import (
    MAX_LEDGER_PARTS,
    MAX_LEDGER_ROWS,
    ClaimAct,
    ClaimCredit,
    LedgerHead,
    LedgerRow,
    ReconciliationQuery,
    ReportRequest,
    SubmitLedger,
    WithdrawLedger,
)

MAX_LISTED = 500
_MAX_COUNT = 1_000_000
_ROWS = (Field(min_length=0, max_length=MAX_LEDGER_ROWS), bounded(MAX_LEDGER_ROWS))
_AMOUNTS = ("opening", "closing", "debit_sum", "credit_sum")


def signed_minor(text: str, currency: str) -> int:
    """A signed amount in minor units. Raises BadMoney."""
    minor = Money.parse(text.removeprefix("-"), currency).minor
    return -minor if text.startswith("-") else minor


class LedgerRowForm(Strict):
    """One row of the bank journal."""

    id: BookRowId = said("the row's id, unique in all books of the account", "分录编号，在该账户的所有日记账内唯一")
    date: Day = said("the book date, inside the period", "记账日期，须在期间内")
    direction: Literal["credit", "debit"] = said(
        "credit is money into the bank account, debit money out of it", "credit 收入，debit 支出（银行账户方向）"
    )
    amount: SignedAmountText = said("the amount; negative for a red entry (红字)", "金额；红字为负")
    counterparty_account: Account | None = said("the other side's account", "对方账号", None)
    counterparty_name: Text140 | None = said("the other side's name", "对方户名", None)
    reference: Text70 | None = said("the order's id, or the document's number", "付款指令编号或单据编号", None)
    voucher: Text70 | None = said("voucher", "凭证字号", None)
    settlement_no: Text70 | None = said("settlement number: the bank's serial, where it is known", "结算号", None)
    text: Purpose = said("what it is", "摘要", "")

    def row(self, currency: str) -> LedgerRow:
        """The row as a value."""
        return LedgerRow(
            self.id,
            self.date,
            Direction(self.direction),
            signed_minor(self.amount, currency),
            AccountNumber(self.counterparty_account) if self.counterparty_account else None,
            Name(self.counterparty_name) if self.counterparty_name else None,
            self.reference or "",
            self.voucher or "",
            self.settlement_no or "",
            self.text,
        )


class LedgerSubmit(Form):
    """One part of an account's bank journal（企业银行日记账）of a period.

    A book of more than 500 rows is sent in parts; each part repeats the head. It counts once all parts are there and
    its rows make its totals.
    """

    model_config = ConfigDict(title="LedgerSubmit")

    id: OrderId = said("the book's id", "日记账编号")
    account: Account = said("an own account of the account register", "本单位账号")
    first: Day = said("first day of the period", "期间首日", alias="from")
    last: Day = said("last day of the period", "期间末日", alias="to")
    currency: Currency = said("ISO 4217 code, the account's", "币种代码（ISO 4217），须与账户一致")
    opening: SignedAmountText = said("book balance before the first row", "期初余额")
    closing: SignedAmountText = said("book balance after the last row", "期末余额")
    count: Annotated[int, Field(ge=0, le=_MAX_COUNT)] = said("rows of the whole book", "全部分录笔数")
    debit_sum: SignedAmountText = said("money out, all rows together", "支出合计（全部）")
    credit_sum: SignedAmountText = said("money in, all rows together", "收入合计（全部）")
    part: Annotated[int, Field(ge=1, le=MAX_LEDGER_PARTS)] = said(
        "which part this is, from 1", "本部分序号，从 1 起", 1
    )
    parts: Annotated[int, Field(ge=1, le=MAX_LEDGER_PARTS)] = said("how many parts there are", "共几部分", 1)
    rows: Annotated[list[LedgerRowForm], *_ROWS] = said("the rows of this part", "本部分的分录")

    def word(self) -> SubmitLedger:
        """The part as a value. Raises Contradiction."""
        values = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        found = self.contradictions(values, frozenset())
        if found:
            raise Contradiction(found)
        opening, closing, debit, credit = (signed_minor(values[name], self.currency) for name in _AMOUNTS)
        head = LedgerHead(
            AccountNumber(self.account),
            self.first,
            self.last,
            self.currency,
            opening,
            closing,
            self.count,
            debit,
            credit,
            self.parts,
        )
        return SubmitLedger(self.id, head, self.part, tuple(one.row(self.currency) for one in self.rows))

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Faults of a part: wrong period, rows outside of it or repeated, amounts that do not fit the currency, wrong
        totals.
        """
        return tuple(_ledger_faults(values))[:MAX_FAULTS]


def _ledger_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    first, last, currency = values.get("from"), values.get("to"), values.get("currency")
    part, parts, rows = values.get("part", 1), values.get("parts", 1), values.get("rows")
    if first and last and last < first:
        yield Fault("/to", FieldCode.DATE_RANGE, "is before from")
    if part > parts:
        yield Fault("/part", FieldCode.PATTERN, f"is more than parts, {parts}", parts)
    if rows is None or currency is None:
        return
    unfit = list(_decimals(values, rows, currency))
    yield from unfit
    yield from _row_faults(rows, first, last)
    if parts == 1 and not unfit:
        yield from _total_faults(values, rows, currency)


def _decimals(values: Mapping[str, Any], rows: Sequence[LedgerRowForm], currency: str) -> Iterator[Fault]:
    named = [(f"/{name}", values.get(name)) for name in _AMOUNTS]
    for at, text in (*named, *((f"/rows/{n}/amount", row.amount) for n, row in enumerate(rows))):
        if text is not None:
            try:
                signed_minor(text, currency)
            except BadMoney as error:
                yield Fault(at, FieldCode.AMOUNT, str(error))


def _row_faults(rows: Sequence[LedgerRowForm], first: Any, last: Any) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for n, row in enumerate(rows):
        if row.id in seen:
            yield Fault(f"/rows/{n}/id", FieldCode.REPEATED, f"is also the id of row {seen[row.id]}")
        seen.setdefault(row.id, n)
        if first and last and not first <= row.date <= last:
            yield Fault(f"/rows/{n}/date", FieldCode.DATE_RANGE, "is outside of the book's period")


def _total_faults(values: Mapping[str, Any], rows: Sequence[LedgerRowForm], currency: str) -> Iterator[Fault]:
    """Faults in the totals of a book in one part. Those of a larger book are checked when its last part has arrived."""
    sums = {
        way: sum(signed_minor(row.amount, currency) for row in rows if row.direction == way)
        for way in ("credit", "debit")
    }
    if values.get("count") not in (None, len(rows)):
        yield Fault("/count", FieldCode.TOTAL, f"says {values['count']}, there are {len(rows)} rows", len(rows))
    for way, minor in sums.items():
        told = values.get(f"{way}_sum")
        if told is not None and signed_minor(told, currency) != minor:
            yield Fault(f"/{way}_sum", FieldCode.TOTAL, f"the rows make {Money(minor, currency)}")
    opening, closing = values.get("opening"), values.get("closing")
    if opening is not None and closing is not None:
        made = signed_minor(opening, currency) + sums["credit"] - sums["debit"]
        if made != signed_minor(closing, currency):
            yield Fault("/closing", FieldCode.TOTAL, f"opening balance and rows add up to {Money(made, currency)}")


class LedgerWithdraw(Form):
    """Withdraw a book: its rows are deleted, and the rows that rules matched with them are open again."""

    model_config = ConfigDict(title="LedgerWithdraw")

    id: OrderId = said("the book's id", "日记账编号")
    reason: ReasonText = said("why, for the audit trail", "原因，记入审计", "")

    def word(self) -> WithdrawLedger:
        """The command as a value."""
        return WithdrawLedger(self.id, self.reason)


class CreditClaim(Form):
    """Claim an entry on an own account (来款认领): say whose money it is, or release it again. An entry can be claimed
    once.

    A claim needs `reference`.
    """

    model_config = ConfigDict(title="CreditClaim")

    id: OrderId = said("the claim's id", "认领编号")
    account: Account = said("the entry's own account", "明细所属的本单位账号")
    line: EntryKey = said("the entry's `line`, as `transaction.booked` told it", "明细的 `line`")
    act: Literal["claim", "release"] = said("claim it, or free it again", "认领或取消认领", "claim")
    reference: Text70 | None = said(
        "the sales order, invoice or customer it is for", "对应的付款指令、发票或客户编号", None
    )
    customer: Text140 | None = said("the customer's name", "客户名称", None)
    by: Text70 | None = said("the person who claims", "认领人", None)

    def word(self) -> ClaimCredit:
        """The command as a value. Raises Contradiction."""
        found = self.contradictions(self.__dict__, frozenset())
        if found:
            raise Contradiction(found)
        return ClaimCredit(
            self.id,
            AccountNumber(self.account),
            self.line,
            ClaimAct(self.act),
            self.reference or "",
            Name(self.customer) if self.customer else None,
            self.by or "",
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """A fault if a claim names no reference."""
        if values.get("act", "claim") == "claim" and not values.get("reference") and "reference" not in faulty:
            return (Fault("/reference", FieldCode.REQUIRED, "a claim must state the purpose of the money"),)
        return ()


class ReconciliationQueryForm(Form):
    """Asks for an account's reconciliation up to a day: payments with entries (A), the book with entries (B)."""

    model_config = ConfigDict(title="ReconciliationQuery")

    account: Account = said("an own account of the account register", "本单位账号")
    last: Day | None = said("the last day looked at; default: today", "截止日期，默认今日", None, alias="to")
    limit: Annotated[int, Field(ge=0, le=MAX_LISTED)] = said(
        "most open rows listed of each kind", "每类未达账项至多列出", 100
    )
    max_wait: LongWait = said(
        "after this long the answer is `expired`, PT1S to PT24H",
        "最长等待时间，超时应答 `expired`，PT1S 至 PT24H",
        600,
        shown="PT10M",
    )

    def word(self) -> ReconciliationQuery:
        """The question as a value."""
        return ReconciliationQuery(AccountNumber(self.account), self.last, self.limit, self.max_wait)


class ReportRequestForm(Form):
    """A treasury report as a file, over the accounts that the sender may use."""

    model_config = ConfigDict(title="ReportRequest")

    report: ReportName = said(
        "which one, by its name as `bankgw report` takes it, such as `daily`",
        "报表名称，同 `bankgw report`，如 `daily`",
    )
    form: Literal["xlsx", "pdf", "html", "csv"] = said("the file's form", "文件格式", "xlsx")
    language: Literal["zh", "en"] = said("the report's language", "报表语言", "zh")
    first: Day | None = said("first day; default: the first of the month", "首日，默认当月首日", None, alias="from")
    last: Day | None = said("last day; default: today", "末日，默认今日", None, alias="to")
    bank: SlugName | None = said("only accounts of this bank", "仅此银行", None)
    company: SlugName | None = said("only accounts of this company", "仅此公司", None)
    account: Account | None = said("only this own account", "仅此账户", None)
    page: Annotated[int, Field(ge=1, le=MAX_RECEIPT_PAGES)] = said(
        "which page of a report over 1 MiB; the file of page 1 is kept for a day",
        "超过 1 MiB 的报表的页号；第 1 页所属文件保留一天",
        1,
    )
    max_wait: LongWait = said(
        "after this long the answer is `expired`, PT1S to PT24H",
        "最长等待时间，超时应答 `expired`，PT1S 至 PT24H",
        600,
        shown="PT10M",
    )

    def word(self) -> ReportRequest:
        """The question as a value. Raises Contradiction."""
        found = self.contradictions({"from": self.first, "to": self.last}, frozenset())
        if found:
            raise Contradiction(found)
        account = None if self.account is None else AccountNumber(self.account)
        return ReportRequest(
            self.report,
            self.form,
            self.language,
            self.page,
            self.max_wait,
            self.first,
            self.last,
            self.bank,
            self.company,
            account,
        )

    @classmethod
    def contradictions(cls, values: Mapping[str, Any], faulty: frozenset[str]) -> tuple[Fault, ...]:
        """Days in the wrong order."""
        first, last = values.get("from"), values.get("to")
        if first is not None and last is not None and last < first:
            return (Fault("/to", FieldCode.DATE_RANGE, "is before from"),)
        return ()
