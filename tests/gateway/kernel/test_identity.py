"""The duplicate check: every order ever accepted is found, among very many, at once."""

from __future__ import annotations

import pytest

from tests.gateway.kernel import identity


def test_an_order_is_found_among_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert identity.main(20_000, 200) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("identity: 20,000 keys, ")


def test_a_slow_memory_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LIMIT_MS", 0.0)
    assert identity.main(1_000, 20) == 1
