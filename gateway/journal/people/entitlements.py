"""What a person may do now: own roles and delegated ones, read from the journal at the moment of the request."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.journal.people import delegations, persons
from gateway.journal.people.persons import No, Person
from gateway.people import delegations as rules
from gateway.people.grants import Grants


@dataclass(frozen=True, slots=True)
class EntitledPerson:
    """An enrolled person with the grants that hold now."""

    person: Person
    grants: Grants


def of_uid(conn: Connection, uid: int, now_ms: int, actor: str) -> EntitledPerson | No:
    """The enrolled person of a UNIX user, or why there is none."""
    person = persons.of_uid(conn, uid)
    if person is None:
        return No("not_enrolled", f"{actor} (uid {uid}) is not enrolled; run `bankgw persons enrol NAME` as yourself, "
                  f"without sudo, and have it confirmed")  # fmt: skip
    return _entitled(conn, person, now_ms)


def of_name(conn: Connection, name: str, now_ms: int) -> EntitledPerson | No:
    """The enrolled person of this name, or why there is none."""
    person = persons.of_name(conn, name)
    if person is None:
        return No("not_enrolled", f"nobody is enrolled as {name}")
    return _entitled(conn, person, now_ms)


def _entitled(conn: Connection, person: Person, now_ms: int) -> EntitledPerson | No:
    if person.deactivated:
        return No("not_enrolled", f"{person.name} was deactivated; two administrators can enrol another person")
    if not person.enrolled:
        return No("not_enrolled", f"{person.name} waits to be let in: by two administrators (bankgw persons admit "
                  f"{person.name}), or before there are any by root: sudo bankgw persons confirm {person.name} "
                  f"FINGERPRINT")  # fmt: skip
    if now_ms < person.usable_from_ms:
        return No("cool_down", f"the key of {person.name} was reset less than 24 hours ago and is not taken yet; if "
                  f"you did not ask for that, tell the auditor")  # fmt: skip
    return EntitledPerson(person, grants_of(conn, person, now_ms))


def grants_of(conn: Connection, person: Person, now_ms: int) -> Grants:
    """Own grants and those delegated to the person now."""
    given = [row.given for row in delegations.in_force(conn, now_ms)]
    if not any(one.delegate == person.name for one in given):
        return person.grants
    own = {one.name: one.grants for one in persons.everyone(conn) if one.enrolled and now_ms >= one.usable_from_ms}
    return rules.effective(person.name, person.grants, own, given, now_ms)


def one_seat(conn: Connection, first: str, second: str, now_ms: int) -> bool:
    """True if the two are one where two persons are needed."""
    return rules.one_seat(first, second, [row.given for row in delegations.in_force(conn, now_ms)], now_ms)
