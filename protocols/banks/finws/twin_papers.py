"""The simulated bank's ISO 20022 side: what it reads in a payment file, and the files it makes out of its books."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from lxml import etree

from protocols.canon.money import BadMoney, Money
from protocols.canon.statement import Direction
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el, one, several, value, value_or
from protocols.twin import Booked, Booking, Entry, Holding, Instruction

_ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"
_PAIN: Final = f"{{{_ISO}pain.001.001.03}}"
_TEXT_35: Final = re.compile(r"[^\s].{0,34}")
_STATUS: Final = {Booked.TAKEN: "ACCP", Booked.SETTLED: "ACCP", Booked.REFUSED: "RJCT", Booked.RETURNED: "ACCP"}


class BadFile(Exception):  # noqa: N818 - the bank's answer to a file, not a fault of ours
    """The file cannot be carried out; the message is the reason code of the status file."""


@dataclass(frozen=True, slots=True)
class Order:
    """The one payment of a file, and the number of its message."""

    message: str
    instruction: Instruction


def read(content: bytes) -> Order:
    """What a pain.001.001.03 with one payment asks for. Raises BadFile."""
    try:
        return _read(xmldoc.parse(content, UTF8))
    except (ProtocolError, BadMoney, ValueError) as error:
        raise BadFile("FF01", str(error)) from None


def _read(root: etree._Element) -> Order:
    p = _PAIN
    if root.tag != f"{p}Document":
        raise ValueError("another document")
    initiation = one(root, f"{p}CstmrCdtTrfInitn")
    group, batch = one(initiation, f"{p}GrpHdr"), one(initiation, f"{p}PmtInf")
    paid = one(batch, f"{p}CdtTrfTxInf")
    amount = one(paid, f"{p}Amt/{p}InstdAmt")
    total = Money.parse(xmldoc.text(amount), amount.get("Ccy") or "")
    message, reference = value(group, f"{p}MsgId"), value(paid, f"{p}PmtId/{p}EndToEndId")
    if not _TEXT_35.fullmatch(message) or not _TEXT_35.fullmatch(reference):
        raise ValueError("an identification is empty or too long")
    for at in (group, batch):
        # The schema wants the count of the whole file; the rest is told as one likes, and must then be right.
        count, said = value_or(at, f"{p}NbOfTxs", "" if at is group else "1"), value_or(at, f"{p}CtrlSum")
        if count != "1" or (said and Money.parse(said, total.currency) != total):
            raise ValueError("count and sum do not agree")
    date.fromisoformat(value(batch, f"{p}ReqdExctnDt"))
    if value(batch, f"{p}PmtMtd") != "TRF":
        raise ValueError("not a transfer")
    texts = several(paid, f"{p}RmtInf/{p}Ustrd")
    return Order(message, Instruction(
        reference, _account(one(batch, f"{p}DbtrAcct"), p), _account(one(paid, f"{p}CdtrAcct"), p),
        value(paid, f"{p}Cdtr/{p}Nm"), total, " ".join(xmldoc.text(each) for each in texts),
        value_or(batch, f"{p}PmtTpInf/{p}SvcLvl/{p}Cd") == "URGP",
    ))  # fmt: skip


def _account(element: etree._Element, p: str) -> str:
    return value_or(element, f"{p}Id/{p}IBAN") or value(element, f"{p}Id/{p}Othr/{p}Id")


def status_code(booking: Booking | None) -> str:
    """The status of a file's payment as the books stand: RJCT where the file itself was bad."""
    return "RJCT" if booking is None else _STATUS[booking.booked]


def status_file(number: str, message: str, booking: Booking | None, reason: str, now: datetime) -> bytes:
    """A pain.002 about one payment, or about a file that could not be read."""
    code = status_code(booking)
    why = booking.reason if booking is not None else reason
    info = el("StsRsnInf", el("Rsn", el("Prtry", why[:35]))) if code == "RJCT" and why else None
    transaction = None
    if booking is not None:
        asked = booking.instruction
        transaction = el(
            "OrgnlPmtInfAndSts", el("OrgnlPmtInfId", asked.reference),
            el("TxInfAndSts", el("OrgnlEndToEndId", asked.reference), el("TxSts", code), info,
               el("OrgnlTxRef", el("Amt", el("InstdAmt", str(asked.amount), Ccy=asked.amount.currency)))),
        )  # fmt: skip
    return _whole("pain.002.001.03", el(
        "CstmrPmtStsRpt",
        el("GrpHdr", el("MsgId", number), el("CreDtTm", _time(now))),
        el("OrgnlGrpInfAndSts", el("OrgnlMsgId", message), el("OrgnlMsgNmId", "pain.001.001.03"),
           el("GrpSts", code) if booking is None else None, info if booking is None else None),
        transaction,
    ))  # fmt: skip


def notification(number: str, holding: Holding, entries: Iterable[Entry], now: datetime) -> bytes:
    """A camt.054 of what was booked since the one before."""
    body = el("Ntfctn", el("Id", number), el("CreDtTm", _time(now)), _own(holding), map(_entry, entries))
    return _whole("camt.054.001.02", el("BkToCstmrDbtCdtNtfctn", _head(number, now), body))


def report(number: str, holding: Holding, entries: Iterable[Entry], now: datetime) -> bytes:
    """A camt.052 of the day so far, with what may be spent."""
    today = now.date()
    body = el(
        "Rpt", el("Id", number), el("CreDtTm", _time(now)), _own(holding),
        _balance("PRCD", holding.previous_day, today - timedelta(days=1)), _balance("ITBD", holding.book, today),
        _balance("ITAV", holding.book - holding.frozen, today), map(_entry, entries),
    )  # fmt: skip
    return _whole("camt.052.001.02", el("BkToCstmrAcctRpt", _head(number, now), body))


def statement(
    number: str, holding: Holding, day: date, entries: tuple[Entry, ...], closing: Money, now: datetime
) -> bytes:
    """A camt.053: of one whole day, or of a day so far, with the balance in between."""
    moved = sum(one.amount.minor if one.direction is Direction.CREDIT else -one.amount.minor for one in entries)
    opening = Money(closing.minor - moved, closing.currency)
    is_over, ends = now.date() > day, f"{day.isoformat()}T23:59:59"
    body = el(
        "Stmt", el("Id", number), el("CreDtTm", _time(now)),
        el("FrToDt", el("FrDtTm", f"{day.isoformat()}T00:00:00"), el("ToDtTm", ends if is_over else _time(now))),
        _own(holding), _balance("OPBD", opening, day), _balance("CLBD" if is_over else "ITBD", closing, day),
        map(_entry, entries),
    )  # fmt: skip
    return _whole("camt.053.001.02", el("BkToCstmrStmt", _head(number, now), body))


def _entry(entry: Entry) -> Markup:
    debit, amount = entry.direction is Direction.DEBIT, entry.amount
    peer = "Cdtr" if debit else "Dbtr"
    parties = el(
        "RltdPties", el(peer, el("Nm", entry.counterparty_name)),
        el(f"{peer}Acct", el("Id", el("Othr", el("Id", entry.counterparty_account)))),
    ) if entry.counterparty_account else None  # fmt: skip
    returned = el("RtrInf", el("Rsn", el("Cd", "NARR"))) if entry.text == "returned" and not debit else None
    family = "CHRG" if entry.fee else "ESCT"
    return el(
        "Ntry",
        el("Amt", str(amount), Ccy=amount.currency), el("CdtDbtInd", "DBIT" if debit else "CRDT"), el("Sts", "BOOK"),
        el("BookgDt", el("DtTm", _time(entry.at))), el("ValDt", el("Dt", entry.bank_date.isoformat())),
        el("AcctSvcrRef", f"E{entry.number:012d}"),
        el("BkTxCd", el("Domn", el("Cd", "PMNT"), el("Fmly", el("Cd", "ICDT"), el("SubFmlyCd", family)))),
        el("NtryDtls", el(
            "TxDtls", el("Refs", el("EndToEndId", entry.reference)) if entry.reference else None, parties,
            el("RmtInf", el("Ustrd", entry.text)) if entry.text else None, returned)),
    )  # fmt: skip


def _own(holding: Holding) -> Markup:
    return el("Acct", el("Id", el("Othr", el("Id", holding.number))), el("Ccy", holding.currency))


def _balance(code: str, amount: Money, day: date) -> Markup:
    return el(
        "Bal", el("Tp", el("CdOrPrtry", el("Cd", code))),
        el("Amt", str(Money(abs(amount.minor), amount.currency)), Ccy=amount.currency),
        el("CdtDbtInd", "DBIT" if amount.minor < 0 else "CRDT"), el("Dt", el("Dt", day.isoformat())),
    )  # fmt: skip


def _head(number: str, now: datetime) -> Markup:
    return el("GrpHdr", el("MsgId", number), el("CreDtTm", _time(now)))


def _time(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def _whole(name: str, inside: Markup) -> bytes:
    return xmldoc.build(el("Document", {"xmlns": _ISO + name}, inside), UTF8)
