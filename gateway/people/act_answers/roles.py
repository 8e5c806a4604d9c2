"""Handlers of the acts about roles: every person's roles, and the ceremony that appoints the first two
administrators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.people.acts import HoldCeremony
from gateway.people.refusals import refused
from gateway.people.rows import entitlements, persons
from gateway.people.rows.persons import No, Person
from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.scopes import WHOLE

_FIRST = (PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN)


@dataclass(frozen=True, slots=True)
class RoleAnswers:
    """Answers the control API's acts about roles."""

    store: Store
    clock: Clock

    @answers("roles.list")
    async def listing(self, call: Call) -> Any:
        """Every person with the person's own roles and the roles that a delegation gives now."""
        now_ms = self.clock.now_ms()

        def persons_with_grants(conn: Connection) -> list[tuple[Person, Grants]]:
            return [(one, entitlements.grants_of(conn, one, now_ms)) for one in persons.everyone(conn)]

        found = await self.store.read(persons_with_grants)
        return {
            "ceremony_open": persons.ceremony_open(one for one, _now in found),
            "persons": [
                {"person": one.name, "state": one.state, "roles": one.grants.text(), "now": now.text()}
                for one, now in found
            ],
        }

    @answers("roles.ceremony")
    async def ceremony(self, call: Call, params: HoldCeremony) -> Any:
        """Appoint the first security administrator and the first system administrator, as root. Both must
        be enrolled.
        """
        names, reason = (params.security_admin, params.system_admin), params.reason
        if call.peer.uid != 0:
            raise Denied(
                403,
                "not_allowed",
                f"{call.peer.actor} cannot run the ceremony; only root can, with both "
                f"persons present: sudo bankgw roles ceremony",
            )

        def appoint_persons(tx: Tx) -> list[Person] | No:
            return _appoint(tx, names, reason, call.peer.actor)

        said = await self.store.write(appoint_persons)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"persons": [{"person": one.name, "roles": one.grants.text()} for one in said]}


def _appoint(tx: Tx, names: Sequence[str], reason: str, actor: str) -> list[Person] | No:
    if not persons.ceremony_open(persons.everyone(tx.fresh)):
        return No(
            "ceremony_over",
            "there are administrators already, and root appoints no more; two of them change roles: bankgw roles set",
        )
    if len(set(names)) != len(names):
        return No("same_person", "the two administrators are two persons")
    found = []
    for name in names:
        person = persons.of_name(tx.fresh, name)
        if person is None or not person.enrolled:
            return No(
                "not_enrolled",
                f"{name} is not enrolled; first: bankgw persons enrol {name}, then "
                f"sudo bankgw persons confirm {name} FINGERPRINT",
            )
        found.append(person)
    made = []
    for person, role in zip(found, _FIRST, strict=True):
        after = replace(person, grants=Grants(((role, WHOLE),)))
        detail = {"before": person.grants.text(), "roles": after.grants.text(), "reason": reason, "with": list(names)}
        made.append(persons.change(tx, after, "person.appointed", actor, detail))
    return made
