"""The requests of 浦发银行, as tables: each element with its value and its row of banks/spdb.md, in the page's order.

Empty elements are written. No length but that of packetID is public, so no other is checked here; intake checks those
that the settings state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from protocols.banks.spdb.options import Options
from protocols.banks.spdb.table import SIGN
from protocols.canon.order import AnyOrder, Bundle, Channel, Item, Kind, Urgency
from protocols.canon.party import PartyKind
from protocols.kit.china import BEIJING, check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import check_lines, own_account, own_bank
from protocols.kit.paging import fingerprint
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, el

PACKET_ID_CHARS: Final = 20
BATCH_LINES: Final = 20
"""banks/spdb.md 4: 8800 takes at most 20 lines."""
PACKAGE_ROWS: Final = 10
"""banks/spdb.md 4: DO48 answers with at most ten rows."""
ENTRY_ROWS: Final = 20
"""A public client's comment about 8924: 20 rows where nothing is said."""
_PACKET: Final = "spdb.md 2, request packet"
_SINGLE: Final = "spdb.md 2, 8801"
_BATCH: Final = "spdb.md 2, 8800"
_FLAGS: Final = "spdb.md 4, single pay, batch"
_ROWS: Final = "spdb.md 2, 8804"
_PACKAGE: Final = "spdb.md 4, DO48"
_WEB: Final = "spdb.md addendum, EY03"
_ENTRIES: Final = "spdb.md addendum, 8924"


# ---- what is written about ----


@dataclass(frozen=True, slots=True)
class PacketHead:
    """The head of a message. `now` is written in the bank's zone."""

    operation: str
    packet_id: str
    now: datetime
    options: Options


@dataclass(frozen=True, slots=True)
class WrittenOrder:
    """An order as it is written, by itself or as a line. `today` is the bank's date."""

    order: AnyOrder
    reference: str
    today: date
    options: Options

    @property
    def inside(self) -> bool:
        """True if the payee banks here (sysFlag 0), or is an own account or a payroll's payee without a bank."""
        order, payee = self.order, self.order.creditor
        bare = not payee.bank_name and not payee.cnaps and order.kind in (Kind.TRANSFER, Kind.PAYROLL_ITEM)
        return (
            bare
            or order.channel is Channel.SAME_BANK
            or own_bank(payee, self.options.own_names, self.options.own_cnaps)
        )

    @property
    def person(self) -> bool:
        """Whether the payee is a person. A payroll's payee always is."""
        return self.order.creditor.kind is PartyKind.PERSON or self.order.kind is Kind.PAYROLL_ITEM

    @property
    def purpose_code(self) -> str:
        """payPurpose, for persons only."""
        chosen = self.options
        wages = self.order.kind is Kind.PAYROLL_ITEM
        return (chosen.payroll_purpose if wages else chosen.person_purpose) if self.person else ""

    @property
    def bank_flag(self) -> str:
        """payeeBankSelectFlag, where a payee elsewhere has a number of its bank that is to be sent."""
        return self.options.payee_bank_flag if self.order.creditor.cnaps and not self.inside else ""


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """The head of an 8800 message."""

    bundle: Bundle
    reference: str
    options: Options


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """A question about some days, both included, with filters. An empty filter excludes nothing.

    `voucher` is our own number of a payment, or of a package; `flag` and `accept` are of 8804 only.
    """

    account: str
    first: date
    last: date
    flag: str = ""
    voucher: str = ""
    accept: str = ""

    def mark(self) -> str:
        """A fingerprint of the question, which binds cursors to it."""
        parts = (self.account, date_text(self.first), date_text(self.last), self.flag, self.voucher, self.accept)
        return fingerprint("8804", *parts)


@dataclass(frozen=True, slots=True)
class QueryPage:
    """One page of a question: so many rows from `begin` on. Only the web bank's questions name an authoriser."""

    wanted: QueryFilter
    rows: int
    begin: int = 1
    authoriser: str = ""


# ---- the tables ----

HEAD: Final[RequestTable[PacketHead]] = RequestTable(
    "packet",
    (
        RequestField("transCode", lambda one: one.operation, _PACKET),
        RequestField("signFlag", lambda _: "1", "spdb.md 1: all but reports are signed"),
        RequestField("masterID", lambda one: one.options.master_id, _PACKET),
        RequestField("packetID", lambda one: one.packet_id, "spdb.md 2 and 5, packetID", PACKET_ID_CHARS),
        RequestField("timeStamp", lambda one: f"{one.now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}", _PACKET),
    ),
    "head",
)


def _order_fields(source: str) -> tuple[RequestField[WrittenOrder], ...]:
    """The fields of one payment, which 8801 has in its body and 8800 in each line."""
    return (
        RequestField("elecChequeNo", lambda one: one.reference, source),
        RequestField("acctNo", lambda one: one.order.debtor.account.clear, source, needed="payer's account"),
        RequestField("acctName", lambda one: one.order.debtor.name.clear, source, needed="payer's name"),
        RequestField(
            "bespeakDate", lambda one: date_text(one.today) if one.options.schedule_date == "today" else "", source
        ),
        RequestField("payeeAcctNo", lambda one: one.order.creditor.account.clear, source, needed="payee's account"),
        RequestField("payeeName", lambda one: one.order.creditor.name.clear, source, needed="payee's name"),
        RequestField("payeeType", lambda one: "1" if one.person else "0", _FLAGS),
        RequestField("payeeBankName", lambda one: one.order.creditor.bank_name or "", source),
        RequestField("payeeAddress", lambda one: "" if one.inside else one.options.payee_address, source),
        RequestField("amount", lambda one: amount_text(one.order.amount.minor), source),
        RequestField("sysFlag", lambda one: "0" if one.inside else "1", _FLAGS),
        RequestField("remitLocation", _remit_location, _FLAGS),
        RequestField("note", lambda one: one.order.purpose, source),
        RequestField("payeeBankSelectFlag", lambda one: one.bank_flag, source),
        RequestField("payeeBankNo", lambda one: one.bank_flag and (one.order.creditor.cnaps or ""), source),
    )


def _remit_location(one: WrittenOrder) -> str:
    return one.options.own_remit_location if one.inside else one.options.other_remit_location


SINGLE: Final[RequestTable[WrittenOrder]] = RequestTable(
    "8801",
    (
        RequestField("totalNumber", lambda _: "1", _SINGLE),
        RequestField("totalAmount", lambda one: amount_text(one.order.amount.minor), _SINGLE),
        *_order_fields(_SINGLE),
    ),
)
BATCH: Final[RequestTable[WrittenPackage]] = RequestTable(
    "8800",
    (
        RequestField("authMasterID", lambda one: one.options.auth_master_id, _BATCH),
        RequestField("totalNumber", lambda one: str(len(one.bundle.items)), _BATCH),
        RequestField("totalAmount", lambda one: amount_text(one.bundle.sum_minor), _BATCH),
        RequestField("packageNo", lambda one: one.reference, _BATCH),
    ),
)
BATCH_LINE: Final[RequestTable[WrittenOrder]] = RequestTable(
    "8800", (*_order_fields(_BATCH), RequestField("payPurpose", lambda one: one.purpose_code, _FLAGS)), "lists/list"
)
BALANCE: Final[RequestTable[str]] = RequestTable(
    "4402", (RequestField("acctNo", lambda one: one, "spdb.md 2, 4402"),), "lists/list"
)
ROWS: Final[RequestTable[QueryPage]] = RequestTable(
    "8804",
    (
        RequestField("elecChequeNo", lambda one: one.wanted.voucher, _ROWS),
        RequestField("acctNo", lambda one: one.wanted.account, _ROWS),
        RequestField("beginDate", lambda one: date_text(one.wanted.first), _ROWS),
        RequestField("endDate", lambda one: date_text(one.wanted.last), _ROWS),
        RequestField("acceptNo", lambda one: one.wanted.accept, _ROWS),
        RequestField("serialNo", lambda _: "", _ROWS),
        RequestField("queryNumber", lambda one: str(one.rows), _ROWS),
        RequestField("beginNumber", lambda one: str(one.begin), _ROWS),
        RequestField("singleOrBatchFlag", lambda one: one.wanted.flag, _ROWS),
    ),
)
PACKAGE: Final[RequestTable[QueryPage]] = RequestTable(
    "DO48",
    (
        RequestField("authMasterID", lambda one: one.authoriser, _PACKAGE),
        RequestField("beginDate", lambda one: date_text(one.wanted.first), _PACKAGE),
        RequestField("endDate", lambda one: date_text(one.wanted.last), _PACKAGE),
        RequestField("queryNumber", lambda one: str(one.rows), _PACKAGE),
        RequestField("beginNumber", lambda one: str(one.begin), _PACKAGE),
        RequestField("entJnlSeqNo", lambda _: "", _PACKAGE),
        RequestField("packageNo", lambda one: one.wanted.voucher, _PACKAGE),
    ),
)
AUTHORISATION: Final[RequestTable[QueryPage]] = RequestTable(
    "EY03",
    (
        RequestField("elecChequeNo", lambda one: one.wanted.voucher, _WEB),
        RequestField("acctNo", lambda one: one.wanted.account, _WEB),
        RequestField("beginDate", lambda one: date_text(one.wanted.first), _WEB),
        RequestField("endDate", lambda one: date_text(one.wanted.last), _WEB),
        RequestField("seqNo", lambda _: "", _WEB),
        RequestField("queryNumber", lambda one: str(one.rows), _WEB),
        RequestField("beginNumber", lambda one: str(one.begin), _WEB),
        RequestField("transType", lambda _: "8801", _WEB),
        RequestField("authMasterID", lambda one: one.authoriser, _WEB),
    ),
)
ENTRIES: Final[RequestTable[QueryPage]] = RequestTable(
    "8924",
    (
        RequestField("acctNo", lambda one: one.wanted.account, _ENTRIES),
        RequestField("beginDate", lambda one: date_text(one.wanted.first), _ENTRIES),
        RequestField("endDate", lambda one: date_text(one.wanted.last), _ENTRIES),
        RequestField("queryNumber", lambda one: str(one.rows), _ENTRIES),
        RequestField("beginNumber", lambda one: str(one.begin), _ENTRIES),
        RequestField("transAmount", lambda _: "", _ENTRIES),
        RequestField("subAccount", lambda _: "", _ENTRIES),
        RequestField("subAcctName", lambda _: "", _ENTRIES),
    ),
)
REQUESTS: Final = (HEAD, SINGLE, BATCH, BATCH_LINE, BALANCE, ROWS, PACKAGE, AUTHORISATION, ENTRIES)
"""Every request that the adapter writes, for docs/lookup/bank-requests.md."""


# ---- orders ----


def single(order: AnyOrder, reference: str, today: date, options: Options) -> Markup:
    """The body of 8801. Raises ProtocolError for an order that the bank's form cannot carry."""
    return el("body", SINGLE.elements(_carried(WrittenOrder(order, reference, today, options))))


def batch(bundle: Bundle, package: str, today: date, options: Options) -> Markup:
    """The body of 8800. Raises ProtocolError for a bundle that is no batch of this bank."""
    check_lines(bundle, BATCH_LINES)
    own_account(bundle)
    if any(item.order.kind is not bundle.kind for item in bundle.items):
        raise ProtocolError("value", f"a batch carries orders of one kind, here {bundle.kind.value}")

    def line(item: Item) -> Markup:
        return el("list", BATCH_LINE.elements(_carried(WrittenOrder(item.order, item.reference, today, options))))

    head = BATCH.elements(WrittenPackage(bundle, package, options))
    return el("body", head, el("lists", [line(item) for item in bundle.items]))


def _carried(one: WrittenOrder) -> WrittenOrder:
    """The order, if the bank's form can carry it. Raises ProtocolError."""
    order = one.order
    check_amount("spdb", order.amount)
    if order.channel not in (Channel.AUTO, Channel.SAME_BANK):
        raise ProtocolError("value", f"the bank's form has no {order.channel.value} channel")
    if order.urgency is not Urgency.NORMAL:
        raise ProtocolError("value", "the bank's form has no urgency")
    if not one.inside and not order.creditor.bank_name:
        raise ProtocolError("missing", "a payment to another bank needs the payee bank's name (payeeBankName)")
    if SIGN in order.purpose:
        raise ProtocolError("value", f"a purpose with {SIGN!r} could be taken for the bank's reason for a refusal")
    return one
