"""Messages that the front end sends unasked: FILE04 (a file is done), F002 (a report is there), and others.

They come with the same header, service type 01, and are answered with service type 02 (banks/pab.md 1, 4). FILE04 has
TradeSn, FileName, FilePath, Action, RandomPwd, SignData and HashData, in one client's model; the fields of others are
not public. Payments and accounts are looked for under the names that all messages of this bank use. A push is known by
the serial number of its header, which is unique for each request (banks/pab.md 1), and its body. If a front end repeats
a push under a new serial, we ask the bank twice. Two transactions with equal bodies are never taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from protocols.bank import Push, Pushes
from protocols.banks.pab.header import ANSWER_BYTES_MAX, FRAMING, HEADER, HEADER_BYTES, header_field
from protocols.canon.party import AccountNumber
from protocols.kit import xmldoc
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FrameCutter
from protocols.kit.paging import fingerprint

FILE_DONE, REPORT = "FILE04", "F002"
OTHER: Final = "other"
VOUCHERS: Final = ("ThirdVoucher", "SThirdVoucher", "OrigThirdVoucher", "BThirdVoucher", "OrderNumber")
ACCOUNTS: Final = ("Account", "AcctNo", "AccNo", "OutAcctNo", "SrcAccNo")
TOLD: Final = ("TradeSn", "FileName", "Action", "Code")
"""What is told of a push to people; RandomPwd, the file's password, is not."""
BODY_BYTES_MAX: Final = 1_048_576
_NODES_MAX: Final = 20_000
_NAMED_MOST: Final = 500
_TEXT = '<?xml version="1.0" encoding="GBK" ?><Result></Result>'


def requests() -> FrameCutter:
    """A fresh cutter for the bytes of one connection."""
    return FRAMING.cutter(min(ANSWER_BYTES_MAX, BODY_BYTES_MAX + HEADER_BYTES))


@dataclass(frozen=True, slots=True)
class Caller:
    """Reads and answers the requests of one enterprise's front end."""

    enterprise: str

    @property
    def pushes(self) -> Pushes:
        """The functions that read and answer, as the description of a bank needs them."""
        return Pushes((FILE_DONE, REPORT, OTHER), requests, self.read, self.answer)

    def read(self, frame: bytes) -> Push:
        """The message in a frame. Raises ProtocolError if it is no request to this enterprise."""
        if len(frame) < HEADER_BYTES or FRAMING.frame_length(frame[:HEADER_BYTES]) != len(frame):
            raise ProtocolError("frame_length", f"{len(frame)} bytes are not one message with its lengths")
        if header_field(frame, "kind") not in ("A001", "A002") or header_field(frame, "service") != "01":
            raise ProtocolError("value", "no request of the front end")
        if header_field(frame, "enterprise") != self.enterprise:
            raise ProtocolError("correlation", f"a message to enterprise {header_field(frame, 'enterprise')!r}")
        operation, body = header_field(frame, "operation"), self._body(frame)
        kind = operation if operation in (FILE_DONE, REPORT) else OTHER
        key = fingerprint(operation, header_field(frame, "serial"), body.hex())
        try:
            root = xmldoc.parse_root(body, GBK, "Result", max_bytes=BODY_BYTES_MAX, max_nodes=_NODES_MAX)
        except ProtocolError as error:
            return Push(kind, key, text=f"{operation}: the body cannot be read ({error})", unread=True)
        leaves = [(str(one.tag), (one.text or "").strip()) for one in root.iter(etree.Element) if not len(one)]
        vouchers = [text for tag, text in leaves if tag in VOUCHERS and 1 <= len(text) <= 20]
        accounts = [text for tag, text in leaves if tag in ACCOUNTS and text.isdecimal() and len(text) <= 32]
        told = " ".join(f"{tag}={text}" for tag, text in leaves if tag in TOLD)
        named = tuple(dict.fromkeys(vouchers))[:_NAMED_MOST]
        known = tuple(map(AccountNumber, list(dict.fromkeys(accounts))[:_NAMED_MOST]))
        return Push(kind, key, named, known, f"{operation} {told}".strip())

    def answer(self, frame: bytes, now_ms: int) -> bytes:
        """The answer that confirms a message. It has the request's operation and serial, service type 02 and code
        000000."""
        body = _TEXT.encode("ascii")
        now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(BEIJING)
        header = HEADER.pack(
            {
                "enterprise": self.enterprise,
                "body_bytes": str(len(body)),
                "operation": header_field(frame, "operation"),
                "operator": header_field(frame, "operator"),
                "service": "02",
                "sent_at": now.strftime("%Y%m%d%H%M%S"),
                "serial": header_field(frame, "serial"),
                "code": "000000",
                "text": ":",
            }
        )
        return FRAMING.wrap(header + body)

    @staticmethod
    def _body(frame: bytes) -> bytes:
        length = int(header_field(frame, "body_bytes"))
        return frame[HEADER_BYTES : HEADER_BYTES + length]
