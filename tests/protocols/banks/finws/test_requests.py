"""The tables of our requests check lengths before anything is signed, and name the row of README.md for each field."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from protocols.banks import finws
from protocols.banks.finws.names import OPERATIONS
from protocols.banks.finws.requests import FILE_REQUESTS, REQUESTS, FileRequest, FileWords, element
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import options, stage

README = (Path(finws.__file__).parent / "README.md").read_text("utf-8")


def asked(words: FileWords) -> FileRequest:
    return FileRequest("11111111", "TEST", "bankgw", "NONE", "2026-11-24T04:00:00Z", words)


def test_each_operation_has_a_table_and_each_field_a_row() -> None:
    assert tuple(FILE_REQUESTS) == OPERATIONS
    for table in REQUESTS:
        for one in table.fields:
            number = one.source.removeprefix("README.md ")[0]
            assert one.source.startswith("README.md ") and f"\n## {number}. " in README, one
            assert len(one.source) > len("README.md 2, "), one


def test_optional_fields_are_left_out_and_the_order_is_the_schema_s() -> None:
    names = [name for name, _ in FILE_REQUESTS["uploadFile"].texts(asked(FileWords("t", "N1", content="AAAA")))]
    assert names == [
        *("CustomerId", "Command", "Timestamp", "Environment", "UserFilename", "TargetId", "ExecutionSerial"),
        *("SoftwareId", "FileType", "Content"),
    ]
    words = FileWords("t", status="ALL", first=date(2026, 11, 24))
    assert ("StartDate", "2026-11-24") in FILE_REQUESTS["downloadFileList"].texts(asked(words))
    assert element("FileReferences", "1") == "<FileReferences><FileReference>1</FileReference></FileReferences>"


@pytest.mark.parametrize(
    ("operation", "words", "reason"),
    [
        ("uploadFile", FileWords("t", "N" * 33, content="AAAA"), "value"),
        ("uploadFile", FileWords("t" * 41, "N1", content="AAAA"), "value"),
        ("uploadFile", FileWords("t", "N1"), "missing"),
        ("downloadFile", FileWords("t"), "missing"),
        ("downloadFileList", FileWords(), "missing"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_signed(operation: str, words: FileWords, reason: str) -> None:
    made = stage()
    wire = finws.files(options()).wire
    with pytest.raises(ProtocolError) as refused:
        next(wire.request(operation, wire.turn(made.context()), words))
    assert refused.value.reason == reason
