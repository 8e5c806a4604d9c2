"""A request to 中信 CITIC's front end as its twin reads it: the HTTP frame, the charset, the envelope and the list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from lxml import etree

from protocols.banks.citic.twin_checks import ENVELOPE_ROW, MALFORMED, NO_ACCOUNT, SHAPE_ROW
from protocols.judge import BothLanguages, RequestFinding, RequestRules, RowsRule, RuleKind
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.twin import Books

REQUEST_BYTES_MAX: Final = 4 * 1_048_576


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The whole call is answered with this status and text. `findings`: the rules that the request broke."""

    def __init__(self, status: str, text: str, findings: tuple[RequestFinding, ...] = ()) -> None:
        super().__init__(status)
        self.status, self.text, self.findings = status, text, findings


def broken(place: str, rule: RuleKind, stated: str, source: str, words: tuple[str, str]) -> Refused:
    """The answer to a request that breaks a rule outside the tables of twin_rules.py."""
    found = RequestFinding(place, rule, stated[:80], BothLanguages(*words), source, MALFORMED)
    return Refused(MALFORMED.code, f"{MALFORMED.text} ({place})", (found,))


def parsed(request: bytes) -> etree._Element:
    """The message in an HTTP request. Raises Refused for a frame, a charset or XML that is not of this bank's form."""
    try:
        asked = http.parse_request(request)
    except ProtocolError as error:
        words = (f"is no HTTP request: {error}", "不是 HTTP 请求")
        raise broken("HTTP", RuleKind.FRAME, "", SHAPE_ROW, words) from None
    if asked.method != "POST":
        raise broken("HTTP", RuleKind.FRAME, asked.method, SHAPE_ROW, ("is not POST", "不是 POST"))
    if not asked.body.isascii() and _is_utf8(asked.body):
        words = ("is written in UTF-8 and must be in GBK", "报文为 UTF-8 编码,应为 GBK")
        raise broken("body", RuleKind.CHARSET, "UTF-8", SHAPE_ROW, words)
    try:
        root = xmldoc.parse(asked.body, GBK, max_bytes=REQUEST_BYTES_MAX, max_nodes=200_000)
    except ProtocolError as error:
        rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
        words = (f"is no XML of this bank: {error}", "不是 GBK 编码的合法 XML")
        raise broken("body", rule, "", SHAPE_ROW, words) from None
    if root.tag != "stream":
        words = ("is not the root element stream", "根元素不是 stream")
        raise broken("stream", RuleKind.FRAME, str(root.tag), ENVELOPE_ROW, words)
    return root


def _is_utf8(body: bytes) -> bool:
    """Whether bytes that are not ASCII are Chinese in UTF-8. GBK can look like it in rare two-byte pairs only."""
    try:
        return any("\u3000" <= char <= "\uffef" for char in body.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def odd_lists(root: etree._Element, table: RequestRules) -> Iterator[RequestFinding]:
    """A list of another name, or a second one, where the operation has rows."""
    lists = list(root.iterchildren("list"))
    if not any(isinstance(one, RowsRule) for one in table.fields) or not lists:
        return
    if len(lists) > 1 or lists[0].get("name") != "userDataList":
        shown = f"{len(lists)} lists, name={lists[0].get('name', '')!r}"
        words = BothLanguages("must be one list with the name userDataList", "应为一个 name=userDataList 的 list")
        yield RequestFinding("list", RuleKind.FRAME, shown, words, ENVELOPE_ROW, MALFORMED)


def unknown_accounts(root: etree._Element, books: Books) -> tuple[RequestFinding, ...]:
    """The accounts of DLBALQRY that the bank does not have: each is answered with a status of its own row."""
    words, source = BothLanguages("is no account at this bank", "不是本行账户"), "citic.md 9.3: a status per row"
    asked = [(n, line["accountNo"]) for n, line in enumerate(rows_of(root), start=1)]
    return tuple(
        RequestFinding(f"list/row[{n}]/accountNo", RuleKind.BOOKS, account, words, source, NO_ACCOUNT)
        for n, account in asked
        if books.holder_of(account) is None
    )


def texts_of(root: etree._Element) -> dict[str, str]:
    """The texts of a message or a row by the names of their elements, without lists."""
    return {str(child.tag): (child.text or "").strip() for child in root if child.tag != "list"}


def rows_of(root: etree._Element) -> list[dict[str, str]]:
    """The texts of each row of the list."""
    return [texts_of(row) for row in root.iterfind("list/row")]


def day_of(text: str) -> date:
    """The day of a YYYYMMDD that the rules have judged."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))
