"""Reads a request as the front end does: the transport, the charset, the envelope, and the fields of its interfaces.

Each step that fails is a separate finding, so that a client's people learn which step it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from lxml import etree

from protocols.banks.cmb.twin_rules import INTERFACES, RULES
from protocols.banks.cmb.twin_rules_forms import (
    ENVELOPE,
    KEY,
    MALFORMED,
    NO_FUNCTION,
    NOT_LOGGED_IN,
    NOT_TAKEN,
    REPEATED_REFERENCE,
    clock_rules,
)
from protocols.canon.money import Money
from protocols.judge import BankRefusal, BothLanguages, FieldsOf, RequestFinding, RuleKind, value
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from protocols.twin import Booked, Books

REQUEST_BYTES_MAX: Final = 4 * 1_048_576
TRANSPORT: Final = "cmb.md A1, service type"
ENCODING: Final = "cmb.md A1, encoding"
_NOT_HERE: Final = ("Login", "Logout", "SetConfig", "SetAlive", "FreeBuffer", "XmlComm")
_DECLARED = re.compile(rb"""\A\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


@dataclass(frozen=True, slots=True)
class InterfaceFields:
    """The fields of a request, or of one interface in it. Made in one pass, because a batch has thousands."""

    leaves: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parts: Mapping[str, Sequence[InterfaceFields]] = field(default_factory=dict)

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`: FIELD in an interface, INTERFACE/FIELD in a request."""
        part, _, name = place.rpartition("/")
        if not part:
            return self.leaves.get(name, ())
        return [one for inner in self.parts.get(part, ()) for one in inner.texts(name)]

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The interfaces of this name, in their order."""
        return self.parts.get(place, ())


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as it could be read. `root` is an empty element where it could not."""

    root: etree._Element
    function: str = ""
    fields: InterfaceFields = InterfaceFields()
    findings: tuple[RequestFinding, ...] = ()

    def value(self, place: str) -> str:
        """The text at `place`, or an empty one."""
        return next(iter(self.fields.texts(place)), "")


def read(request: bytes, transport: str) -> Asked:
    """The request in a frame that came by `transport`; its findings say why it could not be read."""
    document = _document(request, transport)
    root = _root(document) if isinstance(document, bytes) else document
    if isinstance(root, RequestFinding):
        return Asked(etree.Element("nothing"), findings=(root,))
    fields = _fields(root)
    asked = Asked(root, next(iter(fields.texts("INFO/FUNNAM")), ""), fields)
    return Asked(root, asked.function, fields, tuple(_of_envelope(asked)))


def judged(asked: Asked, login: str, books: Books) -> tuple[RequestFinding, ...]:
    """Every rule that the request breaks. `login` is the user that is logged in; any, if it is empty."""
    if asked.findings:
        return asked.findings
    today = books.now().astimezone(BEIJING).date()
    found = RULES[asked.function].findings(asked.fields, books)
    user = asked.value("INFO/LGNNAM")
    if login and user and user != login:
        stranger = _finding(
            "INFO/LGNNAM",
            RuleKind.HEADER,
            user,
            ENVELOPE,
            "is no user logged in here",
            "不是已登录的用户",
            NOT_LOGGED_IN,
        )
        found = (stranger, *found)
    if not found:
        dated = clock_rules(asked.function, today)
        found = tuple(one for rule in dated for one in rule.judged(asked.fields, books, NOT_TAKEN))
    return found or _used_before(asked, books)


def _used_before(asked: Asked, books: Books) -> tuple[RequestFinding, ...]:
    """A single payment or transfer under the reference of another one that has not failed.

    A repeat of the same order breaks no rule, and a reference may be used again after a failure.
    """
    lines = asked.fields.rows({"DCPAYMNT": "DCOPDPAYX", "DCOPRTRF": "DCOPRTRFX"}.get(asked.function, ""))
    first = books.earlier(value(lines[0], "YURREF")) if len(lines) == 1 else None
    if first is None or first.booked is Booked.REFUSED:
        return ()
    done, line = first.instruction, lines[0]
    stated = (value(line, "DBTACC"), value(line, "CRTACC"), Money.parse(value(line, "TRSAMT")))
    if stated == (done.debtor_account, done.creditor_account, done.amount):
        return ()
    words = ("was used before, for another order", "此前已用于另一笔业务")
    return (_finding("YURREF", RuleKind.BOOKS, done.reference, KEY, *words, REPEATED_REFERENCE),)


def _finding(
    place: str,
    rule: RuleKind,
    stated: str,
    source: str,
    english: str,
    chinese: str,
    refusal: BankRefusal = MALFORMED,
    *,
    reconstructed: bool = False,
) -> RequestFinding:
    return RequestFinding(place, rule, stated[:80], BothLanguages(english, chinese), source, refusal, reconstructed)


# ---- transport and document ----


def _document(request: bytes, transport: str) -> bytes | RequestFinding:
    if transport == "socket":
        return request
    try:
        got = http.parse_request(request)
    except ProtocolError as error:
        return _finding("HTTP", RuleKind.FRAME, error.reason, TRANSPORT, "is no HTTP request", "不是 HTTP 请求")
    if got.method != "POST":
        return _finding("HTTP method", RuleKind.HEADER, got.method, TRANSPORT, "must be POST", "HTTP 方法应为 POST")
    if transport == "http":
        return got.body
    name, _, document = got.body.partition(b"=")
    if name != b"REQDATA" or b"&" in document:
        words = ("must be the one form field", "表单应只有 REQDATA 一个字段")
        return _finding("REQDATA", RuleKind.FRAME, name[:80].decode("latin-1"), TRANSPORT, *words)
    return unquote_to_bytes(document.replace(b"+", b" "))


def _root(document: bytes) -> etree._Element | RequestFinding:
    declared = _DECLARED.match(document)
    label = declared.group(1).decode("ascii") if declared else ""
    if label.upper() == "BIG5":
        words = ("is allowed by the page; this side answers GBK only", "文档允许 BIG5,本模拟前置机只用 GBK")
        return _finding("encoding", RuleKind.CHARSET, label, ENCODING, *words, NOT_TAKEN, reconstructed=True)
    if label and not GBK.same_family(label):
        return _finding("encoding", RuleKind.CHARSET, label, ENCODING, "must be GBK", "编码声明应为 GBK")
    try:
        return xmldoc.parse(document, GBK, max_bytes=REQUEST_BYTES_MAX, max_nodes=200_000)
    except ProtocolError as error:
        charset = error.reason == "charset"
        words = ("is not GBK text", "不是 GBK 文本") if charset else ("is no well-formed XML", "不是格式正确的 XML")
        rule, source = (RuleKind.CHARSET, ENCODING) if charset else (RuleKind.FRAME, ENVELOPE)
        return _finding("document", rule, str(error), source, *words)


def _fields(root: etree._Element) -> InterfaceFields:
    parts: dict[str, list[InterfaceFields]] = {}
    for part in root:
        leaves: dict[str, list[str]] = {}
        for leaf in part:
            leaves.setdefault(str(leaf.tag), []).append((leaf.text or "").strip())
        parts.setdefault(str(part.tag), []).append(InterfaceFields(leaves))
    return InterfaceFields(parts=parts)


# ---- envelope ----


def _of_envelope(asked: Asked) -> list[RequestFinding]:
    """The faults of the root, of INFO, of the function, and of the interfaces as a whole."""
    root, function = asked.root, asked.function
    if root.tag != "CMBSDKPGK":
        words = ("must be CMBSDKPGK", "根元素应为 CMBSDKPGK")
        return [_finding("CMBSDKPGK", RuleKind.FRAME, str(root.tag), ENVELOPE, *words)]
    if len(asked.fields.rows("INFO")) != 1:
        stated = str(len(asked.fields.rows("INFO")))
        return [_finding("INFO", RuleKind.FRAME, stated, ENVELOPE, "must stand once", "应出现且只出现一次")]
    if not function:
        words = ("is required and empty", "必填,但为空")
        return [_finding("INFO/FUNNAM", RuleKind.OPERATION, "", ENVELOPE, *words)]
    if function not in RULES:
        words = ("is no function that this bank's side answers", "不是本模拟前置机提供的函数")
        if function in _NOT_HERE:
            words = ("is refused in front-end mode", "前置机模式下不可用")
        source = "cmb.md A1, session" if function in _NOT_HERE else "cmb.md A2"
        return [_finding("INFO/FUNNAM", RuleKind.OPERATION, function, source, *words, NO_FUNCTION, reconstructed=True)]
    return [*_strange_interfaces(asked), *_repeated_fields(asked), *_wide_fields(asked)]


def _strange_interfaces(asked: Asked) -> list[RequestFinding]:
    known = INTERFACES[asked.function] | {"INFO"}
    words = (f"is no interface of {asked.function}", f"不是 {asked.function} 的接口")
    return [
        _finding(name, RuleKind.FRAME, "", "cmb.md A2", *words, NOT_TAKEN, reconstructed=True)
        for name in asked.fields.parts
        if name not in known
    ]


def _repeated_fields(asked: Asked) -> list[RequestFinding]:
    """Fields that stand twice in one interface: the page allows each once."""
    return [
        _finding(_place(name, number, parts, leaf), RuleKind.REPEATED, texts[1], ENVELOPE, "stands twice", "重复出现")
        for name, parts in asked.fields.parts.items()
        for number, part in enumerate(parts, start=1)
        for leaf, texts in part.leaves.items()
        if len(texts) > 1
    ]


def _wide_fields(asked: Asked) -> list[RequestFinding]:
    """Fields with a character beyond GBK, in whichever interface."""
    found: list[RequestFinding] = []
    for name, parts in asked.fields.parts.items():
        for number, part in enumerate(parts, start=1):
            for leaf, texts in part.leaves.items():
                wide = None if all(map(str.isascii, texts)) else GBK.first_unencodable("".join(texts))
                if wide is not None:
                    words = (f"{wide[1]!r} does not exist in GBK", f"GBK 字符集中没有 {wide[1]!r}")
                    where = _place(name, number, parts, leaf)
                    found.append(_finding(where, RuleKind.CHARSET, texts[0], ENCODING, *words))
    return found


def _place(name: str, number: int, parts: Sequence[InterfaceFields], leaf: str) -> str:
    return f"{name}[{number}]/{leaf}" if len(parts) > 1 else f"{name}/{leaf}"
