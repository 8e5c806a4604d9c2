"""JSON Schema 2020-12 of every message, from the classes of its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, State
from protocols.erp.messages import Message, Voice
from protocols.erp.told import Told

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(message: Message) -> dict[str, Any]:
    """The schema of one message's JSON body. What `read` accepts is valid; `read` checks a little more."""
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
    _tidy(made, _open if issubclass(form, Told) else _nullable)
    return made


def _tidy(node: Any, optional: Callable[[dict[str, Any]], None]) -> None:
    """Drop pydantic's titles and write each field that may be absent as `optional` says."""
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
        # Alone this would let every other name pass; the form of all names is meant.
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
    """What the gateway says may grow fields, and what it does not know it leaves out: it never says null."""
    if node["default"] is None:
        del node["default"]


def _nullable(node: dict[str, Any]) -> None:
    """In a command null means the same as leaving the field out."""
    if "$ref" in node:
        node["anyOf"] = [{"$ref": node.pop("$ref")}, {"type": "null"}]
        return
    node["type"] = [node["type"], "null"]
    if "enum" in node:
        node["enum"] = [*node["enum"], None]


def _pin(made: dict[str, Any], message: Message) -> None:
    """A payment's message names itself, and an event its state: a validator can tell one from another."""
    if message.voice is Voice.COMMAND:
        return
    for form in made.get("anyOf", [made]):
        fields = form["properties"]
        if "event" not in fields:
            continue
        fields["event"]["const"] = message.name
        if message.voice is Voice.EVENT and message.name != CORRECTION_EVENT and message.state is not None:
            _pin_state(fields, message.state)


def _pin_state(fields: dict[str, Any], state: State) -> None:
    facts = STATE_TABLE[state]
    fields["state"]["const"] = state.value
    fields["final"]["const"] = facts.final
    fields["iso"]["const"] = facts.iso
    fields["certainty"]["const"] = facts.certainty.value
