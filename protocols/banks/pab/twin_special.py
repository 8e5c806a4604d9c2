"""The twin's side of KHKF03 and KHKF04 (fast pay), 4052 (sweeps) and 401802 (receipts of a batch's lines).

Elements are those of public clients, where the bank's page does not name them. Each function gets the root of a request
that the rules have judged.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from protocols.banks.pab.twin_answer import (
    NO_RECORD,
    NOT_OPENED,
    NOTHING,
    Conduct,
    Done,
    Refused,
    flat,
    held,
    known,
    leaf,
)
from protocols.banks.pab.twin_rows import stamp
from protocols.canon.money import Money
from protocols.twin import Booked, Booking, Books, Duplicate, Instruction

STATUS = {Booked.TAKEN: "10", Booked.SETTLED: "20", Booked.REFUSED: "30", Booked.RETURNED: "20"}
_RECEIPT = ("ThirdVoucher", "SThirdVoucher", "OutAcctNo", "InAcctNo", "InAcctName", "TranAmount")


def fast(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer KHKF03: accept the order; its outcome is decided later."""
    account, number = held(books, leaf(root, "AcctNo")), leaf(root, "OrderNumber")
    wanted = Instruction(
        number,
        account.number,
        leaf(root, "InAcctNo"),
        leaf(root, "InAcctName"),
        Money.parse(leaf(root, "TranAmount")),
        leaf(root, "Remark"),
    )
    return Done(flat({"OrderNumber": number, "BussFlowNo": _flow(_take(books, "OrderNumber", wanted))}))


def fast_fate(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer KHKF04. An order is found by its OrderNumber; BussFlowNo alone finds none here."""
    booking = books.find(leaf(root, "OrderNumber"))
    if booking is None or booking.instruction.debtor_account != leaf(root, "AcctNo"):
        raise Refused(NO_RECORD)
    done, refused = booking.instruction, booking.booked is Booked.REFUSED
    paid = booking.booked in (Booked.SETTLED, Booked.RETURNED)
    leaves = {
        "OrderNumber": conduct.named(done.reference),
        "BussFlowNo": _flow(booking),
        "TranFlowNo": booking.bank_serial if paid else "",
        "Status": STATUS[booking.booked],
        "RetCode": "T001" if refused else "0000" if paid else "",
        "RetMsg": booking.reason if refused else "交易成功" if paid else "处理中",
        "SettleDate": stamp(booking.bank_date + conduct.ahead) if paid else "",
        "CcyCode": "RMB",
        "TranAmount": str(done.amount),
        "InAcctNo": done.creditor_account,
        "InAcctName": done.creditor_name,
        "Mobile": "",
        "Remark": done.purpose,
    }
    return Done(flat(leaves))


def sweep(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer 4052, a transfer between an upper account and one sub-account, which are both the group's own.

    A sweep of all sub-accounts moves what a contract prescribes. There is no contract here, so it is answered with
    YQ9990.
    """
    voucher, area, direction = leaf(root, "ThirdVoucher"), leaf(root, "guiJiAreaOption"), leaf(root, "guiJiType")
    if area == "1":
        raise Refused(NOT_OPENED)
    upper, lower = held(books, leaf(root, "AcctNo")), held(books, leaf(root, "subAccountNo"))
    payer, payee = (lower, upper) if direction == "1" else (upper, lower)
    amount = Money.parse(leaf(root, "Amount"))
    wanted = Instruction(voucher, payer.number, payee.number, payee.holder, amount, "归集")
    booking = _take(books, "ThirdVoucher", wanted)
    leaves = {
        "ThirdVoucher": voucher,
        "flowNo": _flow(booking)[-14:],
        "AcctNo": upper.number,
        "supAccountName": upper.holder,
        "supAccountOpenNode": "",
        "guiJiAreaOption": area,
        "subAccountNo": lower.number,
        "subAccountName": lower.holder,
        "guiJiType": direction,
        "Amount": str(amount),
    }
    return Done(flat(leaves))


def receipt(root: etree._Element, books: Books, _conduct: Conduct) -> Done:
    """Answer 401802 with number and check code of the receipt of a paid line. The request must name all details of the
    line."""
    lines = {one.instruction.reference: one for one in books.bundle(leaf(root, "ThirdVoucher"))}
    booking = lines.get(leaf(root, "SThirdVoucher"))
    if booking is None or booking.booked is not Booked.SETTLED or not _agrees(booking, root):
        raise Refused(NOTHING)
    digits = _flow(booking)
    named = {tag: leaf(root, tag) for tag in _RECEIPT}
    return Done(flat(named | {"CheckNo": f"HD{digits[-16:]}", "CheckCode": digits[-8:][::-1]}))


def _agrees(booking: Booking, root: etree._Element) -> bool:
    done = booking.instruction
    told: Mapping[str, str] = {
        "OutAcctNo": done.debtor_account,
        "InAcctNo": done.creditor_account,
        "InAcctName": done.creditor_name,
    }
    same = all(leaf(root, tag) == text for tag, text in told.items())
    return same and Money.parse(leaf(root, "TranAmount")) == done.amount


def _take(books: Books, place: str, wanted: Instruction) -> Booking:
    try:
        return books.book_once(wanted)
    except Duplicate as duplicate:
        raise known(place, wanted.reference, [duplicate.booking.instruction], [wanted]) from None


def _flow(booking: Booking) -> str:
    return "".join(char for char in booking.bank_serial if char.isdigit())[-32:].zfill(20)
