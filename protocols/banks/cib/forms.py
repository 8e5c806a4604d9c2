"""The bank's messages for many orders, and their answers: batches, payrolls (RPAYOFFTRN) and collections (GATHERTRN).

A batch's lines are text with '|' (ASYNBATCHTRSFRTRN) or elements (RBATCHTRSFRTRN). Their remark carries our reference
and comes back with it, unless the option `batch_remark` says otherwise. A line of a payroll or a collection is known by
its number, account and amount. Failed lines of a payroll are taken off the total debit (banks/cib.md 4.6 to 4.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from lxml import etree

from protocols.banks.cib.bundle import AnswerLine, Form, Stated
from protocols.banks.cib.fox import attribute
from protocols.banks.cib.options import Options
from protocols.banks.cib.requests import SENT, batch_content, collection_content, enquiry_content, payroll_content
from protocols.canon.order import Kind
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import Delimited, digits
from protocols.kit.xmldoc import first_of, several, text, value, value_or

BATCH_LINES: Final = 100
PAYROLL_LINES: Final = 300
_TOLD: Final = Delimited(trailing=True)
_TOLD_COLUMNS: Final = 13
"""What was sent, 处理状态 and 处理结果信息."""


def forms(options: Options) -> dict[Kind, Form]:
    """The bank's message for each kind of order that this customer sends in bundles.

    Collections are offered if the options name FIRMCODE and BIZCODE, which the bank gives out.
    """

    realtime = options.batch == "realtime"
    found = {
        Kind.BATCH_ITEM: Form(
            "batch",
            "RBATCHTRSFRTRN" if realtime else "ASYNBATCHTRSFRTRN",
            BATCH_LINES,
            partial(batch_content, options=options),
            _elements_told if realtime else _text_told,
        ),
        Kind.PAYROLL_ITEM: Form(
            "payroll",
            "RPAYOFFTRN",
            PAYROLL_LINES,
            partial(payroll_content, options=options),
            _payroll_told,
            "RPAYOFFINQTRN",
            enquiry_content,
        ),
    }
    if options.firm_code:
        content = partial(collection_content, options=options)
        most = options.collection_lines
        found[Kind.COLLECTION] = Form("collection", "GATHERTRN", most, content, _collection_told)
    return found


def _stated(total: etree._Element | None, rows: str, columns: Sequence[str], ours: str) -> Stated | None:
    """The body of an answer whose lines are elements at `rows`. `columns` are the places of a line's values, in the
    order of AnswerLine: account, amount, status, text, mark, paid; "" for one that the line does not have."""
    if total is None:
        return None
    lines = tuple(
        AnswerLine(digits(value(row, "INDX")), *(value_or(row, column) if column else "" for column in columns))
        for row in several(total, rows)
    )
    return Stated(total, lines, value_or(total, ours))


def _elements_told(answer: etree._Element) -> Stated | None:
    columns = ("ACCTTO/ACCTID", "TRNAMT", "STATUS", "ERRMSG", "REMARK")
    return _stated(first_of(answer, "RSBODY"), "XFERINFO", columns, "ACCTFROM/ACCTID")


def _payroll_told(answer: etree._Element) -> Stated | None:
    info = first_of(answer, "RPAYOFFRS/RPAYOFFINFO", "RPAYOFFINQRS/RPAYOFFINFO", "XFERINQRS/RPAYOFFINFO", "RPAYOFFINFO")
    return _stated(info, "RPAYOFFLIST/RPAYOFF", ("ACCTID", "TRNAMT", "STATUS", "ERRMSG"), "ACCTFROM/ACCTID")


def _collection_told(answer: etree._Element) -> Stated | None:
    info = first_of(answer, "GATHERRS/GATHERINFO", "GATHERRS")
    return _stated(info, "PAYINFO", ("ACCTFROM/ACCTID", "APPLYAMT", "RESULT", "MSG", "", "PAYAMT"), "ACCTTO/ACCTID")


def _text_told(answer: etree._Element) -> Stated | None:
    body = first_of(answer, "RSBODY")
    if body is None:
        return None
    lines = first_of(body, "XFERINFOTEXT")
    rows = [] if lines is None else _TOLD.split_rows(text(lines))
    size = "" if lines is None else attribute(lines, "SIZE")
    if size and digits(size) != len(rows):
        raise ProtocolError("value", f"the list says it has {size} lines, it has {len(rows)}")
    return Stated(body, tuple(_told_row(row) for row in rows), value_or(body, "ACCTFROM/ACCTID"))


def _told_row(row: Sequence[str]) -> AnswerLine:
    """One line of the answer. Only the bank's own text, which is the last cell, may contain a '|' or be left out.

    We send no '|' in a cell. A '|' elsewhere would move account, amount or reference from their places, which the
    checks detect.
    """
    sent = SENT.columns
    assert sent is not None
    if len(row) < sent:
        raise ProtocolError("value", f"a line of {len(row)} fields, {sent} were sent")
    cells = [cell.strip() for cell in (*row, *("" for _ in range(_TOLD_COLUMNS - len(row))))]
    return AnswerLine(digits(cells[0]), cells[1], cells[8], cells[sent], "|".join(cells[sent + 1 :]), cells[10])
