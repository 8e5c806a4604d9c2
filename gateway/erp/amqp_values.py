"""From what the client library reads in a message's envelope to our own values; nothing in them is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.erp.amqp_types import NO_HEADERS, Properties, Scalar

_SCALARS = frozenset((str, int, float, bool, bytes))
_TEXTS = ("content_type", "correlation_id", "reply_to", "expiration", "message_id", "type", "user_id", "app_id")


def properties(found: Any) -> tuple[Properties, str | None]:
    """The properties; and what is said of those that are left out because they are no text."""
    headers: Mapping[str, Scalar] = NO_HEADERS
    if found.headers:
        headers = {k: v for k, v in found.headers.items() if type(v) in _SCALARS and type(k) is str}
    texts = {name: getattr(found, name) for name in _TEXTS}
    unfit = [name for name, value in texts.items() if value is not None and not _is_text(value)]
    said = Properties(timestamp=found.timestamp, headers=headers, **(texts | dict.fromkeys(unfit)))
    if not unfit:
        return said, None
    names = ", ".join(name.replace("_", "-") for name in unfit)
    return said, f"{names}: not UTF-8, or with control characters"


def routing_key(found: str | bytes) -> str:
    """A routing key as it came; what is no text in it is shown as question marks, and makes it none of ours."""
    text = found if isinstance(found, str) else found.decode("ascii", "replace").replace("\ufffd", "?")
    return text if _is_text(text) else "".join("?" if char < " " or char == "\x7f" else char for char in text)


def _is_text(value: object) -> bool:
    """The client hands over bytes where a sender's text is not UTF-8; no journal or log takes a control character."""
    return type(value) is str and (value.isprintable() or not any(char < " " or char == "\x7f" for char in value))
