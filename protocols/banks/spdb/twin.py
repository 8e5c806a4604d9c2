"""The front end BISafe and its ports, written from the bank's page and not from our own adapter.

It keeps the habits of real messages: answers with a length that is left-aligned and counts itself, the label gb2312,
Base64 in lines, no masterID in answers, an error without signature. Its keys: `bank` signs answers; the front end's own
key signs requests at the sign port and is made when the process first needs it, as nobody outside has to know it.
Codes that begin with TWN are its own, because the bank's are not public.

Options: `master_id` (any, when left out), `authorise_s` (-1: no web-bank authorisation; else how many seconds users
take for it), `web_status` (what DO48 and EY03 always say, when it is not left out), `taken_status` (transStatus of a
payment not yet decided, "A"), `flags` (two characters: singleOrBatchFlag of single payments and of batches, where 8804
tells them apart), `hash` ("sha256"; real samples had "sha1"), `faults` (a list of FAULTS), `cheap` (to not verify
requests).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import Any, Final, cast

from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.spdb.twin_operations import FAULTS as OPERATION_FAULTS
from protocols.banks.spdb.twin_operations import MALFORMED, BankRefused, Operations
from protocols.kit import cms, http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Books, Twin

FAULTS: Final = (
    *OPERATION_FAULTS,
    "no_key",  # the sign port's key is out
    "swapped_signatures",  # the sign port answers with the signature before
    "verify_refuses",  # the verify port does not know the bank's key
    "verify_mixes_up",  # the verify port shows the content of the answer before
    "wrong_key",  # answers are signed with another key than the bank's
    "unsigned_success",  # AAAAAAA without a signature
    "error_after_booking",  # an error answer, but the money moved
    "http_500_after_booking",  # likewise, in the clothes of HTTP
    "codes_disagree",  # returnCode of the head is not that of the body
    "head_only",  # an error answer without a body
    "counts_characters",  # the length counts characters, not bytes
    "others_packet",  # the answer is about another packetID
)
_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 1_048_576
_SIGN, _VERIFY = "INFOSEC_SIGN/1.0", "INFOSEC_VERIFY_SIGN/1.0"
_HASHES: Final = {"sha256": SHA256(), "sha1": SHA1()}
_REFUSED_PAGE: Final = "<html><head><title>error</title><result>-1</result></head><body></body></html>".encode("gbk")
_PADDED = re.compile(rb"0*[1-9][0-9]* *")


@dataclass(frozen=True, slots=True)
class Seal:
    """A key with its certificate, and how they sign."""

    key: RSAPrivateKey
    certificate: bytes
    hash_name: str

    def wrap(self, content: bytes, key: RSAPrivateKey | None = None) -> bytes:
        """The CMS around `content`, in Base64 with line ends."""
        signature = (key or self.key).sign(content, PKCS1v15(), _HASHES[self.hash_name])
        return base64.encodebytes(cms.attach(content, signature, self.certificate, self.hash_name))

    def opened(self, text: bytes, *, verify: bool = True) -> bytes | None:
        """What such a CMS contains, None if this key did not make it."""
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
            if verify:
                return cms.verify(der, [PinnedKey.of(self.key.public_key())], tuple(_HASHES))
            content = asn1.ContentInfo.load(der)["content"]["encap_content_info"]["content"].native
        except (ProtocolError, binascii.Error, ValueError, TypeError, KeyError):
            return None
        return content if isinstance(content, bytes) else None


@dataclass(slots=True)
class BiSafe:
    """The simulated front end with the bank behind it. One connection carries one exchange."""

    front: Seal
    bank: Seal
    operations: Operations
    master_id: str = ""
    cheap: bool = False
    faults: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ("business", "sign")
    _signature: bytes = b""  # the one before, for swapped_signatures
    _content: bytes = b""  # the one before, for verify_mixes_up
    _today: date | None = None
    _packets: set[str] = field(default_factory=set)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port in self.ports, port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        try:
            asked = http.parse_request(request)
        except ProtocolError:
            return Answer(http.answer(400, phrase="Bad Request"), close=True)
        if asked.method != "POST":
            return Answer(http.answer(405, phrase="Method Not Allowed"), close=True)
        if port == "sign":
            return Answer(http.answer(200, [("Content-Type", "text/html")], self._page(asked)), close=True)
        body = self._business(asked.body, books)
        if body is None:
            return Answer(http.answer(500, body=b"error", phrase="Error"), close=True)
        return Answer(http.answer(200, [("Content-Type", "text/plain")], body), close=True)

    # ---- the sign port ----

    def _page(self, asked: http.HttpRequest) -> bytes:
        kind = asked.headers.get("content-type", "")
        if kind == _SIGN and "no_key" not in self.faults:
            fresh = self.front.wrap(asked.body)
            shown = self._signature if "swapped_signatures" in self.faults and self._signature else fresh
            self._signature = fresh
            return _paper("签名结果", b"<sign>%b</sign>" % shown)
        if kind == _VERIFY and "verify_refuses" not in self.faults:
            content = self.bank.opened(asked.body)
            if content is not None:
                shown = self._content if "verify_mixes_up" in self.faults and self._content else content
                self._content = content
                about = b"<cert>MA==</cert><certdn>CN=spdb</certdn><issuer/><starttime/><endtime/><certsn/>"
                return _paper("验签结果", b"<sic>%b</sic>%b" % (shown, about))
        return _REFUSED_PAGE

    # ---- the transaction port ----

    def _business(self, raw: bytes, books: Books) -> bytes | None:
        """The framed answer, or None for a naked HTTP error."""
        try:
            head, signature = _packet(raw)
        except ProtocolError:
            return None
        operation, packet_id = _text(head, "transCode"), _text(head, "packetID")
        moved = False
        try:
            content = self._request(head, packet_id, signature, books)
            done = self._operation(operation)(content, books)
            moved = operation in ("8801", "8800")
            if moved and "error_after_booking" in self.faults:
                raise BankRefused("EGG0050", "操作文件失败")
        except BankRefused as refused:
            return self._error(operation, packet_id, refused, books)
        if moved and "http_500_after_booking" in self.faults:
            return None
        key = self.front.key if "wrong_key" in self.faults else None
        sealed = self.bank.wrap(_wide(el("body", done)), key)
        body = "" if "unsigned_success" in self.faults else el("signature", sealed.decode("ascii"))
        return self._framed(operation, packet_id, "AAAAAAA", Markup(body), books)

    def _request(self, head: etree._Element, packet_id: str, signature: str, books: Books) -> etree._Element:
        """The signed body of a request, once everything about it is in order."""
        if self.master_id and _text(head, "masterID") != self.master_id:
            raise BankRefused("B2E0005", "网银授权设置不匹配")
        today = books.now().astimezone(_ZONE).date()
        if today != self._today:
            self._today, self._packets = today, set()
        if packet_id in self._packets:
            raise BankRefused("EYY8990", "报文流水号当天必须唯一")
        if not 1 <= len(packet_id) <= 20:
            raise BankRefused(MALFORMED, "报文流水号错误")
        self._packets.add(packet_id)
        content = self.front.opened(signature.encode("ascii", "replace"), verify=not self.cheap)
        if content is None:
            raise BankRefused("EYY9994", "签名校验错误")
        try:
            return xmldoc.parse(content, GBK)
        except ProtocolError:
            raise BankRefused(MALFORMED, "报文格式错误") from None

    def _operation(self, operation: str) -> Callable[[etree._Element, Books], Markup]:
        known: dict[str, Callable[[etree._Element, Books], Markup]] = {
            "8801": self.operations.single, "8800": self.operations.batch, "8804": self.operations.rows,
            "DO48": self.operations.package,
            "EY03": self.operations.authorisation, "4402": self.operations.balance,
            "8924": self.operations.entries,
        }  # fmt: skip
        if operation not in known:
            raise BankRefused(MALFORMED, "不支持的交易代码")
        return known[operation]

    def _error(self, operation: str, packet_id: str, refused: BankRefused, books: Books) -> bytes:
        again = "EYY8998" if "codes_disagree" in self.faults else refused.code
        body = Markup(el("returnCode", again) + el("returnMsg", refused.text))
        return self._framed(operation, packet_id, refused.code, None if "head_only" in self.faults else body, books)

    def _framed(self, operation: str, packet_id: str, code: str, body: Markup | None, books: Books) -> bytes:
        if "others_packet" in self.faults:
            packet_id = f"{packet_id[:-1]}{'0' if packet_id[-1] != '0' else '1'}"
        head = el(
            "head", el("transCode", operation), el("signFlag", "1"), el("packetID", packet_id),
            el("timeStamp", f"{books.now().astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"), el("returnCode", code),
        )  # fmt: skip
        root = el("packet", head, None if body is None else el("body", body))
        text = f'<?xml version="1.0" encoding="gb2312"?>{root}'
        data = text.encode("gb18030")
        counted = len(text) if "counts_characters" in self.faults else len(data)
        return str(counted + 6).ljust(6).encode("ascii") + data


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; `keys["bank"]` is the private key that signs answers. Raises BadOptions."""
    known = ("master_id", "authorise_s", "web_status", "taken_status", "flags", "hash", "faults", "cheap")
    for one in options:
        if one not in known:
            raise BadOptions(one, f"no such option of the twin; there are {', '.join(known)}")
    faults = frozenset(options.get("faults", ()))
    if not faults <= set(FAULTS):
        raise BadOptions("faults", f"a list of {', '.join(FAULTS)}")
    if "bank" not in keys:
        raise BadOptions("keys.bank", "this key is needed: it signs the answers")
    hash_name = str(options.get("hash", "sha256"))
    if hash_name not in _HASHES:
        raise BadOptions("hash", f"one of {', '.join(_HASHES)}")
    key = cast(RSAPrivateKey, load_pem_private_key(keys["bank"], None))
    front, operations = _front_key(), Operations(
        float(options.get("authorise_s", -1)), str(options.get("web_status", "")),
        str(options.get("taken_status", "A")), str(options.get("flags", "")), faults,
    )  # fmt: skip
    return BiSafe(
        Seal(front, _certificate("BISafe", front), hash_name), Seal(key, _certificate("spdb", key), hash_name),
        operations,
        str(options.get("master_id", "")), bool(options.get("cheap", False)), faults,
    )  # fmt: skip


@cache
def _front_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _certificate(name: str, key: RSAPrivateKey) -> bytes:
    """A certificate of its own making around a key, in DER: it names the signer, and nobody believes it."""
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(title).issuer_name(title).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    made = builder.not_valid_after(datetime(2049, 12, 31, tzinfo=UTC)).sign(key, SHA256())
    return made.public_bytes(Encoding.DER)


def _packet(raw: bytes) -> tuple[etree._Element, str]:
    """The head of a request and its signature. Clients pad the length with zeros or with blanks; it counts itself."""
    if not _PADDED.fullmatch(raw[:6]) or int(raw[:6]) != len(raw):
        raise ProtocolError("frame_length", f"{raw[:6]!r} before {len(raw)} bytes")
    root = xmldoc.parse(raw[6:], GBK)
    return xmldoc.one(root, "head"), xmldoc.value_or(root, "body/signature")


def _paper(title: str, body: bytes) -> bytes:
    """A page of the sign port."""
    head = f"<html><head><title>{title}</title><result>0</result></head><body>".encode("gbk")
    return head + body + b"</body></html>"


def _wide(text: str) -> bytes:
    """Beyond GBK too: real answers carry GB18030 under the label gb2312."""
    return text.encode("gb18030")


def _text(parent: etree._Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()
