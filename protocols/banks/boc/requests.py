"""The requests of 中国银行, as tables: each element with value, length and row of banks/boc.md, in the page's order.

Empty elements are written. Lengths are GBK bytes, whatever charset the messages have. b2e0078 is in the order of a
message that a public client logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from protocols.banks.boc.options import Options
from protocols.canon.order import AnyOrder, Channel, Kind, PayrollItemDetail, Urgency
from protocols.canon.party import AccountNumber
from protocols.kit.china import BEIJING
from protocols.kit.fields import amount_text, date_text, time_text
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, el

TEXT_BYTES: Final = 80
NAME_BYTES: Final = 70
ACCOUNT_BYTES: Final = 35
PAGE_LINES: Final = 50
_HEAD: Final = "boc.md 2, head"
_SIGN_ON: Final = "boc.md 2.1"
_BALANCE: Final = "boc.md 2.2"
_ENTRIES: Final = "boc.md 2.3"
_PAY: Final = "boc.md 2.4"
_SIZES: Final = "boc.md 2.4, lengths"
_PERSON: Final = "boc.md 2.5"
_WAGES: Final = "boc.md 2.6"
_STATUS: Final = "boc.md 2.7"
_RECEIPT: Final = "boc.md 2.8"


def link_number(options: Options, account: AccountNumber) -> str:
    """The branch link number (ibknum) of an own account."""
    return options.branches.get(account.clear, options.branch)


def moment(now: datetime) -> str:
    """A time as yyyyMMddHHmmss in Beijing's zone."""
    local = now.astimezone(BEIJING)
    return date_text(local.date()) + time_text(local.time())


# ---- what is written about ----


@dataclass(frozen=True, slots=True)
class WrittenHead:
    """The head of a message. Without a token (b2e0001) it has none."""

    options: Options
    number: str
    code: str
    token: str


@dataclass(frozen=True, slots=True)
class WrittenSignOn:
    """A sign-on with the operator's password."""

    now: datetime
    password: str


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """An own account in a question."""

    account: AccountNumber
    options: Options


@dataclass(frozen=True, slots=True)
class WrittenList:
    """One page of entries: the type of list, its days, and its first entry's number."""

    kind: str
    first: date
    last: date
    number: int


@dataclass(frozen=True, slots=True)
class WrittenReceipt:
    """A question for receipts of one day and one amount, under a number of its own."""

    amount: str
    day: date
    number: str
    options: Options


@dataclass(frozen=True, slots=True)
class WrittenOrder:
    """An order under its insid. `day` is the bank's date."""

    order: AnyOrder
    insid: str
    day: date
    options: Options

    @property
    def urgent(self) -> str:
        """The word for the order's urgency."""
        return "1" if self.order.urgency is Urgency.URGENT else "0"

    @property
    def payee_number(self) -> str:
        """toibkn: the payee bank's number; of an own account the branch's where the order has none."""
        payee = self.order.creditor
        own = link_number(self.options, payee.account) if self.order.kind is Kind.TRANSFER else ""
        return payee.cnaps or own

    @property
    def named_here(self) -> bool:
        """True if the name of the payee's bank says that it is this bank."""
        return any(own in (self.order.creditor.bank_name or "") for own in self.options.own_names)

    @property
    def paid_here(self) -> bool:
        """True if a payroll's payee banks here (crdtyp 7). A line that names no bank counts as such a line."""
        payee = self.order.creditor
        nameless = not payee.bank_name and not payee.cnaps
        return self.order.channel is Channel.SAME_BANK or nameless or self.named_here

    @property
    def wage_number(self) -> str:
        """toibkn of a payroll line: the province of an account here, the bank's 12 digits elsewhere."""
        payee, provinces = self.order.creditor, self.options.payroll_provinces
        if not self.paid_here:
            return payee.cnaps or ""
        named = [code for text, code in provinces.items() if text in (payee.bank_name or "")]
        return named[0] if named else self.options.payroll_province

    @property
    def usage(self) -> str:
        """The usage code of a payroll: the order's, else that of the settings."""
        detail = self.order.detail
        code = detail.purpose_code if isinstance(detail, PayrollItemDetail) else None
        return code or self.options.payroll_usage


# ---- the tables ----


def _blank(source: str, *names: str) -> tuple[RequestField[Any], ...]:
    return tuple(RequestField(name, lambda _: "", source) for name in names)


def _sum(name: str, source: str) -> RequestField[WrittenOrder]:
    return RequestField(name, lambda one: amount_text(one.order.amount.minor), source)


def _purpose(name: str, source: str) -> RequestField[WrittenOrder]:
    return RequestField(name, lambda one: one.order.purpose, source, TEXT_BYTES)


def _currency(name: str, source: str) -> RequestField[WrittenOrder]:
    return RequestField(name, lambda one: one.options.currency, source)


HEAD: Final[RequestTable[WrittenHead]] = RequestTable(
    "bocb2e",
    (
        RequestField("termid", lambda one: one.options.terminal, _HEAD),
        RequestField("trnid", lambda one: one.number, _HEAD),
        RequestField("custid", lambda one: one.options.customer, _HEAD),
        RequestField("cusopr", lambda one: one.options.operator, _HEAD),
        RequestField("trncod", lambda one: one.code, _HEAD),
        RequestField("token", lambda one: one.token, "boc.md 1, session", omitted=True),
    ),
    "head",
)
SIGN_ON: Final[RequestTable[WrittenSignOn]] = RequestTable(
    "b2e0001",
    (
        RequestField("custdt", lambda one: moment(one.now), _SIGN_ON),
        RequestField("oprpwd", lambda one: one.password, _SIGN_ON),
    ),
)
ACCOUNT: Final[RequestTable[OwnAccount]] = RequestTable(
    "b2e0005, b2e0012, b2e0035",
    (
        RequestField("ibknum", lambda one: link_number(one.options, one.account), _BALANCE),
        RequestField("actacn", lambda one: one.account.clear, _BALANCE),
    ),
    "account",
)
PERIOD: Final[RequestTable[tuple[date, date]]] = RequestTable(
    "b2e0012, b2e0035, b2e0500",
    (
        RequestField("from", lambda days: date_text(days[0]), _ENTRIES),
        RequestField("to", lambda days: date_text(days[1]), _ENTRIES),
    ),
    "datescope",
)
LIST_TYPE: Final[RequestTable[WrittenList]] = RequestTable(
    "b2e0035", (RequestField("type", lambda one: one.kind, "boc.md 2.3, type"),), "before datescope"
)
ANY_AMOUNT: Final[RequestTable[None]] = RequestTable(
    "b2e0035",
    (RequestField("from", lambda _: "0", _ENTRIES), RequestField("to", lambda _: "9999999999", _ENTRIES)),
    "amountscope",
)
LIST_PAGE: Final[RequestTable[WrittenList]] = RequestTable(
    "b2e0035",
    (
        RequestField("begnum", lambda one: str(one.number), "boc.md 2.3, begnum"),
        RequestField("recnum", lambda _: f"{PAGE_LINES:02d}", "boc.md 2.3, recnum"),
        RequestField("direction", lambda _: "0", "boc.md 2.3, direction"),
    ),
    "behind amountscope",
)
ENQUIRY: Final[RequestTable[str]] = RequestTable(
    "b2e0007", (RequestField("insid", lambda insid: insid, _STATUS), *_blank(_STATUS, "obssid"))
)
KEYS: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0009, b2e0061", (RequestField("insid", lambda one: one.insid, _PAY), *_blank(_PAY, "obssid"))
)
PAYER: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0009, b2e0061, b2e0078",
    (
        RequestField("fribkn", lambda one: link_number(one.options, one.order.debtor.account), _BALANCE),
        RequestField("actacn", lambda one: one.order.debtor.account.clear, _SIZES, ACCOUNT_BYTES, "payer's account"),
        RequestField("actnam", lambda one: one.order.debtor.name.clear, _SIZES, NAME_BYTES, "payer's name"),
    ),
    "fractn",
)
_PAYEE: Final[tuple[RequestField[WrittenOrder], ...]] = (
    RequestField("toibkn", lambda one: one.payee_number, _PAY, 12, "payee bank's number"),
    RequestField("actacn", lambda one: one.order.creditor.account.clear, _SIZES, ACCOUNT_BYTES, "payee's account"),
    RequestField("toname", lambda one: one.order.creditor.name.clear, _SIZES, NAME_BYTES, "payee's name"),
    RequestField("toaddr", lambda one: one.options.payee_address, _SIZES, NAME_BYTES),
    RequestField("tobknm", lambda one: one.order.creditor.bank_name or "", _SIZES, NAME_BYTES),
)
PAYEE: Final[RequestTable[WrittenOrder]] = RequestTable("b2e0009", _PAYEE, "toactn")
PERSON: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0061", (*_PAYEE, RequestField("acttyp", lambda one: one.options.person_account_type, _PERSON)), "toactn"
)
_ORDER: Final[tuple[RequestField[WrittenOrder], ...]] = (
    _sum("trnamt", "boc.md 2.4, trnamt"),
    _currency("trncur", _PAY),
    RequestField("priolv", lambda one: one.urgent, "boc.md 2.4, priolv"),
    _purpose("furinfo", _SIZES),
    RequestField("trfdate", lambda one: date_text(one.day), "boc.md 2.4, trfdate"),
    *_blank(_PAY, "trftime"),
    RequestField("comacn", lambda one: one.options.fee_account, _PAY),
)
ORDER: Final[RequestTable[WrittenOrder]] = RequestTable("b2e0009", _ORDER, "behind toactn")
PERSON_ORDER: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0061",
    (
        *_ORDER,
        RequestField("bocflag", lambda one: one.options.person_flags[0 if one.named_here else 1], _PERSON),
        RequestField("cuspriolv", lambda one: one.urgent, _PERSON),
    ),
    "behind toactn",
)
WAGE_KEY: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0078", (RequestField("insid", lambda one: one.insid, _WAGES),), "before fractn"
)
WAGES: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0078",
    (
        _currency("pybcur", _WAGES),
        _sum("pybamt", _WAGES),
        RequestField("pybnum", lambda _: "1", _WAGES),
        RequestField("crdtyp", lambda one: "7" if one.paid_here else "6", "boc.md 2.6 and 9.1, crdtyp"),
        RequestField("furinfo", lambda one: one.usage, _WAGES),
        _purpose("useinf", _WAGES),
        RequestField("trfdate", lambda one: date_text(one.day), _WAGES),
    ),
    "behind fractn",
)
WAGE: Final[RequestTable[WrittenOrder]] = RequestTable(
    "b2e0078",
    (
        RequestField("toibkn", lambda one: one.wage_number, "boc.md 2.6 and 9.1, crdtyp"),
        RequestField("tobank", lambda one: one.order.creditor.bank_name or "", _SIZES, NAME_BYTES),
        RequestField("toactn", lambda one: one.order.creditor.account.clear, _SIZES, ACCOUNT_BYTES, "payee's account"),
        _currency("pydcur", _WAGES),
        _sum("pydamt", _WAGES),
        RequestField("toname", lambda one: one.order.creditor.name.clear, _SIZES, NAME_BYTES, "payee's name"),
        *_blank(_WAGES, "toidtp", "toidet", "furinfo", "purpose", "reserve1", "reserve2", "reserve3", "reserve4"),
    ),
    "detail",
)
RECEIPT_TYPE: Final[RequestTable[WrittenReceipt]] = RequestTable(
    "b2e0500", (RequestField("tratype", lambda one: one.options.receipt_type, _RECEIPT),), "before amtscope"
)
RECEIPT_AMOUNT: Final[RequestTable[WrittenReceipt]] = RequestTable(
    "b2e0500",
    (
        RequestField("minamt", lambda one: one.amount, _RECEIPT),
        RequestField("maxamt", lambda one: one.amount, _RECEIPT),
    ),
    "amtscope",
)
ANY_PARTY: Final[RequestTable[None]] = RequestTable("b2e0500", _blank(_RECEIPT, "transact", "transname"), "domaccount")
RECEIPT_NUMBER: Final[RequestTable[WrittenReceipt]] = RequestTable(
    "b2e0500", (RequestField("insid", lambda one: one.number, _RECEIPT),), "behind domaccount"
)
RECEIPT_ACCOUNT: Final[RequestTable[OwnAccount]] = RequestTable(
    "b2e0500", tuple(reversed(ACCOUNT.fields)), "confirmdata"
)
REQUESTS: Final = (
    HEAD,
    SIGN_ON,
    ACCOUNT,
    PERIOD,
    LIST_TYPE,
    ANY_AMOUNT,
    LIST_PAGE,
    ENQUIRY,
    KEYS,
    PAYER,
    PAYEE,
    ORDER,
    PERSON,
    PERSON_ORDER,
    WAGE_KEY,
    WAGES,
    WAGE,
    RECEIPT_TYPE,
    RECEIPT_AMOUNT,
    ANY_PARTY,
    RECEIPT_NUMBER,
    RECEIPT_ACCOUNT,
)
"""Every request that the adapter writes."""


# ---- rows ----


def order_row(written: WrittenOrder, *, private: bool) -> Markup:
    """The row of b2e0009, or of b2e0061 (`private`). Raises as `RequestTable.texts`."""
    payee, rest = (PERSON, PERSON_ORDER) if private else (PAYEE, ORDER)
    return _joined(
        *KEYS.elements(written),
        el("fractn", PAYER.elements(written)),
        el("toactn", payee.elements(written)),
        *rest.elements(written),
    )


def wage_row(written: WrittenOrder) -> Markup:
    """The row of b2e0078 with its one line. Raises as `RequestTable.texts`."""
    return _joined(
        *WAGE_KEY.elements(written),
        el("fractn", PAYER.elements(written)),
        *WAGES.elements(written),
        el("detail", WAGE.elements(written)),
    )


def list_row(of: OwnAccount, page: WrittenList) -> Markup:
    """The row of b2e0035."""
    return _joined(
        *ACCOUNT.elements(of),
        *LIST_TYPE.elements(page),
        el("datescope", PERIOD.elements((page.first, page.last))),
        el("amountscope", ANY_AMOUNT.elements(None)),
        *LIST_PAGE.elements(page),
    )


def receipt_row(of: OwnAccount, wanted: WrittenReceipt) -> Markup:
    """The row of b2e0500."""
    return _joined(
        *RECEIPT_TYPE.elements(wanted),
        el("amtscope", RECEIPT_AMOUNT.elements(wanted)),
        el("datescope", PERIOD.elements((wanted.day, wanted.day))),
        el("domaccount", ANY_PARTY.elements(None)),
        *RECEIPT_NUMBER.elements(wanted),
        el("multidata", el("confirmdata", RECEIPT_ACCOUNT.elements(of))),
    )


def balance_row(of: OwnAccount, day: date | None = None) -> Markup:
    """The row of b2e0005, or of b2e0012 for one past day."""
    account = el("account", ACCOUNT.elements(of))
    return account if day is None else _joined(account, el("datescope", PERIOD.elements((day, day))))


def enquiry_row(insid: str) -> Markup:
    """The row of b2e0007 about one order."""
    return _joined(*ENQUIRY.elements(insid))


def sign_on_row(written: WrittenSignOn) -> Markup:
    """The row of b2e0001."""
    return _joined(*SIGN_ON.elements(written))


def _joined(*parts: Markup) -> Markup:
    return Markup("".join(parts))
