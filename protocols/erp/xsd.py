"""The XSD of the XML form, made from the same classes as the JSON Schema by the rules of `xml_form`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree

from protocols.erp.json_schema import schema
from protocols.erp.messages import MESSAGES
from protocols.erp.xml_form import NAMESPACE
from protocols.kit.xmldoc import Markup, el

_TYPES = {"integer": "xs:int", "boolean": "xs:boolean"}
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def xsd() -> bytes:
    """The schema document of every message."""
    root = el(
        "xs:schema",
        {
            "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
            "xmlns": NAMESPACE,
            "targetNamespace": NAMESPACE,
            "elementFormDefault": "qualified",
            "version": "1",
        },
        [_message(schema(message)) for message in MESSAGES.values()],
    )
    return (_HEAD + _indented(root)).encode()


def _message(made: Mapping[str, Any]) -> Markup:
    definitions = made.get("$defs", {})
    forms = made.get("anyOf", [made])
    fields: dict[str, Any] = {}
    for form in forms:
        fields.update(form["properties"])
    required = set.intersection(*(set(form.get("required", ())) for form in forms))
    return el("xs:element", {"name": made["title"]}, _note(made), _all(fields, required, definitions))


def _all(fields: Mapping[str, Any], required: Iterable[str], definitions: Mapping[str, Any]) -> Markup:
    wanted = frozenset(required)
    inner = [_element(name, node, name in wanted, definitions) for name, node in fields.items()]
    return el("xs:complexType", el("xs:all", inner))


def _element(name: str, node: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]) -> Markup:
    attributes = {"name": name} if required else {"name": name, "minOccurs": "0"}
    plain = _resolved(node, definitions)
    return el("xs:element", attributes, _note(node), _type(plain, definitions))


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    # An object that may be null in JSON may be absent in XML.
    node = node["anyOf"][0] if "anyOf" in node else node
    return definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _kind(node: Mapping[str, Any]) -> str:
    kind = node.get("type", "string")
    # A field that may be null in JSON may be absent in XML.
    return str(kind[0] if isinstance(kind, list) else kind)


def _type(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Markup:
    kind = _kind(node)
    if kind == "object" and "properties" in node:
        return _all(node["properties"], node.get("required", ()), definitions)
    if kind == "object":
        return _map(node)
    if kind == "array":
        item = _type(_resolved(node["items"], definitions), definitions)
        occurs = {"minOccurs": str(node.get("minItems", 0)), "maxOccurs": str(node.get("maxItems", "unbounded"))}
        return el("xs:complexType", el("xs:sequence", el("xs:element", {"name": "item", **occurs}, item)))
    return _simple(node, _TYPES.get(kind, "xs:string"))


def _map(node: Mapping[str, Any]) -> Markup:
    extension = el(
        "xs:extension",
        {"base": "xs:string"},
        el("xs:attribute", {"name": "key", "use": "required", "type": "xs:string"}),
    )
    entry = el(
        "xs:element",
        {"name": "entry", "minOccurs": "0", "maxOccurs": str(node.get("maxProperties", "unbounded"))},
        el("xs:complexType", el("xs:simpleContent", extension)),
    )
    return el("xs:complexType", el("xs:sequence", entry))


def _simple(node: Mapping[str, Any], base: str) -> Markup:
    facets: list[Markup] = []
    values = [node["const"]] if isinstance(node.get("const"), str) else node.get("enum", ())
    facets.extend(el("xs:enumeration", {"value": value}) for value in values if value is not None)
    pattern = node.get("pattern")
    # The pattern of free text names characters by number, which XSD cannot do. XML forbids most of them anyway.
    if pattern is not None and "\\u" not in pattern:
        facets.append(el("xs:pattern", {"value": pattern.removeprefix("^").removesuffix("$")}))
    for name, facet in (
        ("minLength", "xs:minLength"),
        ("maxLength", "xs:maxLength"),
        ("minimum", "xs:minInclusive"),
        ("maximum", "xs:maxInclusive"),
    ):
        if name in node:
            facets.append(el(facet, {"value": str(node[name])}))
    return el("xs:simpleType", el("xs:restriction", {"base": base}, facets))


def _note(node: Mapping[str, Any]) -> Markup | None:
    text = node.get("description")
    return el("xs:annotation", el("xs:documentation", f"{text} {node.get('x-zh', '')}".strip())) if text else None


def _indented(root: Markup) -> str:
    tree = etree.fromstring(root)
    etree.indent(tree, space=" ")
    return etree.tostring(tree, encoding="unicode") + "\n"
