"""The parts of a signature: the kinds of proposals, the roles, the digest of a proposal's text and the signed octets.

The command line signs with these; the daemon verifies with the same functions of `gateway.people.rows`.
"""

from __future__ import annotations

from gateway.approvals.rows.approval_policies import SUBJECT as POLICY_SUBJECT
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.approvals.rows.approvals import to_sign as decision_to_sign
from gateway.kernel.cluster.stops import SUBJECT as STOP_SUBJECT
from gateway.people.rows.person_signatures import challenge as passkey_challenge
from gateway.people.rows.proposals import ProposalKind, Role, to_sign
from gateway.people.rules.signed_text import digest, effect_of, states_choice

__all__ = [
    "POLICY_SUBJECT",
    "STOP_SUBJECT",
    "ApprovalDecision",
    "ProposalKind",
    "Role",
    "decision_to_sign",
    "digest",
    "effect_of",
    "passkey_challenge",
    "states_choice",
    "to_sign",
]
