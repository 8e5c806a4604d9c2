"""`<stream>` requests and answers: bare XML in GBK as the body of an HTTP POST to the front end.

Answers repeat neither action nor clientID; only the connection shows to which request they belong (banks/citic.md 2).
Neither side signs anything on this connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from lxml import etree

from protocols.bank import Ask, Conversation
from protocols.banks.citic.options import Options
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.request_fields import RequestTable
from protocols.kit.xmldoc import Markup, el, leaves, value, value_or

ROOT: Final = "stream"
LIST: Final = "userDataList"
DONE: Final = "AAAAAAA"
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
_NODES_MAX: Final = 200_000
_STATUS = re.compile("[0-9A-Za-z]{1,20}", re.ASCII)
S = TypeVar("S")


def rows(table: RequestTable[S], each: Iterable[S]) -> Markup:
    """The repeated part of a request."""
    return el("list", [el("row", table.elements(one)) for one in each], name=LIST)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the bank: the status of the call with its text, and the root."""

    status: str
    text: str
    root: etree._Element

    @property
    def done(self) -> bool:
        """True if the call itself worked. About a payment this proves only that the message arrived."""
        return self.status == DONE

    @property
    def rows(self) -> list[etree._Element]:
        """The rows of userDataList, none if there is no list. Raises "ambiguous" if there are two lists."""
        lists = [one for one in self.root.iterchildren("list") if one.get("name", LIST) == LIST]
        if len(lists) > 1:
            raise ProtocolError("ambiguous", f"{len(lists)} lists {LIST} in one answer")
        return list(lists[0].iterchildren("row")) if lists else []


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests and reads answers for one login."""

    options: Options

    def request(self, table: RequestTable[S], subject: S, *parts: Markup) -> bytes:
        """One whole request. Raises as `RequestTable.texts` does."""
        head = leaves((("action", table.operation), ("userName", self.options.login)), GBK)
        document = xmldoc.build(el(ROOT, head, table.elements(subject), parts), GBK)
        return http.post(self.options.http_path, self.options.http_host, "text/xml; charset=GBK", document)

    def asked(self, table: RequestTable[S], subject: S, *parts: Markup) -> Conversation[Answer]:
        """The answer to a question, whether it worked or not."""
        return self.read((yield Ask("business", self.request(table, subject, *parts))), table.operation)

    def read(self, frame: bytes, action: str) -> Answer:
        """Read the answer to `action`. Raises ProtocolError for bytes that cannot be one."""
        body = http.body_of(frame)
        root = xmldoc.parse_root(body, GBK, ROOT, max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
        stated = value_or(root, "action")
        if stated not in ("", action):
            raise ProtocolError("correlation", f"answers {stated!r}, we asked {action}")
        status = status_of(root)
        return Answer(status, value_or(root, "statusText"), root)


def status_of(element: etree._Element) -> str:
    """The status in an answer or a row. Raises "missing", or "value" for text that is no code."""
    status = value(element, "status")
    if not _STATUS.fullmatch(status):
        raise ProtocolError("value", f"{status[:40]!r} is no status")
    return status
