"""Error texts say what happened, without secrets and without forged log lines."""

from __future__ import annotations

import pytest

from protocols.kit.errors import REASONS, ProtocolError, harmless


def test_account_numbers_are_masked_and_short_numbers_are_not() -> None:
    error = ProtocolError("value", "account 0000020200001234567 of 20260105, amount 100.00")
    assert "0000020200001234567" not in str(error)
    assert str(error) == "value: account ***4567 of 20260105, amount 100.00"
    assert harmless("0000 0202 0000 1234 567") == "***4567"
    assert harmless("0000-0202-0000-1234") == "***1234"
    assert "4567890" not in harmless("x" * 1_990 + "1234567890123456789")
    assert error.args == ("value", error.text)


def test_nothing_unprintable_reaches_a_log() -> None:
    told = harmless("甲公司\nERROR paid \u202e001\u200b\x1b[2J")
    assert told.isprintable()
    assert told.startswith("甲公司\\nERROR")
    assert len(harmless("x" * 100_000)) == 2_000


def test_only_listed_reasons() -> None:
    assert "signature" in REASONS
    with pytest.raises(AssertionError):
        ProtocolError("whatever", "text")  # type: ignore[arg-type]
