"""Message types and reply queues: the type in every place where a message may state it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.errors import Code, Refusal
from protocols.erp.routing import is_direct, message_type, reply_queue
from protocols.erp.words import MONEY_COMMANDS, CommandType


def refusal(*named: str | None) -> Refusal:
    key, header, property_type = named
    found = message_type(key or "", header, property_type)
    assert isinstance(found, Refusal)
    return found


@pytest.mark.parametrize("type_", CommandType)
def test_each_place_names_it(type_: CommandType) -> None:
    name = type_.value
    assert message_type(name, None, None) is type_
    assert message_type("", name, None) is type_
    assert message_type("", None, name) is type_
    assert message_type(name, name, name) is type_
    assert message_type("bankgw.commands.money", name, None) is type_
    assert message_type("bankgw.commands.query", None, name) is type_


def test_places_must_agree() -> None:
    for named in (
        ("payment.submit", "payment.cancel", None),
        ("payment.submit", None, "status.query"),
        (None, "payment.submit", "payment.cancel"),
        ("payment.submit", "payment.submit", "status.query"),
    ):
        found = refusal(*named)
        assert found.code is Code.TYPE_CONFLICT
        for name in filter(None, named):
            assert name in found.title


def test_the_nearest_name_is_told() -> None:
    assert "did you mean payment.submit?" in refusal("payment.sumbit", None, None).title
    assert "did you mean balance.query?" in refusal("balances.query", None, None).title
    assert "did you mean payment.submit?" in refusal("Payment.Submit", None, None).title.replace("Did", "did")
    assert refusal("payment.sumbit", None, None).code is Code.UNKNOWN_TYPE


def test_what_is_unknown_or_nothing() -> None:
    for named in (
        (None, None, None),
        ("xyz", None, None),
        ("payment.submit", "nonsense", None),
        ("bankgw.commands.money", None, None),
        ("payment.submit.extra.words", None, None),
    ):
        found = refusal(*named)
        assert found.code is Code.UNKNOWN_TYPE
        assert "payment.submit" in found.title
    assert len(refusal("p" * 255, None, None).title) < 150 + len(", ".join(CommandType))


def test_only_orders_their_withdrawal_and_decisions_are_money() -> None:
    assert {type_.value for type_ in MONEY_COMMANDS} == {
        "payment.submit",
        "payment.cancel",
        "payment.approve",
        "payment.reject",
        "transfer.submit",
        "batch.submit",
        "payroll.submit",
        "collection.submit",
    }


@given(st.text(), st.none() | st.text(), st.none() | st.text())
def test_any_names_are_answered(key: str, header: str | None, property_type: str | None) -> None:
    assert isinstance(message_type(key, header, property_type), (CommandType, Refusal))


@pytest.mark.parametrize(
    ("reply_to", "queue"),
    [
        ("erp.replies", "erp.replies"),
        ("/queues/erp.replies", "erp.replies"),
        ("/queues/a%2Fb%20c", "a/b c"),
        ("/queues/%E5%BA%94%E7%AD%94", "应答"),
        ("应答", "应答"),
        ("a%2Fb", "a%2Fb"),
        ("queues/x", "queues/x"),
    ],
)
def test_both_spellings_of_a_reply_queue(reply_to: str, queue: str) -> None:
    assert reply_queue(reply_to) == queue


@pytest.mark.parametrize(
    "reply_to",
    [
        "",
        "/",
        "/queues/",
        "/exchanges/x",
        "/queues/a/b",
        "/queues/%zz",
        "/queues/%ff",
        "/queues/a%",
        "/QUEUES/x",
        "x" * 256,
        "a\nb",
        "/queues/a%00b",
        "/queues/%2F" + "x" * 255,
    ],
)
def test_what_is_no_reply_queue(reply_to: str) -> None:
    found = reply_queue(reply_to)
    assert isinstance(found, Refusal)
    assert found.code is Code.REPLY_TO_REFUSED


@given(st.text())
def test_any_reply_to_is_answered(reply_to: str) -> None:
    for spelling in (reply_to, f"/queues/{reply_to}"):
        found = reply_queue(spelling)
        assert isinstance(found, Refusal) or 0 < len(found.encode()) <= 255


def test_direct_reply_to_is_seen() -> None:
    assert is_direct("amq.rabbitmq.reply-to")
    assert is_direct("amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMjM")
    assert not is_direct("amq.rabbitmq.reply-tox")
    assert not is_direct("erp.amq.rabbitmq.reply-to")
