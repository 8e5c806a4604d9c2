"""The sign port of a front end (INFOSEC_SIGN/1.0). It takes a message and returns a signature that contains it."""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Final

from protocols.bank import Ask, QuestionStep
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ErrorReason, ProtocolError

SIGN_TYPE: Final = "INFOSEC_SIGN/1.0"
"""Content-Type of a request to sign."""
_WHITE: Final = b" \t\r\n"


def signed(request: bytes, content: bytes, *, check_content: bool = True) -> Generator[QuestionStep, bytes, bytes]:
    """Ask the port "sign" for a signature, and return it in Base64 without line ends. The question may be repeated.

    `request` is the whole HTTP request that has `content`. Raises Declined if the port refuses, or if its answer cannot
    be used: nothing was sent yet, and asking again later is harmless.
    """
    answer = yield Ask("sign", request)
    try:
        result, page = result_of(answer)
        if result != "0":
            raise Declined("sign", result, "the sign port refused", "retry")
        signature = without_blanks(element(page, "sign"))
        # If two signatures were swapped, we would send another payment under this one's number. The signature must be
        # Base64 in any case, because it is written into a request as text.
        octets = decoded(signature)
        if check_content and content not in octets:
            raise ProtocolError("signature", "the sign port's answer does not contain what was to be signed")
    except Declined:
        raise
    except ProtocolError as error:
        raise Declined("sign", error.reason, error.text, "retry") from None
    return signature


def result_of(answer: bytes) -> tuple[str, bytes]:
    """The result and the page in the port's answer. Other elements differ between versions and are not checked."""
    page = http.body_of(answer)
    return element(page, "result").strip().decode("ascii", "replace"), page


def element(page: bytes, tag: str) -> bytes:
    """The text of the only element with this name. Raises "missing" or "ambiguous"."""
    begin, end = f"<{tag}>".encode(), f"</{tag}>".encode()
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(end) < page.index(begin):
        reason: ErrorReason = "missing" if begin not in page else "ambiguous"
        raise ProtocolError(reason, f"the sign port's answer has not exactly one {tag}")
    return page[page.index(begin) + len(begin) : page.index(end)]


def without_blanks(data: bytes) -> bytes:
    """Base64 text without its line ends and blanks."""
    return data.translate(None, _WHITE)


def decoded(data: bytes) -> bytes:
    """The octets of Base64 without line ends, read strictly. Raises "value"."""
    try:
        plain = base64.b64decode(data, validate=True)
    except ValueError:
        plain = b""
    if not plain:
        raise ProtocolError("value", "not Base64")
    return plain
