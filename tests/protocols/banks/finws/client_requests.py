"""Requests as a client of the Finnish Web Services writes them, from README.md alone.

The adapter writes nothing here: documents are plain XML, signed by libxmlsec. `request` builds a whole framed request,
`payment_file` and `debit_file` the files inside an upload, `certificate_request` a request to the certificate office.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Mapping
from functools import cache
from os.path import commonprefix
from typing import Final

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.banks.finws import twin
from protocols.canon.money import Money
from protocols.kit import dsig
from tests.protocols.banks.finws.paper import BANK, CREDITOR, CUSTOMER, DEBTOR, US
from tests.protocols.banks.mistakes import Side
from tests.protocols.kit.signing import SOAP, WSSE, WSU, KeyPair
from tests.world.dialogue import BankTime

HOLDER: Final = "示例甲公司"
TRANSFERS, DEBITS, REPORTS = "pain.001.001.03", "pain.008.001.02", "camt.053.001.02"
CODE: Final = "1234567890ABCDEF"
NOW: Final = "2026-11-24T04:00:00Z"
_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
_SERVICE: Final = "http://bxd.fi/CorporateFileService"
_MODEL: Final = "http://model.bxd.fi"
_DATA: Final = "http://bxd.fi/xmldata/"
_OFFICE: Final = "http://mlp.op.fi/OPCertificateService"
_OFFICE_DATA: Final = "http://op.fi/mlp/xmldata/"
_ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"
_HTTP: Final = {"Host": "bank.test", "Content-Type": "text/xml; charset=utf-8"}
_WORDS: Final = {
    "uploadFile": "UploadFile",
    "downloadFileList": "DownloadFileList",
    "downloadFile": "DownloadFile",
    "deleteFile": "DeleteFile",
    "getUserInfo": "GetUserInfo",
}
_MORE: Final[Mapping[str, Mapping[str, str]]] = {
    "uploadFile": {
        "UserFilename": "MISTAKE1",
        "TargetId": "NONE",
        "ExecutionSerial": "MISTAKE1",
        "Compression": "true",
        "CompressionMethod": "GZIP",
        "FileType": TRANSFERS,
    },
    "downloadFileList": {
        "StartDate": "2026-11-23",
        "EndDate": "2026-11-24",
        "Status": "ALL",
        "TargetId": "NONE",
        "FileType": REPORTS,
    },
    "downloadFile": {"FileReferences": "000000000009", "TargetId": "NONE", "FileType": REPORTS},
    "deleteFile": {"FileReferences": "000000000009", "TargetId": "NONE", "FileType": TRANSFERS},
    "getUserInfo": {},
}
_ORDER: Final = (
    "CustomerId",
    "Command",
    "Timestamp",
    "StartDate",
    "EndDate",
    "Status",
    "ServiceId",
    "Environment",
    "FileReferences",
    "UserFilename",
    "TargetId",
    "ExecutionSerial",
    "Encryption",
    "EncryptionMethod",
    "Compression",
    "CompressionMethod",
    "AmountTotal",
    "TransactionCount",
    "SoftwareId",
    "CustomerExtension",
    "FileType",
    "Content",
)
Changes = Mapping[str, str | None]
"""New texts by path; None removes the element. A path has local names; `@name` at its end is an attribute."""
AS_IT_IS: Final[Changes] = {}
NO_HEADERS: Final[Mapping[str, str]] = {}
GOOD_ROW: Final = {
    "PmtId/InstrId": "MISTAKE1",
    "PmtId/EndToEndId": "MISTAKE1",
    "Amt/InstdAmt": "1.00",
    "Amt/InstdAmt@Ccy": "CNY",
    "CdtrAgt/FinInstnId/BIC": "OKOYFIHH",
    "Cdtr/Nm": "示例乙公司",
    "CdtrAcct/Id/Othr/Id": CREDITOR,
    "RmtInf/Ustrd": "货款",
}
GOOD_FILE: Final = {
    "GrpHdr/MsgId": "MISTAKE1",
    "GrpHdr/CreDtTm": "2026-11-24T12:00:00",
    "GrpHdr/NbOfTxs": "1",
    "GrpHdr/CtrlSum": "1.00",
    "GrpHdr/InitgPty/Nm": HOLDER,
    "PmtInf/PmtInfId": "MISTAKE1",
    "PmtInf/PmtMtd": "TRF",
    "PmtInf/BtchBookg": "false",
    "PmtInf/NbOfTxs": "1",
    "PmtInf/CtrlSum": "1.00",
    "PmtInf/PmtTpInf/InstrPrty": "NORM",
    "PmtInf/PmtTpInf/SvcLvl/Cd": "NURG",
    "PmtInf/ReqdExctnDt": "2026-11-24",
    "PmtInf/Dbtr/Nm": HOLDER,
    "PmtInf/DbtrAcct/Id/Othr/Id": DEBTOR,
    "PmtInf/DbtrAcct/Ccy": "CNY",
    "PmtInf/DbtrAgt/FinInstnId/BIC": "BANKFIHH",
    "PmtInf/ChrgBr": "SLEV",
}
GOOD_DEBIT: Final = {
    "PmtId/InstrId": "MISTAKE1",
    "PmtId/EndToEndId": "MISTAKE1",
    "InstdAmt": "1.00",
    "InstdAmt@Ccy": "CNY",
    "DrctDbtTx/MndtRltdInf/MndtId": "M1",
    "DrctDbtTx/MndtRltdInf/DtOfSgntr": "2026-01-02",
    "DbtrAgt/FinInstnId/BIC": "OKOYFIHH",
    "Dbtr/Nm": "示例乙公司",
    "DbtrAcct/Id/Othr/Id": CREDITOR,
    "RmtInf/Ustrd": "会费",
}
GOOD_DEBIT_FILE: Final = {
    "GrpHdr/MsgId": "MISTAKE1",
    "GrpHdr/CreDtTm": "2026-11-24T12:00:00",
    "GrpHdr/NbOfTxs": "1",
    "GrpHdr/CtrlSum": "1.00",
    "GrpHdr/InitgPty/Nm": HOLDER,
    "PmtInf/PmtInfId": "MISTAKE1",
    "PmtInf/PmtMtd": "DD",
    "PmtInf/NbOfTxs": "1",
    "PmtInf/CtrlSum": "1.00",
    "PmtInf/PmtTpInf/SvcLvl/Cd": "SEPA",
    "PmtInf/PmtTpInf/LclInstrm/Cd": "CORE",
    "PmtInf/PmtTpInf/SeqTp": "RCUR",
    "PmtInf/ReqdColltnDt": "2026-11-24",
    "PmtInf/Cdtr/Nm": HOLDER,
    "PmtInf/CdtrAcct/Id/Othr/Id": DEBTOR,
    "PmtInf/CdtrAgt/FinInstnId/BIC": "BANKFIHH",
    "PmtInf/ChrgBr": "SLEV",
}


# ---- documents ----------------------------------------------------------------------------------------------


def tree(name: str, space: str, texts: Mapping[str, str | None]) -> etree._Element:
    """An element with the texts at their paths; parts of a path that stand already are used again."""
    root = etree.Element(f"{{{space}}}{name}", nsmap={None: space})
    for path, content in texts.items():
        if content is None:
            continue
        steps, _, attribute = path.partition("@")
        at = root
        for step in steps.split("/"):
            found = at.find(f"{{{space}}}{step}")
            at = etree.SubElement(at, f"{{{space}}}{step}") if found is None else found
        if attribute:
            at.set(attribute, content)
        else:
            at.text = content
    return root


def _file(
    message: str, kind: str, row: str, head: Mapping[str, str | None], rows: list[Mapping[str, str | None]]
) -> bytes:
    space = _ISO + message
    inside = tree(kind, space, head)
    group = inside.find(f"{{{space}}}PmtInf")
    assert group is not None, "a file has a group"
    for texts in rows:
        group.append(tree(row, space, texts))
    document = etree.Element(f"{{{space}}}Document", nsmap={None: space})
    document.append(inside)
    return etree.tostring(document, encoding="UTF-8", xml_declaration=True)


def _changed(good: Mapping[str, str], changes: Changes) -> Mapping[str, str | None]:
    """The good texts with the changes. A path that is new stands after those that share most of its steps."""
    made: dict[str, str | None] = {**good, **{path: text for path, text in changes.items() if path in good}}
    for path in changes:
        if path in good:
            continue
        shared = [len(commonprefix([path.split("/"), one.split("/")])) for one in made]
        place = len(shared) - shared[::-1].index(max(shared))
        made = dict([*list(made.items())[:place], (path, changes[path]), *list(made.items())[place:]])
    return made


def payment_file(
    changes: Changes = AS_IT_IS, rows: tuple[Changes, ...] = (AS_IT_IS,), message: str = TRANSFERS
) -> bytes:
    """A pain.001 with one group. `changes` are by path below CstmrCdtTrfInitn, as in GOOD_FILE (`GrpHdr/MsgId`,
    `PmtInf/PmtMtd`); `rows` has the changes of each payment, by path below CdtTrfTxInf, as in GOOD_ROW. Counts and sums
    are not adjusted."""
    made = [_changed(GOOD_ROW, one) for one in rows]
    return _file(message, "CstmrCdtTrfInitn", "CdtTrfTxInf", _changed(GOOD_FILE, changes), made)


def debit_file(changes: Changes = AS_IT_IS, rows: tuple[Changes, ...] = (AS_IT_IS,)) -> bytes:
    """As `payment_file`, a pain.008 by GOOD_DEBIT_FILE and GOOD_DEBIT."""
    made = [_changed(GOOD_DEBIT, one) for one in rows]
    return _file(DEBITS, "CstmrDrctDbtInitn", "DrctDbtTxInf", _changed(GOOD_DEBIT_FILE, changes), made)


def document(operation: str, changes: Changes = AS_IT_IS, content: bytes | None = None) -> etree._Element:
    """A good ApplicationRequest without its signature, with changes by the names of its elements.

    `FileReferences` takes references with blanks between them. `content` is the file of an upload, packed by GZIP where
    Compression says true.
    """
    told: dict[str, str | None] = {
        "CustomerId": CUSTOMER,
        "Command": _WORDS.get(operation, operation),
        "Timestamp": "2026-11-24T04:00:00.000Z",
        "Environment": "TEST",
        "SoftwareId": "client 1.0",
        **_MORE.get(operation, {}),
    }
    if operation == "uploadFile":
        file = payment_file() if content is None else content
        is_packed = {**told, **changes}["Compression"] == "true"
        told["Content"] = base64.b64encode(gzip.compress(file, mtime=0) if is_packed else file).decode()
    told |= changes
    named = sorted(told, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    root = etree.Element(f"{{{_DATA}}}ApplicationRequest", nsmap={None: _DATA})
    for name in named:
        if told[name] is None:
            continue
        element = etree.SubElement(root, f"{{{_DATA}}}{name}")
        if name == "FileReferences":
            for one in (told[name] or "").split():
                etree.SubElement(element, f"{{{_DATA}}}FileReference").text = one
        else:
            element.text = told[name]
    return root


def signed(root: etree._Element, key: KeyPair = US) -> bytes:
    """The document with the content signature of README.md 4, 1."""
    root = etree.fromstring(etree.tostring(root))
    words = xmlsec.constants
    node = xmlsec.template.create(root, words.TransformExclC14N, words.TransformRsaSha256, ns="ds")
    root.append(node)
    reference = xmlsec.template.add_reference(node, words.TransformSha256, uri="")
    xmlsec.template.add_transform(reference, words.TransformEnveloped)
    xmlsec.template.add_transform(reference, words.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key.private_pem, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root)


def envelope(
    operation: str, document_signed: bytes, header: Changes = AS_IT_IS, security: Changes = AS_IT_IS, key: KeyPair = US
) -> bytes:
    """The SOAP message, signed as README.md 4, 2. `header` changes RequestHeader by name, `security` Created, Expires
    and BinarySecurityToken."""
    heads: dict[str, str | None] = {
        "SenderId": CUSTOMER,
        "RequestId": "R1",
        "Timestamp": NOW,
        "Language": "EN",
        "UserAgent": "client 1.0",
        "ReceiverId": "BANKFIHH",
        **header,
    }
    told: dict[str, str | None] = {
        "Created": NOW,
        "Expires": "2026-11-24T04:05:00Z",
        "BinarySecurityToken": base64.b64encode(key.certificate.public_bytes(Encoding.DER)).decode(),
        **security,
    }
    root = etree.Element(
        f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP, "wsse": WSSE, "wsu": WSU, "c": _SERVICE, "m": _MODEL}
    )
    sealed = etree.SubElement(etree.SubElement(root, f"{{{SOAP}}}Header"), f"{{{WSSE}}}Security")
    if told["BinarySecurityToken"] is not None:
        token = etree.SubElement(sealed, f"{{{WSSE}}}BinarySecurityToken", EncodingType=_BASE64, ValueType=_TOKEN)
        token.set(f"{{{WSU}}}Id", "X")
        token.text = told["BinarySecurityToken"]
    stamp = etree.SubElement(sealed, f"{{{WSU}}}Timestamp")
    for name in ("Created", "Expires"):
        if told[name] is not None:
            etree.SubElement(stamp, f"{{{WSU}}}{name}").text = told[name]
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    asked = etree.SubElement(body, f"{{{_SERVICE}}}{operation}in")
    head = etree.SubElement(asked, f"{{{_MODEL}}}RequestHeader")
    for name, content in heads.items():
        if content is not None:
            etree.SubElement(head, f"{{{_MODEL}}}{name}").text = content
    etree.SubElement(asked, f"{{{_MODEL}}}ApplicationRequest").text = base64.b64encode(document_signed).decode()
    return _carried(root, sealed, {"B": body, "T": stamp}, key)


def _carried(
    root: etree._Element, security: etree._Element, parts: Mapping[str, etree._Element], key: KeyPair
) -> bytes:
    words = xmlsec.constants
    node = xmlsec.template.create(security, words.TransformExclC14N, words.TransformRsaSha256, ns="ds")
    security.append(node)
    context = xmlsec.SignatureContext()
    for name, element in parts.items():
        element.set(f"{{{WSU}}}Id", name)
        reference = xmlsec.template.add_reference(node, words.TransformSha256, uri=f"#{name}")
        xmlsec.template.add_transform(reference, words.TransformExclC14N)
        context.register_id(element, "Id", WSU)
    info = xmlsec.template.ensure_key_info(node)
    pointer = etree.SubElement(info, f"{{{WSSE}}}SecurityTokenReference")
    etree.SubElement(pointer, f"{{{WSSE}}}Reference", URI="#X", ValueType=_TOKEN)
    context.key = xmlsec.Key.from_memory(key.private_pem, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def posted(message: bytes, headers: Mapping[str, str] = NO_HEADERS, method: str = "POST", path: str = "/file") -> bytes:
    """The HTTP request; an empty header is left out."""
    lines = [f"{name}: {text}" for name, text in {**_HTTP, **headers}.items() if text]
    return (
        "\r\n".join([f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(message)}", "", ""]).encode() + message
    )


def request(
    operation: str,
    changes: Changes = AS_IT_IS,
    *,
    content: bytes | None = None,
    header: Changes = AS_IT_IS,
    security: Changes = AS_IT_IS,
    signer: KeyPair = US,
    carrier: KeyPair = US,
    spoil: Callable[[bytes], bytes] = bytes,
    spoil_document: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """A good framed request of `uploadFile`, `downloadFileList`, `downloadFile`, `deleteFile` or `getUserInfo`, changed.

    `changes`: elements of the ApplicationRequest (see `document`). `content`: the file of an upload (`payment_file`,
    `debit_file`, any bytes). `header`: the RequestHeader. `security`: Created, Expires, BinarySecurityToken. All of
    these are signed after the change. `signer` and `carrier` are the keys of the two signatures. `spoil_document` and
    `spoil` change the signed document and the signed message, so that their signatures no longer fit.
    """
    inner = spoil_document(signed(document(operation, changes, content), signer))
    return posted(spoil(envelope(operation, inner, header, security, carrier)))


def upload(changes: Changes = AS_IT_IS, row: Changes = AS_IT_IS, **more: str | None) -> bytes:
    """An upload of a pain.001 of one payment, changed as in `payment_file`; `more` are elements of the
    ApplicationRequest."""
    return request("uploadFile", more, content=payment_file(changes, (row,)))


def certificate_request(
    changes: Changes = AS_IT_IS, *, bits: int = 2048, header: Changes = AS_IT_IS, signer: KeyPair | None = None
) -> bytes:
    """A good framed getCertificate by the one-time code, with changes by the names of CertApplicationRequest. With a
    `signer` it is a renewal, signed by that key, and has no code."""
    heads: dict[str, str | None] = {"SenderId": CUSTOMER, "RequestId": "C1", "Timestamp": NOW, **header}
    told: dict[str, str | None] = {
        "CustomerId": CUSTOMER,
        "Timestamp": NOW,
        "Environment": "TEST",
        "SoftwareId": "client 1.0",
        "Command": "GetCertificate",
        "Service": "MATU",
        "Content": pkcs10(bits),
        "TransferKey": None if signer else CODE,
        **changes,
    }
    inner = tree("CertApplicationRequest", _OFFICE_DATA, told)
    packed = signed(inner, signer) if signer else etree.tostring(inner)
    root = etree.Element(f"{{{SOAP}}}Envelope")
    asked = etree.SubElement(etree.SubElement(root, f"{{{SOAP}}}Body"), f"{{{_OFFICE}}}getCertificatein")
    head = etree.SubElement(asked, f"{{{_OFFICE}}}RequestHeader")
    for name, content in heads.items():
        if content is not None:
            etree.SubElement(head, f"{{{_OFFICE}}}{name}").text = content
    etree.SubElement(asked, f"{{{_OFFICE}}}ApplicationRequest").text = base64.b64encode(packed).decode()
    return posted(etree.tostring(root), path="/CertificateService")


@cache
def pkcs10(bits: int = 2048) -> str:
    """A request for a certificate of a new key, in base64."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOLDER)])
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


def side() -> Side:
    """The bank's side with one account of the customer, which may upload pain.001, pain.008 and report.txt."""
    dsig.start()
    options = {"customer": CUSTOMER, "accounts": [DEBTOR], "type_collection": DEBITS, "other_types": ["report.txt"]}
    keys = {"bank": BANK.private_pem, "bank_certificate": BANK.certificate_pem, "client": US.certificate_pem}
    books = Ledger(BankTime().now_ms, (LedgerAccount(DEBTOR, HOLDER, Money(10_000_000_000_000)),), BookingRules())
    return Side(twin.build(options, keys), books)
