"""The scenes in protocols/banks/icbc/dialogues, played between the adapter and the bank's side."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks import icbc
from protocols.banks.icbc import twin
from tests.protocols.banks.icbc.paper import CODES, OPTIONS
from tests.world.dialogue import BankAndTwin, BankTime, Scene

SCENES = sorted((Path(icbc.__file__).parent / "dialogues").glob("*.dlg"))


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: its operation or RetCode, form fields in parentheses, elements, rows."""
    head, _, body = frame.partition(b"\r\n\r\n")
    first = head.splitlines()[0].decode()
    if b"INFOSEC_SIGN" in head:
        return "INFOSEC_SIGN", elements(body)
    if first.startswith("POST"):
        url = {key: value[0] for key, value in parse_qs(urlsplit(first.split()[1]).query).items()}
        form = {key: value[0] for key, value in parse_qs(body.decode(), encoding="gbk", keep_blank_values=True).items()}
        data = form.pop("reqData")
        inside = base64.b64decode(data) if not data.startswith("<?xml") else data.encode("gbk")
        shown = {f"(URL {key})": text for key, text in url.items()} | {f"({key})": text for key, text in form.items()}
        return form["TransCode"], shown | elements(inside)
    if body.startswith(b"reqData="):
        shown = elements(base64.b64decode(body[8:]))
        return shown["RetCode"], shown
    if b"<result>" in body:
        return body.partition(b"<result>")[2].partition(b"</result>")[0].decode(), {}
    return body.decode("gbk"), {"(HTTP)": first.split()[1]}


def elements(data: bytes) -> dict[str, str]:
    """The clear message, also from inside a signature."""
    clear = data[data.index(b"<CMS>") : data.index(b"</CMS>") + 6].decode("gb18030")
    shown: dict[str, str] = {}
    rows = 0
    for part in etree.fromstring(clear)[0]:
        for child in part:
            if child.tag == "rd":
                rows += 1
                shown |= {f"{rows}.{leaf.tag!s}": leaf.text or "" for leaf in child}
            else:
                shown[str(child.tag)] = child.text or ""
    return shown | {"(rows)": str(rows)}


def stage_of(name: str, accounts: Sequence[LedgerAccount]) -> BankAndTwin:
    """The adapter and the bank's side of a scene. The scene's name selects the bank's faults or the settings."""
    time = BankTime()
    options = {"codes": CODES, "work_date": "balance" if "work-date" in name else "clock"}
    side = {
        "faults": ["error_code_after_booking"] if "error-code" in name else [],
        "work_days_ahead": 1 if "work-date" in name else 0,
        "page_lines": 3,
    }
    adapter = icbc.build({**OPTIONS, "probe_account": "0000000000000000017", **options})
    return BankAndTwin(adapter, twin.build(side, {}), Ledger(time.now_ms, accounts), time)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path) -> None:
    assert Scene(scene, lambda accounts: stage_of(scene.stem, accounts), show).play() > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    text = SCENES[0].read_text("utf-8")
    assert "1.Result        7" in text
    wrong.write_text(text.replace("1.Result        7", "1.Result        6"), "utf-8")
    with pytest.raises(AssertionError, match=r"1\.Result"):
        Scene(wrong, lambda accounts: stage_of(wrong.stem, accounts), show).play()
