"""The ISO 20022 files that travel inside: one payment out, words about payments and accounts back.

The rest of the bank sees only `payment_file`, `statuses` and `accounts`; whatever reads and writes ISO 20022 better
takes their place here. We write pain.001.001.03; we read any version of pain.002 and camt.052/053/054.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.canon.money import BadMoney, Money
from protocols.canon.order import AnyOrder, Urgency
from protocols.canon.statement import Direction
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import parse_date, plain
from protocols.kit.xmldoc import Markup, build, el, maybe, parse, several, value, value_or

_XSD: Final = "urn:iso:std:iso:20022:tech:xsd:"
PAIN_001: Final = f"{_XSD}pain.001.001.03"
_NODES_MAX: Final = 200_000
_MAX_BYTES: Final = 16_777_216
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}")
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")
_DIRECTIONS: Final = {"CRDT": Direction.CREDIT, "DBIT": Direction.DEBIT}


@dataclass(frozen=True, slots=True)
class Status:
    """What a pain.002 says about one transaction, or about the whole file where `end_to_end` is empty."""

    message: str
    end_to_end: str
    status: str
    reason: str
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """One transaction of an account report. `status` is BOOK, PDNG or INFO; `returned` carries the reason's code."""

    key: str
    direction: Direction
    amount: Money
    status: str
    booked: date | None
    booked_at: datetime | None
    end_to_end: str
    returned: str
    reversal: bool
    peer_account: str
    peer_name: str
    text: str
    fee: bool


@dataclass(frozen=True, slots=True)
class Account:
    """One account's report: its balances by code (OPBD, CLBD, ITBD, CLAV, ITAV, PRCD ...) and its transactions.

    `day` is the day that the report says it is about; a statement is made after its day.
    """

    number: str
    made_at: datetime | None
    day: date | None
    balances: dict[str, Money]
    bookings: tuple[Booking, ...]


def payment_file(order: AnyOrder, reference: str, now: datetime, debtor_bic: str, execute_on: date) -> bytes:
    """A pain.001 with this one payment in it; MsgId, PmtInfId and EndToEndId are all our reference."""
    debtor, creditor = order.debtor, order.creditor
    total, urgent = str(order.amount), order.urgency is Urgency.URGENT
    head = el(
        "GrpHdr",
        el("MsgId", reference), el("CreDtTm", now.strftime("%Y-%m-%dT%H:%M:%S")), el("NbOfTxs", "1"),
        el("CtrlSum", total), el("InitgPty", el("Nm", debtor.name.clear)),
    )  # fmt: skip
    paid = el(
        "CdtTrfTxInf",
        el("PmtId", el("EndToEndId", reference)),
        el("Amt", el("InstdAmt", total, Ccy=order.amount.currency)),
        _agent("CdtrAgt", creditor.cnaps or ""),
        el("Cdtr", el("Nm", creditor.name.clear)),
        el("CdtrAcct", _account(creditor.account.clear)),
        el("RmtInf", el("Ustrd", order.purpose)) if order.purpose else None,
    )
    batch = el(
        "PmtInf",
        el("PmtInfId", reference), el("PmtMtd", "TRF"), el("NbOfTxs", "1"), el("CtrlSum", total),
        el("PmtTpInf", el("SvcLvl", el("Cd", "URGP"))) if urgent else None,
        el("ReqdExctnDt", execute_on.isoformat()),
        el("Dbtr", el("Nm", debtor.name.clear)),
        el("DbtrAcct", _account(debtor.account.clear), el("Ccy", order.amount.currency)),
        el("DbtrAgt", el("FinInstnId", el("BIC", debtor_bic))),
        el("ChrgBr", "SLEV"),
        paid,
    )  # fmt: skip
    return build(el("Document", {"xmlns": PAIN_001}, el("CstmrCdtTrfInitn", head, batch)), UTF8)


def _account(number: str) -> Markup:
    inner = el("IBAN", number) if _IBAN.fullmatch(number) else el("Othr", el("Id", number))
    return el("Id", inner)


def _agent(tag: str, bic: str) -> Markup | None:
    return el(tag, el("FinInstnId", el("BIC", bic))) if _BIC.fullmatch(bic) else None


def statuses(data: bytes) -> tuple[Status, ...]:
    """What a pain.002 says, the transactions first, then the batches and the file. Raises ProtocolError."""
    root, n = _document(data, "pain.002.001.")
    report = _one(root, n, "CstmrPmtStsRpt")
    group = _one(report, n, "OrgnlGrpInfAndSts")
    message = value(group, f"{n}OrgnlMsgId")
    found: list[Status] = []
    wider = [Status(message, "", value_or(group, f"{n}GrpSts"), _reason(group, n))]
    for batch in several(report, f"{n}OrgnlPmtInfAndSts"):
        for each in several(batch, f"{n}TxInfAndSts"):
            reference = maybe(each, f"{n}OrgnlTxRef/{n}Amt/{n}InstdAmt")
            found.append(Status(
                message, value_or(each, f"{n}OrgnlEndToEndId"), value_or(each, f"{n}TxSts"), _reason(each, n),
                None if reference is None else _money(reference)))  # fmt: skip
        wider.append(Status(message, "", value_or(batch, f"{n}PmtInfSts"), _reason(batch, n)))
    return (*found, *(one for one in reversed(wider) if one.status))


def accounts(data: bytes) -> tuple[Account, ...]:
    """What a camt.052, 053 or 054 says about each account. Raises ProtocolError."""
    root, n = _document(data, "camt.05")
    for container, report in (("BkToCstmrStmt", "Stmt"), ("BkToCstmrAcctRpt", "Rpt"),
                              ("BkToCstmrDbtCdtNtfctn", "Ntfctn")):  # fmt: skip
        holder = maybe(root, f"{n}{container}")
        if holder is not None:
            return tuple(_read_account(each, n) for each in several(holder, f"{n}{report}"))
    raise ProtocolError("value", f"{root.tag!r} holds no report of an account")


def _read_account(report: etree._Element, n: str) -> Account:
    made = value_or(report, f"{n}CreDtTm")
    balances: dict[str, Money] = {}
    begins = value_or(report, f"{n}FrToDt/{n}FrDtTm")
    day = _moment(begins).date() if begins else None
    for each in several(report, f"{n}Bal"):
        code = value_or(each, f"{n}Tp/{n}CdOrPrtry/{n}Cd")
        amount = _money(_one(each, n, "Amt"))
        owed = value(each, f"{n}CdtDbtInd") == "DBIT"
        balances[code] = Money(-amount.minor if owed else amount.minor, amount.currency)
        on = value_or(each, f"{n}Dt/{n}Dt")
        day = parse_date(on, "yyyy-MM-dd") if on and code == "CLBD" else day
    bookings = [booking for entry in several(report, f"{n}Ntry") for booking in _bookings(entry, n)]
    number, made_at = _number(_one(report, n, "Acct"), n), _moment(made) if made else None
    return Account(number, made_at, day, balances, tuple(bookings))


def _bookings(entry: etree._Element, n: str) -> list[Booking]:
    """The transactions of an entry; an entry without details is one itself."""
    details = [one for group in several(entry, f"{n}NtryDtls") for one in several(group, f"{n}TxDtls")]
    direction = _DIRECTIONS.get(value(entry, f"{n}CdtDbtInd"))
    if direction is None:
        raise ProtocolError("value", "an entry is neither CRDT nor DBIT")
    whole = _money(_one(entry, n, "Amt"))
    status = value_or(entry, f"{n}Sts/{n}Cd") if len(_one(entry, n, "Sts")) else value(entry, f"{n}Sts")
    key = value_or(entry, f"{n}AcctSvcrRef") or value_or(entry, f"{n}NtryRef")
    day, moment = value_or(entry, f"{n}BookgDt/{n}Dt"), value_or(entry, f"{n}BookgDt/{n}DtTm")
    booked_at = _moment(moment) if moment else None
    booked = parse_date(day, "yyyy-MM-dd") if day else None if booked_at is None else booked_at.date()
    reversal = value_or(entry, f"{n}RvslInd") in ("true", "1")
    fee = value_or(entry, f"{n}BkTxCd/{n}Domn/{n}Fmly/{n}SubFmlyCd") in ("CHRG", "COMM", "FEES")
    found = []
    for number, each in enumerate(details or [entry]):
        amount = maybe(each, f"{n}AmtDtls/{n}TxAmt/{n}Amt")
        if amount is None and each is not entry:
            amount = maybe(each, f"{n}Amt")
        if amount is None and len(details) > 1:
            raise ProtocolError("missing", "an entry of several transactions does not state their amounts")
        peer = "Cdtr" if direction is Direction.DEBIT else "Dbtr"
        account = maybe(each, f"{n}RltdPties/{n}{peer}Acct")
        found.append(Booking(
            key if number == 0 else f"{key}/{number}", direction, whole if amount is None else _money(amount), status,
            booked, booked_at, value_or(each, f"{n}Refs/{n}EndToEndId"), _return(each, n), reversal,
            "" if account is None else _number(account, n),
            _name(each, f"{n}RltdPties/{n}{peer}", n),
            plain(" ".join(_texts(each, f"{n}RmtInf/{n}Ustrd")) or value_or(entry, f"{n}AddtlNtryInf")),
            fee,
        ))  # fmt: skip
    return found


def _name(each: etree._Element, at: str, n: str) -> str:
    """A party's name; newer versions put the party one level deeper."""
    return plain(value_or(each, f"{at}/{n}Nm") or value_or(each, f"{at}/{n}Pty/{n}Nm"))


def _texts(parent: etree._Element, path: str) -> list[str]:
    return ["".join(str(part) for part in one.itertext()).strip() for one in several(parent, path)]


def _return(each: etree._Element, n: str) -> str:
    if maybe(each, f"{n}RtrInf") is None:
        return ""
    return value_or(each, f"{n}RtrInf/{n}Rsn/{n}Cd") or value_or(each, f"{n}RtrInf/{n}Rsn/{n}Prtry") or "NARR"


def _reason(parent: etree._Element, n: str) -> str:
    reasons = several(parent, f"{n}StsRsnInf")
    if not reasons:
        return ""
    code = value_or(reasons[0], f"{n}Rsn/{n}Cd") or value_or(reasons[0], f"{n}Rsn/{n}Prtry")
    return plain(" ".join((code, *_texts(reasons[0], f"{n}AddtlInf"))).strip())


def _document(data: bytes, wanted: str) -> tuple[etree._Element, str]:
    root = parse(data, UTF8, max_bytes=_MAX_BYTES, max_nodes=_NODES_MAX)
    space = etree.QName(root).namespace or ""
    if etree.QName(root).localname != "Document" or not space.startswith(_XSD + wanted):
        raise ProtocolError("value", f"{root.tag!r} is no {wanted.rstrip('.')} document")
    return root, f"{{{space}}}"


def _one(parent: etree._Element, n: str, name: str) -> etree._Element:
    found = maybe(parent, n + name)
    if found is None:
        raise ProtocolError("missing", f"no element {name} in {parent.tag!r}")
    return found


def _number(account: etree._Element, n: str) -> str:
    return value_or(account, f"{n}Id/{n}IBAN") or value(account, f"{n}Id/{n}Othr/{n}Id")


def _money(element: etree._Element) -> Money:
    try:
        return Money.parse((element.text or "").strip(), element.get("Ccy") or "")
    except BadMoney as error:
        raise ProtocolError("value", str(error)) from None


def _moment(said: str) -> datetime:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        raise ProtocolError("value", f"{said[:40]!r} is not a time") from None
