"""The header of 222 bytes and the XML behind it, as the front end reads, judges and writes them (banks/pab.md 1).

Fields have the page's own names, so that a finding names the place in the bank's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from lxml import etree

from protocols.banks.pab.twin_rules import ELSEWHERE, MALFORMED, NO_OPERATION, NOT_CONNECTED, RULES
from protocols.judge import (
    BankRefusal,
    BothLanguages,
    FieldRule,
    PlainFields,
    RequestFinding,
    RuleKind,
    ValueForm,
    anything,
    digits,
    moment,
    one_of,
    pattern,
    text,
)
from protocols.kit import xmldoc
from protocols.kit.charset import GBK, UTF8, Charset
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FixedHeader

HEADER_BYTES: Final = 222
FRAMING: Final = FixedHeader(HEADER_BYTES, (30, 40), ((211, 221),))
_TABLE: Final = "pab.md 1, 222-byte header"
_ENCODING: Final = "pab.md 1, encoding"
_ENVELOPE: Final = "pab.md 2, envelope: body root is always <Result>"
_PLACES: Final[Mapping[str, tuple[int, int]]] = {
    "报文类别": (0, 4),
    "目标系统": (4, 2),
    "报文编码": (6, 2),
    "通讯协议": (8, 2),
    "企业银企直连标准代码": (10, 20),
    "接收报文长度": (30, 10),
    "交易码": (40, 6),
    "操作员代码": (46, 5),
    "服务类型": (51, 2),
    "交易日期时间": (53, 14),
    "请求方系统流水号": (67, 20),
    "返回码": (87, 6),
    "返回描述": (93, 100),
    "后续包标志": (193, 1),
    "请求次数": (194, 3),
    "签名标识": (197, 1),
    "签名数据包格式": (198, 1),
    "签名算法": (199, 12),
    "签名数据长度": (211, 10),
    "附件数目": (221, 1),
}
_LEFT: Final = ("企业银企直连标准代码", "交易码", "请求方系统流水号")
"""Fields that are left aligned (C) and begin with a blank only in a client's mistake."""
_CODECS: Final = {"01": ("gbk", ("gbk", "gb2312", "gb18030")), "02": ("utf-8", ("utf-8", "utf8"))}
_DECLARED: Final = re.compile(rb"""\A\s*<\?xml[^>]*\bencoding\s*=\s*["']([^"']*)["']""")
_END: Final = re.compile(rb"</Result\s*>|<Result\s*/>")


def _field(
    name: str,
    form: ValueForm,
    said: str,
    *,
    needed: bool = True,
    refusal: BankRefusal = MALFORMED,
    guessed: bool = False,
) -> FieldRule:
    source = f"{_TABLE}: {said}"
    return FieldRule(name, form, source, needed, refusal, reconstructed=guessed, rule=RuleKind.HEADER)


_SIMULATED: Final = pattern("(?!0[34]).*", "is not simulated", "未模拟此编码")
_RULES: Final = (
    _field("报文类别", one_of("A001"), "A001 = ERP sends the header itself"),
    _field("目标系统", one_of("01"), "目标系统 01 银企直联"),
    _field("报文编码", one_of("01", "02", "03", "04"), "报文编码 01 GBK, 02 UTF-8, 03 unicode, 04 iso-8859-1"),
    _field("报文编码", _SIMULATED, "报文编码 03 unicode, 04 iso-8859-1", guessed=True),
    _field("通讯协议", one_of("01"), "通讯协议 01 TCP, on this port"),
    _field(
        "企业银企直连标准代码", digits(20), "企业银企直连标准代码, e.g. 20 digits", refusal=NOT_CONNECTED, guessed=True
    ),
    _field("接收报文长度", digits(10), "接收报文长度, N: right aligned, zero padded"),
    _field("操作员代码", text(5, charset="ascii"), "操作员代码, client's choice", needed=False, guessed=True),
    _field("服务类型", one_of("01"), "服务类型 01 request"),
    _field("交易日期时间", moment("%Y%m%d%H%M%S"), "交易日期时间 yyyyMMddHHmmss"),
    _field("请求方系统流水号", text(20, charset="ascii", alphabet="[!-~]"), "请求方系统流水号, unique per request"),
    _field("返回码", one_of("000000", "999999"), "返回码: spaces, 000000 or 999999", needed=False),
    _field("返回描述", anything, "返回描述", needed=False),
    _field("后续包标志", one_of("0"), "后续包标志 0 last; requests in several packets are not simulated", guessed=True),
    _field("请求次数", digits(3), "请求次数 000"),
    _field("签名标识", one_of("0", "1"), "签名标识 0 no / 1 yes"),
    _field("签名数据包格式", one_of("0", "1"), "签名数据包格式 0 raw, 1 PKCS7"),
    _field("签名算法", one_of("RSA-SHA1"), "签名算法 RSA-SHA1 or spaces", needed=False),
    _field("签名数据长度", digits(1, 10), "签名数据长度"),
    _field("附件数目", one_of("0"), "附件数目 0; attachments are not simulated", guessed=True),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the texts of its header by their names, the octets of header and body, and the body's root.

    `root` is an empty Result where the body cannot be read; then `findings` say why.
    """

    head: bytes
    fields: Mapping[str, str]
    root: etree._Element
    findings: tuple[RequestFinding, ...]

    @property
    def operation(self) -> str:
        """The transaction code."""
        return self.fields["交易码"].strip()


def read(request: bytes, enterprise: str) -> Asked:
    """A request with its header, charset and XML judged. `enterprise` is the code that this front end knows, if any."""
    head, length = request[:HEADER_BYTES], int(request[30:40])
    body = request[HEADER_BYTES : HEADER_BYTES + length]
    fields = {name: head[start : start + size].decode("gb18030", "replace") for name, (start, size) in _PLACES.items()}
    found = [*_head(head, fields, enterprise)]
    root, wrong = etree.Element("Result"), tuple[RequestFinding, ...]()
    if fields["报文编码"] in _CODECS:
        root, wrong = _document(body, fields["报文编码"])
    return Asked(head, fields, root, (*found, *wrong))


def framed(
    head: bytes,
    now: datetime,
    service: bytes,
    code: str,
    words: str,
    body: bytes = b"",
    serial: str | None = None,
    counted: int | None = None,
) -> bytes:
    """An answer: the header `head` of the request, with the fields that differ in an answer.

    `serial` is that of the request if it is None. `counted` is the stated length where it is not that of the body.
    """
    description = GBK.encode(f":{words}")[:100].ljust(100)
    number = head[67:87] if serial is None else GBK.encode(serial)[:20].ljust(20)
    length = b"%010d" % (len(body) if counted is None else counted)
    header = b"".join((
        head[:30], length, head[40:51], service, now.strftime("%Y%m%d%H%M%S").encode(),
        number, code.encode().ljust(6), description, b"0000", b"00", b" " * 12, b"0         ", b"0",
    ))  # fmt: skip
    assert len(header) == HEADER_BYTES
    return header + body


def written(asked: Asked, body: xmldoc.Markup) -> bytes:
    """The body of an answer in the charset of the request."""
    charset = _charset(asked.fields["报文编码"])
    return xmldoc.build(body, charset, declaration=f'<?xml version="1.0" encoding="{charset.name}" ?>')


def _charset(encoding: str) -> Charset:
    return GBK if encoding == "01" else UTF8


def _head(head: bytes, fields: Mapping[str, str], enterprise: str) -> Iterator[RequestFinding]:
    plain = PlainFields(fields)
    for rule in _RULES:
        yield from rule.judged(plain, "", MALFORMED)
    for name in _LEFT:
        if fields[name].startswith(" ") and fields[name].strip():
            words = BothLanguages("must be left aligned and padded with blanks", "应左对齐、右补空格")
            yield RequestFinding(name, RuleKind.HEADER, fields[name], words, f"{_TABLE}: C = left aligned", MALFORMED)
    stated = fields["企业银企直连标准代码"].strip()
    if enterprise and stated != enterprise and stated.isdigit() and len(stated) == 20:
        words = BothLanguages("is no enterprise of this front end", "不是本前置机的企业代码")
        row = f"{_TABLE}: 企业银企直连标准代码; 5, YQ9986"
        yield RequestFinding("企业银企直连标准代码", RuleKind.HEADER, stated, words, row, NOT_CONNECTED)
    operation = fields["交易码"].strip()
    if operation not in RULES and operation not in ELSEWHERE:
        words = BothLanguages("is no transaction code of this bank", "本行没有此交易码")
        yield RequestFinding("交易码", RuleKind.OPERATION, operation, words, "pab.md 1, session; 4", NO_OPERATION)
    signed, size = fields["签名标识"].strip(), fields["签名数据长度"].strip()
    if size.isdigit() and signed in ("0", "1") and (signed == "1") != (int(size) > 0):
        words = BothLanguages(f"is {signed} beside a signature of {size} bytes", f"与签名数据长度 {size} 不符")
        yield RequestFinding("签名标识", RuleKind.SIGNATURE, signed, words, f"{_TABLE}: 签名标识", MALFORMED)


def _document(body: bytes, encoding: str) -> tuple[etree._Element, tuple[RequestFinding, ...]]:
    """The root of the body, and the faults of the body as a whole."""
    codec, names = _CODECS[encoding]
    empty, found = etree.Element("Result"), list[RequestFinding]()
    if not _END.search(body) and not _whole_document(body, encoding):
        words = (
            "the body of this length does not end with </Result>: are bytes counted?",
            "按此长度报文体不完整:是否按字节计数?",
        )
        row = f"{_TABLE}: 接收报文长度, bytes of XML body"
        return empty, (_whole("接收报文长度", RuleKind.FRAME, str(len(body)), words, row),)
    declared = _DECLARED.match(body)
    if declared is not None and declared.group(1).decode("ascii", "replace").lower() not in names:
        stated = declared.group(1).decode("ascii", "replace")
        words = (f"is declared in the XML, but the header says {encoding}", f"与报文头的报文编码 {encoding} 不符")
        found.append(_whole("encoding", RuleKind.CHARSET, stated, words, _ENCODING))
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as error:
        words = (f"byte {error.start} of the body is no {codec}", f"报文体第 {error.start} 字节不是 {codec} 编码")
        found.append(_whole("Result", RuleKind.CHARSET, body[error.start : error.start + 4].hex(), words, _ENCODING))
        return empty, tuple(found)
    odd = _outside_gbk(text)
    if odd:
        words = (f"{odd!r} does not exist in GBK, in which the host keeps texts", f"GBK 字符集中没有 {odd!r}")
        finding = _whole("Result", RuleKind.CHARSET, odd, words, f"{_ENCODING}: GBK is the default")
        found.append(replace(finding, reconstructed=True))
    try:
        root = xmldoc.parse(body, _charset(encoding))
    except ProtocolError as error:
        words = (f"the body is no well-formed XML ({error.reason})", f"报文体不是合法的 XML({error.reason})")
        return empty, (*found, _whole("Result", RuleKind.FRAME, "", words, _ENVELOPE))
    if root.tag != "Result":
        words = ("the root of the body is not Result", "报文体的根元素不是 Result")
        return empty, (*found, _whole("Result", RuleKind.FRAME, str(root.tag), words, _ENVELOPE))
    return root, (*found, *(() if odd else _referenced(root)))


def _whole_document(body: bytes, encoding: str) -> bool:
    """True if the body is complete XML. Then its length is right, and the fault is another root element."""
    try:
        xmldoc.parse(body, _charset(encoding))
    except ProtocolError:
        return False
    return True


def _referenced(root: etree._Element) -> Iterator[RequestFinding]:
    """A character outside GBK that is written as a character reference in the XML."""
    if not _outside_gbk("".join(root.itertext())):
        return
    for element in root.iter():
        odd = _outside_gbk(element.text or "")
        if odd:
            words = (f"refers to {odd!r}, which does not exist in GBK", f"引用了 GBK 字符集中没有的 {odd!r}")
            place = etree.ElementTree(root).getelementpath(element)
            finding = _whole(place, RuleKind.CHARSET, odd, words, f"{_ENCODING}: GBK is the default")
            yield replace(finding, reconstructed=True)


def _outside_gbk(text: str) -> str:
    """The first character that GBK does not have, or the empty text."""
    try:
        text.encode("gbk")
    except UnicodeEncodeError as error:
        return text[error.start]
    return ""


def _whole(place: str, rule: RuleKind, value: str, words: tuple[str, str], source: str) -> RequestFinding:
    return RequestFinding(place, rule, value[:80], BothLanguages(*words), source, MALFORMED)
