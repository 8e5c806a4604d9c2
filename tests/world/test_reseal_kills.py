"""The process that seals a journal anew is killed while payments go on: nothing is lost, unreadable or wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import reseal_kills


@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
)
def test_five_kills(kind: str, tmp_path: Path) -> None:
    found = reseal_kills.run(kind, tmp_path, 5)
    assert found, found.line()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
)
def test_fifty_kills(kind: str, tmp_path: Path) -> None:
    found = reseal_kills.run(kind, tmp_path, 50)
    print(found.line())
    assert found, found.line()
