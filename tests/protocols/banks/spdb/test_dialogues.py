"""The scenes in protocols/banks/spdb/dialogues, played between the adapter and the bank's side."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from lxml import etree

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks import spdb
from protocols.banks.spdb import twin
from tests.protocols.banks.spdb.paper import AUTHORISED, MASTER, OPTIONS, key_pem
from tests.world.dialogue import BankAndTwin, BankTime, Scene

SCENES = sorted((Path(spdb.__file__).parent / "dialogues").glob("*.dlg"))


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: its operation or result, head fields in parentheses, the clear body."""
    head, _, body = frame.partition(b"\r\n\r\n")
    found = re.search(rb"INFOSEC_(SIGN|VERIFY_SIGN)/1.0", head)
    if found is not None:
        clear = body if found.group(1) == b"SIGN" else inside(body)
        return found.group().decode().removesuffix("/1.0"), elements(clear)
    if b"<result>" in body:
        clear = body.partition(b"<sic>")[2].partition(b"</sic>")[0]
        return body.partition(b"<result>")[2].partition(b"</result>")[0].decode(), elements(clear) if clear else {}
    if not body[:6].strip().isdigit():
        return head.split()[1].decode(), {}
    root = etree.fromstring(body[6:].decode("gb18030").partition("?>")[2])
    fields = {f"({one.tag!s})": one.text or "" for one in root.find("head")}  # type: ignore[union-attr]
    fields["(length)"] = body[:6].decode()
    signature = root.findtext("body/signature")
    name = fields["(transCode)"] if b"masterID" in body else fields["(returnCode)"]
    if signature:
        return name, fields | elements(inside(signature.encode()))
    return name, fields | {str(one.tag): one.text or "" for one in root.iterfind("body/*")}


def inside(text: bytes) -> bytes:
    """The content of a CMS, whoever signed it."""
    info = cms.ContentInfo.load(base64.b64decode(text))
    content: bytes = info["content"]["encap_content_info"]["content"].native
    return content


def elements(data: bytes) -> dict[str, str]:
    """The clear body: its fields, and those of its rows with their numbers."""
    root = etree.fromstring(data.decode("gb18030"))
    rows = root.findall("lists/list")
    shown = {str(one.tag): one.text or "" for one in root if one.tag != "lists"}
    for number, row in enumerate(rows, 1):
        shown |= {f"{number}.{one.tag!s}": one.text or "" for one in row}
    return shown | {"(rows)": str(len(rows))}


def stage_of(name: str, accounts: Sequence[LedgerAccount]) -> BankAndTwin:
    """The stage of a scene. Its name selects the bank's faults or the settings. The front end verifies."""
    time = BankTime()
    ours: dict[str, Any] = {**OPTIONS, "probe_account": "0000000000000000017"}
    side: dict[str, Any] = {"master_id": MASTER}
    if "authoris" in name:
        ours |= AUTHORISED
        side["authorise_s"] = 60
    if "at-the-door" in name:
        side["faults"] = ["refuses_at_once"]
    if "waiting" in name:
        side["taken_status"] = "3"
    return BankAndTwin(spdb.build(ours), twin.build(side, {"bank": key_pem()}), Ledger(time.now_ms, accounts), time)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path) -> None:
    assert Scene(scene, lambda accounts: stage_of(scene.stem, accounts), show).play() > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    text = SCENES[0].read_text("utf-8")
    assert "1.transStatus  4" in text
    wrong.write_text(text.replace("1.transStatus  4", "1.transStatus  8"), "utf-8")
    with pytest.raises(AssertionError, match=r"1\.transStatus"):
        Scene(wrong, lambda accounts: stage_of(wrong.stem, accounts), show).play()
