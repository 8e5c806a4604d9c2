"""The structure check: a signature must be exactly as its profile says, before any part of it is computed.

Signature wrapping, extra references, transforms that select nothing and external resources are refused here, because
everything that the profile does not name is refused, even if it would be harmless.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.canon.fast_init import fast_init
from protocols.kit.dsig.profile import DS, ById, Enveloped, SignatureProfile
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import steps

_D: Final = f"{{{DS}}}"
_BLANKS: Final = " \t\r\n"
_BLANK_BYTES: Final = _BLANKS.encode()
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_CARRIERS: Final = etree.XPath("//*[@* = $value]")
_EVERY: Final = f"{_D}*"
_SIGNATURE: Final = f"{_D}Signature"
_SIGNATURE_PARTS: Final = (f"{_D}SignedInfo", f"{_D}SignatureValue")
_KEY_INFO: Final = f"{_D}KeyInfo"
_METHODS: Final = (f"{_D}CanonicalizationMethod", f"{_D}SignatureMethod")
_REFERENCE: Final = (f"{_D}Reference",)
_DIGEST: Final = (f"{_D}DigestMethod", f"{_D}DigestValue")
_TRANSFORMED: Final = (f"{_D}Transforms", *_DIGEST)
_TRANSFORM: Final = (f"{_D}Transform",)
_SIGNATURE_VALUE: Final = f"{_D}SignatureValue"
_NONE: Final[list[str]] = []
_ALGORITHM: Final = ["Algorithm"]
_URI: Final = ["URI"]

Reference = Enveloped | ById


@fast_init
@dataclass(frozen=True, slots=True)
class SignatureParts:
    """The parts of a signature of the right shape; targets and digests in the order of the profile."""

    signature: etree._Element
    signed_info: etree._Element
    signature_value: bytes
    key_info: etree._Element | None
    targets: tuple[etree._Element, ...]
    digests: tuple[bytes, ...]


def pass_gate(root: etree._Element, profile: SignatureProfile) -> SignatureParts:
    """Check the shape of the document `root`, and return its signature's parts. Raises "unsigned", "structure" or
    "algorithm"."""
    # The list is kept to the end, so that lxml makes each element's object only once; every check below uses it again.
    every = list(root.iter(_EVERY))
    signature = _signature(root, profile, every)
    parts = _children(signature, _SIGNATURE_PARTS, optional=_KEY_INFO)
    signed_info = parts[0]
    signature_value = _base64(parts[1])
    key_info = parts[2] if len(parts) == 3 else None
    if key_info is not None:
        _check_key_info(key_info, profile)
    targets = tuple([target_of(root, reference) for reference in profile.references])
    digests = _read_signed_info(signed_info, profile, targets)
    return SignatureParts(signature, signed_info, signature_value, key_info, targets, digests)


def at(root: etree._Element, path: str) -> etree._Element:
    """The element at an absolute path. Each step of the path must exist exactly once."""
    return _at(root, steps(path), path)


def _at(root: etree._Element, names: tuple[str, ...], path: str) -> etree._Element:
    if root.tag != names[0]:
        raise ProtocolError("structure", f"the document is {root.tag!r}, not {names[0]}")
    element = root
    for name in names[1:]:
        found = list(element.iterchildren(name))
        if len(found) != 1:
            raise ProtocolError("structure", f"{len(found)} elements {name} on the path {path}, not one")
        element = found[0]
    return element


def target_of(root: etree._Element, reference: Reference) -> etree._Element:
    """The element that a reference of the profile means. The message cannot choose another; its id must be unique."""
    if isinstance(reference, Enveloped):
        return root
    target = at(root, reference.path)
    value = id_of(target, reference)
    if not _is_unique(root, target, value):
        raise ProtocolError("structure", f"the id of {reference.path} is not unique in the document")
    return target


def _is_unique(root: etree._Element, target: etree._Element, value: str) -> bool:
    """Whether no other attribute of the document has this value, whatever the attribute's name."""
    found = _CARRIERS(root, value=value)
    assert isinstance(found, list)
    return found == [target] and list(target.attrib.values()).count(value) == 1


def id_of(target: etree._Element, reference: ById) -> str:
    """The id that the target carries in the profile's attribute. Raises "structure" if it is not a valid id."""
    value = target.get(reference.attribute)
    if value is None or not _NAME.fullmatch(value):
        raise ProtocolError("structure", f"{reference.path} has no proper {reference.attribute}")
    return str(value)


def _signature(root: etree._Element, profile: SignatureProfile, every: list[etree._Element]) -> etree._Element:
    """The profile's own signature. Earlier signatures before it count as content; any other one is refused.

    `every`: all elements of the signature's namespace, in the document's order.
    """
    everywhere = [element.tag for element in every].count(_SIGNATURE)
    if not everywhere:
        raise ProtocolError("unsigned", "the document has no signature")
    if everywhere != profile.earlier + 1:
        raise ProtocolError(
            "structure", f"the document has {everywhere} signatures, and {profile.earlier + 1} are expected"
        )
    names = steps(profile.signature_path)
    name = names[-1]
    found = list(_at(root, names[:-1], "/".join(names[:-1])).iterchildren(name))
    if len(found) != everywhere:
        raise ProtocolError("structure", f"{len(found)} elements {name} on the path {profile.signature_path}")
    _attributes(found[-1], optional=("Id",))
    if not _holds_all(found, every):
        outside = len(every) - sum(sum(1 for _ in one.iter(_EVERY)) for one in found)
        raise ProtocolError("structure", f"{outside} signature elements outside the signature")
    if profile.earlier and found[-1].getnext() is not None:
        raise ProtocolError("structure", "something follows the last signature")
    return found[-1]


def _holds_all(found: list[etree._Element], every: list[etree._Element]) -> bool:
    """Whether each element of `every` is one of the signatures `found`, or is inside one.

    The contents of an element follow it without a gap in the document's order. So one signature contains all if it is
    the first of them and the last of them is inside it.
    """
    if len(found) == 1:
        signature, last = found[0], every[-1]
        return every[0] is signature and (last is signature or signature in last.iterancestors(_SIGNATURE))
    return sum(sum(1 for _ in one.iter(_EVERY)) for one in found) == len(every)


def _check_key_info(key_info: etree._Element, profile: SignatureProfile) -> None:
    for child in key_info:
        if child.tag not in profile.key_info:
            raise ProtocolError("structure", f"KeyInfo holds {child.tag!r}, which profile {profile.name} does not name")


def _read_signed_info(
    signed_info: etree._Element, profile: SignatureProfile, targets: tuple[etree._Element, ...]
) -> tuple[bytes, ...]:
    _attributes(signed_info)
    canonical, method, *found = _children(signed_info, _METHODS + _REFERENCE * len(profile.references))
    _algorithm(canonical, profile.c14n)
    _algorithm(method, profile.signature_method)
    wanted = {
        "" if isinstance(reference, Enveloped) else f"#{id_of(target, reference)}": number
        for number, (reference, target) in enumerate(zip(profile.references, targets, strict=True))
    }
    digests: dict[int, bytes] = {}
    for element in found:
        _attributes(element, _URI)
        number = wanted.pop(str(element.get("URI")), None)
        if number is None:
            raise ProtocolError(
                "structure", f"a reference to {element.get('URI')!r}, which is not allowed or occurs twice"
            )
        digests[number] = _read_reference(element, profile.references[number])
    return tuple([digests[number] for number in range(len(profile.references))])


def _read_reference(element: etree._Element, reference: Reference) -> bytes:
    if reference.transforms:
        transforms, method, value = _children(element, _TRANSFORMED)
        _attributes(transforms)
        for transform, wanted in zip(
            _children(transforms, _TRANSFORM * len(reference.transforms)), reference.transforms, strict=True
        ):
            _algorithm(transform, wanted)
    else:
        method, value = _children(element, _DIGEST)
    _algorithm(method, reference.digest)
    return _base64(value)


def _children(element: etree._Element, names: tuple[str, ...], optional: str = "") -> list[etree._Element]:
    """The children, which must have exactly these names in this order (and maybe the optional one last)."""
    children = list(element)
    tags = tuple([child.tag for child in children[: len(names) + 2]])
    if tags != names and not (optional and tags == (*names, optional)):
        raise ProtocolError(
            "structure", f"{element.tag!r} does not have exactly the content that profile and standard demand"
        )
    for between in [element.text, *[child.tail for child in children]]:
        if between is not None and between.strip(_BLANKS):
            raise ProtocolError("structure", f"text between the elements of {element.tag!r}")
    return children


def _attributes(element: etree._Element, names: list[str] = _NONE, optional: tuple[str, ...] = ()) -> None:
    present = element.keys()
    if present == names:
        return
    if not set(names) <= set(present) or set(present) - set(names) - set(optional):
        raise ProtocolError("structure", f"attributes of {element.tag!r} are not {', '.join(names) or 'none'}")


def _algorithm(element: etree._Element, wanted: str) -> None:
    _attributes(element, _ALGORITHM)
    if element.get("Algorithm") != wanted:
        raise ProtocolError("algorithm", f"{element.tag!r} names {element.get('Algorithm')!r}, not {wanted}")
    if len(element) or (element.text or "").strip(_BLANKS):
        raise ProtocolError("structure", f"{element.tag!r} has parameters, but the profile has none")


def _base64(element: etree._Element) -> bytes:
    _attributes(element, optional=("Id",) if element.tag == _SIGNATURE_VALUE else ())
    if len(element):
        raise ProtocolError("structure", f"{element.tag!r} has child elements, but only text is allowed")
    try:
        return base64.b64decode((element.text or "").encode("ascii").translate(None, _BLANK_BYTES), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("structure", f"{element.tag!r} is not Base64") from None
