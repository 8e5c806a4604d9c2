"""The twin's side of many orders in one message: 4018 and 4047, and the questions about them, 4015 and 4048."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lxml import etree

from protocols.banks.pab.twin_answer import (
    NOTHING,
    Conduct,
    Done,
    Refused,
    cut,
    flat,
    held,
    known,
    leaf,
    number,
    with_rows,
)
from protocols.banks.pab.twin_rows import row_4015, summed
from protocols.canon.money import Money
from protocols.twin import Booked, Booking, Books, DuplicateBundle, Instruction

_WANTED: Final = {"1": Booked.SETTLED, "2": Booked.REFUSED, "3": Booked.TAKEN, "4": Booked.RETURNED}
"""QueryType of 4015. 0 asks for all."""


def batch(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer 4018: take the lines; their outcomes are decided later."""
    debtor = held(books, leaf(root, "OutAcctNo"))
    lines = [
        Instruction(
            leaf(row, "SThirdVoucher"),
            debtor.number,
            leaf(row, "InAcctNo"),
            leaf(row, "InAcctName"),
            Money.parse(leaf(row, "TranAmount")),
            leaf(row, "UseEx"),
            urgent=leaf(row, "SysFlag") in ("Y", "S"),
        )
        for row in root.iterchildren("HOResultSet4018R")
    ]
    _take(leaf(root, "ThirdVoucher"), lines, books)
    return Done(flat({"ThirdVoucher": leaf(root, "ThirdVoucher")}))


def agency(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer 4047: take payroll (PayType 1) or collections (PayType 0)."""
    source = held(books, leaf(root, "SrcAccNo"))
    lines = [
        Instruction(
            leaf(row, "SThirdVoucher"),
            source.number,
            leaf(row, "OppAccNo"),
            leaf(row, "OppAccName"),
            Money.parse(leaf(row, "Amount")),
            leaf(row, "PostScript"),
            collects=leaf(root, "PayType") == "0",
        )
        for row in root.iterchildren("HOResultSet4047R")
    ]
    _take(leaf(root, "ThirdVoucher"), lines, books)
    echo = {tag: leaf(root, tag) for tag in ("ThirdVoucher", "PayType", "SrcAccNo", "TotalNum", "TotalAmount")}
    return Done(flat(echo | {"BussFlowNo": f"{books.serial():020d}"}))


def _take(voucher: str, lines: Sequence[Instruction], books: Books) -> None:
    try:
        books.take_bundle(voucher, lines)
    except DuplicateBundle:
        first = [one.instruction for one in books.bundle(voucher)]
        raise known("ThirdVoucher", voucher, first, [replace(one, bundle=voucher) for one in lines]) from None


def batch_fate(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4015: sums, and the lines of a page by QueryType. Lines named in the request need no pages."""
    voucher = leaf(root, "OrigThirdVoucher")
    bookings = books.bundle(voucher)
    if not bookings:
        raise Refused(NOTHING)
    wanted = _WANTED.get(leaf(root, "QueryType"))
    named = {leaf(row, "SThirdVoucher") for row in root.iterchildren("HOResultSet4015R")}
    told = [one for one in bookings if wanted in (None, one.booked)]
    told = [one for one in told if not named or one.instruction.reference in named]
    size = number(leaf(root, "PageCts"), 500)
    page, more = cut(told, number(leaf(root, "PageNo"), 1), min(size, conduct.page_lines_4015))
    if named:
        page, more = told, False
    untold = "batch_untold" in conduct.faults
    page = () if untold else page
    good = [one for one in bookings if one.booked in (Booked.SETTLED, Booked.RETURNED)]
    bad = [one for one in bookings if one.booked is Booked.REFUSED]
    open_ = [one for one in bookings if one.booked is Booked.TAKEN]
    head = {
        "OrigThirdVoucher": voucher,
        "batchSTT": "B1" if open_ or untold else "20",
        **summed("success", good),
        **summed("faild", bad),
        **summed("process", open_),
        "TotalCts": str(len(bookings)),
        "CTotalCts": str(len(page)),
        "PTotalCts": "1",
        "IsEnd": "N" if more else "Y",
        "subBatchSTT": "",
    }
    rows = [row | {"SThirdVoucher": conduct.named(row["SThirdVoucher"])} for row in map(row_4015, page)]
    return Done(with_rows(head, conduct.silent(rows)), serial=voucher)


def agency_fate(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4048: the status of the batch and a row for each line."""
    voucher = leaf(root, "ThirdVoucher")
    bookings = books.bundle(voucher)
    if not bookings:
        raise Refused(NOTHING)
    # A refused or undecided line has another stt than 0000. Which one is not public.
    rows = [
        {
            "ThirdVoucher": voucher,
            "SThirdVoucher": one.instruction.reference,
            "OppAccNo": one.instruction.creditor_account,
            "OppAccName": one.instruction.creditor_name,
            "Amount": str(one.instruction.amount),
            "Fee": str(one.fee or Money(0)),
            "stt": _stt(one),
            "sttInfo": one.reason,
        }
        for one in bookings
    ]
    # 3: the batch failed. 4: it succeeded. Its values before that are not public.
    by_fate = {one.booked for one in bookings}
    status = "Z1" if Booked.TAKEN in by_fate else "3" if by_fate == {Booked.REFUSED} else "4"
    return Done(with_rows({"BStt": status}, conduct.silent(rows)))


def _stt(one: Booking) -> str:
    return "0000" if one.booked in (Booked.SETTLED, Booked.RETURNED) else f"Z{one.booked.value[:3].upper()}"
