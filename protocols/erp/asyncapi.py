"""The contract as an AsyncAPI 3.0 document, seen from the gateway: it receives commands and sends events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.erp.messages import MESSAGES, Message, MessageWay
from protocols.erp.routing import EVENTS

_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_DURABLE_TOPIC = {"type": "topic", "durable": True, "autoDelete": False, "vhost": "bankgw"}
_HEADERS = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "the message's name"},
        "bank": {"type": "string"},
        "sender": {"type": "string"},
        "traceparent": {"type": "string", "description": "W3C trace context, echoed"},
        "cloudEvents_specversion": {"type": "string", "const": "1.0"},
        "cloudEvents_type": {"type": "string"},
        "cloudEvents_source": {"type": "string"},
        "cloudEvents_id": {"type": "string", "description": "the message-id; a repeat has the same"},
        "cloudEvents_time": {"type": "string", "format": "date-time"},
    },
}
_COMMAND_HEADERS = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "optional; must agree with the routing key"},
        "traceparent": {"type": "string"},
        "signature": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "HMAC-SHA256, see index.md"},
    },
}


def document(version: str, examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The AsyncAPI document. `examples` are bodies by file name (`payment.submit`, `payment.submit+least`)."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for message in MESSAGES.values():
        if message.voice is MessageWay.COMMAND:
            channels[message.name] = _command_channel(message)
            operations[f"receive {message.name}"] = _command_operation(message)
        elif message.voice is MessageWay.EVENT:
            channels[message.name] = _event_channel(message)
            operations[f"send {message.name}"] = {
                "action": "send",
                "channel": {"$ref": f"#/channels/{message.name}"},
                "summary": message.meaning,
            }
    channels["replies"] = _replies_channel()
    return {
        "asyncapi": "3.0.0",
        "id": "urn:bankgw:1",
        "info": {
            "title": "bankgw ERP contract",
            "version": version,
            "description": "Commands of an ERP, replies and events of the gateway, on RabbitMQ. "
            "Every payment, exactly once. Times are UTC; money is a string.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": {name: _message(message, examples) for name, message in MESSAGES.items()}},
    }


def _command_channel(message: Message) -> dict[str, Any]:
    return {
        "address": message.name,
        "messages": _refs(message.name),
        "description": message.meaning,
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": "bankgw.commands", **_DURABLE_TOPIC}}},
    }


def _command_operation(message: Message) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{message.name}"},
        "summary": message.meaning,
        "reply": {
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{name}"} for name in message.replies],
        },
    }


def _event_channel(message: Message) -> dict[str, Any]:
    return {
        "address": f"{message.name}.{{bank}}.{{sender}}",
        "parameters": {
            "bank": {"description": "the bank that carries the order"},
            "sender": {"description": "the configured sender whose order it is"},
        },
        "messages": _refs(message.name),
        "description": message.meaning,
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": EVENTS, **_DURABLE_TOPIC}}},
    }


def _replies_channel() -> dict[str, Any]:
    names = [message.name for message in MESSAGES.values() if message.voice is MessageWay.REPLY]
    return {
        "address": None,
        "description": "the queue named by the command's reply-to property",
        "messages": {name: ref for each in names for name, ref in _refs(each).items()},
    }


def _refs(name: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"}}


def _message(message: Message, examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    shown = [
        {"name": name, "payload": body} for name, body in examples.items() if name.partition("+")[0] == message.name
    ]
    headers = _COMMAND_HEADERS if message.voice is MessageWay.COMMAND else _HEADERS
    return {
        "name": message.name,
        "title": message.name,
        "summary": message.meaning,
        "contentType": "application/json",
        "headers": headers,
        "correlationId": {
            "location": "$message.header#/correlation_id",
            "description": "AMQP property; default is the command's message-id",
        },
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"schema/{message.name}.json"}},
        "examples": shown,
        "bindings": {"amqp": {"contentEncoding": "utf-8", "messageType": message.name}},
    }
