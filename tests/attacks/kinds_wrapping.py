"""Attacks 46 to 64: the valid signature is kept, and another element is put where the adapter reads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lxml import etree

from protocols.kit import dsig
from tests.attacks.forging import IDS, changed, forged, found, named_otherwise, opened, read_element, written
from tests.attacks.kind import Attempt, on_signature
from tests.attacks.targets import SignedDocument
from tests.protocols.kit.signing import D

Place = Callable[[etree._Element, etree._Element, etree._Element], None]
"""Puts the original (third) somewhere, given the root as the reader sees it and the forged element in it."""


def _wrapped(element: etree._Element, name: str = "Wrapper") -> etree._Element:
    box = etree.Element(name)
    box.append(element)
    return box


def _in_signature(name: str, *below: str) -> Place:
    def place(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
        box = etree.SubElement(found(root, "Signature"), f"{D}{name}")
        for step in below:
            box = etree.SubElement(box, step)
        box.append(original)

    return place


def _before_signature(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    found(root, "Signature").addprevious(original)


def _after_forgery(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    if forgery is root:
        root.append(original)
    else:
        forgery.addnext(original)


def _inside_forgery(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    forgery.append(original)


def _first_in_root(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    root.insert(0, original)


def _wrapped_last(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    root.append(_wrapped(original))


def _in_extensions(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    root.insert(0, _wrapped(original, "Extensions"))


def _in_header(root: etree._Element, forgery: etree._Element, original: etree._Element) -> None:
    root[0].append(_wrapped(original))


WRAPPINGS: Final[Mapping[int, tuple[str, Place]]] = {
    46: ("XSW1: original inside the signature", _in_signature("Object")),
    47: ("XSW2: original before the signature", _before_signature),
    48: ("XSW3: original after the forgery", _after_forgery),
    49: ("XSW4: original inside the forgery", _inside_forgery),
    50: ("XSW5: original last, wrapped", _wrapped_last),
    51: ("XSW6: original in KeyInfo of the signature", _in_signature("KeyInfo", "Extra")),
    52: ("XSW7: original in an extension before all", _in_extensions),
    53: ("XSW8: original in the signature, below a stranger", _in_signature("Object", "Extra", "More")),
}
MORE_PLACES: Final = (_first_in_root, _in_header)


def wrapped(target: SignedDocument, place: Place) -> Iterable[bytes]:
    """Forgeries at the place that the adapter reads, with every sort of id. The original element, still signed, is
    moved elsewhere."""
    reference = target.profile.references[target.profile.body]
    if isinstance(reference, dsig.ById):
        for how in IDS:
            root, _ = opened(target)
            original = read_element(target, root)
            forgery = forged(original)
            parent = original.getparent()
            assert parent is not None
            parent.replace(original, forgery)
            named_otherwise(forgery, reference, how)
            place(root, forgery, original)
            yield written(root)
        return
    # The reference covers the whole document: the original is a whole document, with or without its signature.
    for signed, uri in ((True, ""), (False, ""), (False, "#o"), (True, "#o")):
        original, signature = opened(target)
        root, kept = forged(original), copy.deepcopy(signature)
        if not signed:
            original.remove(signature)
        if uri:
            original.set("Id", "o")
            found(kept, "Reference").set("URI", uri)
        root.append(kept)
        place(root, root, original)
        yield written(root)


def _register() -> None:
    for number, (name, place) in WRAPPINGS.items():

        def make(target: SignedDocument, where: Place = place) -> Iterable[bytes | Attempt]:
            yield from wrapped(target, where)

        on_signature(number, name)(make)


_register()


@on_signature(54, "original in an Object")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    for place in MORE_PLACES:
        yield from wrapped(target, place)
    root, signature = opened(target)
    box = etree.SubElement(signature, f"{D}Object", Id="o")
    box.append(copy.deepcopy(read_element(target, etree.fromstring(target.data))))
    yield written(root)


def _twin(target: SignedDocument, index: int) -> Iterable[bytes]:
    reference = target.profile.references[target.profile.body]
    root, _ = opened(target)
    name = reference.attribute if isinstance(reference, dsig.ById) else "Id"
    original = read_element(target, root)
    value = original.get(name, "o")
    twin = etree.Element("x")
    twin.set(name, value)
    root.insert(index if index >= 0 else len(root), twin)
    if isinstance(reference, dsig.ById):
        yield written(root)
        forgery = forged(original)
        root.replace(twin, forgery)
        yield written(root)
        return
    original.set("Id", value)
    found(root, "Reference").set("URI", f"#{value}")
    yield written(root)


@on_signature(55, "two of one id, the forged one first")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    yield from _twin(target, 0)


@on_signature(56, "two of one id, the forged one last")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    yield from _twin(target, -1)


@on_signature(57, "ids under other names")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    reference = target.profile.references[target.profile.body]
    wsu = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id"
    for name in ("ID", "id", "iD", "Id", wsu, "{http://www.w3.org/XML/1998/namespace}id"):
        root, _ = opened(target)
        value = "o"
        if isinstance(reference, dsig.ById):
            value = str(read_element(target, root).get(reference.attribute))
        twin = etree.SubElement(root, "x")
        twin.set(name, value)
        if not isinstance(reference, dsig.ById):
            found(root, "Reference").set("URI", f"#{value}")
        yield written(root)


@on_signature(58, "two signatures")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    for before in (True, False):
        root, signature = opened(target)
        twin = copy.deepcopy(signature)
        if before:
            signature.addprevious(twin)
        else:
            signature.addnext(twin)
        yield written(root)
    root, signature = opened(target)
    twin = copy.deepcopy(signature)
    twin.tag = "{http://www.w3.org/2000/09/xmldsig}Signature"
    signature.addprevious(twin)
    yield written(root)


@on_signature(59, "signature nested in the body")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    root, signature = opened(target)
    spot = next(
        one for one in root.iter() if not str(one.tag).startswith(D) and one is not root and signature not in one
    )
    spot.append(signature)
    yield written(root)
    root, signature = opened(target)
    parent = signature.getparent()
    assert parent is not None
    box = etree.SubElement(parent, "wrap")
    box.append(signature)
    yield written(root)


@on_signature(60, "no signature")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    def gone(root: etree._Element, signature: etree._Element) -> None:
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)

    yield changed(target, gone)
    yield target.data.replace(b"#xmldsig", b"#xmldsig ").replace(b"09/xmldsig#", b"09/xmldsig#x")
    yield b"<a/>"


@on_signature(61, "empty signature value")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    for value in ("", " ", "AAAA", "A" * 344, "=", "\u4e00"):

        def emptied(root: etree._Element, signature: etree._Element, to: str = value) -> None:
            found(signature, "SignatureValue").text = to

        yield changed(target, emptied)
    yield changed(target, lambda root, signature: signature.remove(found(signature, "SignatureValue")))


def _forged_info(signature: etree._Element) -> etree._Element:
    info = copy.deepcopy(found(signature, "SignedInfo"))
    found(info, "DigestValue").text = "A" * 43 + "="
    return info


@on_signature(62, "two SignedInfo")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    yield changed(target, lambda root, signature: signature.insert(0, _forged_info(signature)))
    yield changed(target, lambda root, signature: signature.insert(1, _forged_info(signature)))
    yield changed(target, lambda root, signature: signature.append(_forged_info(signature)))


@on_signature(63, "SignedInfo deeper")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    def deeper(root: etree._Element, signature: etree._Element) -> None:
        info = found(signature, "SignedInfo")
        box = etree.Element(f"{D}Object")
        signature.replace(info, box)
        box.append(info)
        signature.insert(0, _forged_info(signature))

    def inside(root: etree._Element, signature: etree._Element) -> None:
        found(signature, "SignedInfo").append(_forged_info(signature))

    yield changed(target, deeper)
    yield changed(target, inside)


@on_signature(64, "no reference")
def _(target: SignedDocument) -> Iterable[bytes | Attempt]:
    def none(root: etree._Element, signature: etree._Element) -> None:
        for one in list(signature.iter(f"{D}Reference")):
            parent = one.getparent()
            assert parent is not None
            parent.remove(one)

    yield changed(target, none)
