"""The simulated bank's ISO 20022 files: reads payment files, and makes status files and reports from its books."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from lxml import etree

from protocols.banks.finws.twin_rules_files import DEBITS, REASON, REPEATED, message_of, parsed
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.xmldoc import Markup, el, one, several, value, value_or
from protocols.twin import Booked, Booking, Entry, Holding, Instruction

_ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"
_STATUS: Final = {Booked.TAKEN: "ACCP", Booked.SETTLED: "ACCP", Booked.REFUSED: "RJCT", Booked.RETURNED: "ACCP"}


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment of a file with the customer's names for it, and whether it is an instant payment (INST)."""

    instruction: Instruction
    group: str
    end_to_end: str
    instant: bool


@dataclass(frozen=True, slots=True)
class Order:
    """The payments of a file, its message's number and name, and whether a group may be booked as one."""

    message: str
    name: str
    paid: tuple[Paid, ...]
    together: bool


def read(content: bytes) -> Order:
    """The order in a pain.001 or pain.008 that breaks no rule of `twin_rules_files.py`."""
    root = parsed(content)
    message = message_of(root)
    p, collects = f"{{{_ISO}{message}}}", message in DEBITS
    initiation = one(root, f"{p}CstmrDrctDbtInitn" if collects else f"{p}CstmrCdtTrfInitn")
    groups, paid = several(initiation, f"{p}PmtInf"), list[Paid]()
    for group in groups:
        paid += [
            _one(each, group, p, collects)
            for each in several(group, p + ("DrctDbtTxInf" if collects else "CdtTrfTxInf"))
        ]
    booking = any(value_or(group, f"{p}BtchBookg") in ("true", "1") for group in groups)
    return Order(value(initiation, f"{p}GrpHdr/{p}MsgId"), message, tuple(paid), booking)


def _one(paid: etree._Element, group: etree._Element, p: str, collects: bool) -> Paid:
    amount = one(paid, f"{p}InstdAmt" if collects else f"{p}Amt/{p}InstdAmt")
    total = Money.parse(xmldoc.text(amount), amount.get("Ccy") or "")
    end_to_end = value(paid, f"{p}PmtId/{p}EndToEndId")
    reference = value_or(paid, f"{p}PmtId/{p}InstrId") or end_to_end
    ours, theirs = ("Cdtr", "Dbtr") if collects else ("Dbtr", "Cdtr")
    texts = [xmldoc.text(each) for each in several(paid, f"{p}RmtInf/{p}Ustrd")]
    strd = several(paid, f"{p}RmtInf/{p}Strd")
    texts += [value_or(each, f"{p}CdtrRefInf/{p}Ref") or value_or(each, f"{p}RfrdDocInf/{p}Nb") for each in strd]
    rail = [value_or(at, f"{p}PmtTpInf/{p}LclInstrm/{p}Cd") for at in (paid, group)]
    return Paid(
        Instruction(
            reference,
            _account(one(group, f"{p}{ours}Acct"), p),
            _account(one(paid, f"{p}{theirs}Acct"), p),
            value(paid, f"{p}{theirs}/{p}Nm"),
            total,
            " ".join(texts),
            value_or(group, f"{p}PmtTpInf/{p}SvcLvl/{p}Cd") == "URGP",
            "",
            collects,
        ),
        value(group, f"{p}PmtInfId"),
        end_to_end,
        "INST" in rail,
    )


def _account(element: etree._Element, p: str) -> str:
    return value_or(element, f"{p}Id/{p}IBAN") or value(element, f"{p}Id/{p}Othr/{p}Id")


def status_code(booking: Booking | None) -> str:
    """The status of a file's payment by the books: RJCT where the file itself was bad."""
    return "RJCT" if booking is None else _STATUS[booking.booked]


def status_file(
    number: str, message: str, named: str, told: Sequence[tuple[Paid, Booking]], reason: str, now: datetime
) -> bytes:
    """A pain.002 about the payments of a file, or about a file that could not be read."""
    groups: dict[str, list[Markup]] = {}
    for paid, booking in told:
        code, asked = status_code(booking), paid.instruction
        groups.setdefault(paid.group, []).append(
            el(
                "TxInfAndSts",
                el("OrgnlInstrId", asked.reference),
                el("OrgnlEndToEndId", paid.end_to_end),
                el("TxSts", code),
                _reason(code, booking.reason),
                el("OrgnlTxRef", el("Amt", el("InstdAmt", str(asked.amount), Ccy=asked.amount.currency))),
            )
        )
    codes = {status_code(booking) for _, booking in told}
    whole = "RJCT" if not told else codes.pop() if len(codes) == 1 else "PART"
    return _whole(
        "pain.002.001.03",
        el(
            "CstmrPmtStsRpt",
            el("GrpHdr", el("MsgId", number), el("CreDtTm", _time(now))),
            el(
                "OrgnlGrpInfAndSts",
                el("OrgnlMsgId", message),
                el("OrgnlMsgNmId", named),
                el("GrpSts", whole) if len(told) != 1 else None,
                _reason("RJCT", reason) if not told else None,
            ),
            [el("OrgnlPmtInfAndSts", el("OrgnlPmtInfId", group), lines) for group, lines in groups.items()],
        ),
    )


def _reason(code: str, why: str) -> Markup | None:
    if code != "RJCT" or not why:
        return None
    return el("StsRsnInf", el("Rsn", el("Cd" if why in (REASON, REPEATED) else "Prtry", why[:35])))


def notification(number: str, holding: Holding, entries: Sequence[Entry], now: datetime, names: Names) -> bytes:
    """A camt.054 of the bookings since the one before."""
    body = el("Ntfctn", el("Id", number), el("CreDtTm", _time(now)), _own(holding), _entries(entries, names))
    return _whole("camt.054.001.02", el("BkToCstmrDbtCdtNtfctn", _head(number, now), body))


def report(number: str, holding: Holding, entries: Sequence[Entry], now: datetime, names: Names) -> bytes:
    """A camt.052 of the day so far, with the available balance."""
    today = now.date()
    body = el(
        "Rpt",
        el("Id", number),
        el("CreDtTm", _time(now)),
        _own(holding),
        _balance("PRCD", holding.previous_day, today - timedelta(days=1)),
        _balance("ITBD", holding.book, today),
        _balance("ITAV", holding.book - holding.frozen, today),
        _entries(entries, names),
    )
    return _whole("camt.052.001.02", el("BkToCstmrAcctRpt", _head(number, now), body))


def statement(
    number: str, holding: Holding, day: date, entries: tuple[Entry, ...], closing: Money, now: datetime, names: Names
) -> bytes:
    """A camt.053: of one whole day, or of a day so far, with the balance in between."""
    moved = sum(one.amount.minor if one.direction is Direction.CREDIT else -one.amount.minor for one in entries)
    opening = Money(closing.minor - moved, closing.currency)
    is_over, ends = now.date() > day, f"{day.isoformat()}T23:59:59"
    body = el(
        "Stmt",
        el("Id", number),
        el("CreDtTm", _time(now)),
        el("FrToDt", el("FrDtTm", f"{day.isoformat()}T00:00:00"), el("ToDtTm", ends if is_over else _time(now))),
        _own(holding),
        _balance("OPBD", opening, day),
        _balance("CLBD" if is_over else "ITBD", closing, day),
        _entries(entries, names),
    )
    return _whole("camt.053.001.02", el("BkToCstmrStmt", _head(number, now), body))


@dataclass(frozen=True, slots=True)
class Named:
    """The customer's names of a payment: its message, group and EndToEndId.

    `together`: its group is booked as one, with `details` of "all" its payments, of "some" (the first) or of "none".
    `back`: returned money is booked as one, too, as a reversal.
    """

    message: str
    group: str
    end_to_end: str
    together: bool = False
    details: str = "all"
    back: bool = False


Names = Mapping[str, Named]
"""What the customer called each payment, by the reference in the books."""


def _entries(entries: Sequence[Entry], names: Names) -> Iterable[Markup]:
    """The entries. Payments that are booked as one stand at the place of the first of them."""
    groups: dict[tuple[str, bool], list[Entry]] = {}
    for entry in entries:
        named = names.get(entry.reference)
        if named is not None and named.together and not entry.fee:
            groups.setdefault((named.group, entry.text == "returned"), []).append(entry)
    done = set()
    for entry in entries:
        named = names.get(entry.reference)
        if named is None or not named.together or entry.fee:
            yield _entry([entry], names)
            continue
        key = (named.group, entry.text == "returned")
        if key not in done:
            done.add(key)
            # Money that comes back is booked by itself.
            alone = key[1] and not named.back
            yield from [_entry([each], names) for each in groups[key]] if alone else [_entry(groups[key], names)]


def _entry(entries: Sequence[Entry], names: Names) -> Markup:
    entry, debit = entries[0], entries[0].direction is Direction.DEBIT
    amount = Money(sum(one.amount.minor for one in entries), entry.amount.currency)
    named = names.get(entry.reference)
    batch = None
    if len(entries) > 1 and named is not None:
        count = str(len(entries))
        batch = el(
            "Btch",
            el("MsgId", named.message),
            el("PmtInfId", named.group),
            el("NbOfTxs", count),
            el("TtlAmt", str(amount), Ccy=amount.currency),
            el("CdtDbtInd", "DBIT" if debit else "CRDT"),
        )
    family = "CHRG" if entry.fee else "ESCT"
    told: Sequence[Entry] = entries
    if batch is not None and named is not None and named.details != "all":
        told = entries[: named.details == "some"]
    reversal = named is not None and named.back and named.together and entry.text == "returned"
    return el(
        "Ntry",
        el("Amt", str(amount), Ccy=amount.currency),
        el("CdtDbtInd", "DBIT" if debit else "CRDT"),
        el("RvslInd", "true") if reversal else None,
        el("Sts", "BOOK"),
        el("BookgDt", el("DtTm", _time(entry.at))),
        el("ValDt", el("Dt", entry.bank_date.isoformat())),
        el("AcctSvcrRef", f"E{entry.number:012d}"),
        el("BkTxCd", el("Domn", el("Cd", "PMNT"), el("Fmly", el("Cd", "ICDT"), el("SubFmlyCd", family)))),
        el("NtryDtls", batch, [_detail(one, names.get(one.reference), len(entries) > 1) for one in told]),
    )


def _detail(entry: Entry, named: Named | None, shares: bool) -> Markup:
    debit = entry.direction is Direction.DEBIT
    peer = "Cdtr" if debit else "Dbtr"
    parties = (
        el(
            "RltdPties",
            el(peer, el("Nm", entry.counterparty_name)),
            el(f"{peer}Acct", el("Id", el("Othr", el("Id", entry.counterparty_account)))),
        )
        if entry.counterparty_account
        else None
    )
    returned = el("RtrInf", el("Rsn", el("Cd", "NARR"))) if entry.text == "returned" else None
    refs = None
    if entry.reference:
        refs = el(
            "Refs",
            el("InstrId", entry.reference) if named is not None else None,
            el("EndToEndId", entry.reference if named is None else named.end_to_end),
        )
    paid = entry.amount
    share = el("AmtDtls", el("TxAmt", el("Amt", str(paid), Ccy=paid.currency))) if shares else None
    return el("TxDtls", refs, share, parties, el("RmtInf", el("Ustrd", entry.text)) if entry.text else None, returned)


_AT_STATUS: Final = re.compile(rb"<TxInfAndSts>|</OrgnlPmtInfAndSts>")
_AT_ENTRY: Final = re.compile(rb"<Ntry>|</(?:Ntfctn|Rpt|Stmt)>")
_ODD_STATUS: Final = (
    b"<TxInfAndSts><OrgnlInstrId>X</OrgnlInstrId><TxSts>ACSC</TxSts><OrgnlTxRef><Amt>"
    b"<InstdAmt Ccy='CNY'>1,00</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>"
)
_ODD_ENTRY: Final = b"<Ntry><Amt Ccy='CNY'>1,00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts></Ntry>"


def with_odd_row(content: bytes) -> bytes:
    """The file with an additional first row that cannot be read, because its amount is no number."""
    content = _AT_STATUS.sub(lambda found: _ODD_STATUS + found[0], content, count=1)
    return _AT_ENTRY.sub(lambda found: _ODD_ENTRY + found[0], content, count=1)


def _own(holding: Holding) -> Markup:
    return el("Acct", el("Id", el("Othr", el("Id", holding.number))), el("Ccy", holding.currency))


def _balance(code: str, amount: Money, day: date) -> Markup:
    return el(
        "Bal",
        el("Tp", el("CdOrPrtry", el("Cd", code))),
        el("Amt", str(Money(abs(amount.minor), amount.currency)), Ccy=amount.currency),
        el("CdtDbtInd", "DBIT" if amount.minor < 0 else "CRDT"),
        el("Dt", el("Dt", day.isoformat())),
    )


def _head(number: str, now: datetime) -> Markup:
    return el("GrpHdr", el("MsgId", number), el("CreDtTm", _time(now)))


def _time(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def _whole(name: str, inside: Markup) -> bytes:
    return xmldoc.build(el("Document", {"xmlns": _ISO + name}, inside), UTF8)
