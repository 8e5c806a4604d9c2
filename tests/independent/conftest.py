"""One site for all clients that are not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.independent.site import Running, running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole gateway on real parts."""
    with running(tmp_path_factory.mktemp("independent")) as found:
        yield found
