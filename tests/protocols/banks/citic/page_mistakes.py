"""Mistakes of 中信 CITIC's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who knows the page badly, or another bank's interface well.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote_from_bytes

from tests.protocols.banks.citic.client_mistakes import (
    CLIENT_ID,
    GOOD_ROWS,
    LOGIN,
    OWN,
    STRANGER,
    Row,
    document,
    framed,
    request,
    row,
)
from tests.protocols.banks.mistakes import Mistake


def _changed(name: str, place: str, operation: str, *, code: str = "", **changes: str | None) -> Mistake:
    """A good request of `operation` with changes to its head."""
    return Mistake(name, partial(request, operation, changes), place, code=code)


def _row_changed(name: str, place: str, operation: str, **changes: str | None) -> Mistake:
    """A good request of `operation` with changes to its first row."""
    return _rows(name, place, operation, row(operation, 1, **changes))


def _rows(name: str, place: str, operation: str, rows: Sequence[Row]) -> Mistake:
    return Mistake(name, partial(request, operation, None, rows), place)


def _document(name: str, place: str, text: str) -> Mistake:
    return Mistake(name, partial(framed, text.encode("gb18030")), place)


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: carrier, envelope, payments, batches, questions, receipts."""
    return (
        *_carrier(),
        *_envelope(),
        *_payee_and_payer(),
        *_amounts_and_texts(),
        *_rails_and_schedules(),
        *_group(),
        *_batches(),
        *_payroll_and_collection(),
        *_entries(),
        *_other_questions(),
        *_receipts(),
    )


def _carrier() -> tuple[Mistake, ...]:
    good = document("DLOUTTRN")
    as_form = b"reqData=" + quote_from_bytes(good.encode("gb18030")).encode("ascii")
    prefixed = f"{len(good.encode('gb18030')):06d}".encode("ascii") + good.encode("gb18030")
    inner = b64encode(good.encode("gb18030")).decode("ascii")
    as_dlink = (
        '<?xml version="1.0" encoding="GBK"?><stream><action>DLGECOMM</action><userName>' + LOGIN + "</userName>"
        f"<requestContent>{inner}</requestContent><CASHFLAG>0</CASHFLAG><clientID>{CLIENT_ID}</clientID></stream>"
    )
    return (
        Mistake("the XML as a form parameter", partial(framed, as_form), "body"),
        Mistake("six digits of length before the XML", partial(framed, prefixed), "body"),
        _document("DLink's outer message to the front end", "action", as_dlink),
        _document("an ampersand that is not escaped", "body", good.replace("货款", "A&B货款")),
    )


def _envelope() -> tuple[Mistake, ...]:
    good, balances = document("DLOUTTRN"), document("DLBALQRY")
    twice = "<tranAmount>10.00</tranAmount><tranAmount>20.00</tranAmount>"
    return (
        _document("the action's element with a capital", "action", good.replace("action>", "Action>")),
        Mistake("a login of 31 characters", partial(request, "DLBALQRY", login="e" * 31), "userName"),
        _document(
            "the account of a balance outside the list",
            "list",
            document("DLBALQRY", {"accountNo": OWN}, None).split("<list")[0] + "</stream>",
        ),
        _document("a list without its name", "list", balances.replace(' name="userDataList"', "")),
        _document("a list with SPDB's element", "list", balances.replace("list", "lists")),
        _document("a payment with two amounts", "tranAmount", good.replace("<tranAmount>10.00</tranAmount>", twice)),
        _document("a field's name in other case", "payAccountNo", good.replace("payAccountNo>", "payAccountNO>")),
    )


def _payee_and_payer() -> tuple[Mistake, ...]:
    pay = "DLOUTTRN"
    return (
        _changed("a payment without the payee's name", "recAccountName", pay, recAccountName=""),
        _changed("a payer's account with its bank before it", "payAccountNo", pay, payAccountNo="302-" + OWN),
        _changed("a payee's account of 33 digits", "recAccountNo", pay, recAccountNo="6" * 33),
        _changed("a bank number of eleven digits", "recOpenBankCode", pay, recOpenBankCode="10210009999"),
        _changed("cityFlag 2", "cityFlag", pay, cityFlag="2"),
        _changed("a clientID like a UUID without its hyphens", "clientID", pay, clientID="0123456789abcdef" * 2),
    )


def _amounts_and_texts() -> tuple[Mistake, ...]:
    pay = "DLOUTTRN"
    return (
        _changed("an amount with tenths of a fen", "tranAmount", pay, tranAmount="10.005"),
        _changed("an amount with the sign of the yuan", "tranAmount", pay, tranAmount="￥10.00"),
        _changed("an amount in full-width digits", "tranAmount", pay, tranAmount="１０．００"),
        _changed("an amount with an exponent", "tranAmount", pay, tranAmount="1E+3"),
        _changed("a payment without an amount", "tranAmount", pay, tranAmount=""),
        _changed("an abstract of 52 Chinese characters", "abstract", pay, abstract="货" * 52),
        _changed("a payment without an abstract", "abstract", pay, abstract=""),
        _changed(
            "the empty fields of the taker left out", "taker", pay, takerName=None, takerID=None, takerIDType=None
        ),
    )


def _rails_and_schedules() -> tuple[Mistake, ...]:
    pay = "DLOUTTRN"
    tomorrow = {"preFlg": "1", "preDate": "20261125", "preTime": "100000"}
    return (
        _changed("payType without its zero", "payType", pay, payType="3"),
        _changed("payType 01 beside the flag of other banks", "citicbankFlag", pay, payType="01"),
        _changed("a payment of the night with a schedule", "preFlg", pay, payType="B5", **tomorrow),
        _changed("a schedule at nine o'clock", "preTime", pay, **{**tomorrow, "preTime": "090000"}),
        _changed("a schedule's time with colons", "preTime", pay, **{**tomorrow, "preTime": "10:00:00"}),
        _changed("a schedule's day with hyphens", "preDate", pay, **{**tomorrow, "preDate": "2026-11-25"}),
        _changed("a schedule for yesterday", "preDate", pay, **{**tomorrow, "preDate": "20261123"}),
        _changed("preFlg as N", "preFlg", pay, preFlg="N"),
        _changed("a payment without preFlg", "preFlg", pay, preFlg=None, preDate=None, preTime=None),
    )


def _group() -> tuple[Mistake, ...]:
    return (
        _changed("a transfer in the group without an abstract", "abstract", "DLINETRN", abstract=""),
        _changed("a transfer in the group without amount", "tranAmount", "DLINETRN", tranAmount=""),
        _changed(
            "an allocation with the sweep's field", "coreAccountNo", "CMDWNSWP", coreAccountNo=None, conAccountNo=OWN
        ),
        _changed("a sweep with a negative amount for the other way", "tranAmount", "CMMANSWP", tranAmount="-10.00"),
    )


def _batches() -> tuple[Mistake, ...]:
    batch = "DLPAYBAT"
    return (
        _changed("a batch with its sum in fen", "totalAmount", batch, totalAmount="300"),
        _changed("a batch without a count", "totalNumber", batch, totalNumber=""),
        _changed("a batch without preFlg", "preFlg", batch, preFlg=None, preDate=None, preTime=None),
        _changed("a batch without a clientID", "clientID", batch, clientID=""),
        _row_changed("a batch's ID of five digits", "ID", batch, ID="00001"),
        _row_changed("a batch's row inside CITIC", "payType", batch, payType="01"),
        _row_changed("a batch's row as an instant payment", "payType", batch, payType="05"),
        _row_changed("a batch's row without the bank's number", "recOpenBankCode", batch, recOpenBankCode=""),
        _row_changed("a batch's row without the payee's name", "recAccountName", batch, recAccountName=""),
        _row_changed("a batch's row from somebody else's account", "payAccountNo", batch, payAccountNo=STRANGER),
        _row_changed("a batch's row without an abstract", "abstract", batch, abstract=""),
        _row_changed("a batch's memo of 61 bytes", "memo", batch, memo="m" * 61),
        _row_changed("a batch's row with its amount in other decimals", "tranAmount", batch, tranAmount="1.000"),
    )


def _payroll_and_collection() -> tuple[Mistake, ...]:
    wages, claims = "DLSALIMP", "DLAGENTF"
    first = GOOD_ROWS[wages][0]
    again = {**GOOD_ROWS[wages][1], "employeeNo": first["employeeNo"]}
    return (
        _changed("a payroll's month with a hyphen", "yearMonth", wages, yearMonth="2026-11"),
        _changed("a payroll with a sum that misses a row", "totalAmount", wages, totalAmount="1.00"),
        _changed("a payroll without preFlg", "preFlg", wages, preFlg=None, preDate=None, preTime=None),
        _row_changed("a staff number of six digits", "employeeNo", wages, employeeNo="000001"),
        _rows("a payroll with one staff number twice", "employeeNo", wages, (first, again)),
        _row_changed("a wage without the person's name", "employeeName", wages, employeeName=""),
        _row_changed("a wage without the card", "recAccountNo", wages, recAccountNo=""),
        _changed("a collection without preFlg", "preFlg", claims, preFlg=None, preDate=None, preTime=None),
        _changed("a collection with the payroll's field", "rcvAccountNo", claims, rcvAccountNo=None, payAccountNo=OWN),
        _row_changed("a collection without the payer's name", "payAccountName", claims, payAccountName=""),
        _row_changed("a collection's row with 52 Chinese characters", "abstract", claims, abstract="费" * 52),
        _changed("a payroll's rows in pages of 100", "pageNumber", "DLSALDET", pageNumber="100"),
        _changed("a payroll's rows from place 0", "startRecord", "DLSALDET", startRecord="0"),
        _changed("a payroll's summary of a day", "yearMonth", "DLSALCOL", yearMonth="20261124"),
    )


def _entries() -> tuple[Mistake, ...]:
    entries = "DLTRNALL"
    return (
        _changed("entries without the upper amount", "upAmount", entries, upAmount=None),
        _changed("entries above an amount below", "Amount", entries, lowAmount="100.00", upAmount="1.00"),
        _changed("entries in pages of 50", "pageNumber", entries, pageNumber="50"),
        _changed("entries from place 0", "startRecord", entries, startRecord="0"),
        _changed("entries from a place of five digits", "startRecord", entries, startRecord="00001"),
        _changed("entries of half a year", "Date", entries, startDate="20260601"),
        _changed("entries of 94 days", "Date", entries, startDate="20260823"),
        _changed("entries of five years ago", "startDate", entries, startDate="20211101", endDate="20211130"),
        _changed("entries from the end to the beginning", "Date", entries, startDate="20261124", endDate="20261101"),
        _changed("entries to the 31st of November", "endDate", entries, startDate="20261031", endDate="20261131"),
        _changed("entries without an end", "endDate", entries, endDate=""),
        _changed("entries without an account", "accountNo", entries, accountNo=""),
    )


def _other_questions() -> tuple[Mistake, ...]:
    return (
        _rows("balances of no account", "row", "DLBALQRY", ()),
        _rows("a balance of an empty account number", "accountNo", "DLBALQRY", ({"accountNo": ""},)),
        _changed("balances of 61 days", "Date", "DLHBLQRY", startDate="20260923", endDate="20261122"),
        _changed("past balances of somebody else's account", "accountNo", "DLHBLQRY", accountNo=STRANGER),
        _changed("a status by the long clientID of DLink", "clientID", "DLCIDSTT", clientID="1" * 30),
        _changed("a status of a type that is no action", "type", "DLCIDSTT", type="PAYMENT"),
        _changed("a status without the element type", "type", "DLCIDSTT", type=None),
        _changed(
            "a batch's rows by days", "clientID", "DLBATDET", clientID=None, startDate="20261101", endDate="20261124"
        ),
        _changed("a batch's summary without days", "Date", "DLBATCOL", startDate="", endDate=""),
        _changed("a batch's summary by reversed days", "Date", "DLBATCOL", startDate="20261124", endDate="20261120"),
    )


def _receipts() -> tuple[Mistake, ...]:
    search, load = "DLEDDRSQ", "DLEDCDTD"
    good = GOOD_ROWS[load][0]
    number = good["brSeqNo"]
    eleven = tuple({**good, "brSeqNo": number[:-2] + f"{place:02d}"} for place in range(1, 12))
    return (
        _changed("receipts of qryType 0", "qryType", search, qryType="0"),
        _changed("receipts of billType 7", "billType", search, billType="7"),
        _changed("receipts of somebody else's account", "accNo", search, accNo=STRANGER),
        _changed("receipts with the account's field of other questions", "accNo", search, accNo=None, accountNo=OWN),
        _changed("receipts with their days reversed", "Date", search, startDate="20261123", endDate="20261101"),
        _changed("receipts of days with slashes", "startDate", search, startDate="2026/11/01"),
        _rows("eleven receipts at once", "row", load, eleven),
        _row_changed("a receipt by the list's spelling of its number", "brSeqNo", load, brSeqNo=None, bresqNo=number),
        _row_changed("a receipt without its type", "billType", load, billType=""),
    )
