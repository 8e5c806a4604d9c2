"""`<bocb2e>` requests and answers: XML as the body of an HTTP POST to the front end.

Answers are read in the charset that they declare themselves: UTF-8, or the GB family in older front ends. Nothing on
this leg is signed by us: the front end adds `ceitinfo` (banks/boc.md 1, 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Context
from protocols.banks.boc.options import Options
from protocols.banks.boc.requests import HEAD, WrittenHead, moment
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK, UTF8, Charset
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.xmldoc import Markup, el, first_of, one, several, text, value, value_or

ROOT: Final = "bocb2e"
DONE: Final = "B001"
SIGNED_OUT: Final = ("1033", "B107")
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
_NODES_MAX: Final = 200_000
_CODE = re.compile("[0-9A-Za-z]{1,10}", re.ASCII)
_DECLARED = re.compile(rb"""[ \t\r\n]*<\?xml[^>]{0,80}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


@dataclass(frozen=True, slots=True)
class Status:
    """A rspcod with its text, of a message or of one row."""

    code: str
    text: str

    @property
    def done(self) -> bool:
        """True if the code is B001."""
        return self.code == DONE


def status_of(parent: etree._Element) -> Status:
    """The status in `parent`. The text is rspmsg, or errmsg in version 100. Raises "missing" or "value"."""
    status = one(parent, "status")
    code = value(status, "rspcod")
    if not _CODE.fullmatch(code):
        raise ProtocolError("value", f"{code[:40]!r} is no rspcod")
    said = first_of(status, "rspmsg", "errmsg")
    return Status(code, "" if said is None else plain(text(said).strip()))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the bank: the message's status, and its rows."""

    status: Status
    within: etree._Element
    rows: tuple[etree._Element, ...]


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests and reads answers for one operator."""

    options: Options

    def number(self, context: Context, nth: int = 0) -> str:
        """trnid of the conversation's message number `nth`: the time, then three digits of a serial number."""
        return f"{moment(context.now)}{context.serials[nth] % 1000:03d}"

    def message(
        self, code: str, context: Context, each: Iterable[Markup], before: Markup | str = "", *, nth: int = 0
    ) -> bytes:
        """One whole request of `code` with a row for each value in `each`. `before` stands before the rows; `nth`
        counts the messages of the conversation from 0.

        Raises Declined("signed_out") if the session has no token, before anything is sent; Unencodable.
        """
        token = "" if code == "b2e0001" else self._token(code, context)
        head = el("head", HEAD.elements(WrittenHead(self.options, self.number(context, nth), code, token)))
        rows = [el(f"{code}-rq", row) for row in each]
        trans = el("trans", el(f"trn-{code}-rq", Markup(before), rows))
        language = {"lang": "chs"} if self.options.version == "100" else {"locale": "zh_CN"}
        root = el(ROOT, head, trans, version=self.options.version, security="true", **language)
        document = xmldoc.build(root, UTF8 if self.options.charset == "UTF-8" else GBK)
        return http.post(self.options.http_path, self.options.http_host, self.options.content_type, document)

    def _token(self, code: str, context: Context) -> str:
        token = context.session.get("token", "")
        if not token:
            raise Declined(code, "", "not signed on: no token yet", "signed_out")
        return token

    def read(self, frame: bytes, code: str, number: str) -> Answer:
        """Reads the answer to the `code` that was sent under `number` (trnid; "" where it is not known).

        Raises ProtocolError if the bytes cannot be such an answer.
        """
        body = http.body_of(frame)
        root = xmldoc.parse_root(body, charset_of(body), ROOT, max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
        head = one(root, "head")
        wrote = (
            ("trncod", code),
            ("trnid", number),
            ("custid", self.options.customer),
            ("cusopr", self.options.operator),
        )
        for tag, ours in wrote:
            stated = value_or(head, tag)
            if ours and stated not in ("", ours):
                raise ProtocolError("correlation", f"the answer has {tag} {stated!r}, we wrote {ours!r}")
        within = one(root, f"trans/trn-{code}-rs")
        return Answer(status_of(within), within, tuple(several(within, f"{code}-rs")))


def charset_of(body: bytes) -> Charset:
    """The charset that a document declares; UTF-8 if it declares none. The charset in the HTTP header is ignored."""
    found = _DECLARED.match(body)
    label = found.group(1).decode("ascii") if found else "UTF-8"
    return GBK if GBK.same_family(label) else UTF8
