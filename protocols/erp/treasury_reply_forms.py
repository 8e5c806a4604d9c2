"""The fields of the treasury's messages: books, claims, reconciliation, reports. See `reply_forms`."""

from __future__ import annotations

from typing import Literal

from protocols.erp.form import said
from protocols.erp.told import BankDay, DirectionName, GatewayForm, Instant, SignedAmount

_MATCHINGS = ("A: payments with entries; B: the book with entries", "A 付款与明细；B 日记账与明细")


class LedgerResult(GatewayForm):
    """Answers `ledger.submit` and `ledger.withdraw`: the state of the book now."""

    event: str = said("the message's name", "消息名称")
    id: str = said("the book's id", "日记账编号")
    book: str = said("the gateway's key of the book", "网关的日记账编号")
    account: str = said("the own account", "本单位账号")
    state: Literal["arriving", "in_force", "replaced", "withdrawn"] = said(
        "`arriving` until all parts are there; `in_force`: it counts; `replaced` by a later book of its period",
        "`arriving` 接收中；`in_force` 已生效；`replaced` 已被同期间的新日记账取代；`withdrawn` 已撤回",
    )
    received: int = said("parts that are there", "已收部分数")
    parts: int = said("parts that the book has", "总部分数")
    replayed: bool = said("whether this was sent before; then nothing was done", "是否重复提交（未再处理）")


class LedgerClosed(GatewayForm):
    """A book is complete and in force: its rows add up to its totals, and it begins where the previous book ended."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    id: str = said("the book's id", "日记账编号")
    by: str = said("the sender whose book it is", "提交日记账的来源系统")
    book: str = said("the gateway's key of the book", "网关的日记账编号")
    at: Instant = said("when, UTC", "时间（UTC）")
    first: BankDay = said("first day of the period", "期间首日", alias="from")
    last: BankDay = said("last day of the period", "期间末日", alias="to")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    opening: SignedAmount = said("book balance before the first row", "期初余额")
    closing: SignedAmount = said("book balance after the last row", "期末余额")
    count: int = said("rows of the book", "分录笔数")


class CreditResult(GatewayForm):
    """Answers `credit.claim`: the state of the entry's claim now."""

    event: str = said("the message's name", "消息名称")
    id: str = said("the claim's id", "认领编号")
    account: str = said("the entry's own account", "明细所属账号")
    line: str = said("the entry", "明细编号")
    state: Literal["claimed", "released"] = said("how the claim stands", "认领状态")
    reference: str | None = said("what the money is for", "对应的付款指令、发票或客户编号", None)
    replayed: bool = said("whether this was sent before; then nothing was done", "是否重复提交（未再处理）")


class CreditNews(GatewayForm):
    """Money on an own account was claimed, or its claim was released."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    line: str = said("the entry", "明细编号")
    amount: SignedAmount = said("the amount", "金额")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    at: Instant = said("when, UTC", "时间（UTC）")
    id: str = said("the claim's id", "认领编号")
    by_sender: str = said("the sender whose claim it is", "认领的来源系统")
    reference: str | None = said("what the money is for", "对应的付款指令、发票或客户编号", None)
    customer: str | None = said("the customer's name", "客户名称", None)
    by: str | None = said("the person who claimed", "认领人", None)


class OpenRow(GatewayForm):
    """A payment, a book row or an entry without its counterpart."""

    id: str = said("its id in the matching: `payment:`, `book:` or `line:` and a key", "匹配中的编号")
    day: BankDay = said("its day", "日期")
    direction: DirectionName = said("credit is money in, debit money out", "credit 收入，debit 支出")
    amount: SignedAmount = said("the amount", "金额")
    reason: str = said("why it is open", "未达账项的原因")
    about: str = said("what a person knows it by: order, voucher, serial, text", "付款指令、凭证或摘要")


class MatchingResult(GatewayForm):
    """One of the two matchings."""

    matching: Literal["A", "B"] = said(*_MATCHINGS)
    matched: dict[str, int] = said("matches by rule", "各规则匹配数")
    proposed: int = said("proposals, which only a person confirms", "待人工确认的建议数")
    open_entries: int = said("payments or book rows without an entry", "无明细的付款或分录数")
    open_lines: int = said("entries without a payment or book row", "无付款或分录的明细数")
    entries: list[OpenRow] = said("the first of those payments or book rows", "未达账项中的付款或分录（前若干条）")
    lines: list[OpenRow] = said("the first of those entries", "未达账项中的明细（前若干条）")


class ReconciliationResult(GatewayForm):
    """Answers `reconciliation.query`."""

    event: str = said("the message's name", "消息名称")
    account: str = said("the own account", "本单位账号")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    last: BankDay = said("the last day looked at", "截止日期", alias="to")
    books: int = said("books in force", "生效的日记账数")
    matchings: list[MatchingResult] = said("both matchings", "两项匹配")


class ReportReady(GatewayForm):
    """Answers `report.request`: one page of up to 1 MiB of a report."""

    event: str = said("the message's name", "消息名称")
    report: str = said("which report", "报表名称")
    first: BankDay = said("its first day", "首日", alias="from")
    last: BankDay = said("its last day", "末日", alias="to")
    rows: int | None = said("its rows; absent on later pages", "行数；仅第一页", None)
    name: str = said("a name for the file", "文件名")
    media_type: str = said("what the file is", "文件类型")
    size: int = said("bytes of the whole file", "整个文件的字节数")
    sha256: str = said("of the whole file, in hex", "整个文件的 SHA-256（十六进制）")
    page: int = said("which page this is, from 1", "本页页号，从 1 开始")
    pages: int = said("how many there are", "总页数")
    data: str = said("this page's bytes in Base64", "本页内容（Base64）")


class ReconciliationMatched(GatewayForm):
    """Payments were matched with their entries: the bank's booking agrees with the payment."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    at: Instant = said("when it was found, UTC", "发现时间（UTC）")
    rule: str = said("the rule, or `confirmed` by a person", "匹配规则；人工确认为 `confirmed`")
    payments: list[str] = said("the payments", "付款编号")
    lines: list[str] = said("their entries", "明细编号（`line`）")


class ExceptionNews(GatewayForm):
    """A row is open, and no rule will find its counterpart by itself: a person must look."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    at: Instant = said("when it was found, UTC", "发现时间（UTC）")
    matching: Literal["A", "B"] = said(*_MATCHINGS)
    row: OpenRow = said("the row", "未达账项")


class ReconciliationCompleted(GatewayForm):
    """The rules have processed an account's closed day: the counts of matched and of open rows now."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    at: Instant = said("when, UTC", "时间（UTC）")
    last: BankDay = said("the last closed day", "最近已闭合的日期", alias="to")
    matched: int = said("payments with their entries", "已匹配的付款数")
    open_payments: int = said("payments without an entry", "未匹配的付款数")
    open_lines: int = said("entries without a payment", "未匹配的明细数")
