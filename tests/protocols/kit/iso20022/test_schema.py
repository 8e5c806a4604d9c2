"""The schemas are those of the stated origin, and they are used."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources

import pytest

from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import schema, transfer
from protocols.kit.iso20022.names import VERSIONS, version_of
from tests.protocols.kit.iso20022.paper import changed, transfer_file, tree

FOLDER = resources.files("protocols.kit.iso20022") / "schemas"


def test_every_schema_has_its_origin_and_every_version_a_schema() -> None:
    origin = tomllib.loads((FOLDER / "origin.toml").read_text("utf-8"))
    files = {one.name for one in FOLDER.iterdir() if one.name.endswith(".xsd")}
    assert files == {f"{name}.xsd" for name in origin} == {f"{name}.xsd" for name in VERSIONS}
    for name, row in origin.items():
        assert hashlib.sha256((FOLDER / f"{name}.xsd").read_bytes()).hexdigest() == row["sha256"], name
        assert row["package"] and row["licence"]


@pytest.mark.parametrize("name", VERSIONS)
def test_every_schema_refuses_an_empty_message(name: str) -> None:
    version = VERSIONS[name]
    empty = tree(f'<Document xmlns="{version.namespace}"><{version.child}/></Document>'.encode())
    assert schema.faults(empty, name)


def test_faults_name_the_line_and_mask_numbers() -> None:
    root = changed(transfer.write_transfers(transfer_file()), "<IBAN>FI2112345600000785<", "<IBAN>0000123456789012345<")
    found = schema.faults(root, "pain.001.001.09")
    assert found and found[0].startswith("line ")
    assert "0000123456789012345" not in " ".join(found)


@pytest.mark.parametrize(
    "root",
    [
        "<Document/>",
        '<Doc xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"/>',
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"/>',
    ],
)
def test_what_is_no_message_of_ours(root: str) -> None:
    with pytest.raises(ProtocolError) as error:
        version_of(tree(root.encode()))
    assert error.value.reason == "structure"


@pytest.mark.parametrize(
    ("name", "modern"),
    [("pain.002.001.10", True), ("camt.053.001.04", False), ("camt.054.001.13", True), ("pain.001.001.06", False)],
)
def test_versions_without_a_schema_are_read_by_the_names_of_their_time(name: str, modern: bool) -> None:
    assert version_of(tree(f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{name}"/>'.encode())).modern is modern
