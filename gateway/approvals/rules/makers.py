"""The bytes that a maker signs: that the person made this order or batch, for this environment and this sender."""

from __future__ import annotations

_DOMAIN = b"bankgw makers 1"


def to_sign(environment: str, sender: str, fingerprint: str) -> bytes:
    """The bytes of a maker's signature. `fingerprint` is the order's or the batch's: `v1:` and 64 hex digits.

    An order's id is in the fingerprint and is used once for ever, so that a signature serves one order only.
    """
    return b"\n".join((_DOMAIN, environment.encode(), sender.encode(), fingerprint.encode()))
