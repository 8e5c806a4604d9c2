"""The source of a rule names what a bank's engineer can look up, never a file that the product has not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.jointtest.rule_sources import shown_source
from protocols.trial import banks
from tests.world.services import ROOT

SOURCE = re.compile(r'"((?:banks/)?[a-z]+\.md\b[^"\n{]*)["{]')


def sources(bank: str) -> set[str]:
    """Every source that the tables of a bank's own side name."""
    folder: Path = ROOT / "protocols" / "banks" / bank
    return {one for file in folder.glob("twin*.py") for one in SOURCE.findall(file.read_text("utf-8"))}


@pytest.mark.parametrize("bank", [bank for bank in banks() if bank not in ("sample", "finws")])
def test_every_source_of_a_bank_is_worded(bank: str) -> None:
    found = sources(bank)
    assert len(found) > 5
    for source in found:
        english, chinese = shown_source(source)
        assert ".md" not in english + chinese and english != chinese, (source, english)
        assert not re.search(r"(^|[:;] )[1-9](\.\d)?[,:] ", english), (source, english)


@pytest.mark.parametrize(
    ("source", "english", "chinese"),
    [
        (
            "pab.md 4, 4004: UseEx ≤30 Chinese chars; 5, purpose 30 chars",
            "银企直联 (B2Bi) interface, from public clients and their messages, operations: 4004: UseEx ≤30 Chinese chars; "
            "purpose 30 chars",
            "《银企直联（B2Bi）接口》，据公开客户端及其报文，交易接口：4004: UseEx ≤30 Chinese chars; purpose 30 chars",
        ),
        (
            "cmb.md A1",
            "guide of the 银企直联 front end 4.3.1, connection and session",
            "《银企直联前置机指南》4.3.1，通讯与会话",
        ),
        ("README.md 9: 20, type", "README.md 9: 20, type", "README.md 9: 20, type"),
    ],
)
def test_the_words(source: str, english: str, chinese: str) -> None:
    assert shown_source(source) == (english, chinese)
