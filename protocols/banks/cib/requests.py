"""The requests of this bank, field by field in the order of writing, with the row of the bank's page for each.

The tables write every element that has a value, and check lengths and mandatory fields before anything is sent. The
order of elements is prescribed, so each function here composes the tables of one message in that order. An optional
element without a value is left out: the adapter sends no empty element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from protocols.bank import Context
from protocols.banks.cib.options import PAYROLL_CODES, Options
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Bundle, Channel, CollectionDetail, Kind, PayrollItemDetail
from protocols.canon.party import Party
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING, check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import Delimited, amount_text, date_text
from protocols.kit.orders import own_bank, required
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, cdata, el

ACCOUNT_BYTES: Final = 18
PAYEE_ACCOUNT: Final = r"[0-9A-Za-z-]{1,32}"
NAME_BYTES: Final = 50
BANK_BYTES: Final = 50
CITY_BYTES: Final = 30
PURPOSE_BYTES: Final = 60
REMARK_BYTES: Final = 50
CARD_NAME_BYTES: Final = 20
CONTRACT_BYTES: Final = 60
COLLECTION_PURPOSE_BYTES: Final = 30
SUPER_MAX_MINOR: Final = 5_000_000
"""超级网银 carries 50,000 yuan at most."""
SENT: Final = Delimited(trailing=True, columns=11)
"""A line of ASYNBATCHTRSFRTRN: 序号 收款账号 收款人名称 兴业 同城 行号 行名 地址 金额 用途 备注."""
_FORBIDDEN: Final = "<>&"
_LINE_FORBIDDEN: Final = "|\r\n"
_WAGES: Final = "006"
_SAMPLE: Final = "banks/cib.md 2, the sample request"
_PAY: Final = "banks/cib.md 4.3"
_BATCH: Final = "banks/cib.md 4.6"
_PAYROLL: Final = "banks/cib.md 4.7"
_COLLECTION: Final = "banks/cib.md 4.8"
_DETAILS: Final = "banks/cib.md 4.2"
_RECEIPT: Final = "banks/cib.md 4.9"


def leaf(tag: str, content: str) -> Markup:
    """An element with text. Raises "value" for < > &, which the bank accepts in no form."""
    check_chars(tag, content, _FORBIDDEN)
    return el(tag, content)


def check_chars(what: str, content: str, forbidden: str) -> None:
    """Raises "value" for a character that the bank refuses, with its position in the field."""
    for position, char in enumerate(content):
        if char in forbidden:
            raise ProtocolError("value", f"{what}: the bank refuses {char!r} at position {position}")


# ---- one order as it is written --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """One order, alone or as line `number` of a message. `reference` is the line's own."""

    order: AnyOrder
    options: Options
    number: int = 0
    reference: str = ""

    @property
    def other(self) -> Party:
        """The other party: the payee, or the payer of a collection."""
        return self.order.theirs

    @property
    def inside(self) -> bool:
        """True if the other party's account is at this bank. Raises "missing" if another bank has no name.

        A transfer whose other account names no bank stays inside this bank. Such an account must not be sent as another
        bank's.
        """
        stays = self.order.kind is Kind.TRANSFER and not self.other.bank_name and not self.other.cnaps
        own = is_own(self.other, self.options) or self.order.channel is Channel.SAME_BANK or stays
        if not own and not self.other.bank_name:
            raise ProtocolError("missing", "an account at another bank needs that bank's name (BANKDESC)")
        return own

    @property
    def city(self) -> str:
        """The other party's city, by the longest beginning of its bank's number that `cities` has."""
        known = [start for start in self.options.cities if (self.other.cnaps or "").startswith(start)]
        return self.options.cities[max(known, key=len)] if known else ""

    @property
    def flags(self) -> dict[str, str]:
        """INTERBANK and LOCAL."""
        local = bool(self.city) and self.city == self.options.city
        return {"INTERBANK": _flag(self.inside), "LOCAL": _flag(local)}

    @property
    def account(self) -> str:
        """The other party's account. Raises "value" if the bank does not write account numbers like that."""
        if not re.fullmatch(PAYEE_ACCOUNT, self.other.account.clear, re.ASCII):
            raise ProtocolError("value", "the payee's account is not 1 to 32 digits, letters or '-'")
        return self.other.account.clear

    @property
    def amount(self) -> str:
        """The amount. Raises "value" for another currency and for zero."""
        check_amount("cib", self.order.amount)
        return amount_text(self.order.amount.minor)

    @property
    def mode(self) -> str:
        """PMTMODE. Raises "value" for a rail that the bank chooses itself."""
        if self.order.channel in (Channel.LARGE_VALUE, Channel.SMALL_VALUE):
            named = self.order.channel.value
            raise ProtocolError("value", f"the bank chooses the rail itself; it has no {named} for us")
        if self.order.channel is not Channel.INSTANT:
            return self.options.payment_mode
        if self.order.amount.minor > SUPER_MAX_MINOR:
            most = amount_text(SUPER_MAX_MINOR)
            raise ProtocolError("value", f"SUPER carries {most} at most, not {self.order.amount}")
        required(self.order.creditor.cnaps or "", "payee bank's number (BANKNUM), which SUPER demands")
        return "SUPER"

    @property
    def remark(self) -> str:
        """Our reference, which the bank returns with a batch's line. Raises "value" for a channel that a line cannot
        have.
        """
        if self.order.channel not in (Channel.AUTO, Channel.SAME_BANK):
            raise ProtocolError("value", f"a batch line has no channel {self.order.channel.value}; use auto")
        return self.reference if self.options.batch_remark else ""

    @property
    def contract(self) -> str:
        """The contract of a collection's payer. Raises "value" for an order that is no collection."""
        if not isinstance(self.order.detail, CollectionDetail):
            raise ProtocolError("value", "a collection needs the payer's contract")
        return self.order.detail.agreement


def is_own(party: Party, options: Options) -> bool:
    """True if an account is kept at this bank."""
    return own_bank(party, options.own_names, options.own_cnaps)


def _flag(yes: bool) -> str:
    return "Y" if yes else "N"


def _short(purpose: str, options: Options) -> str:
    """A purpose of no more bytes than the option allows: the manual says both 30 and 60."""
    if not GBK.fits(purpose, options.max_purpose_bytes) and len(GBK.encode(purpose)) <= PURPOSE_BYTES:
        raise ProtocolError("value", f"PURPOSE takes {options.max_purpose_bytes} bytes, not {len(GBK.encode(purpose))}")
    return purpose


# ---- the log-on ------------------------------------------------------------------------------------------------------

_LogOn = tuple[Context, Options]


def _secret(name: str) -> Callable[[_LogOn], str]:
    def read(of: _LogOn) -> str:
        secret = of[0].credentials.get(name, "")
        if not secret:
            raise ProtocolError("missing", f"the lane's credentials name no {name}")
        if not GBK.fits(secret, 256) or any(char in _FORBIDDEN for char in secret):
            raise ProtocolError("value", f"the lane's {name} holds a character that the bank refuses")
        return secret

    return read


def _constant(text: str) -> Callable[[Any], str]:
    return lambda _of: text


LOG_ON: Final = RequestTable[_LogOn](
    "SONRQ",
    (
        RequestField("DTCLIENT", lambda of: of[0].now.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"), _SAMPLE),
        RequestField("CID", lambda of: of[1].customer, _SAMPLE),
        RequestField("USERID", _secret("user"), _SAMPLE),
        RequestField("USERPASS", _secret("password"), _SAMPLE),
        RequestField("GENUSERKEY", _constant("N"), "banks/cib.md 1: the bank recommends USERID and USERPASS"),
        RequestField("LANGUAGE", _constant("CHS"), _SAMPLE),
        RequestField("APPID", _constant("XYFIB"), _SAMPLE),
        RequestField("APPVER", _constant("1000"), _SAMPLE),
    ),
)


# ---- single payments -------------------------------------------------------------------------------------------------

_Own = tuple[Party, Options]
PAYER: Final = RequestTable[_Own](
    "XFERTRN",
    (
        RequestField("ACCTID", lambda of: of[0].account.clear, _PAY, ACCOUNT_BYTES, "payer's account"),
        RequestField("NAME", lambda of: of[0].name.clear, _PAY, NAME_BYTES, omitted=True),
        RequestField("BANKDESC", _constant("兴业银行"), _PAY),
        RequestField("CITY", lambda of: of[1].city, _PAY, CITY_BYTES, omitted=True),
    ),
    "ACCTFROM",
)
PAYEE: Final = RequestTable[Written](
    "XFERTRN",
    (
        RequestField("ACCTID", lambda of: of.account, _PAY),
        RequestField("NAME", lambda of: of.other.name.clear, _PAY, NAME_BYTES, "payee's name"),
        RequestField("BANKDESC", lambda of: of.other.bank_name or "", _PAY, BANK_BYTES, omitted=True),
        RequestField("BANKNUM", lambda of: of.other.cnaps or "", _PAY, 12, omitted=True),
        RequestField("CITY", lambda of: of.city, _PAY, omitted=True),
    ),
    "ACCTTO",
)
PAYMENT: Final = RequestTable[Written](
    "XFERTRN",
    (
        RequestField("CURSYM", _constant("RMB"), f"{_PAY}; 5: RMB"),
        RequestField("TRNAMT", lambda of: of.amount, f"{_PAY}: TRNAMT(17,2)"),
        RequestField("PMTMODE", lambda of: of.mode, _PAY, omitted=True),
        RequestField("PURPOSE", lambda of: _short(of.order.purpose, of.options), _PAY, PURPOSE_BYTES, "purpose"),
    ),
    "XFERINFO",
)
CENTRE: Final = RequestTable[tuple[str, str]](
    "XPMTTRN",
    (
        RequestField("ACCTID", lambda of: of[0], "banks/cib.md 4.5"),
        RequestField("XPMTTYPE", lambda of: of[1], "banks/cib.md 4.5", omitted=True),
    ),
    "FUNDACCT",
)
ENQUIRY: Final = RequestTable[str]("XFERINQTRN", (RequestField("CLIENTREF", lambda of: of, "banks/cib.md 4.4"),))


def enquiry_content(reference: str) -> Markup:
    """XFERINQRQ, of every enquiry about a TRNUID."""
    return el("XFERINQRQ", ENQUIRY.elements(reference))


def core_content(reference: str) -> Markup:
    """INQSTATECOND, of the enquiry in the core system."""
    return el("INQSTATECOND", ENQUIRY.elements(reference))


def transfer_info(order: AnyOrder, options: Options) -> Markup:
    """XFERINFO of a single payment. Raises ProtocolError where the order does not fit the bank's form."""
    of = Written(order, options)
    return el("XFERINFO", _payer(order.debtor, options), _payee(of), PAYMENT.elements(of, leaf))


def _payer(party: Party, options: Options) -> Markup:
    return el("ACCTFROM", PAYER.elements((party, options), leaf))


def _payee(of: Written) -> Markup:
    return el("ACCTTO", of.flags, PAYEE.elements(of, leaf))


# ---- batches ---------------------------------------------------------------------------------------------------------

_Whole = tuple[Bundle, Options]


def _lines(of: _Whole) -> list[Written]:
    return [Written(one.order, of[1], number, one.reference) for number, one in enumerate(of[0].items, start=1)]


def _kind_of_batch(of: _Whole) -> str:
    return of[1].batch_biztype or ("0" if of[1].batch == "realtime" else "1")


def _common_purpose(of: _Whole) -> str:
    purposes = {item.order.purpose for item in of[0].items}
    return _short(purposes.pop() if len(purposes) == 1 else of[1].batch_title, of[1])


_TOTALS: Final = (
    RequestField[_Whole]("TOTALCOUNT", lambda of: str(len(of[0].items)), f"{_BATCH}, 4.7"),
    RequestField[_Whole]("TOTALAMOUNT", lambda of: str(Money(of[0].sum_minor)), f"{_BATCH}, 4.7"),
)
BATCH: Final = RequestTable[_Whole](
    "RBATCHTRSFRTRN",
    (
        RequestField("TITLE", lambda of: of[1].batch_title, _BATCH),
        RequestField("BIZTYPE", _kind_of_batch, _BATCH),
        *_TOTALS,
        RequestField("CURSYM", _constant("RMB"), f"{_BATCH}; 5: RMB"),
        RequestField("PURPOSE", _common_purpose, f"{_BATCH}; 4.3: 60 bytes", PURPOSE_BYTES, "purpose"),
    ),
    "RQBODY",
)
REALTIME_LINE: Final = RequestTable[Written](
    "RBATCHTRSFRTRN",
    (
        RequestField("INDX", lambda of: str(of.number), _BATCH),
        RequestField("TRNAMT", lambda of: of.amount, _BATCH),
        RequestField("USE", lambda of: of.order.purpose, f"{_BATCH}: USE(60)", PURPOSE_BYTES, "purpose"),
        RequestField("REMARK", lambda of: of.remark, f"{_BATCH}: REMARK(50)", REMARK_BYTES, omitted=True),
    ),
    "XFERINFO",
)
TEXT_LINE: Final = RequestTable[Written](
    "ASYNBATCHTRSFRTRN",
    (
        RequestField("序号", lambda of: str(of.number), _BATCH),
        RequestField("收款账号", lambda of: of.account, _BATCH),
        RequestField("收款人名称", lambda of: of.other.name.clear, _BATCH, NAME_BYTES, "payee's name"),
        RequestField("兴业", lambda of: of.flags["INTERBANK"], _BATCH),
        RequestField("同城", lambda of: of.flags["LOCAL"], _BATCH),
        RequestField("行号", lambda of: of.other.cnaps or "", _BATCH, 12),
        RequestField("行名", lambda of: of.other.bank_name or "", _BATCH, BANK_BYTES),
        RequestField("地址", lambda of: of.city, _BATCH, BANK_BYTES),
        RequestField("金额", lambda of: of.amount, _BATCH),
        RequestField("用途", lambda of: of.order.purpose, _BATCH, PURPOSE_BYTES, "purpose"),
        RequestField("备注", lambda of: of.remark, _BATCH, REMARK_BYTES),
    ),
    "a line of XFERINFOTEXT",
)


def batch_content(bundle: Bundle, options: Options) -> Markup:
    """RQBODY of a batch: lines as elements in real time, else as text with '|'."""
    whole = (bundle, options)
    title, *rest = BATCH.elements(whole, leaf)
    head = (title, _payer(bundle.items[0].order.debtor, options), rest)
    if options.batch == "realtime":
        return el("RQBODY", *head, [_realtime_line(of) for of in _lines(whole)])
    rows = [_text_line(of) for of in _lines(whole)]
    return el("RQBODY", *head, el("XFERINFOTEXT", cdata(SENT.joined_rows(rows)), SIZE=str(len(rows))))


def _realtime_line(of: Written) -> Markup:
    number, *rest = REALTIME_LINE.elements(of, leaf)
    return el("XFERINFO", number, _payee(of), rest)


def _text_line(of: Written) -> Sequence[str]:
    cells = TEXT_LINE.texts(of)
    for column, cell in cells:
        check_chars(column, cell, _FORBIDDEN + _LINE_FORBIDDEN)
    return [cell for _, cell in cells]


# ---- payrolls --------------------------------------------------------------------------------------------------------


def _description(of: _Whole) -> str:
    """The code of the purpose, which is the same for the whole message; wages if the orders name none."""
    details = [item.order.detail for item in of[0].items]
    codes = {detail.purpose_code or _WAGES for detail in details if isinstance(detail, PayrollItemDetail)}
    code = codes.pop() if len(codes) == 1 else ""
    if code not in PAYROLL_CODES:
        raise ProtocolError("value", f"a payroll has one purpose code, one of {', '.join(PAYROLL_CODES)}")
    return code


PAYROLL: Final = RequestTable[_Whole](
    "RPAYOFFTRN",
    (
        RequestField("TITLE", lambda of: of[1].payroll_title, _PAYROLL, 30),
        RequestField("DESCRIPTION", _description, _PAYROLL),
        *_TOTALS,
    ),
    "RPAYOFFINFO, behind ACCTFROM",
)
CARD: Final = RequestTable[Written](
    "RPAYOFFTRN",
    (
        RequestField("INDX", lambda of: str(of.number), _PAYROLL),
        RequestField("ACCTNAME", lambda of: of.other.name.clear, _PAYROLL, CARD_NAME_BYTES, "payee's name"),
        RequestField("ACCTID", lambda of: of.other.account.clear, _PAYROLL, ACCOUNT_BYTES, "payee's account"),
        RequestField("TRNAMT", lambda of: of.amount, _PAYROLL),
    ),
    "RPAYOFF",
)


def payroll_content(bundle: Bundle, options: Options) -> Markup:
    """RPAYOFFRQ."""
    whole = (bundle, options)
    cards = el("RPAYOFFLIST", [el("RPAYOFF", CARD.elements(of, leaf)) for of in _lines(whole)])
    own = _payer(bundle.items[0].order.debtor, options)
    return el("RPAYOFFRQ", el("RPAYOFFINFO", own, PAYROLL.elements(whole, leaf), cards))


# ---- collections -----------------------------------------------------------------------------------------------------


def _own_payee(of: _Whole) -> str:
    return of[0].items[0].order.creditor.account.clear


COLLECTION: Final = RequestTable[_Whole](
    "GATHERTRN",
    (
        RequestField("ACCTID", _own_payee, _COLLECTION, ACCOUNT_BYTES, "own account"),
        RequestField("FIRMCODE", lambda of: of[1].firm_code, _COLLECTION, needed="option firm_code"),
        RequestField("BIZCODE", lambda of: of[1].collection_code, _COLLECTION, needed="option collection_code"),
        RequestField("LIMITDAYS", lambda of: str(of[1].collection_days), _COLLECTION),
        RequestField("TITLE", lambda of: of[1].batch_title, _COLLECTION),
        RequestField("TRNTYPE", lambda of: of[1].collection_type, _COLLECTION, omitted=True),
    ),
    "GATHERINFO",
)
OTHER_PAYER: Final = RequestTable[Written](
    "GATHERTRN",
    (
        RequestField("ACCTID", lambda of: of.account, _COLLECTION),
        RequestField("NAME", lambda of: of.other.name.clear, _COLLECTION, NAME_BYTES, "payer's name"),
        RequestField("BANKDESC", lambda of: of.other.bank_name or "", _COLLECTION, BANK_BYTES, omitted=True),
        RequestField("BANKNUM", lambda of: of.other.cnaps or "", _COLLECTION, 12, omitted=True),
    ),
    "PAYINFO/ACCTFROM",
)
DEBIT: Final = RequestTable[Written](
    "GATHERTRN",
    (
        RequestField("INDX", lambda of: str(of.number), _COLLECTION),
        RequestField("CONTRACTID", lambda of: of.contract, _COLLECTION, CONTRACT_BYTES, "payer's contract"),
        RequestField("PAYMODE", lambda of: "0" if is_own(of.other, of.options) else "1", _COLLECTION),
        RequestField("APPLYAMT", lambda of: of.amount, _COLLECTION),
        RequestField("PURPOSE", lambda of: of.order.purpose, _COLLECTION, COLLECTION_PURPOSE_BYTES, omitted=True),
    ),
    "PAYINFO",
)


def collection_content(bundle: Bundle, options: Options) -> Markup:
    """GATHERRQ."""
    whole = (bundle, options)
    own, *rest = COLLECTION.elements(whole, leaf)
    return el("GATHERRQ", el("GATHERINFO", el("ACCTTO", own), rest, [_debit(of) for of in _lines(whole)]))


def _debit(of: Written) -> Markup:
    if not is_own(of.other, of.options):
        required(of.other.bank_name or "", "payer bank's name")
        required(of.other.cnaps or "", "payer bank's number")
    payer = el("ACCTFROM", OTHER_PAYER.elements(of, leaf))
    number, contract, *rest = DEBIT.elements(of, leaf)
    return el("PAYINFO", number, contract, payer, rest)


# ---- questions about accounts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskedPeriod:
    """A question about an account from `first` to `last`. `lines` of FSTMTTRN a page, 0 in SCUSTSTMTTRN."""

    account: str
    first: date
    last: date
    page: int = 1
    holder: str = ""
    version: str = ""
    chosen: str = ""
    lines: int = 0


_NO_FORM: Final = "the form of dates is not on the page"
BALANCE: Final = RequestTable[str]("CURRACCTQUERYTRN", (RequestField("ACCTID", lambda of: of, "banks/cib.md 4.1"),))
PAST_BALANCE: Final = RequestTable[AskedPeriod](
    "HISBALQUERYTRN",
    (
        RequestField("ACCTID", lambda of: of.account, "banks/cib.md 4.1"),
        RequestField("ACCTNAME", lambda of: of.holder, "banks/cib.md 9: left out in the samples", omitted=True),
        RequestField("DTSTART", lambda of: date_text(of.first, "yyyy-MM-dd"), f"banks/cib.md 4.1; {_NO_FORM}"),
        RequestField("DTEND", lambda of: date_text(of.last, "yyyy-MM-dd"), f"banks/cib.md 4.1; {_NO_FORM}"),
    ),
)
ENTRIES: Final = RequestTable[AskedPeriod](
    "SCUSTSTMTTRN",
    (
        RequestField("VERSION", lambda of: of.version, _DETAILS, omitted=True),
        RequestField("ACCTID", lambda of: of.account, _DETAILS),
        RequestField("DTSTART", lambda of: date_text(of.first, "yyyy-MM-dd"), f"{_DETAILS}; {_NO_FORM}"),
        RequestField("DTEND", lambda of: date_text(of.last, "yyyy-MM-dd"), f"{_DETAILS}; {_NO_FORM}"),
        RequestField("PAGE", lambda of: str(of.page), _DETAILS),
        RequestField("NUM", lambda of: str(of.lines or ""), f"{_DETAILS}: FSTMTTRN only", omitted=True),
        RequestField("TRNTYPE", _constant("2"), f"{_DETAILS}: 2全"),
        RequestField("SELTYPE", lambda of: of.chosen, f"{_DETAILS}; 9: not in FSTMTTRN", omitted=True),
    ),
)
RECEIPT_JOB: Final = RequestTable[tuple[str, date]](
    "ELECTRONICRECEIPTTRN",
    (
        RequestField("RECEIPT_TYPE", _constant("01"), _RECEIPT),
        RequestField("ACCTID", lambda of: of[0], _RECEIPT),
        RequestField("RECEIPTDATE", lambda of: date_text(of[1], "yyyy-MM-dd"), f"{_RECEIPT}; {_NO_FORM}"),
    ),
)
RECEIPT_FILES: Final = RequestTable[str]("ASYNRECEIPTINFOTRN", (RequestField("CLT_REF_NO", lambda of: of, _RECEIPT),))


def entries_content(of: AskedPeriod) -> Markup:
    """SCUSTSTMTRQ, in SCUSTSTMTTRN and in FSTMTTRN."""
    named = {name: leaf(name, content) for name, content in ENTRIES.texts(of)}
    version, kind = named.pop("VERSION", None), named.pop("SELTYPE", None)
    account = el("ACCTFROM", named.pop("ACCTID"))
    return el("SCUSTSTMTRQ", version, account, el("INCTRAN", named.values()), kind)


REQUESTS: Final[tuple[RequestTable[Any], ...]] = (
    *(LOG_ON, PAYER, PAYEE, PAYMENT, CENTRE, ENQUIRY),
    *(BATCH, REALTIME_LINE, TEXT_LINE, PAYROLL, CARD, COLLECTION, OTHER_PAYER, DEBIT),
    *(BALANCE, PAST_BALANCE, ENTRIES, RECEIPT_JOB, RECEIPT_FILES),
)
"""Every table of this bank."""
