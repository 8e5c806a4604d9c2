"""The bank's side of batches, payrolls and collections; see twin.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from protocols.banks.cib.twin_rules_parts import batch_lines
from protocols.banks.cib.twin_words import REGISTERED, Broke, Faults, Refused, leaves, sole, text
from protocols.canon.money import Money
from protocols.kit.xmldoc import Markup, cdata, el
from protocols.twin import Booked, Booking, Books, DuplicateBundle, Instruction

Operation = Callable[[str, etree._Element, Books], Markup | None]
_WORD: Final = {Booked.TAKEN: "PROCESSING", Booked.SETTLED: "PAYOUT", Booked.REFUSED: "FAIL", Booked.RETURNED: "PAYOUT"}
_PAYROLL: Final = {Booked.TAKEN: "90", Booked.SETTLED: "23", Booked.REFUSED: "41", Booked.RETURNED: "23"}
_GATHER: Final = {Booked.TAKEN: "2", Booked.SETTLED: "0", Booked.REFUSED: "1", Booked.RETURNED: "0"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line as the client sent it: its number, the cells of the message, and its key in the books."""

    number: int
    key: str
    cells: Sequence[str]
    wanted: Instruction


@dataclass(slots=True)
class Bundling:
    """Records of bundles by TRNUID: the head and the lines as the client sent them, which the books do not keep."""

    heads: dict[str, list[Markup]] = field(default_factory=dict)
    lines: dict[str, list[_Line]] = field(default_factory=dict)

    def operations(self, faults: Faults) -> Mapping[str, Operation]:
        """The operations that this part answers."""

        def with_faults(operation: Callable[[str, etree._Element, Books, Faults], Markup]) -> Operation:
            return lambda trnuid, request, books: operation(trnuid, request, books, faults)

        return {
            "ASYNBATCHTRSFRTRN": with_faults(self._batch_text),
            "RBATCHTRSFRTRN": with_faults(self._batch),
            "RPAYOFFTRN": with_faults(self._payroll),
            "RPAYOFFINQTRN": with_faults(self._payroll_enquiry),
            "GATHERTRN": with_faults(self._gather),
        }

    # ---- batches -----------------------------------------------------------------------------------------------

    def _batch_text(self, trnuid: str, request: etree._Element, books: Books, faults: Faults) -> Markup:
        body = request.find("RQBODY")
        if body is not None:
            if not faults.enable_sign:
                raise Refused("2000", "前置机代理软件参数需设置启用签名")
            payer = text(sole(body, "ACCTFROM"), "ACCTID")
            lines = [_text_line(trnuid, row, payer) for row in batch_lines(request)]
            self._submit(trnuid, body, lines, books)
            _trouble(faults)
            return el("RSBODY", self.heads[trnuid], _status("SUBMIT_SUCC"))
        found = self._found(trnuid, books, faults)
        rows_told = []
        for line, booking in found:
            cells = [*line.cells, *_line_word(booking, faults, "成功")]
            if line.number == faults.strange_line:
                cells[8] = "9999.99"
            rows_told.append("|".join(cells) + "|")
        name = "size" if faults.lower_size else "SIZE"
        listed_again = el("XFERINFOTEXT", {name: str(len(rows_told))}, cdata("\n".join(rows_told)))
        return el("RSBODY", self.heads[trnuid], listed_again, _status(*_whole(found, faults)))

    def _batch(self, trnuid: str, request: etree._Element, books: Books, faults: Faults) -> Markup:
        body = request.find("RQBODY")
        if body is not None:
            payer = text(sole(body, "ACCTFROM"), "ACCTID")
            lines = [_info_line(trnuid, row, payer) for row in body.findall("XFERINFO")]
            self._submit(trnuid, body, lines, books)
            _trouble(faults)
        found = self._found(trnuid, books, faults)
        rows = [
            el(
                "XFERINFO",
                el("INDX", str(line.number)),
                el("ACCTTO", el("ACCTID", line.wanted.creditor_account), el("NAME", line.wanted.creditor_name)),
                el("TRNAMT", _amount(line, faults)),
                el("USE", line.wanted.purpose),
                el("REMARK", line.cells[0]),
                [el(tag, said) for tag, said in zip(("STATUS", "ERRMSG"), _line_word(booking, faults), strict=True)],
            )
            for line, booking in found
        ]
        return el("RSBODY", self.heads[trnuid], rows, _status(*_whole(found, faults)))

    # ---- payrolls and collections ------------------------------------------------------------------------------

    def _payroll(self, trnuid: str, request: etree._Element, books: Books, faults: Faults) -> Markup:
        info = sole(request, "RPAYOFFRQ/RPAYOFFINFO")
        payer = text(sole(info, "ACCTFROM"), "ACCTID")
        lines = [_card_line(trnuid, row, payer) for row in info.findall("RPAYOFFLIST/RPAYOFF")]
        self._submit(trnuid, info, lines, books)
        _trouble(faults)
        return el("RPAYOFFRS", self._payroll_info(trnuid, books, faults))

    def _payroll_enquiry(self, trnuid: str, request: etree._Element, books: Books, faults: Faults) -> Markup:
        return el("RPAYOFFINQRS", self._payroll_info(text(sole(request, "XFERINQRQ"), "CLIENTREF"), books, faults))

    def _payroll_info(self, trnuid: str, books: Books, faults: Faults) -> Markup:
        rows = [
            el(
                "RPAYOFF",
                el("INDX", str(line.number)),
                el("ACCTNAME", line.wanted.creditor_name),
                el("ACCTID", line.wanted.creditor_account),
                el("TRNAMT", _amount(line, faults)),
                el("STATUS", faults.line_word or _PAYROLL[booking.booked]),
                el("ERRMSG", booking.reason),
            )
            for line, booking in self._found(trnuid, books, faults)
        ]
        head = self._reduced(trnuid, books) if faults.reduced else self.heads[trnuid]
        return el("RPAYOFFINFO", head, el("RPAYOFFLIST", rows))

    def _reduced(self, trnuid: str, books: Books) -> list[Markup]:
        """The head, with the failed lines subtracted from the totals of the debit."""
        kept = [booking for booking in books.bundle(trnuid) if booking.booked is not Booked.REFUSED]
        fen = sum(booking.instruction.amount.minor for booking in kept)
        totals = {"<TOTALCOUNT>": el("TOTALCOUNT", str(len(kept))), "<TOTALAMOUNT>": el("TOTALAMOUNT", str(Money(fen)))}
        return [totals.get(one.partition(">")[0] + ">", one) for one in self.heads[trnuid]]

    def _gather(self, trnuid: str, request: etree._Element, books: Books, faults: Faults) -> Markup:
        content = request.find("GATHERRQ")
        if content is not None:
            info = sole(content, "GATHERINFO")
            own = text(sole(info, "ACCTTO"), "ACCTID")
            lines = [_gather_line(trnuid, row, own) for row in info.findall("PAYINFO")]
            self._submit(trnuid, info, lines, books)
            _trouble(faults)
        found = self._found(trnuid, books, faults)
        rows = [
            el(
                "PAYINFO",
                el("INDX", str(line.number)),
                el("ACCTFROM", el("ACCTID", line.wanted.creditor_account)),
                el("APPLYAMT", _amount(line, faults)),
                el("PAYAMT", str(line.wanted.amount) if booking.booked is Booked.SETTLED else "0.00"),
                el("RESULT", faults.line_word or _GATHER[booking.booked]),
                el("MSG", booking.reason),
            )
            for line, booking in found
        ]
        whole, words = _whole(found, faults)
        said = _status(whole.replace("PROCESSING", "PENDING"), words)
        return el("GATHERRS", el("GATHERINFO", self.heads[trnuid], el("ACCEPTNO", trnuid[-8:]), rows), said)

    # ---- what they share ---------------------------------------------------------------------------------------

    def _submit(self, trnuid: str, head: etree._Element, lines: list[_Line], books: Books) -> None:
        """Book all lines, unless this TRNUID was used before."""
        try:
            books.take_bundle(trnuid, [line.wanted for line in lines])
        except DuplicateBundle:
            return
        repeated = [el("ACCTFROM", leaves(one)) for one in head.findall("ACCTFROM")]
        repeated += [el("ACCTTO", leaves(one)) for one in head.findall("ACCTTO")]
        repeated += [
            el(str(one.tag), one.text or "")
            for one in head
            if not len(one) and one.tag not in ("XFERINFOTEXT", "XFERINFO", "PAYINFO")
        ]
        self.heads[trnuid] = repeated
        self.lines[trnuid] = lines

    def _found(self, trnuid: str, books: Books, faults: Faults) -> list[tuple[_Line, Booking]]:
        """The lines that an enquiry finds, each with its state."""
        if faults.enquiry_code:
            raise Refused(faults.enquiry_code, "查询失败")
        known = {booking.instruction.reference: booking for booking in books.bundle(trnuid)}
        if not known:
            raise Refused("2000", "支付指令不存在")
        found = [(line, known[line.key]) for line in self.lines[trnuid] if line.key in known]
        found = [(line, booking) for line, booking in found if line.number != faults.lost_line]
        return found[::-1] if faults.turned else found


def _trouble(faults: Faults) -> None:
    if faults.http_500:
        raise Broke
    if faults.trouble:
        raise Refused(faults.trouble, "操作执行异常，请查询")


def _amount(line: _Line, faults: Faults) -> str:
    return "9999.99" if line.number == faults.strange_line else str(line.wanted.amount)


def _status(word: str, words: str = "") -> Markup:
    return el("XFERPRCSTS", el("XFERPRCCODE", word), el("MESSAGE", words))


def _line_word(booking: Booking, faults: Faults, done: str = "") -> tuple[str, str]:
    """A batch line's status, and the text beside it."""
    if faults.registered and booking.booked is Booked.TAKEN and not faults.line_word:
        return REGISTERED
    return faults.line_word or _WORD[booking.booked], booking.reason or done


def _whole(found: Sequence[tuple[_Line, Booking]], faults: Faults) -> tuple[str, str]:
    if faults.word:
        return faults.word, ""
    words = {_WORD[booking.booked] for _, booking in found}
    if "PROCESSING" in words:
        return REGISTERED if faults.registered else ("PROCESSING", "")
    return words.pop() if len(words) == 1 else "PART_PAYOUT", ""


def _key(trnuid: str, number: int, remark: str) -> str:
    """The key of a line in the books: our client's own reference where its remark is one, else TRNUID and number."""
    return remark if re.fullmatch("[0-9A-Z]{20}", remark) else f"{trnuid}-{number}"


def _text_line(trnuid: str, row: str, payer: str) -> _Line:
    cells = [cell.strip() for cell in row.split("|")][:11]
    key = _key(trnuid, int(cells[0]), cells[10])
    amount = Money.parse(cells[8])
    return _Line(int(cells[0]), key, cells, Instruction(key, payer, cells[1], cells[2], amount, cells[9]))


def _info_line(trnuid: str, row: etree._Element, payer: str) -> _Line:
    payee, number = sole(row, "ACCTTO"), int(text(row, "INDX"))
    key = _key(trnuid, number, text(row, "REMARK"))
    amount = Money.parse(text(row, "TRNAMT"))
    wanted = Instruction(key, payer, text(payee, "ACCTID"), text(payee, "NAME"), amount, text(row, "USE"))
    return _Line(number, key, (text(row, "REMARK"),), wanted)


def _card_line(trnuid: str, row: etree._Element, payer: str) -> _Line:
    number, name = int(text(row, "INDX")), text(row, "ACCTNAME")
    key = _key(trnuid, number, "")
    amount = Money.parse(text(row, "TRNAMT"))
    return _Line(number, key, (), Instruction(key, payer, text(row, "ACCTID"), name, amount, "代发"))


def _gather_line(trnuid: str, row: etree._Element, own: str) -> _Line:
    number, payer = int(text(row, "INDX")), sole(row, "ACCTFROM")
    key, amount = _key(trnuid, number, ""), Money.parse(text(row, "APPLYAMT"))
    other, name = text(payer, "ACCTID"), text(payer, "NAME")
    wanted = Instruction(key, own, other, name, amount, text(row, "PURPOSE"), collects=True)
    return _Line(number, key, (), wanted)
