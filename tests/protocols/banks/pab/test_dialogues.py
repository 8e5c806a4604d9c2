"""The scenes in protocols/banks/pab/dialogues, played between the adapter and the bank's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from lxml import etree

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks import pab
from protocols.banks.pab import twin
from tests.protocols.banks.pab.paper import ENTERPRISE
from tests.world.dialogue import BankAndTwin, BankTime, Scene

SCENES = sorted((Path(pab.__file__).parent / "dialogues").glob("*.dlg"))
HEADER = {
    "(企业代码)": (10, 30),
    "(报文编码)": (6, 8),
    "(通讯协议)": (8, 10),
    "(服务类型)": (51, 53),
    "(流水号)": (67, 87),
    "(接收报文长度)": (30, 40),
    "(返回描述)": (93, 193),
}


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: its operation or code, header fields, elements, rows."""
    shown = {name: frame[start:end].decode("gbk").strip() for name, (start, end) in HEADER.items()}
    if frame[222:]:
        rows = 0
        for child in etree.fromstring(frame[222:].decode("gbk").partition("?>")[2]):
            if child.tag == "list":
                rows += 1
                shown |= {f"{rows}.{leaf.tag!s}": leaf.text or "" for leaf in child}
            else:
                shown[str(child.tag)] = child.text or ""
    is_answer = frame[93:94] == b":"
    return frame[87:93].decode().strip() if is_answer else frame[40:46].decode().strip(), shown


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path) -> None:
    style = "4008" if "4008" in scene.stem else "4013"

    def stage(accounts: Sequence[LedgerAccount]) -> BankAndTwin:
        time = BankTime()
        adapter = pab.build({"enterprise_code": ENTERPRISE, "today_lines": style})
        return BankAndTwin(adapter, twin.build({}, {}), Ledger(time.now_ms, accounts), time)

    assert Scene(scene, stage, show).play() > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    wrong.write_text(SCENES[0].read_text("utf-8").replace("Stt               20", "Stt               30"), "utf-8")

    def stage(accounts: Sequence[LedgerAccount]) -> BankAndTwin:
        time = BankTime()
        adapter = pab.build({"enterprise_code": ENTERPRISE})
        return BankAndTwin(adapter, twin.build({}, {}), Ledger(time.now_ms, accounts), time)

    with pytest.raises(AssertionError, match="Stt"):
        Scene(wrong, stage, show).play()
