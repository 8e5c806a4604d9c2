"""Mistakes of clients of the Finnish Web Services, each a change to a good request written from README.md.

`client_requests.py` has the functions that build the requests; they can be imported from here.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from functools import partial
from typing import Final

from lxml import etree

from protocols.judge import RuleKind
from tests.protocols.banks.finws.client_requests import (
    AS_IT_IS,
    DEBITS,
    Changes,
    certificate_request,
    debit_file,
    document,
    envelope,
    payment_file,
    posted,
    request,
    side,
    signed,
    upload,
)
from tests.protocols.banks.finws.paper import CREDITOR, STRANGER, US
from tests.protocols.banks.mistakes import Corner, Mistake

__all__ = [
    "certificate_request",
    "corners",
    "debit_file",
    "document",
    "envelope",
    "mistakes",
    "payment_file",
    "posted",
    "request",
    "side",
    "signed",
    "upload",
]

# ---- mistakes -----------------------------------------------------------------------------------------------

_M: Final = RuleKind


def _of(operation: str, name: str, content: str | None, rule: RuleKind, code: str = "12") -> Mistake:
    shown = f"{operation} {name}={None if content is None else content[:24]!r}"
    return Mistake(shown, partial(request, operation, {name: content}), f"ApplicationRequest/{name}", rule, code)


def _head(name: str, content: str | None, rule: RuleKind, code: str = "29") -> Mistake:
    shown = f"header {name}={None if content is None else content[:24]!r}"
    return Mistake(shown, partial(request, "getUserInfo", header={name: content}), f"RequestHeader/{name}", rule, code)


def _in_file(path: str, content: str | None, rule: RuleKind) -> Mistake:
    shown = f"file {path}={None if content is None else content[:24]!r}"
    place = path.partition("@")[0].replace("PmtInf/", "PmtInf[1]/")
    return Mistake(shown, partial(upload, {path: content}), place, rule, "00")


def _in_row(path: str, content: str | None, rule: RuleKind, place: str = "") -> Mistake:
    shown = f"payment {path}={None if content is None else content[:24]!r}"
    return Mistake(shown, partial(upload, {}, {path: content}), place or f"CdtTrfTxInf[1]/{path}", rule, "00")


def _debit(path: str, content: str | None, rule: RuleKind) -> Mistake:
    shown = f"debit {path}={None if content is None else content[:24]!r}"

    def made() -> bytes:
        return request("uploadFile", {"FileType": DEBITS}, content=debit_file({}, ({path: content},)))

    return Mistake(shown, made, f"DrctDbtTxInf[1]/{path}", rule, "00")


def _swapped(message: bytes) -> bytes:
    first, second = b"<Environment>TEST</Environment>", b"<SoftwareId>client 1.0</SoftwareId>"
    assert first in message and second in message
    return message.replace(first, b"").replace(second, second + first)


def _in_other_order() -> bytes:
    root = etree.fromstring(_swapped(etree.tostring(document("getUserInfo"))))
    return posted(envelope("getUserInfo", signed(root)))


def _twice() -> bytes:
    root = document("getUserInfo")
    root.insert(1, etree.fromstring(etree.tostring(root[0])))
    return posted(envelope("getUserInfo", signed(root)))


def _with(extra: str) -> bytes:
    root = document("getUserInfo", {extra: "x"})
    return posted(envelope("getUserInfo", signed(root)))


def _cut_gzip() -> bytes:
    cut = base64.b64encode(gzip.compress(payment_file(), mtime=0)[:-9]).decode()
    return request("uploadFile", {"Content": cut})


def _other_namespace() -> bytes:
    message = envelope("getUserInfo", signed(document("getUserInfo")))
    return posted(message.replace(b"http://bxd.fi/CorporateFileService", b"http://bxd.fi/FileService"))


def _not_utf8() -> bytes:
    return posted(envelope("getUserInfo", signed(document("getUserInfo"))).replace(b"client 1.0", b"cli\xe4nt 1.0"))


def _two_rows(second: Changes, head: Changes = AS_IT_IS) -> bytes:
    counts = {"GrpHdr/NbOfTxs": "2", "GrpHdr/CtrlSum": "2.00", "PmtInf/NbOfTxs": "2", "PmtInf/CtrlSum": "2.00"}
    return request("uploadFile", content=payment_file({**counts, **head}, ({}, second)))


_OTHER: Final = {"PmtId/InstrId": "MISTAKE2", "PmtId/EndToEndId": "MISTAKE2"}


def _first_of_two(**header: str) -> Callable[[], bytes]:
    return partial(request, "getUserInfo", header={"RequestId": "R0", **header})


def _whole() -> tuple[Mistake, ...]:
    """Mistakes of frame, header, signatures and repeats."""
    cheque = payment_file().replace(b"<PmtMtd>TRF", b"<PmtMtd>CHK")
    late = {"Created": "2026-11-24T03:00:00Z", "Expires": "2026-11-24T03:05:00Z"}
    early = {"Created": "2026-11-24T04:05:01Z", "Expires": "2026-11-24T04:10:00Z"}
    user, upload_of = partial(request, "getUserInfo"), partial(request, "uploadFile")
    plain = envelope("getUserInfo", signed(document("getUserInfo")))
    replayed = partial(request, "getUserInfo", {"Timestamp": "2026-11-24T04:00:01.000Z"}, header={"RequestId": "R0"})
    rows: tuple[tuple[str, Callable[[], bytes], str, RuleKind, str, tuple[Callable[[], bytes], ...]], ...] = (
        ("a GET", partial(posted, plain, method="GET"), "method", _M.HEADER, "405", ()),
        (
            "JSON by its Content-Type",
            partial(posted, plain, {"Content-Type": "application/json"}),
            "content-type",
            _M.HEADER,
            "",
            (),
        ),
        ("half a message", lambda: posted(plain[:500]), "Envelope", _M.FRAME, "", ()),
        ("a Latin byte in UTF-8", _not_utf8, "Envelope", _M.CHARSET, "", ()),
        ("a service of another name", _other_namespace, "Body", _M.OPERATION, "", ()),
        ("an operation of another name", partial(request, "moveFile"), "Body", _M.OPERATION, "", ()),
        (
            "the body changed by its carrier",
            partial(user, spoil=lambda data: data.replace(b">EN<", b">FI<")),
            "Security/Signature",
            _M.SIGNATURE,
            "02",
            (),
        ),
        ("an envelope of a stranger", partial(user, carrier=STRANGER), "Security/Signature", _M.SIGNATURE, "02", ()),
        (
            "no security token",
            partial(user, security={"BinarySecurityToken": None}),
            "BinarySecurityToken",
            _M.MISSING,
            "02",
            (),
        ),
        ("a time stamp of an hour ago", partial(user, security=late), "Timestamp", _M.TOGETHER, "02", ()),
        ("a time stamp of the future", partial(user, security=early), "Timestamp", _M.TOGETHER, "02", ()),
        (
            "a time stamp that ends before it begins",
            partial(user, security={"Expires": "2026-11-24T03:59:59Z"}),
            "Timestamp",
            _M.TOGETHER,
            "02",
            (),
        ),
        ("a time stamp without an end", partial(user, security={"Expires": None}), "Timestamp", _M.MISSING, "02", ()),
        (
            "content signed by a stranger",
            partial(user, signer=STRANGER),
            "ApplicationRequest/Signature",
            _M.SIGNATURE,
            "18",
            (),
        ),
        (
            "content changed after it was signed",
            partial(user, spoil_document=lambda data: data.replace(b">TEST<", b">PRODUCTION<")),
            "ApplicationRequest/Signature",
            _M.SIGNATURE,
            "18",
            (),
        ),
        (
            "content without a signature",
            lambda: posted(envelope("getUserInfo", etree.tostring(document("getUserInfo")))),
            "ApplicationRequest/Signature",
            _M.COUNT,
            "18",
            (),
        ),
        (
            "content that is not base64 of XML",
            lambda: posted(envelope("getUserInfo", b"<Application")),
            "ApplicationRequest",
            _M.FRAME,
            "12",
            (),
        ),
        ("elements in another order", _in_other_order, "ApplicationRequest/Environment", _M.FRAME, "12", ()),
        ("an element twice", _twice, "ApplicationRequest/CustomerId", _M.REPEATED, "12", ()),
        (
            "an element that the schema does not have",
            partial(_with, "Note"),
            "ApplicationRequest/Note",
            _M.FRAME,
            "12",
            (),
        ),
        ("a GZIP file that was cut", _cut_gzip, "ApplicationRequest/Content", _M.FORM, "21", ()),
        (
            "a file in no compression that says GZIP",
            partial(upload_of, {"Content": base64.b64encode(payment_file()).decode()}),
            "ApplicationRequest/Content",
            _M.FORM,
            "21",
            (),
        ),
        (
            "a RequestId of an earlier message",
            replayed,
            "RequestHeader/RequestId",
            _M.TOGETHER,
            "31",
            (_first_of_two(),),
        ),
        (
            "a Timestamp of an earlier message",
            partial(user, header={"RequestId": "R2"}),
            "ApplicationRequest/Timestamp",
            _M.TOGETHER,
            "32",
            (_first_of_two(),),
        ),
        (
            "a file that is no XML",
            partial(upload_of, content=b"MISTAKE;1.00;CNY"),
            "Content:Document",
            _M.FRAME,
            "00",
            (),
        ),
        (
            "a file in Latin 1",
            partial(upload_of, content=payment_file().replace("货款".encode(), b"\xe4")),
            "Content:Document",
            _M.CHARSET,
            "00",
            (),
        ),
        (
            "a file of another message",
            partial(upload_of, content=payment_file().replace(b"pain.001.001.03", b"pain.001.001.02")),
            "Content:Document",
            _M.FRAME,
            "00",
            (),
        ),
        ("a cheque", partial(upload_of, content=cheque), "PmtMtd", _M.CODE, "00", ()),
        ("a payment twice", partial(_two_rows, {}), "InstrId", _M.TOGETHER, "00", ()),
        (
            "a count of another file",
            partial(_two_rows, _OTHER, {"GrpHdr/NbOfTxs": "3"}),
            "GrpHdr/NbOfTxs",
            _M.TOGETHER,
            "00",
            (),
        ),
        (
            "a sum of another file",
            partial(_two_rows, _OTHER, {"GrpHdr/CtrlSum": "2.01"}),
            "GrpHdr/CtrlSum",
            _M.TOGETHER,
            "00",
            (),
        ),
        (
            "the second payment without EndToEndId",
            partial(_two_rows, {**_OTHER, "PmtId/EndToEndId": None}),
            "CdtTrfTxInf[2]/PmtId/EndToEndId",
            _M.MISSING,
            "00",
            (),
        ),
        (
            "an element that pain.001 does not have",
            partial(upload, {"PmtInf/Note": "x"}),
            "Document",
            _M.FRAME,
            "00",
            (),
        ),
    )
    return tuple(
        Mistake(name, made, place, rule, code, before=before) for name, made, place, rule, code, before in rows
    )


def mistakes() -> tuple[Mistake, ...]:
    """Every rule of README.md 1 to 5 and 8, broken once."""
    office: list[tuple[str, Changes, str, RuleKind, str, Changes]] = [
        ("another command", {"Command": "RenewCertificate"}, "Command", _M.CODE, "12", {}),
        ("no PKCS#10", {"Content": "AAAA"}, "Content", _M.FORM, "12", {}),
        ("neither code nor signature", {"TransferKey": None}, "HMAC", _M.TOGETHER, "12", {}),
        ("a code that is too short", {"TransferKey": "1234"}, "TransferKey", _M.FORM, "12", {}),
        ("of another customer", {"CustomerId": "2222"}, "CustomerId", _M.BOOKS, "12", {}),
        ("no number of the request", {}, "RequestHeader/RequestId", _M.MISSING, "29", {"RequestId": None}),
    ]
    return (
        *_whole(),
        _head("SenderId", None, _M.MISSING, "07"),
        _head("SenderId", "9" * 36, _M.LENGTH, "07"),
        _head("SenderId", "22222222", _M.BOOKS, "07"),
        _head("RequestId", "", _M.MISSING),
        _head("RequestId", "R" * 36, _M.LENGTH),
        _head("Timestamp", "24.11.2026 12:00", _M.FORM),
        _head("ReceiverId", "the bank", _M.FORM),
        _of("getUserInfo", "CustomerId", None, _M.MISSING),
        _of("getUserInfo", "CustomerId", "1" * 17, _M.LENGTH),
        _of("getUserInfo", "CustomerId", "22222222", _M.BOOKS, "10"),
        _of("getUserInfo", "Command", "UserInfo", _M.CODE, "05"),
        _of("getUserInfo", "Command", "DeleteFile", _M.TOGETHER, "06"),
        _of("getUserInfo", "Timestamp", "2026-11-24 12:00:00", _M.FORM),
        _of("getUserInfo", "Timestamp", "2026-11-24T12:00:00", _M.FORM),
        _of("getUserInfo", "Environment", "DEMO", _M.CODE),
        _of("getUserInfo", "SoftwareId", "s" * 81, _M.LENGTH),
        _of("downloadFileList", "FileType", None, _M.MISSING, "29"),
        _of("downloadFileList", "Status", "OLD", _M.CODE),
        _of("downloadFileList", "StartDate", "2026-02-30", _M.FORM),
        _of("downloadFileList", "StartDate", "2026-11-25", _M.TOGETHER, "29"),
        _of("downloadFile", "FileReferences", None, _M.COUNT, "29"),
        _of("downloadFile", "FileReferences", "000000000001 000000000002", _M.COUNT, "29"),
        _of("deleteFile", "FileReferences", "", _M.COUNT, "29"),
        _of("uploadFile", "FileType", "pain.001.001.99", _M.CODE, "20"),
        _of("uploadFile", "FileType", "t" * 41, _M.LENGTH),
        _of("uploadFile", "Content", None, _M.MISSING, "29"),
        _of("uploadFile", "Content", "????", _M.FORM),
        _of("uploadFile", "UserFilename", "f" * 81, _M.LENGTH),
        _of("uploadFile", "ExecutionSerial", "e" * 33, _M.LENGTH),
        _of("uploadFile", "CompressionMethod", "ZIP", _M.CODE),
        _of("uploadFile", "CompressionMethod", None, _M.TOGETHER),
        _of("uploadFile", "AmountTotal", "many", _M.FORM),
        _of("uploadFile", "AmountTotal", "1.01", _M.TOGETHER, "29"),
        _of("uploadFile", "TransactionCount", "2", _M.TOGETHER, "29"),
        _in_file("GrpHdr/MsgId", None, _M.MISSING),
        _in_file("GrpHdr/MsgId", "M" * 36, _M.LENGTH),
        _in_file("GrpHdr/CreDtTm", "2026-11-24", _M.FORM),
        _in_file("PmtInf/ReqdExctnDt", "24.11.2026", _M.FORM),
        _in_file("PmtInf/NbOfTxs", "2", _M.TOGETHER),
        _in_file("PmtInf/CtrlSum", "1.01", _M.TOGETHER),
        _in_file("PmtInf/ChrgBr", "OUR", _M.CODE),
        _in_file("PmtInf/BtchBookg", "yes", _M.CODE),
        Mistake(
            "a file without an own account",
            partial(upload, {"PmtInf/DbtrAcct/Id/Othr/Id": None}),
            "PmtInf[1]/DbtrAcct/Id",
            _M.MISSING,
            "00",
        ),
        _in_file("PmtInf/DbtrAgt/FinInstnId/BIC", "NORDEA", _M.FORM),
        Mistake(
            "an own account of another bank",
            partial(upload, {"PmtInf/DbtrAcct/Id/Othr/Id": CREDITOR}),
            "PmtInf[1]/DbtrAcct",
            _M.BOOKS,
            "00",
        ),
        _in_row("Amt/InstdAmt", "1,00", _M.FORM),
        _in_row("Amt/InstdAmt", "-1.00", _M.FORM),
        _in_row("Amt/InstdAmt", "0.00", _M.FORM),
        _in_row("Amt/InstdAmt", "1.001", _M.FORM),
        _in_row("Amt/InstdAmt@Ccy", "RENMINBI", _M.FORM),
        _in_row("Cdtr/Nm", None, _M.MISSING),
        _in_row("Cdtr/Nm", "名" * 141, _M.LENGTH),
        _in_row("CdtrAcct/Id/Othr/Id", None, _M.MISSING, "CdtTrfTxInf[1]/CdtrAcct/Id"),
        _in_row("CdtrAcct/Id/Othr/Id", "0" * 35, _M.LENGTH),
        _in_row("PmtId/EndToEndId", "E" * 36, _M.LENGTH),
        _in_row("RmtInf/Ustrd", "用" * 141, _M.LENGTH),
        Mistake(
            "a payee's IBAN with wrong check digits",
            partial(upload, {}, {"CdtrAcct/Id/Othr/Id": None, "CdtrAcct/Id/IBAN": "FI2112345600000786"}),
            "CdtrAcct/Id/IBAN",
            _M.FORM,
            "00",
        ),
        _debit("DrctDbtTx/MndtRltdInf/MndtId", None, _M.MISSING),
        _debit("DrctDbtTx/MndtRltdInf/DtOfSgntr", "2026-13-01", _M.FORM),
        _debit("InstdAmt", "1.5.0", _M.FORM),
        *(
            Mistake(f"certificate: {name}", partial(certificate_request, changes, header=header), place, rule, code)
            for name, changes, place, rule, code, header in office
        ),
        Mistake("certificate: a key of 1,024 bits", partial(certificate_request, bits=1024), "Content", _M.FORM, "29"),
        Mistake(
            "certificate: a renewal by a stranger",
            partial(certificate_request, signer=STRANGER),
            "Signature",
            _M.SIGNATURE,
            "18",
        ),
    )


def _largest(count: int) -> bytes:
    rows = tuple({"PmtId/InstrId": f"M{number}", "PmtId/EndToEndId": f"M{number}"} for number in range(count))
    sums = {f"{part}/NbOfTxs": str(count) for part in ("GrpHdr", "PmtInf")}
    sums |= {f"{part}/CtrlSum": f"{count}.00" for part in ("GrpHdr", "PmtInf")}
    return request("uploadFile", content=payment_file(sums, rows))


def _sums(amount: str) -> Changes:
    return {"GrpHdr/CtrlSum": amount, "PmtInf/CtrlSum": amount}


def corners() -> tuple[Corner, ...]:
    """The longest and the shortest of README.md 2, and what a file of payments may leave out."""
    longest = {"UserFilename": "文" * 80, "TargetId": "t" * 80, "ExecutionSerial": "e" * 32, "SoftwareId": "s" * 80}
    names = {"Cdtr/Nm": "名" * 140, "RmtInf/Ustrd": "用" * 140, "PmtId/EndToEndId": "E" * 35}
    bare: dict[str, str | None] = dict.fromkeys(
        (
            "GrpHdr/CtrlSum",
            "GrpHdr/InitgPty/Nm",
            "PmtInf/BtchBookg",
            "PmtInf/NbOfTxs",
            "PmtInf/CtrlSum",
            "PmtInf/PmtTpInf/InstrPrty",
            "PmtInf/PmtTpInf/SvcLvl/Cd",
            "PmtInf/DbtrAcct/Ccy",
            "PmtInf/ChrgBr",
        )
    )
    bare |= {"GrpHdr/InitgPty": ""}
    commented = (
        payment_file().replace(b"<PmtInf>", b"<!-- salaries --><PmtInf>").replace(b">1.00</Inst", b">1.<!---->00</Inst")
    )
    iban = {"CdtrAcct/Id/Othr/Id": None, "CdtrAcct/Id/IBAN": "FI2112345600000785"}
    double = {"AmountTotal": "1.0E0", "TransactionCount": "1"}
    plain = {"Compression": "false", "CompressionMethod": None}
    aged = {"Created": "2026-11-24T03:55:01Z", "Expires": "2026-11-24T03:55:02Z"}
    largest, least = "9999999999999.99", "0.01"
    return (
        Corner("the longest names of a file", partial(request, "uploadFile", longest)),
        Corner("the longest texts of a payment", partial(upload, {}, names)),
        Corner("the longest numbers of a message", partial(request, "uploadFile", header={"RequestId": "R" * 35})),
        Corner("the largest amount", partial(upload, _sums(largest), {"Amt/InstdAmt": largest})),
        Corner("one fen", partial(upload, _sums(least), {"Amt/InstdAmt": least})),
        Corner("an amount without decimals", partial(upload, _sums("1"), {"Amt/InstdAmt": "1"})),
        Corner("full-width and rare characters", partial(upload, {}, {"Cdtr/Nm": "ＡＢＣ㐂𠮷"})),
        Corner("no more than a file must have", partial(upload, bare, {"PmtId/InstrId": None, "RmtInf/Ustrd": None})),
        Corner("comments in a file", partial(request, "uploadFile", content=commented)),
        Corner("a payee by IBAN", partial(upload, {}, iban)),
        Corner("totals as xs:double", partial(request, "uploadFile", double)),
        Corner("a file that is not packed", partial(request, "uploadFile", plain)),
        Corner("a message that ends while the clocks may differ", partial(request, "uploadFile", security=aged)),
        Corner("a direct debit", lambda: request("uploadFile", {"FileType": DEBITS}, content=debit_file())),
        Corner("5,000 payments in a file", partial(_largest, 5000), 5000),
        Corner("the rights of a customer", partial(request, "getUserInfo"), 0),
        Corner("a list of nothing", partial(request, "downloadFileList"), 0),
        Corner("a first certificate by its code", certificate_request, 0),
        Corner("a renewal by the old key", partial(certificate_request, signer=US), 0),
    )
