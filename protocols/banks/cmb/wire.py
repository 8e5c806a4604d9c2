"""CMBSDKPGK requests and answers: the envelope, and the three service types of the front end.

The front end serves exactly one of HTTP (the XML is the body), HTTP WEB (form field REQDATA) and SOCKET (8 digits of
length, left-aligned, blank-padded, counting bytes). Nothing on this leg is signed: see README.md (banks/cmb.md A1-A3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.banks.cmb.options import Options
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FrameCutter, LengthPrefix
from protocols.kit.xmldoc import Markup, el, escaped, one, value, value_or

ROOT: Final = "CMBSDKPGK"
FORM_FIELD: Final = "REQDATA"
FRAMING: Final = LengthPrefix(8, pad=" ", align="left")
DONE: Final = "0"
RENMINBI: Final = "10"
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
_NODES_MAX: Final = 200_000
DOCUMENT_NAMES: Final[Mapping[str, str]] = {"DCPAYMNT": "Payment"}
"""FUNNAM as the document's sample answers write it, where captured answers repeat the request's (banks/cmb.md 9)."""
_RETCOD = re.compile("-?[0-9]{1,4}", re.ASCII)


def leaf(tag: str, content: str = "") -> Markup:
    """An element with text. The bank escapes `&` and `<` only, so `>` stays, and "]]>" is not possible in it."""
    if not content:
        return Markup(f"<{tag}/>")
    GBK.encode(content)  # so that Unencodable counts the position within the field
    if "]]>" in content:
        raise ProtocolError("value", f"{tag} cannot carry ]]>")
    return Markup(f"<{tag}>{escaped(content).replace('&gt;', '>')}</{tag}>")


def part(name: str, leaves: Iterable[tuple[str, str]]) -> Markup:
    """One interface element (接口) with its fields in order."""
    return el(name, [leaf(tag, content) for tag, content in leaves])


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the front end: RETCOD, ERRMSG, and the root with the output interfaces."""

    code: str
    text: str
    root: etree._Element

    @property
    def done(self) -> bool:
        """True if RETCOD is 0. This is about the call, never about an order in it."""
        return self.code == DONE


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests and reads answers for one user."""

    options: Options

    def message(self, function: str, *parts: Markup) -> bytes:
        """One whole request. Raises Unencodable with character and position."""
        info = part("INFO", (("FUNNAM", function), ("DATTYP", "2"), ("LGNNAM", self.options.login)))
        document = xmldoc.build(el(ROOT, info, parts), GBK)
        if self.options.transport == "socket":
            return FRAMING.wrap(document)
        kind = "text/xml; charset=GBK"
        if self.options.transport == "http-form":
            document = http.form([(FORM_FIELD, GBK.decode(document))], GBK)
            kind = "application/x-www-form-urlencoded"
        return http.post(self.options.http_path, self.options.http_host, kind, document)

    def answers(self) -> FrameCutter:
        """A fresh cutter for the answers of one connection."""
        if self.options.transport == "socket":
            return FRAMING.cutter(ANSWER_BYTES_MAX)
        return http.answers(ANSWER_BYTES_MAX)()

    def read(self, frame: bytes, *functions: str) -> Answer:
        """Reads the answer to one of `functions`, under its own name or the document's.

        Raises ProtocolError if the bytes cannot be such an answer.
        """
        document = self._document(frame)
        root = xmldoc.parse_root(document, GBK, ROOT, max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
        info = one(root, "INFO")
        function, code = value(info, "FUNNAM"), value(info, "RETCOD")
        if function not in functions and function not in {DOCUMENT_NAMES.get(one) for one in functions}:
            raise ProtocolError("correlation", f"answers {function!r}, we asked {functions[0]}")
        login = value_or(info, "LGNNAM")
        if login and login != self.options.login:
            raise ProtocolError("correlation", f"{function}: the answer is for another user")
        if not _RETCOD.fullmatch(code):
            raise ProtocolError("value", f"RETCOD {code[:20]!r} is not a number")
        return Answer(code, value_or(info, "ERRMSG"), root)

    def _document(self, frame: bytes) -> bytes:
        if self.options.transport == "socket":
            return frame
        body = http.body_of(frame)
        # The page does not say whether HTTP WEB wraps its answer in a form too, so both are read.
        if body.startswith(f"{FORM_FIELD}=".encode()):
            return http.parse_form(body, GBK)[FORM_FIELD].encode(GBK.decoder)
        return body
