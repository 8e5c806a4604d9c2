"""The scenes in protocols/banks/boc/dialogues, played between adapter and bank's side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.simbank.ledger import LedgerAccount
from protocols.banks import boc
from tests.protocols.banks.boc.paper import CODES, show, stage
from tests.world.dialogue import BankAndTwin, Scene

SCENES = sorted((Path(boc.__file__).parent / "dialogues").glob("*.dlg"))


def made(accounts: Sequence[LedgerAccount]) -> BankAndTwin:
    return stage(accounts=tuple(accounts), codes=CODES, terminal="E127000000001")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path) -> None:
    assert Scene(scene, made, show).play() > 1


def test_a_scene_that_says_otherwise_fails(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dlg"
    wrong.write_text(SCENES[1].read_text("utf-8").replace("fate=failed", "fate=settled"), "utf-8")
    with pytest.raises(AssertionError, match="fate is failed"):
        Scene(wrong, made, show).play()
