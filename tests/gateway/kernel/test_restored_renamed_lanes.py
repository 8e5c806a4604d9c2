"""A log and an older database, of a node one of whose lanes was renamed since."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from gateway.kernel.cluster import gaps, renames
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import LANE, Journal, order, take_lane
from tests.gateway.kernel.restored_node import Node, copy, put_back

RENAMED = "sample.second"


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Node]:
    one = Node(url, tmp_path / "permits")
    assert one.start().past == gaps.RestoreFindings()
    yield one
    one.kill()


def rename(node: Node, old: str, new: str) -> None:
    """Rename as the command does, while the node is stopped."""
    other = Journal(node.url, "n1.offline")
    other.do(lambda tx: renames.rename_lane(tx, old, new, "uid:1", "new name"))
    other.close()


def test_sends_of_a_lane_that_was_renamed_since_are_not_forgotten(url: str, tmp_path: Path) -> None:
    """The log of the versions before is compared send by send, and has the name that the lane had then."""
    first = Journal(url, "n1")
    first.do(lambda tx: take_lane(tx, LANE, "n1", 0))
    sent = first.admit(order("a")).row
    first.send(sent)
    first.close()
    line = f"{LANE}/{sent.bank_ref} 1 1".encode()
    (tmp_path / "permits.log").write_bytes(b"%s %08x\n" % (line, zlib.crc32(line)))
    node = Node(url, tmp_path / "permits")
    rename(node, LANE, RENAMED)
    rename(node, RENAMED, "sample.third")
    assert node.start().past == gaps.RestoreFindings()
    node.kill()


@pytest.mark.parametrize("altered", [None, "sample.nowhere"], ids=["deleted", "altered"])
def test_a_former_name_that_sql_takes_away_hides_no_send_from_the_log(node: Node, altered: str | None) -> None:
    """The audit trail has the names as well, also those that a lane had two renames ago."""
    node.journal.do(lambda tx: take_lane(tx, LANE, "n1", 0))
    row = node.journal.admit(order("a")).row
    node.journal.send(row)
    node.kill()
    rename(node, LANE, RENAMED)
    rename(node, RENAMED, "sample.third")
    node.start()
    assert node.log.permitted(f"sample.third/{row.bank_ref}", 1)
    with node.journal.stranger() as conn:
        table = schema.lane_renames
        conn.execute(delete(table) if altered is None else table.update().values(lane=altered))
    node.again()
    assert node.log.permitted(f"sample.third/{row.bank_ref}", 1)
    node.kill()
    rename(node, "sample.third", "sample.fourth")
    node.start()
    assert node.log.permitted(f"sample.fourth/{row.bank_ref}", 1), "the next rename takes what is noted along"
    node.kill()
    if altered is not None:
        return
    rename(node, "sample.fourth", LANE)
    node.start()
    assert not node.log.permitted(f"sample.fourth/{row.bank_ref}", 1), "it is called as at first"
    assert node.log.permitted(f"{LANE}/{row.bank_ref}", 1)


def test_what_an_older_database_forgot_counts_for_the_present_name_of_its_lane(node: Node) -> None:
    node.journal.do(lambda tx: take_lane(tx, LANE, "n1", 0))
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    put_back(node.journal, old)
    episode = node.again().past.episode
    node.kill()
    rename(node, LANE, RENAMED)
    found = node.start().past
    assert (found.by_lane(), [one.attempt for one in found.of_lane(RENAMED)], found.of_lane(LANE)) == (
        {RENAMED: 1},
        [1],
        [],
    )
    assert found.episode == episode and found.holds(RENAMED), "what two persons said of it still holds"
