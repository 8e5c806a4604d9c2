"""Messages about a payment: the contract's fields, those derived from the state table, and routing keys."""

from __future__ import annotations

import json
import re
import timeit
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.errors import CODES, Code, Fault, FieldCode, Refusal, Resend
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Certainty, Fate, State
from protocols.erp.news import News, body, error_fields, fields, instant, resend, routing_key
from protocols.erp.reply_forms import PaymentNews

MIGHT_MOVE = {state for state, facts in STATE_TABLE.items() if facts.certainty is Certainty.UNKNOWN}


def news(state: State = State.SETTLED, event: str = "payment.settled", **more: Any) -> News:
    return News(event, "AP-1", "01J", "kingdee", "icbc", state, 3, 1_795_512_345_678, **more)


def test_the_least_news() -> None:
    assert json.loads(body(news())) == {
        "event": "payment.settled",
        "id": "AP-1",
        "payment": "01J",
        "sender": "kingdee",
        "bank": "icbc",
        "state": "settled",
        "seq": 3,
        "at": "2026-11-24T09:25:45.678Z",
        "final": True,
        "iso": "ACSC",
        "certainty": "moved",
        "resend": "never",
        "replayed": False,
    }


def test_the_fullest_news() -> None:
    said = fields(
        news(
            kind=Kind.BATCH_ITEM,
            amount=Money(1234567),
            bank_reference="R",
            bank_serial="S",
            bank_code="C",
            bank_text="成功",
            booked_ms=1,
            fee=Money(500, "USD"),
            was=State.IN_DOUBT,
            evidence="enquiry",
            reported=Fate.FAILED,
            next_enquiry_ms=2,
            hold_reasons=("approval",),
            send_after_ms=3,
            replayed=True,
            batch="B",
            item_no=7,
            refusal=Refusal(Code.VALIDATION, "no", (Fault("/a", FieldCode.TOO_LONG, "long", 5),)),
            tags={"a": "b"},
        )
    )
    assert set(said) == set(PaymentNews.model_fields)
    assert (said["amount"], said["currency"], said["fee"]) == ("12345.67", "CNY", {"amount": "5.00", "currency": "USD"})
    assert (said["booked_at"], said["next_enquiry"], said["send_after"]) == (
        "1970-01-01T00:00:00.001Z",
        "1970-01-01T00:00:00.002Z",
        "1970-01-01T00:00:00.003Z",
    )
    assert (said["was"], said["kind"], said["reported"], said["item_no"]) == ("in_doubt", "batch_item", "failed", 7)
    assert "成功".encode() in body(news(bank_text="成功"))


def test_an_error_has_the_contracts_shape() -> None:
    refusal = Refusal(
        Code.VALIDATION,
        "2 fields cannot be sent to icbc",
        (
            Fault("/purpose", FieldCode.TOO_LONG, "40 bytes in GBK, limit 38", 38),
            Fault("/creditor/name", FieldCode.CHARSET, "'䶮' (U+4DAE, position 2) not in GBK"),
        ),
    )
    assert error_fields(refusal) == {
        "type": "urn:bankgw:error:validation",
        "code": "validation",
        "title": "2 fields cannot be sent to icbc",
        "resend": "same_id",
        "errors": [
            {"at": "/purpose", "code": "too_long", "detail": "40 bytes in GBK, limit 38", "limit": 38},
            {"at": "/creditor/name", "code": "charset", "detail": "'䶮' (U+4DAE, position 2) not in GBK"},
        ],
    }


@pytest.mark.parametrize("state", State)
def test_what_follows_from_the_state(state: State) -> None:
    said, facts = fields(news(state)), STATE_TABLE[state]
    assert (said["final"], said["iso"], said["certainty"]) == (facts.final, facts.iso, facts.certainty.value)
    if not facts.final or state in MIGHT_MOVE or facts.certainty is Certainty.MOVED:
        assert said["resend"] == "never", "money may be moving: nothing may invite a second order"
    else:
        assert said["resend"] == "new_id"


@pytest.mark.parametrize("code", Code)
def test_a_refusal_decides_about_resending(code: Code) -> None:
    recorded = {Code.VALIDATION: Resend.NEW_ID}.get(code, CODES[code].resend)
    assert resend(State.REJECTED, Refusal(code, "")) is recorded


def test_a_rejected_order_says_the_same_in_both_places() -> None:
    """If it was recorded as a payment, its id is used up; if not, the id is free."""
    refusal = Refusal(Code.VALIDATION, "1 field")
    recorded = fields(replace(news(State.REJECTED), refusal=refusal))
    assert (recorded["resend"], recorded["error"]["resend"]) == ("new_id", "new_id")
    free = fields(replace(news(State.REJECTED), refusal=refusal, payment=None))
    assert (free["resend"], free["error"]["resend"]) == ("same_id", "same_id")


def test_a_correction_takes_certainty_away() -> None:
    for state in State:
        said = fields(news(state, CORRECTION_EVENT, reported=Fate.SETTLED))
        assert (said["final"], said["certainty"], said["resend"]) == (False, "unknown", Resend.NEVER.value)
        assert "iso" not in said


def test_a_refused_command_without_a_payment() -> None:
    said = fields(News("payment.rejected", "AP-1", None, "kingdee", None, State.REJECTED, 0, 0))
    assert "payment" not in said
    assert "bank" not in said


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_instants_are_exact(at_ms: int) -> None:
    text = instant(at_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert int(text[-4:-1]) == at_ms % 1000


def test_routing_keys() -> None:
    assert routing_key("payment.settled", "icbc", "kingdee") == "payment.settled.icbc.kingdee"
    for bank, sender in (
        ("ic.bc", "k"),
        ("icbc", "k.x"),
        ("icbc", "*"),
        ("icbc", "#"),
        ("", "k"),
        ("icbc", ""),
        ("icbc", "a b"),
    ):
        with pytest.raises(ValueError, match="one word"):
            routing_key("payment.settled", bank, sender)
    with pytest.raises(ValueError, match="255"):
        routing_key("payment.settled", "icbc", "付" * 90)


def test_a_routing_key_is_cheap() -> None:
    cost_s = min(timeit.repeat(lambda: routing_key("payment.settled", "icbc", "kingdee"), number=1000, repeat=5)) / 1000
    assert cost_s < 10e-6
