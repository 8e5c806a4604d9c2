"""People in the journal, on every database: persons from before roles keep their rights, and sealed rows reveal
changes."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from functools import partial
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from gateway.kernel.sql import migrations, schema
from gateway.people.rows import delegations, entitlements, password_factors, persons
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rows.persons import No, Person
from gateway.people.rules.delegations import DAY_MS, Delegation
from gateway.people.rules.grants import SUPERVISOR_EVERYWHERE, Grants, parse
from gateway.people.rules.lockouts import SignInAttempts
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.scopes import WHOLE
from tests.gateway.kernel.bench import NOW_MS, Journal, vault

BEFORE = "0005"
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
        person = Person(name, 3000 + n, key, enrolled=True, at_ms=NOW_MS, grants=parse(granted))
        journal.do(partial(persons.enrol, name=name, uid=person.uid, key=key, actor="x"))
        journal.do(partial(persons.change, person=person, entry="person.admitted", actor="x", detail={}))


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
