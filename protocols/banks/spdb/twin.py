"""The front end BISafe and its ports, written from the bank's page and not from our own adapter.

It keeps the habits of real messages: answers with a length that is left-aligned and counts itself, the label gb2312,
Base64 in lines, no masterID in answers, an error without signature. Its keys: `bank` signs answers; the front end's own
key signs requests at the sign port and is made when the process first needs it, because no other program uses it. Codes
that begin with TWN are its own, because the bank's are not public.

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
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache, lru_cache
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
from protocols.banks.spdb.twin_operations import BankRefused, Operations
from protocols.banks.spdb.twin_rules import (
    BAD_REQUEST,
    BAD_SIGNATURE,
    ENVELOPE_ROW,
    MALFORMED,
    NO_PACKET,
    NO_POST,
    NO_SEAL,
    NOT_ANSWERED,
    OPERATIONS_ROW,
    OTHER_CUSTOMER,
    PACKET,
    PACKET_ID_ROW,
    PACKET_SEEN,
    SIGNATURE_ROW,
    TRANSPORT_ROW,
    UNKNOWN_OPERATION,
    rules,
)
from protocols.judge import BankRefusal, BothLanguages, RequestFinding, RuleKind, XmlFields
from protocols.kit import cms, http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Books, Twin

FAULTS: Final = (
    *OPERATION_FAULTS,
    "no_key",  # the sign port has no key
    "swapped_signatures",  # the sign port answers with the previous signature
    "verify_refuses",  # the verify port does not know the bank's key
    "verify_mixes_up",  # the verify port answers with the content of the previous message
    "wrong_key",  # answers are signed with another key than the bank's
    "unsigned_success",  # AAAAAAA without a signature
    "error_after_booking",  # an error answer, but the money moved
    "http_500_after_booking",  # likewise, as an HTTP error
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
_TWO_BYTES_MAX: Final = 0x7FF
"""The last character that UTF-8 writes in two bytes."""
_PADDED = re.compile(rb"0*[1-9][0-9]* *")


@dataclass(frozen=True, slots=True)
class Seal:
    """A key with its certificate, and the signatures that it makes."""

    key: RSAPrivateKey
    certificate: bytes
    hash_name: str

    def wrap(self, content: bytes, key: RSAPrivateKey | None = None) -> bytes:
        """The CMS around `content`, in Base64 with line ends."""
        signature = (key or self.key).sign(content, PKCS1v15(), _HASHES[self.hash_name])
        return base64.encodebytes(cms.attach(content, signature, self.certificate, self.hash_name))

    def opened(self, text: bytes, *, verify: bool = True) -> bytes | ProtocolError:
        """The content of a CMS in Base64, or the reason why there is none that this key signed."""
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
            if verify:
                return cms.verify(der, [PinnedKey.of(self.key.public_key())], tuple(_HASHES))
            content = asn1.ContentInfo.load(der)["content"]["encap_content_info"]["content"].native
        except ProtocolError as error:
            return error
        except (binascii.Error, ValueError, TypeError, KeyError):
            return ProtocolError("structure", "no Base64 of a CMS SignedData")
        return content if isinstance(content, bytes) else ProtocolError("structure", "the content is not inside")


@dataclass(slots=True)
class BiSafe:
    """The simulated front end with the bank behind it. Each connection carries one exchange."""

    front: Seal
    bank: Seal
    operations: Operations
    master_id: str = ""
    cheap: bool = False
    faults: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ("business", "sign")
    _signature: bytes = b""  # the previous signature, for swapped_signatures
    _content: bytes = b""  # the previous content, for verify_mixes_up
    _today: date | None = None
    _packets: set[str] = field(default_factory=set)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port in self.ports, port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close. A request that breaks a rule is refused, and nothing is booked for it."""
        try:
            asked = http.parse_request(request)
        except ProtocolError as error:
            words = ("is no HTTP request that can be read", "不是可识别的 HTTP 请求")
            return _turned_away(_broken(BAD_REQUEST, "HTTP", RuleKind.FRAME, error.text, TRANSPORT_ROW, *words))
        if asked.method != "POST":
            words = ("takes POST only", "只接受 POST")
            return _turned_away(_broken(NO_POST, "HTTP/method", RuleKind.FRAME, asked.method, TRANSPORT_ROW, *words))
        if port == "sign":
            return self._sealing(asked)
        return self._business(asked, books)

    # ---- the sign port ----

    def _sealing(self, asked: http.HttpRequest) -> Answer:
        """Sign the body, or verify the signature in it. The front end does not judge what it signs."""
        kind = asked.headers.get("content-type", "")
        operation = {_SIGN: "sign", _VERIFY: "verify"}.get(kind, "")
        refused: BankRefused | None = None
        if not operation:
            words = (f"is neither {_SIGN} nor {_VERIFY}", f"应为 {_SIGN} 或 {_VERIFY}")
            refused = _broken(NO_SEAL, "HTTP/Content-Type", RuleKind.HEADER, kind, TRANSPORT_ROW, *words)
        elif not asked.body.strip():
            words = ("is empty, there is nothing to sign or to verify", "报文体为空,没有待签名或待验签的内容")
            refused = _broken(NO_SEAL, "HTTP/body", RuleKind.MISSING, "", TRANSPORT_ROW, *words)
        elif operation == "verify" and isinstance(told := self.front.opened(asked.body, verify=False), ProtocolError):
            shown = (f"is no signature that can be read: {told.reason}", "不是可识别的签名")
            refused = _broken(NO_SEAL, "signature", RuleKind.SIGNATURE, "", SIGNATURE_ROW, *shown)
        page = None if refused else self._signed(asked.body) if operation == "sign" else self._verified(asked.body)
        body = _REFUSED_PAGE if page is None else page
        code = NO_SEAL.code if page is None else "0"
        data = http.answer(200, [("Content-Type", "text/html")], body)
        return Answer(data, True, operation or kind, code, findings=() if refused is None else refused.findings)

    def _signed(self, content: bytes) -> bytes | None:
        if "no_key" in self.faults:
            return None
        fresh = self.front.wrap(content)
        shown = self._signature if "swapped_signatures" in self.faults and self._signature else fresh
        self._signature = fresh
        return _paper("签名结果", b"<sign>%b</sign>" % shown)

    def _verified(self, signature: bytes) -> bytes | None:
        content = self.bank.opened(signature)
        if isinstance(content, ProtocolError) or "verify_refuses" in self.faults:
            return None
        shown = self._content if "verify_mixes_up" in self.faults and self._content else content
        self._content = content
        about = b"<cert>MA==</cert><certdn>CN=spdb</certdn><issuer/><starttime/><endtime/><certsn/>"
        return _paper("验签结果", b"<sic>%b</sic>%b" % (shown, about))

    # ---- the transaction port ----

    def _business(self, asked: http.HttpRequest, books: Books) -> Answer:
        """The bank's answer in a packet, or an HTTP error where no packet can be read."""
        try:
            packet = _packet(asked)
        except BankRefused as refused:
            return _turned_away(refused)
        operation, packet_id = _text(packet, "head/transCode"), _text(packet, "head/packetID")
        moved = False
        try:
            content = self._request(packet, operation, packet_id, books)
            done = self._operation(operation)(content, books)
            moved = operation in ("8801", "8800")
            if moved and "error_after_booking" in self.faults:
                raise BankRefused("EGG0050", "操作文件失败")
        except BankRefused as refused:
            data = self._error(operation, packet_id, refused, books)
            return _answered(data, operation, refused)
        if moved and "http_500_after_booking" in self.faults:
            return replace(_turned_away(BankRefused(NO_PACKET.code, NO_PACKET.text)), operation=operation)
        key = self.front.key if "wrong_key" in self.faults else None
        sealed = self.bank.wrap(_wide(el("body", done)), key)
        body = "" if "unsigned_success" in self.faults else el("signature", sealed.decode("ascii"))
        return _answered(self._framed(operation, packet_id, "AAAAAAA", Markup(body), books), operation)

    def _request(self, packet: etree._Element, operation: str, packet_id: str, books: Books) -> etree._Element:
        """The signed body of a request that breaks no rule."""
        found = PACKET.findings(XmlFields(packet), books)
        if found:
            raise _refused(found)
        customer = _text(packet, "head/masterID")
        if self.master_id and customer != self.master_id:
            words = ("is not this customer's number", "不是该客户的客户号")
            raise _broken(OTHER_CUSTOMER, "head/masterID", RuleKind.HEADER, customer, ENVELOPE_ROW, *words)
        today = books.now().astimezone(_ZONE).date()
        if today != self._today:
            self._today, self._packets = today, set()
        if packet_id in self._packets:
            words = ("was used today already", "当天已使用过")
            raise _broken(PACKET_SEEN, "head/packetID", RuleKind.BOOKS, packet_id, PACKET_ID_ROW, *words)
        self._packets.add(packet_id)
        content = self._content_of(_text(packet, "body/signature"))
        if operation in NOT_ANSWERED:
            raise BankRefused(UNKNOWN_OPERATION.code, f"模拟银行未提供交易 {operation}")
        judge = rules(today).get(operation)
        if judge is None:
            words = ("is no operation of this bank", "本行没有此交易")
            raise _broken(UNKNOWN_OPERATION, "head/transCode", RuleKind.OPERATION, operation, OPERATIONS_ROW, *words)
        found = judge.findings(XmlFields(content), books)
        if found:
            raise _refused(found)
        return content

    def _content_of(self, signature: str) -> etree._Element:
        """The root of the signed text. `cheap` reads it without verifying."""
        content = self.front.opened(signature.encode("ascii", "replace"), verify=not self.cheap)
        if isinstance(content, ProtocolError):
            words = (f"does not verify: {content}", "验签不通过,或不是可识别的签名")
            raise _broken(BAD_SIGNATURE, "body/signature", RuleKind.SIGNATURE, content.reason, SIGNATURE_ROW, *words)
        root = _document(content, "body/signature", MALFORMED, SIGNATURE_ROW)
        if root.tag != "body" or not content.lstrip().startswith(b"<body"):
            words = ("is not <body>…</body> alone, without a declaration", "签名原文应为 <body>…</body>,不含 XML 声明")
            shown = content[:24].decode("ascii", "replace")
            raise _broken(MALFORMED, "body/signature", RuleKind.FRAME, shown, SIGNATURE_ROW, *words)
        return root

    def _operation(self, operation: str) -> Callable[[etree._Element, Books], Markup]:
        answers: dict[str, Callable[[etree._Element, Books], Markup]] = {
            "8801": self.operations.single,
            "8800": self.operations.batch,
            "8804": self.operations.rows,
            "DO48": self.operations.package,
            "EY03": self.operations.authorisation,
            "4402": self.operations.balance,
            "8924": self.operations.entries,
        }
        return answers[operation]

    def _error(self, operation: str, packet_id: str, refused: BankRefused, books: Books) -> bytes:
        again = "EYY8998" if "codes_disagree" in self.faults else refused.code
        body = Markup(el("returnCode", again) + el("returnMsg", refused.text))
        return self._framed(operation, packet_id, refused.code, None if "head_only" in self.faults else body, books)

    def _framed(self, operation: str, packet_id: str, code: str, body: Markup | None, books: Books) -> bytes:
        if "others_packet" in self.faults and packet_id:
            packet_id = f"{packet_id[:-1]}{'0' if packet_id[-1] != '0' else '1'}"
        head = el(
            "head",
            el("transCode", operation),
            el("signFlag", "1"),
            el("packetID", packet_id),
            el("timeStamp", f"{books.now().astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"),
            el("returnCode", code),
        )
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
    key = _private_key(keys["bank"])
    front, operations = (
        _front_key(),
        Operations(
            float(options.get("authorise_s", -1)),
            str(options.get("web_status", "")),
            str(options.get("taken_status", "A")),
            str(options.get("flags", "")),
            faults,
        ),
    )
    return BiSafe(
        Seal(front, _certificate("BISafe", front), hash_name),
        Seal(key, _certificate("spdb", key), hash_name),
        operations,
        str(options.get("master_id", "")),
        bool(options.get("cheap", False)),
        faults,
    )


@lru_cache(maxsize=8)
def _private_key(pem: bytes) -> RSAPrivateKey:
    """The key, read once: OpenSSL verifies its primes at each reading, which takes 40 ms."""
    return cast(RSAPrivateKey, load_pem_private_key(pem, None))


@cache
def _front_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _certificate(name: str, key: RSAPrivateKey) -> bytes:
    """A self-signed certificate around a key, in DER. It only names the signer."""
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(title).issuer_name(title).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    made = builder.not_valid_after(datetime(2049, 12, 31, tzinfo=UTC)).sign(key, SHA256())
    return made.public_bytes(Encoding.DER)


def _packet(asked: http.HttpRequest) -> etree._Element:
    """The root of a request's packet. Clients pad the length field with zeros or blanks, and it counts itself.

    Raises BankRefused for bytes without a packet that could be answered with another packet.
    """
    kind, raw = asked.headers.get("content-type", ""), asked.body
    if kind.startswith("INFOSEC"):
        words = ("belongs to the sign port", "应发往签名端口")
        raise _broken(NO_PACKET, "HTTP/Content-Type", RuleKind.HEADER, kind, TRANSPORT_ROW, *words)
    if not _PADDED.fullmatch(raw[:6]) or int(raw[:6]) != len(raw):
        words = (
            f"is not the length of the whole packet, {len(raw)} bytes with these six",
            f"不是报文总长度:含这 6 位共 {len(raw)} 字节",
        )
        shown = raw[:6].decode("ascii", "replace")
        raise _broken(NO_PACKET, "length", RuleKind.FRAME, shown, TRANSPORT_ROW, *words)
    root = _document(raw[6:], "packet", NO_PACKET, ENVELOPE_ROW)
    if root.tag != "packet":
        raise _broken(
            NO_PACKET, "packet", RuleKind.FRAME, str(root.tag), ENVELOPE_ROW, "is not the root", "根元素应为 packet"
        )
    return root


def _document(data: bytes, place: str, refusal: BankRefusal, source: str) -> etree._Element:
    """The root of a document in the GB family. Raises BankRefused."""
    if _is_utf_8(data):
        words = ("is written in UTF-8, must be GBK", "使用了 UTF-8 编码,应为 GBK")
        raise _broken(refusal, place, RuleKind.CHARSET, "UTF-8", source, *words)
    try:
        return xmldoc.parse(data, GBK)
    except ProtocolError as error:
        kind = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
        raise _broken(
            refusal, place, kind, error.reason, source, f"cannot be read: {error.text}", "报文无法解析"
        ) from None


def _is_utf_8(data: bytes) -> bool:
    """True for text with Chinese characters in UTF-8. Text in GBK is valid UTF-8 by accident in a few characters at
    most, and none of them has three bytes in UTF-8."""
    try:
        return any(ord(char) > _TWO_BYTES_MAX for char in data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _broken(
    refusal: BankRefusal, place: str, rule: RuleKind, value: str, source: str, english: str, chinese: str
) -> BankRefused:
    """The refusal of a request that breaks a rule outside the tables of twin_rules.py."""
    return _refused((RequestFinding(place, rule, value[:80], BothLanguages(english, chinese), source, refusal),))


def _refused(found: tuple[RequestFinding, ...]) -> BankRefused:
    """The bank names one mistake, the first."""
    first = found[0].refusal
    return BankRefused(first.code, first.text, found)


def _turned_away(refused: BankRefused) -> Answer:
    """An HTTP error."""
    body = b"error" if refused.code == NO_PACKET.code else b""
    data = http.answer(int(refused.code), body=body, phrase=refused.text)
    return Answer(data, True, "", refused.code, refused.text, refused.findings)


def _answered(data: bytes, operation: str, refused: BankRefused | None = None) -> Answer:
    """A packet as an HTTP answer."""
    code, reason, found = ("AAAAAAA", "", ()) if refused is None else (refused.code, refused.text, refused.findings)
    return Answer(http.answer(200, [("Content-Type", "text/plain")], data), True, operation, code, reason, found)


def _paper(title: str, body: bytes) -> bytes:
    """An HTML page of the sign port."""
    head = f"<html><head><title>{title}</title><result>0</result></head><body>".encode("gbk")
    return head + body + b"</body></html>"


def _wide(text: str) -> bytes:
    """The text in GB18030, because real answers have such text under the label gb2312."""
    return text.encode("gb18030")


def _text(parent: etree._Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()
