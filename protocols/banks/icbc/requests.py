"""The requests of 工商银行, as tables: each element with its value and its row of banks/icbc.md, in the page's order.

Empty elements are written. No length of a field is public, so none is checked here; intake checks those that the
settings state. PAYPER's own line layout is not public; it is written like PAYENT's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from protocols.banks.icbc.options import Options
from protocols.canon.order import AnyOrder, Bundle, Channel, CollectionDetail, Item, Kind, PayrollItemDetail, Urgency
from protocols.canon.party import PartyKind
from protocols.kit import xmldoc
from protocols.kit.china import BEIJING, check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text
from protocols.kit.orders import required
from protocols.kit.request_fields import RequestField, RequestTable, S
from protocols.kit.xmldoc import Markup, el

_FORM: Final = "icbc.md 1, form params"
_PUB: Final = "icbc.md 2, pub in request"
_BALANCE: Final = "icbc.md 2.1"
_ENTRIES: Final = "icbc.md 2.2"
_PAY: Final = "icbc.md 2.3"
_CODES: Final = "icbc.md 2.3, Codes"
_ENQUIRY: Final = "icbc.md 2.4"
_COLLECT: Final = "icbc.md 2.6"
_AMOUNT: Final = "icbc.md 5, Amount"
_KEY: Final = "icbc.md 5, Idempotency"
_NEWER: Final = "icbc.md 2.3, newer version"


def moment(now: datetime) -> str:
    """A time as yyyyMMddHHmmssSSS in Beijing's zone."""
    local = now.astimezone(BEIJING)
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}"


# ---- what is written about ----


@dataclass(frozen=True, slots=True)
class WrittenMessage:
    """A message around its `in`. `day` is the bank's work date; `data` is the content of reqData."""

    operation: str
    package_id: str
    day: date
    now: datetime
    options: Options
    data: str = ""


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """The head of a package of instructions. `day` is the bank's work date."""

    bundle: Bundle
    day: date
    now: datetime
    options: Options

    @property
    def merged(self) -> bool:
        """True for a payroll that the bank books as one sum (并笔)."""
        return self.bundle.kind is Kind.PAYROLL_ITEM and self.options.payroll == "payper"


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """An order as a line (`rd`) of a package, under its number in the package."""

    item: Item
    place: int
    options: Options

    @property
    def order(self) -> AnyOrder:
        """The order of the line."""
        return self.item.order

    @property
    def inside(self) -> bool:
        """True if the payee banks here (SysIOFlg 1): also an own account, and a payroll's payee without a bank.

        If the order has the payee bank's number, the number decides, because names of other banks may contain ours.
        """
        order, chosen = self.order, self.options
        name, cnaps = order.creditor.bank_name or "", order.creditor.cnaps or ""
        if order.channel is Channel.SAME_BANK or (
            not name and not cnaps and order.kind in (Kind.TRANSFER, Kind.PAYROLL_ITEM)
        ):
            return True
        if cnaps and chosen.own_cnaps:
            return cnaps.startswith(chosen.own_cnaps)
        return any(own in name for own in chosen.own_names)

    @property
    def city(self) -> str:
        """The payee bank's city, mandatory for another bank, by its number. Raises "missing" without one."""
        if self.inside:
            return ""
        cnaps, cities = self.order.creditor.cnaps or "", self.options.cities
        known = [start for start in cities if cnaps.startswith(start)]
        city = cities[max(known, key=len)] if known else self.options.default_city
        return required(city, "payee bank's city (RecCityName): see the options cities and default_city")

    @property
    def person(self) -> bool:
        """True if the payee is a person; a payroll's payee always is."""
        return self.order.creditor.kind is PartyKind.PERSON or self.order.kind is Kind.PAYROLL_ITEM

    @property
    def purpose_code(self) -> str:
        """The code of a payroll's purpose, if it has one."""
        detail = self.order.detail
        return (detail.purpose_code or "") if isinstance(detail, PayrollItemDetail) else ""

    @property
    def agreement(self) -> str:
        """The agreement by which a collection is made."""
        detail = self.order.detail
        return detail.agreement if isinstance(detail, CollectionDetail) else ""

    @property
    def ref(self) -> str:
        """Our reference, where the settings want it in Ref too."""
        return self.item.reference if self.options.reference_in_ref else ""


@dataclass(frozen=True, slots=True)
class WrittenList:
    """A question for entries: of today, or of some closed days."""

    account: str
    first: date
    last: date
    tag: str


# ---- the tables ----


def _blank(source: str, *names: str) -> tuple[RequestField[Any], ...]:
    return tuple(RequestField(name, lambda _: "", source) for name in names)


FORM: Final[RequestTable[WrittenMessage]] = RequestTable(
    "form",
    (
        RequestField("Version", lambda one: one.options.version, _FORM),
        RequestField("TransCode", lambda one: one.operation, _FORM),
        RequestField("BankCode", lambda one: one.options.bank_code, _FORM),
        RequestField("GroupCIS", lambda one: one.options.cis, _FORM),
        RequestField("ID", lambda one: one.options.certificate_id, _FORM),
        RequestField("PackageID", lambda one: one.package_id, "icbc.md 1, must-agree rule"),
        *_blank(_FORM, "Cert"),
        RequestField("reqData", lambda one: one.data, _FORM),
        RequestField("Language", lambda one: "zh_CN" if one.options.language_and_zip else "", _FORM, omitted=True),
        RequestField("zipFlag", lambda one: "0" if one.options.language_and_zip else "", _FORM, omitted=True),
    ),
)
PUB: Final[RequestTable[WrittenMessage]] = RequestTable(
    "pub",
    (
        RequestField("TransCode", lambda one: one.operation, _PUB),
        RequestField("CIS", lambda one: one.options.cis, "icbc.md 9, CIS"),
        RequestField("BankCode", lambda one: one.options.bank_code, _PUB),
        RequestField("ID", lambda one: one.options.certificate_id, _PUB),
        RequestField("TranDate", lambda one: date_text(one.day), "icbc.md 1, business date"),
        RequestField("TranTime", lambda one: moment(one.now)[8:], _PUB),
        RequestField("fSeqno", lambda one: one.package_id, _KEY),
    ),
)
_MODES: Final[tuple[RequestField[WrittenPackage], ...]] = (
    RequestField("OnlBatF", lambda one: one.options.batch_flag, _CODES),
    RequestField("SettleMode", lambda one: "2" if one.merged else "0", _CODES),
)
_TOTALS: Final[tuple[RequestField[WrittenPackage], ...]] = (
    RequestField("TotalNum", lambda one: str(len(one.bundle.items)), _PAY),
    RequestField("TotalAmt", lambda one: str(one.bundle.sum_minor), _AMOUNT),
    RequestField("SignTime", lambda one: date_text(one.day) + moment(one.now)[8:], "icbc.md 5, trap 7"),
    *_blank(_PAY, "ReqReserved1", "ReqReserved2"),
)
PACKAGE: Final[RequestTable[WrittenPackage]] = RequestTable("PAYENT", (*_MODES, *_TOTALS), "head")
COLLECTION_PACKAGE: Final[RequestTable[WrittenPackage]] = RequestTable(
    "PERDIS",
    (
        *_MODES,
        RequestField("RecAccNo", lambda one: one.bundle.items[0].order.creditor.account.clear, _COLLECT),
        RequestField("RecAccNameCN", lambda one: one.bundle.items[0].order.creditor.name.clear, _COLLECT),
        *_blank(_COLLECT, "RecAccNameEN"),
        *_TOTALS,
    ),
    "head",
)
_PLACE: Final[RequestField[WrittenLine]] = RequestField("iSeqno", lambda one: str(one.place), _KEY)
_OF_PAYER: Final[tuple[RequestField[WrittenLine], ...]] = (
    RequestField("PayAccNo", lambda one: one.order.debtor.account.clear, _PAY, needed="payer's account"),
    RequestField("PayAccNameCN", lambda one: one.order.debtor.name.clear, _PAY, needed="payer's name"),
    *_blank(_PAY, "PayAccNameEN"),
)
_SUM: Final[tuple[RequestField[WrittenLine], ...]] = (
    RequestField("CurrType", lambda _: "001", _AMOUNT),
    RequestField("PayAmt", lambda one: str(one.order.amount.minor), _AMOUNT),
)
_TEXTS: Final[tuple[RequestField[WrittenLine], ...]] = (
    RequestField("UseCN", lambda one: one.order.purpose, _PAY),
    *_blank(_PAY, "EnSummary", "PostScript", "Summary"),
    RequestField("Ref", lambda one: one.ref, _PAY),
    *_blank(_PAY, "Oref"),
    RequestField("ERPSqn", lambda one: one.item.reference, _PAY),
)
_VOUCHER: Final = _blank(_PAY, "ERPcheckno", "CrvouhType", "CrvouhName", "CrvouhNo")
_PAYMENT: Final[tuple[RequestField[WrittenLine], ...]] = (
    _PLACE,
    *_blank(_PAY, "ReimburseNo", "ReimburseNum", "StartDate", "StartTime"),
    RequestField("PayType", lambda one: "1" if one.order.urgency is Urgency.URGENT else "2", _CODES),
    *_OF_PAYER,
    RequestField("RecAccNo", lambda one: one.order.creditor.account.clear, _PAY, needed="payee's account"),
    RequestField("RecAccNameCN", lambda one: one.order.creditor.name.clear, _PAY, needed="payee's name"),
    *_blank(_PAY, "RecAccNameEN"),
    RequestField("SysIOFlg", lambda one: "1" if one.inside else "2", _CODES),
    RequestField("IsSameCity", lambda one: one.options.same_city, _CODES),
    RequestField("Prop", lambda one: "1" if one.person else "0", _CODES),
    *_blank(_PAY, "RecICBCCode"),
    RequestField("RecCityName", lambda one: one.city, _CODES),
    RequestField("RecBankNo", lambda one: one.order.creditor.cnaps or "", _PAY),
    RequestField("RecBankName", lambda one: one.order.creditor.bank_name or "", _CODES),
    *_SUM,
    RequestField("UseCode", lambda one: one.purpose_code, _PAY),
    *_TEXTS,
    *_blank(_PAY, "BusCode"),
    *_VOUCHER,
    *_blank(_PAY, "BankType", "FileNames", "Indexs", "PaySubNo", "RecSubNo"),
)
PAYMENT: Final[RequestTable[WrittenLine]] = RequestTable("PAYENT", _PAYMENT, "rd of version 0.0.0.1")
NEW_PAYMENT: Final[RequestTable[WrittenLine]] = RequestTable(
    "PAYENT", (*_PAYMENT, *_blank(_NEWER, "MCardNo", "MCardName", "ReqReserved3", "ReqReserved4")), "rd"
)
COLLECTION: Final[RequestTable[WrittenLine]] = RequestTable(
    "PERDIS",
    (
        _PLACE,
        *_OF_PAYER,
        RequestField("PayBranch", lambda one: one.order.debtor.bank_name or "", _COLLECT),
        *_blank(_COLLECT, "Portno"),
        RequestField("ContractNo", lambda one: one.agreement, _COLLECT, needed="agreement (ContractNo)"),
        *_SUM,
        *_blank(_COLLECT, "UseCode"),
        *_TEXTS,
        RequestField("BusCode", lambda one: one.options.collection_bus_code, _COLLECT),
        *_VOUCHER,
        *_blank(_COLLECT, "ReqReserved3", "ReqReserved4"),
    ),
    "rd",
)
ENQUIRY: Final[RequestTable[str]] = RequestTable(
    "QPAYENT",
    (
        RequestField("QryfSeqno", lambda reference: reference, _ENQUIRY),
        *_blank(_ENQUIRY, "QrySerialNo", "ReqReserved1", "ReqReserved2"),
    ),
    "head",
)
_ENQUIRED: Final[tuple[RequestField[int], ...]] = (
    RequestField("iSeqno", str, _ENQUIRY),
    RequestField("QryiSeqno", str, _ENQUIRY),
    *_blank(_ENQUIRY, "QryOrderNo"),
)
ENQUIRED: Final[RequestTable[int]] = RequestTable("QPAYENT", _ENQUIRED, "rd of version 0.0.0.1")
NEW_ENQUIRED: Final[RequestTable[int]] = RequestTable(
    "QPAYENT", (*_ENQUIRED, *_blank(_ENQUIRY, "ReqReserved3", "ReqReserved4")), "rd"
)
"""The reserved elements stand in brackets on the bank's page and come with the newer version; QPERDIS has them
without."""
BALANCES: Final[RequestTable[None]] = RequestTable(
    "QACCBAL",
    (
        RequestField("TotalNum", lambda _: "1", _BALANCE),
        RequestField("BLFlag", lambda _: "0", _BALANCE),
        RequestField("SynFlag", lambda _: "0", _BALANCE),
        *_blank(_BALANCE, "ReqReserved1", "ReqReserved2"),
    ),
    "head",
)
_BALANCE_OF: Final[tuple[RequestField[str], ...]] = (
    RequestField("iSeqno", lambda _: "1", _BALANCE),
    RequestField("AccNo", lambda account: account, _BALANCE),
    RequestField("CurrType", lambda _: "001", _BALANCE),
    *_blank(_BALANCE, "ReqReserved3", "ReqReserved4"),
)
BALANCE: Final[RequestTable[str]] = RequestTable("QACCBAL", _BALANCE_OF, "rd of version 0.0.0.1")
NEW_BALANCE: Final[RequestTable[str]] = RequestTable(
    "QACCBAL", (*_BALANCE_OF, *_blank(_BALANCE, "AcctSeq", "MainAcctNo")), "rd"
)
_ACCOUNT: Final[RequestField[WrittenList]] = RequestField("AccNo", lambda one: one.account, _ENTRIES)
_TAG: Final[RequestField[WrittenList]] = RequestField("NextTag", lambda one: one.tag, "icbc.md 2.2, Paging")
_CURRENCY: Final[RequestField[WrittenList]] = RequestField("CurrType", lambda _: "001", _ENTRIES)
_TODAY: Final[tuple[RequestField[WrittenList], ...]] = (
    _ACCOUNT,
    *_blank(_ENTRIES, "AreaCode", "MinAmt", "MaxAmt", "BeginTime", "EndTime"),
    _TAG,
    *_blank(_ENTRIES, "ReqReserved1", "ReqReserved2"),
    _CURRENCY,
)
_PAST: Final[tuple[RequestField[WrittenList], ...]] = (
    _ACCOUNT,
    RequestField("BeginDate", lambda one: date_text(one.first), _ENTRIES),
    RequestField("EndDate", lambda one: date_text(one.last), _ENTRIES),
    *_blank(_ENTRIES, "MinAmt", "MaxAmt", "BankType"),
    _TAG,
    _CURRENCY,
    *_blank(_ENTRIES, "DueBillNo"),
)
TODAY: Final[RequestTable[WrittenList]] = RequestTable("QPD", _TODAY, "in of version 0.0.0.1")
NEW_TODAY: Final[RequestTable[WrittenList]] = RequestTable("QPD", (*_TODAY, *_blank(_ENTRIES, "AcctSeq")), "in")
PAST: Final[RequestTable[WrittenList]] = RequestTable(
    "QHISD", (*_PAST, *_blank(_ENTRIES, "ComplementFlag")), "in of version 0.0.0.1"
)
NEW_PAST: Final[RequestTable[WrittenList]] = RequestTable(
    "QHISD", (*_PAST, *_blank(_ENTRIES, "AcctSeq", "ComplementFlag")), "in"
)
REQUESTS: Final = (
    FORM,
    PUB,
    PACKAGE,
    NEW_PAYMENT,
    PAYMENT,
    COLLECTION_PACKAGE,
    COLLECTION,
    ENQUIRY,
    NEW_ENQUIRED,
    ENQUIRED,
    BALANCES,
    NEW_BALANCE,
    BALANCE,
    NEW_TODAY,
    TODAY,
    NEW_PAST,
    PAST,
)
"""Every request that the adapter writes."""


# ---- writing ----


def elements(table: RequestTable[S], subject: S) -> list[Markup]:
    """The elements of one part of a message; an empty one is self-closing. Raises as `RequestTable.texts`."""
    return table.elements(subject, xmldoc.leaf)


def package(written: WrittenPackage) -> list[Markup]:
    """The `in` of an instruction: the head, then a line for each item. Raises ProtocolError for an order that the
    bank's form cannot carry."""
    collects = written.bundle.kind is Kind.COLLECTION
    head = elements(COLLECTION_PACKAGE if collects else PACKAGE, written)
    lines = [WrittenLine(item, place, written.options) for place, item in enumerate(written.bundle.items, 1)]
    return [*head, *(_line(one, collects=collects) for one in lines)]


def _line(line: WrittenLine, *, collects: bool) -> Markup:
    order = line.order
    check_amount("icbc", order.amount)
    if order.channel not in (Channel.AUTO, Channel.SAME_BANK):
        raise ProtocolError("value", f"the bank's form has no {order.channel.value} channel")
    if collects:
        return el("rd", elements(COLLECTION, line))
    if not line.inside and not order.creditor.bank_name:
        raise ProtocolError("missing", "a payment to another bank needs the payee bank's name (RecBankName)")
    return el("rd", elements(NEW_PAYMENT if line.options.is_new else PAYMENT, line))
