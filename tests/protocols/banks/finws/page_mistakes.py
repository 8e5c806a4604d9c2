"""Mistakes of clients of the Finnish Web Services, written from the public pages by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who knows SOAP and ISO 20022 a little, or another bank's
interface well.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from functools import partial
from typing import Final

import xmlsec
from lxml import etree

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
    signed,
    upload,
)
from tests.protocols.banks.finws.paper import STRANGER, US
from tests.protocols.banks.mistakes import Mistake

_ROW: Final = "CdtTrfTxInf"
_SECOND: Final = {"PmtId/InstrId": "PAGE2", "PmtId/EndToEndId": "PAGE2"}
_OTHER_IBAN: Final = {"CdtrAcct/Id/Othr/Id": None, "CdtrAcct/Id/IBAN": "DE89370400440532013001"}


def _word(name: str, operation: str, element: str, text: str | None, code: str = "") -> Mistake:
    """A good request with another text in an element of its ApplicationRequest."""
    return Mistake(name, partial(request, operation, {element: text}), element, code=code)


def _head(name: str, element: str, text: str | None) -> Mistake:
    """A good list request with another text in its RequestHeader."""
    return Mistake(name, partial(request, "downloadFileList", header={element: text}), element)


def _stamp(name: str, place: str, **changes: str | None) -> Mistake:
    """A good upload with other times in its wsu:Timestamp."""
    return Mistake(name, partial(request, "uploadFile", security=changes), place)


def _spoilt(name: str, place: str, old: bytes, new: bytes, code: str = "") -> Mistake:
    """A good upload in which something is changed after both signatures were made."""

    def spoil(message: bytes) -> bytes:
        assert old in message, old
        return message.replace(old, new)

    return Mistake(name, partial(request, "uploadFile", spoil=spoil), place, code=code)


def _respoken(name: str, place: str, change: Callable[[etree._Element], None], code: str = "") -> Mistake:
    """A good list request whose ApplicationRequest was changed as a tree before it was signed."""

    def made() -> bytes:
        root = document("downloadFileList")
        change(root)
        return posted(envelope("downloadFileList", signed(root)))

    return Mistake(name, made, place, code=code)


def _in_file(name: str, place: str, changes: Changes) -> Mistake:
    """An upload whose pain.001 has other texts in its header or its group."""
    return Mistake(name, partial(upload, changes), place, code="00")


def _payment(name: str, place: str, changes: Changes) -> Mistake:
    """An upload whose pain.001 has other texts in its payment."""
    return Mistake(name, partial(upload, AS_IT_IS, changes), place, code="00")


def _debit(name: str, place: str, group: Changes, row: Changes) -> Mistake:
    """An upload whose pain.008 has other texts in its group or its collection."""
    content = partial(debit_file, group, (row,))
    return Mistake(name, lambda: request("uploadFile", {"FileType": DEBITS}, content=content()), place, code="00")


def _file(name: str, place: str, content: Callable[[], bytes], **more: str) -> Mistake:
    """An upload of these bytes as a file."""
    return Mistake(name, lambda: request("uploadFile", more, content=content()), place, code="00")


def _certificate(name: str, element: str, text: str | None) -> Mistake:
    """A good request for a first certificate with another text in an element."""
    return Mistake(name, partial(certificate_request, {element: text}), element)


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every layer: HTTP, SOAP, both signatures, ApplicationRequest, the files, the certificate office."""
    return (
        *_carriage(),
        *_headers(),
        *_signatures(),
        *_words(),
        *_contents(),
        *_repeats(),
        *_file_heads(),
        *_payments(),
        *_collections(),
        *_certificates(),
    )


def _carriage() -> tuple[Mistake, ...]:
    good = envelope("getUserInfo", signed(document("getUserInfo")))
    bare = signed(document("getUserInfo"))
    soap_12 = b"http://www.w3.org/2003/05/soap-envelope"
    soap_11 = b"http://schemas.xmlsoap.org/soap/envelope/"
    return (
        Mistake("HTTP by PUT", partial(posted, good, method="PUT"), "method"),
        Mistake(
            "HTTP body as an upload of a form",
            partial(posted, good, {"Content-Type": "multipart/form-data"}),
            "content-type",
        ),
        Mistake("HTTP body as a form", partial(posted, b"ApplicationRequest=" + base64.b64encode(bare)), "Envelope"),
        Mistake("HTTP body of the ApplicationRequest alone", partial(posted, bare), "Envelope"),
        _spoilt("SOAP 1.2", "Envelope", soap_11, soap_12),
        _spoilt("SOAP without a Body", "Envelope", b"soap:Body", b"soap:Content"),
        _spoilt("SOAP without wsse:Security", "Security", b"wsse:Security>", b"wsse:Safety>"),
        _spoilt("SOAP in UTF-16 by its declaration", "Envelope", b"encoding='UTF-8'", b"encoding='UTF-16'"),
        _spoilt("SOAP operation without in", "Body", b"c:uploadFilein", b"c:uploadFile"),
        _spoilt("SOAP operation in capitals", "Body", b"c:uploadFilein", b"c:UploadFilein"),
        _spoilt("SOAP request without a RequestHeader", "uploadFilein", b"m:RequestHeader", b"m:Header"),
        _spoilt("SOAP model of another service", "uploadFilein", b"http://model.bxd.fi", b"http://model.bank.fi"),
        Mistake("operation that no page has", partial(request, "listFiles", {"Command": "ListFiles"}), "Body"),
    )


def _headers() -> tuple[Mistake, ...]:
    return (
        _head("sender of 36 characters", "SenderId", "S" * 36),
        _head("sender left out", "SenderId", None),
        _head("sender is another customer", "SenderId", "22222222"),
        _head("request number of a UUID in braces", "RequestId", "{7b0f5a52-9f0d-4a2f-8a06-0f6f4f1f2a11}"),
        _head("request number is a blank", "RequestId", " "),
        _head("request time in the Finnish form", "Timestamp", "24.11.2026 06:00:00"),
        _head("request time as a number", "Timestamp", "1795492800"),
        _head("request time left out", "Timestamp", None),
        _head("receiver is the bank's name", "ReceiverId", "NORDEA BANK"),
        _head("language in words", "Language", "suomi ja ruotsi"),
    )


def _signatures() -> tuple[Mistake, ...]:
    hour_ago = {"Created": "2026-11-24T02:00:00Z", "Expires": "2026-11-24T02:05:00Z"}
    hour_ahead = {"Created": "2026-11-24T06:00:00Z", "Expires": "2026-11-24T06:05:00Z"}
    no_signature = partial(request, "deleteFile", spoil_document=_unsigned)
    changed = partial(request, "uploadFile", {"UserFilename": "PAGE1"}, spoil_document=_other_name)
    strange = partial(request, "downloadFile", signer=STRANGER)
    strange_carrier = partial(request, "downloadFile", carrier=STRANGER)
    return (
        _stamp("message of two hours ago", "Timestamp", **hour_ago),
        _stamp("message of two hours ahead", "Timestamp", **hour_ahead),
        _stamp("message that ends before it begins", "Timestamp", Expires="2026-11-24T03:59:00Z"),
        _stamp("message without its end", "Timestamp", Expires=None),
        _stamp("message time in the Chinese form", "Timestamp", Created="2026年11月24日 12:00"),
        _stamp("message without a token", "BinarySecurityToken", BinarySecurityToken=None),
        _stamp("message with a token of text", "BinarySecurityToken", BinarySecurityToken="our certificate"),
        _spoilt("body changed after it was signed", "Signature", b"client 1.0", b"client 1.1", "02"),
        _spoilt("times changed after they were signed", "Signature", b"T04:05:00Z", b"T04:06:00Z", "02"),
        Mistake("message signed by a stranger", strange_carrier, "wsse:Security/Signature"),
        Mistake("content signed by a strange key", strange, "ApplicationRequest/Signature"),
        Mistake("content changed behind its signature", changed, "Signature", code="18"),
        Mistake("content that nobody signed", no_signature, "Signature"),
        Mistake("content signed with SHA-1", _old_signature, "Signature"),
        _respoken(
            "content with a comment", "ApplicationRequest", lambda root: root.insert(1, etree.Comment("by our ERP"))
        ),
    )


def _unsigned(packed: bytes) -> bytes:
    root = etree.fromstring(packed)
    root.remove(root[-1])
    return etree.tostring(root)


def _other_name(packed: bytes) -> bytes:
    assert b"PAGE1" in packed
    return packed.replace(b"PAGE1", b"PAGE2")


def _old_signature() -> bytes:
    """A list request whose content signature is of 2008."""
    root, words = document("downloadFileList"), xmlsec.constants
    node = xmlsec.template.create(root, words.TransformExclC14N, words.TransformRsaSha1, ns="ds")
    root.append(node)
    reference = xmlsec.template.add_reference(node, words.TransformSha1, uri="")
    xmlsec.template.add_transform(reference, words.TransformEnveloped)
    xmlsec.template.add_transform(reference, words.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(US.private_pem, words.KeyDataFormatPem)
    context.sign(node)
    return posted(envelope("downloadFileList", etree.tostring(root)))


def _words() -> tuple[Mistake, ...]:
    return (
        _word("customer that the bank does not know", "downloadFileList", "CustomerId", "99999999"),
        _word("customer of 17 characters", "downloadFileList", "CustomerId", "1" * 17),
        _word("customer left empty", "deleteFile", "CustomerId", ""),
        _word("command in small letters", "uploadFile", "Command", "uploadfile"),
        _word("command of another operation", "downloadFile", "Command", "DeleteFile"),
        _word("command left out", "downloadFileList", "Command", None),
        _word("time without its T", "downloadFileList", "Timestamp", "2026-11-24 04:00:00"),
        _word("time left out", "uploadFile", "Timestamp", None),
        _word("list from a day in the Finnish form", "downloadFileList", "StartDate", "23.11.2026"),
        _word("list to a day that is none", "downloadFileList", "EndDate", "2026-11-31"),
        _word("list of a status of two words", "downloadFileList", "Status", "NEW DLD"),
        _word("list of a status in words", "downloadFileList", "Status", "UNREAD"),
        _word("list of the status of an upload", "downloadFileList", "Status", "WFP"),
        _word("environment shortened", "uploadFile", "Environment", "PROD"),
        _word("environment in small letters", "getUserInfo", "Environment", "test"),
        _word("environment left out", "downloadFile", "Environment", None),
        _word("software left out", "uploadFile", "SoftwareId", None),
        _word("software of 81 characters", "downloadFileList", "SoftwareId", "s" * 81),
        _word("file name of 81 characters", "uploadFile", "UserFilename", "pain.001-" * 9),
        _word("target of 81 characters", "uploadFile", "TargetId", "t" * 81),
        _word("serial of 36 characters", "uploadFile", "ExecutionSerial", "7b0f5a52-9f0d-4a2f-8a06-0f6f4f1f2a11"),
        _word("file type of 41 characters", "downloadFileList", "FileType", "x" * 41),
        _word("file type left out of an upload", "uploadFile", "FileType", None),
        _word("file type of no contract", "uploadFile", "FileType", "NDCORPAYS", "20"),
        _word("file to fetch named by two", "downloadFile", "FileReferences", "000000000009 000000000010"),
        _word("file to fetch named by a blank", "downloadFile", "FileReferences", " "),
        _word("file to delete not named", "deleteFile", "FileReferences", None),
        _word("sum with a comma", "uploadFile", "AmountTotal", "1,00"),
        _word("sum of another file", "uploadFile", "AmountTotal", "100.00"),
        _word("count of another file", "uploadFile", "TransactionCount", "100"),
        _word("count in words", "uploadFile", "TransactionCount", "one"),
        _word("element that no page has", "downloadFileList", "PageNumber", "1"),
        _respoken("customer twice", "CustomerId", lambda root: root.insert(1, _copy(root[0])), "12"),
        _respoken("elements in the order of the alphabet", "CustomerId", _by_alphabet, "12"),
        _respoken("root of another name", "ApplicationRequest", _renamed, "12"),
    )


def _copy(element: etree._Element) -> etree._Element:
    return etree.fromstring(etree.tostring(element))


def _by_alphabet(root: etree._Element) -> None:
    root[:] = sorted(root, key=lambda one: str(one.tag))


def _renamed(root: etree._Element) -> None:
    root.tag = str(root.tag).replace("ApplicationRequest", "ApplicationResponse")


def _contents() -> tuple[Mistake, ...]:
    raw = base64.b64encode(payment_file()).decode()
    deflated = base64.b64encode(zlib.compress(payment_file())).decode()
    url_safe = base64.b64encode(payment_file(rows=({"RmtInf/Ustrd": "??>>~~"},))).decode()
    url_safe = url_safe.replace("+", "-").replace("/", "_").rstrip("=")

    def sent(name: str, place: str, code: str = "", **changes: str | None) -> Mistake:
        return Mistake(name, partial(request, "uploadFile", changes), place, code=code)

    return (
        sent("content left empty", "Content", Content=""),
        sent("content as XML text", "Content", Compression="false", CompressionMethod=None, Content="<Document/>"),
        sent(
            "content in the alphabet of URLs", "Content", Compression="false", CompressionMethod=None, Content=url_safe
        ),
        sent("content packed by the name only", "Content", "21", Content=raw, UserFilename="PAGE3"),
        sent("content packed by zlib", "Content", "21", Content=deflated),
        sent("packed by gzip in small letters", "CompressionMethod", CompressionMethod="gzip"),
        sent("packed by a method left empty", "CompressionMethod", CompressionMethod=""),
        sent("packed in Chinese", "Compression", Compression="是"),
        sent("sealed by the name only", "Encryption", Encryption="true", EncryptionMethod="3DES"),
    )


def _repeats() -> tuple[Mistake, ...]:
    """Numbers and times that stood in another message before."""
    first = partial(request, "getUserInfo", {"Timestamp": "2026-11-24T04:00:01.000Z"}, header={"RequestId": "P1"})
    number = partial(request, "uploadFile", {"Timestamp": "2026-11-24T04:00:02.000Z"}, header={"RequestId": "P1"})
    time = partial(request, "uploadFile", {"Timestamp": "2026-11-24T04:00:01.000Z"}, header={"RequestId": "P2"})
    return (
        Mistake("request number of another message", number, "RequestId", code="31", before=(first,)),
        Mistake("time of another message", time, "Timestamp", code="32", before=(first,)),
    )


def _file_heads() -> tuple[Mistake, ...]:
    newer = "pain.001.001.09"
    two_rows = partial(payment_file, AS_IT_IS, (AS_IT_IS, _SECOND))
    return (
        _file("file of another version than its type", "Content:Document", partial(payment_file, message=newer)),
        _file("file of collections as payments", "Content:Document", debit_file),
        _file("file in CSV", "Content:Document", lambda: b"account;amount\n0000000000000000025;1,00\n"),
        _file("file in GBK that says UTF-8", "Content:Document", lambda: payment_file().decode().encode("gbk")),
        _file("file cut in the middle", "Content:Document", lambda: payment_file()[:-40]),
        _file("two payments counted as one", "NbOfTxs", two_rows),
        _in_file("file count of another file", "NbOfTxs", {"GrpHdr/NbOfTxs": "11"}),
        _in_file("file sum of another file", "CtrlSum", {"GrpHdr/CtrlSum": "1.01"}),
        _in_file("group count of another group", "NbOfTxs", {"PmtInf/NbOfTxs": "0"}),
        _in_file("group sum in cents", "CtrlSum", {"PmtInf/CtrlSum": "100"}),
        _in_file("file number of 36 characters", "MsgId", {"GrpHdr/MsgId": "7b0f5a52-9f0d-4a2f-8a06-0f6f4f1f2a11"}),
        _in_file("file number left empty", "MsgId", {"GrpHdr/MsgId": ""}),
        _in_file("file time without its T", "CreDtTm", {"GrpHdr/CreDtTm": "2026-11-24 12:00:00"}),
        _in_file("file time left out", "CreDtTm", {"GrpHdr/CreDtTm": None}),
        _in_file("group number of 36 characters", "PmtInfId", {"PmtInf/PmtInfId": "P" * 36}),
        _in_file("payment by advice", "PmtMtd", {"PmtInf/PmtMtd": "TRA"}),
        _in_file("method of collections", "PmtMtd", {"PmtInf/PmtMtd": "DD"}),
        _in_file("booking flag in words", "BtchBookg", {"PmtInf/BtchBookg": "no"}),
        _in_file("priority in words", "InstrPrty", {"PmtInf/PmtTpInf/InstrPrty": "URGENT"}),
        _in_file("service level of 6 letters", "SvcLvl/Cd", {"PmtInf/PmtTpInf/SvcLvl/Cd": "NORMAL"}),
        _in_file("day of 8 digits", "ReqdExctnDt", {"PmtInf/ReqdExctnDt": "20261124"}),
        _in_file("day left out", "ReqdExctnDt", {"PmtInf/ReqdExctnDt": None}),
        _in_file("payer's account of nobody", "DbtrAcct", {"PmtInf/DbtrAcct/Id/Othr/Id": "0000000000000000018"}),
        _in_file(
            "payer's account in groups of four", "DbtrAcct", {"PmtInf/DbtrAcct/Id/Othr/Id": "0000 0000 0000 0017"}
        ),
        _in_file(
            "payer's account left out", "DbtrAcct", {"PmtInf/DbtrAcct/Id/Othr/Id": None, "PmtInf/DbtrAcct/Ccy": None}
        ),
        _in_file("payer's currency by an old name", "DbtrAcct/Ccy", {"PmtInf/DbtrAcct/Ccy": "RMB yuan"}),
        _in_file("payer's bank by its name", "DbtrAgt", {"PmtInf/DbtrAgt/FinInstnId/BIC": "北欧银行"}),
        _in_file("fees in the words of SWIFT", "ChrgBr", {"PmtInf/ChrgBr": "SHA"}),
    )


def _payments() -> tuple[Mistake, ...]:
    amount = "Amt/InstdAmt"
    twice = {"GrpHdr/NbOfTxs": "2", "GrpHdr/CtrlSum": "2.00", "PmtInf/NbOfTxs": "2", "PmtInf/CtrlSum": "2.00"}
    no_account = {"CdtrAcct/Id/Othr/Id": ""}
    amounts = {
        "with a comma": "10,00",
        "with separators": "1 000.00",
        "of zero": "0",
        "below zero": "-0.01",
        "with three decimals": "1.005",
        "as a power of ten": "1E0",
        "with its currency": "1.00 CNY",
        "left empty": "",
    }
    return (
        *(_payment(f"amount {name}", "InstdAmt", {amount: text}) for name, text in amounts.items()),
        _payment("currency left out", "InstdAmt", {f"{amount}@Ccy": None}),
        _payment("currency in small letters", "InstdAmt", {f"{amount}@Ccy": "cny"}),
        _payment("currency in Chinese", "InstdAmt", {f"{amount}@Ccy": "人民币"}),
        _payment(
            "payer's reference of 36 characters",
            "EndToEndId",
            {"PmtId/EndToEndId": "INVOICE-2026-11-24-0001-HT-0931-000A"},
        ),
        _payment("payer's reference left out", "EndToEndId", {"PmtId/EndToEndId": None}),
        _payment("number of 36 characters", "InstrId", {"PmtId/InstrId": "I" * 36}),
        _payment("payee without a name", "Cdtr", {"Cdtr/Nm": ""}),
        _payment("payee's name of 150 characters", "Cdtr/Nm", {"Cdtr/Nm": "示例乙公司" * 30}),
        _payment("payee without an account", "CdtrAcct", no_account),
        _payment("payee's IBAN with a wrong check", "CdtrAcct", _OTHER_IBAN),
        _payment("payee's account of 36 digits", "CdtrAcct", {"CdtrAcct/Id/Othr/Id": "62220000" * 4 + "0025"}),
        _payment("payee's bank of 7 letters", "CdtrAgt", {"CdtrAgt/FinInstnId/BIC": "OKOYFIH"}),
        _payment("text of 141 characters", "Ustrd", {"RmtInf/Ustrd": "文" * 141}),
        _file(
            "one number on two payments", "InstrId", partial(payment_file, twice, (AS_IT_IS, {"RmtInf/Ustrd": "二"}))
        ),
        _file(
            "second payment without an amount",
            f"{_ROW}[2]",
            partial(payment_file, twice, (AS_IT_IS, {**_SECOND, amount: None, f"{amount}@Ccy": None})),
        ),
    )


def _collections() -> tuple[Mistake, ...]:
    mandate = "DrctDbtTx/MndtRltdInf"
    return (
        _debit("collection without a mandate", "MndtId", {}, {f"{mandate}/MndtId": ""}),
        _debit("collection with a mandate of 36 characters", "MndtId", {}, {f"{mandate}/MndtId": "M" * 36}),
        _debit("collection signed on no day", "DtOfSgntr", {}, {f"{mandate}/DtOfSgntr": "2026-02-30"}),
        _debit("collection by the month", "SeqTp", {"PmtInf/PmtTpInf/SeqTp": "MONTHLY"}, {}),
        _debit("collection day with strokes", "ReqdColltnDt", {"PmtInf/ReqdColltnDt": "2026/11/24"}, {}),
        _debit("collection by the method of payments", "PmtMtd", {"PmtInf/PmtMtd": "TRF"}, {}),
        _debit(
            "collection for an account of nobody", "CdtrAcct", {"PmtInf/CdtrAcct/Id/Othr/Id": "0000000000000000018"}, {}
        ),
        _debit("collection of half a cent", "InstdAmt", {}, {"InstdAmt": "0.005"}),
        _debit("collection from nobody", "DbtrAcct", {}, {"DbtrAcct/Id/Othr/Id": None}),
    )


def _certificates() -> tuple[Mistake, ...]:
    return (
        _certificate("certificate by a code of 15 characters", "TransferKey", "1234567890ABCDE"),
        _certificate("certificate of another customer", "CustomerId", "99999999"),
        _certificate("certificate by another command", "Command", "UploadFile"),
        _certificate("certificate without a request", "Content", None),
        _certificate("certificate for a PEM text", "Content", "-----BEGIN CERTIFICATE REQUEST-----"),
        _certificate("certificate in an environment in words", "Environment", "test environment"),
    )
