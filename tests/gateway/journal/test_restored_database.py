"""The permit log and the journal are compared both ways at every start, on every kind of database."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import delete, insert, update

from gateway.core.states import Answered, Cancel, Source
from gateway.journal.cluster import renames, restored_database
from gateway.journal.cluster.restored_database import Compared, Lack
from gateway.journal.commit import audit
from gateway.journal.commit.permit_log import Group, PermitLog, forgotten, read_back
from gateway.journal.commit.rows import Head, PaymentRow
from gateway.journal.commit.store import StoreFailed, Tx
from gateway.journal.sql import schema
from protocols.canon.outcome import Fate
from tests.gateway.journal.bench import LANE, NOW_MS, Journal, order, take_lane, vault

A = schema.audit.c


class Node:
    """A node with its permit log, over one database: `start` begins a life as the daemon does."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.journal: Journal
        self.log: PermitLog

    def start(self, name: str = "n1") -> Compared:
        self.log = PermitLog(self.folder, vault(), name)
        self.journal = Journal(self.url, name, permits=self.log)
        found = self.journal.read(lambda conn: restored_database.compare(conn, self.log.known, NOW_MS))
        restored_database.keep(self.log, found)
        return found

    def kill(self) -> None:
        self.journal.close()

    def again(self) -> Compared:
        self.kill()
        return self.start()

    def pay(self, id: str) -> None:
        self.journal.send(self.journal.admit(order(id)).row)

    def send_unlogged(self, row: PaymentRow) -> None:
        """Send as a life does that ends between the commit and the permit log."""
        with patch.object(self.log, "note"), patch.object(self.log, "write"):
            self.journal.send(row)

    def head(self) -> Head:
        return self.journal.read(lambda conn: audit.head_of(conn, "n1"))

    def entry(self, note: Callable[[Tx], None]) -> None:
        self.journal.do(note)


def lease(tx: Tx) -> None:
    audit.append(tx, "node:n1", "lane.leased", LANE)


TABLES = [schema.outbox, schema.work, schema.evidence, schema.attempts, schema.audit, schema.usage, schema.payees,
          schema.units, schema.lanes, schema.payments, schema.past_cleared]  # fmt: skip


def copy(journal: Journal) -> dict[str, list[dict[str, Any]]]:
    """Every row of the journal."""
    return journal.read(
        lambda conn: {table.name: [dict(row._mapping) for row in conn.execute(table.select())] for table in TABLES}
    )


def put_back(journal: Journal, rows: dict[str, list[dict[str, Any]]]) -> None:
    """The journal as it was when it was copied."""
    with journal.stranger() as conn:
        for table in TABLES:
            conn.execute(delete(table))
        for table in reversed(TABLES):
            if rows[table.name]:
                conn.execute(insert(table), rows[table.name])


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Node]:
    one = Node(url, tmp_path / "permits")
    assert one.start().past == restored_database.Past()
    yield one
    one.kill()


def test_lives_that_end_anywhere_raise_no_alarm(node: Node) -> None:
    for n in range(3):
        node.pay(f"a{n}")
        found = node.again()
        assert found.past == restored_database.Past() and found.new == () and found.explained is None


def test_the_last_group_may_be_missing_in_every_life(node: Node) -> None:
    """Killed between commit and log line, life after life: a send is in the journal and not in the log."""
    for n in range(3):
        row = node.journal.admit(order(f"a{n}")).row
        node.send_unlogged(row)
        assert node.again().past == restored_database.Past()


def test_a_group_without_entries_leaves_the_last_group_with_entries_the_last(node: Node) -> None:
    """A look whether the journal still writes may be the first thing a life does after a crash."""
    row = node.journal.admit(order("a")).row
    node.send_unlogged(row)
    node.journal.do(lambda tx: None)
    assert node.again().past == restored_database.Past()
    other = Journal(node.url, "n1")
    node.kill()
    other.do(lambda tx: None)
    other.close()
    assert node.start().past == restored_database.Past()


def test_lines_without_sends_that_a_power_loss_took_raise_no_alarm(node: Node) -> None:
    node.pay("a")
    [file] = node.folder.glob("*.log")
    synced = file.read_bytes()
    for n in range(4):
        node.journal.admit(order(f"b{n}"))
    node.kill()
    assert len(file.read_bytes()) > len(synced)
    file.write_bytes(synced)
    assert node.start().past == restored_database.Past()


def test_a_forgotten_send_is_found_and_stays_found(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    put_back(node.journal, old)
    found = node.again()
    [gap] = found.past.gaps
    assert (gap.lack, gap.count, gap.others, gap.entries) == (Lack.JOURNAL, 1, 1, 2)
    assert [send.ref.partition("/")[0] for send in found.past.sends] == [LANE] and found.past.holds(LANE)
    # Work goes on in safe mode, so the log's last head is known again: what is missing is not forgotten for that.
    node.journal.admit(order("c"))
    later = node.again()
    assert (later.past.gaps, later.past.episode, later.new) == ((gap,), found.past.episode, ())


@pytest.mark.parametrize("what", ["accepted", "cancelled"])
def test_a_journal_that_lost_no_send_is_found(node: Node, what: str) -> None:
    row = node.journal.admit(order("a")).row
    old = copy(node.journal)
    if what == "accepted":
        node.journal.admit(order("b"))
    else:
        node.journal.apply(row.payment, Cancel(NOW_MS), epoch=None)
        audit_of_user(node)
    put_back(node.journal, old)
    found = node.again()
    [gap] = found.past.gaps
    assert (gap.lack, gap.count, gap.others) == (Lack.JOURNAL, 0, 1)
    assert found.past.sends == () and found.past.holds(LANE)
    assert "1 of them words of senders and persons, and 0 sends" in gap.words()


def audit_of_user(node: Node) -> None:
    """The bench acts as a node; a person's word is noted under theirs."""
    node.entry(lambda tx: audit.append(tx, "uid:1", "order.cancelled", "x"))


def test_what_only_the_node_did_is_done_again_and_nobody_waits(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.entry(lease)
    put_back(node.journal, old)
    found = node.again()
    assert found.past == restored_database.Past() and found.harmless is not None and found.harmless.entries == 1
    assert node.again().harmless is None


def test_a_forked_journal_is_found(node: Node) -> None:
    """Another database of the same length: entries with other hashes under the numbers that the log knows."""
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    node.kill()
    put_back(node.journal, old)
    other = Journal(node.url, "n1")
    other.send(other.admit(order("z")).row)
    other.close()
    [gap] = node.start().past.gaps
    assert gap.lack is Lack.FORKED and (gap.count, gap.common) == (1, 2)


def test_the_right_journal_put_back_ends_it(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    right = copy(node.journal)
    put_back(node.journal, old)
    assert node.again().past.holds(LANE)
    node.entry(lease)
    put_back(node.journal, right)
    found = node.again()
    assert found.past == restored_database.Past() and found.harmless is not None
    put_back(node.journal, old)
    assert node.again().past.holds(LANE), "and the wrong one once more begins it anew"


def test_what_was_taken_in_meanwhile_is_missing_in_the_right_journal(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    right = copy(node.journal)
    put_back(node.journal, old)
    node.again()
    node.journal.admit(order("c"))
    put_back(node.journal, right)
    [gap] = node.again().past.gaps
    assert (gap.others, gap.count) == (1, 0)


@pytest.mark.parametrize("lost", ["removed", "older", "of another machine"])
def test_a_log_that_is_older_or_lost_is_found(node: Node, lost: str, tmp_path: Path) -> None:
    node.pay("a")
    node.again()
    shutil.copytree(node.folder, tmp_path / "old")
    node.pay("b")
    node.pay("c")
    node.kill()
    shutil.rmtree(node.folder)
    if lost == "older":
        (tmp_path / "old").rename(node.folder)
    elif lost == "of another machine":
        PermitLog(node.folder, vault(), "n2").close()
    found = node.start()
    [gap] = found.past.gaps
    assert gap.lack is (Lack.LOG if lost == "older" else Lack.NO_LOG)
    # The journal's last group is not held against the log.
    assert gap.count == (1 if lost == "older" else 2)
    assert len(gap.unlogged) == gap.count and found.past.holds(LANE)
    assert node.again().past.gaps == (gap,), "a restart does not lift it"


def test_a_new_node_of_an_old_journal_waits_for_nothing(node: Node, tmp_path: Path) -> None:
    node.pay("a")
    node.pay("b")
    other = Node(node.url, tmp_path / "other")
    assert other.start("n2").past == restored_database.Past()
    other.kill()


def test_a_node_of_another_name_is_still_held_against_its_log(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    node.kill()
    assert node.start("n9").past == restored_database.Past()
    node.kill()
    put_back(node.journal, old)
    # n9 wrote nothing: what n1 wrote is the last that the log knows.
    assert node.start("n9").past.gaps[0].node == "n1"


def test_a_life_that_another_process_ended_is_no_false_alarm(node: Node) -> None:
    node.pay("a")
    other = Journal(node.url, "n1")
    other.send(other.admit(order("b")).row)
    other.send(other.admit(order("c")).row)
    other.close()
    with pytest.raises(StoreFailed, match="another process writes"):
        node.journal.admit(order("d"))
    found = node.again()
    assert found.past == restored_database.Past() and found.explained is not None and found.explained.count == 1
    assert node.again().explained is None


def test_sends_of_the_log_of_versions_before_count(url: str, tmp_path: Path) -> None:
    lines = [f"{LANE}/OLD{n} 1 7".encode() for n in range(3)]
    (tmp_path / "permits.log").write_bytes(b"".join(b"%s %08x\n" % (line, zlib.crc32(line)) for line in lines))
    node = Node(url, tmp_path / "permits")
    found = node.start()
    assert [send.ref for send in found.past.sends] == [f"{LANE}/OLD{n}" for n in range(3)]
    node.journal.admit(order("a"))
    assert node.again().past.episode == found.past.episode
    node.kill()


def test_a_copy_older_than_the_window_is_found_all_the_same(node: Node) -> None:
    old = copy(node.journal)
    for day in range(1, 6):
        node.log.note(Group(day, f"{day:064x}", NOW_MS + day * 86_400_000))
    node.kill()
    for file in sorted(node.folder.glob("0*.log"))[:3]:
        file.unlink()
    put_back(node.journal, old)
    [gap] = node.start().past.gaps
    assert gap.partial and gap.counts


def test_two_persons_let_a_lane_go_for_what_is_missing_and_an_insert_does_not(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    put_back(node.journal, old)
    episode = node.again().past.episode
    forged = {"lane": LANE, "episode": episode, "proposal": "x", "at_ms": 1, "seal": None}
    with node.journal.stranger() as conn:
        conn.execute(insert(schema.past_cleared), forged)
    assert node.again().past.holds(LANE)
    with node.journal.stranger() as conn:
        conn.execute(update(schema.past_cleared).values(seal="0" * 64))
    assert node.again().past.holds(LANE)
    assert node.journal.do(lambda tx: restored_database.clear(tx, LANE, episode, "p"))
    assert not node.journal.do(lambda tx: restored_database.clear(tx, LANE, episode, "p"))
    assert not node.again().past.holds(LANE)
    with node.journal.stranger() as conn:
        conn.execute(update(schema.past_cleared).values(lane="sample.other"))
    found = node.again().past
    assert found.holds(LANE) and found.holds("sample.other"), "a row that was moved counts for no lane"


def test_only_sends_that_the_database_lacks_are_listed(node: Node) -> None:
    node.pay("a")
    row = node.journal.admit(order("b")).row
    node.journal.send(row)
    node.journal.apply(row.payment, Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT))
    assert node.journal.read(lambda conn: forgotten(conn, read_back(node.folder, vault()))) == []


def rename(node: Node, old: str, new: str) -> None:
    """As the command does it, while the node is stopped."""
    other = Journal(node.url, "n1.offline")
    other.do(lambda tx: renames.rename_lane(tx, old, new, "uid:1", "new name"))
    other.close()


RENAMED = "sample.second"


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
    assert node.start().past == restored_database.Past()
    node.kill()


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
    assert (found.by_lane(), [one.attempt for one in found.of_lane(RENAMED)], found.of_lane(LANE)) == ({RENAMED: 1}, [1], [])
    assert found.episode == episode and found.holds(RENAMED), "what two persons said of it still holds"
