"""The 222-byte header of B2Bi, as one table, and an answer split into code, text and body.

Everything is counted in GBK bytes. The serial number of the header is never used to match an answer with its request,
because answers to 4005 have the original voucher in its place (banks/pab.md 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lxml import etree

from protocols.kit import xmldoc
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import Column, Layout
from protocols.kit.framing import FixedHeader, FrameCutter

HEADER: Final = Layout(
    (
        Column("kind", 4, default="A001"),  # 报文类别: we send the header ourselves
        Column("target", 2, default="01"),  # 目标系统: 银企直连
        Column("encoding", 2, default="01"),  # 报文编码: GBK
        Column("carrier", 2, default="01"),  # 通讯协议: TCP
        Column("enterprise", 20),  # 企业银企直连标准代码
        Column("body_bytes", 10, "N"),  # 接收报文长度
        Column("operation", 6),  # 交易码
        Column("operator", 5),  # 操作员代码
        Column("service", 2, default="01"),  # 服务类型: request
        Column("sent_at", 14),  # 交易日期时间
        Column("serial", 20),  # 请求方系统流水号
        Column("code", 6),  # 返回码: blank in requests (banks/pab.md 9)
        Column("text", 100),  # 返回描述
        Column("more", 1, default="0"),  # 后续包标志
        Column("times", 3, default="000"),  # 请求次数
        Column("signed", 1, default="0"),  # 签名标识: the front end signs
        Column("signature_form", 1, default="1"),  # 签名数据包格式: 1 in all real requests
        Column("algorithm", 12),  # 签名算法
        Column("signature_bytes", 10, default="         0"),  # 签名数据长度
        Column("attachments", 1, default="0"),  # 附件数目
    ),
    GBK,
)
HEADER_BYTES: Final = HEADER.width
FRAMING: Final = FixedHeader(HEADER_BYTES, HEADER.place("body_bytes"), (HEADER.place("signature_bytes"),))
ACCEPTED: Final = "000000"
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
_NODES_MAX: Final = 60_000
_PLACES: Final = {column.name: slice(*HEADER.place(column.name)) for column in HEADER.columns}
_DIGITS_ONLY: Final = str.maketrans("", "", "-T:")
_ALWAYS: Final = tuple(
    (_PLACES[name], wanted.encode(), name, wanted)
    for name, wanted in (("kind", "A001"), ("encoding", "01"), ("more", "0"), ("attachments", "0"))
)


def answers() -> FrameCutter:
    """A fresh cutter for the answers of one connection. It returns header, body and signature block together."""
    return FRAMING.cutter(ANSWER_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender's values in each header: the enterprise code of 20 digits, the operator, and the first part of our
    serials."""

    enterprise: str
    operator: str
    serial_prefix: str

    def serial(self, number: int) -> str:
        """A header serial of 20 characters."""
        return self.serial_prefix + str(number).zfill(20 - len(self.serial_prefix))

    def message(self, operation: str, body: bytes, *, serial: int, now: datetime) -> bytes:
        """One whole request. `serial` must never have been used before, `now` carries a zone."""
        header = HEADER.pack(
            {
                "enterprise": self.enterprise,
                "body_bytes": str(len(body)),
                "operation": operation,
                "operator": self.operator,
                "sent_at": now.astimezone(BEIJING).isoformat()[:19].translate(_DIGITS_ONLY),
                "serial": self.serial(serial),
            }
        )
        return FRAMING.wrap(header + body)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the bank: its code, its text without the first colon, and the body if there is one."""

    code: str
    text: str
    body: etree._Element | None

    @property
    def accepted(self) -> bool:
        """True if the header's code is 000000."""
        return self.code == ACCEPTED


def read_answer(frame: bytes, operation: str) -> Answer:
    """Reads the answer to an `operation`. Raises ProtocolError if the bytes are no such answer.

    A refusal may have no body and may still have our own service type 01. An acceptance may not, because it would be
    our own request coming back.
    """
    if len(frame) < HEADER_BYTES or FRAMING.frame_length(frame[:HEADER_BYTES]) != len(frame):
        raise ProtocolError("frame_length", f"{len(frame)} bytes are not one answer with its lengths")
    code, service = _ascii(frame, "code"), _ascii(frame, "service")
    for place, octets, name, wanted in _ALWAYS:
        if frame[place] != octets:  # a shorter text may be padded
            _expect(frame, name, wanted)
    if _ascii(frame, "operation") != operation:
        raise ProtocolError("correlation", f"answers {_ascii(frame, 'operation')!r}, we asked {operation}")
    if service not in ("01", "02") or (service == "01" and code == ACCEPTED):
        raise ProtocolError("value", f"service type {service!r} with code {code!r} is no answer")
    if not code:
        raise ProtocolError("missing", "the answer's header has no code")
    return Answer(code, _text(frame), _body(frame, code))


def header_field(frame: bytes, name: str) -> str:
    """A field of the header without its blanks. Raises "value" if it is not ASCII."""
    return _ascii(frame, name)


def _ascii(frame: bytes, name: str) -> str:
    try:
        return frame[_PLACES[name]].decode("ascii").strip(" ")
    except UnicodeDecodeError:
        raise ProtocolError("value", f"header field {name} is not ASCII: {frame[_PLACES[name]]!r}") from None


def _expect(frame: bytes, name: str, wanted: str) -> None:
    if _ascii(frame, name) != wanted:
        raise ProtocolError("value", f"header field {name} is {_ascii(frame, name)!r}, not {wanted!r}")


def _text(frame: bytes) -> str:
    """The text of the header, for people only. A wrong byte in it is replaced, because banks cut the text at 100
    bytes."""
    octets = frame[_PLACES["text"]]
    # The codec is slow, and most bytes are blanks. Three of them are kept, so that it notices a cut character.
    text = octets[: len(octets.rstrip(b" \x00")) + 3].decode("gb18030", errors="replace")
    return text.rstrip(" �\x00").lstrip(": ")


def _body(frame: bytes, code: str) -> etree._Element | None:
    length = int(frame[_PLACES["body_bytes"]])
    if length == 0:
        if code == ACCEPTED:
            raise ProtocolError("missing", "accepted, but the answer has no body")
        return None
    body = frame[HEADER_BYTES : HEADER_BYTES + length]
    return xmldoc.parse_root(body, GBK, "Result", max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
