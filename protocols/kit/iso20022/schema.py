"""Strict validation against the schemas of `schemas/`; `schemas/origin.toml` names the source of each."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from lxml import etree

from protocols.kit.errors import ProtocolError, harmless
from protocols.kit.iso20022.names import VERSIONS

_FAULTS_MAX: Final = 50
_TOLD_MAX: Final = 5


@cache
def _schema(name: str) -> etree.XMLSchema:
    file = resources.files("protocols.kit.iso20022") / "schemas" / f"{name}.xsd"
    parser = etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False)
    return etree.XMLSchema(etree.fromstring(file.read_bytes(), parser))


def faults(root: etree._Element, name: str) -> tuple[str, ...]:
    """The faults of the document for message `name`, at most fifty sentences with their lines; () if it has none.

    Long numbers in them are masked. Raises KeyError for a message without a schema here.
    """
    schema = _schema(VERSIONS[name].name)
    if schema.validate(root):
        return ()
    return tuple(harmless(f"line {one.line}: {one.message}") for one in list(schema.error_log)[:_FAULTS_MAX])


def misfits(root: etree._Element) -> tuple[str, ...]:
    """The faults of a received document, as findings, because it is read all the same.

    At most five; () for a version without a schema here.
    """
    name = etree.QName(root).namespace or ""
    message = name.rpartition(":")[2]
    if message not in VERSIONS:
        return ()
    return tuple(f"does not fit the schema of {message}: {one}" for one in faults(root, message)[:_TOLD_MAX])


def must_fit(data: bytes, name: str) -> bytes:
    """`data` if it fits the schema of `name`. Raises ProtocolError "value" with the first fault."""
    root = etree.fromstring(data, etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False))
    found = faults(root, name)
    if found:
        raise ProtocolError("value", f"this {name} does not fit its schema: {found[0]}")
    return data
