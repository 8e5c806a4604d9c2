"""The twin's side of KHKF03 and KHKF04 (fast pay), 4052 (sweeps) and 401802 (receipts of a batch's lines).

Elements are those of public clients, where the bank's page does not name them. Each function gets the request's leaves
and the books, and returns the leaves of the answer; None is "no such record", Refused text a code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocols.banks.pab.twin_rows import stamp
from protocols.canon.money import BadMoney, Money
from protocols.twin import Booked, Booking, Books, Duplicate, Instruction

Read = Callable[[str], str]
Leaves = dict[str, str]
STATUS = {Booked.TAKEN: "10", Booked.SETTLED: "20", Booked.REFUSED: "30", Booked.RETURNED: "20"}
NO_ACCOUNT, BAD, KNOWN, NOTHING = "2778", "YQ9999", "MA4045", "MA0103"


class Code(Exception):  # noqa: N818 - an answer of the protocol
    """The request is answered with a code and no body."""


def fast(read: Read, books: Books) -> Leaves:
    """KHKF03: taken, and decided later."""
    account, item, number = books.holding(read("AcctNo")), read("BusiType"), read("OrderNumber")
    if account is None:
        raise Code(NO_ACCOUNT)
    card, name = read("InAcctNo"), read("InAcctName")
    if not item or not 1 <= len(number) <= 20 or not 1 <= len(card) <= 20 or not 1 <= len(name) <= 32:
        raise Code(BAD)
    booking = _take(books, Instruction(number, account.number, card, name, _amount(read("TranAmount")), read("Remark")))
    return {"OrderNumber": number, "BussFlowNo": _flow(booking)}


def fast_fate(read: Read, books: Books, named: Callable[[str], str]) -> Leaves:
    """KHKF04 by either number."""
    if not read("AcctNo") or not (read("OrderNumber") or read("BussFlowNo")):
        raise Code(BAD)
    booking = books.find(read("OrderNumber"))
    if booking is None or booking.instruction.debtor_account != read("AcctNo"):
        raise Code(NOTHING)
    done, refused = booking.instruction, booking.booked is Booked.REFUSED
    paid = booking.booked in (Booked.SETTLED, Booked.RETURNED)
    return {
        "OrderNumber": named(done.reference), "BussFlowNo": _flow(booking),
        "TranFlowNo": booking.bank_serial if paid else "", "Status": STATUS[booking.booked],
        "RetCode": "T001" if refused else "0000" if paid else "",
        "RetMsg": booking.reason if refused else "交易成功" if paid else "处理中",
        "SettleDate": stamp(booking.bank_date) if paid else "", "CcyCode": "RMB", "TranAmount": str(done.amount),
        "InAcctNo": done.creditor_account, "InAcctName": done.creditor_name, "Mobile": "", "Remark": done.purpose,
    }  # fmt: skip


def sweep(read: Read, books: Books) -> Leaves:
    """4052 between an upper account and one sub-account; both are the group's own."""
    upper, lower = books.holding(read("AcctNo")), books.holding(read("subAccountNo"))
    if upper is None or lower is None:
        raise Code(NO_ACCOUNT)
    voucher, area, direction = read("ThirdVoucher"), read("guiJiAreaOption"), read("guiJiType")
    if not 1 <= len(voucher) <= 20 or area != "2" or direction not in ("1", "2"):
        raise Code(BAD)
    payer, payee = (lower, upper) if direction == "1" else (upper, lower)
    amount = _amount(read("Amount"))
    booking = _take(books, Instruction(voucher, payer.number, payee.number, payee.holder, amount, "归集"))
    return {
        "ThirdVoucher": voucher, "flowNo": _flow(booking)[-14:], "AcctNo": upper.number, "supAccountName": upper.holder,
        "supAccountOpenNode": "", "guiJiAreaOption": area, "subAccountNo": lower.number,
        "subAccountName": lower.holder, "guiJiType": direction, "Amount": str(amount),
    }  # fmt: skip


def receipt(read: Read, books: Books) -> Leaves:
    """401802: number and check code of the receipt of a line that was paid, asked for with all its particulars."""
    asked = ("ThirdVoucher", "SThirdVoucher", "OutAcctNo", "InAcctNo", "InAcctName", "TranAmount")
    lines = {one.instruction.reference: one for one in books.bundle(read("ThirdVoucher"))}
    booking = lines.get(read("SThirdVoucher"))
    if booking is None or booking.booked is not Booked.SETTLED or not _agrees(booking, read):
        raise Code(NOTHING)
    digits = _flow(booking)
    return {tag: read(tag) for tag in asked} | {"CheckNo": f"HD{digits[-16:]}", "CheckCode": digits[-8:][::-1]}


def _agrees(booking: Booking, read: Read) -> bool:
    done = booking.instruction
    told: Mapping[str, str] = {
        "OutAcctNo": done.debtor_account, "InAcctNo": done.creditor_account, "InAcctName": done.creditor_name,
    }  # fmt: skip
    return all(read(tag) == text for tag, text in told.items()) and _amount(read("TranAmount")) == done.amount


def _take(books: Books, wanted: Instruction) -> Booking:
    try:
        return books.take(wanted)
    except Duplicate:
        raise Code(KNOWN) from None


def _amount(text: str) -> Money:
    try:
        amount = Money.parse(text)
    except BadMoney:
        raise Code(BAD) from None
    if amount.minor <= 0:
        raise Code(BAD)
    return amount


def _flow(booking: Booking) -> str:
    return "".join(char for char in booking.bank_serial if char.isdigit())[-32:].zfill(20)
