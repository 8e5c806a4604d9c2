"""People in the journal, on every database: persons from before roles keep their rights, and sealed rows reveal
changes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import migrations, schema
from gateway.people.rows import delegations, entitlements, password_factors, persons
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rows.persons import No, Person
from gateway.people.rules.delegations import DAY_MS, Delegation
from gateway.people.rules.grants import SUPERVISOR_EVERYWHERE, Grants, parse
from gateway.people.rules.lockouts import SignInAttempts
from gateway.people.rules.passkeys import Passkey, RegisteredPasskey, RelyingParty
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.scopes import WHOLE
from gateway.people.rules.web_tokens import WebPage
from tests.gateway.conftest import KINDS
from tests.gateway.kernel.bench import NOW_MS, Journal, vault

BEFORE = "0005"
SERVERS = KINDS[1:]
"""The databases on which two nodes write at once: SQLite has one writer."""
KEYS = {"wang": b"W" * 32, "li": b"L" * 32, "zhao": b"Z" * 32}


def filled_before(url: str) -> None:
    """A journal as the version before roles left it: two persons enrolled, and one who waits."""
    script, engine = ScriptDirectory(str(Path(migrations.__file__).parent)), create_engine(url)
    steps = lambda revision, _context: script._upgrade_revs(BEFORE, revision)  # noqa: E731
    with engine.connect() as conn, EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=conn, target_metadata=schema.metadata)
        with environment.begin_transaction():
            environment.run_migrations()
        for n, (name, key) in enumerate(KEYS.items()):
            body = json.dumps({"uid": 2001 + n, "key": b64encode(key).decode(), "enrolled": name != "zhao"}).encode()
            conn.execute(
                text("INSERT INTO persons (person, uid, fingerprint, at_ms, body) VALUES (:p, :u, :f, 1, :b)"),
                {
                    "p": name,
                    "u": 2001 + n,
                    "f": persons.fingerprint(key),
                    "b": vault().seal(body, f"persons/body/{name}".encode()),
                },
            )
        conn.commit()
    engine.dispose()


def test_persons_of_before_move_in_with_their_keys_and_may_do_what_they_could(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    filled_before(url)
    migrations.upgrade(url)
    journal = Journal(url)
    there = journal.read(persons.everyone)
    assert {one.name: (one.uid, one.key, one.state) for one in there} == {
        "wang": (2001, b"W" * 32, "enrolled"),
        "li": (2002, b"L" * 32, "enrolled"),
        "zhao": (2003, b"Z" * 32, "waiting"),
    }
    assert persons.ceremony_open(there)
    found = journal.read(lambda conn: entitlements.of_uid(conn, 2001, NOW_MS, "uid:2001"))
    assert isinstance(found, EntitledPerson) and found.grants == SUPERVISOR_EVERYWHERE
    assert isinstance(journal.read(lambda conn: entitlements.of_uid(conn, 2003, NOW_MS, "uid:2003")), No)
    # A role that was written is not replaced by the default.
    wang = journal.read(lambda conn: persons.of_name(conn, "wang"))
    assert wang is not None
    journal.do(lambda tx: persons.change(tx, replace(wang, grants=Grants()), "person.roles_changed", "x", {}))
    found = journal.read(lambda conn: entitlements.of_uid(conn, 2001, NOW_MS, "uid:2001"))
    assert isinstance(found, EntitledPerson) and found.grants == Grants()
    journal.close()


def people(journal: Journal, **roles: str) -> None:
    for n, (name, granted) in enumerate(roles.items()):
        key = bytes([n + 1]) * 32
        made = journal.do(partial(persons.enrol, name=name, uid=3000 + n, key=key, actor="x"))
        assert isinstance(made, Person)
        person = replace(made, enrolled=True, grants=parse(granted))
        journal.do(partial(persons.change, person=person, entry="person.admitted", actor="x", detail={}))


PASSKEY = RegisteredPasskey(
    Passkey(b"credential", b"public key", 1, synced=False),
    WebPage.APPROVAL,
    RelyingParty("pay.example", "https://pay.example"),
    NOW_MS,
)


def found_now(conn: Connection, name: str = "wang") -> Person:
    person = persons.of_name(conn, name)
    assert person is not None
    return person


def deactivated(tx: Tx) -> Person:
    """Two administrators end the rights of wang."""
    gone = replace(found_now(tx.fresh), enrolled=False, deactivated=True, grants=Grants(), passkeys=())
    return persons.change(tx, gone, "person.deactivated", "person:li", {})


def with_passkey(journal: Journal) -> Person:
    people(journal, wang="approver@*")
    return journal.do(
        lambda tx: persons.change(
            tx, replace(found_now(tx.fresh), passkeys=(PASSKEY,)), "person.passkey_bound", "uid:3000", {}
        )
    )


def test_what_was_read_before_another_node_changed_the_person_is_not_written(journal: Journal) -> None:
    """Neither a passkey's counter nor a change by administrators brings a deactivated person back."""
    before = with_passkey(journal)
    assert journal.read(found_now).passkeys == (PASSKEY,)
    counted = replace(PASSKEY, passkey=replace(PASSKEY.passkey, sign_count=2))
    other = Journal(journal.url, "n2")
    other.do(deactivated)
    writes: tuple[Callable[[Tx], object], ...] = (
        lambda tx: persons.passkey_used(tx, before, counted),
        lambda tx: persons.change(tx, replace(before, grants=parse("viewer@*")), "person.roles_changed", "x", {}),
    )
    for write in writes:
        with pytest.raises(Outdated, match="wang was changed by another node"):
            journal.do(write)
        for node in (journal, other):
            assert (node.read(found_now).state, node.read(found_now).passkeys) == ("deactivated", ())
    assert isinstance(other.do(lambda tx: persons.remove(tx, "wang", "gone", "x")), Person)
    for write in writes:
        with pytest.raises(Outdated):
            journal.do(write)
    assert journal.read(lambda conn: persons.of_name(conn, "wang")) is None, (
        "and a removed one is not altered, but gone"
    )
    other.close()


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_passkey_that_answers_while_its_person_is_deactivated_is_looked_at_again(journal: Journal) -> None:
    """The other node commits between the reading and the writing of one unit. The unit runs again, and finds that the
    person may not act any more."""
    with_passkey(journal)
    other, seen = Journal(journal.url, "n2"), list[str]()

    def approve(tx: Tx) -> str:
        person = found_now(tx.fresh)
        seen.append(person.state)
        if not person.enrolled:
            return "refused"
        if len(seen) == 1:
            other.do(deactivated)
        persons.passkey_used(tx, person, replace(PASSKEY, passkey=replace(PASSKEY.passkey, sign_count=2)))
        return "approved"

    assert journal.do(approve) == "refused" and seen == ["enrolled", "deactivated"]
    assert (journal.read(found_now).state, journal.read(found_now).passkeys) == ("deactivated", ())
    other.close()


def test_changes_of_one_unit_follow_each_other(small: Journal) -> None:
    before = with_passkey(small)

    def twice(tx: Tx) -> None:
        after = persons.change(tx, replace(before, grants=parse("viewer@*")), "person.roles_changed", "x", {})
        persons.passkey_used(tx, after, replace(PASSKEY, passkey=replace(PASSKEY.passkey, sign_count=7)))

    small.do(twice)
    found = small.read(found_now)
    assert (found.grants, found.passkeys[0].passkey.sign_count, found.state) == (parse("viewer@*"), 7, "enrolled")


def week(delegator: str, delegate: str) -> Delegation:
    return Delegation(delegator, delegate, frozenset({PersonRole.SUPERVISOR}), WHOLE, NOW_MS, NOW_MS + 7 * DAY_MS)


def test_delegations_on_every_database(journal: Journal) -> None:
    people(journal, wang="supervisor@*", li="viewer@*", zhao="viewer@*")
    made = journal.do(lambda tx: delegations.delegate(tx, week("wang", "li"), "leave", "uid:wang"))
    assert isinstance(made, DelegationRow)
    for wanted in (week("li", "zhao"), week("zhao", "wang"), week("wang", "nobody"), week("nobody", "li")):
        assert isinstance(journal.do(partial(delegations.delegate, wanted=wanted, reason="x", actor="x")), No)
    assert journal.read(lambda conn: delegations.in_force(conn, NOW_MS)) == [made]
    assert journal.read(lambda conn: entitlements.one_seat(conn, "li", "wang", NOW_MS))
    assert not journal.read(lambda conn: entitlements.one_seat(conn, "li", "zhao", NOW_MS))
    assert isinstance(journal.do(lambda tx: delegations.end(tx, made.delegation, "zhao", "x", "x")), No)
    assert isinstance(journal.do(lambda tx: delegations.end(tx, made.delegation, "wang", "back", "x")), DelegationRow)
    assert journal.read(lambda conn: delegations.in_force(conn, NOW_MS)) == []
    assert [row.given.until_ms for row in journal.read(delegations.listing)] != [made.given.until_ms]


def test_factors_and_failures_on_every_database(journal: Journal) -> None:
    factor = PasswordFactor("wang", "$argon2id$…", "SECRET")
    journal.do(lambda tx: password_factors.store_factor(tx, factor, "person.password_set", "x"))
    journal.do(lambda tx: password_factors.used(tx, factor, 7))
    assert journal.read(lambda conn: password_factors.fetch(conn, "wang")) == PasswordFactor(
        "wang", "$argon2id$…", "SECRET", 7
    )
    for failures in (SignInAttempts(1), SignInAttempts(2), SignInAttempts(0, NOW_MS)):
        journal.do(partial(password_factors.note_attempts, person="wang", found=failures))
        assert journal.read(lambda conn: password_factors.attempts(conn, "wang")) == failures
    journal.do(lambda tx: password_factors.remove(tx, "wang"))
    assert journal.read(lambda conn: password_factors.fetch(conn, "wang")) is None
    assert journal.read(lambda conn: password_factors.attempts(conn, "wang")) == SignInAttempts()


def test_a_role_written_into_the_database_is_noticed(small: Journal) -> None:
    people(small, wang="viewer@*", li="supervisor@*")
    with small.stranger() as conn:
        conn.execute(
            text("UPDATE persons SET body = (SELECT body FROM persons WHERE person = 'li') WHERE person = 'wang'")
        )
        conn.commit()
    said = small.read(lambda conn: entitlements.of_uid(conn, 3000, NOW_MS, "x"))
    assert isinstance(said, No)
    assert said.code == "altered"
