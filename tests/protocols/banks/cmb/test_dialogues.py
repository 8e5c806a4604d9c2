"""The scenes in protocols/banks/cmb/dialogues, played between adapter and bank's side over all three transports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks import cmb
from protocols.banks.cmb import twin
from tests.protocols.banks.cmb.paper import bank, show
from tests.world.dialogue import BankAndTwin, BankTime, Scene

SCENES = sorted((Path(cmb.__file__).parent / "dialogues").glob("*.dlg"))


def shown(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame of any of the three transports."""
    if frame.startswith((b"POST", b"HTTP")):
        frame = frame.partition(b"\r\n\r\n")[2]
    if frame.startswith(b"REQDATA="):
        frame = unquote_to_bytes(frame[8:].replace(b"+", b" "))
    return show(frame if frame.startswith(b"<") else frame[8:])


def played(scene: Path, transport: str) -> int:
    def stage(accounts: Sequence[LedgerAccount]) -> BankAndTwin:
        time = BankTime()
        side = twin.build({"transport": transport, "page_lines": 2, "login": "U0001"}, {})
        return BankAndTwin(bank(transport=transport), side, Ledger(time.now_ms, accounts), time)

    return Scene(scene, stage, shown).play()


@pytest.mark.parametrize("transport", ["http", "http-form", "socket"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path, transport: str) -> None:
    assert played(scene, transport) > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    wrong.write_text(SCENES[1].read_text("utf-8").replace("fate=duplicate", "fate=failed"), "utf-8")
    with pytest.raises(AssertionError, match="fate is duplicate"):
        played(wrong, "http")
