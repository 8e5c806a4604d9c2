"""Tools of a forger: they take signed documents apart, put the parts together in another way, and make signature
templates for any key."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import xmlsec
from lxml import etree

from protocols.kit import dsig
from protocols.kit.dsig.gate import at
from protocols.kit.dsig.verify import take_out
from tests.attacks.targets import SignedDocument
from tests.protocols.kit import signing
from tests.protocols.kit.signing import D, KeyPair

Change = Callable[[etree._Element, etree._Element], None]
IDS = ("same", "other", "none", "ID", "id", "{http://www.w3.org/XML/1998/namespace}id", "Id", "AssertionID")


def written(root: etree._Element) -> bytes:
    """The bytes of an XML tree."""
    return etree.tostring(root, encoding="utf-8")


def opened(target: SignedDocument) -> tuple[etree._Element, etree._Element]:
    """The root and the signature of a copy of the document."""
    root = etree.fromstring(target.data)
    return root, found(root, "Signature")


def found(root: etree._Element, name: str) -> etree._Element:
    """The first signature element with this name."""
    element = root.find(f".//{D}{name}")
    assert element is not None, name
    return element


def changed(target: SignedDocument, change: Change) -> bytes:
    """The document after a change of its root and signature."""
    root, signature = opened(target)
    change(root, signature)
    return written(root)


def edited(target: SignedDocument, old: bytes, new: bytes) -> bytes:
    """The document with some text replaced once. An attack that changes nothing is a mistake of the test."""
    assert old in target.data, f"the attack is void: {old!r} is not in the document"
    return target.data.replace(old, new, 1)


def read_element(target: SignedDocument, root: etree._Element) -> etree._Element:
    """The element that the adapter reads once the signature is verified."""
    reference = target.profile.references[target.profile.body]
    return at(root, reference.path) if isinstance(reference, dsig.ById) else root


def forged(element: etree._Element) -> etree._Element:
    """A copy with another text, and without any signature inside it."""
    other = copy.deepcopy(element)
    for signature in list(other.iter(f"{D}Signature")):
        take_out(signature)
    leaf = next(one for one in other.iter() if not len(one) and (one.text or "").strip())
    leaf.text = f"9{leaf.text}"
    return other


def named_otherwise(element: etree._Element, reference: dsig.ById, how: str) -> None:
    """Changes the element's id: keeps it, gives another value, removes it, or moves it to another attribute."""
    value = element.attrib.pop(reference.attribute)
    if how in ("same", "other"):
        element.set(reference.attribute, value if how == "same" else f"{value}-2")
    elif how != "none":
        element.set(how, value)


def template(
    target: SignedDocument,
    *,
    c14n: str = "",
    method: str = "",
    transforms: str | None = None,
    digest: str = "",
    uri: str | None = None,
    more: str = "",
    boxed: str = "",
    only: str = "",
) -> bytes:
    """The document with an empty signature of the profile's form, except for these arguments; `stock_signs` fills it.

    `transforms`, `digest` and `uri` ('URI="…"') concern the reference that is mapped; `more` follows the references,
    `only` replaces them; `boxed` stands after the signature value.
    """
    profile = target.profile
    root, signature = opened(target)
    parent, index = signature.getparent(), 0
    assert parent is not None
    index = parent.index(signature)
    written_references = []
    for number, reference in enumerate(profile.references):
        mapped = number == profile.body
        named = (
            f'URI="#{at(root, reference.path).get(reference.attribute)}"'
            if isinstance(reference, dsig.ById)
            else 'URI=""'
        )
        written_references.append(
            one_reference(
                uri if mapped and uri is not None else named,
                transforms if mapped and transforms is not None else transform(*reference.transforms),
                digest if mapped and digest else reference.digest,
            )
        )
    text = (
        f'<ds:Signature xmlns:ds="{dsig.DS}"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{c14n or profile.c14n}"/>'
        f'<ds:SignatureMethod Algorithm="{method or profile.signature_method}"/>'
        f"{only or ''.join(written_references)}{more}</ds:SignedInfo><ds:SignatureValue/>{boxed}</ds:Signature>"
    )
    take_out(signature)
    parent.insert(index, etree.fromstring(text))
    return written(root)


def one_reference(uri: str, transforms: str, digest: str = dsig.SHA256) -> str:
    """A reference without its digest."""
    around = f"<ds:Transforms>{transforms}</ds:Transforms>" if transforms else ""
    return (
        f'<ds:Reference {uri}>{around}<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue></ds:DigestValue>'
        "</ds:Reference>"
    )


def transform(*algorithms: str) -> str:
    """A list of transforms without parameters."""
    return "".join(f'<ds:Transform Algorithm="{one}"/>' for one in algorithms)


def usual(target: SignedDocument) -> tuple[str, ...]:
    """The profile's transforms of the reference to the element that is read."""
    return target.profile.references[target.profile.body].transforms


def by_the_bank(target: SignedDocument, document: bytes, key: KeyPair | None = None) -> Iterator[bytes]:
    """The template, signed with the bank's own key by stock xmlsec; unsigned where xmlsec refuses to sign it.

    What stock xmlsec signed it also accepts, or the forgery would prove nothing.
    """
    signer = key or target.key
    try:
        good = signing.stock_signs(document, signer)
    except xmlsec.Error:
        yield document
        return
    assert signing.stock_accepts(good, signer), "the forgery is no good, stock xmlsec refuses it too"
    yield good
