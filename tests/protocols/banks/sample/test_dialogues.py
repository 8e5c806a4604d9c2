"""The dialogues, which a bank's engineer reads, are played and compared."""

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


def test_a_dialogue_names_the_accounts_of_a_payment_and_the_days_of_a_list(tmp_path: Path) -> None:
    file = tmp_path / "named.dlg"
    file.write_text(
        "account 0000000000000000033 甲 10.00\n"
        "do pay reference=SAMPLE00000000000001 amount=1.00 from=0000000000000000033 to=0000000000000000041\n"
        "we send Pay\n    DebtorAccount  0000000000000000033\n    CreditorAccount  0000000000000000041\n"
        "do lines account=0000000000000000033 from=2026-11-20 to=2026-11-23\n"
        "we send Entries\n    FirstDate  2026-11-20\n    LastDate  2026-11-23\n"
    )
    assert Scene(file, stage, show).play() == 2


def test_a_dialogue_that_is_not_true_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.dlg"
    file.write_text(
        "account 0000000000000000017 示例甲公司 10.00\ndo pay reference=SAMPLE00000000000001 amount=1.00\n"
        "bank answers 0000\n    Status  R\n"
    )
    with pytest.raises(AssertionError, match=r"wrong.dlg:3: bank answers 0000: .*Status was 'S'"):
        Scene(file, stage, show).play()
