"""Rows of the twin's lists, and its accounting dates: with the fields of 4008, 4013, 4015 and 4019 on the bank's
page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Final

from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.twin import Booked, Booking, Books, Entry, Holding

ZONE: Final = timezone(timedelta(hours=8))
_EVENING: Final = time(21, 30)
STT: Final = {Booked.TAKEN: "11", Booked.SETTLED: "20", Booked.REFUSED: "30", Booked.RETURNED: "20"}
RESULT: Final = {
    Booked.TAKEN: "MA9111:交易处理中",
    Booked.SETTLED: "000000:转账交易成功",
    Booked.REFUSED: "YQ9982:验证收款方户名失败!",
    Booked.RETURNED: "000000:转账交易成功",
}


def stamp(day: date) -> str:
    """A date as yyyyMMdd."""
    return f"{day:%Y%m%d}"


def front_number(booking: Booking) -> str:
    """FrontLogNo: 22 digits, as in real logs; the manual differs."""
    return re.sub("[^0-9]", "", booking.bank_serial)[-22:].zfill(22)


def accounting_date(at: datetime, day: date) -> date:
    """The accounting date of a booking at this time of a calendar day."""
    local = at.astimezone(ZONE)
    return day + timedelta(days=local.date() == day and local.time() >= _EVENING)


def accounted(books: Books, account: str, first: date, last: date) -> tuple[Entry, ...]:
    """The entries whose accounting date is in a period, oldest first."""
    found = books.entries(account, first - timedelta(days=1), last)
    return tuple(one for one in found if first <= accounting_date(one.at, one.bank_date) <= last)


def summed(what: str, bookings: Sequence[Booking]) -> dict[str, str]:
    """Count and sum of some lines of a batch, in the form of 4015's head."""
    total = Money(sum(one.instruction.amount.minor for one in bookings))
    return {f"{what}Cts": str(len(bookings)), f"{what}Amt": str(total)}


def trace(entry: Entry) -> str:
    """An entry's own number."""
    return f"{entry.number:012d}"


def charged(entries: Sequence[Entry]) -> frozenset[str]:
    """The references of payments that have a fee."""
    return frozenset(entry.reference for entry in entries if entry.fee and entry.reference)


def _host_trace(entry: Entry, charged: frozenset[str]) -> str:
    """One number for a payment and its fee, made from the payment's reference."""
    return f"H{entry.reference[-18:]}" if entry.reference in charged else trace(entry)


def _mark(entry: Entry) -> dict[str, str]:
    return {"AbstractStr": "FEE" if entry.fee else "", "AbstractStr_Desc": "手续费" if entry.fee else "转账"}


def row_4008(account: Holding, entry: Entry, charged: frozenset[str]) -> dict[str, str]:
    """A row of today's list. It has no fee and no balance."""
    out = entry.direction is Direction.DEBIT
    ours = (account.number, account.holder)
    theirs = (entry.counterparty_account, entry.counterparty_name)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    return {
        "TranTime1": f"{entry.at.astimezone(ZONE):%Y%m%d%H%M%S}",
        "HostSeqNo": _host_trace(entry, charged),
        "BussSeqNo": "",
        "SummonNo": "",
        "SendBank": "",
        "SendBankNode": "",
        "SendAccount": payer[0],
        "SendName": payer[1],
        "TxAmount": str(entry.amount),
        "AcctBank": "",
        "AcctBankNode": "",
        "AcctAccount": payee[0],
        "AcctName": payee[1],
        "TxType": "D" if out else "C",
        "AbstractStr": _mark(entry)["AbstractStr"],
        "Notes": entry.text,
        "Fee1": "",
        "Fee2": "",
        "AbstractStr_Desc": _mark(entry)["AbstractStr_Desc"],
        "CVoucherNo": "",
        "CstInnerFlowNo": "",
        "Balance": "0.00",
    }


def row_4013(
    account: Holding, entry: Entry, charged: frozenset[str], *, balance: bool, ahead: timedelta = timedelta()
) -> dict[str, str]:
    """A row of either list; `balance` only in the history. `ahead`: how far the host's date is ahead."""
    out = entry.direction is Direction.DEBIT
    ours = (account.number, account.holder)
    theirs = (entry.counterparty_account, entry.counterparty_name)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    return {
        "AcctDate": stamp(accounting_date(entry.at, entry.bank_date) + ahead),
        "TxTime": f"{entry.at.astimezone(ZONE):%H%M%S}",
        "HostTrace": _host_trace(entry, charged),
        "BussSeqNo": "",
        "OutNode": "",
        "OutBankNo": "",
        "OutBankName": "",
        "OutAcctNo": payer[0],
        "OutAcctName": payer[1],
        "CcyCode": "RMB",
        "TranAmount": str(entry.amount),
        "InNode": "",
        "InBankNo": "",
        "InBankName": "",
        "InAcctNo": payee[0],
        "InAcctName": payee[1],
        "DcFlag": "D" if out else "C",
        "AbstractStr": _mark(entry)["AbstractStr"],
        "VoucherNo": "",
        "TranFee": "",
        "PostFee": "",
        "AcctBalance": str(entry.balance_after) if balance else "0.00",
        "Purpose": entry.text,
        "AbstractStr_Desc": _mark(entry)["AbstractStr_Desc"],
        "CVoucherNo": "",
        "ProxyAcctNo": "",
    }


def row_4015(booking: Booking) -> dict[str, str]:
    """A line of a batch, with its own voucher."""
    refused = booking.booked is Booked.REFUSED
    code = "MA4045" if booking.reason == "duplicate" else "YQ9982"
    result = f"{code}:{booking.reason}" if refused else RESULT[booking.booked]
    return {
        "SThirdVoucher": booking.instruction.reference,
        "CstInnerFlowNo": "",
        "FrontLogNo": front_number(booking),
        "CcyCode": "RMB",
        "OutAcctNo": booking.instruction.debtor_account,
        "InAcctNo": booking.instruction.creditor_account,
        "InAcctName": booking.instruction.creditor_name,
        "TranAmount": str(booking.instruction.amount),
        "Stt": STT[booking.booked],
        "IsBack": "1" if booking.booked is Booked.RETURNED else "0",
        "BackRem": "",
        "Yhcljg": result,
        "Fee": "0.00",
    }


def row_4019(booking: Booking) -> dict[str, str]:
    """A row of 4019 about a returned payment, with the names of real lists (banks/pab.md 9)."""
    back = booking.returned_on or booking.bank_date
    done = booking.instruction
    return {
        # A line of a batch has the message's and its own voucher. For a single payment ThirdVoucher is empty.
        "ThirdVoucher": done.bundle,
        "SThirdVoucher": done.reference,
        "Amount": str(done.amount),
        "RejectDate": f"{stamp(back)}093000",
        "RejectRemark": booking.reason or "账号户名不符",
        "FrontLogNo": front_number(booking),
    }
