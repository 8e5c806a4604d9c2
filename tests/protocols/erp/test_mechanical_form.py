"""The XML form of every message: each JSON value survives the way there and back, and the XSD accepts every example."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from protocols.erp import replies, schema, xml_form
from protocols.erp.messages import MESSAGES, Message, MessageWay
from protocols.erp.xml_form import Shape

_texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=20)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """JSON values of a message's form, with any of its fields."""
    if shape.kind == "integer":
        return st.integers(-999_999_999, 999_999_999)
    if shape.kind == "boolean":
        return st.booleans()
    if shape.kind == "array":
        assert shape.inner is not None
        return st.lists(values(shape.inner), max_size=3)
    if shape.kind == "map":
        return st.dictionaries(_texts.filter(bool), _texts, max_size=3)
    if shape.kind == "object":
        assert shape.fields is not None
        return st.fixed_dictionaries({}, optional={name: values(inner) for name, inner in shape.fields.items()})
    return _texts


def _drawn(message: Message) -> st.SearchStrategy[tuple[Message, Any]]:
    return values(xml_form.shape(message.form)).map(lambda value: (message, value))


@settings(max_examples=400)
@given(st.sampled_from(list(MESSAGES.values())).flatmap(_drawn))
def test_every_message_survives_the_round_trip(drawn: tuple[Message, Any]) -> None:
    message, value = drawn
    if message.voice is MessageWay.COMMAND:
        document = xml_form.xml_document(message.name, value, message.form)
    else:
        document = replies.reply_body(message.name, value, "application/xml")
    assert xml_form.parse(document, message.name, message.form) == value


def test_the_xsd_takes_every_example_and_knows_every_message() -> None:
    made = schema.files()
    xsd = etree.XMLSchema(etree.fromstring(made["bankgw-1.xsd"]))
    shown = {name: data for name, data in made.items() if name.endswith(".xml")}
    assert {name.removeprefix("examples/").removesuffix(".xml").partition("+")[0] for name in shown} == set(MESSAGES)
    for name, data in shown.items():
        assert xsd.validate(etree.fromstring(data)), f"{name}: {xsd.error_log}"
