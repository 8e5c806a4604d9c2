"""Properties and routing keys that are not text: pika gives them as bytes, or with the received characters."""

from __future__ import annotations

import struct

import pika
import pytest

from gateway.erp.amqp_values import properties, routing_key
from gateway.kernel.deliveries import Properties


def test_properties_that_are_no_text_are_left_out_and_named() -> None:
    """A correlation id in GBK, and a message id with a control character, as they come from the wire."""
    words = ("订单".encode("gbk"), b"replies.jia", b"m\x00-1")
    flags = struct.pack(">H", 0x0400 | 0x0200 | 0x0080)
    found = pika.BasicProperties().decode(flags + b"".join(bytes([len(word)]) + word for word in words))
    said, unfit = properties(found)
    assert said == Properties(reply_to="replies.jia")
    assert unfit == "correlation-id, message-id: not UTF-8, or with control characters"


def test_properties_that_are_text_are_all_there() -> None:
    found = pika.BasicProperties(correlation_id="付款\u3000一", message_id="m-1", reply_to="erp.replies")
    said, unfit = properties(found)
    assert unfit is None
    assert said == Properties(correlation_id="付款\u3000一", message_id="m-1", reply_to="erp.replies")


@pytest.mark.parametrize(
    ("came", "shown"),
    [("payment.submit", "payment.submit"), ("付款", "付款"), (b"pay\xb8\xb6", "pay??"), ("pay\x00\n", "pay??")],
)
def test_a_routing_key_is_text_and_no_longer_than_it_came(came: str | bytes, shown: str) -> None:
    assert routing_key(came) == shown
