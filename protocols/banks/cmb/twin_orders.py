"""The bank's side of orders: the twin's handling of payments, payrolls, collections and notices.

The books identify an order by its reference. The references of each day, and the results of large batches, are kept
here as long as the twin runs. The kind of a message is found in the books by the message's own reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.banks.cmb.twin_rules_forms import CHECKED, REPEATED_REFERENCE
from protocols.canon.money import Money
from protocols.judge import BankRefusal
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Booked, Booking, Books, Duplicate, DuplicateBundle, Instruction

_ZONE: Final = timezone(timedelta(hours=8))
_LINES_SYNC: Final = 30
_REQSTS: Final = {Booked.TAKEN: "BNK", Booked.SETTLED: "FIN", Booked.REFUSED: "FIN", Booked.RETURNED: "FIN"}
_RTNFLG: Final = {Booked.TAKEN: "", Booked.SETTLED: "S", Booked.REFUSED: "F", Booked.RETURNED: "B"}
_BIG: Final = {Booked.TAKEN: "A", Booked.SETTLED: "S", Booked.REFUSED: "E", Booked.RETURNED: "S"}
_SMALL: Final = {Booked.TAKEN: "I", Booked.SETTLED: "S", Booked.REFUSED: "F", Booked.RETURNED: "S"}
_NO_NUMBER: Final = "0000000000"
_DETAIL_PAGE: Final = 1000


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The whole call is answered with RETCOD `code` and ERRMSG `text`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


def texts(element: etree._Element) -> Iterator[tuple[str, str]]:
    """The fields of an interface."""
    for child in element:
        yield str(child.tag), (child.text or "").strip()


def row(name: str, leaves: Mapping[str, str]) -> Markup:
    """One output interface, its fields in alphabetical order."""
    return el(name, [el(tag, leaves[tag]) for tag in sorted(leaves)])


def _number(booking: Booking) -> str:
    return re.sub("[^0-9]", "", booking.bank_serial)[-10:].zfill(10)


@dataclass(frozen=True, slots=True)
class _Handed:
    """A line as it was handed in, with its booking; None for a reference that the bank knew already."""

    reference: str
    booking: Booking | None
    number: int


@dataclass(slots=True)
class Orders:
    """All orders that the bank received. The switches are described in twin.py."""

    at_once: bool = False
    refuse_bare: bool = False
    refused_unlisted: bool = False
    twice: bool = False
    blind: bool = False
    whole_batch: bool = False
    dressed: bool = False
    no_status: bool = False
    odd_row: bool = False
    functions: Mapping[str, Callable[[etree._Element, Books], list[Markup]]] = field(init=False)
    _days: dict[tuple[str, str], date] = field(default_factory=dict)
    _accounts: dict[str, str] = field(default_factory=dict)
    _results: dict[str, list[_Handed]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _unlisted: set[str] = field(default_factory=set)
    _messages: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, str] = field(default_factory=dict)  # of a batch in parts, by its reference
    _parts: dict[str, list[list[Instruction]]] = field(default_factory=dict)
    _sequence: dict[str, str] = field(default_factory=dict)
    _beside: dict[str, Mapping[str, str]] = field(default_factory=dict)  # the text that a client wrote for a line

    def __post_init__(self) -> None:
        self.functions = {
            "DCPAYMNT": self._pay,
            "DCOPRTRF": self._transfer,
            "NTQRYSTY": self._by_reference,
            "NTQRYSTN": self._by_date,
            "NTSTLINF": self._by_number,
            "GetNewNotice": self._new_notices,
            "GetHisNoticeEX": self._old_notices,
            "GetBatchPayOprRes": self._result,
            "AgentRequest": self._agent,
            "NTAGCSAL": self._payroll,
            "NTAGCAPY": self._payroll,
            "NTAGCACL": self._collection,
            "NTAGCINY": self._agency_state,
            "NTAGDRFD": self._refunds,
            "NTAGDINF": self._agency_lines,
            "GetAgentDetail": self._agent_lines,
        }

    # ---- payments handed in -----------------------------------------------------------------------------------

    def refused_lines(self, root: etree._Element, refusal: BankRefusal) -> list[Markup]:
        """Each line of a payment message, refused with a line code. None for a code of the whole call, and where the
        bank answers without lines."""
        lines = [*root.iterchildren("DCOPDPAYX"), *root.iterchildren("DCOPRTRFX")]
        if refusal.code.startswith("-") or len(lines) > _LINES_SYNC:
            return []
        return [_unnumbered("NTQPAYRQZ", dict(texts(line))["YURREF"], refusal.code, refusal.text) for line in lines]

    def _pay(self, root: etree._Element, books: Books) -> list[Markup]:
        lines = [dict(texts(one)) for one in root.iterchildren("DCOPDPAYX")]
        wanted = [_instruction(line, line.get("CRTNAM") or line.get("LRVEAN") or "") for line in lines]
        return self._handed_in(_of(root, "SDKPAYRQX")["BUSCOD"], wanted, books)

    def _transfer(self, root: etree._Element, books: Books) -> list[Markup]:
        lines = [dict(texts(one)) for one in root.iterchildren("DCOPRTRFX")]
        return self._handed_in("N02041", [_instruction(line, "内部转账") for line in lines], books)

    def _handed_in(self, code: str, wanted: list[Instruction], books: Books) -> list[Markup]:
        today = books.now().astimezone(_ZONE).date()
        for one in wanted:
            self._days.setdefault((code, one.reference), today)
        handed = self._booked(wanted, books)
        for line in handed:
            if self.refused_unlisted and line.booking is not None and line.booking.booked is Booked.REFUSED:
                self._unlisted.add(line.reference)
        if len(handed) <= _LINES_SYNC:
            return [self._line("NTQPAYRQZ", one) for one in handed]
        self._results[f"{books.serial():010d}"] = handed
        return []

    def _booked(self, wanted: list[Instruction], books: Books) -> list[_Handed]:
        if len(wanted) == 1:
            try:
                return [_Handed(wanted[0].reference, books.book_once(wanted[0]), 1)]
            except Duplicate:
                return [_Handed(wanted[0].reference, None, 1)]
        try:
            bookings = books.take_bundle(wanted[0].reference, wanted)
        except DuplicateBundle:
            return [_Handed(one.reference, None, number) for number, one in enumerate(wanted, start=1)]
        return [
            _Handed(one.instruction.reference, None if one.reason == "duplicate" else one, number)
            for number, one in enumerate(bookings, start=1)
        ]

    def _line(self, name: str, handed: _Handed) -> Markup:
        booking = handed.booking
        if booking is None:
            return _unnumbered(name, handed.reference, REPEATED_REFERENCE.code, REPEATED_REFERENCE.text)
        refused, settled = booking.booked is Booked.REFUSED, booking.booked is Booked.SETTLED
        ended = refused or (settled and self.at_once)
        return row(
            name,
            {
                "ERRCOD": CHECKED.code if refused else "SUC0000",
                "ERRTXT": booking.reason if refused else "",
                "OPRALS": "",
                "OPRSQN": "",
                "REQNBR": "" if refused and self.refuse_bare else _number(booking),
                "REQSTS": "FIN" if ended else "BNK",
                "RTNFLG": "F" if refused else "S" if ended else "",
                "SQRNBR": f"{handed.number:010d}",
                "YURREF": handed.reference,
            },
        )

    # ---- what became of payments ------------------------------------------------------------------------------

    def _by_reference(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _of(root, "NTQRYSTYX1")
        first, last = _span(asked)
        if self.blind:
            return []
        return self._records(asked["BUSCOD"], [asked["YURREF"]], first, last, books)

    def _by_date(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _of(root, "NTQRYSTNY1")
        first, last = _span(asked)
        wanted = [reference for code, reference in self._days if code == asked["BUSCOD"]]
        found = self._records(asked["BUSCOD"], wanted, first, last, books)
        if self.odd_row and len(found) > 1:
            found[1] = Markup(re.sub("<DBTACC>.*?</DBTACC>", "", found[1]))
        return found

    def _records(self, code: str, wanted: Iterable[str], first: date, last: date, books: Books) -> list[Markup]:
        found: list[Markup] = []
        for reference in wanted:
            booking = None if reference in self._unlisted else books.find(reference)
            day = self._days.get((code, reference))
            if booking is None or (day is not None and not first <= day <= last):
                continue
            if day is None and not first <= booking.at.astimezone(_ZONE).date() <= last:
                continue
            number = _number(booking)
            self._accounts[number] = reference
            if self.twice:
                found.append(self._record(booking, f"9{number[1:]}", "FIN", "F"))
            found.append(self._record(booking, number, _REQSTS[booking.booked], _RTNFLG[booking.booked]))
        return found

    def _record(self, booking: Booking, number: str, reqsts: str, rtnflg: str) -> Markup:
        done = booking.instruction
        return row(
            "NTSTLLSTZ",
            {
                "ATHFLG": "N",
                "BUSCOD": "N02031",
                "BUSMOD": "00001",
                "CCYNBR": "10",
                "CRTACC": done.creditor_account,
                "CRTBBK": "",
                "CRTNAM": done.creditor_name,
                "C_BUSCOD": "直接支付",
                "DBTACC": done.debtor_account,
                "DBTBBK": "75",
                "EPTDAT": "",
                "EPTTIM": "",
                "OPRDAT": f"{booking.bank_date:%Y%m%d}",
                "REQNBR": number,
                "REQSTS": reqsts,
                "RSV30Z": "",
                "RTNFLG": rtnflg,
                "TRSAMT": str(done.amount),
                "YURREF": done.reference,
            },
        )

    def _by_number(self, root: etree._Element, books: Books) -> list[Markup]:
        found: list[Markup] = []
        for one in root.iterchildren("NTSTLINFX"):
            number = dict(texts(one)).get("REQNBR", "")
            booking = books.find(self._accounts.get(number, ""))
            if booking is None:
                continue
            back = booking.returned_on
            found.append(
                row(
                    "NTQPAYQYZ",
                    {
                        "BUSSTS": "A",
                        "FEETYP": "",
                        "RCVTYP": "A",
                        "REGFLG": "",
                        "TRSBRN": "",
                        "REQNBR": number,
                        "REQSTS": _REQSTS[booking.booked],
                        "RTNDAT": f"{back:%Y%m%d}" if back else "",
                        "RTNFLG": _RTNFLG[booking.booked],
                        "RTNNAR": booking.reason,
                        "YURREF": booking.instruction.reference,
                    },
                )
            )
        return found

    # ---- notices ----------------------------------------------------------------------------------------------

    def _new_notices(self, root: etree._Element, books: Books) -> list[Markup]:
        fresh = [one for one in self._results if one not in self._told]
        self._told.update(fresh)
        return [_notice(one) for one in fresh]

    def _old_notices(self, root: etree._Element, books: Books) -> list[Markup]:
        return [_notice(one) for one in self._results if one in self._told]

    def _result(self, root: etree._Element, books: Books) -> list[Markup]:
        wanted = _of(root, "SDQPYRSTX")["RSTSET"]
        return [self._line("SDQPYRSTZ", one) for one in self._results.get(wanted, [])]

    # ---- payroll and collection -------------------------------------------------------------------------------

    def _payroll(self, root: etree._Element, books: Books) -> list[Markup]:
        return self._big(root, books, collects=False)

    def _collection(self, root: etree._Element, books: Books) -> list[Markup]:
        return self._big(root, books, collects=True)

    def _big(self, root: etree._Element, books: Books, *, collects: bool) -> list[Markup]:
        head = _of(root, "NTAGCAGCX1")
        lines = [dict(texts(one)) for one in root.iterchildren("NTAGCDTLY1")]
        wanted = [
            _agency_line(
                one.get("CPRREF") or f"{head['YURREF']}-{one['TRXSEQ']}",
                head["ACCNBR"],
                one,
                one["ACCNAM"],
                one.get("TRSDSP", ""),
                collects,
            )
            for one in lines
        ]
        whole = head["TTLNUM"].lstrip("0") == "1"
        number = self._agency(head, wanted, books) if whole else self._part(head, wanted, books)
        self._sequence |= {one.reference: line["TRXSEQ"] for one, line in zip(wanted, lines, strict=True)}
        self._beside |= {one.reference: line for one, line in zip(wanted, lines, strict=True)}
        return [row("NTAGCAGCZ1", {"REQNBR": number, "REQSTA": "OPR", "RSV50Z": ""})]

    def _agent(self, root: etree._Element, books: Books) -> list[Markup]:
        head = _of(root, "SDKATSRQX")
        lines = [dict(texts(one)) for one in root.iterchildren("SDKATDRQX")]
        wanted = [
            _agency_line(
                line.get("TRSDSP") or f"{head['YURREF']}-{place:04d}",
                head["DBTACC"],
                line,
                line["CLTNAM"],
                head.get("MEMO", ""),
                head["BUSCOD"] == "N03030",
            )
            for place, line in enumerate(lines, start=1)
        ]
        number = self._agency(head, wanted, books)
        self._beside |= {one.reference: line for one, line in zip(wanted, lines, strict=True)}
        return [row("NTREQNBRY", {"REQNBR": number, "RSV50Z": "OPR数据接收中"})]

    def _agency(self, head: Mapping[str, str], wanted: list[Instruction], books: Books) -> str:
        try:
            booked = books.take_bundle(head["YURREF"], wanted)
        except DuplicateBundle:
            raise Refused("-2", REPEATED_REFERENCE.text) from None
        number = _number(booked[0])
        self._messages[number] = head["YURREF"]
        return number

    def _part(self, head: Mapping[str, str], wanted: list[Instruction], books: Books) -> str:
        """Keep one part of a batch, under the number that the first part was given. The last part books all of them."""
        first, reference = head["BEGTAG"] == "Y", head["YURREF"]
        if first and books.has_bundle(reference):
            raise Refused("-2", REPEATED_REFERENCE.text)
        number = f"{books.serial():010d}" if first else head["REQNBR"]
        if not first and number not in self._parts:
            raise Refused("-2", "批次不存在")
        parts = self._parts.setdefault(number, [])
        parts.append(wanted)
        if head["ENDTAG"] != "Y":
            return number
        whole = [one for part in self._parts.pop(number) for one in part]
        stated = (head["TTLNUM"].lstrip("0"), head["TTLCNT"].lstrip("0"), Money.parse(head["TTLAMT"]).minor)
        if stated != (str(len(parts)), str(len(whole)), sum(one.amount.minor for one in whole)):
            raise Refused("-3", "总批次数、总笔数或总金额不符")
        self._agency(head, whole, books)
        self._messages[number] = reference
        self._numbers[reference] = number
        return number

    def _agency_state(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _of(root, "NTAGCINYX1")
        bookings = books.bundle(asked["YURREF"])
        if not bookings:
            return []
        if self.dressed:
            return [
                row(
                    "NTAGCINQZ",
                    {
                        "BUSCOD": asked["BUSCOD"],
                        "ERRCOD": REPEATED_REFERENCE.code,
                        "ERRDSP": REPEATED_REFERENCE.text,
                        "REQNBR": "",
                        "REQSTA": "FIN",
                        "RTNFLG": "F",
                        "SUCAMT": "0.00",
                        "SUCNUM": "0",
                        "TOTAMT": str(Money(sum(one.instruction.amount.minor for one in bookings))),
                        "TRSNUM": str(len(bookings)),
                        "YURREF": asked["YURREF"],
                    },
                )
            ]
        done = [one for one in bookings if one.booked in (Booked.SETTLED, Booked.RETURNED)]
        undecided = any(one.booked is Booked.TAKEN for one in bookings) and not self.whole_batch
        number = self._numbers.get(asked["YURREF"], _number(bookings[0]))
        self._messages[number] = asked["YURREF"]
        return [
            row(
                "NTAGCINQZ",
                {
                    "BUSCOD": asked["BUSCOD"],
                    "ERRCOD": "SUC0000",
                    "ERRDSP": "",
                    "OPRALS": "",
                    "OPRSQN": "",
                    "OPRSTP": "",
                    "REQNBR": number,
                    "REQSTA": "BNK" if undecided else "FIN",
                    "RTNFLG": "" if undecided else "S" if done or self.whole_batch else "F",
                    "SUCAMT": str(Money(sum(one.instruction.amount.minor for one in done))),
                    "SUCNUM": str(len(done)),
                    "TOTAMT": str(Money(sum(one.instruction.amount.minor for one in bookings))),
                    "TRSNUM": str(len(bookings)),
                    "YURREF": asked["YURREF"],
                },
            )
        ]

    def _agency_lines(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _of(root, "NTAGDINFY1")
        bookings = self._message(asked["REQNBR"], books)
        begin = int(asked.get("TRXSEQ") or "0")
        # After a restart only the books are left, and a client's lines are numbered from 1 in their order.
        places = {
            one.instruction.reference: self._sequence.get(one.instruction.reference, f"{nth:08d}")
            for nth, one in enumerate(bookings, start=1)
        }
        page = [one for one in bookings if int(places[one.instruction.reference]) > begin][:_DETAIL_PAGE]
        silent = bookings[1:2] if self.no_status else ()
        rows = [
            row(
                "NTAGCDTLY1",
                ({} if one in silent else {"STSCOD": _BIG[one.booked]})
                | {
                    "CPRACT": "",
                    "EACBNK": "",
                    "EACCTY": "",
                    "FSTFLG": "",
                    "RCVBNK": "",
                    "ACCNAM": one.instruction.creditor_name,
                    "ACCNBR": one.instruction.creditor_account,
                    "BNKFLG": "Y",
                    "ERRDSP": one.reason,
                    "TRSAMT": str(one.instruction.amount),
                    "TRSDSP": one.instruction.purpose,
                    "TRXSEQ": places[one.instruction.reference],
                    "CPRREF": "" if "-" in one.instruction.reference else one.instruction.reference,
                },
            )
            for one in page
        ]
        if len(page) < _DETAIL_PAGE or page[-1] == bookings[-1]:
            return rows
        further = {
            "BTHNBR": "00000001",
            "HISTAG": "N",
            "REQNBR": asked["REQNBR"],
            "TRXSEQ": places[page[-1].instruction.reference],
        }
        return [*rows, row("NTAGDINFY1", further)]

    def _agent_lines(self, root: etree._Element, books: Books) -> list[Markup]:
        bookings = self._message(_of(root, "SDKATDQYX")["REQNBR"], books)
        return [
            row(
                "NTQATDQYZ",
                {
                    "ACCNBR": one.instruction.creditor_account,
                    "BNKFLG": "Y",
                    "CLTNAM": one.instruction.creditor_name,
                    "ERRDSP": one.reason,
                    "STSCOD": _SMALL[one.booked],
                    "TRSAMT": str(one.instruction.amount),
                    "TRSDSP": one.instruction.reference,
                },
            )
            for one in bookings
        ]

    def _refunds(self, root: etree._Element, books: Books) -> list[Markup]:
        """Answer NTAGDRFD: lines of payrolls that came back, in the form of a public client's sample."""
        asked = _of(root, "NTAGDRFDY1")
        first, last = _span(asked)
        back = [one for one in books.returns(asked["ACCNBR"], first, last) if not one.instruction.collects]
        return [self._refund(one) for one in back if one.instruction.reference in self._beside]

    def _refund(self, booking: Booking) -> Markup:
        done = booking.instruction
        line = self._beside[done.reference]
        return row(
            "NTAGDRFDZ1",
            {
                "BTHDTL": self._sequence.get(done.reference, ""),
                "CPRACT": line.get("CPRACT", ""),
                "CPRCNV": "",
                "EACNAM": done.creditor_name,
                "EACNBR": done.creditor_account,
                "REQNBR": _number(booking),
                "RTNCOD": "002",
                "RTNTXT": booking.reason,
                "STSCOD": "E",
                "TRSAMT": str(done.amount),
                "TRSDAT": f"{booking.bank_date:%Y%m%d}",
                "TXTCLT": line.get("TRSDSP", ""),
                "YURREF": done.bundle,
            },
        )

    def _message(self, number: str, books: Books) -> tuple[Booking, ...]:
        reference = self._messages.get(number, "")
        return books.bundle(reference) if reference else ()


def _of(root: etree._Element, name: str) -> Mapping[str, str]:
    """The fields of an interface that occurs once."""
    return {tag: content for one in root.iterchildren(name) for tag, content in texts(one)}


def _span(asked: Mapping[str, str]) -> tuple[date, date]:
    return date.fromisoformat(asked["BGNDAT"]), date.fromisoformat(asked["ENDDAT"])


def _instruction(line: Mapping[str, str], name: str) -> Instruction:
    return Instruction(
        line["YURREF"],
        line["DBTACC"],
        line["CRTACC"],
        name,
        Money.parse(line["TRSAMT"]),
        line.get("NUSAGE", ""),
        urgent=line.get("STLCHN") == "F",
    )


def _unnumbered(name: str, reference: str, code: str, text: str) -> Markup:
    """A line as in a captured message: answered like a failure, without a number."""
    return row(
        name,
        {
            "ERRCOD": code,
            "ERRTXT": text,
            "OPRALS": "",
            "OPRSQN": "",
            "REQNBR": "",
            "REQSTS": "FIN",
            "RTNFLG": "F",
            "SQRNBR": _NO_NUMBER,
            "YURREF": reference,
        },
    )


def _agency_line(
    reference: str, account: str, line: Mapping[str, str], name: str, text: str, collects: bool
) -> Instruction:
    return Instruction(reference, account, line["ACCNBR"], name, Money.parse(line["TRSAMT"]), text, collects=collects)


def _notice(result: str) -> Markup:
    return row("NTQNTCGTZ", {"MSGNBR": result, "MSGTYP": "NCBCHOPR", "RSTSET": result, "USRNBR": ""})
