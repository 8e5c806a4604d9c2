"""Registers: an altered, older or deleted row of persons, delegations, policies, stops, pauses and proposals has no
effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from gateway.approvals.rows import approval_policies
from gateway.kernel.checkpoints import audit_purge
from gateway.kernel.cluster import lane_pauses, stops
from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.audit import AuditBase
from gateway.kernel.commit.store import StoreFailed
from gateway.kernel.commit.unsealed_rows import seal_page
from gateway.kernel.sql import schema
from gateway.people.rows import delegations, entitlements, password_factors, persons, proposals
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rows.persons import No, Person
from gateway.people.rows.proposals import Proposal, ProposalKind, ProposalState
from gateway.people.rules.grants import parse
from gateway.people.rules.lockouts import SignInAttempts
from gateway.wiring import SEALINGS
from tests.gateway.kernel.bench import NOW_MS, Journal
from tests.gateway.people.test_people import people, week
from tests.world.scenes_seals import altered_long_ago

LOOSE, STRICT = "CNY 0.. 1", "CNY 0.. 2"
_A = schema.audit.c


@pytest.fixture
def lived(url: str) -> Iterator[Journal]:
    """A journal with changed people, policies, stop and pause; `older` has an older row of each."""
    made = Journal(url)
    people(made, wang="supervisor@*", li="viewer@*", zhao="approver@*")
    made.do(lambda tx: approval_policies.put_in_force(tx, LOOSE, "p"))
    made.do(lambda tx: stops.say(tx, "user:wang", "drill", stopped=True))
    made.do(lambda tx: stops.say(tx, "user:wang", "over", stopped=False))
    made.do(lambda tx: lane_pauses.say(tx, "a", "user:wang", paused=False, detail={}))
    yield made
    made.close()


def rows(journal: Journal, table: Any) -> list[dict[str, Any]]:
    return journal.read(lambda conn: [dict(row._mapping) for row in conn.execute(select(table))])


def put_back(journal: Journal, table: Any, old: list[dict[str, Any]]) -> None:
    with journal.stranger() as conn:
        conn.execute(delete(table))
        conn.execute(insert(table), old)


def hide_words(journal: Journal, name: str, count: int, *, delete_them: bool) -> None:
    """Alter the last entries of a register in the audit trail, as somebody without the key can."""
    with journal.stranger() as conn:
        mine = (_A.object_id == f"row:{name}", _A.entry == registers.ENTRY)
        last = conn.execute(select(_A.node, _A.seq).where(*mine).order_by(_A.seq.desc()).limit(count)).all()
        for node, seq in last:
            where = (_A.node == node, _A.seq == seq)
            conn.execute(
                delete(schema.audit).where(*where)
                if delete_them
                else update(schema.audit).where(*where).values(object_id="nothing")
            )


def again(journal: Journal) -> Journal:
    """Start the next process of the node."""
    journal.committer.close()
    life = Journal(journal.url)
    life.committer.open()
    return life


def demote(journal: Journal, name: str) -> list[dict[str, Any]]:
    before = rows(journal, schema.persons)
    found = journal.read(lambda conn: persons.of_name(conn, name))
    assert found is not None
    journal.do(lambda tx: persons.change(tx, replace(found, grants=parse("viewer@*")), "person.roles_changed", "x", {}))
    return before


def test_an_older_row_of_a_person_cannot_act(lived: Journal) -> None:
    older = demote(lived, "zhao")
    put_back(lived, schema.persons, older)
    life = again(lived)
    said = life.read(lambda conn: entitlements.of_name(conn, "zhao", NOW_MS))
    assert isinstance(said, No)
    assert said.code == "altered"
    assert "persons/zhao" in registers.altered(life.vault)
    # Removing the person writes a new audit entry: somebody can enrol under the name again.
    life.do(lambda tx: persons.remove(tx, "zhao", "altered", "uid:0"))
    assert isinstance(life.do(partial(persons.enrol, name="zhao", uid=3002, key=b"N" * 32, actor="x")), Person)
    assert registers.altered(life.vault) == ()
    life.close()


@pytest.mark.parametrize("delete_them", [True, False])
def test_an_older_row_with_its_later_words_hidden_is_noticed_at_the_next_start(
    lived: Journal, delete_them: bool
) -> None:
    older = demote(lived, "zhao")
    put_back(lived, schema.persons, older)
    hide_words(lived, "persons/zhao", 1, delete_them=delete_them)
    if delete_them:
        with pytest.raises(StoreFailed, match="audit trail of node 'n1' was altered"):
            again(lived)
        return
    with pytest.raises(StoreFailed, match="its entry .* was altered"):
        again(lived)
    with altered_long_ago():
        life = again(lived)
    assert isinstance(life.read(lambda conn: entitlements.of_name(conn, "zhao", NOW_MS)), No)
    life.close()


def test_no_person_of_root_is_let_in_because_an_administrator_was_deleted(lived: Journal) -> None:
    with lived.stranger() as conn:
        conn.execute(delete(schema.persons))
    life = again(lived)
    there = life.read(persons.everyone)
    assert [one.state for one in there] == ["altered"] * 3
    assert not persons.ceremony_open(there)
    life.close()


def test_a_deleted_delegation_still_makes_two_persons_one(lived: Journal) -> None:
    made = lived.do(lambda tx: delegations.delegate(tx, week("wang", "li"), "leave", "uid:wang"))
    assert isinstance(made, DelegationRow)
    with lived.stranger() as conn:
        conn.execute(delete(schema.delegations))
    life = again(lived)
    assert life.read(lambda conn: entitlements.one_seat(conn, "li", "wang", NOW_MS))
    li = life.read(lambda conn: entitlements.of_name(conn, "li", NOW_MS))
    assert not isinstance(li, No)
    assert "supervisor" not in li.grants.text()
    assert isinstance(life.do(lambda tx: delegations.end(tx, made.delegation, "li", "x", "x")), DelegationRow)
    assert not life.read(lambda conn: entitlements.one_seat(conn, "li", "wang", NOW_MS))
    life.close()


def test_a_delegation_that_ended_does_not_come_back(lived: Journal) -> None:
    made = lived.do(lambda tx: delegations.delegate(tx, week("wang", "li"), "leave", "uid:wang"))
    assert isinstance(made, DelegationRow)
    older = rows(lived, schema.delegations)
    lived.do(lambda tx: delegations.end(tx, made.delegation, "wang", "back", "x"))
    put_back(lived, schema.delegations, older)
    life = again(lived)
    assert life.read(lambda conn: delegations.in_force(conn, NOW_MS)) == []
    life.close()


def gone(table: Any) -> Callable[[Journal], None]:
    def newest(journal: Journal) -> None:
        key = next(iter(table.primary_key.columns))
        with journal.stranger() as conn:
            last = conn.execute(select(key).order_by(key.desc()).limit(1)).scalar_one()
            conn.execute(delete(table).where(key == last))

    return newest


@pytest.mark.parametrize("hidden", [0, 1])
def test_an_older_policy_does_not_rule_when_the_newest_is_deleted(lived: Journal, hidden: int) -> None:
    lived.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "q"))
    gone(schema.approval_policies)(lived)
    hide_words(lived, "approval_policies", hidden, delete_them=True)
    if hidden:
        with pytest.raises(StoreFailed, match="audit trail of node 'n1' was altered"):
            again(lived)
        return
    life = again(lived)
    found = life.read(approval_policies.last)
    assert found is not None
    assert found.policy.altered
    assert life.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "r")) is not None
    after = life.read(approval_policies.last)
    assert after is not None
    assert (after.policy.altered, after.policy.version) == ("", 3)
    life.close()


def test_a_deleted_stop_is_a_stop(lived: Journal) -> None:
    lived.do(lambda tx: stops.say(tx, "user:wang", "money is missing", stopped=True))
    gone(schema.stops)(lived)
    life = again(lived)
    assert life.read(stops.last).stopped
    life.do(lambda tx: stops.say(tx, "user:wang", "looked at", stopped=False))
    assert not life.read(stops.last).stopped
    life.close()


@pytest.mark.parametrize("hidden", [0, 9])
def test_no_stop_at_all_is_a_stop_if_there_was_one(lived: Journal, hidden: int) -> None:
    with lived.stranger() as conn:
        conn.execute(delete(schema.stops))
    hide_words(lived, "stops", hidden, delete_them=False)
    with altered_long_ago():
        life = again(lived)
    assert life.read(stops.last).stopped
    life.close()


@pytest.mark.parametrize("value", [None, "nonsense", "{}", '{"a": [1, false]}'])
def test_a_pause_stays_whatever_its_row_says(lived: Journal, value: str | None) -> None:
    lived.do(lambda tx: lane_pauses.say(tx, "a", "user:wang", paused=True, detail={}))
    meta = schema.meta
    with lived.stranger() as conn:
        mine = meta.c.name == "pauses"
        conn.execute(delete(meta).where(mine) if value is None else update(meta).where(mine).values(value=value))
    life = again(lived)
    assert life.read(lambda conn: lane_pauses.said(conn, ["a"]))["a"].paused
    life.do(lambda tx: lane_pauses.say(tx, "a", "user:wang", paused=False, detail={}))
    assert not life.read(lambda conn: lane_pauses.said(conn, ["a"]))["a"].paused
    life.close()


def test_a_proposal_is_used_once_whatever_its_row_says(lived: Journal) -> None:
    wang = lived.read(lambda conn: persons.of_name(conn, "wang"))
    assert wang is not None
    first = proposals.signature_of(wang, b"s" * 64)
    made = Proposal("P1", ProposalKind.RESTART, "gateway", "send", "over", b"", "text", first, NOW_MS, NOW_MS + 9_000)
    assert lived.do(lambda tx: proposals.store_proposal(tx, made, "x"))
    older = rows(lived, schema.proposals)
    assert lived.do(lambda tx: proposals.settle(tx, made, ProposalState.DONE, "x", {}))
    put_back(lived, schema.proposals, older)
    life = again(lived)
    found = life.read(lambda conn: proposals.fetch(conn, "P1"))
    assert found is not None
    assert found.state is ProposalState.ALTERED
    life.close()


def test_factors_and_failures_that_were_altered_do_not_open_a_session(lived: Journal) -> None:
    lived.do(
        lambda tx: password_factors.store_factor(tx, PasswordFactor("wang", "h", "s", 5, True), "password.set", "x")
    )
    lived.do(lambda tx: password_factors.note_attempts(tx, "wang", SignInAttempts(5, NOW_MS + 9_000)))
    with lived.stranger() as conn:
        conn.execute(update(schema.password_factors).values(at_ms=1))
        conn.execute(update(schema.sign_in_failures).values(locked_until_ms=0))
    assert lived.read(lambda conn: password_factors.fetch(conn, "wang")) is None
    assert lived.read(lambda conn: password_factors.attempts(conn, "wang")).locked_until_ms > NOW_MS


def test_two_writes_of_one_transaction_leave_the_last(lived: Journal) -> None:
    def change_policy(tx: Any) -> None:
        for text in (STRICT, LOOSE, STRICT):
            approval_policies.put_in_force(tx, text, "q")
            found = approval_policies.last(tx.raw)
            assert found is not None
            assert not found.policy.altered

    lived.do(change_policy)
    life = again(lived)
    found = life.read(approval_policies.last)
    assert found is not None
    assert (found.policy.version, found.policy.altered) == (4, "")
    life.close()


def test_a_transaction_that_was_rolled_back_leaves_no_word(lived: Journal) -> None:
    def change_and_fail(tx: Any) -> None:
        approval_policies.put_in_force(tx, STRICT, "q")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        lived.do(change_and_fail)
    lived.do(lambda tx: audit.append(tx, "x", "x.x", "x"))
    found = lived.do(lambda tx: approval_policies.last(tx.raw))
    assert found is not None
    assert (found.policy.version, found.policy.altered) == (1, "")
    life = again(lived)
    assert registers.known(life.vault).broken == ""
    life.close()


def test_words_outlive_a_purge_of_the_trail(lived: Journal) -> None:
    size = lived.committer.committed.seq
    base = AuditBase(size, lived.committer.committed.hash)

    def carry_and_begin(tx: Any) -> None:
        registers.carry(tx, size)
        audit.begin_after(tx, base)

    lived.do(carry_and_begin)
    while lived.do(lambda tx: audit_purge._some(tx, "n1", size)):
        pass
    life = again(lived)
    assert registers.known(life.vault).broken == ""
    found = life.read(approval_policies.last)
    assert found is not None
    assert found.policy.altered == ""
    assert [one.state for one in life.read(persons.everyone)] == ["enrolled"] * 3
    gone(schema.approval_policies)(life)
    found = life.read(approval_policies.last)
    assert found is not None
    assert found.policy.altered
    life.close()


def test_rows_of_before_are_sealed_once(lived: Journal) -> None:
    tables = (schema.persons, schema.approval_policies, schema.stops)
    with lived.stranger() as conn:
        for table in tables:
            conn.execute(update(table).values(seal=None))
        conn.execute(delete(schema.audit))
        conn.execute(delete(schema.units))
        conn.execute(delete(schema.meta).where(schema.meta.c.name == "sealed"))
    life = again(lived)
    assert not life.read(stops.last).stopped
    for table in tables:
        life.do(partial(seal_page, table=table, sealing=SEALINGS[table]))
    assert all(row["seal"] for table in tables for row in rows(life, table))
    assert [one.state for one in life.read(persons.everyone)] == ["enrolled"] * 3
    gone(schema.stops)(life)
    assert life.read(stops.last).stopped
    life.close()


def test_a_new_policy_ends_what_was_told_of_the_altered_one(lived: Journal) -> None:
    life = again(lived)
    gone(schema.approval_policies)(life)
    life.read(approval_policies.last)
    assert [one.partition("/")[0] for one in life.read(lambda conn: registers.altered(life.vault))] == [
        "approval_policies"
    ]
    assert life.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "p"))
    assert life.read(lambda conn: registers.altered(life.vault)) == ()
    life.close()


def test_administrators_deleted_in_this_life_do_not_reopen_the_ceremony(lived: Journal) -> None:
    with lived.stranger() as conn:
        conn.execute(delete(schema.persons))
    there = lived.read(persons.everyone)
    assert [one.state for one in there] == ["altered"] * 3
    assert not persons.ceremony_open(there)


def test_a_delegation_deleted_in_the_life_that_made_it_still_makes_two_persons_one(lived: Journal) -> None:
    made = lived.do(lambda tx: delegations.delegate(tx, week("wang", "li"), "leave", "uid:wang"))
    assert isinstance(made, DelegationRow)
    with lived.stranger() as conn:
        conn.execute(delete(schema.delegations))
    assert lived.read(lambda conn: entitlements.one_seat(conn, "li", "wang", NOW_MS))
    assert isinstance(lived.do(lambda tx: delegations.end(tx, made.delegation, "li", "x", "x")), DelegationRow)
    assert not lived.read(lambda conn: entitlements.one_seat(conn, "li", "wang", NOW_MS))


def delete_newest_policy(journal: Journal) -> None:
    gone(schema.approval_policies)(journal)
    hide_words(journal, "approval_policies", 1, delete_them=True)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_policy_deleted_with_its_entry_in_the_life_that_made_it_does_not_bring_back_the_older_one(
    lived: Journal, *, restarted: bool
) -> None:
    """Also if the older policy was in force at the start."""
    life = again(lived) if restarted else lived
    life.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "q"))
    delete_newest_policy(life)
    found = life.read(approval_policies.last)
    assert found is not None and found.policy.altered
    assert life.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "r"))
    after = life.read(approval_policies.last)
    assert after is not None
    assert (after.policy.version, after.policy.altered) == (3, "")
    life.close()


def test_a_row_that_another_node_wrote_cannot_be_deleted_with_its_entry_after_a_heartbeat(lived: Journal) -> None:
    other = Journal(lived.url, "n2")
    other.committer.open()
    lived.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "q"))
    other.read(lambda conn: registers.follow(conn, "n2"))
    delete_newest_policy(lived)
    found = other.read(approval_policies.last)
    assert found is not None and found.policy.altered
    assert registers.known(other.vault).broken == ""
    other.close()


def test_an_entry_of_another_node_that_is_missing_at_a_heartbeat_breaks_the_lists(lived: Journal) -> None:
    other = Journal(lived.url, "n2")
    other.committer.open()
    lived.do(lambda tx: approval_policies.put_in_force(tx, STRICT, "q"))
    delete_newest_policy(lived)
    other.read(lambda conn: registers.follow(conn, "n2"))
    found = other.read(approval_policies.last)
    assert found is not None and found.policy.altered
    other.close()


def test_a_read_compares_with_the_lists_as_they_were_before_it_began(lived: Journal) -> None:
    """On a snapshot, it sees neither the row nor the entry of a version that is committed meanwhile."""
    with lived.readers.connect() as conn:
        registers.begin_read(conn)
        before = registers.listed(conn, "persons", "zhao")["zhao"]
        demote(lived, "zhao")
        assert registers.listed(conn, "persons", "zhao")["zhao"] == before
        conn.rollback()
        registers.begin_read(conn)
        assert registers.listed(conn, "persons", "zhao")["zhao"].count == before.count + 1


def test_a_transaction_that_was_rolled_back_adds_nothing_to_the_lists(lived: Journal) -> None:
    before = registers.known(lived.vault).notes

    def change_and_fail(tx: Any) -> None:
        approval_policies.put_in_force(tx, STRICT, "q")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        lived.do(change_and_fail)
    assert registers.known(lived.vault).notes == before
