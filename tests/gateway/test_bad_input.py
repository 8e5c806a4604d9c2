"""Every mistake of a sender ends in one documented refusal, one count, one log line and nothing else.

Each case goes through a whole gateway; the good order right behind it must settle as if nothing had happened.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.erp import signature
from protocols.erp.words import MAX_BODY_BYTES
from tests.world.lines import events, lines
from tests.world.world import REPLIES, USER, Life, World

Body = Callable[[World], Any]
OTHER_ACCOUNT = "00000000000999"
_ACCOUNTS = [
    {"number": number, "name": "示例甲公司", "company": "jia", "bank": "sample"}
    for number in ("00000000000100", OTHER_ACCOUNT)
]


def order(**changes: Any) -> Body:
    return lambda world: {**world.order("BAD"), **changes}


def debtor(account: str) -> Body:
    return order(debtor={"account": account, "name": "示例甲公司"})


def creditor(**changes: str) -> Body:
    return lambda world: {**world.order("BAD"), "creditor": {**world.order("BAD")["creditor"], **changes}}


def raw(data: bytes) -> Body:
    return lambda _world: data


@dataclass(frozen=True)
class Case:
    """A bad command and its expected result. `answer`: `reply`, `event` (no queue may be used) or `none`."""

    name: str
    code: str
    body: Body = field(default_factory=order)
    key: str = "payment.submit"
    said: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[tuple[str, str], ...] = ()
    answer: str = "reply"
    parked: bool = False
    type: str = "payment.submit"
    world: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event(self) -> str:
        return "payment.rejected" if self.type == "payment.submit" else "command.rejected"


_XML = {"content_type": "application/xml"}
_DTD = b'<!DOCTYPE x [<!ENTITY e "1">]><payment.submit xmlns="urn:bankgw:1"><id>BAD</id></payment.submit>'
_PAB = {"banks": ("pab",)}

CASES = (
    Case("unknown_key_on_the_money_queue", "unknown_type", key="payment.nothing", parked=True, type="unknown"),
    Case("key_no_queue_is_bound_to", "unknown_type", key="paymnt.submit", parked=True, type="unknown"),
    Case("property_contradicts_key", "type_conflict", said={"type": "balance.query"}, parked=True, type="unknown"),
    Case(
        "header_contradicts_key",
        "type_conflict",
        said={"headers": {"type": "payment.cancel"}},
        parked=True,
        type="unknown",
    ),
    Case("money_without_user_id", "no_sender", said={"user": None}, answer="notice", parked=True),
    Case(
        "cancel_without_user_id",
        "no_sender",
        raw(b'{"id":"BAD"}'),
        "payment.cancel",
        {"user": None},
        answer="notice",
        parked=True,
        type="payment.cancel",
    ),
    Case("unknown_sender", "unknown_sender", said={"user": "stranger"}, answer="notice", parked=True),
    Case(
        "anonymous_question_without_such_a_sender",
        "unknown_sender",
        raw(b'{"accounts":["00000000000100"]}'),
        "balance.query",
        {"user": None},
        answer="notice",
        parked=True,
        type="balance.query",
    ),
    Case(
        "unreadable_properties",
        "malformed",
        said={"undecodable": "header table of 3 bytes, says 900"},
        answer="none",
        parked=True,
        type="unknown",
    ),
    Case("json_number_for_money", "schema", order(amount=100.5), faults=(("/amount", "type"),)),
    Case("exponent_for_money", "schema", order(amount="1e5"), faults=(("/amount", "amount"),)),
    Case(
        "all_faults_at_once",
        "schema",
        order(amount="1,00", currency="cny", purpose=7, wings="2"),
        faults=(("/amount", "amount"), ("/currency", "currency"), ("/purpose", "type"), ("/wings", "unknown_field")),
    ),
    Case(
        "body_over_the_limit", "too_large", raw(b'{"id":"' + b"x" * MAX_BODY_BYTES + b'"}'), parked=True, type="unknown"
    ),
    Case("broken_json", "malformed", raw(b'{"id":"BAD",'), parked=True),
    Case("json_with_a_name_twice", "malformed", raw(b'{"id":"BAD","id":"BAD2"}'), parked=True),
    Case(
        "not_utf8",
        "malformed",
        lambda world: json.dumps(world.order("BAD"), ensure_ascii=False).encode("gbk"),
        parked=True,
    ),
    Case("other_content_type", "malformed", said={"content_type": "text/csv"}, parked=True),
    Case("broken_xml", "malformed", raw(b"<payment.submit><id>BAD</id>"), said=_XML, parked=True),
    Case("xml_with_a_dtd", "malformed", raw(_DTD), said=_XML, parked=True),
    Case(
        "xml_of_another_command",
        "malformed",
        raw(b'<payment.cancel xmlns="urn:bankgw:1"><id>BAD</id></payment.cancel>'),
        said=_XML,
        parked=True,
    ),
    Case("unknown_account", "validation", debtor("00000000007777"), faults=(("/debtor/account", "unknown_account"),)),
    Case(
        "question_about_an_unknown_account",
        "validation",
        raw(b'{"accounts":["00000000007777"]}'),
        "balance.query",
        faults=(("/accounts/0", "unknown_account"),),
        type="balance.query",
    ),
    Case(
        "account_of_another_sender",
        "validation",
        debtor(OTHER_ACCOUNT),
        faults=(("/debtor/account", "account_not_allowed"),),
        world={"sender": {"accounts": ["00000000000100"]}, "settings": {"accounts": _ACCOUNTS}},
    ),
    Case(
        "question_about_another_senders_account",
        "validation",
        raw(json.dumps({"account": OTHER_ACCOUNT, "from": "2026-11-18", "to": "2026-11-18"}).encode()),
        "transactions.query",
        faults=(("/account", "account_not_allowed"),),
        type="transactions.query",
        world={"sender": {"accounts": ["00000000000100"]}, "settings": {"accounts": _ACCOUNTS}},
    ),
    Case(
        "closed_account",
        "validation",
        debtor(OTHER_ACCOUNT),
        faults=(("/debtor/account", "account_closed"),),
        world={"settings": {"accounts": [_ACCOUNTS[0], {**_ACCOUNTS[1], "closed": "2026-01-01"}]}},
    ),
    Case(
        "over_the_limit_per_payment",
        "validation",
        order(amount="500.01"),
        faults=(("/amount", "over_limit"),),
        world={"sender": {"limits": {"per_payment": "500.00"}}},
    ),
    Case("currency_of_another_account", "validation", order(currency="USD"), faults=(("/currency", "currency"),)),
    Case(
        "character_the_bank_lacks",
        "validation",
        creditor(name="䶮公司"),
        faults=(("/creditor/name", "charset"),),
        world=_PAB,
    ),
    Case(
        "purpose_over_the_banks_limit",
        "validation",
        order(purpose="款" * 31),
        faults=(("/purpose", "too_long"),),
        world=_PAB,
    ),
    Case(
        "name_over_the_limit_in_gbk_bytes",
        "validation",
        creditor(name="示例乙有限公司a"),
        faults=(("/creditor/name", "too_long"),),
        world={**_PAB, "bank_options": {"max_name_bytes": 14}},
    ),
    Case(
        "stale_valid_until",
        "expired",
        lambda world: {**world.order("BAD"), "valid_until": world.moment(-1)},
        faults=(("/valid_until", "time"),),
    ),
    Case(
        "reply_to_outside_the_pattern",
        "reply_to_refused",
        said={"reply_to": "payroll.secrets"},
        answer="event",
        parked=True,
    ),
    Case(
        "reply_to_that_is_no_address",
        "reply_to_refused",
        said={"reply_to": "/exchanges/x"},
        answer="event",
        parked=True,
    ),
    Case(
        "operation_not_allowed",
        "not_allowed",
        raw(b'{"id":"BAD"}'),
        "payment.cancel",
        type="payment.cancel",
        world={"sender": {"operations": ["payment.submit"]}},
    ),
    Case(
        "cancel_of_an_unknown_order", "unknown_payment", raw(b'{"id":"BAD"}'), "payment.cancel", type="payment.cancel"
    ),
    Case("status_of_an_unknown_order", "unknown_payment", raw(b'{"id":"BAD"}'), "status.query", type="status.query"),
)


def answer_to(world: World, message_id: str) -> list[dict[str, Any]]:
    return [body for said, body in world.replies if said.correlation_id == message_id]


def refused(life: Life, code: str) -> float:
    return life.sample("bankgw_refusals_total", code=code)


def nothing_is_left(world: World, life: Life) -> None:
    assert not any(world.broker.queues[name] for name in ("bankgw.commands.money", "bankgw.commands.query"))
    assert not life.amqp.unacked, "every command was acknowledged"
    assert not life.fatal
    assert life.gateway.intake.under_way == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_command_is_refused_and_disturbs_nothing(case: Case, tmp_path: Path) -> None:
    with lines() as heard:
        world = World(tmp_path, **case.world)
        life = world.start()
        world.run(1)
        world.command(case.key, case.body(world), **case.said)
        world.submit("GOOD")
        world.run(10)

    _check_answer(world, case)
    assert world.told("GOOD")[-1] == "payment.settled"
    assert len(world.bank.ledger.executions) == 1, "only the good order was booked"
    nothing_is_left(world, life)

    assert refused(life, case.code) == 1
    assert life.sample("bankgw_commands_total", type=case.type, result=case.code) == 1
    [line] = events(heard, "command.refused")
    assert line["code"] == case.code
    assert line["type"] == case.type
    assert OTHER_ACCOUNT not in str(heard)
    assert not [line for line in heard if line["log_level"] in ("error", "critical")]

    parked = world.broker.drain("bankgw.parked")
    assert len(parked) == case.parked
    if parked:
        [copy] = parked
        body = case.body(world)
        assert copy.body == (body if isinstance(body, bytes) else json.dumps(body).encode()), "the very message"
        # The broker itself parks a message that is too large, unchanged.
        if case.code != "too_large":
            assert copy.properties.headers["refused"] == case.code
            assert copy.properties.headers["original_key"] == case.key
    assert not world.broker.queues["bankgw.unrouted.commands"]
    assert not world.broker.queues["bankgw.unrouted.news"]


def _check_answer(world: World, case: Case) -> None:
    replies = answer_to(world, "m-1")
    told = [event for event in world.events if event.get("id") != "GOOD"]
    if case.answer == "none":
        assert not replies and not told, "nobody is known who could be told"
        return
    if case.answer == "notice":
        _check_notice(world, case)
        return
    if case.answer == "event":
        assert not replies
        [said] = told
    else:
        [said] = replies
    if "xml" in said:
        assert f"<code>{case.code}</code>" in said["xml"] and said["xml"].startswith("<")
        return
    assert said["event"] == case.event
    assert said["error"]["code"] == case.code
    assert said["error"]["type"] == f"urn:bankgw:error:{case.code}"
    assert said["error"]["resend"] in ("same_id", "new_id", "never")
    assert said["error"]["title"]
    found = {(one["at"], one["code"]) for one in said["error"].get("errors", [])}
    assert found == set(case.faults)


def _check_notice(world: World, case: Case) -> None:
    """The writer is unknown, so the owner of the queue gets a notice, which has no content that the writer chose."""
    [(said, body)] = [(said, body) for said, body in world.replies if body.get("id") != "GOOD"]
    assert set(body) == {"event", "error"} and body["event"] == said.headers["type"] == "command.rejected"
    assert body["error"]["code"] == case.code and body["error"]["resend"] == "same_id"
    assert said.correlation_id is None and said.headers["sender"] == "kingdee"
    assert "BAD" not in json.dumps(body), "the id is the writer's word"


def test_a_command_of_nobody_rings_an_alarm(tmp_path: Path) -> None:
    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.run(1)
        world.command("payment.submit", world.order("BAD"), user=None, reply_to="erp-other.replies")
        world.submit("GOOD")
        world.run(5)
    assert life.sample("bankgw_alarms_total", alarm="unknown_writer") == 1
    [line] = events(heard, "command.unknown_writer")
    assert (line["log_level"], line["code"], line["message_id"]) == ("warning", "no_sender", "m-1")
    assert {body["id"] for _said, body in world.replies} == {"GOOD"}, "a queue of nobody's is not written to"
    assert len(world.broker.drain("bankgw.parked")) == 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"valid_until": "2020-01-01T00:00:00+08:00"}, "expired"),
        ({"amount": 7}, "schema"),
        ({"debtor": {"account": "00000000000999", "name": "x"}}, "validation"),
        ({"debtor": {"account": "00000000000100", "name": "示例丙公司"}}, "validation"),
    ],
    ids=["expired", "schema", "account", "holder_name"],
)
def test_what_says_same_id_leaves_the_id_free(bad: dict[str, Any], code: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    world.command("payment.submit", world.order("AP-1", **bad))
    world.run(2)
    world.command("payment.submit", world.order("AP-1"))
    world.run(5)
    [said] = answer_to(world, "m-1")
    assert (said["error"]["code"], said["error"]["resend"]) == (code, "same_id")
    assert world.told("AP-1")[-1] == "payment.settled"
    assert len(world.bank.ledger.executions) == 1


@pytest.mark.parametrize(
    ("limits", "first", "bad"),
    [
        ({"per_day": "500.00"}, {}, {}),
        ({"per_account_day": "500.00"}, {}, {}),
        ({"per_payee_day": "500.00"}, {"account": "0000000000000000777"}, {"account": "0000000000000000777"}),
    ],
    ids=["per_day", "per_account_day", "per_payee_day"],
)
def test_each_sum_of_a_day_has_its_limit(
    limits: dict[str, str], first: dict[str, str], bad: dict[str, str], tmp_path: Path
) -> None:
    with lines() as heard:
        world = World(tmp_path, sender={"limits": limits})
        life = world.start()
        world.submit("FIRST", 40_000, creditor={**world.order("FIRST")["creditor"], **first})
        world.run(1)
        world.submit("BAD", 20_000, creditor={**world.order("BAD")["creditor"], **bad})
        world.submit("GOOD", 9_900)
        world.run(10)
    [said] = answer_to(world, "m-2")
    assert said["event"] == "payment.rejected" and said["state"] == "rejected"
    [fault] = said["error"]["errors"]
    assert (fault["at"], fault["code"], fault["limit"]) == ("/amount", "over_limit", "500.00")
    assert "100.00 is left" in fault["detail"]
    assert world.told("FIRST")[-1] == world.told("GOOD")[-1] == "payment.settled"
    assert len(world.bank.ledger.executions) == 2
    assert life.sample("bankgw_payments_total", bank="sample", state="rejected") == 1
    assert refused(life, "validation") == 1
    assert [line["code"] for line in events(heard, "command.refused")] == ["validation"]
    nothing_is_left(world, life)


def test_a_used_id_with_other_content_is_a_conflict_and_nothing_happens(tmp_path: Path) -> None:
    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.submit("AP-1", 10_000)
        world.run(5)
        before = world.last("AP-1")
        world.again("AP-1", fresh=True, amount="100.01")
        world.submit("GOOD")
        world.run(5)
    [said] = answer_to(world, "m-2")
    assert said["error"]["code"] == "id_conflict" and said["error"]["resend"] == "new_id"
    assert "state" not in said and "payment" not in said, "nothing that could be read as the first order's state"
    assert world.last("AP-1") == before
    assert len(world.bank.ledger.executions) == 2
    assert refused(life, "id_conflict") == 1
    assert [line["code"] for line in events(heard, "command.refused")] == ["id_conflict"]
    assert not world.broker.drain("bankgw.parked")
    nothing_is_left(world, life)


@pytest.mark.parametrize("spoil", ["missing", "wrong", "other_id", "other_body"])
def test_an_altered_message_of_a_signing_sender_is_refused(spoil: str, tmp_path: Path) -> None:
    key = tmp_path / "hmac"
    key.write_bytes(b"k" * 32)
    world = World(tmp_path, sender={"hmac_key": {"file": str(key)}})
    life = world.start()

    def signed(message_id: str, body: bytes, says: str) -> None:
        world.command("payment.submit", body, message_id=message_id, headers={signature.HEADER: says} if says else {})

    body = json.dumps(world.order("BAD")).encode()
    good = json.dumps(world.order("GOOD")).encode()
    says = {
        "missing": "",
        "wrong": "0" * 64,
        "other_id": signature.sign(b"k" * 32, body, "another"),
        "other_body": signature.sign(b"k" * 32, body + b" ", "bad"),
    }[spoil]
    with lines() as heard:
        signed("bad", body, says)
        signed("good", good, signature.sign(b"k" * 32, good, "good"))
        world.run(10)
    [said] = answer_to(world, "bad")
    assert said["error"]["code"] == "bad_signature"
    assert world.told("GOOD")[-1] == "payment.settled" and len(world.bank.ledger.executions) == 1
    assert len(world.broker.drain("bankgw.parked")) == 1
    assert refused(life, "bad_signature") == 1
    assert [line["code"] for line in events(heard, "command.refused")] == ["bad_signature"]
    nothing_is_left(world, life)


def test_a_vanished_reply_queue_parks_the_news_and_the_payment_is_finished(tmp_path: Path) -> None:
    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.command("payment.submit", world.order("AP-1"), reply_to="erp-demo.gone")
        world.submit("GOOD")
        world.run(10)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"], "the events come all the same"
    [copy] = world.broker.drain("bankgw.unrouted.news")
    assert json.loads(copy.body)["event"] == "payment.accepted"
    assert copy.properties.headers["unrouted_key"] == "erp-demo.gone"
    assert copy.properties.correlation_id == "m-1"
    assert life.sample("bankgw_messages_published_total", verdict="returned") == 1
    assert [line["key"] for line in events(heard, "news.unroutable")] == ["erp-demo.gone"]
    with sqlite3.connect(tmp_path / "journal.db") as db:
        states = dict(db.execute("select state, count(*) from outbox group by state"))
    assert states["parked"] == 1 and "waiting" not in states
    assert world.told("GOOD")[-1] == "payment.settled"
    nothing_is_left(world, life)


def test_money_is_not_answered_to_a_direct_reply_queue_but_the_refusal_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    direct = "amq.rabbitmq.reply-to.g1h2"
    world.broker.declare(direct)
    world.command("payment.submit", world.order("AP-1"), reply_to=direct)
    world.command("balance.query", {"accounts": [world.bank.account]}, reply_to=direct)
    world.run(10)
    said = [json.loads(kept.body) for kept in world.broker.drain(direct)]
    assert said[0]["error"]["code"] == "reply_to_refused"
    assert [one["account"] for one in said[1]["balances"]] == [world.bank.account], "questions may use it"
    assert not world.bank.ledger.executions


def test_no_refusal_is_repeated_when_its_acknowledgement_was_lost(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    world.command("payment.submit", b"{broken")
    life = world.life
    assert life is not None
    ack = life.amqp.ack
    life.amqp.ack = lambda *_args: False  # type: ignore[method-assign]
    world.run(1)
    life.amqp.ack = ack  # type: ignore[method-assign]
    world.crash()
    world.start()
    world.run(5)
    replies = {said.message_id for said, _body in world.replies}
    assert len(replies) == 1, "the same reply, if it comes twice, has the same id"
    assert len(world.broker.drain("bankgw.parked")) == 1


def test_bad_input_while_a_bank_misbehaves_changes_no_payment(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER), ScriptedFault(BankFault.HALF)]))
    life = world.start()
    for n in range(5):
        world.submit(f"AP-{n}")
        world.command("payment.submit", b"{", user=USER, reply_to=REPLIES)
        world.command("nonsense", b"")
    world.run(60)
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(5))
    assert len(world.bank.ledger.executions) == 5 and not world.bank.ledger.doubles()
    assert refused(life, "malformed") == 5 and refused(life, "unknown_type") == 5
    nothing_is_left(world, life)
