"""Decisions of two administrators about a person: admit, give roles, deactivate, accept a new key.

The facts are made from the journal when the first person signs, and again when the second does. Nobody decides about
themselves, and no decision may leave the gateway without administrators.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gateway.kernel.commit.store import Tx
from gateway.language import BilingualText, bilingual, coded
from gateway.people.rows import password_factors, persons
from gateway.people.rows.persons import COOL_DOWN_MS, No, Person
from gateway.people.rows.proposals import Proposal, ProposalKind
from gateway.people.rules import grants
from gateway.people.rules.grants import Grants
from gateway.people.rules.signed_text import DecisionFacts, fact
from gateway.register.registry import Registry

KINDS = frozenset({ProposalKind.ENROL, ProposalKind.ROLES, ProposalKind.DEACTIVATE, ProposalKind.RESET})
DEACTIVATED, NEW_KEY = "deactivated", "new-key"
_FIXED = {ProposalKind.DEACTIVATE: DEACTIVATED, ProposalKind.RESET: NEW_KEY}
_ENTRIES: Mapping[ProposalKind, str] = {
    ProposalKind.ENROL: "person.admitted",
    ProposalKind.ROLES: "person.roles_changed",
    ProposalKind.DEACTIVATE: "person.deactivated",
    ProposalKind.RESET: "person.key_reset",
}
_NEEDED = {ProposalKind.ENROL: "waiting"}
_CHOICES: Mapping[str, str] = {DEACTIVATED: "停用", NEW_KEY: "更换密钥", grants.NONE: "无任何权限"}
_STATES: Mapping[str, str] = {"waiting": "待录入", "enrolled": "已启用"}


def why_not_to(kind: ProposalKind, to: str) -> str:
    """Why the text `to` does not fit a decision of this kind; "" if it does."""
    if kind in _FIXED:
        return "" if to == _FIXED[kind] else f"{to!r} cannot be chosen; it is {_FIXED[kind]}"
    try:
        made = grants.parse(to).text()
    except ValueError as error:
        return str(error)
    return "" if made == to else f"write {to!r} as {made}"


def facts(tx: Tx, kind: ProposalKind, name: str, to: str, proposer: str, register: Registry) -> DecisionFacts | No:
    """The present facts about this person, which both persons sign, or why the decision cannot be made."""
    person = persons.of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    if name == proposer:
        return No("same_person", f"{name} cannot propose a change of their own rights; another administrator can")
    needed = _NEEDED.get(kind, "enrolled")
    if person.state != needed:
        return No("not_now", f"{name} is {person.state}, and this is for a person who is {needed}; nothing was changed")
    if kind is ProposalKind.RESET and not person.next_key:
        return No(
            "not_now",
            f"{name} has offered no new key; have {name} run `bankgw persons enrol {name} --key FILE` "
            f"with a new key file",
        )
    there = persons.everyone(tx.fresh)
    after = [_after(tx, kind, one, to) if one.name == name else one for one in there]
    if not persons.ceremony_open(there) and persons.ceremony_open(after):
        return No(
            "not_now",
            f"without {name} there would be no security administrator, or no second administrator to "
            f"approve; appoint another one first",
        )
    if kind in (ProposalKind.ENROL, ProposalKind.ROLES):
        strangers = _unknown(grants.parse(to), register)
        if strangers:
            return No("no_such_account", f"the settings have no {', '.join(strangers)}; nothing was changed")
    present = (person.grants if person.enrolled else Grants()).bilingual()
    said = [
        fact("person", "人员", name),
        fact("uid", "用户号", str(person.uid)),
        fact("key", "密钥指纹", person.fingerprint),
        fact("from", "目前状态", coded(person.state, _STATES)),
        fact("present-roles", "目前权限", present),
    ]
    if kind is ProposalKind.RESET:
        said.append(fact("new-key", "新密钥指纹", persons.fingerprint(person.next_key)))
    effect = _effect(kind, person, to, present)
    return DecisionFacts(tuple(said), name, f"person {name}", effect, coded(to, _CHOICES))


def _effect(kind: ProposalKind, person: Person, to: str, present: BilingualText | str) -> BilingualText:
    """The effect of the decision, in the words that both persons sign."""
    if kind is ProposalKind.DEACTIVATE:
        return bilingual(
            "{person} is deactivated, and has none of these rights any more: {present}",
            "停用人员 {person}，其不再有以下权限：{present}",
            person=person.name,
            present=present,
        )
    if kind is ProposalKind.RESET:
        return bilingual(
            "{person} signs with the key {key} from now on, instead of the present one",
            "人员 {person} 今后以密钥 {key} 签署，取代现有密钥",
            person=person.name,
            key=persons.fingerprint(person.next_key),
        )
    rights = grants.parse(to).bilingual()
    if kind is ProposalKind.ENROL:
        return bilingual(
            "{person} is let in with these rights: {rights}",
            "录入人员 {person}，权限：{rights}",
            person=person.name,
            rights=rights,
        )
    return bilingual(
        "{person} has these rights from now on: {rights}; instead of: {present}",
        "人员 {person} 今后的权限：{rights}；取代：{present}",
        person=person.name,
        rights=rights,
        present=present,
    )


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: dict[str, Any]) -> None:
    """Carry out the decision. This unit has determined the facts again, so the person is still as both signed."""
    person = persons.of_name(tx.fresh, proposal.subject)
    assert person is not None, "the facts were made of the person in this unit"
    after = _after(tx, proposal.kind, person, proposal.to)
    detail = {
        **names,
        "proposal": proposal.proposal,
        "reason": proposal.note,
        "before": person.grants.text(),
        "roles": after.grants.text(),
        "key": after.fingerprint,
    }
    persons.change(tx, after, _ENTRIES[proposal.kind], actor, detail)
    if proposal.kind in (ProposalKind.DEACTIVATE, ProposalKind.RESET):
        password_factors.remove(tx, person.name)


def _after(tx: Tx, kind: ProposalKind, person: Person, to: str) -> Person:
    if kind is ProposalKind.DEACTIVATE:
        return replace(person, enrolled=False, deactivated=True, grants=Grants(), next_key=b"", passkeys=())
    if kind is ProposalKind.RESET:
        return replace(person, key=person.next_key, next_key=b"", usable_from_ms=tx.now_ms + COOL_DOWN_MS, passkeys=())
    return replace(person, enrolled=True, grants=grants.parse(to))


def _unknown(wanted: Grants, register: Registry) -> Collection[str]:
    companies = {route.company for route in register.routes.values()}
    found: list[str] = []
    for _role, scope in wanted.scope_of:
        found += [f"company {one}" for one in sorted(scope.companies - companies)]
        found += [f"account {one}" for one in sorted(scope.accounts - set(register.routes))]
    return found
