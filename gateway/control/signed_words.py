"""What a person signs: the kinds of proposals, the roles, the digest of a proposal's text and the octets under it.

The command line signs with these; the daemon verifies with the same functions of `gateway.journal.people`.
"""

from __future__ import annotations

from gateway.journal.cluster.stops import SUBJECT as STOP_SUBJECT
from gateway.journal.people.approval_policies import SUBJECT as POLICY_SUBJECT
from gateway.journal.people.approvals import ApprovalDecision
from gateway.journal.people.approvals import to_sign as decision_to_sign
from gateway.journal.people.person_signatures import challenge as passkey_challenge
from gateway.journal.people.proposals import ProposalKind, Role, digest, to_sign

__all__ = [
    "POLICY_SUBJECT", "STOP_SUBJECT", "ApprovalDecision", "ProposalKind", "Role", "decision_to_sign", "digest",
    "passkey_challenge", "to_sign",
]  # fmt: skip
