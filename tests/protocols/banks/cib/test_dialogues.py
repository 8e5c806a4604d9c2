"""The scenes in protocols/banks/cib/dialogues, played between the adapter and the bank's side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.simbank.ledger import LedgerAccount
from protocols.banks import cib
from tests.protocols.banks.cib.paper import show, stage
from tests.world.dialogue import BankAndTwin, Scene

SCENES = sorted((Path(cib.__file__).parent / "dialogues").glob("*.dlg"))
# The options of bank or adapter that a scene's name selects.
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fstmt": ({"lines": "FSTMT"}, {}),
    "approval": ({}, {"enable_sign": False}),
    "pending": ({}, {"word": "PENDING", "core": "1/Y"}),
    "realtime": ({"batch": "realtime"}, {}),
    "fast": ({"fast_pay": True}, {}),
    "log-on": ({}, {"password": "another"}),
}


def make(scene: Path, accounts: Sequence[LedgerAccount]) -> BankAndTwin:
    """The adapter and the bank's side of a scene."""
    empty: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    options, faults = next((made for name, made in SETTINGS.items() if name in scene.stem), empty)
    return stage(options, accounts, **faults)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path) -> None:
    assert Scene(scene, lambda accounts: make(scene, accounts), show).play() > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    wrong.write_text(SCENES[0].read_text("utf-8").replace("XFERPRCCODE  PAYOUT", "XFERPRCCODE  FAIL"), "utf-8")
    with pytest.raises(AssertionError, match="XFERPRCCODE"):
        Scene(wrong, lambda accounts: make(wrong, accounts), show).play()
