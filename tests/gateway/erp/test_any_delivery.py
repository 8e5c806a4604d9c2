"""Every delivery, of any form, ends in one unit of the journal and one acknowledgement."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kernel.deliveries import Delivery, Properties
from tests.world.world import OPERATIONS, REPLIES, USER, World

_texts = st.none() | st.text(max_size=20) | st.sampled_from([USER, REPLIES, "/queues/x%zz", "application/xml"])


_properties = st.builds(
    Properties,
    message_id=_texts,
    correlation_id=_texts,
    reply_to=_texts,
    user_id=st.sampled_from([USER, None, "x"]),
    type=_texts,
    content_type=_texts,
    timestamp=st.none() | st.integers(0, 2**63),
    expiration=_texts,
    headers=st.dictionaries(st.sampled_from(["type", "traceparent", "signature"]), st.integers() | st.text(max_size=9)),
)


_bodies = st.binary(max_size=40) | st.sampled_from(
    [b"{}", b"[]", b"<a/>", b'{"id":"A"}', b'{"accounts":["0001"]}', b'{"id":"A","amount":1e999}']
)


_keys = st.sampled_from([*OPERATIONS, "bankgw.commands.money"]) | st.text(max_size=12)


@settings(max_examples=15)
@given(st.lists(st.tuples(_keys, _properties, _bodies, st.booleans()), min_size=20, max_size=40))
def test_whatever_is_delivered_ends_in_one_unit_and_one_acknowledgement(
    deliveries: list[tuple[str, Properties, bytes, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        life = world.start()
        world.run(0.1)
        acked: list[int] = []

        def ack(delivery: Delivery, multiple: bool = False) -> bool:
            acked.append(delivery.tag)
            return True

        vars(life.gateway.intake._amqp)["ack"] = ack
        for tag, (key, said, body, again) in enumerate(deliveries):
            life.gateway.intake.deliver(Delivery("bankgw.commands.money", tag, 1, again, "", key, said, body))
        world.run(5)
        assert sorted(acked) == list(range(len(deliveries)))
        assert life.gateway.intake.under_way == 0 and not life.fatal
        assert not world.bank.ledger.executions
