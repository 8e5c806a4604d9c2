"""The optional signature of a message: HMAC-SHA256 over its id and body, in header `signature`.

A sender with a configured key must sign every command. Sender and broker are already authenticated; the signature shows
that nobody in between, not even the broker, changed the order.
"""

from __future__ import annotations

import hmac

HEADER = "signature"


def sign(key: bytes, body: bytes, message_id: str) -> str:
    """The header's value: 64 lowercase hex digits of HMAC-SHA256(key, message-id, line feed, body).

    `message_id` is the AMQP property. Raises ValueError if it is empty or has a line feed, because its end must be
    unambiguous.
    """
    if not message_id or "\n" in message_id:
        raise ValueError("a signed message needs a message-id without line feeds")
    return hmac.new(key, message_id.encode("utf-8", "surrogatepass") + b"\n" + body, "sha256").hexdigest()


def check_signature(key: bytes, body: bytes, message_id: str | None, header: str | None) -> bool:
    """Whether `header` signs this body under this id. Compares in constant time; never raises."""
    if not message_id or not header or "\n" in message_id:
        return False
    expected = sign(key, body, message_id)
    return hmac.compare_digest(expected.encode(), header.lower().encode("utf-8", "surrogatepass"))
