"""XML as this contract reads and writes it: with the same names as the JSON form, in namespace `urn:bankgw:1`.

The form follows mechanically from the JSON form: the root element is the message type, a field is an element, an
array's items are `<item>`, a map's entries are `<entry key="...">`. Elements may come in any order. A document is
converted into the JSON value that it represents. Types and limits are checked there, so both forms have the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lxml import etree
from pydantic import BaseModel, PlainValidator

from protocols.erp.json_form import MAX_DEPTH, Malformed, gbk_hint
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el

NAMESPACE = "urn:bankgw:1"
_PREFIX = f"{{{NAMESPACE}}}"
_ROOT_ATTRIBUTES = frozenset({"{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"})
_ITEM, _ENTRY = f"{_PREFIX}item", f"{_PREFIX}entry"
_INTEGER = re.compile(r"-?[0-9]{1,9}\Z", re.ASCII)
_BOM = b"\xef\xbb\xbf"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_NO_ATTRIBUTES: frozenset[str] = frozenset()
_KEY = frozenset({"key"})
_SHOWN_CHARS = 64
_MAX_NODES = 40_000
"""A full batch whose every item uses every field; the body's limit in bytes holds besides."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a JSON value as XML: `object` has `fields`, `array` and `map` have `inner`."""

    kind: Literal["text", "integer", "boolean", "object", "array", "map"]
    fields: Mapping[str, Shape] | None = None
    inner: Shape | None = None


_TEXT = Shape("text")


@lru_cache(maxsize=128)
def shape(form: type[BaseModel]) -> Shape:
    """The form of a message, from its class."""
    hints = get_type_hints(form, include_extras=True)
    return Shape("object", {field.alias or name: _shape(hints[name]) for name, field in form.model_fields.items()})


def _shape(hint: Any) -> Shape:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        # A scalar of the contract is read from a string, also where its value has another type: a duration becomes
        # seconds.
        return _TEXT if any(isinstance(part, PlainValidator) for part in inner[1:]) else _shape(inner[0])
    if origin in (Union, UnionType):
        return _shape(next(part for part in inner if part is not NoneType))
    if origin is list or origin is tuple:
        return Shape("array", inner=_shape(inner[0]))
    if origin in (dict, Mapping):
        return Shape("map", inner=_shape(inner[1]))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return shape(hint)
    if hint is bool:
        return Shape("boolean")
    return Shape("integer") if hint is int else _TEXT


def parse(body: bytes, type_: str | None, form: type[BaseModel]) -> Any:
    """The JSON value that the XML document represents. Raises Malformed.

    `type_` is the name the root element must have; None takes any. Document types, entities, comments and
    processing instructions are refused, and so is an element that comes twice.
    """
    try:
        root = xmldoc.parse(body.removeprefix(_BOM), UTF8, max_depth=MAX_DEPTH, max_nodes=_MAX_NODES)
    except ProtocolError as error:
        hint = gbk_hint(body) if error.reason == "charset" else ""
        raise Malformed(f"not usable XML: {error.text}{hint}") from None
    name = etree.QName(root)
    if name.namespace != NAMESPACE or (type_ is not None and name.localname != type_):
        raise Malformed(f"the root element must be {type_ or 'a message'} in namespace {NAMESPACE}")
    return _value(root, shape(form), _ROOT_ATTRIBUTES)


def _value(element: etree._Element, expected: Shape, allowed: frozenset[str]) -> Any:
    strange = [name for name in map(str, element.attrib) if name not in allowed]
    if strange and expected.kind in ("text", "integer", "boolean"):
        # A scalar with an attribute is not a scalar in JSON either. It is refused as the object that it looks like.
        return {f"@{name}": "" for name in strange}
    if expected.kind == "object" or strange or (len(element) and expected.kind not in ("array", "map")):
        return _object(element, expected.fields or {}, strange)
    if expected.kind == "array":
        _no_text(element)
        return [_value(child, _due(child, _ITEM, expected), _NO_ATTRIBUTES) for child in element]
    if expected.kind == "map":
        return _entries(element, expected)
    return _leaf(element.text or "", expected)


def _object(element: etree._Element, fields: Mapping[str, Shape], strange: list[str]) -> dict[str, Any]:
    _no_text(element)
    read: dict[str, Any] = {f"@{name}": "" for name in strange}
    for child in element:
        tag = str(child.tag)
        name = tag.removeprefix(_PREFIX)
        if name in read:
            raise Malformed(f"the element {name[:_SHOWN_CHARS]!r} occurs twice in one parent")
        # A name of another namespace keeps its braces, so it is unknown and the fault shows why.
        read[name] = _value(child, fields.get(name, _TEXT) if name != tag else _TEXT, _NO_ATTRIBUTES)
    return read


def _entries(element: etree._Element, expected: Shape) -> dict[str, Any]:
    _no_text(element)
    read: dict[str, Any] = {}
    for child in element:
        inner, key = _due(child, _ENTRY, expected), child.get("key")
        if key is None or key in read:
            raise Malformed("each entry needs a key of its own")
        read[key] = _value(child, inner, _KEY)
    return read


def _due(child: etree._Element, tag: str, expected: Shape) -> Shape:
    if child.tag != tag:
        raise Malformed(f"only <{etree.QName(tag).localname}> elements of {NAMESPACE} are allowed here")
    assert expected.inner is not None, "an array or map has an inner shape"
    return expected.inner


def _leaf(text: str, expected: Shape) -> Any:
    if expected.kind == "integer" and _INTEGER.match(text):
        return int(text)
    if expected.kind == "boolean" and text in _BOOLEANS:
        return _BOOLEANS[text]
    return text


def _no_text(element: etree._Element) -> None:
    for text in (element.text, *(child.tail for child in element)):
        if text and text.strip(" \t\r\n"):
            raise Malformed(f"text between the elements of {etree.QName(element).localname[:_SHOWN_CHARS]!r}")


def xml_document(type_: str, value: Mapping[str, Any], form: type[BaseModel]) -> bytes:
    """The XML document for a JSON value of this message. A field that is absent or null in JSON is left out.

    Raises ProtocolError on a character XML cannot carry; the contract's texts have none.
    """
    inner = _fields(value, shape(form).fields or {})
    return xmldoc.build(el(type_, {"xmlns": NAMESPACE}, inner), UTF8)


def _fields(value: Mapping[str, Any], fields: Mapping[str, Shape]) -> list[Markup]:
    return [_element(name, inner, fields.get(name, _TEXT)) for name, inner in value.items() if inner is not None]


def _element(name: str, value: Any, expected: Shape) -> Markup:
    if expected.kind == "object":
        return el(name, _fields(value, expected.fields or {}))
    if expected.kind == "array":
        return el(name, [_element("item", item, expected.inner or _TEXT) for item in value])
    if expected.kind == "map":
        return el(name, [el("entry", {"key": key}, str(item)) for key, item in value.items() if item is not None])
    return el(name, str(value).lower() if isinstance(value, bool) else str(value))
