"""The present rights of a person: own roles and delegated ones, read from the journal at the moment of the request."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.kernel.commit import barred_persons
from gateway.people.rows import delegations, persons
from gateway.people.rows.persons import No, Person
from gateway.people.rules import delegations as rules
from gateway.people.rules.grants import Grants


@dataclass(frozen=True, slots=True)
class EntitledPerson:
    """An enrolled person with the grants that are valid now."""

    person: Person
    grants: Grants


def of_uid(conn: Connection, uid: int, now_ms: int, actor: str) -> EntitledPerson | No:
    """The enrolled person of a UNIX user, or why there is none."""
    person = persons.of_uid(conn, uid)
    if person is None:
        return No(
            "not_enrolled",
            f"{actor} (uid {uid}) is not enrolled; run `bankgw persons enrol NAME` as yourself, "
            f"without sudo, and have it confirmed",
        )
    return _entitled(conn, person, now_ms)


def of_name(conn: Connection, name: str, now_ms: int) -> EntitledPerson | No:
    """The enrolled person of this name, or why there is none."""
    person = persons.of_name(conn, name)
    if person is None:
        return No("not_enrolled", f"nobody is enrolled as {name}")
    return _entitled(conn, person, now_ms)


def _entitled(conn: Connection, person: Person, now_ms: int) -> EntitledPerson | No:
    if person.altered:
        return No(
            "altered",
            f"the row of {person.name} in the journal was altered; {person.name} cannot act until two "
            f"administrators have removed the person, and the person has enrolled again",
        )
    if person.deactivated:
        return No("not_enrolled", f"{person.name} was deactivated; two administrators can enrol another person")
    if not person.enrolled:
        return No(
            "not_enrolled",
            f"{person.name} waits to be let in: by two administrators (bankgw persons admit "
            f"{person.name}), or before there are any by root: sudo bankgw persons confirm {person.name} "
            f"FINGERPRINT",
        )
    if person.name in barred_persons.barred(conn):
        return No(
            "words_missing",
            f"the database came back from an earlier time and lacks the last changes of "
            f"{person.name}, who neither signs nor approves until two other administrators decide about "
            f"{person.name} anew, or the right database is back; see docs/do/restore.md",
        )
    if now_ms < person.usable_from_ms:
        return No(
            "cool_down",
            f"the key of {person.name} was reset less than 24 hours ago and is not taken yet; if "
            f"you did not ask for that, tell the auditor",
        )
    return EntitledPerson(person, grants_of(conn, person, now_ms))


def grants_of(conn: Connection, person: Person, now_ms: int) -> Grants:
    """The person's own grants and those delegated to the person now."""
    missing = barred_persons.barred(conn)
    if person.name in missing:
        return Grants()
    given = [row.given for row in delegations.in_force(conn, now_ms)]
    if not any(one.delegate == person.name for one in given):
        return person.grants
    own = {
        one.name: one.grants
        for one in persons.everyone(conn)
        if one.enrolled and now_ms >= one.usable_from_ms and one.name not in missing
    }
    return rules.effective(person.name, person.grants, own, given, now_ms)


def one_seat(conn: Connection, first: str, second: str, now_ms: int) -> bool:
    """True if the two persons count as one where two persons are needed."""
    return rules.one_seat(first, second, [row.given for row in delegations.in_force(conn, now_ms)], now_ms)
