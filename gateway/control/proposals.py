"""The control API's verbs for proposals of two persons: draft, make, show, approve, withdraw.

Nothing here trusts the asker beyond the user that the kernel names: the words are made anew from the journal for each
signature, and the signatures are verified against the enrolled keys in the unit that acts.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.control import decisions, liquidity, order_decisions, people_changes, policy_changes, proposal_text
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.decisions import CarriedOut
from gateway.control.peer_credentials import PeerCredentials
from gateway.control.person_sessions import PersonSessions
from gateway.control.persons import refused
from gateway.control.proposal_text import ProposedAction
from gateway.control.server import Call, Denied, Verb
from gateway.journal.cluster.restored_database import tell
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.people import entitlements, persons, proposals
from gateway.journal.people.persons import No, Person
from gateway.journal.people.proposals import Action, Proposal, ProposalKind, ProposalState, Role, Signature
from gateway.people.grants import Grants
from gateway.people.matrix import judge_decision
from gateway.people.roles import ADMIN_ROLES, PersonRole
from gateway.people.scopes import Scope
from protocols.erp.news import instant

EVIDENCE_MOST_BYTES = 4 * 1024 * 1024
_BODY_MOST_BYTES = EVIDENCE_MOST_BYTES * 4 // 3 + 65_536
_ID_CHARACTERS = 26
_TEXTS: Mapping[ProposalKind, Callable[[Call], str]] = {
    ProposalKind.POLICY: policy_changes.wanted, ProposalKind.POOL: liquidity.wanted,
}  # fmt: skip
"""What is proposed as a text of its own, and is about all accounts."""


def verbs(daemon_handle: DaemonHandle, sessions: PersonSessions) -> Sequence[Verb]:
    """What can be asked about proposals."""
    acts = _Acts(daemon_handle, sessions)
    one = "([^/]+)"
    return (
        Verb("POST", "/proposals/draft", acts.draft, group=True),
        Verb("POST", "/proposals", acts.make, group=True, most_bytes=_BODY_MOST_BYTES),
        Verb("GET", "/proposals", acts.listing, group=True),
        Verb("GET", f"/proposals/{one}", acts.show, group=True),
        Verb("POST", f"/proposals/{one}/approve", acts.approve, group=True),
        Verb("POST", f"/proposals/{one}/withdraw", acts.withdraw, group=True),
        Verb("GET", "/past", acts.past),
    )


@dataclass(frozen=True, slots=True)
class _Done:
    proposal: Proposal
    carried: CarriedOut


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle, sessions: PersonSessions) -> None:
        self._daemon_handle = daemon_handle
        self._sessions = sessions

    # ---- the first person ----

    async def draft(self, call: Call) -> Any:
        """The words that the caller would sign. Nothing is kept."""
        wanted = _wanted(call, call.text("evidence_sha256") if call.body.get("evidence_sha256") else None)

        def unit(tx: Tx) -> tuple[Action, str, int] | No:
            person = _signer(tx, call.peer, wanted.kind, wanted.subject)
            if isinstance(person, No):
                return person
            key, expires_ms = tx.entropy.ulid(tx.now_ms), tx.now_ms + self._daemon_handle.proposal_valid_ms
            planned = proposal_text.action(tx, wanted, key, person, expires_ms, self._daemon_handle)
            return planned if isinstance(planned, No) else (planned.action, key, expires_ms)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        action, key, expires_ms = said
        return {"proposal": key, "expires_ms": expires_ms, "text": action.text(), "digest": action.digest()}

    async def make(self, call: Call) -> Any:
        """Keep a proposal with the first person's signature."""
        key, expires_ms = call.text("proposal"), call.body.get("expires_ms")
        if len(key) != _ID_CHARACTERS or not key.isalnum() or type(expires_ms) is not int:
            raise Denied(400, "bad_draft", "give `proposal` and `expires_ms` as the draft said them")
        evidence = _octets(call, "evidence") if call.body.get("evidence") else b""
        if len(evidence) > EVIDENCE_MOST_BYTES:
            raise Denied(413, "too_large", f"the evidence is over {EVIDENCE_MOST_BYTES} bytes; scan it smaller")
        wanted = _wanted(call, proposal_text.sha256(evidence) if evidence else None)
        digest, signature = call.text("digest"), _octets(call, "signature")

        def unit(tx: Tx) -> Proposal | No:
            person = _signer(tx, call.peer, wanted.kind, wanted.subject)
            if isinstance(person, No):
                return person
            if not tx.now_ms < expires_ms <= tx.now_ms + self._daemon_handle.proposal_valid_ms:
                return No("expired", f"draft {key} has expired; begin again")
            planned = proposal_text.action(tx, wanted, key, person, expires_ms, self._daemon_handle)
            if isinstance(planned, No):
                return planned
            if planned.action.digest() != digest:
                return No("stale", f"{planned.title}: what was signed is not what would be done now; it has moved on, "
                          f"or the words were altered. Nothing was kept; begin again")  # fmt: skip
            if not person.signed(signature, proposals.to_sign(digest, Role.PROPOSE)):
                return _bad_signature(person)
            other = proposals.open_about(tx.fresh, wanted.kind, planned.subject, tx.now_ms)
            if other is not None:
                return No("proposed_already", f"{planned.title}: proposal {other} is open; have it approved, or "
                          f"withdraw it: bankgw resolve --withdraw {other} --reason …")  # fmt: skip
            made = Proposal(
                key, wanted.kind, planned.subject, wanted.to, wanted.note, evidence, planned.action.text(),
                proposals.signature_of(person, signature), tx.now_ms, expires_ms,
            )  # fmt: skip
            if not proposals.write(tx, made, call.peer.actor):
                return No("used", f"proposal {key} exists already; begin again")
            return made

        said = await self._daemon_handle.store.write(_noting(unit, call, key))
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, proposal=key)
        return self._shown(said)

    # ---- looking ----

    async def listing(self, call: Call) -> Any:
        found = await self._daemon_handle.store.read(proposals.listing)
        return {"proposals": [self._shown(one) for one in found]}

    async def show(self, call: Call) -> Any:
        """One proposal: its words, and its evidence for the second person to judge. Looking is noted."""
        key = call.parts[0]

        def unit(tx: Tx) -> Proposal | No:
            found = proposals.fetch(tx.fresh, key) or _no_proposal(key)
            if isinstance(found, No):
                return found
            audit.append(tx, call.peer.actor, "proposal.shown", found.subject, {"proposal": key})
            return found

        found = await self._daemon_handle.store.write(unit)
        if isinstance(found, No):
            raise refused(found, actor=call.peer.actor)
        return {**self._shown(found), "evidence": b64encode(found.evidence).decode()}

    async def past(self, call: Call) -> Any:
        """What the database forgot: sends that only this machine's permit log knows."""
        past = self._daemon_handle.past()
        lanes = {name: {"forgotten": count, "cleared": name in past.cleared} for name, count in past.by_lane().items()}
        sends = [{"lane": lane, "bank_reference": ref, "attempt": one.attempt}
                 for one in past.sends for lane, _, ref in [one.ref.rpartition("/")]]  # fmt: skip
        return {"episode": past.episode or None, "lanes": lanes, "sends": sends, "gaps": tell(past)}

    def _shown(self, one: Proposal) -> dict[str, Any]:
        expired = one.state is ProposalState.OPEN and one.expires_ms <= self._daemon_handle.clock.now_ms()
        return {
            "proposal": one.proposal, "kind": one.kind.value, "subject": one.subject, "to": one.to,
            "state": "expired" if expired else one.state.value, "by": one.first.person, "by_uid": one.first.uid,
            "made_at": instant(one.made_ms), "expires_at": instant(one.expires_ms), "note": one.note,
            "text": one.text, "digest": one.digest,
            "evidence_sha256": proposal_text.sha256(one.evidence) if one.evidence else None,
        }  # fmt: skip

    # ---- the second person ----

    async def approve(self, call: Call) -> Any:
        """Verify both signatures against what the journal says now, and do it, once, in one unit."""
        key, digest, signature = call.parts[0], call.text("digest"), _octets(call, "signature")
        await liquidity.freshen(await self._daemon_handle.store.read(lambda conn: proposals.fetch(conn, key)),
                                self._daemon_handle)  # fmt: skip

        def unit(tx: Tx) -> _Done | No:
            proposal = proposals.fetch(tx.fresh, key)
            if proposal is None:
                return _no_proposal(key)
            second = self._second(tx, proposal, call.peer, digest, signature)
            if isinstance(second, No):
                return second
            return self._carry_out(tx, proposal, proposals.signature_of(second, signature), call.peer)

        said = await self._daemon_handle.store.write(_noting(unit, call, key))
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, proposal=key)
        done = said.proposal
        if done.kind is ProposalKind.LEAVE_SAFE_MODE:
            self._daemon_handle.let_go(done.subject)
        elif said.carried.stop is not None:
            self._daemon_handle.stop_said(said.carried.stop)
        elif said.carried.pause is not None:
            self._daemon_handle.lanes[done.subject].apply_pause(said.carried.pause)
        elif said.carried.run is not None:
            await self._daemon_handle.pools.carry_on(said.carried.run)
        elif said.carried.back is not None:
            self._daemon_handle.pools.on_payment(said.carried.back)
        elif done.kind in people_changes.KINDS:
            self._sessions.end_of(done.subject)
        return {**self._shown(done), "state": ProposalState.DONE.value}

    def _second(self, tx: Tx, proposal: Proposal, peer: PeerCredentials, digest: str, signature: bytes) -> Person | No:
        """The second person, if everything about both persons and both signatures is right."""
        key, first = proposal.proposal, proposal.first
        if proposal.state is not ProposalState.OPEN:
            return No("used", f"proposal {key} is {proposal.state.value} already, and each is used once; "
                      f"look at {proposal.subject} before you propose again")  # fmt: skip
        if proposal.expires_ms <= tx.now_ms:
            return No("expired", f"proposal {key} expired at {instant(proposal.expires_ms)}; have it proposed again")
        person = _signer(tx, peer, proposal.kind, proposal.subject, second=True)
        if isinstance(person, No):
            return person
        if proposal.kind in people_changes.KINDS and person.name == proposal.subject:
            return No("same_person", f"proposal {key} is about {person.name}, who cannot approve it")
        if entitlements.one_seat(tx.fresh, person.name, first.person, tx.now_ms):
            return No("same_person" if person.name == first.person else "one_seat", (
                f"proposal {key} was made by {first.person} (uid {first.uid}); a second person with another user and "
                f"another key must approve it, and neither may stand in for the other"
            ))  # fmt: skip
        if digest != proposal.digest:
            return No("altered", f"proposal {key}: you signed other words than {first.person} did. Nothing was done; "
                      f"show the proposal again, and ask {first.person} what was meant")  # fmt: skip
        proposer = persons.of_name(tx.fresh, first.person)
        if proposer is None or not proposer.enrolled or (proposer.uid, proposer.fingerprint) != (first.uid, first.key):
            return No("first_is_gone", f"proposal {key}: {first.person} is not enrolled with that user and key any "
                      f"more; have somebody else propose it")  # fmt: skip
        if judge_decision(proposal.kind, entitlements.grants_of(tx.fresh, proposer, tx.now_ms), second=False):
            return No("first_is_gone", f"proposal {key}: {first.person} may not propose this any more; have somebody "
                      f"else propose it")  # fmt: skip
        if not proposer.signed(first.octets, proposals.to_sign(proposal.digest, Role.PROPOSE)):
            return No("altered", f"proposal {key}: the signature of {first.person} does not fit its words; the "
                      f"database was tampered with. Stop, and look into the audit trail")  # fmt: skip
        if not person.signed(signature, proposals.to_sign(digest, Role.APPROVE)):
            return _bad_signature(person)
        wanted = ProposedAction(proposal.kind, proposal.subject, proposal.to, proposal.note,
                        proposal_text.sha256(proposal.evidence) if proposal.evidence else None)  # fmt: skip
        planned = proposal_text.action(tx, wanted, key, proposer, proposal.expires_ms, self._daemon_handle)
        if isinstance(planned, No):
            return No("stale", f"proposal {key} is out of date: {planned.why}")
        if planned.action.digest() != proposal.digest:
            return No("stale", f"proposal {key} is out of date: {planned.title} has moved on since. Nothing was done; "
                      f"look at it, withdraw the proposal and propose again if it is still needed")  # fmt: skip
        return person

    def _carry_out(self, tx: Tx, proposal: Proposal, second: Signature, peer: PeerCredentials) -> _Done | No:
        done = decisions.carry_out(tx, proposal, second, peer, self._daemon_handle)
        if isinstance(done, No):
            return done
        names = {"by": [proposal.first.person, second.person], "digest": proposal.digest}
        proposals.signed(tx, proposal, Role.PROPOSE, proposal.first, PeerCredentials(proposal.first.uid).actor)
        proposals.signed(tx, proposal, Role.APPROVE, second, peer.actor)
        ended = proposals.settle(tx, proposal, ProposalState.DONE, peer.actor, names)
        assert ended, "it was open in this very unit"
        return _Done(proposal, done)

    async def withdraw(self, call: Call) -> Any:
        """End a proposal without doing it."""
        key, reason = call.parts[0], call.text("reason")

        def unit(tx: Tx) -> Proposal | No:
            found = proposals.fetch(tx.fresh, key) or _no_proposal(key)
            if isinstance(found, No):
                return found
            if not proposals.settle(tx, found, ProposalState.WITHDRAWN, call.peer.actor, {"reason": reason}):
                return No("used", f"proposal {key} is {found.state.value} already; nothing was changed")
            return found

        found = await self._daemon_handle.store.write(unit)
        if isinstance(found, No):
            raise refused(found, actor=call.peer.actor)
        return {**self._shown(found), "state": ProposalState.WITHDRAWN.value}


def _noting(unit: Any, call: Call, key: str) -> Any:
    """The unit, with its no in the audit trail: who tried to sign in vain is worth knowing."""

    def noted(tx: Tx) -> Any:
        said = unit(tx)
        if isinstance(said, No):
            audit.append(tx, call.peer.actor, "proposal.refused", f"proposal:{key}", {"code": said.code})
        return said

    return noted


def _signer(
    tx: Tx, peer: PeerCredentials, kind: ProposalKind, subject: str, *, second: bool = False
) -> Person | No:
    """The enrolled person of this user, if the person's roles allow a part in this decision, and their scope does."""
    found = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
    if isinstance(found, No):
        return found
    why = judge_decision(kind, found.grants, second=second)
    if why:
        return No("not_allowed", f"{found.person.name}: {why}; nothing was changed")
    if kind in _TEXTS:
        return found.person if _everywhere(found.grants) else No(
            "out_of_scope", f"a {kind.value} is about all accounts, and {found.person.name} is a supervisor of some; "
            f"nothing was changed")  # fmt: skip
    if kind not in people_changes.KINDS and not _in_scope(tx, found.grants.where({PersonRole.SUPERVISOR}), subject):
        return No("out_of_scope", f"{subject} is outside of the scope in which {found.person.name} is a supervisor; "
                  f"nothing was changed")  # fmt: skip
    if kind is ProposalKind.RELEASE and _made(tx, found.person, subject):
        return No("own_payment", f"{found.person.name} made it, or stands in for who did; somebody else releases it")
    return found.person


def _made(tx: Tx, person: Person, subject: str) -> bool:
    """True if the person made one of these orders, or is one seat with who did."""
    makers = {row.order.maker for row in order_decisions.rows_of(tx.fresh, subject)}
    return any(one is not None and entitlements.one_seat(tx.fresh, person.name, one, tx.now_ms) for one in makers)


def _everywhere(grants: Grants) -> bool:
    return bool(ADMIN_ROLES & grants.roles) or grants.where({PersonRole.SUPERVISOR}).whole


def _in_scope(tx: Tx, scope: Scope, subject: str) -> bool:
    """What is about no single payment is about all accounts. An order that is not there has no account either."""
    if scope.whole:
        return True
    rows = order_decisions.rows_of(tx.fresh, subject)
    return bool(rows) and all(scope.covers(row.company, row.order.ours.account.clear) for row in rows)


def _bad_signature(person: Person) -> No:
    return No("wrong_signature", f"that is not the signature of {person.name}: the key file is not the one enrolled "
              f"(fingerprint {person.fingerprint[:16]}…). Name the right file with --key, or have root remove "
              f"{person.name} and enrol again")  # fmt: skip


def _no_proposal(key: str) -> No:
    return No("no_such_proposal", f"there is no proposal {key}; `bankgw resolve --list` shows them")


def _wanted(call: Call, evidence_sha256: str | None) -> ProposedAction:
    try:
        kind = ProposalKind(call.text("kind"))
    except ValueError:
        raise Denied(400, "bad_kind", f"`kind` is one of {', '.join(ProposalKind)}") from None
    to = _TEXTS[kind](call) if kind in _TEXTS else call.text("to")
    if kind in _TEXTS or kind is ProposalKind.POOL_RUN:
        pass  # whether it can be is said with the words
    elif kind in people_changes.KINDS:
        why = people_changes.why_not_to(kind, to)
        if why:
            raise Denied(400, "bad_choice", why)
    elif kind is ProposalKind.RELEASE:
        why = order_decisions.why_not_to(to)
        if why:
            raise Denied(400, "bad_choice", why)
    elif to not in proposal_text.CHOICES[kind]:
        choices = ", ".join(proposal_text.CHOICES[kind])
        raise Denied(400, "bad_choice", f"{to!r} cannot be chosen; it is one of {choices}")
    if kind is ProposalKind.RESOLVE and evidence_sha256 is None:
        raise Denied(400, "missing", "a payment is decided on evidence: give --evidence FILE (the bank's letter, a "
                     "statement, a screenshot)")  # fmt: skip
    return ProposedAction(kind, call.text("subject"), to, call.text("note"), evidence_sha256)


def _octets(call: Call, name: str) -> bytes:
    given = call.body.get(name)
    try:
        return b64decode(given if isinstance(given, str) else "", validate=True)
    except ValueError:
        raise Denied(400, "not_base64", f"`{name}` must be base64") from None
