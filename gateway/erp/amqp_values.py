"""Converts message properties from the client library to our own types. Nothing in them is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.kernel.deliveries import NO_HEADERS, Properties, Scalar

_SCALARS = frozenset((str, int, float, bool, bytes))
_TEXTS = ("content_type", "correlation_id", "reply_to", "expiration", "message_id", "type", "user_id", "app_id")


def properties(found: Any) -> tuple[Properties, str | None]:
    """The message's AMQP properties, and a remark about those left out because they are not text."""
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
    """The message's routing key. Bytes that are not text become question marks, and so match no command."""
    text = found if isinstance(found, str) else found.decode("ascii", "replace").replace("\ufffd", "?")
    return text if _is_text(text) else "".join("?" if char < " " or char == "\x7f" else char for char in text)


def _is_text(value: object) -> bool:
    """True for text without control characters. The client library passes bytes where a text is not UTF-8."""
    return type(value) is str and (value.isprintable() or not any(char < " " or char == "\x7f" for char in value))
