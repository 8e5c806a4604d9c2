"""The control API's verbs about roles: who has which, and the ceremony that appoints the first two administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit.store import Tx
from gateway.journal.people import entitlements, persons
from gateway.journal.people.persons import No, Person
from gateway.people.grants import Grants
from gateway.people.roles import PersonRole
from gateway.people.scopes import WHOLE

_FIRST = (PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN)


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about roles."""
    acts = _Acts(daemon_handle)
    return (Verb("GET", "/roles", acts.listing), Verb("POST", "/ceremony", acts.ceremony))


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """Every person with own roles, and with those that hold now by delegation."""
        now_ms = self._daemon_handle.clock.now_ms()

        def look(conn: Connection) -> list[tuple[Person, Grants]]:
            return [(one, entitlements.grants_of(conn, one, now_ms)) for one in persons.everyone(conn)]

        found = await self._daemon_handle.store.read(look)
        return {
            "ceremony_open": persons.ceremony_open(one for one, _now in found),
            "persons": [{"person": one.name, "state": one.state, "roles": one.grants.text(), "now": now.text()}
                        for one, now in found],
        }  # fmt: skip

    async def ceremony(self, call: Call) -> Any:
        """Root appoints the first security administrator and the first system administrator, both enrolled."""
        names, reason = [call.text(role.value) for role in _FIRST], call.text("reason")
        if call.peer.uid != 0:
            raise Denied(403, "not_allowed", f"{call.peer.actor} cannot hold the ceremony; only root can, with both "
                         f"persons present: sudo bankgw roles ceremony")  # fmt: skip

        def unit(tx: Tx) -> list[Person] | No:
            return _appoint(tx, names, reason, call.peer.actor)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"persons": [{"person": one.name, "roles": one.grants.text()} for one in said]}


def _appoint(tx: Tx, names: Sequence[str], reason: str, actor: str) -> list[Person] | No:
    if not persons.ceremony_open(persons.everyone(tx.fresh)):
        return No("ceremony_over", "there are administrators already, and root appoints no more; two of them change "
                  "roles: bankgw roles set")  # fmt: skip
    if len(set(names)) != len(names):
        return No("same_person", "the two administrators are two persons")
    found = []
    for name in names:
        person = persons.of_name(tx.fresh, name)
        if person is None or not person.enrolled:
            return No("not_enrolled", f"{name} is not enrolled; first: bankgw persons enrol {name}, then "
                      f"sudo bankgw persons confirm {name} FINGERPRINT")  # fmt: skip
        found.append(person)
    made = []
    for person, role in zip(found, _FIRST, strict=True):
        after = replace(person, grants=Grants(((role, WHOLE),)))
        detail = {"before": person.grants.text(), "roles": after.grants.text(), "reason": reason, "with": list(names)}
        made.append(persons.change(tx, after, "person.appointed", actor, detail))
    return made
