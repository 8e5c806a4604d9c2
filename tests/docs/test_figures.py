"""Figures that pages state about the proofs and the daemon equal those of the code."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

from gateway.bank.lease import LEASE_MS
from gateway.kernel.cluster.restored_database import LISTED
from gateway.kernel.commit.permit_log import SEGMENT_BYTES
from gateway.kernel.core.flow import TABLE
from gateway.simbank.faults import BankFault
from gateway.watch.watch import LOST_TICKS, TICK_S
from tests.house import texts
from tests.world.deaths import places
from tests.world.policies import BAD, GOOD

ROWS, FAULTS = len(TABLE), len(BankFault)
PLACES, POINTS = len(places()), len({place.point for place in places()})
UNDERSTAND = "docs/understand"

STATED = [
    (f"{UNDERSTAND}/exactly-once.md", f"{ROWS} of {ROWS} rows and {FAULTS} of {FAULTS} kinds of faults"),
    (
        f"{UNDERSTAND}/exactly-once.md",
        f"{len(BAD)} ways known to be wrong are each caught by name, {len(GOOD)} that are safe",
    ),
    (f"{UNDERSTAND}/exactly-once.md", f"{PLACES} places, each once"),
    (f"{UNDERSTAND}/exactly-once.md", f"a lease of {LEASE_MS // 1000} seconds"),
    (f"{UNDERSTAND}/exactly-once.zh.md", f"{ROWS} 行中的 {ROWS} 行、{FAULTS} 种故障中的 {FAULTS} 种"),
    (f"{UNDERSTAND}/exactly-once.zh.md", f"{len(BAD)} 种已知错误的做法各自被点名抓住，{len(GOOD)} 种安全的做法"),
    (f"{UNDERSTAND}/exactly-once.zh.md", f"{PLACES} 处，每处一次"),
    (f"{UNDERSTAND}/exactly-once.zh.md", f"{LEASE_MS // 1000} 秒的租约"),
    (f"{UNDERSTAND}/simulation.md", f"{POINTS} points make {PLACES} places"),
    (f"{UNDERSTAND}/simulation.md", f"`crash: {PLACES} points, 5 rounds, 0 duplicated, 0 lost`"),
    ("docs/do/restore.md", f"up to {LISTED:,} forgotten sends"),
    ("docs/do/restore.md", f"each {SEGMENT_BYTES >> 20} MiB"),
    (f"{UNDERSTAND}/glossary.md", f"({LEASE_MS // 1000} seconds, renewed)"),
]


@pytest.mark.parametrize(("page", "figure"), STATED)
def test_pages_state_the_figures_of_the_code(page: str, figure: str) -> None:
    assert figure in " ".join(texts()[page].split())


# The page rounds; versions and platforms of the packages differ by less than this share.
SIZE_DRIFT = 0.15


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _megabytes() -> float:
    """The size of the installed files of every package in the lock of the developers."""
    locked = {
        _name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", texts()["requirements/dev.txt"], re.MULTILINE)
    }
    found = {_name(one.name): one for one in distributions()}
    assert len(locked) > 50 and locked <= found.keys(), sorted(locked - found.keys())  # noqa: PLR2004
    files = [Path(str(one.locate())) for name in locked for one in found[name].files or ()]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_first_page_states_the_size_of_the_environment(page: str) -> None:
    [stated] = re.findall(r"\| `\.venv` \| (\d+) MB \|", texts()[page])
    assert abs(_megabytes() - int(stated)) <= SIZE_DRIFT * int(stated)


def test_a_lost_database_is_told_within_the_time_that_the_pages_promise() -> None:
    for page in (f"{UNDERSTAND}/failure-table.md",):
        assert "within 5 s `journal.unreachable`" in texts()[page]
    assert LOST_TICKS * TICK_S <= 5.0  # noqa: PLR2004
