"""The ways an exchange can fail, as slugs for the journal and the metrics."""

from __future__ import annotations

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

SIGNATURE_REASONS = frozenset({"unsigned", "structure", "algorithm", "digest", "signature", "wrong_key"})


def reason_of(error: NotConnected | NoAnswer | ProtocolError) -> str:
    """A fault as one slug."""
    if isinstance(error, NotConnected):
        return f"not_connected:{error.reason.value}"
    return f"bad_answer:{error.reason}" if isinstance(error, ProtocolError) else error.reason


def signed_out(error: Exception) -> bool:
    """Whether the bank said that it does not know the session (any more)."""
    return isinstance(error, Declined) and error.outcome == "signed_out"
