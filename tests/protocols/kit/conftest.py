"""Keys and the started signature stack for the tests of the kit."""

from __future__ import annotations

import pytest

from protocols.kit import dsig
from tests.protocols.kit.signing import KeyPair, key_pair


@pytest.fixture(autouse=True, scope="session")
def _started() -> None:
    dsig.start()


@pytest.fixture(scope="session")
def bank() -> KeyPair:
    """The bank whose key is pinned."""
    return key_pair("bank")


@pytest.fixture(scope="session")
def stranger() -> KeyPair:
    """A foreign key of the same quality."""
    return key_pair("stranger")
