"""Carries out a decision of two persons, in the unit that verified both signatures."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.approvals.act_answers import policy_changes
from gateway.call import PeerCredentials
from gateway.control import proposal_text
from gateway.control.ports import DecisionPorts
from gateway.kernel.cluster import lane_pauses, restored_database, stops
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.commit import audit
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import Evidence, PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import flow
from gateway.kernel.core.states import Deny, Resolve, Source
from gateway.payments.act_answers import order_decisions, repairs
from gateway.payments.rows import lookup, payees
from gateway.payments.rows import transition as applying
from gateway.people.act_answers import people_changes
from gateway.people.rows.persons import No
from gateway.people.rows.proposals import Proposal, ProposalKind, Signature
from gateway.pools.act_answers import linked_orders, liquidity
from gateway.pools.rows.pool_moves import PoolRun

_MAKES_PAYMENTS = (ProposalKind.POOL_RUN, ProposalKind.LINK)


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of a decision of two persons: a changed payment, an entry about the emergency stop, a lane or a
    company, a planned run, or the payment that brings money back."""

    applied: Applied | None = None
    stop: stops.Stop | None = None
    pause: PauseState | None = None
    run: PoolRun | None = None
    back: PaymentRow | None = None


def carry_out(
    tx: Tx, proposal: Proposal, second: Signature, peer: PeerCredentials, ports: DecisionPorts
) -> DecisionResult | No:
    """Carry out the proposal that both persons signed. The same unit has made its text again, which proves that the
    subject has not changed."""
    names = {"by": [proposal.first.person, second.person], "digest": proposal.digest}
    actor = f"persons:{proposal.first.person}+{second.person}"
    if proposal.kind in _MAKES_PAYMENTS and ports.node.safe_mode():
        return No(
            "not_now",
            "in SAFE MODE no payment is made, because the database may have forgotten that it was "
            "made before; end SAFE MODE first (docs/do/restore.md). Nothing was moved",
        )
    if proposal.kind is ProposalKind.RESOLVE:
        return _resolve(tx, proposal, actor)
    if proposal.kind in people_changes.KINDS:
        people_changes.carry_out(tx, proposal, peer.actor, names)
    elif proposal.kind is ProposalKind.POLICY:
        return policy_changes.carry_out(tx, proposal, peer.actor, names) or DecisionResult()
    elif proposal.kind is ProposalKind.POOL:
        return liquidity.carry_out(tx, proposal, peer.actor, names) or DecisionResult()
    elif proposal.kind is ProposalKind.POOL_RUN:
        run = liquidity.plan_signed(tx, proposal.subject, proposal.to, actor, ports)
        return run if isinstance(run, No) else DecisionResult(run=run)
    elif proposal.kind is ProposalKind.LINK:
        said = linked_orders.carry_out(tx, proposal.subject, proposal.to, proposal.note, actor, ports.pools)
        return said if isinstance(said, No) else DecisionResult(back=said)
    elif proposal.kind is ProposalKind.REPAIR:
        return repairs.carry_out(tx, proposal, actor, names) or DecisionResult()
    elif proposal.kind is ProposalKind.RESTART:
        detail = {**names, "proposal": proposal.proposal}
        return DecisionResult(stop=stops.say(tx, actor, proposal.note, stopped=False, detail=detail))
    elif proposal.kind is ProposalKind.RELEASE:
        no = order_decisions.carry_out(
            tx, proposal.subject, proposal.to, proposal.note, actor, ports.lanes.lanes, ports.accounts
        )
        return no or DecisionResult()
    elif proposal.kind is ProposalKind.RESUME_LANE:
        detail = {**names, "proposal": proposal.proposal, "reason": proposal.note}
        return DecisionResult(pause=lane_pauses.say(tx, proposal.subject, actor, paused=False, detail=detail))
    elif proposal.kind is ProposalKind.RESUME_COMPANY:
        detail = {**names, "proposal": proposal.proposal, "reason": proposal.note}
        key = lane_pauses.COMPANY + proposal.subject
        return DecisionResult(pause=lane_pauses.say(tx, key, actor, paused=False, detail=detail))
    elif proposal.kind is ProposalKind.REGISTER:
        row = lookup.fetch(tx.fresh, proposal.subject)
        assert row is not None, "the action was made of it in this unit"
        payees.register(tx, row.sender, row.order, proposal.proposal)
        audit.append(
            tx,
            peer.actor,
            "payee.registered",
            row.payment,
            {**names, "sender": row.sender, "payee": payees.blind_key(tx.vault, row.order), "reason": proposal.note},
        )
    else:
        restored_database.let_go(tx, proposal.subject, ports.past.past(), proposal.proposal)
        forgotten = len(ports.past.past().of_lane(proposal.subject))
        audit.append(
            tx,
            peer.actor,
            "lane.past_cleared",
            proposal.subject,
            {**names, "forgotten": forgotten, "episode": ports.past.past().episode, "reason": proposal.note},
        )
    return DecisionResult()


def _resolve(tx: Tx, proposal: Proposal, actor: str) -> DecisionResult | No:
    row = lookup.fetch(tx.fresh, proposal.subject)
    assert row is not None, "the action was made of it in this unit"
    event = Resolve(tx.now_ms, proposal_text.FATES[proposal.to], attempt=row.life.attempt)
    # The state table decides last: a transition that it denies changes nothing.
    if any(isinstance(effect, Deny) for effect in flow.step(row.life, event).effects):
        return No(
            "not_now",
            f"payment {row.payment} is {row.life.state.value}, and the table does not allow "
            f"{proposal.to} from there; nothing was changed",
        )
    evidence = Evidence(Source.PERSONS, proposal.evidence, event.fate, note=proposal.note)
    return DecisionResult(applying.apply(tx, row.payment, event, epoch=None, actor=actor, evidence=evidence))
