"""Handlers of the acts about proposals of two persons: draft, make, show, approve, withdraw.

The caller is trusted only as the user that the kernel names. The text is made anew from the journal for each signature,
and the unit that acts verifies the signatures against the enrolled keys.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.approvals.act_answers import policy_changes
from gateway.approvals.acts import EVIDENCE_MOST_BYTES, NamedProposal, WithdrawProposal
from gateway.call import Call, Denied, PeerCredentials, answers
from gateway.control import decisions, proposal_text
from gateway.control.decisions import DecisionResult
from gateway.control.matrix import judge_decision
from gateway.control.ports import DecisionPorts
from gateway.control.proposal_text import ProposedAction
from gateway.kernel.cluster.restored_database import tell
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.payments.act_answers import order_decisions
from gateway.people.act_answers import people_changes
from gateway.people.act_answers.person_sessions import PersonSessions
from gateway.people.refusals import refused
from gateway.people.rows import entitlements, proposals
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No, Person
from gateway.people.rows.proposals import Proposal, ProposalKind, ProposalState, Role, Signature
from gateway.people.rules import signed_text
from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import ADMIN_ROLES, PersonRole
from gateway.people.rules.scopes import Scope
from gateway.people.rules.signed_text import Action
from gateway.pools.act_answers import liquidity
from protocols.erp.news import instant

_ID_CHARACTERS = 26
_TEXTS: Mapping[ProposalKind, Callable[[Call], str]] = {
    ProposalKind.POLICY: policy_changes.wanted,
    ProposalKind.POOL: liquidity.wanted,
}
"""The kinds of proposals that have a text of their own and are about all accounts."""


@dataclass(frozen=True, slots=True)
class _Done:
    proposal: Proposal
    carried: DecisionResult


@dataclass(frozen=True, slots=True)
class ProposalAnswers:
    """Answers the acts about proposals of two persons."""

    ports: DecisionPorts
    sessions: PersonSessions

    # ---- the first person ----

    @answers("proposals.draft")
    async def draft(self, call: Call) -> Any:
        """The text that the caller would sign. Nothing is stored."""
        wanted = _wanted(call, call.text("evidence_sha256") if call.body.get("evidence_sha256") else None)

        def draft_action(tx: Tx) -> tuple[Action, str, int] | No:
            person = _signer(tx, call.peer, wanted.kind, wanted.subject)
            if isinstance(person, No):
                return person
            key, expires_ms = tx.entropy.ulid(tx.now_ms), tx.now_ms + self.ports.valid_ms
            planned = proposal_text.action(tx, wanted, key, person, expires_ms, self.ports)
            return planned if isinstance(planned, No) else (planned.action, key, expires_ms)

        said = await self.ports.store.write(draft_action)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        action, key, expires_ms = said
        return {"proposal": key, "expires_ms": expires_ms, "text": action.text(), "digest": action.digest()}

    @answers("proposals.make")
    async def make(self, call: Call) -> Any:
        """Store a proposal with the first person's signature."""
        key, expires_ms = call.text("proposal"), call.body.get("expires_ms")
        if len(key) != _ID_CHARACTERS or not key.isalnum() or type(expires_ms) is not int:
            raise Denied(400, "bad_draft", "give `proposal` and `expires_ms` exactly as in the draft")
        evidence = _octets(call, "evidence") if call.body.get("evidence") else b""
        if len(evidence) > EVIDENCE_MOST_BYTES:
            raise Denied(413, "too_large", f"the evidence is over {EVIDENCE_MOST_BYTES} bytes; scan it smaller")
        wanted = _wanted(call, proposal_text.sha256(evidence) if evidence else None)
        digest, signature = call.text("digest"), _octets(call, "signature")

        def make_proposal(tx: Tx) -> Proposal | No:
            person = _signer(tx, call.peer, wanted.kind, wanted.subject)
            if isinstance(person, No):
                return person
            if not tx.now_ms < expires_ms <= tx.now_ms + self.ports.valid_ms:
                return No("expired", f"draft {key} has expired; begin again")
            planned = proposal_text.action(tx, wanted, key, person, expires_ms, self.ports)
            if isinstance(planned, No):
                return planned
            if planned.action.digest() != digest:
                return No(
                    "stale",
                    f"{planned.title}: what was signed is not what would be done now; it has moved on, "
                    f"or the words were altered. Nothing was kept; begin again",
                )
            if not person.signed(signature, proposals.to_sign(digest, Role.PROPOSE)):
                return _bad_signature(person)
            other = proposals.open_about(tx.fresh, wanted.kind, planned.subject, tx.now_ms)
            if other is not None:
                return No(
                    "proposed_already",
                    f"{planned.title}: proposal {other} is open; have it approved, or "
                    f"withdraw it: bankgw resolve --withdraw {other} --reason …",
                )
            made = Proposal(
                key,
                wanted.kind,
                planned.subject,
                wanted.to,
                wanted.note,
                evidence,
                planned.action.text(),
                proposals.signature_of(person, signature),
                tx.now_ms,
                expires_ms,
            )
            if not proposals.store_proposal(tx, made, call.peer.actor):
                return No("used", f"proposal {key} exists already; begin again")
            return made

        said = await self.ports.store.write(_noting(make_proposal, call, key))
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, proposal=key)
        return self._shown(said)

    # ---- looking ----

    @answers("proposals.list")
    async def listing(self, call: Call) -> Any:
        found = await self.ports.store.read(proposals.listing)
        return {"proposals": [self._shown(one) for one in found]}

    @answers("proposals.show")
    async def show(self, call: Call, params: NamedProposal) -> Any:
        """One proposal: its text, and its evidence, which the second person judges. The audit trail notes
        who saw it.
        """
        key = params.proposal

        def read_and_audit(tx: Tx) -> Proposal | No:
            found = proposals.fetch(tx.fresh, key) or _no_proposal(key)
            if isinstance(found, No):
                return found
            audit.append(tx, call.peer.actor, "proposal.shown", found.subject, {"proposal": key})
            return found

        found = await self.ports.store.write(read_and_audit)
        if isinstance(found, No):
            raise refused(found, actor=call.peer.actor)
        return {**self._shown(found), "evidence": b64encode(found.evidence).decode()}

    @answers("lanes.forgotten")
    async def past(self, call: Call) -> Any:
        """Answer with the sends that the database does not have any more and only this machine's permit log has."""
        past = self.ports.past.past()
        lanes = {name: {"forgotten": count, "cleared": name in past.cleared} for name, count in past.by_lane().items()}
        sends = [
            {"lane": lane, "bank_reference": ref, "attempt": one.attempt}
            for one in past.sends
            for lane, _, ref in [one.ref.rpartition("/")]
        ]
        return {"episode": past.episode or None, "lanes": lanes, "sends": sends, "gaps": tell(past)}

    def _shown(self, one: Proposal) -> dict[str, Any]:
        expired = one.state is ProposalState.OPEN and one.expires_ms <= self.ports.clock.now_ms()
        return {
            "proposal": one.proposal,
            "kind": one.kind.value,
            "subject": one.subject,
            "to": one.to,
            "state": "expired" if expired else one.state.value,
            "by": one.first.person,
            "by_uid": one.first.uid,
            "made_at": instant(one.made_ms),
            "expires_at": instant(one.expires_ms),
            "note": one.note,
            "text": one.text,
            "digest": one.digest,
            "evidence_sha256": proposal_text.sha256(one.evidence) if one.evidence else None,
        }

    # ---- the second person ----

    @answers("proposals.approve")
    async def approve(self, call: Call, params: NamedProposal) -> Any:
        """Verify both signatures against the journal's present state and carry out the proposal, once, in one unit."""
        key, digest, signature = params.proposal, call.text("digest"), _octets(call, "signature")
        await liquidity.freshen(await self.ports.store.read(lambda conn: proposals.fetch(conn, key)), self.ports)

        def approve_proposal(tx: Tx) -> _Done | No:
            proposal = proposals.fetch(tx.fresh, key)
            if proposal is None:
                return _no_proposal(key)
            second = self._second(tx, proposal, call.peer, digest, signature)
            if isinstance(second, No):
                return second
            return self._carry_out(tx, proposal, proposals.signature_of(second, signature), call.peer)

        said = await self.ports.store.write(_noting(approve_proposal, call, key))
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, proposal=key)
        done = said.proposal
        if done.kind is ProposalKind.LEAVE_SAFE_MODE:
            self.ports.past.let_go(done.subject)
        elif said.carried.stop is not None:
            self.ports.stop.on_written(said.carried.stop)
        elif said.carried.pause is not None and done.kind is ProposalKind.RESUME_COMPANY:
            self.ports.lanes.companies.apply({done.subject: said.carried.pause})
        elif said.carried.pause is not None:
            self.ports.lanes.lanes[done.subject].apply_pause(said.carried.pause)
        elif said.carried.run is not None:
            await self.ports.pools.carry_on(said.carried.run)
        elif said.carried.back is not None:
            self.ports.pools.on_payment(said.carried.back)
        elif done.kind is ProposalKind.REPAIR:
            for lane in self.ports.lanes.lanes.values():
                lane.mended()
        elif done.kind in people_changes.KINDS:
            self.sessions.end_of(done.subject)
        return {**self._shown(done), "state": ProposalState.DONE.value}

    def _second(self, tx: Tx, proposal: Proposal, peer: PeerCredentials, digest: str, signature: bytes) -> Person | No:
        """The second person, if both persons and both signatures are valid."""
        key, first = proposal.proposal, proposal.first
        if proposal.state is not ProposalState.OPEN:
            return No(
                "used",
                f"proposal {key} is {proposal.state.value} already, and each is used once; "
                f"look at {proposal.subject} before you propose again",
            )
        if proposal.expires_ms <= tx.now_ms:
            return No("expired", f"proposal {key} expired at {instant(proposal.expires_ms)}; have it proposed again")
        person = _signer(tx, peer, proposal.kind, proposal.subject, second=True)
        if isinstance(person, No):
            return person
        if proposal.kind in people_changes.KINDS and person.name == proposal.subject:
            return No("same_person", f"proposal {key} is about {person.name}, who cannot approve it")
        if entitlements.one_seat(tx.fresh, person.name, first.person, tx.now_ms):
            return No(
                "same_person" if person.name == first.person else "one_seat",
                f"proposal {key} was made by {first.person} (uid {first.uid}); a second person with another user "
                f"and another key must approve it, and neither may stand in for the other",
            )
        if digest != proposal.digest:
            return No(
                "altered",
                f"proposal {key}: you signed other words than {first.person} did. Nothing was done; "
                f"show the proposal again, and ask {first.person} what was meant",
            )
        entitled = entitlements.of_name(tx.fresh, first.person, tx.now_ms)
        if isinstance(entitled, No) or (entitled.person.uid, entitled.person.fingerprint) != (first.uid, first.key):
            return No(
                "first_is_gone",
                f"proposal {key}: {first.person} is not enrolled with that user and key any "
                f"more; have somebody else propose it",
            )
        gone = _why_no_part(tx, entitled, proposal.kind, proposal.subject, second=False)
        if gone is not None:
            return No(
                "first_is_gone",
                f"proposal {key}: {first.person} may not propose this any more ({gone.why}); "
                f"have somebody else propose it",
            )
        proposer = entitled.person
        if not proposer.signed(first.octets, proposals.to_sign(proposal.digest, Role.PROPOSE)):
            return No(
                "altered",
                f"proposal {key}: the signature of {first.person} does not fit its words; the "
                f"database was tampered with. Stop, and look into the audit trail",
            )
        if not person.signed(signature, proposals.to_sign(digest, Role.APPROVE)):
            return _bad_signature(person)
        return self._why_stale(tx, proposal, proposer) or person

    def _why_stale(self, tx: Tx, proposal: Proposal, proposer: Person) -> No | None:
        """The reason why the proposal is out of date: its text, made anew in the same form, differs from the signed
        one."""
        key, form = proposal.proposal, signed_text.form_of(proposal.text)
        if form is None:
            return No(
                "stale",
                f"proposal {key} was made by a version of bankgw whose texts this one does not know. Nothing was done; "
                f"approve it with that version, or withdraw it and propose again",
            )
        wanted = ProposedAction(
            proposal.kind,
            proposal.subject,
            proposal.to,
            proposal.note,
            proposal_text.sha256(proposal.evidence) if proposal.evidence else None,
        )
        planned = proposal_text.action(tx, wanted, key, proposer, proposal.expires_ms, self.ports, form)
        if isinstance(planned, No):
            return No("stale", f"proposal {key} is out of date: {planned.why}")
        if planned.action.digest() != proposal.digest:
            return No(
                "stale",
                f"proposal {key} is out of date: {planned.title} has moved on since. Nothing was done; "
                f"look at it, withdraw the proposal and propose again if it is still needed",
            )
        return None

    def _carry_out(self, tx: Tx, proposal: Proposal, second: Signature, peer: PeerCredentials) -> _Done | No:
        done = decisions.carry_out(tx, proposal, second, peer, self.ports)
        if isinstance(done, No):
            return done
        names = {"by": [proposal.first.person, second.person], "digest": proposal.digest}
        proposals.signed(tx, proposal, Role.PROPOSE, proposal.first, PeerCredentials(proposal.first.uid).actor)
        proposals.signed(tx, proposal, Role.APPROVE, second, peer.actor)
        ended = proposals.settle(tx, proposal, ProposalState.DONE, peer.actor, names)
        assert ended, "it was open in this very unit"
        return _Done(proposal, done)

    @answers("proposals.withdraw")
    async def withdraw(self, call: Call, params: WithdrawProposal) -> Any:
        """End a proposal without carrying it out."""
        key, reason = params.proposal, params.reason

        def withdraw_proposal(tx: Tx) -> Proposal | No:
            found = proposals.fetch(tx.fresh, key) or _no_proposal(key)
            if isinstance(found, No):
                return found
            if not proposals.settle(tx, found, ProposalState.WITHDRAWN, call.peer.actor, {"reason": reason}):
                return No("used", f"proposal {key} is {found.state.value} already; nothing was changed")
            return found

        found = await self.ports.store.write(withdraw_proposal)
        if isinstance(found, No):
            raise refused(found, actor=call.peer.actor)
        return {**self._shown(found), "state": ProposalState.WITHDRAWN.value}


def _noting(unit: Any, call: Call, key: str) -> Any:
    """The same unit, which also records its refusal in the audit trail."""

    def noted(tx: Tx) -> Any:
        said = unit(tx)
        if isinstance(said, No):
            audit.append(tx, call.peer.actor, "proposal.refused", f"proposal:{key}", {"code": said.code})
        return said

    return noted


def _signer(tx: Tx, peer: PeerCredentials, kind: ProposalKind, subject: str, *, second: bool = False) -> Person | No:
    """The enrolled person of this user, if the person's roles and scope allow a part in this decision."""
    found = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
    if isinstance(found, No):
        return found
    return _why_no_part(tx, found, kind, subject, second=second) or found.person


def _why_no_part(tx: Tx, found: EntitledPerson, kind: ProposalKind, subject: str, *, second: bool) -> No | None:
    """The reason why the person's present roles and scope allow no part in the decision; None if they allow it."""
    why = judge_decision(kind, found.grants, second=second)
    if why:
        return No("not_allowed", f"{found.person.name}: {why}; nothing was changed")
    if kind in _TEXTS or kind is ProposalKind.REPAIR:
        return (
            None
            if _everywhere(found.grants)
            else No(
                "out_of_scope",
                f"a {kind.value} is about all accounts, and {found.person.name} is a supervisor of some; "
                f"nothing was changed",
            )
        )
    if kind not in people_changes.KINDS and not _in_scope(
        tx, found.grants.where({PersonRole.SUPERVISOR}), kind, subject
    ):
        return No(
            "out_of_scope",
            f"{subject} is outside of the scope in which {found.person.name} is a supervisor; nothing was changed",
        )
    if kind is ProposalKind.RELEASE and _made(tx, found.person, subject):
        return No("own_payment", f"{found.person.name} made it, or stands in for who did; somebody else releases it")
    return None


def _made(tx: Tx, person: Person, subject: str) -> bool:
    """True if the person made one of these orders, or counts as the same person as its maker."""
    makers = {row.order.maker for row in order_decisions.rows_of(tx.fresh, subject)}
    return any(one is not None and entitlements.one_seat(tx.fresh, person.name, one, tx.now_ms) for one in makers)


def _everywhere(grants: Grants) -> bool:
    return bool(ADMIN_ROLES & grants.roles) or grants.where({PersonRole.SUPERVISOR}).whole


def _in_scope(tx: Tx, scope: Scope, kind: ProposalKind, subject: str) -> bool:
    """Whether the subject is in the person's scope.

    A company is in the scope if the whole company is. Another subject that is not a single payment concerns all
    accounts. An order that does not exist has no account.
    """
    if scope.whole:
        return True
    if kind is ProposalKind.RESUME_COMPANY:
        return subject in scope.companies
    rows = order_decisions.rows_of(tx.fresh, subject)
    return bool(rows) and all(scope.covers(row.company, row.order.ours.account.clear) for row in rows)


def _bad_signature(person: Person) -> No:
    return No(
        "wrong_signature",
        f"that is not the signature of {person.name}: the key file is not the one enrolled "
        f"(fingerprint {person.fingerprint[:16]}…). Name the right file with --key, or have root remove "
        f"{person.name} and enrol again",
    )


def _no_proposal(key: str) -> No:
    return No("no_such_proposal", f"there is no proposal {key}; `bankgw resolve --list` shows them")


def _wanted(call: Call, evidence_sha256: str | None) -> ProposedAction:
    try:
        kind = ProposalKind(call.text("kind"))
    except ValueError:
        raise Denied(400, "bad_kind", f"`kind` is one of {', '.join(ProposalKind)}") from None
    to = _TEXTS[kind](call) if kind in _TEXTS else call.text("to")
    if kind in _TEXTS or kind is ProposalKind.POOL_RUN:
        pass  # the function that makes the text says whether it can be
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
        raise Denied(
            400,
            "missing",
            "a payment is decided on evidence: give --evidence FILE (the bank's letter, a statement, a screenshot)",
        )
    return ProposedAction(kind, call.text("subject"), to, call.text("note"), evidence_sha256)


def _octets(call: Call, name: str) -> bytes:
    given = call.body.get(name)
    try:
        return b64decode(given if isinstance(given, str) else "", validate=True)
    except ValueError:
        raise Denied(400, "not_base64", f"`{name}` must be base64") from None
