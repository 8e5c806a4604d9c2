"""The requests of 中信 CITIC as tables: each element with its value, its length in bytes, its row of banks/citic.md.

Empty elements are written. Every request begins with action and userName, which wire.py writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from protocols.banks.citic.options import Options
from protocols.banks.citic.routing import bank_code, rail, same_bank
from protocols.canon.order import AnyOrder, Bundle
from protocols.kit.china import check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import common_purpose, fitting, own_account
from protocols.kit.request_fields import RequestField, RequestTable

REFERENCE_CHARS: Final = 20
TEXT_BYTES: Final = 102
NAME_BYTES: Final = 122
PAYER_CHARS: Final = 19
PAYEE_CHARS: Final = 32
MEMO_BYTES: Final = 60
LINE_TEXT_BYTES: Final = TEXT_BYTES - 21
"""What the reference and a blank leave of a line's text."""
PAGE_LINES: Final = 20
AMOUNT_MOST: Final = 10**15 - 1
MOST: Final = amount_text(AMOUNT_MOST)
_REFERENCE = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_LENGTHS: Final = "citic.md 5, lengths"
_OPERATIONS: Final = "citic.md 4"


# ---- what is written about ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """An order as it is written, by itself or as the line `number` of a message.

    `told`: the message's head has the purpose of all lines. `night`: large value may be sent at night.
    """

    order: AnyOrder
    reference: str
    options: Options
    now: datetime
    number: int = 1
    told: bool = False
    night: bool = True

    @property
    def inside(self) -> bool:
        """Whether the payee banks here too."""
        return same_bank(self.order, self.options)

    @property
    def rail(self) -> str:
        """payType; 01 at this bank."""
        return "01" if self.inside else rail(self.order, self.options, self.now, night=self.night)

    @property
    def wage_detail(self) -> str:
        """wagDetl: our reference if the options want it, and the purpose, if the head has none."""
        reference = self.reference if self.options.line_reference else ""
        purpose = "" if self.told else short(self.order.purpose)
        return f"{reference} {purpose}".strip()


@dataclass(frozen=True, slots=True)
class WrittenHead:
    """The head of a message with many orders, under the reference of the message."""

    bundle: Bundle
    reference: str
    options: Options
    day: date

    @property
    def purpose(self) -> str:
        """abstract, if it is the same for all lines."""
        return common_purpose(self.bundle)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is written: about an order or message (`reference`), or about an account between two days."""

    reference: str = ""
    action: str = ""
    account: str = ""
    first: date = date.min
    last: date = date.min
    begin: int = 1
    today: bool = False
    amount: str = ""
    number: str = ""
    kind: str = ""


def client_id(reference: str) -> str:
    """Return `reference` if it can be a clientID. Raises "value" otherwise."""
    if not _REFERENCE.fullmatch(reference):
        raise ProtocolError("value", f"{reference!r} is no clientID: 1 to 20 letters and digits")
    return reference


def amount(one: Written) -> str:
    """tranAmount in yuan. Raises "value" for another currency, and for an amount that does not fit 13.2 digits."""
    check_amount("citic", one.order.amount, AMOUNT_MOST)
    return amount_text(one.order.amount.minor)


def short(purpose: str) -> str:
    """The purpose of a line beside our reference. Raises "value" if it is too long."""
    return fitting(purpose, "purpose", LINE_TEXT_BYTES, min_bytes=0)


def _bank_name(one: Written) -> str:
    found = one.order.creditor.bank_name or ""
    if not found and not one.inside:
        raise ProtocolError("missing", "citic needs the payee bank's name")
    return found


def _bank_code(one: Written) -> str:
    return one.order.creditor.cnaps or "" if one.inside else bank_code(one.order)


# ---- fields ------------------------------------------------------------------------------------------------------


def _fixed(name: str, content: str, source: str) -> RequestField[Any]:
    """A field with the same text in every request."""
    return RequestField(name, lambda _one: content, source)


def _payer(name: str, source: str = _LENGTHS) -> RequestField[Written]:
    """The account that pays."""
    return RequestField(name, lambda one: one.order.debtor.account.clear, source, PAYER_CHARS, "payer's account")


def _payee(name: str, most: int = PAYEE_CHARS, source: str = _LENGTHS) -> RequestField[Written]:
    """The account that is paid."""
    return RequestField(name, lambda one: one.order.creditor.account.clear, source, most, "payee's account")


def _name(name: str) -> RequestField[Written]:
    """The other side's name."""
    return RequestField(name, lambda one: one.order.theirs.name.clear, _LENGTHS, NAME_BYTES, "other side's name")


def _account(name: str) -> RequestField[Asked]:
    """The account that a question is about."""
    return RequestField(name, lambda one: one.account, _LENGTHS)


_ID: Final = RequestField[Any](
    "clientID", lambda one: client_id(one.reference), "citic.md 5: char(20)", REFERENCE_CHARS
)
# Orders are always sent for now. A schedule can name only four times of the day, so the gateway itself waits instead.
_NOW: Final = (
    _fixed("preFlg", "0", "citic.md 9: 0 = now"),
    _fixed("preDate", "", "citic.md 9: empty"),
    _fixed("preTime", "", "citic.md 9: empty"),
)
_AMOUNT: Final = RequestField[Written]("tranAmount", amount, "citic.md 1: 13.2 digits")
_TEXT: Final = RequestField[Written]("abstract", lambda one: one.order.purpose, _LENGTHS, TEXT_BYTES)
_NO_MEMO: Final = _fixed("memo", "", _LENGTHS)
_TOTALS: Final = (
    _ID,
    RequestField[WrittenHead]("totalNumber", lambda one: str(len(one.bundle.items)), _OPERATIONS),
    RequestField[WrittenHead]("totalAmount", lambda one: amount_text(one.bundle.sum_minor), _OPERATIONS),
)
_DAYS: Final = (
    RequestField[Asked]("startDate", lambda one: date_text(one.first), "citic.md 1: YYYYMMDD"),
    RequestField[Asked]("endDate", lambda one: date_text(one.last), "citic.md 1: YYYYMMDD"),
)
_PLACE: Final = (
    _fixed("pageNumber", str(PAGE_LINES), "citic.md 4: rows wanted, at most 20"),
    RequestField[Asked]("startRecord", lambda one: str(one.begin), "citic.md 4: char(4), from 1"),
)
_MONTH: Final = "citic.md 4, payroll: yearMonth"


def _own(name: str) -> RequestField[WrittenHead]:
    return RequestField(name, lambda one: own_account(one.bundle), _LENGTHS, PAYER_CHARS, "own account")


# ---- money -------------------------------------------------------------------------------------------------------

DLOUTTRN: Final = RequestTable[Written](
    "DLOUTTRN",
    (
        _ID,
        *_NOW,
        RequestField("payType", lambda one: one.rail, "citic.md 4: 01 at this bank, 02, 03, B5"),
        _fixed("recBankNo", "", "citic.md 4: of payType 05 alone"),
        _payer("payAccountNo"),
        _payee("recAccountNo"),
        _name("recAccountName"),
        RequestField("recOpenBankName", _bank_name, _LENGTHS, NAME_BYTES),
        RequestField("recOpenBankCode", _bank_code, "citic.md 5, the routing trap"),
        RequestField("citicbankFlag", lambda one: "0" if one.inside else "1", "citic.md 4; 0 reconstructed"),
        RequestField("cityFlag", lambda one: one.options.city_flag, "citic.md 4; meaning not public"),
        _AMOUNT,
        _TEXT,
        _NO_MEMO,
        *(_fixed(name, "", "citic.md 2: empty") for name in ("takerName", "takerID", "takerIDType", "chkNum")),
    ),
)
DLINETRN: Final = RequestTable[Written](
    "DLINETRN",
    (
        _ID,
        *_NOW,
        _payer("payAccountNo"),
        _payee("recAccountNo"),
        _AMOUNT,
        _TEXT,
        _NO_MEMO,
        _fixed("cryType", "", _OPERATIONS),
    ),
)
_POOL: Final = "citic.md 4, sweep and allocate; elements of a public client"
# A sweep (手动归集) goes from a member to the group's account (conAccountNo), a push (手动下拨) from that account
# (coreAccountNo) to a member.
CMMANSWP: Final = RequestTable[Written](
    "CMMANSWP", (_ID, _payee("conAccountNo", PAYER_CHARS, _POOL), _payer("accountNo", _POOL), _AMOUNT, *_NOW, _TEXT)
)
CMDWNSWP: Final = RequestTable[Written](
    "CMDWNSWP", (_ID, _payer("coreAccountNo", _POOL), _payee("accountNo", PAYER_CHARS, _POOL), _AMOUNT, *_NOW, _TEXT)
)
SINGLE: Final = {one.operation: one for one in (DLOUTTRN, DLINETRN, CMMANSWP, CMDWNSWP)}

DLPAYBAT: Final = RequestTable[WrittenHead]("DLPAYBAT", (*_TOTALS, *_NOW), "head")
DLPAYBAT_ROW: Final = RequestTable[Written](
    "DLPAYBAT",
    (
        RequestField("ID", lambda one: f"{one.number:04d}", "citic.md 4: ID(4)"),
        _payer("payAccountNo"),
        _payee("recAccountNo"),
        _name("recAccountName"),
        RequestField("recOpenBankCode", lambda one: bank_code(one.order), "citic.md 5, the routing trap"),
        RequestField(
            "payType", lambda one: rail(one.order, one.options, one.now, night=one.night), "citic.md 4: 02, 03"
        ),
        _AMOUNT,
        _TEXT,
        RequestField("memo", lambda one: client_id(one.reference), "citic.md 9: our reference", MEMO_BYTES),
    ),
    "row",
)
DLSALIMP: Final = RequestTable[WrittenHead](
    "DLSALIMP",
    (
        *_TOTALS,
        _own("payAccountNo"),
        RequestField("abstract", lambda one: one.purpose, _LENGTHS, TEXT_BYTES),
        RequestField("msgAbstract", lambda one: one.options.payroll_message, "citic.md 4: 1 to 7"),
        *_NOW,
        RequestField("yearMonth", lambda one: f"{one.day:%Y%m}", _MONTH),
    ),
    "head",
)
DLSALIMP_ROW: Final = RequestTable[Written](
    "DLSALIMP",
    (
        RequestField("employeeNo", lambda one: f"{one.number:05d}", "citic.md 4: employeeNo(5)"),
        _name("employeeName"),
        _payee("recAccountNo"),
        _AMOUNT,
        RequestField("wagDetl", lambda one: one.wage_detail, _OPERATIONS),
    ),
    "row",
)
# The head is reconstructed from its sister's, DLSALIMP: the account stands after the sums.
DLAGENTF: Final = RequestTable[WrittenHead]("DLAGENTF", (*_TOTALS, _own("rcvAccountNo"), *_NOW), "head")
DLAGENTF_ROW: Final = RequestTable[Written](
    "DLAGENTF",
    (
        _payer("payAccountNo"),
        _name("payAccountName"),
        _AMOUNT,
        RequestField(
            "abstract", lambda one: f"{one.reference} {short(one.order.purpose)}".rstrip(), _LENGTHS, TEXT_BYTES
        ),
    ),
    "row",
)

# ---- questions ---------------------------------------------------------------------------------------------------

DLCIDSTT: Final = RequestTable[Asked](
    "DLCIDSTT", (_ID, RequestField("type", lambda one: one.action, "citic.md 4: the original action, or empty"))
)
DLBATDET: Final = RequestTable[Asked]("DLBATDET", (_ID,))
DLSALDET, DLAGEDET = (RequestTable[Asked](action, (_ID, *_PLACE)) for action in ("DLSALDET", "DLAGEDET"))
DLBATCOL, DLAGECOL = (RequestTable[Asked](action, _DAYS) for action in ("DLBATCOL", "DLAGECOL"))
DLSALCOL: Final = RequestTable[Asked]("DLSALCOL", (RequestField("yearMonth", lambda one: f"{one.first:%Y%m}", _MONTH),))
DLBALQRY: Final = RequestTable[Asked]("DLBALQRY", ())
DLBALQRY_ROW: Final = RequestTable[Asked]("DLBALQRY", (_account("accountNo"),), "row")
DLHBLQRY: Final = RequestTable[Asked]("DLHBLQRY", (_account("accountNo"), *_DAYS))
DLTRNALL: Final = RequestTable[Asked](
    "DLTRNALL",
    (
        _account("accountNo"),
        _fixed("lowAmount", "0.00", "citic.md 9.1: ED01016 if it is empty"),
        _fixed("upAmount", MOST, "citic.md 9.1"),
        *_DAYS,
        *_PLACE,
        RequestField("controlFlag", lambda one: one.kind, "citic.md 9.2: 0 to 7"),
    ),
)
DLEDDRSQ: Final = RequestTable[Asked](
    "DLEDDRSQ",
    (
        RequestField("qryType", lambda one: "1" if one.today else "2", "citic.md 9.3: 1 = T+0, 2 = T+1"),
        _account("accNo"),
        RequestField("billType", lambda one: one.kind, "citic.md 9.3: 0 all, 1 to 6"),
        RequestField("minAmt", lambda one: one.amount or "0.00", _OPERATIONS),
        RequestField("maxAmt", lambda one: one.amount or MOST, _OPERATIONS),
        *_DAYS,
        _fixed("pageSize", str(PAGE_LINES), "citic.md 9.3: at most 100"),
        RequestField("startNo", lambda one: str(one.begin), _OPERATIONS),
    ),
)
DLEDCDTD: Final = RequestTable[Asked](
    "DLEDCDTD",
    (RequestField("isCurrDay", lambda one: "1" if one.today else "2", "citic.md 9: 1 yes, 2 no"), _account("accNo")),
)
DLEDCDTD_ROW: Final = RequestTable[Asked](
    "DLEDCDTD",
    (
        RequestField("brSeqNo", lambda one: one.number, "citic.md 1: so spelt here, bresqNo in the list"),
        RequestField("billType", lambda one: one.kind, _OPERATIONS),
    ),
    "row",
)

REQUESTS: Final[tuple[RequestTable[Any], ...]] = (
    *(DLOUTTRN, DLINETRN, CMMANSWP, CMDWNSWP, DLPAYBAT, DLPAYBAT_ROW, DLSALIMP, DLSALIMP_ROW, DLAGENTF, DLAGENTF_ROW),
    *(DLCIDSTT, DLBATCOL, DLBATDET, DLSALCOL, DLSALDET, DLAGECOL, DLAGEDET),
    *(DLBALQRY, DLBALQRY_ROW, DLHBLQRY, DLTRNALL, DLEDDRSQ, DLEDCDTD, DLEDCDTD_ROW),
)
"""Every table, for docs/lookup/bank-requests.md."""
