"""Canonical octets. Only whole documents are canonicalised: a subtree is cut out and parsed anew first.

libxml2 canonicalising a subtree in place writes namespace declarations that a standalone document does not
have; the octets would then depend on how the element was reached.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from protocols.kit.dsig.profile import EXC_C14N
from protocols.kit.errors import ProtocolError

_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_PARSER: Final = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    collect_ids=False,
)


def document_octets(root: etree._Element, method: str) -> bytes:
    """Canonical octets of the document whose root is `root`. Raises "structure" where none exist."""
    assert root.getparent() is None
    try:
        return etree.tostring(root, method="c14n", exclusive=method == EXC_C14N, with_comments=False)
    except etree.C14NError as error:
        raise ProtocolError("structure", f"no canonical form: {error}") from None


def element_octets(element: etree._Element, method: str) -> bytes:
    """Canonical octets of `element` as it stands in its document, namespaces of its ancestors included."""
    if element.getparent() is None:
        return document_octets(element, method)
    if method != EXC_C14N and any(
        name.startswith(_XML) for above in element.iterancestors() for name in map(str, above.attrib)
    ):
        raise ProtocolError("structure", "an xml: attribute above an element of inclusive canonical form")
    cut = etree.tostring(element, encoding="utf-8", with_tail=False)
    return document_octets(etree.fromstring(cut, _PARSER), method)
