"""The bank's own side, written from README.md alone: nothing of the adapter's is imported here.

It is strict: both client signatures, the message's time, ids used before, the schema, the customer. It signs with
libxmlsec from its own templates, while the adapter signs and verifies through the kit, so that a mistake in one of the
two shows as a signature that does not verify.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.finws import encryption
from protocols.banks.finws.twin_enrolment import LONG_TEXTS, Hand, Office, sign_enveloped
from protocols.banks.finws.twin_files import DOWN, PAYMENT, Shelf, Shelved, Shelves
from protocols.kit import dsig, http, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.dsig.stack import xmlsec_module
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Content, Markup, el, one, value, value_or
from protocols.twin import Answer, Books, Twin

_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_SEXT: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_UTIL: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
_FILES: Final = "http://bxd.fi/CorporateFileService"
_MODEL: Final = "http://model.bxd.fi"
_DATA: Final = "http://bxd.fi/xmldata/"
_D: Final = f"{{{_DATA}}}"
_M: Final = f"{{{_MODEL}}}"
_HEADER: Final = f"/{{{_SOAP}}}Envelope/{{{_SOAP}}}Header/{{{_SEXT}}}Security"
_CARRIER: Final = dsig.SignatureProfile(
    "finws twin, carrier", f"{_HEADER}/{{{dsig.DS}}}Signature",
    references=(dsig.ById(f"/{{{_SOAP}}}Envelope/{{{_SOAP}}}Body", f"{{{_UTIL}}}Id"),
                dsig.ById(f"{_HEADER}/{{{_UTIL}}}Timestamp", f"{{{_UTIL}}}Id")),
    key_info=(f"{{{_SEXT}}}SecurityTokenReference",),
)  # fmt: skip
# Some customers' programs sign the body alone; its own Timestamp then says when it was made.
_BODY_ALONE: Final = dsig.SignatureProfile(
    "finws twin, carrier of the body alone", _CARRIER.signature_path, references=_CARRIER.references[:1],
    key_info=_CARRIER.key_info,
)  # fmt: skip
# Both forms of the business signature are in use: with exclusive canonicalisation, and with none named (inclusive).
_BUSINESS_FORMS: Final = ((dsig.ENVELOPED, dsig.EXC_C14N), (dsig.ENVELOPED,))
# How customers' programs write the SignedInfo of the envelope; which of them a bank takes, its contract says.
_CARRIER_FORMS: Final = {"exclusive": dsig.EXC_C14N, "exclusive_comments": dsig.EXC_C14N_COMMENTS,
                         "inclusive": dsig.C14N}  # fmt: skip
_REQUEST_BYTES_MAX: Final = 67_108_864
_UNPACKED_MAX: Final = 50_000_000
_OPERATIONS: Final = {
    "uploadFile": "UploadFile", "downloadFileList": "DownloadFileList", "downloadFile": "DownloadFile",
    "deleteFile": "DeleteFile", "getUserInfo": "GetUserInfo",
}  # fmt: skip
# The schema of an application request: element, longest content, pattern. In this order; none twice.
_SCHEMA: Final = (
    ("CustomerId", 16, r".+"), ("Command", 32, r".+"),
    ("Timestamp", 40, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
    ("StartDate", 10, r"\d{4}-\d\d-\d\d"),
    ("EndDate", 10, r"\d{4}-\d\d-\d\d"), ("Status", 10, r"NEW|DLD|ALL"), ("ServiceId", 256, r".+"),
    ("Environment", 10, r"PRODUCTION|TEST"), ("FileReferences", 0, r""), ("UserFilename", 80, r".+"),
    ("TargetId", 80, r".+"), ("ExecutionSerial", 32, r".+"), ("Encryption", 5, r"true|false|0|1"),
    ("EncryptionMethod", 35, r".+"), ("Compression", 5, r"true|false|0|1"), ("CompressionMethod", 35, r"GZIP"),
    ("AmountTotal", 40, r"\d+(\.\d+)?([eE][+-]?\d+)?"), ("TransactionCount", 19, r"\d+"), ("SoftwareId", 80, r".+"),
    ("CustomerExtension", 0, r""), ("FileType", 40, r".+"), ("Content", 80_000_000, r"[A-Za-z0-9+/=\s]*"),
)  # fmt: skip
_ALWAYS: Final = ("CustomerId", "Command", "Timestamp", "Environment", "SoftwareId")
_NEEDED: Final = {"uploadFile": ("FileType", "Content"), "downloadFileList": ("FileType",),
                  "downloadFile": ("FileReferences", "FileType"), "deleteFile": ("FileReferences",),
                  "getUserInfo": ()}  # fmt: skip
_TEXTS: Final = {
    "00": "OK.", "02": "SOAP signature error.", "05": "Operation unknown.", "06": "Operation is restricted.",
    "07": "Sender not found.", "10": "User not authorized.", "12": "Schema validation failed.",
    "18": "Content digital signature not valid.", "20": "Invalid file type.", "21": "Deflate error.",
    "22": "Decryption failed.", "24": "Content not found.", "26": "Technical error.", "27": "Not deletable.",
    "29": "Invalid parameters.", "31": "Duplicate message rejected.", "32": "Duplicate ApplicationRequest rejected.",
}  # fmt: skip
_DEFAULTS: Final[Mapping[str, Any]] = {
    "customer": "11111111", "sender": "", "skew_s": 300, "notify_s": 5, "notifications": True, "statuses": True,
    "accounts": [], "other_types": [], "transfer_key": "1234567890ABCDEF", "hmac": False, "cheap": False,
    "stamp_signed": True, "statement_s": 0, "answer_transforms": ["enveloped", "inclusive"], "answer_digest": "sha256",
    "charset": "UTF-8", "carrier_forms": ["exclusive"], "pem": False, "type_collection": "",
    "odd_rows": False, "late_entries": False, "batch_details": "all", "back_together": False,
}  # fmt: skip


class _No(Exception):  # noqa: N818 - the bank's answer, with the code it carries
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    request_id: str
    document: etree._Element

    def get(self, name: str) -> str:
        return value_or(self.document, _D + name)

    def day(self, name: str) -> date | None:
        text = self.get(name)
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise _No("12") from None

    def references(self) -> list[str]:
        return [xmldoc.text(each) for each in xmldoc.several(self.document, f"{_D}FileReferences/{_D}FileReference")]


@dataclass(slots=True)
class _Memory:
    """Ids that the bank has seen: of messages, and of application requests."""

    messages: set[tuple[str, str]] = field(default_factory=set)
    requests: set[tuple[str, str]] = field(default_factory=set)


def build(options: Mapping[str, Any], keys: Mapping[str, bytes], shelf: Shelves | None = None) -> Twin:
    """The bank's side; README.md section 7 lists options and keys. Raises BadOptions.

    `shelf`: somebody else's files behind this front.
    """
    for key in sorted(set(options) - set(_DEFAULTS)):
        raise BadOptions(key, f"no such option; there are {', '.join(_DEFAULTS)}")
    for key in ("bank", "client"):
        if key not in keys:
            raise BadOptions(f"keys.{key}", "this key is needed")
    given = {**_DEFAULTS, **options}
    for key, default in _DEFAULTS.items():
        wanted = (int, float) if isinstance(default, int) and not isinstance(default, bool) else type(default)
        if not isinstance(given[key], wanted):
            raise BadOptions(key, f"must be like {default!r}")
    return FinwsTwin(given, keys, shelf)


class FinwsTwin:
    """The bank's side of every connection. Its files and the ids it has seen live as long as the process."""

    ports: tuple[str, ...] = ("business",)

    def __init__(self, options: Mapping[str, Any], keys: Mapping[str, bytes], shelf: Shelves | None = None) -> None:
        self._customer: str = options["customer"]
        self._sender: str = options["sender"] or self._customer
        self._skew = timedelta(seconds=options["skew_s"])
        self._cheap: bool = options["cheap"]
        self._stamp_signed: bool = options["stamp_signed"]
        self._hand = Hand(tuple(options["answer_transforms"]), options["answer_digest"], options["charset"])
        self._carrier_forms = [_CARRIER_FORMS[one] for one in options["carrier_forms"]]
        collection: str = options["type_collection"]
        self._types: tuple[str, ...] = (PAYMENT, *([collection] if collection else []), *options["other_types"])
        self._key, shown = keys["bank"], keys.get("bank_certificate")
        self._certificate = None if shown is None else load_pem_x509_certificate(shown)
        self._opener, self._sealer = keys.get("encryption"), keys.get("client_encryption")
        self._signers = [
            [dsig.PinnedKey.from_pem(keys[name])] for name in ("client", "content2", "content3") if name in keys
        ]
        if "content" in keys:
            self._signers[0] = [dsig.PinnedKey.from_pem(keys["content"])]
        self._carriers = [dsig.PinnedKey.from_pem(keys["client"])]
        self._memory = _Memory()
        self._shelf = shelf or Shelf(options["accounts"], options["notify_s"], options["notifications"],
                                     options["statuses"], options["statement_s"], collection,
                                     odd_rows=options["odd_rows"],
                                     late_entries=options["late_entries"], batch_details=options["batch_details"],
                                     back_together=options["back_together"])  # fmt: skip
        self._office = Office(self._customer, options["transfer_key"], options["hmac"], self._key, self._certificate,
                              self._carriers, self._renewed, self._hand, options["pem"],
                              self._opener)  # fmt: skip

    def requests(self, port: str) -> Cutter:
        """See Twin."""
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """See Twin. Raises ProtocolError for what is not HTTP or not XML: the connection closes."""
        asked = http.parse_request(request)
        if asked.method != "POST":
            return _http(405, b"")
        if asked.target.endswith(("CertificateService", "pkiservice.asmx")):
            return _http(200, self._office.answer(asked.body, books))
        envelope = xmldoc.parse(asked.body, UTF8, max_bytes=_REQUEST_BYTES_MAX)
        body = one(envelope, f"{{{_SOAP}}}Body")
        if len(body) != 1:
            raise ProtocolError("value", "a SOAP body with other than one element")
        name = etree.QName(body[0])
        operation = name.localname.removesuffix("in")
        if name.namespace != _FILES or operation not in _OPERATIONS:
            return _http(500, _fault("no such operation"))
        header = one(body[0], f"{_M}RequestHeader")
        sender, request_id = value(header, f"{_M}SenderId"), value(header, f"{_M}RequestId")
        try:
            read = self._admit(asked.body, operation, sender, request_id, books.now())
            inside = self._act(read, books)
            code = "00"
            self._memory.messages.add((sender, request_id))
            self._memory.requests.add((self._customer, read.get("Timestamp")))
        except _No as no:
            code, inside = no.code, None
        return _http(200, self._signed(operation, request_id, code, inside, books.now()))

    def spoil(self, answer: bytes, where: float) -> bytes:
        """The answer with one digit of what is signed changed."""
        first, last = answer.index(b"<m:ResponseHeader>"), answer.index(b"</soap:Body>")
        texts = [at for found in re.finditer(rb">([^<]*)<", answer[first:last]) for at in range(*found.span(1))]
        digits = [first + at for at in texts if 48 <= answer[first + at] <= 57]
        at = digits[int(where * len(digits))]
        return answer[:at] + b"%d" % ((answer[at] - 47) % 10) + answer[at + 1 :]

    # ---- letting a request in --------------------------------------------------------------------------------

    def _admit(self, message: bytes, operation: str, sender: str, request_id: str, now: datetime) -> _Request:
        signed = self._carried(message, now)
        asked = one(signed, f"{{{_FILES}}}{operation}in")
        if sender != self._sender:
            raise _No("07")
        if not 1 <= len(request_id) <= 35:
            raise _No("29")
        if (sender, request_id) in self._memory.messages:
            raise _No("31")
        document = self._opened(value_or(asked, f"{_M}ApplicationRequest"))
        try:
            root = xmldoc.parse(document, UTF8, max_bytes=_REQUEST_BYTES_MAX)
        except ProtocolError:
            raise _No("12") from None
        _check_schema(root, operation)
        if not self._cheap:
            root = self._signers_of(document)
        read = _Request(operation, request_id, root)
        if read.get("CustomerId") != self._customer:
            raise _No("10")
        if read.get("Command") != _OPERATIONS[operation]:
            raise _No("06")
        if (self._customer, read.get("Timestamp")) in self._memory.requests:
            raise _No("32")
        return read

    def _carried(self, message: bytes, now: datetime) -> etree._Element:
        """The SOAP body, proven to be the client's and of this hour."""
        if self._cheap:
            return one(xmldoc.parse(message, UTF8, max_bytes=_REQUEST_BYTES_MAX), f"{{{_SOAP}}}Body")
        try:
            try:
                return self._stamped(message, now)
            except ProtocolError:
                if self._stamp_signed:
                    raise
            verified = self._proven(message, _BODY_ALONE)
            header = one(verified.root[0], f"{_M}RequestHeader")
            if abs(now - datetime.fromisoformat(value(header, f"{_M}Timestamp"))) > self._skew:
                raise _No("02")
        except (ProtocolError, ValueError, TypeError, IndexError):
            raise _No("02") from None
        return verified.root

    def _stamped(self, message: bytes, now: datetime) -> etree._Element:
        verified = self._proven(message, _CARRIER)
        stamp = xmldoc.parse(verified.parts[1], UTF8)
        created, expires = (
            datetime.fromisoformat(value(stamp, f"{{{_UTIL}}}{name}")) for name in ("Created", "Expires")
        )
        if not (created - self._skew <= now < expires + self._skew and created < expires):
            raise _No("02")
        return verified.root

    def _proven(self, message: bytes, profile: dsig.SignatureProfile) -> dsig.Verified:
        *others, last = (replace(profile, c14n=form) for form in self._carrier_forms)
        for form in others:
            try:
                return dsig.verify(message, form, self._carriers, engine="hand", max_bytes=_REQUEST_BYTES_MAX)
            except ProtocolError:
                continue
        return dsig.verify(message, last, self._carriers, engine="hand", max_bytes=_REQUEST_BYTES_MAX)

    def _opened(self, packed: str) -> bytes:
        try:
            document = base64.b64decode("".join(packed.split()), validate=True)
            if not document:
                raise _No("12")
            if self._opener is not None:
                try:
                    return encryption.decrypt(document, self._opener)
                except ProtocolError:
                    raise _No("22") from None
            return document
        except (binascii.Error, ValueError):
            raise _No("12") from None

    def _signers_of(self, document: bytes) -> etree._Element:
        """Every signer's word, the last one's first; each of them saw what the earlier ones had signed."""
        for number in reversed(range(len(self._signers))):
            document = self._signer_of(document, number)
        return xmldoc.parse(document, UTF8, max_bytes=_REQUEST_BYTES_MAX)

    def _signer_of(self, document: bytes, number: int) -> bytes:
        for transforms in _BUSINESS_FORMS:
            profile = dsig.SignatureProfile("finws twin", f"/{_D}ApplicationRequest/{{{dsig.DS}}}Signature",
                                   (dsig.Enveloped(transforms),), earlier=number)  # fmt: skip
            try:
                return dsig.verify(document, profile, self._signers[number], engine="hand",
                                   max_bytes=_REQUEST_BYTES_MAX).canonical  # fmt: skip
            except ProtocolError:
                continue
        raise _No("18")

    def _renewed(self, certificate: bytes) -> None:
        """A certificate that this bank issued signs from now on, beside the one before."""
        key = dsig.PinnedKey.from_pem(certificate)
        self._carriers.append(key)
        self._signers[0].append(key)

    # ---- operations ------------------------------------------------------------------------------------------

    def _act(self, asked: _Request, books: Books) -> list[Content]:
        acts = {"uploadFile": self._upload, "downloadFileList": self._list, "downloadFile": self._download,
                "deleteFile": self._delete, "getUserInfo": self._user_info}  # fmt: skip
        return acts[asked.operation](asked, books)

    def _upload(self, asked: _Request, books: Books) -> list[Content]:
        kind = asked.get("FileType")
        if kind not in self._types:
            raise _No("20")
        content = base64.b64decode("".join(asked.get("Content").split()))
        if asked.get("Compression") in ("true", "1"):
            content = _unpacked(content)
        file = self._shelf.take(kind, content, asked.get("UserFilename"), books)
        serial, total = asked.get("ExecutionSerial"), asked.get("AmountTotal")
        return [
            el("ExecutionSerial", serial) if serial else None,
            el("AmountTotal", total) if total else None,
            el("FileDescriptors", _descriptor(file)),
        ]

    def _list(self, asked: _Request, books: Books) -> list[Content]:
        kind, status = asked.get("FileType"), asked.get("Status") or "ALL"
        found = self._shelf.list(kind, status, asked.day("StartDate"), asked.day("EndDate"), books)
        if not found:
            raise _No("24")
        return [el("FileDescriptors", map(_descriptor, found))]

    def _download(self, asked: _Request, books: Books) -> list[Content]:
        references = asked.references()
        if len(references) != 1:
            raise _No("29")
        file = self._shelf.fetch(references[0], asked.get("FileType"))
        if file is None:
            raise _No("24")
        content, packed = file.content, asked.get("Compression") in ("true", "1")
        if packed:
            packer = zlib.compressobj(9, zlib.DEFLATED, 31)
            content = packer.compress(content) + packer.flush()
        return [
            el("Compressed", "true" if packed else "false"), el("CompressionMethod", "GZIP") if packed else None,
            el("FileDescriptors", _descriptor(file)), el("FileType", file.kind),
            el("Content", base64.b64encode(content).decode("ascii")),
        ]  # fmt: skip

    def _delete(self, asked: _Request, books: Books) -> list[Content]:
        references = asked.references()
        if len(references) != 1:
            raise _No("29")
        file = self._shelf.delete(references[0])
        if file is None:
            raise _No("27")
        return [el("FileDescriptors", _descriptor(file))]

    def _user_info(self, asked: _Request, books: Books) -> list[Content]:
        kinds = [(kind, "Upload") for kind in self._types] + [(kind, "Download") for kind in DOWN]
        return [el("UserFileTypes", [
            el("UserFileType", el("TargetId", "NONE"), el("FileType", kind), el("Country", "FI"),
               el("Direction", direction))
            for kind, direction in kinds
        ])]  # fmt: skip

    # ---- answering -------------------------------------------------------------------------------------------

    def _signed(self, operation: str, request_id: str, code: str, inside: list[Content] | None, now: datetime) -> bytes:
        head = el(
            "m:ResponseHeader", el("m:SenderId", self._sender), el("m:RequestId", request_id),
            el("m:Timestamp", _utc(now)), el("m:ResponseCode", code), el("m:ResponseText", _TEXTS[code]),
        )  # fmt: skip
        document = xmldoc.build(el(
            "ApplicationResponse", {"xmlns": _DATA}, el("CustomerId", self._customer), el("Timestamp", _utc(now)),
            el("ResponseCode", code), el("ResponseText", _TEXTS[code]), *(inside or ()),
        ), UTF8)  # fmt: skip
        signed = sign_enveloped(document, self._key, self._hand)
        if self._sealer is not None:
            signed = encryption.encrypt(signed, "tripledes-cbc", self._sealer)
        out = el(f"c:{operation}out", {"xmlns:c": _FILES, "xmlns:m": _MODEL}, head,
                 el("m:ApplicationResponse", base64.b64encode(signed).decode("ascii")))  # fmt: skip
        token = None
        if self._certificate is not None:
            der = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode("ascii")
            token = el("wsse:BinarySecurityToken", {"ValueType": _TOKEN, "wsu:Id": "BST"}, der)
        stamp = el("wsu:Timestamp", {"wsu:Id": "TS"}, el("wsu:Created", _utc(now)),
                   el("wsu:Expires", _utc(now + timedelta(seconds=300))))  # fmt: skip
        security = el("wsse:Security", {"xmlns:wsse": _SEXT, "xmlns:wsu": _UTIL}, token, stamp)
        body = el("soap:Body", {"xmlns:wsu": _UTIL, "wsu:Id": "B"}, out)
        whole = el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Header", security), body)
        return _sign_carrier(xmldoc.build(whole, UTF8), self._key, self._hand)


def _check_schema(root: etree._Element, operation: str) -> None:
    """As the schema says: names, order, none twice, lengths and forms; and what the command needs."""
    if root.tag != f"{_D}ApplicationRequest":
        raise _No("12")
    names: list[str] = []
    places = {name: number for number, (name, _, _) in enumerate(_SCHEMA)}
    for child in root:
        name = str(child.tag).removeprefix(_D)
        if child.tag == f"{{{dsig.DS}}}Signature":
            continue
        if name not in places or (names and places[name] <= places[names[-1]]):
            raise _No("12")
        names.append(name)
        _, longest, form = _SCHEMA[places[name]]
        if longest:
            text = "".join(str(part) for part in child.itertext())
            if len(child) or len(text) > longest or not re.fullmatch(form, text, re.DOTALL):
                raise _No("12")
    if not set(_ALWAYS) <= set(names):
        raise _No("12")
    if not set(_NEEDED[operation]) <= set(names):
        raise _No("29")


def _unpacked(content: bytes) -> bytes:
    opener = zlib.decompressobj(31)
    try:
        found = opener.decompress(content, _UNPACKED_MAX)
    except zlib.error:
        raise _No("21") from None
    if not opener.eof:
        raise _No("21")
    return found


def _descriptor(file: Shelved) -> Markup:
    return el(
        "FileDescriptor", el("FileReference", file.reference), el("TargetId", "NONE"),
        el("UserFilename", file.name) if file.name else None,
        el("ParentFileReference", file.parent) if file.parent else None,
        el("FileType", file.kind), el("FileTimestamp", file.made_at.isoformat(timespec="milliseconds")),
        el("Status", file.status),
        el("Deletable", "true" if file.status == "WFC" else "false"),
    )  # fmt: skip


def _sign_carrier(envelope: bytes, key: bytes, hand: Hand) -> bytes:
    """WS-Security over body and time stamp, by libxmlsec."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    root = etree.fromstring(envelope, LONG_TEXTS)
    security = root[0][0]
    stamp, shows_key = security[-1], len(security) > 1
    digest, method = hand.hash_words(words)
    node = xmlsec.template.create(security, words.TransformExclC14N, method, ns="ds")
    security.append(node)
    context = xmlsec.SignatureContext()
    for element, name in ((root[1], "B"), (stamp, "TS")):
        reference = xmlsec.template.add_reference(node, digest, uri=f"#{name}")
        xmlsec.template.add_transform(reference, words.TransformExclC14N)
        context.register_id(element, "Id", _UTIL)
    if shows_key:
        info = xmlsec.template.ensure_key_info(node)
        pointer = etree.SubElement(info, f"{{{_SEXT}}}SecurityTokenReference")
        etree.SubElement(pointer, f"{{{_SEXT}}}Reference", URI="#BST", ValueType=_TOKEN)
    context.key = xmlsec.Key.from_memory(key, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding=hand.charset, xml_declaration=True)


def _fault(text: str) -> bytes:
    fault = el("soap:Fault", el("faultcode", "soap:Client"), el("faultstring", text))
    return xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", fault)), UTF8)


def _http(status: int, body: bytes) -> Answer:
    return Answer(http.answer(status, [("Content-Type", "text/xml; charset=utf-8")], body))


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
