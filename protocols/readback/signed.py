"""Reads what a signature binds, for each bank whose messages the gateway signs itself.

The other banks' messages are signed in their front end (its key is not the gateway's), or not at all: there is no key
that a signer could hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocols.readback import signed_finws, signed_sample
from protocols.readback.paper import Unreadable
from protocols.readback.signed_message import SignedLine, SignedMessage

__all__ = ["SignedLine", "SignedMessage", "Unreadable", "judges", "signed_message", "why_not_judged"]

_READERS: Mapping[str, Callable[[bytes, bytes], SignedMessage]] = {
    "sample": signed_sample.signed_message,
    "finws": signed_finws.signed_message,
}


def judges(protocol: str) -> bool:
    """True if a signature of this bank can be read back before it is made."""
    return protocol in _READERS


def why_not_judged(protocol: str, *, encrypted: bool = False) -> str:
    """Why no signer can judge what a key of this bank signs; "" if one can. `encrypted`: by then the message is
    encrypted for the bank."""
    if not judges(protocol):
        return f"the messages of {protocol} cannot be read back before they are signed"
    return "what this key signs is encrypted for the bank, and cannot be read back" if encrypted else ""


def signed_message(protocol: str, octets: bytes, document: bytes) -> SignedMessage:
    """What a signature over these octets, which stand for the document, would say. Raises Unreadable."""
    return _READERS[protocol](octets, document)
