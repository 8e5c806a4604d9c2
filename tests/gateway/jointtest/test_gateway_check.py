"""Bytes that were made up for a pack are not in the gateway's journal, and bytes that were left out are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.jointtest import evidence, pack
from gateway.jointtest.gateway_check import against_gateway
from gateway.jointtest.pack import signing_key
from gateway.jointtest.pack_check import OpenedPack, open_pack
from gateway.jointtest.player import keep
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
ORDER = "JT-abc123-1-001-1-1"
SENT, HEARD, LATE = b"<Pay/>", b"<Done/>", b"<Returned/>"
FOLDER = "evidence/R1-settles.payment-1"


def shown(octets: bytes, text: str | None = None) -> dict[str, Any]:
    """Bytes in the form of `orders show`; `text` where they are shown masked."""
    digest = hashlib.sha256(octets).hexdigest()
    return {"text": octets.decode() if text is None else text, "read_as": "UTF-8", "sha256": digest}


def moment(second: int, what: str, octets: bytes) -> dict[str, Any]:
    return {"at": (NOW + timedelta(seconds=second)).isoformat(), "what": what, "wire": shown(octets)}


JOURNAL = [moment(1, "sent", SENT), moment(2, "heard", HEARD)]


def packed(folder: Path, files: Mapping[str, bytes]) -> OpenedPack:
    """A pack of one case with one order, and these files of the gateway."""
    store = RunStore(folder, lambda: NOW + timedelta(seconds=9))
    store.open("abc123", "sample", ["settles.payment"])
    store.begin_round({})
    one = store.start("settles.payment")
    keep(folder / FOLDER / "command-1.json", b"{}")
    store.publishing(one, f"{one.name}-abc123-1", "payment.submit", [{"id": ORDER}], b"{}")
    for name, octets in files.items():
        keep(folder / FOLDER / name, octets)
    store.end(one, CaseFinding(CaseVerdict.PASSED, "settled", seen=SeenAt.BANK))
    written = pack.write_pack(folder, store.run, {}, {"bank": "sample"}, signing_key(folder / "key.pem"), NOW)
    return open_pack(written.file)


def name(number: int, what: str, end: str = "bin") -> str:
    return f"gateway-{ORDER}-{number:02d}-{what}-wire.{end}"


BOTH = {name(1, "sent"): SENT, name(2, "heard"): HEARD}


@pytest.mark.parametrize(
    ("files", "journal", "agreed", "complaints"),
    [
        (BOTH, JOURNAL, 2, []),
        (BOTH, [*JOURNAL, moment(90, "heard", LATE)], 2, []),
        ({**BOTH, name(2, "heard"): b"<Made/>"}, JOURNAL, 1, ["no such bytes of order JT-abc123"]),
        (BOTH, [JOURNAL[0], moment(1, "heard", LATE), JOURNAL[1]], 2, [r"a message \(heard\) of 2026-11-28 09:00:01"]),
        ({}, JOURNAL, 0, [r"a message \(sent\) of 2026-11-28 09:00:01"]),
        ({}, [], 0, []),
    ],
)
def test_the_pack_is_compared_message_by_message(
    tmp_path: Path, files: Mapping[str, bytes], journal: list[Any], agreed: int, complaints: list[str]
) -> None:
    asked: list[str] = []

    def lookup(order: str) -> Mapping[str, Any]:
        asked.append(order)
        return {"timeline": journal}

    found = against_gateway(packed(tmp_path, files), lookup)
    assert (found.agreed, len(found.differences), asked) == (agreed, len(complaints), [ORDER]), found
    for said, complaint in zip(found.differences, complaints, strict=True):
        assert re.search(complaint, said), said


def test_an_order_that_the_gateway_does_not_know_is_told(tmp_path: Path) -> None:
    found = against_gateway(packed(tmp_path, BOTH), lambda order: None)
    assert len(found.differences) == 2 and all("does not know order JT-abc123" in one for one in found.differences)


def test_masked_bytes_are_compared_by_the_hash_of_the_original(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    evidence._keep_wire(folder, name(1, "sent").removesuffix(".bin"), shown(SENT, "<P…/>"))
    assert (folder / name(1, "sent", "txt")).read_bytes() == "<P…/>".encode()
    opened = packed(tmp_path, {name(2, "heard"): HEARD})
    assert against_gateway(opened, lambda order: {"timeline": JOURNAL}).agreed == 2
    other = [moment(1, "sent", b"<Pay2/>"), JOURNAL[1]]
    invented, _left_out = against_gateway(opened, lambda order: {"timeline": other}).differences
    assert invented.startswith(f"{FOLDER}/{name(1, 'sent', 'txt')}.sha256: ")
