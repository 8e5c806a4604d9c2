"""Shared parts of all readers: bytes to text to elements, each wanted element exactly once, amounts as decimals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from lxml import etree

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,4})?", re.ASCII)
L = TypeVar("L")
_MINOR = re.compile(r"[0-9]{1,17}", re.ASCII)


class Unreadable(ValueError):
    """The bytes do not have a form that is known here. The message names the element that is missing or occurs
    twice."""


class Sealed(Unreadable):
    """The bytes are encrypted for the bank, so that nobody else can read them."""


@dataclass(frozen=True, slots=True)
class PaidLine:
    """Payer, payee and amount in units of the currency. In a collection `payee` is the own account."""

    debtor: str
    payee: str
    amount: Decimal


def after_head(data: bytes) -> bytes:
    """The body of an HTTP request, after its head."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"POST "):
        raise Unreadable("it is no HTTP request")
    return body


def cut(data: bytes, begin: bytes, end: bytes) -> bytes:
    """The text from the only `begin` to the only `end`, both included."""
    if data.count(begin) != 1 or data.count(end) != 1:
        raise Unreadable(f"{begin!r} and {end!r} do not each occur exactly once")
    return data[data.index(begin) : data.index(end) + len(end)]


def elements(data: bytes, charset: str) -> etree._Element:
    """The root of an XML text without entities, its tags without namespaces."""
    try:
        text = _DECLARATION.sub("", data.decode(charset), count=1)
        if "<!" in text.replace("<![CDATA[", ""):
            raise Unreadable("the XML has declarations or comments")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(text, parser)
    except (UnicodeDecodeError, etree.XMLSyntaxError) as error:
        raise Unreadable(f"it is not XML in {charset}: {type(error).__name__}") from None
    for node in root.iter():
        if isinstance(node.tag, str):
            node.tag = etree.QName(node).localname
    return root


def leaf(node: etree._Element, path: str) -> str:
    """The text at this path of tags. The path must occur exactly once, and its last element must have no child
    elements."""
    found = node.findall(path)
    if len(found) != 1 or len(found[0]):
        raise Unreadable(f"{path} does not occur exactly once")
    return found[0].text or ""


def rows(node: etree._Element, path: str) -> list[etree._Element]:
    """The elements at this path, at least one."""
    found = node.findall(path)
    if not found:
        raise Unreadable(f"there is no {path}")
    return found


def once(node: etree._Element, path: str) -> etree._Element:
    """The only element at this path."""
    found = node.findall(path)
    if len(found) != 1:
        raise Unreadable(f"{path} does not occur exactly once")
    return found[0]


def amount(text: str) -> Decimal:
    """An amount in units of its currency."""
    if not _AMOUNT.fullmatch(text):
        raise Unreadable("an amount is none")
    return Decimal(text)


def minor(text: str) -> Decimal:
    """An amount in hundredths of its currency's unit."""
    if not _MINOR.fullmatch(text):
        raise Unreadable("an amount is none")
    return Decimal(text) / 100


def nothing_else(root: etree._Element, tags: Sequence[str], lines: Sequence[L]) -> Sequence[L]:
    """The lines, if the message has exactly one element of the amount's tag per line. A further element would be a
    further payment."""
    count = sum(1 for node in _nodes(root) if node.tag in tags)
    if count != len(lines):
        raise Unreadable(f"there are {count} amounts and {len(lines)} lines")
    return lines


def _nodes(root: etree._Element) -> Iterator[etree._Element]:
    return (node for node in root.iter() if isinstance(node.tag, str))
