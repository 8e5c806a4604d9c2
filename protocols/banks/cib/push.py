"""BALANCECHANGENOTICE: the bank reports an entry (banks/cib.md 4.9). Bare, without FOX; its transport is not public.

It is read as the body of an HTTP POST, because all other messages of this bank are sent so, and answered with HTTP 200.
Table and sample of the page disagree about TRNTYPE and the time, so neither is read: the account is read again instead.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from protocols.bank import Push, Pushes
from protocols.canon.party import AccountNumber
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FrameCutter
from protocols.kit.paging import fingerprint

NOTICE: Final = "BALANCECHANGENOTICE"
BODY_BYTES_MAX: Final = 262_144
_NODES_MAX: Final = 5_000


def requests() -> FrameCutter:
    """A fresh cutter for the requests of one connection from the bank."""
    return http.HttpRequests().cutter(BODY_BYTES_MAX)


def read(frame: bytes) -> Push:
    """The notice in a frame. Raises ProtocolError if the frame is no HTTP POST."""
    got = http.parse_request(frame)
    if got.method != "POST":
        raise ProtocolError("http", f"{got.method} where POST was due")
    key = fingerprint(NOTICE, got.body.hex())
    try:
        root = xmldoc.parse_root(got.body, GBK, NOTICE, max_bytes=BODY_BYTES_MAX, max_nodes=_NODES_MAX)
    except ProtocolError as error:
        return Push(NOTICE, key, text=f"the notice cannot be read ({error})", unread=True)
    accounts = dict.fromkeys(_texts(root, "ACCTID"))
    known = tuple(AccountNumber(one) for one in accounts if one.isdecimal() and len(one) <= 32)
    return Push(NOTICE, key, accounts=known, text=" ".join(_texts(root, "ATTACHINFO"))[:200])


def answer(frame: bytes, now_ms: int) -> bytes:
    """The answer that confirms the notice."""
    return http.answer(200, (("Connection", "close"),), b"")


def _texts(root: etree._Element, tag: str) -> list[str]:
    return [text for one in root.iterfind(f"NOTICE_INFO/{tag}") if (text := (one.text or "").strip())]


PUSHES: Final = Pushes((NOTICE,), requests, read, answer, closes=True)
