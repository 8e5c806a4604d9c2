"""Attacks 1 to 34, 116 and 117: documents made for the parser. For each limit two sizes are tried: just within it and
beyond it."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from functools import partial

from protocols.kit import xmldoc
from tests.attacks import trap
from tests.attacks.document import Document, Leaf
from tests.attacks.kind import on_document, on_spot
from tests.attacks.layers import Spot

MIB = 1_048_576
CUTS = 1_000


def _holding(markup: str, leaf: Leaf) -> str:
    return leaf.put_in(markup)


def _being(markup: str, leaf: Leaf) -> str:
    return leaf.with_text(markup)


def _with_entity(document: Document, declarations: str, reference: str = "&x;") -> Iterator[bytes]:
    """Documents with a document type in front. The declared entity is used in the middle of a leaf and at its end."""
    doctype = f"<!DOCTYPE {document.root} [{declarations}]>"
    yield document.whole(doctype + document.body)
    hostile = Document(document.in_front(doctype), document.codec, document.minor)
    yield hostile.at_end(reference)
    yield from hostile.each(partial(_holding, reference), hostile.leaves[:2])


@on_document(1, "XXE file")
def _(document: Document) -> Iterable[bytes]:
    for path in (trap.FILE.as_uri(), str(trap.FILE), "file:///dev/zero", trap.PIPE.as_uri()):
        yield from _with_entity(document, f'<!ENTITY x SYSTEM "{path}">')


@on_document(2, "XXE http")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, f'<!ENTITY x SYSTEM "{trap.URL}">')
    yield from _with_entity(document, f'<!ENTITY x PUBLIC "-//X//EN" "{trap.URL}">')


@on_document(3, "parameter entity")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, f'<!ENTITY % p SYSTEM "{trap.DTD.as_uri()}"> %p;')
    yield from _with_entity(document, "<!ENTITY % p \"<!ENTITY x '9'>\"> %p;")


@on_document(4, "external DTD")
def _(document: Document) -> Iterable[bytes]:
    for source in (f'SYSTEM "{trap.DTD.as_uri()}"', f'SYSTEM "{trap.URL}"', f'PUBLIC "-//X//EN" "{trap.URL}"'):
        yield document.in_front(f"<!DOCTYPE {document.root} {source}>")
        yield document.in_front(f"<!doctype {document.root} {source}>")


_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@on_document(5, "external schemaLocation")
def _(document: Document) -> Iterable[bytes]:
    yield document.in_root(f'{_XSI} xsi:schemaLocation="urn:x {trap.URL}"')


@on_document(6, "noNamespaceSchemaLocation")
def _(document: Document) -> Iterable[bytes]:
    yield document.in_root(f'{_XSI} xsi:noNamespaceSchemaLocation="{trap.URL}"')
    yield document.in_root(f'{_XSI} xsi:noNamespaceSchemaLocation="{trap.FILE.as_uri()}"')


@on_document(7, "XInclude")
def _(document: Document) -> Iterable[bytes]:
    for source in (trap.FILE.as_uri(), trap.URL, "file:///dev/zero"):
        include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{source}" parse="text"/>'
        yield document.at_end(include)
        yield from document.each(partial(_being, include), document.leaves[:3])


@on_document(8, "xml-stylesheet instruction")
def _(document: Document) -> Iterable[bytes]:
    style = f'<?xml-stylesheet type="text/xsl" href="{trap.URL}"?>'
    yield document.in_front(style)
    yield document.at_end(style)
    yield document.whole(document.body + style)


def _laughs(levels: int, wide: int, first: str = "lol") -> str:
    rows = [f'<!ENTITY x0 "{first}">']
    rows += [f'<!ENTITY x{n} "{f"&x{n - 1};" * wide}">' for n in range(1, levels)]
    return "".join(rows) + f'<!ENTITY x "{f"&x{levels - 1};" * wide}">'


@on_document(9, "billion laughs")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, _laughs(10, 10))


@on_document(10, "quadratic blow-up")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, f'<!ENTITY x "{"a" * 100_000}">', "&x;" * 10_000)


@on_document(11, "parameter-entity laughs")
def _(document: Document) -> Iterable[bytes]:
    rows = ['<!ENTITY % x0 "lol">'] + [f'<!ENTITY % x{n} "{f"%x{n - 1};" * 10}">' for n in range(1, 10)]
    yield from _with_entity(document, "".join(rows) + "%x9;", "")


@on_document(12, "recursive entity")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, '<!ENTITY x "&y;"><!ENTITY y "&x;">')
    yield from _with_entity(document, '<!ENTITY x "&x;">')


@on_document(13, "internal entity in an amount")
def _(document: Document) -> Iterable[bytes]:
    for declarations in ('<!ENTITY x "9">', '<!ENTITY x "">', '<!ENTITY x "<!---->">'):
        hostile = Document(
            document.in_front(f"<!DOCTYPE {document.root} [{declarations}]>"), document.codec, document.minor
        )
        yield from hostile.each(partial(_holding, "&x;"))
    yield from document.each(partial(_holding, "&undeclared;"))


@on_document(14, "ATTLIST with a default Id")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, f'<!ATTLIST {document.root} Id CDATA "B-1">', "")


@on_document(15, "ID type declared in a DTD")
def _(document: Document) -> Iterable[bytes]:
    yield from _with_entity(document, f"<!ATTLIST {document.root} evil ID #IMPLIED>", "")


def _deep(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


@on_document(16, "depth 300")
def _(document: Document) -> Iterable[bytes]:
    for depth in (xmldoc.MAX_DEPTH - 4, xmldoc.MAX_DEPTH + 1, 255, 257, 300):
        yield document.at_end(_deep(depth))
        yield document.at_start(_deep(depth))


@on_document(17, "depth 100 000")
def _(document: Document) -> Iterable[bytes]:
    yield document.at_end(_deep(100_000))
    yield document.at_end("<a>" * 100_000)
    yield document.at_end(_deep(19_000))


@on_document(18, "text of 11 MB")
def _(document: Document) -> Iterable[bytes]:
    for size in (11_000_000, 5_000_000, 3_000_000, MIB - 4096):
        yield document.at_end(f"<a>{'x' * size}</a>")
        yield document.at_end(" " * size)


@on_document(19, "attribute of 11 MB")
def _(document: Document) -> Iterable[bytes]:
    for size in (11_000_000, MIB - 4096, 16_000):
        yield document.at_end(f'<a b="{"x" * size}"/>')


def _crowded(attribute: str, count: int, end: str = "/>") -> str:
    """A tag with `count` attributes; "#" in the pattern is replaced by the number of each."""
    return f"<a {' '.join(attribute.replace('#', str(number)) for number in range(count))}{end}"


@on_document(20, "50 000 attributes")
def _(document: Document) -> Iterable[bytes]:
    for count in (50_000, 1_500, 32):
        yield document.at_end(_crowded('a#="1"', count))
    many = _crowded('a#="1"', 32)
    yield document.at_end(many * (MIB // len(many) - 40))
    yield document.at_end(many * 1_240)  # just within the limit for a whole document


@on_document(21, "20 000 namespaces")
def _(document: Document) -> Iterable[bytes]:
    for count in (20_000, 800, 32):
        yield document.at_end(_crowded('xmlns:a#="urn:#"', count))
    many = _crowded('xmlns:a#="u"', 32)
    yield document.at_end(many * (MIB // len(many) - 40))
    yield document.at_end(_crowded('xmlns:a#="u"', 32, ">") * 20 + "</a>" * 20)


@on_document(22, "500 000 siblings")
def _(document: Document) -> Iterable[bytes]:
    yield document.at_end("<a/>" * 500_000)
    for count in (20_001, 19_900):
        yield document.at_end("<a/>" * count)
        yield document.at_end("<a>1</a>" * count)


@on_spot(23, "gzip or deflate bomb")
def _(spot: Spot) -> Iterable[bytes]:
    document = spot.document
    yield document.at_end(" " * 40_000_000)  # a document that is small when packed and huge when unpacked
    yield gzip.compress(document.at_end(" " * 10_000_000), mtime=0)
    yield gzip.compress(document.data, mtime=0)


@on_document(24, "UTF-7")
def _(document: Document) -> Iterable[bytes]:
    yield b'<?xml version="1.0" encoding="UTF-7"?>' + document.body.encode("utf-7")
    yield document.data.replace(b"<", b"+ADw-")
    yield document.head.encode() + document.body.encode(document.codec).replace(b"<", b"+ADw-")
    yield b"+/v8-" + document.data


@on_document(25, "UTF-16 that nobody configured")
def _(document: Document) -> Iterable[bytes]:
    for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield ('<?xml version="1.0" encoding="UTF-16"?>' + document.body).encode(codec)
        yield document.body.encode(codec)
    yield document.whole(head='<?xml version="1.0" encoding="UTF-16"?>')


@on_document(26, "bytes of another charset than the declared one")
def _(document: Document) -> Iterable[bytes]:
    other, label = ("gb18030", "UTF-8") if document.codec == "utf-8" else ("utf-8", "GBK")
    chinese = Document.of(document.at_end("<a>示</a>"))
    declared = f'<?xml version="1.0" encoding="{label}"?>'
    text = chinese.data.decode(document.codec).removeprefix(document.head)
    yield (declared + text).encode(other)
    yield (f'<?xml version="1.0" encoding="{"GBK" if label == "UTF-8" else "UTF-8"}"?>' + text).encode(other)
    for foreign in ("ISO-8859-1", "Big5", "Shift_JIS", "EBCDIC-CP-US", "UCS-4", "x" * 41, "../x"):
        yield document.whole(head=f'<?xml version="1.0" encoding="{foreign}"?>')


@on_document(27, "byte order mark that does not fit")
def _(document: Document) -> Iterable[bytes]:
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x84\x31\x95\x33", b"\0\0\xfe\xff", b"\xff\xfe\0\0"):
        yield mark + document.data
        yield document.head.encode() + mark + document.body.encode(document.codec)


@on_document(28, "overlong UTF-8")
def _(document: Document) -> Iterable[bytes]:
    for raw in (b"\xc0\xbc", b"\xe0\x80\xbc", b"\xf0\x80\x80\xbc", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        yield document.at_end("<a>@</a>").replace(b"@</a>", raw + b"</a>")
        yield document.data.replace(b"<", raw, 1)


@on_document(29, "NUL")
def _(document: Document) -> Iterable[bytes]:
    yield document.data + b"\0"
    yield b"\0" + document.data
    yield document.at_end("<a>\0</a>")
    yield document.at_end("<a>&#0;</a>")
    yield from document.each(partial(_holding, "\0"))


@on_document(30, "control character")
def _(document: Document) -> Iterable[bytes]:
    for char in ("\x01", "\x08", "\x0b", "\x1b", "\x1f", "&#1;", "&#x1B;", "\ufffe", "&#xFFFF;"):
        yield from document.each(partial(_holding, char), document.leaves[:3])
    yield from document.each(partial(_holding, "&#xD800;"), document.leaves[:3])


@on_document(31, "XML 1.1")
def _(document: Document) -> Iterable[bytes]:
    label = "GBK" if document.codec != "utf-8" else "UTF-8"
    yield document.whole(head=f'<?xml version="1.1" encoding="{label}"?>')
    yield document.whole(head=f'<?xml version="1.1" encoding="{label}"?>', body=document.body + "\x85")
    yield document.whole(head=f'<?xml version="2.0" encoding="{label}"?>')


@on_document(32, "trailing garbage")
def _(document: Document) -> Iterable[bytes]:
    for tail in (b"x", b"]]>", b"<", b"</a>", b"&amp;", b"<?xml version='1.0'?>", b"<!-- -->", b"\xff"):
        yield document.data + tail
        yield document.data + b"\n" + tail


@on_document(33, "two roots")
def _(document: Document) -> Iterable[bytes]:
    yield document.whole(document.body + document.body)
    yield document.whole(document.body + f"<{document.root}/>")
    yield document.whole(f"<{document.root}/>" + document.body)
    yield document.data + document.data


@on_document(34, "truncated")
def _(document: Document) -> Iterable[bytes]:
    step = max(1, len(document.data) // min(CUTS, 4 * document.most))
    yield from (document.data[:length] for length in range(0, len(document.data), step))
    end = document.data.rindex(b"</")
    yield from (document.data[:length] for length in range(end, len(document.data.rstrip())))


ABSOLUTE = "https://bank.example/namespace/"


def bomb(nested: int, each: int, leaves: int, leaf: str = "<a/>") -> str:
    """Nested elements, each of which declares `each` namespaces, around many leaves."""
    declared = (" ".join(f'xmlns:p{n}.{i}="{ABSOLUTE}{n}/{i}"' for i in range(each)) for n in range(nested))
    opening = "".join(f"<e {one}>" for one in declared)
    return opening + leaf * leaves + "</e>" * nested


BOMBS = (
    (28, 30, 1_000),
    (25, 4, 1_000),
    (24, 4, 3_000),
    (3, 32, 4_000),
    (1, 32, 19_000),
    (28, 1, 19_000),
    (2, 4, 19_000),
)
"""Nested elements, namespaces on each, leaves. The first costs an inclusive canonical form 5 to 9 s."""


@on_document(116, "namespace bomb with absolute addresses")
def _(document: Document) -> Iterable[bytes]:
    for nested, each, leaves in BOMBS:
        yield document.at_end(bomb(nested, each, leaves))


@on_document(117, "namespaces that are all in use")
def _(document: Document) -> Iterable[bytes]:
    long = "/".join(("x" * 40,) * 8)
    for count, leaves in ((32, 1_200), (32, 250), (11, 1_500), (8, 4_000)):
        opening = " ".join(f'xmlns:p{n}="{ABSOLUTE}{n}/{long}"' for n in range(count))
        attributes = " ".join(f'p{n}:x=""' for n in range(count))
        leaf = f"<a {attributes}/>"
        yield document.at_end(f"<e {opening}>{leaf * leaves}</e>")
