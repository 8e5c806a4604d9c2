"""The requests of this bank, field by field in the order of writing, with the row of the bank's page for each.

The tables write the XML of every request and check lengths and mandatory fields before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar

from protocols.banks.pab.options import Options
from protocols.canon.order import (
    AnyOrder,
    Bundle,
    Channel,
    CollectionDetail,
    Kind,
    PayrollItemDetail,
    TransferDetail,
    Urgency,
)
from protocols.canon.query import Sent
from protocols.kit.china import check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import own_bank
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, el, leaf

S = TypeVar("S")
FAST: Final = "KHKF03"
FAST_ENQUIRY: Final = "KHKF04"
SWEEP: Final = "4052"
PURPOSE_CHARS: Final = 30
VOUCHER_CHARS: Final = 20
NAME_CHARS: Final = 32
UP, DOWN = "1", "2"
"""guiJiType of 4052: 归集 (to the upper account) and 下拨."""
ROWS_OF_4015: Final = 500
_VOUCHER = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_ENVELOPE: Final = "banks/pab.md 2"
_FAST_ROW: Final = "banks/pab.md 4, KHKF03; elements of public clients"


def check_voucher(voucher: str) -> None:
    """Raises "value" for a text that cannot be a voucher of this bank."""
    if not _VOUCHER.fullmatch(voucher):
        raise ProtocolError("value", f"{voucher!r} is no voucher: 1 to {VOUCHER_CHARS} of 0-9A-Za-z")


@dataclass(frozen=True, slots=True)
class Written:
    """One order as it is written: alone, or as a line of a batch. `reference` is its voucher.

    Raises "value" for an order that no message of this bank can carry.
    """

    order: AnyOrder
    reference: str
    options: Options

    def __post_init__(self) -> None:
        check_voucher(self.reference)
        check_amount("pab", self.order.amount)
        if len(self.order.purpose) > PURPOSE_CHARS:
            raise ProtocolError("value", f"purpose of {len(self.order.purpose)} characters, limit {PURPOSE_CHARS}")

    @property
    def amount(self) -> str:
        """The amount in yuan."""
        return amount_text(self.order.amount.minor)

    @property
    def inner_id(self) -> str:
        """CstInnerFlowNo: the ERP's id, if it fits. The bank returns it and does not check it."""
        return self.order.id if _VOUCHER.fullmatch(self.order.id) else ""

    @property
    def stays(self) -> bool:
        """True if the other party banks here, by its bank's name and number.

        If it has neither, it is assumed to bank here, except in a payment.
        """
        other = self.order.theirs
        unnamed = self.order.kind is not Kind.PAYMENT and not other.bank_name and not other.cnaps
        return unnamed or own_bank(other, self.options.own_names, self.options.own_cnaps)

    @property
    def bank_name(self) -> str:
        """The payee's bank. A transfer that names none stays in this bank."""
        given = self.order.creditor.bank_name or ""
        return given or ("平安银行" if self.order.kind is Kind.TRANSFER and self.stays else "")

    @property
    def union_flag(self) -> str:
        """UnionFlag: 1 for a payee who banks here."""
        return "1" if self.order.channel is Channel.SAME_BANK or self.stays else "0"

    @property
    def rail(self) -> str:
        """SysFlag: N normal (小额), Y urgent (大额). The bank's page documents no instant rail for 4004."""
        urgent = self.order.urgency is Urgency.URGENT and self.order.channel is Channel.AUTO
        return "Y" if urgent or self.order.channel is Channel.LARGE_VALUE else "N"

    @property
    def document(self) -> str:
        """The number of a payroll payee's identity card; empty if the order has none."""
        detail = self.order.detail
        found = detail.payee_document if isinstance(detail, PayrollItemDetail) else None
        return found.clear if found else ""

    @property
    def swept_up(self) -> bool:
        """True if the order moves money to the upper account of a group."""
        return isinstance(self.order.detail, TransferDetail) and self.order.detail.direction == "sweep"


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """A batch as it is written. `reference` is the voucher of the batch, `lines` are its orders."""

    bundle: Bundle
    reference: str
    options: Options
    lines: tuple[Written, ...]

    @staticmethod
    def of(bundle: Bundle, reference: str, options: Options) -> WrittenBatch:
        """Raises "value" for a line that no message of this bank can carry, and for lines under several agreements."""
        lines = tuple(Written(item.order, item.reference, options) for item in bundle.items)
        if len({_agreement(one) for one in lines}) != 1:
            raise ProtocolError("value", "4047 carries one agreement; these lines name several")
        return WrittenBatch(bundle, reference, options, lines)

    @property
    def first(self) -> AnyOrder:
        """The first order: all have the same own account."""
        return self.bundle.items[0].order

    @property
    def total(self) -> str:
        """The sum of the lines in yuan."""
        return amount_text(self.bundle.sum_minor)

    @property
    def count(self) -> str:
        """The number of lines."""
        return str(len(self.lines))

    @property
    def agreement(self) -> str:
        """AGREE_NO: that of the orders, else that of the settings."""
        return _agreement(self.lines[0])


def _agreement(line: Written) -> str:
    detail = line.order.detail
    own = detail.agreement if isinstance(detail, CollectionDetail | PayrollItemDetail) else ""
    return own or line.options.agreement


def _fast_name(line: Written) -> str:
    name = line.order.creditor.name.clear
    if len(name) > NAME_CHARS:
        raise ProtocolError("value", f"KHKF03 takes a creditor's name of {NAME_CHARS} characters, not {len(name)}")
    return name


def _upper(line: Written) -> str:
    return (line.order.creditor if line.swept_up else line.order.debtor).account.clear


def _lower(line: Written) -> str:
    return (line.order.debtor if line.swept_up else line.order.creditor).account.clear


@dataclass(frozen=True, slots=True)
class AskedLines:
    """One page of a list: an account's entries or returns, or the lines of a batch (`subject` is then its voucher)."""

    subject: str
    page: int
    size: int = 0
    first: date = date.min
    last: date = date.min
    journal: str = ""
    count: str = ""


@dataclass(frozen=True, slots=True)
class AskedBranches:
    """A question for branches: the bank's three digits and a key word."""

    bank: str
    word: str


@dataclass(frozen=True, slots=True)
class AskedReceipt:
    """A question for the receipt of a batch's line."""

    batch: str
    line: str
    debtor: str
    creditor: str
    name: str
    minor: int


def _field(
    name: str, value: Callable[[S], str], source: str, *, most: int | None = None, needed: str = ""
) -> RequestField[S]:
    return RequestField(name, value, source, most, needed)


def _fixed(name: str, content: str, source: str) -> RequestField[Any]:
    """A field with the same content in every request."""
    return RequestField(name, lambda _subject: content, source)


def _empty(source: str, *names: str) -> tuple[RequestField[Any], ...]:
    """Fields that this gateway never fills."""
    return tuple(_fixed(name, "", source) for name in names)


def _voucher(name: str, value: Callable[[S], str]) -> RequestField[S]:
    return RequestField(name, value, "banks/pab.md 5, idempotency key C(20)", VOUCHER_CHARS, "reference")


# ---- orders ----

_INNER: Final = RequestField[Written](
    "CstInnerFlowNo", lambda w: w.inner_id, "banks/pab.md 5, CstInnerFlowNo C(20)", VOUCHER_CHARS
)
_NODE: Final = RequestField[Written]("InAcctBankNode", lambda w: w.order.creditor.cnaps or "", _ENVELOPE)
_PAYEE: Final = (
    _NODE,
    _fixed("InAcctRecCode", "", _ENVELOPE),
    RequestField[Written]("InAcctNo", lambda w: w.order.creditor.account.clear, _ENVELOPE, needed="creditor's account"),
    RequestField[Written]("InAcctName", lambda w: w.order.creditor.name.clear, _ENVELOPE, needed="creditor's name"),
    RequestField[Written]("InAcctBankName", lambda w: w.bank_name, _ENVELOPE, needed="creditor's bank name"),
)
_AMOUNT: Final = RequestField[Written]("TranAmount", lambda w: w.amount, "banks/pab.md 5, amount in yuan")
_PURPOSE: Final = RequestField[Written]("UseEx", lambda w: w.order.purpose, "banks/pab.md 4, UseEx ≤30 characters")
_UNION: Final = RequestField[Written]("UnionFlag", lambda w: w.union_flag, "banks/pab.md 4, 1 same bank / 0 other")
_RAIL: Final = RequestField[Written]("SysFlag", lambda w: w.rail, "banks/pab.md 4, N normal, Y urgent")
_CITY: Final = RequestField[Written](
    "AddrFlag", lambda w: w.options.address_flag, "banks/pab.md 4, 1 same city / 2 other"
)
PAYMENT: Final = RequestTable[Written](
    "4004",
    (
        _voucher("ThirdVoucher", lambda w: w.reference),
        _INNER,
        _fixed("CcyCode", "RMB", _ENVELOPE),
        _field("OutAcctNo", lambda w: w.order.debtor.account.clear, _ENVELOPE, needed="debtor's account"),
        _field("OutAcctName", lambda w: w.order.debtor.name.clear, _ENVELOPE, needed="debtor's name"),
        *_empty(_ENVELOPE, "OutAcctAddr"),
        *_PAYEE,
        _AMOUNT,
        *_empty(_ENVELOPE, "AmountCode"),
        _PURPOSE,
        _UNION,
        _RAIL,
        _CITY,
    ),
)
BATCH_LINE: Final = RequestTable[Written](
    "4018",
    (
        _voucher("SThirdVoucher", lambda w: w.reference),
        _INNER,
        *_PAYEE,
        *_empty("banks/pab.md 4, 4018", "InAcctProvinceCode", "InAcctCityName"),
        _AMOUNT,
        _PURPOSE,
        _UNION,
        _CITY,
        _RAIL,
        *_empty("banks/pab.md 4, 4018", "MainAcctNo"),
    ),
    part="HOResultSet4018R",
)
_BATCH_ROW: Final = "banks/pab.md 4, 4018"
BATCH: Final = RequestTable[WrittenBatch](
    "4018",
    (
        _voucher("ThirdVoucher", lambda b: b.reference),
        _field("totalCts", lambda b: b.count, _BATCH_ROW),
        _field("totalAmt", lambda b: b.total, _BATCH_ROW),
        *_empty(_BATCH_ROW, "BatchSummary"),
        _field("BSysFlag", lambda b: b.lines[0].rail, _BATCH_ROW),
        _fixed("CcyCode", "RMB", _BATCH_ROW),
        _field("OutAcctNo", lambda b: b.first.debtor.account.clear, _BATCH_ROW, needed="debtor's account"),
        _field("OutAcctName", lambda b: b.first.debtor.name.clear, _BATCH_ROW, needed="debtor's name"),
        *_empty(_BATCH_ROW, "OutAcctAddr"),
        _fixed("PayType", "0", "banks/pab.md 4, PayType 0 per line debit"),
        *_empty(_BATCH_ROW, "BizFlag1", "BookingDate"),
    ),
    part="head",
)
_AGENCY_ROW: Final = "banks/pab.md 4, 4047"
AGENCY_LINE: Final = RequestTable[Written](
    "4047",
    (
        _voucher("SThirdVoucher", lambda w: w.reference),
        _INNER,
        *_empty(_AGENCY_ROW, "OthAreaFlag"),
        _field("IdType", lambda w: "1" if w.document else "", _AGENCY_ROW),
        _field("IdNo", lambda w: w.document, _AGENCY_ROW),
        _field("OppBankName", lambda w: w.order.theirs.bank_name or "", _AGENCY_ROW),
        _field("OppAccNo", lambda w: w.order.theirs.account.clear, _AGENCY_ROW),
        _field("OppAccName", lambda w: w.order.theirs.name.clear, _AGENCY_ROW),
        _field("OppBranchId", lambda w: w.order.theirs.cnaps or "", _AGENCY_ROW),
        *_empty(_AGENCY_ROW, "Province", "City"),
        _field("Amount", lambda w: w.amount, _AGENCY_ROW),
        _field("PostScript", lambda w: w.order.purpose, _AGENCY_ROW),
        *_empty(_AGENCY_ROW, "RemarkFCR"),
    ),
    part="HOResultSet4047R",
)
AGENCY: Final = RequestTable[WrittenBatch](
    "4047",
    (
        _voucher("ThirdVoucher", lambda b: b.reference),
        _field("AGREE_NO", lambda b: b.agreement, _AGENCY_ROW),
        _field("BusiType", lambda b: b.options.agreement_item, _AGENCY_ROW),
        _field(
            "PayType", lambda b: "0" if b.bundle.kind is Kind.COLLECTION else "1", "banks/pab.md 4, 0 collect, 1 pay"
        ),
        _fixed("Currency", "RMB", _AGENCY_ROW),
        _field("OthBankFlag", lambda b: "N" if all(one.stays for one in b.lines) else "Y", _AGENCY_ROW),
        _field("SrcAccNo", lambda b: b.first.ours.account.clear, _AGENCY_ROW),
        _field("TotalNum", lambda b: b.count, _AGENCY_ROW),
        _field("TotalAmount", lambda b: b.total, _AGENCY_ROW),
        _fixed("SettleType", "1", "banks/pab.md 4, SettleType 1 batch"),
    ),
    part="head",
)
FAST_PAYMENT: Final = RequestTable[Written](
    FAST,
    (
        _voucher("OrderNumber", lambda w: w.reference),
        _field("AcctNo", lambda w: w.order.debtor.account.clear, _FAST_ROW, needed="debtor's account"),
        _field("BusiType", lambda w: w.options.fast_pay_item, _FAST_ROW),
        _field("CorpId", lambda w: w.options.fast_pay_company, _FAST_ROW),
        _fixed("CcyCode", "RMB", _FAST_ROW),
        _AMOUNT,
        _field("InAcctNo", lambda w: w.order.creditor.account.clear, _FAST_ROW, most=20, needed="creditor's account"),
        _field("InAcctName", _fast_name, _FAST_ROW, needed="creditor's name"),
        _field("InAcctBankName", lambda w: w.order.creditor.bank_name or "", _FAST_ROW),
        _NODE,
        *_empty(_FAST_ROW, "Mobile"),
        _field("Remark", lambda w: w.order.purpose, _FAST_ROW),
    ),
)
_SWEEP_ROW: Final = "banks/pab.md 4, group sweep 4052"
SWEPT: Final = RequestTable[Written](
    SWEEP,
    (
        _voucher("ThirdVoucher", lambda w: w.reference),
        _field("AcctNo", _upper, _SWEEP_ROW, needed="upper account"),
        # 1 would move what the contract says, for all sub-accounts.
        _fixed("guiJiAreaOption", "2", "banks/pab.md 4, 2 single"),
        _field("subAccountNo", _lower, _SWEEP_ROW, needed="sub-account"),
        _field("guiJiType", lambda w: UP if w.swept_up else DOWN, "banks/pab.md 4, 1 归集, 2 下拨"),
        _field("Amount", lambda w: w.amount, _SWEEP_ROW),
    ),
)

# ---- questions ----

FATE: Final = RequestTable[Sent](
    "4005",
    (
        *_empty(_ENVELOPE, "OrigThirdLogNo"),
        _voucher("OrigThirdVoucher", lambda sent: sent.reference),
        *_empty(_ENVELOPE, "OrigFrontLogNo"),
    ),
)
FAST_FATE: Final = RequestTable[Sent](
    FAST_ENQUIRY,
    (
        _field("AcctNo", lambda sent: sent.debtor.clear, _FAST_ROW),
        _voucher("OrderNumber", lambda sent: sent.reference),
        *_empty(_FAST_ROW, "BussFlowNo"),
    ),
)
BATCH_FATE: Final = RequestTable[AskedLines](
    "4015",
    (
        _voucher("OrigThirdVoucher", lambda asked: asked.subject),
        _fixed("QueryType", "0", "banks/pab.md 4, QueryType 0 all"),
        _field("PageCts", lambda asked: str(asked.size), "banks/pab.md 4, PageCts ≤500"),
        _field("PageNo", lambda asked: str(asked.page), "banks/pab.md 4, PageNo 1.."),
    ),
)
AGENCY_FATE: Final = RequestTable[str](
    "4048", (_voucher("ThirdVoucher", lambda voucher: voucher),), part="reconstructed after 4015"
)
BALANCE: Final = RequestTable[str](
    "4001",
    (
        _field("Account", lambda account: account, _ENVELOPE),
        _fixed("CcyType", "C", _ENVELOPE),
        _fixed("CcyCode", "RMB", _ENVELOPE),
    ),
)
PAST_BALANCE: Final = RequestTable[AskedLines](
    "4012",
    (
        _field("Account", lambda asked: asked.subject, "banks/pab.md 4, 4012"),
        _field("RptDate", lambda asked: date_text(asked.first), "banks/pab.md 4, 4012"),
    ),
)
TODAY: Final = RequestTable[AskedLines](
    "4008",
    (
        _field("AcctNo", lambda asked: asked.subject, "banks/pab.md 4, 4008"),
        _fixed("CcyCode", "RMB", "banks/pab.md 4, 4008"),
        _field("PageNo", lambda asked: str(asked.page), "banks/pab.md 4, PageNo from 0"),
        _field("JournalNo", lambda asked: asked.journal, "banks/pab.md 4, the value returned"),
        _field("LogCount", lambda asked: asked.count, "banks/pab.md 4, the value returned"),
    ),
)
ENTRIES: Final = RequestTable[AskedLines](
    "4013",
    (
        _field("AcctNo", lambda asked: asked.subject, "banks/pab.md 4, 4013"),
        _fixed("CcyCode", "RMB", "banks/pab.md 4, 4013"),
        _field("BeginDate", lambda asked: date_text(asked.first), "banks/pab.md 4, 4013"),
        _field("EndDate", lambda asked: date_text(asked.last), "banks/pab.md 4, 4013"),
        _field("PageNo", lambda asked: str(asked.page), "banks/pab.md 4, PageNo from 1"),
        _field("PageSize", lambda asked: str(asked.size), "banks/pab.md 4, PageSize 30–1000"),
        *_empty("banks/pab.md 4, 4013", "Reserve"),
    ),
)
RETURNS: Final = RequestTable[AskedLines](
    "4019",
    (
        _field("AccNo", lambda asked: asked.subject, "banks/pab.md 4, 4019"),
        _field("StartDate", lambda asked: date_text(asked.first), "banks/pab.md 4, ≤30 days"),
        _field("EndDate", lambda asked: date_text(asked.last), "banks/pab.md 4, ≤30 days"),
        _field("PageNo", lambda asked: str(asked.page), "banks/pab.md 4, 4019"),
        _field("PageCts", lambda asked: str(asked.size), "banks/pab.md 4, PageCts ≤300"),
    ),
)
BRANCHES: Final = RequestTable[AskedBranches](
    "4017",
    (
        _field("BankNo", lambda asked: asked.bank, "banks/pab.md 9, a 3-digit BankNo", most=3),
        *_empty("banks/pab.md 4, 4017", "BankName"),
        _field("KeyWord", lambda asked: asked.word, "banks/pab.md 9, KeyWord is mandatory"),
    ),
)
_RECEIPT_ROW: Final = "banks/pab.md 4, 401802; elements of a public client"
RECEIPT: Final = RequestTable[AskedReceipt](
    "401802",
    (
        _voucher("ThirdVoucher", lambda asked: asked.batch),
        _voucher("SThirdVoucher", lambda asked: asked.line),
        _field("OutAcctNo", lambda asked: asked.debtor, _RECEIPT_ROW),
        _field("InAcctNo", lambda asked: asked.creditor, _RECEIPT_ROW),
        _field("InAcctName", lambda asked: asked.name, _RECEIPT_ROW),
        _field("TranAmount", lambda asked: amount_text(asked.minor), _RECEIPT_ROW),
    ),
)
REQUESTS: Final[tuple[RequestTable[Any], ...]] = (
    *(PAYMENT, FATE, FAST_PAYMENT, FAST_FATE, SWEPT),
    *(BATCH, BATCH_LINE, BATCH_FATE, AGENCY, AGENCY_LINE, AGENCY_FATE),
    *(BALANCE, PAST_BALANCE, TODAY, ENTRIES, RETURNS, BRANCHES, RECEIPT),
)
"""The tables of all requests but S001, whose Result is empty."""


def request(table: RequestTable[S], subject: S) -> Markup:
    """The <Result> of a request without rows."""
    return el("Result", table.elements(subject, leaf))


def request_with_rows(head: RequestTable[WrittenBatch], line: RequestTable[Written], batch: WrittenBatch) -> Markup:
    """The <Result> of a batch: its head, then a row for each line."""
    return el("Result", head.elements(batch, leaf), [el(line.part, line.elements(one, leaf)) for one in batch.lines])
