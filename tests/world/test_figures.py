"""The figures on the pages about the proof equal those of the code."""

from __future__ import annotations

import pytest

from gateway.kernel.commit.payment_cache import IDS_KEPT
from gateway.kernel.commit.usage_totals import SUMS_KEPT
from gateway.kernel.core.flow import TABLE
from gateway.simbank.faults import BankFault
from tests.house import ROOT
from tests.world import corpus
from tests.world.deaths import places
from tests.world.living_story import HEARD_S
from tests.world.living_tampering import AT_ONCE, LEAST_GOING_ON
from tests.world.policies import BAD, GOOD

PLACES, POINTS = len(places()), len({place.point for place in places()})
REACHED = len(TABLE) - len(corpus.UNREACHABLE)
SECONDS = {7: "seven"}
FIGURES = {
    "exactly-once.md": (
        f"{len(BAD)} ways known to be wrong",
        f"{len(GOOD)} that are safe",
        f"{REACHED} of {len(TABLE)} rows",
        f"{len(BankFault)} of {len(BankFault)} kinds of faults",
        f"{PLACES} places",
    ),
    "exactly-once.zh.md": (
        f"{len(BAD)} 种已知错误",
        f"{len(GOOD)} 种安全",
        f"{len(TABLE)} 行中的 {REACHED} 行",
        f"{len(BankFault)} 种故障中的 {len(BankFault)} 种",
        f"{PLACES} 处",
    ),
    "simulation.md": (
        f"{POINTS} points make {PLACES} places",
        f"crash: {PLACES} points",
        f"A story has {AT_ONCE} alterations",
        f"more than {SECONDS[round(HEARD_S)]} seconds after its lane was paused",
        f"fewer than {LEAST_GOING_ON:.0%} go on".replace("%", " %"),
    ),
    "attacks.md": (f"the last {SUMS_KEPT:,} sums", f"the last {IDS_KEPT:,} order ids"),
}


@pytest.mark.parametrize("page", FIGURES)
def test_the_page_says_what_the_code_has(page: str) -> None:
    text = " ".join((ROOT / "docs" / "understand" / page).read_text("utf-8").split())
    missing = [figure for figure in FIGURES[page] if figure not in text]
    assert missing == []
