"""JSON Schema 2020-12 of every message, from the classes of its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, State
from protocols.erp.messages import Message, MessageWay
from protocols.erp.told import GatewayForm

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(message: Message) -> dict[str, Any]:
    """The schema of one message's JSON body. Every body that `read` accepts is valid; `read` checks a little more."""
    made = _of(message.form)
    if message.other is not None:
        other = _of(message.other)
        definitions = {**made.pop("$defs", {}), **other.pop("$defs", {})}
        made = {"anyOf": [made, other], "$defs": definitions}
    head = {"$schema": DIALECT, "$id": f"urn:bankgw:schema:1:{message.name}", "title": message.name}
    said = {"description": message.meaning, "x-zh": message.meaning_zh}
    made = {**head, **made, **said}
    _pin(made, message)
    return made


def _of(form: type[BaseModel]) -> dict[str, Any]:
    made = form.model_json_schema(by_alias=True)
    _tidy(made, _open if issubclass(form, GatewayForm) else _nullable)
    return made


def _tidy(node: Any, optional: Callable[[dict[str, Any]], None]) -> None:
    """Remove pydantic's titles, and write each field that may be absent as `optional` says."""
    if isinstance(node, list):
        for item in node:
            _tidy(item, optional)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]
    if optional is _open and node.get("additionalProperties") is False:
        del node["additionalProperties"]
    if "patternProperties" in node:
        # This rule checks the form of all names. Alone it would let every other name pass.
        ((pattern, node["additionalProperties"]),) = node.pop("patternProperties").items()
        node["propertyNames"] = {"pattern": pattern}
    choices = node.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        node.pop("anyOf")
        kept = next(choice for choice in choices if choice != {"type": "null"})
        node.update({name: value for name, value in kept.items() if name not in node})
        node.setdefault("default", None)
    if "default" in node:
        optional(node)
    for value in node.values():
        _tidy(value, optional)


def _open(node: dict[str, Any]) -> None:
    """Open the schema of the gateway's own messages: further fields are allowed. Unknown values are left out and never
    null."""
    if node["default"] is None:
        del node["default"]


def _nullable(node: dict[str, Any]) -> None:
    """Allow null for optional fields: in a command null means the same as leaving the field out."""
    if "$ref" in node:
        node["anyOf"] = [{"$ref": node.pop("$ref")}, {"type": "null"}]
        return
    node["type"] = [node["type"], "null"]
    if "enum" in node:
        node["enum"] = [*node["enum"], None]


def _pin(made: dict[str, Any], message: Message) -> None:
    """Pins the message's name, and an event's state, in the schema, so that a validator can distinguish messages."""
    if message.voice is MessageWay.COMMAND:
        return
    for form in made.get("anyOf", [made]):
        fields = form["properties"]
        if "event" not in fields:
            continue
        fields["event"]["const"] = message.name
        if message.voice is MessageWay.EVENT and message.name != CORRECTION_EVENT and message.state is not None:
            _pin_state(fields, message.state)


def _pin_state(fields: dict[str, Any], state: State) -> None:
    facts = STATE_TABLE[state]
    fields["state"]["const"] = state.value
    fields["final"]["const"] = facts.final
    fields["iso"]["const"] = facts.iso
    fields["certainty"]["const"] = facts.certainty.value
