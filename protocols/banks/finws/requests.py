"""The requests that we write, as tables of their fields: name, value, longest text, and the row of README.md.

The lengths are those of the public schemas. They count characters; what we write there is ASCII, so bytes are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from protocols.banks.finws.names import COMMANDS
from protocols.kit.charset import UTF8
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import Markup, el

_HEAD: Final = "README.md 2, RequestHeader"
_ASKED: Final = "README.md 2, ApplicationRequest"
_OFFICE: Final = "README.md 8, certificates"


@dataclass(frozen=True, slots=True)
class MessageHead:
    """The content of RequestHeader in a message. `software` and `bic` are missing in the certificate service."""

    sender: str
    request_id: str
    stamp: str
    software: str = ""
    bic: str = ""


@dataclass(frozen=True, slots=True)
class FileWords:
    """The fields of one operation about files, in addition to the fields of every request.

    `name` is ours and is returned in the bank's lists. `packed` None states nothing about compression.
    """

    kind: str = ""
    name: str = ""
    reference: str = ""
    status: str = ""
    first: date | None = None
    last: date | None = None
    packed: bool | None = None
    total: str = ""
    count: int = 0
    content: str = ""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """One ApplicationRequest: the customer's fields, the time of the message, and the operation's fields."""

    customer: str
    environment: str
    software: str
    target: str
    stamp: str
    words: FileWords


@dataclass(frozen=True, slots=True)
class CertificateWords:
    """One request for a certificate. `request` is the PKCS#10 in base64, `code` the one-time code or PIN, `mac` the
    proof that one was used. `sender` and `request_id` stand only in Danske's."""

    customer: str
    environment: str
    stamp: str
    request: str
    software: str = ""
    service: str = ""
    sender: str = ""
    request_id: str = ""
    mac: str = ""
    code: str = ""


# ---- the file service ---------------------------------------------------------------------------------------

REQUEST_HEADER: Final = RequestTable[MessageHead](
    "RequestHeader",
    (
        RequestField("SenderId", lambda head: head.sender, f"{_HEAD}: SenderId", 35),
        RequestField("RequestId", lambda head: head.request_id, f"{_HEAD}: RequestId", 35),
        RequestField("Timestamp", lambda head: head.stamp, f"{_HEAD}: Timestamp"),
        RequestField("Language", lambda _: "EN", f"{_HEAD}: Language"),
        RequestField("UserAgent", lambda head: head.software, f"{_HEAD}: UserAgent"),
        RequestField("ReceiverId", lambda head: head.bic, f"{_HEAD}: ReceiverId", 11),
    ),
    charset=UTF8,
)
Field = RequestField[FileRequest]


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _compression(asked: FileRequest) -> str:
    return {None: "", True: "true", False: "false"}[asked.words.packed]


_CUSTOMER: Final = Field("CustomerId", lambda asked: asked.customer, f"{_ASKED}: CustomerId", 16)
_STAMP: Final = Field("Timestamp", lambda asked: asked.stamp, f"{_ASKED}: Timestamp")
_ENVIRONMENT: Final = Field("Environment", lambda asked: asked.environment, f"{_ASKED}: Environment")
_TARGET: Final = Field("TargetId", lambda asked: asked.target, f"{_ASKED}: TargetId", 80)
_SOFTWARE: Final = Field("SoftwareId", lambda asked: asked.software, f"{_ASKED}: SoftwareId", 80)
_TYPE: Final = Field("FileType", lambda asked: asked.words.kind, f"{_ASKED}: FileType", 40, "type of the file")
_STATUS: Final = Field("Status", lambda asked: asked.words.status, f"{_ASKED}: Status")
_FIRST: Final = Field("StartDate", lambda asked: _day(asked.words.first), f"{_ASKED}: StartDate", omitted=True)
_LAST: Final = Field("EndDate", lambda asked: _day(asked.words.last), f"{_ASKED}: EndDate", omitted=True)
_REFERENCE: Final = Field(
    "FileReferences",
    lambda asked: asked.words.reference,
    f"{_ASKED}: FileReferences",
    None,
    "bank's number of the file",
)
_PACKED: Final = (
    Field("Compression", _compression, f"{_ASKED}: Compression", omitted=True),
    Field(
        "CompressionMethod",
        lambda asked: "GZIP" if asked.words.packed else "",
        f"{_ASKED}: CompressionMethod",
        omitted=True,
    ),
)
_UPLOADED: Final = (
    Field("UserFilename", lambda asked: asked.words.name, f"{_ASKED}: UserFilename", 80, "name of the file"),
    _TARGET,
    Field("ExecutionSerial", lambda asked: asked.words.name, f"{_ASKED}: ExecutionSerial", 32, "name of the file"),
    *_PACKED,
    Field("AmountTotal", lambda asked: asked.words.total, f"{_ASKED}: AmountTotal", omitted=True),
    Field(
        "TransactionCount",
        lambda asked: str(asked.words.count) if asked.words.total else "",
        f"{_ASKED}: TransactionCount",
        omitted=True,
    ),
)
_CONTENT: Final = Field("Content", lambda asked: asked.words.content, f"{_ASKED}: Content", None, "file")


def _file_request(
    operation: str, between: tuple[Field, ...] = (), after: tuple[Field, ...] = (), last: tuple[Field, ...] = ()
) -> RequestTable[FileRequest]:
    """A table in the order of the schema: before Environment, after it, after SoftwareId."""
    command = Field("Command", lambda _: COMMANDS[operation], f"{_ASKED}: Command", 32)
    fields = (_CUSTOMER, command, _STAMP, *between, _ENVIRONMENT, *after, _SOFTWARE, *last)
    return RequestTable(operation, fields, "ApplicationRequest", UTF8)


FILE_REQUESTS: Final = {
    one.operation: one
    for one in (
        _file_request("uploadFile", (), _UPLOADED, (_TYPE, _CONTENT)),
        _file_request("downloadFileList", (_FIRST, _LAST, _STATUS), (_TARGET,), (_TYPE,)),
        _file_request("downloadFile", (_STATUS,), (_REFERENCE, _TARGET, *_PACKED), (_TYPE,)),
        _file_request("deleteFile", (), (_REFERENCE, _TARGET), (_TYPE,)),
        _file_request("getUserInfo"),
    )
}


def element(name: str, content: str) -> Markup:
    """An element of an ApplicationRequest. A file is named by an element of its own inside FileReferences."""
    return el(name, el("FileReference", content)) if name == "FileReferences" else el(name, content)


# ---- the certificate services -------------------------------------------------------------------------------

OFFICE_HEADER: Final = RequestTable[MessageHead]("RequestHeader", REQUEST_HEADER.fields[:3], "getCertificate", UTF8)
Wanted = RequestField[CertificateWords]
_KEY: Final = "new key's request"
_ITS_CUSTOMER: Final = Wanted("CustomerId", lambda wanted: wanted.customer, f"{_OFFICE}: CustomerId", 16)
_ITS_STAMP: Final = Wanted("Timestamp", lambda wanted: wanted.stamp, f"{_OFFICE}: Timestamp")
_ITS_ENVIRONMENT: Final = Wanted("Environment", lambda wanted: wanted.environment, f"{_OFFICE}: Environment")
_ITS_ID: Final = Wanted("RequestId", lambda wanted: wanted.request_id, f"{_OFFICE}: RequestId", 10)
CERTIFICATE: Final = RequestTable[CertificateWords](
    "getCertificate",
    (
        _ITS_CUSTOMER,
        _ITS_STAMP,
        _ITS_ENVIRONMENT,
        Wanted("SoftwareId", lambda wanted: wanted.software, f"{_OFFICE}: SoftwareId", 80),
        Wanted("Command", lambda _: "GetCertificate", f"{_OFFICE}: Command"),
        Wanted("Service", lambda wanted: wanted.service, f"{_OFFICE}: Service"),
        Wanted("Content", lambda wanted: wanted.request, f"{_OFFICE}: Content", None, _KEY),
        Wanted("HMAC", lambda wanted: wanted.mac, f"{_OFFICE}: HMAC of the PKCS#10", omitted=True),
        Wanted("TransferKey", lambda wanted: wanted.code, f"{_OFFICE}: transfer key", omitted=True),
    ),
    "CertApplicationRequest",
    UTF8,
)
FACTORY_HEADER: Final = RequestTable[CertificateWords](
    "CreateCertificate",
    (
        Wanted("SenderId", lambda wanted: wanted.sender, f"{_OFFICE}: SenderId", 35),
        _ITS_CUSTOMER,
        _ITS_ID,
        _ITS_STAMP,
        Wanted("InterfaceVersion", lambda _: "1", f"{_OFFICE}: InterfaceVersion"),
        _ITS_ENVIRONMENT,
    ),
    "RequestHeader",
    UTF8,
)
FACTORY_CERTIFICATE: Final = RequestTable[CertificateWords](
    "CreateCertificate",
    (
        _ITS_CUSTOMER,
        Wanted("KeyGeneratorType", lambda _: "software", f"{_OFFICE}: KeyGeneratorType"),
        Wanted("EncryptionCertPKCS10", lambda wanted: wanted.request, f"{_OFFICE}: EncryptionCertPKCS10", None, _KEY),
        Wanted("SigningCertPKCS10", lambda wanted: wanted.request, f"{_OFFICE}: SigningCertPKCS10", None, _KEY),
        _ITS_STAMP,
        _ITS_ID,
        _ITS_ENVIRONMENT,
        Wanted("PIN", lambda wanted: wanted.code, f"{_OFFICE}: PIN", None, "PIN"),
    ),
    "CreateCertificateRequest",
    UTF8,
)
REQUESTS: Final[tuple[RequestTable[Any], ...]] = (
    REQUEST_HEADER,
    *FILE_REQUESTS.values(),
    OFFICE_HEADER,
    CERTIFICATE,
    FACTORY_HEADER,
    FACTORY_CERTIFICATE,
)
"""Every table of a request that we write. The files inside an upload are ISO 20022's: protocols/kit/iso20022."""
