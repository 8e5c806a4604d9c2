"""The topology as RabbitMQ definitions, for sites where the broker is configured by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.erp.topology import COMMANDS, MARK_QUEUE, Topology
from protocols.erp.routing import EVENTS


@dataclass(frozen=True, slots=True)
class SenderAccess:
    """The broker access of one ERP sender: its name in routing keys and the broker users that belong to it.

    A user may publish commands, subscribe to this sender's events, and own queues named `erp-<sender>.…`.
    """

    sender: str
    users: tuple[str, ...]


def definitions(
    topology: Topology,
    *,
    vhost: str = "bankgw",
    gateway_user: str = "bankgw",
    senders: Sequence[SenderAccess] = (SenderAccess("demo", ("erp-demo",)),),
) -> dict[str, Any]:
    """The input for `rabbitmqctl import_definitions`. Users have no password and cannot log in until
    `rabbitmqctl change_password` sets one.
    """
    speakers = [(user, access.sender) for access in senders for user in access.users]
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(gateway_user), *(_user(user) for user, _sender in speakers)],
        "permissions": [
            _gateway_rights(vhost, gateway_user),
            *(_sender_rights(vhost, user, sender) for user, sender in speakers),
        ],
        "topic_permissions": [right for user, sender in speakers for right in _topics(vhost, user, sender)],
        "policies": list(policies(vhost)),
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.kind,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": dict(exchange.arguments),
            }
            for exchange in topology.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": dict(queue.arguments),
            }
            for queue in topology.queues
        ],
        "bindings": [
            {
                "source": bound.exchange,
                "vhost": vhost,
                "destination": bound.queue,
                "destination_type": "queue",
                "routing_key": bound.key,
                "arguments": {},
            }
            for bound in topology.bindings
        ],
    }


def policies(vhost: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Policies that keep broad policies of others off our queues: of ordinary policies only the one with the highest
    priority applies.
    """
    return (
        _policy(vhost, "bankgw", r"^bankgw\.(commands\.|unrouted\.|audit\.|parked$)", "reject-publish"),
        _policy(vhost, "bankgw-mark", rf"^{re.escape(MARK_QUEUE)}$", "drop-head"),
    )


def _policy(vhost: str, name: str, pattern: str, overflow: str) -> dict[str, Any]:
    return {
        "vhost": vhost,
        "name": name,
        "pattern": pattern,
        # RabbitMQ 3.10 does not know "quorum_queues".
        "apply-to": "queues",
        "priority": 1000,
        "definition": {"overflow": overflow},
    }


def _user(name: str) -> dict[str, Any]:
    # An empty hash matches no password.
    return {"name": name, "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}


def _gateway_rights(vhost: str, user: str) -> dict[str, str]:
    # Replies go to the senders' queues over the default exchange, called amq.default in permissions.
    return {
        "user": user,
        "vhost": vhost,
        "configure": r"^bankgw\.",
        "write": r"^(bankgw\.|amq\.default$)",
        "read": r"^bankgw\.",
    }


def _sender_rights(vhost: str, user: str, sender: str) -> dict[str, str]:
    own = rf"erp-{re.escape(sender)}\..+|amq\.gen.*"
    return {
        "user": user,
        "vhost": vhost,
        "configure": f"^({own})$",
        "write": rf"^({own}|{re.escape(COMMANDS)})$",
        "read": rf"^({own}|{re.escape(EVENTS)})$",
    }


def _topics(vhost: str, user: str, sender: str) -> list[dict[str, str]]:
    # Read permissions are compared with binding keys, including wildcards, so the last word must be the sender's name.
    return [
        {"user": user, "vhost": vhost, "exchange": COMMANDS, "write": ".*", "read": "^$"},
        {
            "user": user,
            "vhost": vhost,
            "exchange": EVENTS,
            "write": "^$",
            "read": rf"^(([^.]+\.){{3}}|#\.){re.escape(sender)}$",
        },
    ]
