"""Frames of a publish: byte for byte what pika writes."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pika
import pika.channel
import pika.connection
import pika.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.erp import frames
from gateway.erp.amqp import _encodable
from gateway.erp.wire import Message, Properties

FRAME_MAX = 4096
WORDS = st.text(st.characters(codec="utf-8"), max_size=60)
MAYBE = st.none() | WORDS


def by_pika(message: Message, login: str | None, mandatory: bool) -> bytes:
    written: list[bytes] = []
    body_max = FRAME_MAX - 8
    link = SimpleNamespace(_body_max_length=body_max, _output_marshaled_frames=written.extend)
    method = pika.spec.Basic.Publish(exchange=message.exchange, routing_key=message.routing_key, mandatory=mandatory)
    core: Any = pika.connection.Connection
    core._send_message(link, 7, method, (_encodable(message, login), message.body))
    return b"".join(written)


@given(
    st.builds(
        Message, WORDS, WORDS, st.binary(max_size=9000),
        st.builds(
            Properties, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, st.none() | st.integers(0, 2**64 - 1), MAYBE,
            st.dictionaries(WORDS, WORDS, max_size=4),
        ),
        persistent=st.booleans(),
    ),
    MAYBE, st.booleans(),
)  # fmt: skip
def test_the_bytes_are_those_of_pika(message: Message, login: str | None, mandatory: bool) -> None:
    ours = frames.publish(7, message, login, mandatory=mandatory, frame_max=FRAME_MAX)
    assert ours == by_pika(message, login, mandatory)


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 2 * (FRAME_MAX - 8)])
def test_bodies_at_the_edges_of_a_frame(size: int) -> None:
    message = Message("", "q", b"x" * size, Properties(message_id="m"))
    ours = frames.publish(7, message, None, mandatory=True, frame_max=FRAME_MAX)
    assert ours == by_pika(message, None, True)


@pytest.mark.parametrize("value", [1, True, 1.5, b"x"])
def test_headers_that_are_no_text_are_left_to_pika(value: Any) -> None:
    with pytest.raises(frames.NotPlain):
        frames.publish(1, Message("", "q", b"", Properties(headers={"n": value})), None, mandatory=True, frame_max=4096)


def test_what_amqp_cannot_carry() -> None:
    for wrong in (Properties(message_id="x" * 256), Properties(headers={"x" * 256: "v"}), Properties(type="x" * 256)):
        with pytest.raises(ValueError, match="255"):
            frames.publish(1, Message("", "q", b"", wrong), None, mandatory=True, frame_max=4096)
    with pytest.raises(struct.error):
        frames.publish(1, Message("", "q", b"", Properties(timestamp=-1)), None, mandatory=True, frame_max=4096)
