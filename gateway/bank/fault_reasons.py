"""The ways an exchange can fail, as slugs for the journal and the metrics."""

from __future__ import annotations

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.handshake_errors import Reason
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

REMEDIES = {
    "no_answer": "the bank took the connection and never answered: ask what its log says of this connection; a wrong "
    "length or charset can leave it waiting for more",
    "bank_silent": "the bank has not answered yet: probe again with a longer --wait, and ask what its log says",
    "closed_without_answer": "the bank closed instead of answering: ask what its log says; check that this address and "
    "certificate are registered for the test environment",
    "half_answer": "the bank closed in the middle of an answer: ask what its log says; compare the framing",
    "answer_stalled": "the bank stopped in the middle of an answer: compare the length that it states with what came",
    "too_slow": "the answer did not end in time: ask the bank; compare the length that it states with what came",
    "bad_frame": "these bytes are no message of this bank's framing: check the port, and what stands in front of the "
    "front end; compare the framing",
    "two_answers": "two messages came where one was asked for: ask the bank; compare the framing",
    "unasked_bytes": "the bank spoke unasked: check the port, and what stands in front of the front end",
    "declined": "the bank says no in its own words: ask what its code means; check the login's credentials and rights",
    "signature": "the bank's signature does not fit: save the answer and run bankgw explain on it; check the bank's "
    "certificate in the settings",
    "key_gone": "a signing key signs nothing now: bankgw status names the key and the remedy",
    "bad_answer": "the answer breaks the protocol as this bank's page has it: compare the bytes with its manual",
}
"""The remedy for a failed exchange, by its reason."""
_HANDSHAKE = {one.value: one.remedy for one in Reason}
SIGNATURE_REASONS = frozenset({"unsigned", "structure", "algorithm", "digest", "signature", "wrong_key"})


def reason_of(error: NotConnected | NoAnswer | ProtocolError) -> str:
    """The slug for a fault of an exchange."""
    if isinstance(error, NotConnected):
        return f"not_connected:{error.reason.value}"
    return f"bad_answer:{error.reason}" if isinstance(error, ProtocolError) else error.reason


def signed_out(error: Exception) -> bool:
    """True if the bank said that it does not know the session, or no longer knows it."""
    return isinstance(error, Declined) and error.outcome == "signed_out"


def remedy(slug: str) -> str:
    """The advice for a lane that is down for this reason; empty if there is none."""
    word = slug.partition(":")[0]
    return _HANDSHAKE.get(word) or REMEDIES.get("signature" if word in SIGNATURE_REASONS else word, "")
