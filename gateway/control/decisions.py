"""What a decision of two persons does, once both signatures are verified: in the unit that verified them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.control import linked_orders, liquidity, order_decisions, people_changes, policy_changes, proposal_text
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.peer_credentials import PeerCredentials
from gateway.core import flow
from gateway.core.states import Deny, Resolve, Source
from gateway.journal.cluster import lane_pauses, restored_database, stops
from gateway.journal.cluster.lane_pauses import PauseState
from gateway.journal.commit import audit
from gateway.journal.commit.hand_over import Applied
from gateway.journal.commit.rows import Evidence, PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import lookup, payees
from gateway.journal.payments import transition as applying
from gateway.journal.payments.pool_moves import PoolRun
from gateway.journal.people.persons import No
from gateway.journal.people.proposals import Proposal, ProposalKind, Signature


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What was done to a payment, or said about the emergency stop or a lane; the run that was planned, or the payment
    that brings money back."""

    applied: Applied | None = None
    stop: stops.Stop | None = None
    pause: PauseState | None = None
    run: PoolRun | None = None
    back: PaymentRow | None = None


def carry_out(
    tx: Tx, proposal: Proposal, second: Signature, peer: PeerCredentials, daemon_handle: DaemonHandle
) -> CarriedOut | No:
    """Do what both signed. The words were made again in this unit, so that the subject is as they say."""
    names = {"by": [proposal.first.person, second.person], "digest": proposal.digest}
    actor = f"persons:{proposal.first.person}+{second.person}"
    if proposal.kind is ProposalKind.RESOLVE:
        return _resolve(tx, proposal, actor)
    if proposal.kind in people_changes.KINDS:
        people_changes.carry_out(tx, proposal, peer.actor, names)
    elif proposal.kind is ProposalKind.POLICY:
        return policy_changes.carry_out(tx, proposal, peer.actor, names) or CarriedOut()
    elif proposal.kind is ProposalKind.POOL:
        return liquidity.carry_out(tx, proposal, peer.actor, names) or CarriedOut()
    elif proposal.kind is ProposalKind.POOL_RUN:
        run = liquidity.plan_signed(tx, proposal.subject, proposal.to, actor, daemon_handle)
        return run if isinstance(run, No) else CarriedOut(run=run)
    elif proposal.kind is ProposalKind.LINK:
        said = linked_orders.carry_out(tx, proposal.subject, proposal.to, proposal.note, actor, daemon_handle)
        return said if isinstance(said, No) else CarriedOut(back=said)
    elif proposal.kind is ProposalKind.RESTART:
        detail = {**names, "proposal": proposal.proposal}
        return CarriedOut(stop=stops.say(tx, actor, proposal.note, stopped=False, detail=detail))
    elif proposal.kind is ProposalKind.RELEASE:
        no = order_decisions.carry_out(tx, proposal.subject, proposal.to, proposal.note, actor, daemon_handle)
        return no or CarriedOut()
    elif proposal.kind is ProposalKind.RESUME_LANE:
        detail = {**names, "proposal": proposal.proposal, "reason": proposal.note}
        return CarriedOut(pause=lane_pauses.say(tx, proposal.subject, actor, paused=False, detail=detail))
    elif proposal.kind is ProposalKind.REGISTER:
        row = lookup.fetch(tx.fresh, proposal.subject)
        assert row is not None, "the action was made of it in this unit"
        payees.register(tx, row.sender, row.order, proposal.proposal)
        audit.append(tx, peer.actor, "payee.registered", row.payment, {**names, "sender": row.sender,
                     "payee": payees.blind_key(tx.vault, row.order), "reason": proposal.note})  # fmt: skip
    else:
        restored_database.clear(tx, proposal.subject, daemon_handle.past().episode, proposal.proposal)
        forgotten = len(daemon_handle.past().of_lane(proposal.subject))
        audit.append(tx, peer.actor, "lane.past_cleared", proposal.subject, {**names, "forgotten": forgotten,
                     "episode": daemon_handle.past().episode, "reason": proposal.note})  # fmt: skip
    return CarriedOut()


def _resolve(tx: Tx, proposal: Proposal, actor: str) -> CarriedOut | No:
    row = lookup.fetch(tx.fresh, proposal.subject)
    assert row is not None, "the action was made of it in this unit"
    event = Resolve(tx.now_ms, proposal_text.FATES[proposal.to], attempt=row.life.attempt)
    # The table has the last word: what it denies changes nothing.
    if any(isinstance(effect, Deny) for effect in flow.step(row.life, event).effects):
        return No("not_now", f"payment {row.payment} is {row.life.state.value}, and the table does not allow "
                  f"{proposal.to} from there; nothing was changed")  # fmt: skip
    evidence = Evidence(Source.PERSONS, proposal.evidence, event.fate, note=proposal.note)
    return CarriedOut(applying.apply(tx, row.payment, event, epoch=None, actor=actor, evidence=evidence))
