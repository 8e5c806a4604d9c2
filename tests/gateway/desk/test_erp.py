"""What `send` makes of a body, and of what it hears."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.desk import codes, erp
from gateway.desk.command_send import _verdict
from protocols.canon.outcome import State
from protocols.erp.words import CommandType

AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b'{"amount": "1.00", "creditor": {}}', CommandType.PAYMENT_SUBMIT),
        (b'{"accounts": []}', CommandType.BALANCE_QUERY),
        (b'{"account": "1", "from": "x"}', CommandType.TRANSACTIONS_QUERY),
        (b'{"id": "AP-1"}', None),
        (b"[1]", None),
        (b"{", None),
        (b'<?xml version="1.0"?><payment.submit xmlns="urn:bankgw:1"/>', CommandType.PAYMENT_SUBMIT),
        (b'<b:balance.query xmlns:b="urn:bankgw:1"/>', CommandType.BALANCE_QUERY),
        (b"<nonsense/>", None),
    ],
)
def test_a_body_tells_its_command(body: bytes, type_: CommandType | None) -> None:
    assert erp.guess_type(body) is type_


def heard(event: str, state: str | None, seq: int = 1, **said: Any) -> erp.Heard:
    told = {} if state is None else {"state": state}
    return erp.Heard(AT, event, {"event": event, "seq": seq, **told, **said}, b"")


@pytest.mark.parametrize(
    ("question", "messages", "code"),
    [
        (False, [], codes.UNAVAILABLE),
        (False, [heard("payment.accepted", "accepted")], codes.IN_DOUBT),
        (False, [heard("payment.accepted", "accepted"), heard("payment.settled", "settled", 2, final=True)], codes.OK),
        (False, [heard("payment.settled", "settled", 3, final=True), heard("payment.in_doubt", "in_doubt", 2)],
             codes.OK),
        (False, [heard("payment.accepted", "accepted"), heard("payment.failed", "failed", 2, final=True)],
             codes.FAILED),
        (False, [heard("payment.rejected", "rejected", error={}, final=True)], codes.FAILED),
        (False, [heard("payment.accepted", "accepted"), heard("payment.held", "held", 2)], codes.REFUSED),
        (False, [heard("payment.accepted", "accepted"), heard("payment.in_doubt", "in_doubt", 2)], codes.IN_DOUBT),
        (False, [heard("payment.settled", "settled", 2, final=True), heard("payment.returned", "returned", 3,
             final=True)],
         codes.FAILED),
        (True, [heard("balance.result", None)], codes.OK),
        (True, [heard("balance.rejected", None, error={})], codes.FAILED),
        (True, [], codes.UNAVAILABLE),
    ],
)  # fmt: skip
def test_exit_codes_say_what_became_of_it(question: bool, messages: list[erp.Heard], code: int) -> None:
    assert _verdict(question, messages, 1.0) == code


def test_the_highest_number_wins() -> None:
    assert erp.last_state([heard("a", "settled", 3), heard("b", "in_doubt", 2)]) is State.SETTLED
    assert erp.last_state([heard("a", None)]) is None


@pytest.mark.parametrize(
    ("one", "final"),
    [
        (heard("payment.settled", "settled", final=True), True),
        (heard("payment.accepted", "accepted", final=False), False),
        (heard("balance.result", None), True),
        (heard("payment.rejected", None, error={"code": "schema"}), True),
    ],
)
def test_what_ends_the_waiting(one: erp.Heard, final: bool) -> None:
    assert one.final is final


def test_answers_in_xml() -> None:
    said = erp._xml_fields(b'<r xmlns="urn:bankgw:1"><state>settled</state><final>true</final><x><y/></x></r>')
    assert said == {"state": "settled", "final": True}
    assert erp._xml_fields(b"<") == {}
