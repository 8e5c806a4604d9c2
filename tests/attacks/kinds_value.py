"""Attacks 35 to 45: well-formed documents whose text has another meaning than it seems to have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from tests.attacks.document import Document, Leaf
from tests.attacks.kind import ReadAlike, on_document

EVIL = "urn:evil"
REPEATABLE = frozenset({"Ustrd"})
"""Elements that ISO 20022 lets repeat: lines of one text, which may be read as that text and no otherwise."""


def _replaced(text: str, leaf: Leaf) -> str:
    return leaf.with_text(text)


def _translated(table: dict[int, int], leaf: Leaf) -> str:
    return leaf.with_text(leaf.text.translate(table))


def _split_by(between: str, leaf: Leaf) -> str:
    return _split(leaf, between)


def _split(leaf: Leaf, between: str) -> str:
    return leaf.put_in(between, max(1, len(leaf.text) // 2))


def other_value(text: str) -> str:
    """A value of the same form with another meaning."""
    return re.sub(r"[0-8]|[A-Ya-y]", lambda found: chr(ord(found.group()) + 1), text, count=1) if text else "1"


@on_document(35, "amount split by CDATA")
def _(document: Document) -> Iterable[bytes]:
    yield from document.each(lambda leaf: leaf.with_text(f"<![CDATA[{leaf.text[:2]}]]>{leaf.text[2:]}"))
    yield from document.each(lambda leaf: _split(leaf, "<![CDATA[]]>"))
    yield from document.each(lambda leaf: _split(leaf, "<![CDATA[<!-- -->]]>"), document.amounts)


@on_document(36, "amount split by a comment")
def _(document: Document) -> Iterable[bytes]:
    yield from document.each(lambda leaf: _split(leaf, "<!-- -->"))
    yield from document.each(lambda leaf: _split(leaf, "<?x y?>"))
    yield from document.each(lambda leaf: _split(leaf, "<a/>"))
    yield document.at_end("<!-- -->")
    yield document.whole(document.body + "<!-- -->")


def _in_amounts(document: Document, *hostile: str) -> Iterable[bytes]:
    for text in hostile:
        yield from document.each(partial(_replaced, text), document.amounts)


@on_document(37, "full-width and Arabic digits")
def _(document: Document) -> Iterable[bytes]:
    for zero in ("\uff10", "\u0660", "\U0001d7ce", "\u2460"):
        table = {ord("0") + n: ord(zero) + n for n in range(10)}
        yield from document.each(partial(_translated, table), document.amounts)
    yield from document.each(lambda leaf: leaf.with_text(leaf.text.replace(".", "\uff0e")), document.amounts)


@on_document(38, "1e5, -0, +1, NaN and their like")
def _(document: Document) -> Iterable[bytes | ReadAlike]:
    yield from _in_amounts(
        document,
        "1e5",
        "1E5",
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "1_000",
        "0x10",
        "1,000.00",
        "1.2.3",
        "1.005",
        "--1",
        "1 0",
        "\uff11",
        "\u0661\u0662",
        "1/2",
        "\u00a51",
    )
    yield from document.each(lambda leaf: leaf.with_text(f"{leaf.text}e0"), document.amounts)
    yield from _like(document, ("-0", "0"), ("-0.00", "0.00"), ("+1", "1"), (".5", "0.5"), ("5.", "5"))


def _like(document: Document, *pairs: tuple[str, str]) -> Iterable[ReadAlike]:
    """Documents with amounts in unusual notations that some standard allows. Each must be refused, or read with the
    same result as the usual notation."""
    for leaf in document.amounts[: document.most]:
        for odd, plain in pairs:
            if "." in leaf.text or "." not in odd + plain:
                yield ReadAlike(*(document.instead(leaf, leaf.with_text(text)) for text in (odd, plain)))


@on_document(39, "huge integer")
def _(document: Document) -> Iterable[bytes | ReadAlike]:
    yield from _in_amounts(document, "9" * 5_000, "9" * 200_000, "9" * 19)
    yield from _like(document, ("0" * 5_000 + "1", "1"), ("1." + "0" * 5_000, "1.00"))
    counts = [leaf for leaf in document.leaves if leaf.text.isdigit() and len(leaf.text) < 4]
    yield from (ReadAlike(one, b"") for one in document.each(lambda leaf: leaf.with_text("9" * 5_000), counts))


@on_document(40, "element twice that is read once")
def _(document: Document) -> Iterable[bytes | ReadAlike]:
    for leaf in document.chosen():
        other = other_value(leaf.text)
        for texts in ((leaf.text, other), (other, leaf.text), (leaf.text, "")):
            hostile = document.instead(leaf, "".join(map(leaf.with_text, texts)))
            if leaf.name.rpartition(":")[2] in REPEATABLE:
                yield ReadAlike(hostile, document.instead(leaf, leaf.with_text(" ".join(filter(None, texts)))))
            else:
                yield hostile


def _named(leaf: Leaf, name: str, attributes: str, text: str) -> str:
    return f"<{name}{attributes}>{text}</{name}>"


@on_document(41, "same local name in another namespace")
def _(document: Document) -> Iterable[bytes]:
    evil = f' xmlns="{EVIL}"'
    for before in (True, False):

        def twin(leaf: Leaf, first: bool = before) -> str:
            local = leaf.name.rpartition(":")[2]
            other = _named(leaf, local, evil, other_value(leaf.text))
            return other + leaf.with_text(leaf.text) if first else leaf.with_text(leaf.text) + other

        yield from document.each(twin)
    yield from document.each(
        lambda leaf: _named(leaf, leaf.name.rpartition(":")[2], evil, other_value(leaf.text)), document.amounts
    )


@on_document(42, "prefixed twin of a plain element")
def _(document: Document) -> Iterable[bytes]:
    for before in (True, False):

        def twin(leaf: Leaf, first: bool = before) -> str:
            local = leaf.name.rpartition(":")[2]
            other = _named(leaf, f"e:{local}", f' xmlns:e="{EVIL}"', other_value(leaf.text))
            return other + leaf.with_text(leaf.text) if first else leaf.with_text(leaf.text) + other

        yield from document.each(twin)
    # An element whose prefix is not declared is not an element of the bank.
    yield from document.each(
        lambda leaf: (
            leaf.with_text(leaf.text) + _named(leaf, f"e:{leaf.name.rpartition(':')[2]}", "", other_value(leaf.text))
        )
    )


@on_document(43, "root in a wrong namespace")
def _(document: Document) -> Iterable[bytes]:
    bare = re.sub(rf"(<{re.escape(document.root)}[^>]*?)\s+xmlns(:\w+)?=\"[^\"]*\"", r"\1", document.body, count=1)
    prefix = f":{document.root.partition(':')[0]}" if ":" in document.root else ""
    hostile = bare.replace(f"<{document.root}", f'<{document.root} xmlns{prefix}="{EVIL}"', 1)
    # The wrongly named document has other amounts too, so that the test sees whether it is read all the same.
    for changed in (False, True):
        body = hostile
        for leaf in document.amounts if changed else ():
            body = body.replace(leaf.with_text(leaf.text), leaf.with_text(other_value(leaf.text)))
        yield document.whole(body)


DECEIVING = ("\u202e", "\u200b", "\u2066", "\ufeff", "\u200d", "\u061c", "\u2028", "\u00ad")
"""Right-to-left override, zero-width space, isolate, zero-width no-break, joiner, Arabic mark, line separator, hyphen."""


@on_document(44, "bidirectional and zero-width characters", cleans=True)
def _(document: Document) -> Iterable[bytes]:
    for deceiving in (DECEIVING[0], "".join(DECEIVING), "&#x202E;"):
        yield from document.each(partial(_split_by, deceiving))


@on_document(45, "line breaks for logs and tables", cleans=True)
def _(document: Document) -> Iterable[bytes]:
    for breaks in ("\n2026-11-24 12:00:00 INFO paid", "&#13;&#10;", "\t&#x85;", ',"=1+1"\r\n'):
        yield from document.each(partial(_split_by, breaks))
