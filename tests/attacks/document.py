"""A good document as an attacker has it: its text, its leaves, and functions that write it changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_DECLARATION = re.compile(r"\s*<\?xml.*?\?>", re.DOTALL)
_LABEL = re.compile(r"""encoding\s*=\s*["']([^"']+)""")
_SIGNED = re.compile(r"<(?:\w+:)?Signature\b.*?</(?:\w+:)?Signature>", re.DOTALL)
_LEAF = re.compile(r"<([\w:.-]+)((?:\s[^<>]*)?)>([^<>]+)</\1>")
_MONEY = re.compile(r"-?\d{1,13}\.\d{2}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """An XML element that holds only text; `at` is its position in the body."""

    at: slice
    name: str
    attributes: str
    text: str

    def with_text(self, text: str) -> str:
        """The element with other content."""
        return f"<{self.name}{self.attributes}>{text}</{self.name}>"

    def put_in(self, markup: str, at: int = 1) -> str:
        """The element with the markup `markup` inserted after `at` characters of its text."""
        return self.with_text(self.text[:at] + markup + self.text[at:])


@dataclass(frozen=True)
class Document:
    """A document. `codec` decodes its bytes; `minor` are the amounts as the answer may write them.

    `most`: how many of its leaves are attacked one by one.
    """

    data: bytes
    codec: str
    minor: frozenset[str] = frozenset()
    most: int = 1_000

    @staticmethod
    def of(data: bytes, minor: frozenset[str] = frozenset()) -> Document:
        """Decodes the bytes: as UTF-8, or else with a codec of the GB family."""
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return Document(data, "gb18030", minor)
        found = _LABEL.search(data[:200].decode("latin-1"))
        label = found.group(1).lower() if found else "utf-8"
        return Document(data, "utf-8" if label.startswith("utf") else "gb18030", minor)

    @cached_property
    def head(self) -> str:
        """The XML declaration; "" if there is none."""
        found = _DECLARATION.match(self.data.decode(self.codec))
        return found.group() if found else ""

    @cached_property
    def body(self) -> str:
        """The document without its declaration."""
        return self.data.decode(self.codec)[len(self.head) :]

    @cached_property
    def root(self) -> str:
        """The root's name as it is written."""
        found = re.match(r"\s*<([\w:.-]+)", self.body)
        assert found is not None, self.body[:80]
        return found.group(1)

    @cached_property
    def leaves(self) -> Sequence[Leaf]:
        """Every leaf with text, except those inside a signature."""
        hidden = [found.span() for found in _SIGNED.finditer(self.body)]
        return [
            Leaf(slice(*found.span()), *found.groups())
            for found in _LEAF.finditer(self.body)
            if not any(first <= found.start() < last for first, last in hidden) and len(found.group(3)) < 2000
        ]

    @cached_property
    def amounts(self) -> Sequence[Leaf]:
        """The leaves that are amounts."""
        return [leaf for leaf in self.leaves if _MONEY.fullmatch(leaf.text) or leaf.text in self.minor]

    def whole(self, body: str | None = None, head: str | None = None) -> bytes:
        """The document with another body or declaration."""
        return ((self.head if head is None else head) + (self.body if body is None else body)).encode(self.codec)

    def instead(self, leaf: Leaf, markup: str) -> bytes:
        """The document with other markup in the place of a leaf."""
        return self.whole(self.body[: leaf.at.start] + markup + self.body[leaf.at.stop :])

    def each(self, change: Callable[[Leaf], str], leaves: Sequence[Leaf] | None = None) -> Iterator[bytes]:
        """One document for each chosen leaf, changed."""
        for leaf in self.chosen(leaves):
            yield self.instead(leaf, change(leaf))

    def chosen(self, leaves: Sequence[Leaf] | None = None) -> Sequence[Leaf]:
        """All leaves (or only `leaves`); if there are more than `most`, that many of them, spread over the document."""
        found = self.leaves if leaves is None else leaves
        if len(found) <= self.most:
            return found
        return [found[number * len(found) // self.most] for number in range(self.most)]

    def in_root(self, attributes: str) -> bytes:
        """The document with more attributes in its first tag."""
        return self.whole(re.sub(rf"<{re.escape(self.root)}(?=[\s/>])", rf"\g<0> {attributes}", self.body, count=1))

    def in_front(self, markup: str) -> bytes:
        """The document with markup before its root."""
        return self.whole(markup + self.body)

    def at_end(self, markup: str) -> bytes:
        """The document with markup as the last content of its root."""
        end = self.body.rindex("</")
        return self.whole(self.body[:end] + markup + self.body[end:])

    def at_start(self, markup: str) -> bytes:
        """The document with markup as the first content of its root."""
        first = self.body.index(">") + 1
        return self.whole(self.body[:first] + markup + self.body[first:])
