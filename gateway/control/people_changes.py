"""Decisions of two administrators about a person: let in, give roles, deactivate, take a new key.

The facts are made from the journal when the first signs, and again when the second does. Nobody decides about
themselves, and no decision leaves the gateway without administrators.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gateway.journal.commit.store import Tx
from gateway.journal.people import password_factors, persons
from gateway.journal.people.persons import COOL_DOWN_MS, No, Person
from gateway.journal.people.proposals import Proposal, ProposalKind
from gateway.people import grants
from gateway.people.grants import Grants
from gateway.registry import Registry

KINDS = frozenset({ProposalKind.ENROL, ProposalKind.ROLES, ProposalKind.DEACTIVATE, ProposalKind.RESET})
DEACTIVATED, NEW_KEY = "deactivated", "new-key"
_FIXED = {ProposalKind.DEACTIVATE: DEACTIVATED, ProposalKind.RESET: NEW_KEY}
_ENTRIES: Mapping[ProposalKind, str] = {
    ProposalKind.ENROL: "person.admitted", ProposalKind.ROLES: "person.roles_changed",
    ProposalKind.DEACTIVATE: "person.deactivated", ProposalKind.RESET: "person.key_reset",
}  # fmt: skip
_NEEDED = {ProposalKind.ENROL: "waiting"}


def why_not_to(kind: ProposalKind, to: str) -> str:
    """Why `to` says nothing for a decision of this kind; "" if it does."""
    if kind in _FIXED:
        return "" if to == _FIXED[kind] else f"{to!r} cannot be chosen; it is {_FIXED[kind]}"
    try:
        made = grants.parse(to).text()
    except ValueError as error:
        return str(error)
    return "" if made == to else f"{to!r} is written otherwise: {made}"


def facts(
    tx: Tx, kind: ProposalKind, name: str, to: str, proposer: str, register: Registry
) -> tuple[tuple[str, str], ...] | No:
    """What both sign about this person, as things are now, or why it cannot be."""
    person = persons.of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    if name == proposer:
        return No("same_person", f"{name} cannot propose a change of their own rights; another administrator can")
    needed = _NEEDED.get(kind, "enrolled")
    if person.state != needed:
        return No("not_now", f"{name} is {person.state}, and this is for a person who is {needed}; nothing was changed")
    if kind is ProposalKind.RESET and not person.next_key:
        return No("not_now", f"{name} has offered no new key; have {name} run `bankgw persons enrol {name} --key FILE` "
                  f"with a new key file")  # fmt: skip
    there = persons.everyone(tx.fresh)
    after = [_after(tx, kind, one, to) if one.name == name else one for one in there]
    if not persons.ceremony_open(there) and persons.ceremony_open(after):
        return No("not_now", f"without {name} there would be no security administrator, or no second administrator to "
                  f"approve; appoint another one first")  # fmt: skip
    if kind in (ProposalKind.ENROL, ProposalKind.ROLES):
        strangers = _unknown(grants.parse(to), register)
        if strangers:
            return No("no_such_account", f"the settings have no {', '.join(strangers)}; nothing was changed")
    said = [("person", name), ("uid", str(person.uid)), ("key", person.fingerprint), ("from", person.state),
            ("present-roles", person.grants.text() if person.enrolled else grants.NONE)]  # fmt: skip
    if kind is ProposalKind.RESET:
        said.append(("new-key", persons.fingerprint(person.next_key)))
    return tuple(said)


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: dict[str, Any]) -> None:
    """Do what was decided. The facts were made again in this unit, so that the person is as both signed."""
    person = persons.of_name(tx.fresh, proposal.subject)
    assert person is not None, "the facts were made of the person in this unit"
    after = _after(tx, proposal.kind, person, proposal.to)
    detail = {**names, "proposal": proposal.proposal, "reason": proposal.note, "before": person.grants.text(),
              "roles": after.grants.text(), "key": after.fingerprint}  # fmt: skip
    persons.change(tx, after, _ENTRIES[proposal.kind], actor, detail)
    if proposal.kind in (ProposalKind.DEACTIVATE, ProposalKind.RESET):
        password_factors.remove(tx, person.name)


def _after(tx: Tx, kind: ProposalKind, person: Person, to: str) -> Person:
    if kind is ProposalKind.DEACTIVATE:
        return replace(person, enrolled=False, deactivated=True, grants=Grants(), next_key=b"", passkeys=())
    if kind is ProposalKind.RESET:
        return replace(person, key=person.next_key, next_key=b"", usable_from_ms=tx.now_ms + COOL_DOWN_MS,
                       passkeys=())
    return replace(person, enrolled=True, grants=grants.parse(to))


def _unknown(wanted: Grants, register: Registry) -> Collection[str]:
    companies = {route.company for route in register.routes.values()}
    found: list[str] = []
    for _role, scope in wanted.scope_of:
        found += [f"company {one}" for one in sorted(scope.companies - companies)]
        found += [f"account {one}" for one in sorted(scope.accounts - set(register.routes))]
    return found
