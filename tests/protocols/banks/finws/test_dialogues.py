"""The dialogues, which a bank's engineer reads, are played and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.banks import finws
from tests.protocols.banks.finws.paper import show, stage
from tests.world.dialogue import Scene

FILES = sorted((Path(finws.__file__).parent / "dialogues").glob("*.dlg"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_dialogue(file: Path) -> None:
    assert Scene(file, stage, show).play() >= 4


@pytest.mark.parametrize("profile", ["op", "samlink"])
def test_the_refusal_is_the_same_at_other_kinds_of_bank(profile: str) -> None:
    assert Scene(FILES[1], lambda accounts: stage(accounts, adapter={"profile": profile}), show).play() >= 4


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 6
