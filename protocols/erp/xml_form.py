"""XML as this contract reads and writes it: the same names as JSON, in namespace `urn:bankgw:1`.

The form follows mechanically from the JSON form: the root element is the message type, a field is an element, an
array's items are `<item>`, a map's entries are `<entry key="...">`. Elements may come in any order. What a document
says is the JSON value it stands for; types and limits are checked there, so both forms have the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lxml import etree
from pydantic import BaseModel

from protocols.erp.json_form import MAX_DEPTH, Malformed
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el

NAMESPACE = "urn:bankgw:1"
_PREFIX = f"{{{NAMESPACE}}}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_ITEM, _ENTRY = f"{_PREFIX}item", f"{_PREFIX}entry"
_INTEGER = re.compile(r"-?[0-9]{1,9}\Z", re.ASCII)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a JSON value looks as XML: `object` has `fields`, `array` and `map` have `inner`."""

    kind: Literal["text", "integer", "boolean", "object", "array", "map"]
    fields: Mapping[str, Shape] | None = None
    inner: Shape | None = None


_TEXT = Shape("text")


@lru_cache(maxsize=128)
def shape(form: type[BaseModel]) -> Shape:
    """The shape of a message, from its class."""
    hints = get_type_hints(form)
    return Shape(
        "object", {field.alias or name: _shape(hints[name]) for name, field in form.model_fields.items()}
    )


def _shape(hint: Any) -> Shape:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _shape(next(part for part in inner if part is not NoneType))
    if origin is list or origin is tuple:
        return Shape("array", inner=_shape(inner[0]))
    if origin in (dict, Mapping):
        return Shape("map", inner=_shape(inner[1]))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return shape(hint)
    return Shape("boolean") if hint is bool else _TEXT


def parse(body: bytes, type_: str | None, form: type[BaseModel]) -> Any:
    """The JSON value that the document stands for. Raises Malformed.

    `type_` is the name the root element must have; None takes any. Document types, entities, comments and
    processing instructions are refused, and so is an element that comes twice.
    """
    try:
        root = xmldoc.parse(body.removeprefix(_BOM), UTF8, max_depth=MAX_DEPTH)
    except ProtocolError as error:
        raise Malformed(f"not usable XML: {error.text}") from None
    name = etree.QName(root)
    if name.namespace != NAMESPACE or (type_ is not None and name.localname != type_):
        raise Malformed(f"the root element must be {type_ or 'a message'} in namespace {NAMESPACE}")
    return _value(root, shape(form), {_XSI})


def _value(element: etree._Element, expected: Shape, allowed: set[str]) -> Any:
    strange = [str(name) for name in element.attrib if name not in allowed]
    if expected.kind in ("object", "map", "array"):
        _no_text(element)
    if expected.kind == "array" and not strange:
        return _items(element, expected)
    if expected.kind == "map" and not strange:
        return _entries(element, expected)
    if expected.kind == "object" or strange or len(element):
        return _object(element, expected, strange)
    return _leaf(element.text or "", expected)
