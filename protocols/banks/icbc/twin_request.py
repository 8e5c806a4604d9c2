"""Reads a client's request as NetSafe Client and the bank behind it do, and judges it by twin_rules.py.

A real bank would not accept the twin's signature: it is a seal around the whole message, which only the twin makes and
reads.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.banks.icbc.twin_rules import (
    AGREEMENT,
    AROUND,
    CLIENT_REFUSED,
    RULES,
    SIGN_PORT,
    SIGNED,
    UNFIT,
    UNKNOWN_OPERATION,
    AskedFields,
    known_names,
)
from protocols.judge import BankRefusal, BothLanguages, HeldAccounts, RequestFinding, RuleKind, XmlFields
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError

REQUEST_BYTES_MAX: Final = 2_097_152
_SEAL: Final = b"\x30\x80NetSafe twin"
_SIGNATURE: Final = "icbc.md 3"
_ENVELOPE: Final = "icbc.md 2"
_ENCODING: Final = "icbc.md 1, encoding"
_FORM: Final = "icbc.md 1, form params"
_ENCODED: Final = "icbc.md 5, trap 5"
_RAW: Final = re.compile(rb"[^!-~]|[<>\"]")
"""Bytes that a form has only percent-encoded."""


class ClientRefused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """NetSafe Client does not pass the request on: the answer is `errorCode=`."""

    def __init__(self, operation: str, findings: tuple[RequestFinding, ...]) -> None:
        super().__init__(operation)
        self.operation, self.findings = operation, findings


class _Unreadable(Exception):  # noqa: N818 - as above
    def __init__(self, finding: RequestFinding) -> None:
        super().__init__(finding.place)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Request:
    """A request in the form in which the bank reads it."""

    operation: str
    pub: etree._Element
    inner: etree._Element
    fields: AskedFields

    @property
    def package_id(self) -> str:
        """The number of the package."""
        return (self.pub.findtext("fSeqno") or "").strip()

    def findings(self, books: HeldAccounts) -> tuple[RequestFinding, ...]:
        """Every rule of the bank that the message breaks."""
        rules = RULES.get(self.operation)
        if rules is None:
            words = BothLanguages("is no operation of this simulated bank", "模拟银行没有此交易")
            return (
                RequestFinding(
                    "pub/TransCode", RuleKind.OPERATION, self.operation, words, "icbc.md 4", UNKNOWN_OPERATION
                ),
            )
        return (*self._strange(), *rules.findings(self.fields, books))

    def _strange(self) -> list[RequestFinding]:
        """Elements that the page does not have, in any part of the message, and text where elements must stand."""
        root = self.pub.getroottree().getroot()
        return [
            RequestFinding(place, RuleKind.FRAME, stated, words, _ENVELOPE, UNFIT, reconstructed=True)
            for place, stated, words in _strange_below(root, "", known_names(RULES[self.operation]))
        ]


def _strange_below(
    element: etree._Element, place: str, known: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, str, BothLanguages]]:
    """Place, text and description of each part of `element` that the page does not have."""
    names = known.get(str(element.tag), frozenset())
    stated = "".join((element.text or "", *(child.tail or "" for child in element))).strip()
    if names and stated:
        yield place or str(element.tag), stated, BothLanguages("has text between its elements", "要素之间有多余文字")
    rows = 0
    for child in element:
        rows += child.tag == "rd"
        below = f"{place}/{child.tag!s}".lstrip("/") + (f"[{rows}]" if child.tag == "rd" else "")
        if child.tag not in names:
            yield below, "", BothLanguages("is no element of this operation", "不是该交易的要素")
        else:
            yield from _strange_below(child, "" if child.tag == "eb" else below, known)


def wrapped(data: bytes) -> bytes:
    """Base64 text with CR LF behind every 76 characters."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def sealed(document: bytes) -> bytes:
    """The twin's signature around a message."""
    return _SEAL + document + hashlib.sha256(_SEAL + document).digest()


def sign_findings(asked: http.HttpRequest, books: HeldAccounts) -> tuple[RequestFinding, ...]:
    """Every rule that a request to the sign port breaks."""
    found = SIGN_PORT.findings(AskedFields(_http_fields(asked)), books)
    if found:
        return found
    try:
        _parsed(asked.body, "http/body", SIGN_PORT.refusal)
    except _Unreadable as unreadable:
        return (unreadable.finding,)
    return ()


def read_request(asked: http.HttpRequest, bank: Mapping[str, str], books: HeldAccounts) -> Request:
    """The message in a form. `bank` has the bank's own values (`bank/…`).

    Raises ClientRefused with every rule of NetSafe Client that the request breaks.
    """
    query = asked.target.partition("?")[2].encode()
    try:
        url, form = _form(query, "url"), _form(asked.body, "form")
    except _Unreadable as unreadable:
        raise ClientRefused("", (unreadable.finding,)) from None
    around = {**_http_fields(asked), **url, **form}
    operation = form.get("form/TransCode", "")
    found = AROUND.findings(AskedFields(around), books)
    try:
        document, unfit = _document(operation, form.get("form/reqData", ""))
        found = (*found, *unfit)
        root = _parsed(document, "form/reqData", CLIENT_REFUSED)
    except _Unreadable as unreadable:
        raise ClientRefused(operation, (*found, unreadable.finding)) from None
    fields = AskedFields({**around, **bank}, XmlFields(root))
    found = (*found, *AGREEMENT.findings(fields, books))
    if found:
        raise ClientRefused(operation, found)
    return Request(operation, xmldoc.one(root, "eb/pub"), xmldoc.one(root, "eb/in"), fields)


def _http_fields(asked: http.HttpRequest) -> dict[str, str]:
    kind = asked.headers.get("content-type", "").partition(";")[0]
    return {"http/method": asked.method, "http/path": asked.target.partition("?")[0], "http/content-type": kind}


def _form(data: bytes, part: str) -> dict[str, str]:
    names: set[str] = set()
    for pair in data.split(b"&"):
        name, _, told = pair.partition(b"=")
        place = f"{part}/{name.decode('gb18030', 'replace')}"
        if place in names:
            raise _unreadable(
                place, RuleKind.REPEATED, "", _FORM, "stands twice, may stand once", "重复出现，只能出现一次"
            )
        names.add(place)
        if _RAW.search(name + told):
            words = ("is not percent-encoded", "未做 URL 编码")
            raise _unreadable(place, RuleKind.FRAME, told[:40].decode("gb18030", "replace"), _ENCODED, *words)
    try:
        return {f"{part}/{name}": told for name, told in http.parse_form(data, GBK).items()}
    except ProtocolError as error:
        rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.REPEATED
        raise _unreadable(part, rule, error.text, _FORM, f"cannot be read: {error.text}", "无法解析") from None


def _document(operation: str, data: str) -> tuple[bytes, tuple[RequestFinding, ...]]:
    """The message in reqData, and a finding if it should be signed and is not, or the other way round."""
    if data.startswith("<"):
        return data.encode("gb18030"), _signature_wrong(
            data, "is not signed", "指令报文未签名"
        ) if operation in SIGNED else ()
    try:
        # A "+" that was not percent-encoded arrives as a blank, and the bank refuses it.
        blob = base64.b64decode(data.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(
            "form/reqData",
            RuleKind.FRAME,
            data[:40],
            _ENCODED,
            "is neither XML nor Base64; a + must be percent-encoded",
            "既不是 XML 也不是 Base64;加号须做 URL 编码",
        ) from None
    if not blob.startswith(_SEAL):
        words = ("is no signature of the sign port", "不是签名端口返回的签名")
        return blob, _signature_wrong(data, *words) if operation in SIGNED else ()
    document = blob[len(_SEAL) : -32]
    if sealed(document) != blob:
        words = ("does not verify: it was changed after it was signed", "验签不通过:签名后内容被改动")
        raise _unreadable("form/reqData", RuleKind.SIGNATURE, data[:40], _SIGNATURE, *words)
    if operation not in SIGNED and operation in RULES:
        return document, _signature_wrong(data, "is signed, but questions go in clear", "查询报文不签名")
    return document, ()


def _signature_wrong(data: str, english: str, chinese: str) -> tuple[RequestFinding, ...]:
    return (_unreadable("form/reqData", RuleKind.SIGNATURE, data[:40], _SIGNATURE, english, chinese).finding,)


def _parsed(document: bytes, place: str, refusal: BankRefusal) -> etree._Element:
    try:
        root = xmldoc.parse(document, GBK, max_bytes=REQUEST_BYTES_MAX)
        if root.tag != "CMS":
            raise ProtocolError("missing", f"the root is {root.tag!r}, not CMS")
        xmldoc.one(root, "eb/pub"), xmldoc.one(root, "eb/in")
    except ProtocolError as error:
        charset = error.reason == "charset"
        raise _unreadable(
            place,
            RuleKind.CHARSET if charset else RuleKind.FRAME,
            document[:40].decode("gb18030", "replace"),
            _ENCODING if charset else _ENVELOPE,
            f"is no message of this bank: {error.text}",
            "不是本行报文" if not charset else "字符集不符",
            refusal,
        ) from None
    return root


def _unreadable(
    place: str,
    rule: RuleKind,
    stated: str,
    source: str,
    english: str,
    chinese: str,
    refusal: BankRefusal = CLIENT_REFUSED,
) -> _Unreadable:
    return _Unreadable(RequestFinding(place, rule, stated, BothLanguages(english, chinese), source, refusal))
