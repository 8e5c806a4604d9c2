"""Envelopes: the queue and form of replies, and the copy of a refused command for people."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.kernel.commit.rows import OutboxRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import Allowance
from gateway.kernel.deliveries import Delivery, Properties
from gateway.payments.erp import envelope
from gateway.register.registry import Sender
from protocols.canon.errors import Code, Refusal
from protocols.erp import replies
from protocols.erp.words import CommandType
from tests.world.entropy import SeededEntropy

AT_MS = 1_795_000_000_000
SENDER = Sender("kingdee", frozenset(), frozenset("*"), re.compile(r"erp-demo\..*"), Allowance("kingdee"))
TRACE = f"00-{1:032x}-{2:016x}-01"


class _Tx:
    now_ms = AT_MS
    node = "gw1"
    entropy = SeededEntropy(1)


TX = cast(Tx, _Tx())


def delivery(body: bytes = b"{}", key: str = "payment.submit", **said: Any) -> Delivery:
    return Delivery("bankgw.commands.money", 1, 1, False, "bankgw.commands", key, Properties(**said), body)


def letter(body: bytes = b"{}", **said: Any) -> envelope.Envelope:
    return envelope.envelope_of(delivery(body, **said), 0)


def answer(**said: Any) -> OutboxRow:
    reply = letter(**said).reply
    fields = {"event": "status.result", "id": "AP-1"}
    return envelope.answer_row(TX, reply, "status.result", fields, "kingdee", "pab")


# ---- reading ----


@pytest.mark.parametrize(
    ("said", "wanted"),
    [({"message_id": "m-1"}, "m-1"), ({"message_id": "m-1", "correlation_id": "c-1"}, "c-1"), ({}, None)],
)
def test_the_correlation_is_the_commands_own_or_its_message_id(said: dict[str, Any], wanted: str | None) -> None:
    assert letter(**said).reply.correlation_id == wanted


@pytest.mark.parametrize("spelled", ["erp-demo.replies", "/queues/erp-demo.replies", "/queues/erp-demo%2Ereplies"])
def test_both_spellings_of_reply_to_name_the_same_queue(spelled: str) -> None:
    said = letter(reply_to=spelled)
    assert said.problem is None and said.reply.reply_to == "erp-demo.replies"


@pytest.mark.parametrize(
    "bad", ["/exchanges/bankgw.commands", "/queues/", "/queues/a/b", "x\ny", "x" * 256, "/queues/%zz"]
)
def test_a_reply_to_that_is_no_queue_is_a_problem_and_names_none(bad: str) -> None:
    said = letter(reply_to=bad)
    assert said.problem is not None and said.problem.code is Code.REPLY_TO_REFUSED
    assert said.reply.reply_to is None


@pytest.mark.parametrize(
    ("content_type", "body", "wanted"),
    [
        ("application/xml", b"{}", "application/xml"),
        ("text/xml; charset=utf-8", b"{}", "application/xml"),
        ("application/json", b"<a/>", "application/json"),
        (None, b"  <a/>", "application/xml"),
        (None, b"{}", "application/json"),
        ("text/csv", b"<a/>", "application/json"),
    ],
)
def test_the_answer_has_the_form_of_the_question(content_type: str | None, body: bytes, wanted: str) -> None:
    assert letter(body, content_type=content_type).reply.content_type == wanted


@pytest.mark.parametrize("bad", ["", "x" * 2000, "00-zz", TRACE + "\n", 7, b"00", None])
def test_a_trace_that_has_not_the_form_of_one_is_not_kept(bad: Any) -> None:
    headers = {} if bad is None else {"traceparent": bad}
    assert letter(headers=headers).reply.traceparent is None
    assert letter(headers={"traceparent": TRACE}).reply.traceparent == TRACE


@pytest.mark.parametrize("value", [1, True, b"payment.submit", 1.5])
def test_headers_of_another_type_count_as_absent(value: Any) -> None:
    said = letter(headers={"type": value, "signature": value})
    assert said.header_type is None and said.signature is None


@pytest.mark.parametrize(
    ("queue", "money", "may"),
    [
        (None, True, True),
        ("erp-demo.replies", True, True),
        ("erp-demoXreplies", True, False),
        ("other.erp-demo.replies", True, False),
        ("erp-demo.replies\nmore", True, False),
        ("amq.rabbitmq.reply-to.g1h2", True, False),
        ("amq.rabbitmq.reply-to.g1h2", False, True),
        ("bankgw.commands.money", False, False),
    ],
)
def test_replies_go_only_where_the_sender_may_have_them(queue: str | None, money: bool, may: bool) -> None:
    said = letter()
    assert envelope.may_reply(replace(said, reply=replace(said.reply, reply_to=queue)), SENDER, money=money) is may


# ---- answering ----


def test_an_answer_goes_to_the_queue_it_asked_for() -> None:
    row = answer(reply_to="erp-demo.replies", message_id="m-1", headers={"traceparent": TRACE})
    assert (row.exchange, row.routing_key, row.correlation_id) == ("", "erp-demo.replies", "m-1")
    assert row.content_type == "application/json" and json.loads(row.body)["id"] == "AP-1"
    assert row.headers["traceparent"] == TRACE and row.headers["type"] == "status.result"
    assert (row.headers["bank"], row.headers["sender"]) == ("pab", "kingdee")
    assert row.headers["cloudEvents_id"] == row.message_id and row.message_id[14] == "7", "a UUIDv7"


def test_without_a_queue_it_is_an_event_for_the_sender_and_always_json() -> None:
    row = answer(content_type="application/xml")
    assert (row.exchange, row.routing_key) == ("bankgw.events", "status.result.pab.kingdee")
    assert row.content_type == "application/json" and row.body.startswith(b"{")


def test_no_two_answers_share_an_id() -> None:
    reply = letter().reply
    ids = [envelope.answer_row(TX, reply, "x.y", {}, "kingdee", None).message_id for _ in range(100)]
    assert len(set(ids)) == 100 and ids == sorted(ids)


# ---- refusing ----


def refusal(code: Code, sender: Sender | None = SENDER, **said: Any) -> tuple[OutboxRow | None, OutboxRow | None]:
    what = delivery(b'{"id":"AP-1"}', user_id="erp-user", **said)
    no = Refusal(code, "because")
    fields = replies.rejection(CommandType.PAYMENT_SUBMIT, "AP-1", no)
    return envelope.refusal_rows(TX, envelope.envelope_of(what, 0), what, no, "payment.rejected", fields, sender)


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.value)
def test_who_hears_of_a_refusal_and_whether_a_person_sees_it(code: Code) -> None:
    reply, parked = refusal(code, reply_to="erp-demo.replies", message_id="m-1")
    assert reply is not None and reply.routing_key == "erp-demo.replies" and reply.correlation_id == "m-1"
    assert (parked is not None) is (code in envelope.PARKED_CODES)


def test_a_refusal_to_nobody_is_always_seen_by_a_person() -> None:
    reply, parked = refusal(Code.VALIDATION, sender=None, message_id="m-1")
    assert reply is None and parked is not None
    assert (parked.exchange, parked.body) == ("bankgw.dead", b'{"id":"AP-1"}')
    assert parked.headers == {
        "refused": "validation",
        "refused_title": "because",
        "original_key": "payment.submit",
        "original_user": "erp-user",
        "original_queue": "bankgw.commands.money",
        "original_id": "m-1",
    }


def test_a_refusal_is_not_sent_to_a_queue_the_sender_may_not_use() -> None:
    reply, _parked = refusal(Code.REPLY_TO_REFUSED, reply_to="payroll.secrets")
    assert reply is not None
    assert (reply.exchange, reply.routing_key) == ("bankgw.events", "payment.rejected.none.kingdee")


@pytest.mark.parametrize(
    ("said", "kept"),
    [("text/csv", "text/csv"), (None, "application/octet-stream"), ("x" * 65, "application/octet-stream")],
)
def test_a_parked_copy_has_its_own_content_type_if_it_is_one(said: str | None, kept: str) -> None:
    _reply, parked = refusal(Code.MALFORMED, content_type=said)
    assert parked is not None and parked.content_type == kept
