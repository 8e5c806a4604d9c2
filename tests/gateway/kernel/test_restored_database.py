"""The permit log and the journal are compared both ways at every start, on every kind of database."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, delete, insert, select, update

from gateway.kernel.checkpoints import witness
from gateway.kernel.cluster import broker_holds, gaps, other_nodes, promotions, restored_database
from gateway.kernel.cluster.gaps import GapKind
from gateway.kernel.cluster.restored_database import Comparison
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.commit import audit, barred_persons, permit_log
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.permit_log import PermitLog, forgotten, read_back
from gateway.kernel.commit.rows import Permit
from gateway.kernel.commit.store import StoreFailed
from gateway.kernel.core.states import Answered, Cancel, Source
from gateway.kernel.sql import databases, schema
from protocols.canon.outcome import Fate
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order, take_lane, vault
from tests.gateway.kernel.restored_node import Node, copy, lease, put_back

A = schema.audit.c


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Node]:
    one = Node(url, tmp_path / "permits")
    assert one.start().past == gaps.RestoreFindings()
    yield one
    one.kill()


def test_lives_that_end_anywhere_raise_no_alarm(node: Node) -> None:
    for n in range(3):
        node.pay(f"a{n}")
        found = node.again()
        assert found.past == gaps.RestoreFindings() and found.new == () and found.explained is None


def test_the_last_group_may_be_missing_in_every_life(node: Node) -> None:
    """The process is killed between commit and log line, each time: one send is in the journal and not in the log."""
    for n in range(3):
        row = node.journal.admit(order(f"a{n}")).row
        node.send_unlogged(row)
        assert node.again().past == gaps.RestoreFindings()


def test_a_group_without_entries_leaves_the_last_group_with_entries_the_last(node: Node) -> None:
    """The first write of a process after a crash may be a test whether the journal still accepts writes."""
    row = node.journal.admit(order("a")).row
    node.send_unlogged(row)
    node.journal.do(lambda tx: None)
    assert node.again().past == gaps.RestoreFindings()
    other = Journal(node.url, "n1")
    node.kill()
    other.do(lambda tx: None)
    other.close()
    assert node.start().past == gaps.RestoreFindings()


def test_lines_without_sends_that_a_power_loss_took_raise_no_alarm(node: Node) -> None:
    node.pay("a")
    [file] = node.folder.glob("*.log")
    synced = file.read_bytes()
    for n in range(4):
        node.journal.admit(order(f"b{n}"))
    node.kill()
    assert len(file.read_bytes()) > len(synced)
    file.write_bytes(synced)
    assert node.start().past == gaps.RestoreFindings()


def test_a_forgotten_send_is_found_and_stays_found(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    put_back(node.journal, old)
    found = node.again()
    [gap] = found.past.gaps
    assert (gap.lack, gap.count, gap.others, gap.entries) == (GapKind.JOURNAL, 1, 1, 2)
    assert [send.ref.partition("/")[0] for send in found.past.sends] == [LANE] and found.past.holds(LANE)
    # Work goes on in SAFE MODE, so that the log's last head is known again; the missing entries are still remembered.
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
    assert (gap.lack, gap.count, gap.others) == (GapKind.JOURNAL, 0, 1)
    assert found.past.sends == () and found.past.holds(LANE)
    assert "1 of them words of senders and persons, and 0 sends" in gap.sentence()


def audit_of_user(node: Node) -> None:
    """The test bench acts as a node; a person's decision is recorded under the person's name."""
    node.entry(lambda tx: audit.append(tx, "uid:1", "order.cancelled", "x"))


def test_what_only_the_node_did_is_done_again_and_nobody_waits(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.entry(lease)
    put_back(node.journal, old)
    found = node.again()
    assert found.past == gaps.RestoreFindings() and found.harmless is not None and found.harmless.entries == 1
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
    assert gap.lack is GapKind.FORKED and (gap.count, gap.common) == (1, 2)


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
    assert found.past == gaps.RestoreFindings() and found.harmless is not None
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
    assert gap.lack is (GapKind.LOG if lost == "older" else GapKind.NO_LOG)
    # The journal's last group does not count against the log.
    assert gap.count == (1 if lost == "older" else 2)
    assert len(gap.unlogged) == gap.count and found.past.holds(LANE)
    assert node.again().past.gaps == (gap,), "a restart does not lift it"


def test_a_node_without_a_log_waits_where_others_have_sent(node: Node, tmp_path: Path) -> None:
    other = Node(node.url, tmp_path / "other")
    assert other.start("n2").past == gaps.RestoreFindings(), "nobody has sent yet"
    other.kill()
    node.pay("a")
    third = Node(node.url, tmp_path / "third")
    for _ in range(2):
        found = third.start("n3")
        [gap] = found.past.gaps
        assert (gap.lack, gap.unlogged) == (GapKind.OTHERS, ("n1",)) and found.past.holds(LANE)
        assert found.past.told == "", "the other nodes go on"
        third.kill()
    assert other.start("n2").past == gaps.RestoreFindings(), "its log has seen the journal before"
    other.kill()


def test_a_node_of_the_same_name_without_a_log_withdraws_no_gap(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    put_back(node.journal, old)
    past = node.again().past
    node.journal.do(lambda tx: restored_database.notice(tx, past))
    node.kill()
    shutil.rmtree(node.folder)
    for _ in range(2):
        found = node.start().past
        assert [gap.lack for gap in found.gaps if gap.log[1] == past.told] == [GapKind.FOUND_BEFORE]
        assert found.told and found.holds(LANE) and found.may_lack_sends(LANE)
        node.journal.do(partial(restored_database.notice, found=found))
        node.kill()
    node.start()


def test_a_peer_vouches_over_a_nonce_and_a_forger_does_not(node: Node, tmp_path: Path) -> None:
    node.pay("a")
    third = Node(node.url, tmp_path / "third")
    assert third.start("n3").past.is_newcomer
    third.journal.do(lambda tx: other_nodes.ask(tx, "nonce-1"))
    head = node.head()
    assert node.journal.do(lambda tx: other_nodes.answer(tx, {"n1": (head.seq + 9, "x" * 64)})) == [], "it disagrees"
    assert node.journal.do(lambda tx: other_nodes.answer(tx, {"n1": (head.seq, head.hash)})) == ["n3"]
    heard = third.journal.read(lambda conn: other_nodes.heard(conn, "n3", "nonce-1"))
    assert [(one.node, one.seq) for one in heard] == [("n1", head.seq)]
    assert third.journal.read(lambda conn: other_nodes.heard(conn, "n3", "another nonce")) == ()
    assert node.journal.do(lambda tx: other_nodes.answer(tx, {"n1": (head.seq, head.hash)})) == [], "answered already"
    third.log.see(heard)
    third.kill()
    assert third.start("n3").past == gaps.RestoreFindings(), "its log knows n1 now"
    M = schema.meta.c
    with node.journal.stranger() as conn:
        [value] = conn.execute(select(M.value).where(M.name == "say.n3")).scalars()
        conn.execute(update(schema.meta).where(M.name == "say.n3").values(value=value.replace(f"[{head.seq},", "[0,")))
    assert third.journal.read(lambda conn: other_nodes.heard(conn, "n3", "nonce-1")) == ()
    third.kill()


def test_a_head_of_another_node_that_was_seen_is_missed(node: Node, tmp_path: Path) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    other = Node(node.url, tmp_path / "other")
    other.start("n2")
    other.log.see(other.journal.read(lambda conn: restored_database.heads_of_others(conn, "n2")))
    other.kill()
    put_back(node.journal, old)
    found = other.start("n2")
    lost = [gap for gap in found.past.gaps if gap.node == "n1"]
    assert [gap.lack for gap in lost] == [GapKind.JOURNAL] and lost[0].partial and found.past.told
    other.kill()


def test_after_a_promotion_a_lane_waits_for_the_node_that_had_it(node: Node, tmp_path: Path) -> None:
    node.journal.do(lambda tx: take_lane(tx, LANE, "n1", 15_000))
    node.pay("a")
    other = Node(node.url, tmp_path / "other")
    other.start("n2")

    def waits() -> list[tuple[str, tuple[str, ...]]]:
        found = other.journal.read(lambda conn: promotions.waiting(conn, "n2", NOW_MS))
        return [(gap.node, gap.unlogged) for gap in found]

    with patch.object(databases, "incarnation", lambda _conn: "A"):
        assert waits() == [], "no server is known yet"
        other.journal.do(promotions.agree)
        assert waits() == [], "the first server that is known is no promotion"
    with patch.object(databases, "incarnation", lambda _conn: "B"):
        assert waits() == [("n1", (LANE,))]
        other.journal.do(promotions.agree)
        assert waits() == [("n1", (LANE,))], "one node does not speak for another"
        assert not other.journal.read(lambda conn: promotions.unsaid(conn, "n2"))
        assert node.journal.read(lambda conn: promotions.unsaid(conn, "n1"))
        node.journal.do(promotions.agree)
        assert waits() == []
        with node.journal.stranger() as conn:
            conn.execute(delete(schema.meta).where(schema.meta.c.name == "with.n1"))
        assert waits() == [("n1", (LANE,))]
        assert other.journal.read(lambda conn: promotions.waiting(conn, "n2", NOW_MS)), "and it holds that lane only"
        past = other.journal.read(lambda conn: restored_database.past_of(conn, promotions.waiting(conn, "n2", NOW_MS)))
        assert past.holds(LANE) and not past.holds("sample.other") and past.told == ""
    other.kill()


def test_a_server_says_which_it_is(node: Node) -> None:
    first = node.journal.read(databases.incarnation)
    assert first == node.journal.read(databases.incarnation)
    assert bool(first) is (not node.url.startswith("sqlite"))
    for other in (node.url.replace("mysql+", "mariadb+"), node.url.replace("mariadb+", "mysql+")):
        with create_engine(other).connect() as conn:
            assert databases.incarnation(conn) == first, "the two names of a driver mean one server"


def test_a_head_in_units_that_nobody_sealed_is_not_believed(node: Node) -> None:
    node.pay("a")
    with node.journal.stranger() as conn:
        conn.execute(update(schema.units).values(audit_seq=99))
    assert node.journal.read(lambda conn: restored_database.heads_of_others(conn, "n2")) == []


def test_a_lost_word_about_a_person_is_found_and_names_the_person(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.entry(lambda tx: audit.append(tx, "uid:1", "person.deactivated", "person:zhao", {"by": ["wang", "li"]}))
    put_back(node.journal, old)
    found = node.again().past
    assert found.barred == {"zhao"} and found.holds(LANE)
    assert "person.deactivated person:zhao by wang,li" in found.gaps[0].sentence()
    node.journal.do(lambda tx: restored_database.notice(tx, found))
    assert node.journal.read(barred_persons.barred) == {"zhao"}
    assert node.again().past.barred == {"zhao"}, "the record of the gap keeps it"
    node.journal.do(lambda tx: restored_database.notice(tx, gaps.RestoreFindings()))
    assert node.journal.read(barred_persons.barred) == frozenset()


def test_words_that_an_earlier_restore_lost_are_counted_once(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.entry(lambda tx: audit.append(tx, "uid:1", "person.deactivated", "person:zhao", {"by": ["wang", "li"]}))
    put_back(node.journal, old)
    first = node.again().past
    assert first.gaps[0].others == 1 and first.barred == {"zhao"}
    node.pay("b")
    right = copy(node.journal)
    # An older database runs for a while, and the node itself writes in it.
    put_back(node.journal, old)
    assert node.again().past.holds(LANE)
    node.entry(lease)
    put_back(node.journal, right)
    found = node.again()
    assert (found.past.gaps, found.new) == (first.gaps, ()) and found.harmless is not None
    assert found.past.episode == first.episode, "a release for the first gap holds"


def test_a_head_that_a_witness_keeps_shows_a_machine_that_was_put_back(node: Node, tmp_path: Path) -> None:
    """Journal and permit log come from one snapshot and agree. Only the head on another machine is newer."""
    node.pay("a")
    head = node.head()
    kept = tmp_path / "witness"
    kept.mkdir()

    def compared(seq: int, hashed: str) -> Comparison:
        (kept / "bankgw%2Fn1.json").write_text(json.dumps({"size": seq, "hash": hashed}), "utf-8")
        (kept / "bankgw%2Fn1.txt").write_text("all of them", "utf-8")
        outside = witness.kept_outside(kept)
        return node.journal.read(lambda conn: restored_database.compare(conn, node.log.known, NOW_MS, outside))

    assert compared(head.seq, head.hash).past == gaps.RestoreFindings()
    [gap] = compared(head.seq + 5, "f" * 64).past.gaps
    assert (gap.lack, gap.entries, gap.partial) == (GapKind.JOURNAL, 5, True)
    [gap] = compared(head.seq, "f" * 64).past.gaps
    assert gap.lack is GapKind.FORKED
    with pytest.raises(OSError, match="nowhere"):
        witness.kept_outside(tmp_path / "nowhere")
    assert witness.kept_outside(None) == []


def test_a_restored_database_says_so_to_whoever_starts_on_it(node: Node, tmp_path: Path) -> None:
    name, value = restored_database.restored_mark(vault(), "0" * 32, "a.db")
    with node.journal.stranger() as conn:
        conn.execute(insert(schema.meta), {"name": name, "value": value})
    other = Node(node.url, tmp_path / "other")
    episodes = {node.again().past.episode, other.start("n2").past.episode}
    assert len(episodes) == 1 and "" not in episodes, "one release holds on every node"
    other.kill()
    with node.journal.stranger() as conn:
        conn.execute(delete(schema.meta).where(schema.meta.c.name == name))
    assert node.again().past == gaps.RestoreFindings()


def test_the_brokers_mark_names_a_life_that_the_journal_must_have_to_its_end(node: Node) -> None:
    hold = node.journal.do(lambda tx: broker_holds.begin_life(tx, "host"))
    assert hold is not None
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    head = node.head()
    found = gaps.Gap(GapKind.MARK, "n1", (hold.fence, hold.whose), (head.seq, head.hash), 0, note="node n1")

    def missing() -> bool:
        over = node.journal.read(lambda conn: restored_database._is_over(conn, found))
        has = node.journal.read(lambda conn: other_nodes._has_life(conn, hold, (head.seq, head.hash)))
        assert over is has
        return not has

    assert not missing()
    put_back(node.journal, old)
    assert missing(), "the life is there, and the end of the audit chain that the mark names is not"
    later = dataclasses.replace(hold, since_ms=hold.since_ms + 1)
    assert not node.journal.read(lambda conn: other_nodes._has_life(conn, later, (0, "")))
    assert restored_database.parse_gap(found.record()) == found
    node.log.add_gap(found.record(), NOW_MS)
    past = node.again().past
    assert found in past.gaps and past.may_lack_sends(LANE) and "the broker's mark names a life" in found.sentence()


def test_only_a_gap_that_lists_every_send_tells_which_orders_are_unsent() -> None:
    send = Permit(f"{LANE}/R1", 1, 1)
    gap = gaps.Gap(GapKind.JOURNAL, "n1", (9, "a"), (1, "b"), 1, count=1, sends=(send,))
    assert gap.tells_all and not dataclasses.replace(gap, partial=True).tells_all
    assert not dataclasses.replace(gap, count=2).tells_all
    for lack in GapKind:
        expected = lack in (GapKind.JOURNAL, GapKind.FORKED, GapKind.NOT_SEALED)
        assert dataclasses.replace(gap, lack=lack).tells_all is expected, lack


def test_a_node_without_a_log_waits_for_the_mark_where_orders_wait(node: Node, tmp_path: Path) -> None:
    other = PermitLog(tmp_path / "other", vault(), "n2")
    assert not node.journal.read(lambda conn: restored_database.is_without_log(conn, other.known))
    node.journal.admit(order("a"))
    assert node.journal.read(lambda conn: restored_database.is_without_log(conn, other.known))
    own = permit_log.know(node.folder, vault(), "n1")
    assert not node.journal.read(lambda conn: restored_database.is_without_log(conn, own))
    mode = SafeMode([LANE])
    assert not mode.holds(LANE) and not mode.may_lack_sends(LANE) and not mode.is_over_for_all
    mode.unread = True
    assert mode.holds(LANE) and mode.may_lack_sends(LANE) and mode.reason
    over = SafeMode([LANE])
    over.let_go(LANE)
    assert over.is_over_for_all
    assert not SafeMode([]).is_over_for_all


def test_a_node_that_began_without_a_log_waits_for_the_mark_in_its_next_life_too(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    log = PermitLog(folder, vault(), "n2")
    restored_database.note_waiting(log)
    log.adopt(Group(3, "c" * 64, NOW_MS))
    log.close()
    known = permit_log.know(folder, vault(), "n2")
    assert known.tail.head is not None and restored_database.waits_for_mark(known)
    assert not node.journal.read(lambda conn: restored_database.is_without_log(conn, known)), "a log is there by now"
    assert all(
        gap.lack is not GapKind.UNREAD
        for gap in node.journal.read(lambda conn: restored_database.compare(conn, known, NOW_MS)).past.gaps
    )
    log = PermitLog(folder, vault(), "n2")
    restored_database.note_read(log)
    log.close()
    assert not restored_database.waits_for_mark(permit_log.know(folder, vault(), "n2"))


def test_a_node_of_another_name_is_still_held_against_its_log(node: Node) -> None:
    node.pay("a")
    old = copy(node.journal)
    node.pay("b")
    node.kill()
    assert node.start("n9").past == gaps.RestoreFindings()
    node.kill()
    put_back(node.journal, old)
    # n9 wrote nothing: the entries of n1 are the last that the log knows.
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
    assert found.past == gaps.RestoreFindings() and found.explained is not None and found.explained.count == 1
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
