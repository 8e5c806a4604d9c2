"""The type of a message and the queue for its reply, from its routing key and properties alone."""

from __future__ import annotations

import re
from difflib import get_close_matches
from urllib.parse import unquote_to_bytes

from protocols.canon.errors import Code, Refusal
from protocols.erp.words import CommandType

EVENTS = "bankgw.events"
"""The exchange of all events."""
COMMAND_QUEUES = frozenset({"bankgw.commands.money", "bankgw.commands.query", "bankgw.commands.ledger"})
"""A message published straight to one of these has its name as routing key, which names no command."""
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
"""RabbitMQ's pseudo-queue; what arrives in a message is this name and a suffix. Fit for questions only."""
MAX_QUEUE_BYTES = 255

_NAMES = {kind.value: kind for kind in CommandType}
_QUEUE_PREFIX = "/queues/"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SHOWN_CHARS = 64


def message_type(routing_key: str, header_type: str | None, property_type: str | None) -> CommandType | Refusal:
    """The command's name: from the routing key, else header `type`, else property `type`.

    Those that are present must agree. A name that is no command is refused with the nearest one that is.
    """
    key = "" if routing_key in COMMAND_QUEUES else routing_key
    named = [
        (where, name)
        for where, name in (("routing key", key), ("header type", header_type), ("property type", property_type))
        if name
    ]
    if not named:
        return Refusal(Code.UNKNOWN_TYPE, f"the message names no command; use routing key {_list(_NAMES)}")
    for where, name in named:
        if name not in _NAMES:
            return _unknown(where, name)
    if len({name for _where, name in named}) > 1:
        said = ", ".join(f"{where} {name}" for where, name in named)
        return Refusal(Code.TYPE_CONFLICT, f"the message names different commands: {said}")
    return _NAMES[named[0][1]]


def reply_queue(reply_to: str) -> str | Refusal:
    """The queue a reply goes to, from either spelling: `NAME`, or `/queues/NAME` percent-encoded (AMQP 1.0).

    Another check decides whether this sender may use it.
    """
    name = reply_to
    if reply_to.startswith("/"):
        encoded = reply_to.removeprefix(_QUEUE_PREFIX)
        if encoded == reply_to or "/" in encoded or _BROKEN_ESCAPE.search(encoded):
            return _no_queue("an address must be /queues/NAME with NAME percent-encoded")
        try:
            name = unquote_to_bytes(encoded).decode("utf-8")
        except UnicodeDecodeError:
            return _no_queue("the queue's name is not UTF-8")
    if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_QUEUE_BYTES or not name.isprintable():
        return _no_queue(f"a queue's name has 1 to {MAX_QUEUE_BYTES} bytes, all printable")
    return name


def is_direct(queue: str) -> bool:
    """True for RabbitMQ's direct reply-to. It vanishes with its client, so it is not allowed for money."""
    return queue == DIRECT_REPLY_TO or queue.startswith(f"{DIRECT_REPLY_TO}.")


def _unknown(where: str, name: str) -> Refusal:
    shown = _shown(name)
    near = get_close_matches(name[:_SHOWN_CHARS], _NAMES, n=1)
    advice = f"did you mean {near[0]}?" if near else f"this version offers {_list(_NAMES)}"
    return Refusal(Code.UNKNOWN_TYPE, f"{where} {shown!r} names no command; {advice}")


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}..."


def _list(names: dict[str, CommandType]) -> str:
    return ", ".join(names)


def _no_queue(why: str) -> Refusal:
    return Refusal(Code.REPLY_TO_REFUSED, f"reply-to cannot be used: {why}")
