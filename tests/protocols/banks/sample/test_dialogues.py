"""The dialogues that a bank's engineer reads are true."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.banks import sample
from tests.protocols.banks.sample.paper import show, stage
from tests.world.dialogue import Scene

FILES = sorted((Path(sample.__file__).parent / "dialogues").glob("*.dlg"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("verify", ["hand", "xmlsec"])
def test_dialogue(file: Path, verify: str) -> None:
    assert Scene(file, lambda accounts: stage(accounts, verify=verify), show).play() >= 4


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 7


def test_a_dialogue_that_is_not_true_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.dlg"
    file.write_text(
        "account 0000000000000000017 甲 10.00\ndo pay reference=SAMPLE00000000000001 amount=1.00\n"
        "bank answers 0000\n    Status  R\n"
    )
    with pytest.raises(AssertionError, match=r"wrong.dlg:3: bank answers 0000: .*Status was 'S'"):
        Scene(file, stage, show).play()
