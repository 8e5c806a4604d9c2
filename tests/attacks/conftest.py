"""Starts the signature libraries for every attack."""

from __future__ import annotations

import pytest

from protocols.kit import dsig


@pytest.fixture(autouse=True, scope="session")
def _started() -> None:
    dsig.start()
