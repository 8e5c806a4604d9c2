"""The `next` of a page: the bank's own continuation value, sealed so that only the same question can use it.

The seal prevents tampering, not reading: the cursor has nothing that the ERP does not know, but a changed, cut or
copied cursor must never reach a bank.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from protocols.canon.errors import Code, Refusal

_TAG_BYTES = 16


def seal(key: bytes, question: tuple[str, ...], cursor: str) -> str:
    """The `next` for this question: base64url without padding, of the contract's alphabet.

    `question` has the values that must be the same when the cursor comes back (sender, account, first and last day).
    """
    payload = cursor.encode()
    return urlsafe_b64encode(_tag(key, question, payload) + payload).rstrip(b"=").decode("ascii")


def unseal(key: bytes, question: tuple[str, ...], sealed: str) -> str | Refusal:
    """The bank's cursor that `seal` sealed for this very question, or a `bad_cursor` refusal. Never raises."""
    try:
        data = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
    except (Error, ValueError):
        return _BAD
    tag, payload = data[:_TAG_BYTES], data[_TAG_BYTES:]
    # Base64 can spell one value in several ways. Only the spelling that was given out is accepted.
    if not hmac.compare_digest(tag, _tag(key, question, payload)) or seal(key, question, payload.decode()) != sealed:
        return _BAD
    return payload.decode()


_BAD = Refusal(
    Code.BAD_CURSOR,
    "after is not a continuation of this question; send it as it came, with the same account and dates, "
    "or ask for the first page",
)


def _tag(key: bytes, question: tuple[str, ...], payload: bytes) -> bytes:
    parts = [part.encode() for part in question]
    framed = b"".join(b"%d:%b" % (len(part), part) for part in (b"cursor", *parts, payload))
    return hmac.new(key, framed, "sha256").digest()[:_TAG_BYTES]
