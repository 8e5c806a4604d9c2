"""The bank's own side, written from README.md alone. It imports nothing of the adapter.

It is strict: both client signatures, the message's time, ids used before, the schema, the customer. It signs with
libxmlsec from its own templates, while the adapter signs and verifies through the kit, so that a mistake in one of the
two shows as a signature that does not verify.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

from cryptography.x509 import load_pem_x509_certificate
from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.finws import encryption
from protocols.banks.finws.twin_carrier import CARRIER_FORMS, SOAP, Carrier, envelope_of, sign_carrier, utc
from protocols.banks.finws.twin_enrolment import Hand, Office, faulted, own_certificate, posted, sign_enveloped
from protocols.banks.finws.twin_files import DOWN, PAYMENT, Shelf, Shelved, Shelves
from protocols.banks.finws.twin_rules import (
    COMMANDS,
    DATA,
    ENVELOPE_ROW,
    FAULT,
    HEADER_RULES,
    HTTP_RULES,
    MODEL,
    NOT_SIGNED,
    SIGNER_ROW,
    TEXTS,
    broken,
    document_findings,
    envelope_findings,
    placed,
    refusal,
    repeated,
    under_contract,
)
from protocols.banks.finws.twin_rules_files import total_findings
from protocols.judge import PlainFields, RequestFinding, RuleKind, XmlFields
from protocols.judge import value as judged_value
from protocols.kit import dsig, http, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Content, Markup, el, one, value_or
from protocols.twin import Answer, Books, Twin

_FILES: Final = "http://bxd.fi/CorporateFileService"
_D: Final = f"{{{DATA}}}"
_M: Final = f"{{{MODEL}}}"
# Both forms of the business signature are in use: with exclusive canonicalisation, and without a named one (inclusive).
_BUSINESS_FORMS: Final = ((dsig.ENVELOPED, dsig.EXC_C14N), (dsig.ENVELOPED,))
_REQUEST_BYTES_MAX: Final = 67_108_864
_UNPACKED_MAX: Final = 50_000_000
_DEFAULTS: Final[Mapping[str, Any]] = {
    "customer": "11111111", "sender": "", "skew_s": 300, "notify_s": 5, "notifications": True, "statuses": True,
    "accounts": [], "other_types": [], "transfer_key": "1234567890ABCDEF", "hmac": False, "cheap": False,
    "stamp_signed": True, "statement_s": 0, "answer_transforms": ["enveloped", "inclusive"], "answer_digest": "sha256",
    "answer_c14n": "inclusive",
    "charset": "UTF-8", "carrier_forms": ["exclusive"], "pem": False, "type_collection": "",
    "odd_rows": False, "late_entries": False, "batch_details": "all", "back_together": False,
}  # fmt: skip


class _No(Exception):  # noqa: N818 - the bank's answer, with the code it carries
    def __init__(self, code: str, *findings: RequestFinding) -> None:
        super().__init__(code)
        self.code = code
        self.findings = findings


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    document: etree._Element

    def get(self, name: str) -> str:
        return value_or(self.document, _D + name)

    def day(self, name: str) -> date | None:
        text = self.get(name)
        return date.fromisoformat(text) if text else None

    def reference(self) -> str:
        [found] = xmldoc.several(self.document, f"{_D}FileReferences/{_D}FileReference")
        return xmldoc.text(found).strip()


@dataclass(frozen=True, slots=True)
class _Message:
    """A SOAP message with one operation. `odd`: the faults in the names and the order of its header."""

    octets: bytes
    envelope: etree._Element
    operation: str
    header: etree._Element
    odd: list[RequestFinding]

    @property
    def key(self) -> tuple[str, str]:
        """The sender and the message's number, by which the bank knows a repeat."""
        fields = XmlFields(self.header)
        return judged_value(fields, "SenderId"), judged_value(fields, "RequestId")


@dataclass(slots=True)
class _Memory:
    """Ids that the bank has seen, of messages and of application requests, each with the digest of its message."""

    messages: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: dict[tuple[str, str], bytes] = field(default_factory=dict)


def build(options: Mapping[str, Any], keys: Mapping[str, bytes], shelf: Shelves | None = None) -> Twin:
    """The bank's side; README.md section 7 lists options and keys. Raises BadOptions.

    `shelf`: another store of files behind this front.
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
        self._cheap: bool = options["cheap"]
        self._hand = Hand(
            tuple(options["answer_transforms"]), options["answer_digest"], options["charset"], options["answer_c14n"]
        )
        collection: str = options["type_collection"]
        self._types: tuple[str, ...] = (PAYMENT, *([collection] if collection else []), *options["other_types"])
        self._key, shown = keys["bank"], keys.get("bank_certificate")
        self._certificate = own_certificate(self._key) if shown is None else load_pem_x509_certificate(shown)
        self._opener, self._sealer = keys.get("encryption"), keys.get("client_encryption")
        self._signers = [
            [dsig.PinnedKey.from_pem(keys[name])] for name in ("client", "content2", "content3") if name in keys
        ]
        if "content" in keys:
            self._signers[0] = [dsig.PinnedKey.from_pem(keys["content"])]
        self._carriers = [dsig.PinnedKey.from_pem(keys["client"])]
        self._carrier = Carrier(
            self._carriers,
            tuple(CARRIER_FORMS[one] for one in options["carrier_forms"]),
            timedelta(seconds=options["skew_s"]),
            options["stamp_signed"],
            not self._cheap,
            _REQUEST_BYTES_MAX,
        )
        sealed = self._opener is not None
        self._rules = {one: under_contract(one, self._customer, self._types, sealed=sealed) for one in COMMANDS}
        self._memory = _Memory()
        self._shelf = shelf or Shelf(
            options["accounts"],
            options["notify_s"],
            options["notifications"],
            options["statuses"],
            options["statement_s"],
            collection,
            odd_rows=options["odd_rows"],
            late_entries=options["late_entries"],
            batch_details=options["batch_details"],
            back_together=options["back_together"],
        )
        self._office = Office(
            self._customer,
            options["transfer_key"],
            options["hmac"],
            self._key,
            self._certificate,
            self._carriers,
            self._renewed,
            self._hand,
            options["pem"],
            self._opener,
        )

    def requests(self, port: str) -> Cutter:
        """A cutter for one connection's requests."""
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request. Raises ProtocolError for bytes that are no HTTP, so that the connection closes."""
        asked = http.parse_request(request)
        found = HTTP_RULES.findings(PlainFields({**asked.headers, ":method": asked.method}), books)
        if asked.method != "POST":
            return Answer(http.answer(405), False, "", found[0].refusal.code, found[0].refusal.text, found)
        if found:
            return faulted(found[0])
        if asked.target.endswith(("CertificateService", "pkiservice.asmx")):
            return self._office.answer(asked.body, books)
        try:
            envelope = xmldoc.parse(asked.body, UTF8, max_bytes=_REQUEST_BYTES_MAX)
            bodies = xmldoc.several(envelope, f"{{{SOAP}}}Body")
        except ProtocolError as error:
            rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
            words = (f"is no SOAP message with one operation ({error})", "不是只含一个交易的 SOAP 报文")
            return faulted(broken("Envelope", rule, "", words, ENVELOPE_ROW, FAULT))
        if len(bodies) != 1 or len(bodies[0]) != 1:
            place = "Envelope/Body" if bodies else "Envelope"
            words = ("holds no Body of SOAP 1.1 with one operation", "不含只有一个交易的 SOAP 1.1 Body")
            return faulted(broken(place, RuleKind.FRAME, etree.QName(envelope).text, words, ENVELOPE_ROW, FAULT))
        inside = bodies[0][0]
        name = etree.QName(inside)
        operation = name.localname.removesuffix("in")
        if name.namespace != _FILES or name.localname != f"{operation}in" or operation not in COMMANDS:
            words = ("is no operation of this service", "本服务没有此交易")
            return faulted(
                broken("Body", RuleKind.OPERATION, name.text, words, "README.md 3, the five operations", FAULT)
            )
        odd = list(envelope_findings(inside))
        if odd and odd[0].refusal is FAULT:
            return faulted(odd[0])
        return self._answered(_Message(asked.body, envelope, operation, inside[0], odd), books)

    def _answered(self, message: _Message, books: Books) -> Answer:
        """The signed answer to an operation. Nothing is done for a message that breaks a rule."""
        key, digest = message.key, sha256(message.octets).digest()
        code, inside, found = "00", None, tuple[RequestFinding, ...]()
        try:
            read = self._admit(message, digest, books)
            file, inside = self._act(read, books)
            found = () if file is None else file.findings
            self._memory.messages[key] = digest
            self._memory.requests[self._customer, read.get("Timestamp")] = digest
        except _No as no:
            code, found = no.code, no.findings
        reason = found[0].refusal.text if found else TEXTS[code]
        signed = self._signed(message.operation, key[1], code, inside, books)
        return posted(200, signed, message.operation, code, reason, found)

    def spoil(self, answer: bytes, where: float) -> bytes:
        """The answer with one digit of what is signed changed."""
        first, last = answer.index(b"<m:ResponseHeader>"), answer.index(b"</soap:Body>")
        texts = [at for found in re.finditer(rb">([^<]*)<", answer[first:last]) for at in range(*found.span(1))]
        digits = [first + at for at in texts if 48 <= answer[first + at] <= 57]
        at = digits[int(where * len(digits))]
        return answer[:at] + b"%d" % ((answer[at] - 47) % 10) + answer[at + 1 :]

    # ---- letting a request in --------------------------------------------------------------------------------

    def _admit(self, message: _Message, digest: bytes, books: Books) -> _Request:
        """The request to act on, from what was signed. Raises _No with every rule that the message breaks."""
        operation, key = message.operation, message.key
        body, found = self._carrier.judged(message.octets, message.envelope, books.machine_now(), books)
        asked = one(body, f"{{{_FILES}}}{operation}in")
        found += [*message.odd, *HEADER_RULES.findings(XmlFields(asked), books)]
        if not found and key[0] != self._sender:
            words = ("is not this customer's number as a sender", "不是该客户的发送方编号")
            place, source = "RequestHeader/SenderId", "README.md 2, RequestHeader: SenderId"
            found.append(broken(place, RuleKind.BOOKS, key[0], words, source, refusal("07")))
        earlier = self._memory.messages.get(key)
        if not found and earlier is not None:
            source = "README.md 4, Repeats: RequestId"
            raise _No("31", *([] if earlier == digest else [repeated("RequestHeader/RequestId", key[1], source, "31")]))
        root, wrong = self._document(value_or(asked, f"{_M}ApplicationRequest"), operation, books)
        if found or wrong or root is None:
            found += wrong
            raise _No(found[0].refusal.code, *found)
        read = _Request(operation, root)
        earlier = self._memory.requests.get((self._customer, read.get("Timestamp")))
        if earlier is not None:
            source, place = "README.md 4, Repeats: Timestamp", "ApplicationRequest/Timestamp"
            same = earlier == digest
            raise _No("32", *([] if same else [repeated(place, read.get("Timestamp"), source, "32")]))
        return read

    def _document(
        self, packed: str, operation: str, books: Books
    ) -> tuple[etree._Element | None, list[RequestFinding]]:
        """The ApplicationRequest, and every rule that it breaks. It is the signed one if it breaks none."""
        place, source, wrong = "ApplicationRequest", "README.md 2, ApplicationRequest", refusal("12")
        try:
            document = base64.b64decode("".join(packed.split()), validate=True)
            if self._opener is not None:
                place, source, wrong = "ApplicationRequest/EncryptedData", "README.md 5, encryption", refusal("22")
                document = encryption.decrypt(document, self._opener)
                place, source, wrong = "ApplicationRequest", "README.md 2, ApplicationRequest", refusal("12")
            root = xmldoc.parse(document, UTF8, max_bytes=_REQUEST_BYTES_MAX)
        except (ProtocolError, ValueError) as error:
            rule = (
                RuleKind.CHARSET if isinstance(error, ProtocolError) and error.reason == "charset" else RuleKind.FRAME
            )
            words = (f"cannot be read as base64 of XML ({error})", "不能作为 base64 的 XML 读取")
            return None, [broken(place, rule, packed[:40], words, source, wrong)]
        found = list(document_findings(root))
        fields = XmlFields(root)
        if not self._cheap:
            try:
                root = self._signers_of(document)
            except ProtocolError as error:
                words = (f"does not verify with the signer's certificate ({error.text})", "用签名人证书验签不通过")
                place, rule = "ApplicationRequest/Signature", RuleKind.SIGNATURE
                found.append(broken(place, rule, error.reason, words, SIGNER_ROW, NOT_SIGNED))
        found += placed("ApplicationRequest/", self._rules[operation].findings(fields, books))
        return root, found

    def _signers_of(self, document: bytes) -> etree._Element:
        """The certificates of all signers, the last one first. Each signer signed the signatures before its own."""
        for number in reversed(range(len(self._signers))):
            document = self._signer_of(document, number)
        return xmldoc.parse(document, UTF8, max_bytes=_REQUEST_BYTES_MAX)

    def _signer_of(self, document: bytes, number: int) -> bytes:
        refused: ProtocolError | None = None
        for transforms in _BUSINESS_FORMS:
            profile = dsig.SignatureProfile(
                "finws twin",
                f"/{_D}ApplicationRequest/{{{dsig.DS}}}Signature",
                (dsig.Enveloped(transforms),),
                earlier=number,
            )
            try:
                return dsig.verify(
                    document, profile, self._signers[number], engine="hand", max_bytes=_REQUEST_BYTES_MAX
                ).canonical
            except ProtocolError as error:
                refused = refused or error
        assert refused is not None, "there is a form"
        raise refused

    def _renewed(self, certificate: bytes) -> None:
        """A certificate that this bank issued is accepted from now on, beside the one before."""
        key = dsig.PinnedKey.from_pem(certificate)
        self._carriers.append(key)
        self._signers[0].append(key)

    # ---- operations ------------------------------------------------------------------------------------------

    def _act(self, asked: _Request, books: Books) -> tuple[Shelved | None, list[Content]]:
        """Carry out the operation. Returns the file that came in, if one did, and the content of the answer."""
        acts = {
            "downloadFileList": self._list,
            "downloadFile": self._download,
            "deleteFile": self._delete,
            "getUserInfo": self._user_info,
        }
        return (
            self._upload(asked, books)
            if asked.operation == "uploadFile"
            else (None, acts[asked.operation](asked, books))
        )

    def _upload(self, asked: _Request, books: Books) -> tuple[Shelved, list[Content]]:
        content = base64.b64decode("".join(asked.get("Content").split()))
        if asked.get("Compression") in ("true", "1"):
            content = _unpacked(content)
        odd = list(total_findings(content, asked.get("AmountTotal"), asked.get("TransactionCount")))
        if odd:
            raise _No(odd[0].refusal.code, *odd)
        file = self._shelf.accept_file(asked.get("FileType"), content, asked.get("UserFilename"), books)
        serial, total = asked.get("ExecutionSerial"), asked.get("AmountTotal")
        return file, [
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
        file = self._shelf.fetch(asked.reference(), asked.get("FileType"))
        if file is None:
            raise _No("24")
        content, packed = file.content, asked.get("Compression") in ("true", "1")
        if packed:
            packer = zlib.compressobj(9, zlib.DEFLATED, 31)
            content = packer.compress(content) + packer.flush()
        return [
            el("Compressed", "true" if packed else "false"),
            el("CompressionMethod", "GZIP") if packed else None,
            el("FileDescriptors", _descriptor(file)),
            el("FileType", file.kind),
            el("Content", base64.b64encode(content).decode("ascii")),
        ]

    def _delete(self, asked: _Request, books: Books) -> list[Content]:
        file = self._shelf.delete(asked.reference())
        if file is None:
            raise _No("27")
        return [el("FileDescriptors", _descriptor(file))]

    def _user_info(self, asked: _Request, books: Books) -> list[Content]:
        kinds = [(kind, "Upload") for kind in self._types] + [(kind, "Download") for kind in DOWN]
        return [
            el(
                "UserFileTypes",
                [
                    el(
                        "UserFileType",
                        el("TargetId", "NONE"),
                        el("FileType", kind),
                        el("Country", "FI"),
                        el("Direction", direction),
                    )
                    for kind, direction in kinds
                ],
            )
        ]

    # ---- answering -------------------------------------------------------------------------------------------

    def _signed(self, operation: str, request_id: str, code: str, inside: list[Content] | None, books: Books) -> bytes:
        now, stamped = books.now(), books.machine_now()
        head = el(
            "m:ResponseHeader",
            el("m:SenderId", self._sender),
            el("m:RequestId", request_id),
            el("m:Timestamp", utc(now)),
            el("m:ResponseCode", code),
            el("m:ResponseText", TEXTS[code]),
        )
        document = xmldoc.build(
            el(
                "ApplicationResponse",
                {"xmlns": DATA},
                el("CustomerId", self._customer),
                el("Timestamp", utc(now)),
                el("ResponseCode", code),
                el("ResponseText", TEXTS[code]),
                *(inside or ()),
            ),
            UTF8,
        )
        signed = sign_enveloped(document, self._key, self._hand)
        if self._sealer is not None:
            signed = encryption.encrypt(signed, "tripledes-cbc", self._sealer)
        out = el(
            f"c:{operation}out",
            {"xmlns:c": _FILES, "xmlns:m": MODEL},
            head,
            el("m:ApplicationResponse", base64.b64encode(signed).decode("ascii")),
        )
        return sign_carrier(envelope_of(out, self._certificate, stamped), self._key, self._hand)


def _unpacked(content: bytes) -> bytes:
    opener = zlib.decompressobj(31)
    try:
        found = opener.decompress(content, _UNPACKED_MAX)
    except zlib.error:
        found = b""
    if not opener.eof:
        words = (f"is no GZIP file of at most {_UNPACKED_MAX} bytes", f"不是 {_UNPACKED_MAX} 字节以内的 GZIP 文件")
        place, source = "ApplicationRequest/Content", "README.md 5, GZIP of Content"
        raise _No("21", broken(place, RuleKind.FORM, "", words, source, refusal("21")))
    return found


def _descriptor(file: Shelved) -> Markup:
    return el(
        "FileDescriptor",
        el("FileReference", file.reference),
        el("TargetId", "NONE"),
        el("UserFilename", file.name) if file.name else None,
        el("ParentFileReference", file.parent) if file.parent else None,
        el("FileType", file.kind),
        el("FileTimestamp", file.made_at.isoformat(timespec="milliseconds")),
        el("Status", file.status),
        el("Deletable", "true" if file.status == "WFC" else "false"),
    )
