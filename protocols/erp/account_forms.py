"""The fields of replies and events about accounts: balances, entries, statements, receipts. See `reply_forms`."""

from __future__ import annotations

from typing import Literal

from protocols.erp.form import said
from protocols.erp.told import BankDay, DirectionName, Error, GatewayForm, Instant, SignedAmount


class AccountError(Error):
    """Why one account of a question has no answer."""

    account: str = said("the account asked for", "所查账号")


class AccountBalance(GatewayForm):
    """The balance of one account, as the bank stated it. A value that the bank does not state is absent."""

    account: str = said("the account", "账号")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    book: SignedAmount | None = said("book balance", "账面余额", None)
    available: SignedAmount | None = said("available balance", "可用余额", None)
    frozen: SignedAmount | None = said("frozen amount", "冻结金额", None)
    previous_day: SignedAmount | None = said("balance at the end of the day before", "昨日余额", None)
    on: BankDay | None = said("the past day whose closing balance this is, if one was asked for", "所查历史日期", None)
    as_of: Instant = said("when it was true", "数据时点")
    source: Literal["bank", "cache"] = said("asked now, or an answer within `max_age`", "实时查询或缓存")


class BalanceResult(GatewayForm):
    """Answers `balance.query`. Every account asked for is in one of the two lists."""

    event: str = said("the message's name", "消息名称")
    balances: list[AccountBalance] = said("accounts with an answer", "查到的余额")
    errors: list[AccountError] = said("accounts without one", "未查到的账户")


class Counterparty(GatewayForm):
    """The other side of an entry, as far as the bank names it."""

    account: str | None = said("its account number", "对方账号", None)
    name: str | None = said("its name", "对方户名", None)
    bank: str | None = said("its bank", "对方开户行", None)


class EntryLine(GatewayForm):
    """One entry of an account."""

    line: str = said("the entry's own id; the same in every answer for ever", "明细唯一编号，永久不变")
    bank_line_id: str = said("the bank's key; entries may share one", "银行明细编号，可能重复")
    direction: DirectionName = said("credit is money in, debit money out", "credit 收入，debit 支出")
    amount: SignedAmount = said("the amount", "金额")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    bank_date: BankDay = said("the bank's business date", "银行记账日期")
    booked_at: Instant | None = said("when it was booked", "记账时间", None)
    value_date: BankDay | None = said("value date", "起息日", None)
    counterparty: Counterparty | None = said("the other side", "对方", None)
    text: str = said("the bank's text", "摘要/附言")
    balance: SignedAmount | None = said("balance after the entry", "余额", None)
    fee: bool = said("whether it is a charge", "是否手续费")
    reference: str | None = said("our payment reference, where the bank returns it", "网关参考号", None)
    matched_payment: str | None = said("the payment it belongs to", "对应的付款编号", None)


class TransactionsPage(GatewayForm):
    """Answers `transactions.query`: one page. To continue, ask with `after` = `next` until `complete`."""

    event: str = said("the message's name", "消息名称")
    account: str = said("the account", "账号")
    lines: list[EntryLine] = said("the entries, in the bank's order", "明细，按银行顺序")
    next: str | None = said("opaque; absent on the last page", "翻页标记；末页没有", None)
    complete: bool = said("whether this was the last page", "是否末页")
    opening: SignedAmount | None = said("balance before the first entry, if stated", "期初余额", None)
    closing: SignedAmount | None = said("balance after the last entry, if stated", "期末余额", None)


class StatementReady(GatewayForm):
    """Answers `statement.request`: one page of a day's statement. To continue, ask with `after` = `next` until
    `complete`.

    Before the first page, the gateway has read all entries of the day; counts and sums are the whole day's.
    """

    event: str = said("the message's name", "消息名称")
    account: str = said("the account", "账号")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    date: BankDay = said("the bank day", "对账单日期")
    opening: SignedAmount | None = said("balance before the first entry, if stated", "期初余额", None)
    closing: SignedAmount | None = said("balance after the last entry, if stated", "期末余额", None)
    checked: bool = said(
        "true: opening plus entries is closing; false: the bank stated no two balances to check with",
        "true：期初加发生额等于期末；false：银行未同时给出期初与期末，无法核对",
    )
    closed: bool = said("whether the bank day was over when this was read", "读取时该银行日是否已结束")
    count: int = said("entries of the day", "当日笔数")
    credit_count: int = said("of them money in", "收入笔数")
    credit_sum: SignedAmount = said("money in together", "收入合计")
    debit_count: int = said("of them money out", "支出笔数")
    debit_sum: SignedAmount = said("money out together", "支出合计")
    lines: list[EntryLine] = said("the entries of this page, in the bank's order", "本页明细，按银行顺序")
    next: str | None = said("opaque; absent on the last page", "翻页标记；末页没有", None)
    complete: bool = said("whether this was the last page", "是否末页")


class ReceiptReady(GatewayForm):
    """Answers `receipt.request`: one page of up to 1 MiB of an electronic receipt."""

    event: str = said("the message's name", "消息名称")
    account: str = said("the entry's own account", "明细所属账号")
    bank_date: BankDay = said("the entry's bank date", "明细的银行日期")
    bank_line_id: str | None = said("the entry's `bank_line_id`, if it was named by it", "明细编号（如以此指定）", None)
    payment: str | None = said("the payment, if it was named by it", "付款编号（如以此指定）", None)
    name: str | None = said("the bank's file name", "银行的文件名", None)
    media_type: str = said("what the file is, such as application/pdf", "文件类型，如 application/pdf")
    size: int = said("bytes of the whole file", "整个文件的字节数")
    sha256: str = said("of the whole file, in hex", "整个文件的 SHA-256（十六进制）")
    page: int = said("which page this is, from 1", "本页页号，从 1 开始")
    pages: int = said("how many there are", "总页数")
    data: str = said("this page's bytes in Base64", "本页内容（Base64）")


class TransactionBooked(GatewayForm):
    """An entry was seen on an own account for the first time."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    at: Instant = said("when the gateway saw it, UTC", "网关发现的时间（UTC）")
    line: EntryLine = said("the entry; `line.line` is the same in every answer for ever", "明细；`line.line` 永久不变")


class StatementClosed(GatewayForm):
    """A bank day of an own account is over, and its opening balance plus its entries equals its closing balance."""

    event: str = said("the message's name", "消息名称")
    sender: str = said("the sender it is told to", "接收此消息的来源系统")
    bank: str = said("the account's bank", "开户银行")
    account: str = said("the own account", "本单位账号")
    currency: str = said("ISO 4217 code", "币种代码（ISO 4217）")
    date: BankDay = said("the bank day", "银行日期")
    at: Instant = said("when it was found complete, UTC", "确认完整的时间（UTC）")
    opening: SignedAmount = said("balance before the first entry", "期初余额")
    closing: SignedAmount = said("balance after the last entry", "期末余额")
    count: int = said("entries of the day", "当日笔数")
    credit_count: int = said("of them money in", "收入笔数")
    credit_sum: SignedAmount = said("money in together", "收入合计")
    debit_count: int = said("of them money out", "支出笔数")
    debit_sum: SignedAmount = said("money out together", "支出合计")
