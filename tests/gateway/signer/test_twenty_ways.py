"""A daemon that was taken over gets no signature in any of twenty ways, each refused for its own reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gateway.signer.patched_daemon import SignerSite
from tests.gateway.signer.twenty_ways import REASONS, WAYS, Way, try_way


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_it_signs_nothing(way: Way, make_site: Callable[..., SignerSite]) -> None:
    why = await try_way(way, make_site)
    assert f" {REASONS[way.__name__]}: " in why, why


def test_there_are_twenty() -> None:
    assert len(WAYS) == len(REASONS) == 20
