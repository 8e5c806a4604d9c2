"""Reads and writes XML: strict checks before a document is read, and text that is escaped as it is written.

`parse` takes the bytes of a peer and returns a tree free of document types, entities, comments and processing
instructions, bounded in size, depth and attributes. The readers are exact in namespace and count: an
element that comes twice where it must come once is an error, never the first of two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from lxml import etree

from protocols.kit.charset import Charset
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits

__all__ = [
    "ChildTexts",
    "Markup",
    "amount_minor",
    "build",
    "canonical",
    "digits",
    "el",
    "first_of",
    "maybe",
    "one",
    "parse",
    "several",
    "text",
    "value",
    "value_or",
]

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
MAX_ATTRIBUTES: Final = 32
MAX_NAMESPACES: Final = 100
"""Namespace declarations of a whole document. Banks write fewer than ten; canonical forms cost their square."""
_TAG_CHARS_MAX: Final = 16_384
_ATTRIBUTES_PER_NODE: Final = 2
_ATTRIBUTES_MAX: Final = 40_000

_BEGINS = re.compile(r"[ \t\r\n]*<\?xml[ \t\r\n]")
_DECLARATION = re.compile(
    r"""[ \t\r\n]*<\?xml\s+version\s*=\s*["']1\.0["']"""
    r"""(?:\s+encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["'])?"""
    r"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>"""
)
_ATTRIBUTE = re.compile(r"""=[ \t\r\n]*["']""")
_LONG_TAG = re.compile(f"<[^<]{{{_TAG_CHARS_MAX}}}")
_CDATA = re.compile(r"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_CDATA_OR_COMMENT = re.compile(r"<!\[CDATA\[.*?\]\]>|<!--.*?-->", re.DOTALL)


def _parser(drop_comments: bool, long_text: bool = False) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=long_text,
        recover=False,
        remove_comments=drop_comments,
        remove_pis=False,
        collect_ids=False,
    )


_PARSER: Final = _parser(drop_comments=False)
_DROPPING: Final = _parser(drop_comments=True)
_LONG_BYTES: Final = 9_000_000
"""The size from which on a document can have a text of 10 MB, which the parser refuses by default."""
_LONG: Final = _parser(drop_comments=False, long_text=True)


def parser_for(size: int) -> etree.XMLParser:
    """The parser for a document of this size. Its octets must have been scanned for declarations, or written from a
    scanned tree."""
    return _LONG if size > _LONG_BYTES else _PARSER


def parse(
    data: bytes,
    charset: Charset,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
    max_attributes: int = MAX_ATTRIBUTES,
    max_namespaces: int = MAX_NAMESPACES,
    drop_comments: bool = False,
) -> etree._Element:
    """The root of the one XML document in `data`, decoded in the bank's charset even if the document declares another
    one.

    Refuses, in this order and before the parser sees a byte: too long, no text in `charset`, a declared
    charset of another family, document types, entities, comments, processing instructions, a tag over 16
    KiB, too many elements or attributes. Then what is not well-formed, too deep, or has too many attributes or
    namespace declarations. The limits are in bytes, levels, elements, attributes per element, and declarations per
    document. With `drop_comments`, which only documents that nobody signed may have, comments are left out instead of
    refused. Raises ProtocolError.
    """
    if len(data) > max_bytes:
        raise ProtocolError("frame_too_long", f"document of {len(data)} bytes, the limit is {max_bytes}")
    document = _without_declaration(charset.decode(data), charset)
    _scan(document, max_nodes, max_attributes, drop_comments)
    octets = document.encode("utf-8")
    try:
        root = etree.fromstring(octets, _DROPPING if drop_comments else parser_for(len(octets)))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ProtocolError("not_xml", f"not well-formed XML: {error}") from None
    _inspect(root)
    # The octets are counted first. They also contain declarations in text and CDATA, so their count is never below the
    # tree's.
    if document.count("xmlns") > max_namespaces and declarations(root) > max_namespaces:
        raise ProtocolError("xml_limits", f"more than {max_namespaces} namespace declarations")
    # Each element takes a "<" and each attribute a "=", so most documents need no walk to be found small.
    if len(document) > max_nodes and document.count("<") > max_nodes and _COUNT(root) > max_nodes:
        raise ProtocolError("xml_limits", f"more than {max_nodes} elements")
    if document.count("=") > max_attributes and _wider_than(max_attributes)(root):
        raise ProtocolError("xml_limits", f"more than {max_attributes} attributes on one element")
    if _deeper_than(max_depth)(root):
        raise ProtocolError("xml_limits", f"nested deeper than {max_depth}")
    return root


def parse_root(data: bytes, charset: Charset, root: str, *, max_bytes: int, max_nodes: int) -> etree._Element:
    """Parse a document as `parse` does, and check the root's name. Raises "missing" if the document has another
    root."""
    found = parse(data, charset, max_bytes=max_bytes, max_nodes=max_nodes)
    if found.tag != root:
        raise ProtocolError("missing", f"the root is {found.tag!r}, not {root}")
    return found


def declarations(root: etree._Element) -> int:
    """The number of namespace declarations in the tree, including repeated ones."""
    return sum(1 for _ in etree.iterwalk(root, events=("start-ns",)))


def elements(root: etree._Element) -> int:
    """The number of elements in the tree, including its root."""
    return int(_COUNT(root))


def parse_again(octets: bytes, max_bytes: int) -> etree._Element:
    """Parse octets that were written from a tree of `parse`. Only their length must be checked again."""
    if len(octets) > max_bytes:
        raise ProtocolError("frame_too_long", f"canonical form of {len(octets)} bytes, the limit is {max_bytes}")
    return etree.fromstring(octets, parser_for(len(octets)))


def _without_declaration(document: str, charset: Charset) -> str:
    if _BEGINS.match(document) is None:
        return document
    found = _DECLARATION.match(document)
    if found is None:
        raise ProtocolError("instruction", 'has an XML declaration that is not <?xml version="1.0" ...?>')
    label = found.group(1)
    if label is not None and not charset.same_family(label):
        raise ProtocolError("charset", f"declares {label}, but {charset.name} is wanted here")
    return document[found.end() :]


def _scan(document: str, max_nodes: int, max_attributes: int, drop_comments: bool) -> None:
    """Refuse octets that must not reach the parser: declarations, comments, instructions, and too many elements or
    attributes."""
    bare = document
    if "<!" in document or "<?" in document:
        bare = (_CDATA_OR_COMMENT if drop_comments else _CDATA).sub("", document)
        if "<!--" in bare:
            raise ProtocolError("comment", "a comment inside the message")
        if "<!" in bare:
            raise ProtocolError("doctype", "the document has a document type, entity or other declaration")
        if "<?" in bare:
            raise ProtocolError("instruction", "a processing instruction")
    # A document shorter than a limit cannot exceed the limit, so that most documents need no count.
    size = len(bare)
    if size > 2 * max_nodes and bare.count("<") > 2 * max_nodes:
        raise ProtocolError("xml_limits", f"more than {max_nodes} elements")
    # All attributes together, because many elements, each within its own limit, make every pass over the tree slow.
    most = min(_ATTRIBUTES_PER_NODE * max_nodes, _ATTRIBUTES_MAX)
    if size > most and bare.count("=") > most and sum(1 for _ in _ATTRIBUTE.finditer(bare)) > most:
        raise ProtocolError("xml_limits", f"more than {most} attributes")
    if size > _TAG_CHARS_MAX and _has_long_tag(bare):
        raise ProtocolError("xml_limits", f"a tag of more than {_TAG_CHARS_MAX} characters")
    if bare.count("xmlns") > max_attributes and any(piece.count("xmlns") > max_attributes for piece in bare.split("<")):
        raise ProtocolError("xml_limits", f"more than {max_attributes} namespaces on one element")


def _has_long_tag(document: str) -> bool:
    # A tag cannot contain "<", and its attributes are quoted; what lies behind the first ">" outside quotes
    # is text.
    for found in _LONG_TAG.finditer(document):
        quote = ""
        for char in found.group():
            if quote:
                quote = "" if char == quote else quote
            elif char in "\"'":
                quote = char
            elif char == ">":
                break
        else:
            return True
    return False


@lru_cache(maxsize=64)
def _deeper_than(depth: int) -> etree.XPath:
    return etree.XPath("boolean(" + "/*" * (depth + 1) + ")")


@lru_cache(maxsize=64)
def _wider_than(attributes: int) -> etree.XPath:
    return etree.XPath(f"boolean(//*[count(@*) > {attributes}])")


_COUNT: Final = etree.XPath("count(//*)")


def _inspect(root: etree._Element) -> None:
    """Check the parsed tree again: it may contain only elements and text."""
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise ProtocolError("doctype", "a document type")
    if root.getprevious() is not None or root.getnext() is not None:
        raise ProtocolError("comment", "there is a comment or processing instruction outside of the root element")
    if next(root.iter(etree.Comment, etree.PI, etree.Entity), None) is not None:
        raise ProtocolError("comment", "a comment, instruction or entity inside the message")


@lru_cache(maxsize=4096)
def steps(path: str) -> tuple[str, ...]:
    """The element names of a path; "/" inside the braces of a namespace does not separate."""
    found = re.findall(r"(?:\{[^{}]*\})?[^/{}]+", path)
    assert "/".join(found) == path.removeprefix("/"), f"not a path of element names: {path!r}"
    assert found, "an empty path"
    return tuple(found)


def text(element: etree._Element) -> str:
    """All text of an element without children, unchanged. Raises "value" if it has children."""
    if len(element):
        raise ProtocolError("value", f"element {element.tag!r} has child elements, but plain text is expected")
    return element.text or ""


class ChildTexts:
    """The texts of one element's children, read in one pass. For answers with many fields."""

    __slots__ = ("_parent", "_said")

    def __init__(self, parent: etree._Element) -> None:
        self._parent = parent
        said: dict[str, str | None] = {}
        for child in parent:
            tag = str(child.tag)
            # Two children of one name, or one with children of its own, are an error only when they are asked for.
            said[tag] = None if tag in said or len(child) else (child.text or "").strip(" \t\r\n")
        self._said = said

    def value(self, name: str) -> str:
        """The text of a child of this element; see the function `value`. `name` is no path."""
        said = self._said.get(name)
        return value(self._parent, name) if said is None else said

    def value_or(self, name: str, default: str = "") -> str:
        """The text of a child of this element, or the default; see the function `value_or`. `name` is no path."""
        said = self._said.get(name, default)
        return value_or(self._parent, name, default) if said is None else said

    def __len__(self) -> int:
        return len(self._parent)


def several(parent: etree._Element, path: str) -> list[etree._Element]:
    """The elements at `path`. The last step may occur any number of times; each other step occurs once, or there are no
    elements."""
    *above, last = steps(path)
    for step in above:
        inner = _only(parent, step, path)
        if inner is None:
            return []
        parent = inner
    return list(parent.iterchildren(last))


def maybe(parent: etree._Element, path: str) -> etree._Element | None:
    """The element at `path` ("a/b", "{namespace}a/{namespace}b"), or None. Raises "ambiguous" if any step occurs
    twice."""
    for step in steps(path):
        inner = _only(parent, step, path)
        if inner is None:
            return None
        parent = inner
    return parent


def one(parent: etree._Element, path: str) -> etree._Element:
    """The element at `path`. Raises "missing" or "ambiguous"."""
    found = maybe(parent, path)
    if found is None:
        raise ProtocolError("missing", f"no element {path} in {parent.tag!r}")
    return found


def first_of(parent: etree._Element, *paths: str) -> etree._Element | None:
    """The element at the first of `paths` that exists. For messages that differ from their documented form."""
    for path in paths:
        found = maybe(parent, path)
        if found is not None:
            return found
    return None


def value(parent: etree._Element, path: str) -> str:
    """The text of the element at `path`, without blanks at its ends. Raises "missing", "ambiguous", "value"."""
    return text(one(parent, path)).strip(" \t\r\n")


def value_or(parent: etree._Element, path: str, default: str = "") -> str:
    """The text of the element at `path`, or `default` if there is no such element. See `value`."""
    found = maybe(parent, path)
    return default if found is None else text(found).strip(" \t\r\n")


def _only(parent: etree._Element, step: str, path: str) -> etree._Element | None:
    found = None
    for child in parent.iterchildren(step):
        if found is not None:
            raise ProtocolError("ambiguous", f"more than one {step} on the path {path}")
        found = child
    return found


class Markup(str):
    """Text that already is XML, so that the builder does not escape it again."""

    __slots__ = ()


_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL_IN_QUOTES = re.compile('[&<>"\t\n\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#xD;",  # as Canonical XML writes it
}


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    if char not in _ESCAPES:
        raise ProtocolError("value", f"character U+{ord(char):04X} is not allowed in XML")
    return _ESCAPES[char]


def escaped(content: str) -> Markup:
    """`content` as XML text. Raises "value" for a character that XML cannot represent."""
    return Markup(_SPECIAL.sub(_escape, content))


def canonical(fields: Iterable[tuple[str, str]]) -> Markup:
    """Leaf elements one after the other, in Canonical XML. Raises "value" as `escaped` does."""
    return Markup("".join([f"<{name}>{_SPECIAL.sub(_escape, content)}</{name}>" for name, content in fields]))


Content = Markup | str | Mapping[str, str] | Iterable["Markup | str"] | None


def el(tag: str, *children: Content, **attributes: str) -> Markup:
    """The XML of one element. Children: text (escaped), `Markup` of other elements, iterables of these, None (nothing).

    Attributes by keyword, or as a mapping among the children if a name is not a Python name ("wsu:Id").
    """
    inner: list[str] = []
    quoted: list[str] = [_attribute(item) for item in attributes.items()]
    for child in children:
        if isinstance(child, Markup):
            inner.append(child)
        elif isinstance(child, str):
            inner.append(_SPECIAL.sub(_escape, child))
        elif isinstance(child, Mapping):
            quoted.extend(_attribute(item) for item in child.items())
        elif child is not None:
            inner.extend(item if isinstance(item, Markup) else _SPECIAL.sub(_escape, item) for item in child)
    return Markup(f"<{tag}{''.join(quoted)}>{''.join(inner)}</{tag}>")


def leaf(tag: str, content: str = "") -> Markup:
    """An element with text; an empty one as a self-closing tag: `<tag/>`."""
    if not content:
        return Markup(f"<{tag}/>")
    inner = content if isinstance(content, Markup) else _SPECIAL.sub(_escape, content)
    return Markup(f"<{tag}>{inner}</{tag}>")


def leaves(
    fields: Iterable[tuple[str, str]], charset: Charset, element: Callable[[str, str], Markup] = el
) -> list[Markup]:
    """Elements with text, in order. Raises Unencodable with the position within the field, not within the document."""
    written = []
    for tag, content in fields:
        if not content.isascii():
            charset.encode(content)
        written.append(element(tag, content))
    return written


def _attribute(item: tuple[str, str]) -> str:
    return f' {item[0]}="{_SPECIAL_IN_QUOTES.sub(_escape, item[1])}"'


def cdata(content: str) -> Markup:
    """`content` as a CDATA section, for banks that demand one. Raises "value" for text that contains the end mark of a
    section."""
    if "]]>" in content:
        raise ProtocolError("value", "text with ]]> is not allowed in CDATA")
    for found in _SPECIAL.finditer(content):
        if found.group() not in "&<>":
            raise ProtocolError("value", f"character U+{ord(found.group()):04X} is not allowed in CDATA")
    return Markup(f"<![CDATA[{content}]]>")


def build(root: Markup, charset: Charset, *, declaration: str | None = None) -> bytes:
    """The document in the bank's charset, strictly encoded.

    `declaration`: None writes the usual one with the charset's label; "" none; any other text is written as it is.
    Raises Unencodable.
    """
    head = f'<?xml version="1.0" encoding="{charset.name}"?>' if declaration is None else declaration
    return charset.encode(head + root)
