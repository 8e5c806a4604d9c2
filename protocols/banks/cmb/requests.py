"""The interfaces (接口) that we write, field by field: name, value, length in GBK bytes, and the row of the page.

A table checks the lengths and the characters of its fields before anything is sent. `written` makes the element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from protocols.banks.cmb.options import Options
from protocols.banks.cmb.wire import RENMINBI, leaf
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Bundle, Channel, Kind, Urgency
from protocols.kit.charset import GBK
from protocols.kit.china import check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import common_purpose, own_account, required
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, el

S = TypeVar("S")
NAME_BYTES: Final = 62
LONG_NAME_BYTES: Final = 200
PURPOSE_BYTES: Final = 62
BANK_NAME_BYTES: Final = 62
AGENCY_TEXT_BYTES: Final = 42
_ENVELOPE: Final = "banks/cmb.md A2, envelope"
_PAY: Final = "banks/cmb.md A2, direct payment"
_TRANSFER: Final = "banks/cmb.md A2, internal transfer"
_BIG: Final = "banks/cmb.md A2, big batch"
_AGENT: Final = "banks/cmb.md A2, AgentRequest"
_STATUS: Final = "banks/cmb.md A2, status"
_AGENCY: Final = "banks/cmb.md A2, agency query"
_BALANCE: Final = "banks/cmb.md A2, balance"
_DETAILS: Final = "banks/cmb.md A2, details"
_NOTICES: Final = "banks/cmb.md A2, notices"
_HELPERS: Final = "banks/cmb.md A2, helpers"
_RECEIPTS: Final = "banks/cmb.md A2, receipts; the layout is that of public clients' samples"
_REFUNDS: Final = "a public client's model of 代发退票; the bank's page has none"
_KEY: Final = "banks/cmb.md 5, YURREF C30"
_REFERENCE = re.compile(r"[0-9A-Za-z]{1,30}", re.ASCII)


def written(table: RequestTable[S], subject: S) -> Markup:
    """One interface element with the fields of its table, which is named after the element."""
    return el(table.part, table.elements(subject, leaf))


def checked_reference(reference: str) -> str:
    """Return `reference` if it can be a YURREF. Raises "value" otherwise."""
    if not _REFERENCE.fullmatch(reference):
        raise ProtocolError("value", f"{reference!r} is no YURREF: 1 to 30 letters and digits")
    return reference


def _none(_subject: object) -> str:
    """A field that we leave empty."""
    return ""


def _renminbi(_subject: object) -> str:
    return RENMINBI


def _amount(order: AnyOrder) -> str:
    check_amount("cmb", order.amount)
    return amount_text(order.amount.minor)


# ---- payments ----


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order as a line of DCPAYMNT or DCOPRTRF."""

    options: Options
    order: AnyOrder
    reference: str

    @property
    def same(self) -> bool:
        """Whether the payee's account is at this bank too."""
        return self.options.same_bank(self.order)

    @property
    def name(self) -> str:
        """The payee's name. Raises "missing" without one."""
        return required(self.order.creditor.name.clear, "creditor's name")

    @property
    def bank(self) -> str:
        """The name of the payee's bank. Raises "missing" without one where it is another bank."""
        name = self.order.creditor.bank_name or ""
        return name if self.same else required(name, "creditor's bank name")

    @property
    def long_named(self) -> bool:
        """Whether the payee's name has too many bytes for CRTNAM."""
        return GBK.byte_length(self.name) > NAME_BYTES

    @property
    def rail(self) -> str:
        """STLCHN of a payment to another bank: F fast, N ordinary. The page documents no other rail in this mode."""
        if self.order.channel is not Channel.AUTO:
            raise ProtocolError("value", f"cmb has no {self.order.channel.value} channel here; use auto")
        return "F" if self.order.urgency is Urgency.URGENT else "N"


_LINE_BEGINS: tuple[RequestField[PaidOrder], ...] = (
    RequestField("YURREF", lambda one: checked_reference(one.reference), _KEY, 30, "reference"),
    RequestField("EPTDAT", _none, _PAY),
    RequestField("EPTTIM", _none, _PAY),
    RequestField("DBTACC", lambda one: one.order.debtor.account.clear, _PAY, needed="debtor's account"),
    RequestField("DBTBBK", lambda one: one.options.branch_of(one.order.debtor.account.clear), _PAY, 2),
    RequestField("TRSAMT", lambda one: _amount(one.order), "banks/cmb.md A2, type M", needed="amount"),
    RequestField("CCYNBR", _renminbi, _PAY, 2),
)
_PURPOSE: RequestField[PaidOrder] = RequestField("NUSAGE", lambda one: one.order.purpose, _PAY, PURPOSE_BYTES)
_PAYEE: RequestField[PaidOrder] = RequestField(
    "CRTACC", lambda one: one.order.creditor.account.clear, _PAY, needed="creditor's account"
)
_PAYEE_FLAG: RequestField[PaidOrder] = RequestField("CRTFLG", lambda one: one.options.payee_flag, _PAY, 1)
PAYMENT_HEAD: RequestTable[Options] = RequestTable(
    "DCPAYMNT",
    (
        RequestField("BUSCOD", lambda one: one.payment_code, _PAY, 6),
        RequestField("BUSMOD", lambda one: one.mode, _PAY, 5),
    ),
    "SDKPAYRQX",
)
PAYMENT_LINE: RequestTable[PaidOrder] = RequestTable(
    "DCPAYMNT",
    (
        *_LINE_BEGINS,
        RequestField("STLCHN", lambda one: "" if one.same else one.rail, _PAY, 1),
        _PURPOSE,
        RequestField("BUSNAR", _none, _PAY, 200),
        _PAYEE,
        RequestField("CRTNAM", lambda one: "" if one.long_named else one.name, _PAY, NAME_BYTES),
        RequestField("LRVEAN", lambda one: one.name if one.long_named else "", _PAY, LONG_NAME_BYTES),
        RequestField("BRDNBR", lambda one: one.order.creditor.cnaps or "", _PAY),
        RequestField("BNKFLG", lambda one: "Y" if one.same else "N", _PAY, 1),
        RequestField("CRTBNK", lambda one: one.bank, _PAY, BANK_NAME_BYTES),
        RequestField("CTYCOD", _none, _PAY),
        RequestField(
            "CRTADR",
            lambda one: "" if one.same else one.options.payee_address or one.bank,
            "banks/cmb.md A2, direct payment; 9: clients write the bank's name where the address is not known",
            62,
        ),
        _PAYEE_FLAG,
        RequestField("NTFCH1", _none, _PAY),
        RequestField("NTFCH2", _none, _PAY),
        RequestField("CRTSQN", _none, _PAY),
        RequestField("TRSTYP", lambda one: one.options.payment_type, _PAY, 6),
        RequestField("RCVCHK", lambda one: "1" if one.options.check_name else "0", _PAY, 1),
        RequestField("RSV28Z", _none, _PAY, 28),
    ),
    "DCOPDPAYX",
)
TRANSFER_HEAD: RequestTable[Options] = RequestTable(
    "DCOPRTRF", (RequestField("BUSMOD", lambda one: one.transfer_mode, _TRANSFER, 5),), "SDKPAYRQX"
)
TRANSFER_LINE: RequestTable[PaidOrder] = RequestTable(
    "DCOPRTRF",
    (
        *_LINE_BEGINS,
        _PURPOSE,
        RequestField("BUSNAR", _none, _TRANSFER),
        _PAYEE,
        _PAYEE_FLAG,
        RequestField("CRTBBK", lambda one: one.options.branch_of(one.order.creditor.account.clear), _TRANSFER, 2),
    ),
    "DCOPRTRFX",
)


# ---- payroll and collection ----

BUSINESS_CODES: Final = {Kind.PAYROLL_ITEM: "N03010", Kind.COLLECTION: "N03030"}
"""BUSCOD of a payroll (代发工资) and of a collection (代扣)."""


@dataclass(frozen=True, slots=True)
class AgencyMessage:
    """A payroll or a collection as a whole."""

    options: Options
    bundle: Bundle
    reference: str

    @property
    def account(self) -> str:
        """The own account of all lines. Raises "missing" without one, "value" for several."""
        return required(own_account(self.bundle), "own account")

    @property
    def total(self) -> str:
        """The sum of all lines in yuan."""
        return amount_text(self.bundle.sum_minor)

    @property
    def count(self) -> str:
        """The number of lines."""
        return str(len(self.bundle.items))

    def lines(self) -> Iterator[AgencyLine]:
        """Its lines, numbered from 1."""
        for number, item in enumerate(self.bundle.items, start=1):
            yield AgencyLine(self.options, item.order, item.reference, number)


@dataclass(frozen=True, slots=True)
class AgencyLine:
    """A line of a payroll or a collection."""

    options: Options
    order: AnyOrder
    reference: str
    number: int

    @property
    def same(self) -> bool:
        """Whether the other party banks here. A line that names no other bank is paid inside this one."""
        theirs = self.order.theirs
        return not (theirs.bank_name or theirs.cnaps) or self.options.same_bank(self.order)

    @property
    def bank(self) -> str:
        """The name of the other party's bank, if it is another one."""
        return "" if self.same else self.order.theirs.bank_name or ""

    @property
    def kept(self) -> str:
        """Our reference in CPRACT, by which a returned payroll line is known."""
        return self.reference if self.options.refund_reference and self.order.kind is Kind.PAYROLL_ITEM else ""


_OTHER_ACCOUNT: RequestField[AgencyLine] = RequestField(
    "ACCNBR", lambda one: one.order.theirs.account.clear, _BIG, needed="other party's account"
)
_LINE_AMOUNT: RequestField[AgencyLine] = RequestField(
    "TRSAMT", lambda one: _amount(one.order), "banks/cmb.md A2, type M", needed="amount"
)
_SAME_BANK: RequestField[AgencyLine] = RequestField("BNKFLG", lambda one: "Y" if one.same else "N", _BIG, 1)


def _other_name(tag: str) -> RequestField[AgencyLine]:
    return RequestField(tag, lambda one: one.order.theirs.name.clear, _AGENT, NAME_BYTES, "other party's name")


AGENCY_MODE: RequestTable[AgencyMessage] = RequestTable(
    "NTAGCSAL, NTAGCACL",
    (RequestField("BUSMOD", lambda one: one.options.agency_mode(one.bundle.kind), _BIG, 5),),
    "NTBUSMODY",
)
AGENCY_HEAD: RequestTable[AgencyMessage] = RequestTable(
    "NTAGCSAL, NTAGCACL",
    (
        RequestField("BEGTAG", lambda one: "Y", _BIG, 1),
        RequestField("ENDTAG", lambda one: "Y", _BIG, 1),
        RequestField("REQNBR", _none, _BIG),
        RequestField("TTLAMT", lambda one: one.total, _BIG),
        RequestField("TTLCNT", lambda one: one.count, _BIG),
        RequestField("TTLNUM", lambda one: "1", _BIG),
        RequestField("CURAMT", lambda one: one.total, _BIG),
        RequestField("CURCNT", lambda one: one.count, _BIG),
        RequestField("CNVNBR", _none, _BIG),
        RequestField("CCYNBR", _renminbi, _BIG, 2),
        RequestField("NTFINF", _none, _BIG),
        RequestField("BBKNBR", lambda one: one.options.branch_of(one.account), _BIG, 2),
        RequestField("ACCNBR", lambda one: one.account, _BIG, needed="own account"),
        RequestField("CCYMKT", lambda one: one.options.market, _BIG, 1),
        RequestField("TRSTYP", lambda one: one.options.agency_type(one.bundle.kind), "banks/cmb.md 9.7b", 4),
        RequestField("NUSAGE", lambda one: common_purpose(one.bundle), _BIG, AGENCY_TEXT_BYTES),
        RequestField("EPTDAT", _none, _BIG),
        RequestField("EPTTIM", _none, _BIG),
        RequestField("YURREF", lambda one: checked_reference(one.reference), _KEY, 30, "reference"),
        RequestField("DMANBR", _none, _BIG),
        RequestField("GRTFLG", _none, _BIG),
    ),
    "NTAGCAGCX1",
)
AGENCY_LINE: RequestTable[AgencyLine] = RequestTable(
    "NTAGCSAL, NTAGCACL",
    (
        RequestField("TRXSEQ", lambda one: f"{one.number:08d}", _BIG, 8),
        _OTHER_ACCOUNT,
        _other_name("ACCNAM"),
        _LINE_AMOUNT,
        RequestField("TRSDSP", lambda one: one.order.purpose, _BIG, AGENCY_TEXT_BYTES),
        _SAME_BANK,
        RequestField("EACBNK", lambda one: one.bank, _BIG),
        RequestField("EACCTY", _none, _BIG),
        RequestField("FSTFLG", lambda one: "N", _BIG, 1),
        RequestField("RCVBNK", lambda one: "" if one.same else one.order.theirs.cnaps or "", _BIG),
        RequestField("CPRACT", lambda one: one.kept, _BIG),
        RequestField("CPRREF", lambda one: one.reference if one.options.line_reference else "", _BIG),
    ),
    "NTAGCDTLY1",
)
AGENT_HEAD: RequestTable[AgencyMessage] = RequestTable(
    "AgentRequest",
    (
        RequestField("BUSCOD", lambda one: BUSINESS_CODES[one.bundle.kind], _AGENT, 6),
        RequestField("BUSMOD", lambda one: one.options.agency_mode(one.bundle.kind), _AGENT, 5),
        RequestField("TRSTYP", lambda one: one.options.agency_type(one.bundle.kind), "banks/cmb.md 9.7b", 4),
        RequestField("EPTDAT", _none, _AGENT),
        RequestField("DBTACC", lambda one: one.account, _AGENT, needed="own account"),
        RequestField("BBKNBR", lambda one: one.options.branch_of(one.account), _AGENT, 2),
        RequestField("SUM", lambda one: one.total, _AGENT),
        RequestField("TOTAL", lambda one: one.count, _AGENT, 4),
        RequestField("CCYNBR", _renminbi, _AGENT, 2),
        RequestField("YURREF", lambda one: checked_reference(one.reference), _KEY, 30, "reference"),
        RequestField("MEMO", lambda one: common_purpose(one.bundle), _AGENT, AGENCY_TEXT_BYTES),
        RequestField("DMANBR", _none, _AGENT),
        RequestField("GRTFLG", _none, _AGENT),
    ),
    "SDKATSRQX",
)
AGENT_LINE: RequestTable[AgencyLine] = RequestTable(
    "AgentRequest",
    (
        _OTHER_ACCOUNT,
        _other_name("CLTNAM"),
        _LINE_AMOUNT,
        _SAME_BANK,
        RequestField("EACBNK", lambda one: "" if one.same else required(one.bank, "other party's bank name"), _AGENT),
        RequestField("EACCTY", _none, _AGENT),
        RequestField("TRSDSP", lambda one: checked_reference(one.reference), _AGENT, 20, "reference"),
    ),
    "SDKATDRQX",
)


# ---- questions ----


@dataclass(frozen=True, slots=True)
class OrdersAsked:
    """A question about orders of a business code and days: by our reference, or all of them."""

    code: str
    days: tuple[date, date]
    reference: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class AccountAsked:
    """A question about an own account: now, or for days; `place` is the place at which its list continues."""

    options: Options
    account: str
    days: tuple[date, date] = (date.min, date.min)
    place: str = ""
    amount: Money | None = None
    printed: str = ""


def _first(one: AccountAsked) -> str:
    return date_text(one.days[0])


def _last(one: AccountAsked) -> str:
    return date_text(one.days[1])


def _amount_asked(one: AccountAsked) -> str:
    return "" if one.amount is None else amount_text(one.amount.minor)


_BUSINESS: RequestField[OrdersAsked] = RequestField("BUSCOD", lambda one: one.code, _STATUS, 6, "business code")
_ORDER: RequestField[OrdersAsked] = RequestField("YURREF", lambda one: one.reference, _STATUS, 30, "reference")
_ORDER_DAYS: tuple[RequestField[OrdersAsked], ...] = (
    RequestField("BGNDAT", lambda one: date_text(one.days[0]), _STATUS, 8),
    RequestField("ENDDAT", lambda one: date_text(one.days[1]), _STATUS, 8),
)
BY_REFERENCE: RequestTable[OrdersAsked] = RequestTable(
    "NTQRYSTY", (_BUSINESS, _ORDER, *_ORDER_DAYS, RequestField("RSV50Z", _none, _STATUS)), "NTQRYSTYX1"
)
BY_DATE: RequestTable[OrdersAsked] = RequestTable(
    "NTQRYSTN",
    (
        _BUSINESS,
        RequestField("BUSMOD", lambda one: one.mode, _STATUS, 5),
        *_ORDER_DAYS,
        RequestField("DATFLG", lambda one: "A", _STATUS, 1),
    ),
    "NTQRYSTNY1",
)
AGENCY_STATE: RequestTable[OrdersAsked] = RequestTable("NTAGCINY", (_BUSINESS, _ORDER, *_ORDER_DAYS), "NTAGCINYX1")
"""The element's name is reconstructed: the option `agency_enquiry` may say another."""


def _single(operation: str, interface: str, tag: str, source: str, most: int | None = None) -> RequestTable[str]:
    """An interface with one field."""
    return RequestTable(operation, (RequestField(tag, lambda one: one, source, most, needed=tag),), interface)


BY_NUMBER: Final = _single("NTSTLINF", "NTSTLINFX", "REQNBR", _STATUS, 10)
AGENT_LINES: Final = _single("GetAgentDetail", "SDKATDQYX", "REQNBR", _AGENCY, 10)
BATCH_RESULT: Final = _single("GetBatchPayOprRes", "SDQPYRSTX", "RSTSET", _PAY)
MODES: Final = _single("ListMode", "SDKMDLSTX", "BUSCOD", _HELPERS, 6)
HISTORY: RequestTable[str] = RequestTable(
    "GetHisNoticeEX",
    (RequestField("LSTNBR", _none, _NOTICES), RequestField("RECNUM", lambda count: count, _NOTICES, 4)),
    "DCHISMSGX",
)
AGENCY_LINES: RequestTable[tuple[str, ...]] = RequestTable(
    "NTAGDINF",
    (
        RequestField("REQNBR", lambda place: place[0], _AGENCY, 10, "bank's number"),
        RequestField("BTHNBR", lambda place: place[1], _AGENCY),
        RequestField("TRXSEQ", lambda place: place[2], _AGENCY, 8),
        RequestField("HISTAG", lambda place: place[3], _AGENCY),
    ),
    "NTAGDINFY1",
)
_ACCOUNT: tuple[RequestField[AccountAsked], ...] = (
    RequestField("BBKNBR", lambda one: one.options.branch_of(one.account), _BALANCE, 2),
    RequestField("ACCNBR", lambda one: one.account, _BALANCE, needed="account"),
)
BALANCE: RequestTable[AccountAsked] = RequestTable("NTQADINF", _ACCOUNT, "NTQADINFX")
PAST_BALANCE: RequestTable[AccountAsked] = RequestTable(
    "SDKNTQABINF",
    (*_ACCOUNT, RequestField("BGNDAT", _first, _BALANCE, 8), RequestField("ENDDAT", _last, _BALANCE, 8)),
    "NTQABINFY",
)
ENTRIES: RequestTable[AccountAsked] = RequestTable(
    "GetTransInfoEX",
    (*_ACCOUNT, RequestField("TRSDAT", _first, _DETAILS, 8), RequestField("TRSSEQ", lambda one: one.place, _DETAILS)),
    "SDKRBPTRSX",
)
REFUNDS: RequestTable[AccountAsked] = RequestTable(
    "NTAGDRFD",
    (
        *_ACCOUNT,
        RequestField("TRSTYP", lambda one: one.options.payroll_type, _REFUNDS, 4),
        RequestField("BGNDAT", _first, _REFUNDS, 8),
        RequestField("ENDDAT", _last, _REFUNDS, 8),
        RequestField("REQNBR", _none, _REFUNDS),
        RequestField("CTNKRY", lambda one: one.place, _REFUNDS),
    ),
    "NTAGDRFDY1",
)
RECEIPT: RequestTable[AccountAsked] = RequestTable(
    "SDKCSFDFBRT",
    (
        RequestField("EACNBR", lambda one: one.account, _RECEIPTS, needed="account"),
        RequestField("BEGDAT", _first, _RECEIPTS, 8),
        RequestField("ENDDAT", _last, _RECEIPTS, 8),
        RequestField("RRCFLG", lambda one: one.printed, _RECEIPTS, 1),
        RequestField("BEGAMT", _amount_asked, _RECEIPTS, omitted=True),
        RequestField("ENDAMT", _amount_asked, _RECEIPTS, omitted=True),
    ),
    "CSRRCFDFY0",
)
REQUESTS: Final = (
    PAYMENT_HEAD,
    PAYMENT_LINE,
    TRANSFER_HEAD,
    TRANSFER_LINE,
    AGENCY_MODE,
    AGENCY_HEAD,
    AGENCY_LINE,
    AGENT_HEAD,
    AGENT_LINE,
    BY_REFERENCE,
    BY_DATE,
    BY_NUMBER,
    HISTORY,
    BATCH_RESULT,
    AGENCY_STATE,
    AGENCY_LINES,
    AGENT_LINES,
    REFUNDS,
    BALANCE,
    PAST_BALANCE,
    ENTRIES,
    RECEIPT,
    MODES,
)
"""Every interface that we write."""
