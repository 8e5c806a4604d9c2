"""Canonical octets. Only whole documents are canonicalised: a subtree is cut out and parsed anew first.

If libxml2 canonicalises a subtree in place, it writes namespace declarations that a standalone document does not have.
The octets would then depend on the way to the element.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from lxml import etree

from protocols.kit.dsig.profile import EXCLUSIVE
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import declarations, elements, parser_for

_XML: Final = "{http://www.w3.org/XML/1998/namespace}"

WORK_MAX: Final = 1_000_000
"""The budget of a canonical form, in elements times the square of namespace declarations: about 10 ns each, twice for a
verified message.
"""
ALWAYS: Final = 3
"""The number of namespace declarations up to which every document is affordable."""
_USUAL: Final = 10
_CROWD_MAX: Final = 10_000
_ATTRIBUTES_MAX: Final = 20_000
_KNOWN_BYTES_MAX: Final = 4_096
"""The longest element that is remembered. A sender without a key could otherwise fill our memory."""
_MARK: Final = b"A" * 44
_ATTRIBUTES: Final = etree.XPath("count(//@*)")


def is_affordable(root: etree._Element, methods: Collection[str], most: int = WORK_MAX) -> bool:
    """Whether these canonical forms of the document can be made within the budget.

    Inclusive: libxml2 looks up every namespace in scope at every element, and each look-up searches the declarations
    again. Exclusive: each prefix in use is declared anew, so elements and attributes count. A document of three
    declarations is always affordable; up to ten, the exclusive form is bounded in attributes only.
    """
    declared = declarations(root)
    if declared <= ALWAYS:
        return True
    count = elements(root)
    if not EXCLUSIVE.issuperset(methods) and count * declared**2 > most:
        return False
    attributes, times = int(_ATTRIBUTES(root)), most // WORK_MAX
    if declared <= _USUAL:
        return attributes <= _ATTRIBUTES_MAX * times
    return count + attributes <= _CROWD_MAX * times


def document_octets(root: etree._Element, method: str) -> bytes:
    """Canonical octets of the document whose root is `root`. Raises "structure" if there are none."""
    assert root.getparent() is None
    try:
        return etree.tostring(root, method="c14n", exclusive=method in EXCLUSIVE, with_comments=False)
    except etree.C14NError as error:
        raise ProtocolError("structure", f"no canonical form: {error}") from None


def element_octets(element: etree._Element, method: str) -> bytes:
    """Canonical octets of `element` in its document, with the namespaces of its ancestors."""
    if element.getparent() is None:
        return document_octets(element, method)
    if method not in EXCLUSIVE and any(
        name.startswith(_XML) for above in element.iterancestors() for name in map(str, above.attrib)
    ):
        raise ProtocolError("structure", "an ancestor of the element in inclusive canonical form has an xml: attribute")
    return _octets(etree.tostring(element, encoding="utf-8", with_tail=False), method)


def octets_around(element: etree._Element, method: str, word: bytes) -> bytes:
    """As `element_octets`, but faster for elements that differ only in the text `word` of one element inside.

    `word` is Base64 without blanks, which a canonical form does not change. So the octets around it are computed once
    for each form of the rest.
    """
    if element.getparent() is None or method not in EXCLUSIVE:
        return element_octets(element, method)
    cut = etree.tostring(element, encoding="utf-8", with_tail=False)
    before, found, behind = cut.partition(b">%b</" % word)
    if not found or len(cut) > _KNOWN_BYTES_MAX or word in before or word in behind:
        return _octets(cut, method)
    around = _around(before, behind, method)
    return _octets(cut, method) if around is None else word.join(around)


@lru_cache(maxsize=64)
def _around(before: bytes, behind: bytes, method: str) -> tuple[bytes, bytes] | None:
    """The octets before and after the word in the canonical form. None if they cannot be found with a mark in the
    word's place."""
    if _MARK in before or _MARK in behind:
        return None
    first, found, second = _octets(b"%b>%b</%b" % (before, _MARK, behind), method).partition(_MARK)
    return (first, second) if found else None


def _octets(cut: bytes, method: str) -> bytes:
    return document_octets(etree.fromstring(cut, parser_for(len(cut))), method)
