"""Which earlier orders of a lane its release covers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.kernel.cluster import gaps, restored_database
from gateway.kernel.cluster.gaps import GapKind
from gateway.kernel.commit import lane_releases
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import LANE, NOW_MS
from tests.gateway.kernel.restored_node import Node


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Node]:
    made = Node(url, tmp_path / "permits")
    made.start()
    yield made
    made.kill()


def test_a_lane_released_without_a_list_of_its_sends_remembers_it_under_its_new_name(node: Node) -> None:
    """After a release without a list of sends, any order accepted earlier may be at the bank, so the lane remembers it.
    If the gap lists every send, the lane remembers nothing."""
    node.pay("a")

    def until_ms(lane: str) -> int:
        return node.journal.read(lambda conn: lane_releases.unlisted_until_ms(conn, lane))

    def release(lack: GapKind) -> None:
        gap = gaps.Gap(lack, "n1", (9, "a"), (1, "b"), 1, count=1, sends=(Permit(f"{LANE}/R1", 1, 1),))
        past = gaps.RestoreFindings(gap.sends, f"episode {lack}", gaps=(gap,))
        node.journal.do(lambda tx: restored_database.let_go(tx, LANE, past, "p"))

    release(GapKind.JOURNAL)
    assert until_ms(LANE) == 0
    release(GapKind.OTHERS)
    assert until_ms(LANE) == NOW_MS
    release(GapKind.RESTORED)
    assert until_ms(LANE) == NOW_MS, "a second release takes the place of the first"
    node.journal.do(lambda tx: restored_database.move_lane(tx, LANE, "sample.new"))
    assert until_ms(LANE) == 0 and until_ms("sample.new") == NOW_MS
    with node.journal.stranger() as conn:
        conn.execute(update(schema.past_cleared).values(at_ms=NOW_MS + 1))
    assert until_ms("sample.new") == 0, "a row that was altered says nothing"
