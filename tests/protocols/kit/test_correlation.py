"""Checks whether an answer is about the order that was sent; and rows by their reference."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from lxml import etree

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, by_reference, check_keys
from protocols.kit.errors import ProtocolError

SENT = Sent("R1", date(2026, 11, 2), 1, (), Money(1250), AccountNumber("0000000001"), AccountNumber("0000000002"))
KEYS = CorrelationKeys.of(SENT)
TAGS = CorrelationTags("ref", "amount", "from/no", "to", "currency", ("RMB", "01"), ("day",))
WHOLE = (
    "<r><ref>R1</ref><amount>12.50</amount><from><no>0000000001</no></from><to>0000000002</to>"
    "<currency>RMB</currency><day>20261103093000</day></r>"
)


def parsed(text: str) -> etree._Element:
    return etree.fromstring(text)


def refused(text: str, tags: CorrelationTags = TAGS, keys: CorrelationKeys = KEYS) -> str:
    with pytest.raises(ProtocolError) as caught:
        check_keys(parsed(text), keys, tags)
    return caught.value.reason


def test_an_answer_that_states_all_keys_or_none_of_them_agrees() -> None:
    check_keys(parsed(WHOLE), KEYS, TAGS)
    check_keys(parsed(WHOLE), KEYS, replace(TAGS, must_name=True))
    check_keys(parsed("<r/>"), KEYS, TAGS)
    check_keys(parsed("<r><ref/><amount/><to/><currency/><day/></r>"), KEYS, TAGS)


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        ("R1", "R2"),
        ("12.50", "12.51"),
        ("<no>0000000001", "<no>0000000002"),
        ("<to>0000000002", "<to>0000000001"),
        ("RMB", "USD"),
        ("20261103", "20260103"),
    ],
)
def test_any_other_key_is_another_payment(ours: str, other: str) -> None:
    assert ours in WHOLE
    assert refused(WHOLE.replace(ours, other)) == "correlation"


def test_a_reference_that_must_be_named() -> None:
    must = replace(TAGS, must_name=True)
    assert refused("<r/>", must) == "missing"
    assert refused("<r><ref/></r>", must) == "correlation"


def test_no_day_is_compared_while_an_order_is_being_sent() -> None:
    check_keys(parsed(WHOLE.replace("20261103", "20260103")), replace(KEYS, day=None), TAGS)


@pytest.mark.parametrize(
    ("submitted", "day", "agrees"),
    [("20261102", "20260103", True), ("20260102", "20261103", False), ("", "20261103", True), ("", "20260103", False)],
)
def test_the_day_of_handing_in_comes_before_the_other_days(submitted: str, day: str, agrees: bool) -> None:
    text = f"<r><ref>R1</ref><handed>{submitted}</handed><day>{day}</day></r>"
    tags = replace(TAGS, submitted="handed")
    if agrees:
        check_keys(parsed(text), KEYS, tags)
    else:
        assert refused(text, tags) == "correlation"


def test_a_tag_that_the_bank_does_not_have_is_not_looked_at() -> None:
    check_keys(parsed(WHOLE.replace("R1", "R2")), KEYS, replace(TAGS, reference=""))


def test_amounts_may_be_read_in_another_unit() -> None:
    fen = replace(TAGS, minor=int)
    check_keys(parsed(WHOLE.replace("12.50", "1250")), KEYS, fen)
    assert refused(WHOLE.replace("12.50", "1251"), fen) == "correlation"


def test_rows_by_reference() -> None:
    rows = [parsed(f"<row><ref>{name}</ref></row>") for name in ("b", "a")]
    assert by_reference(rows, "ref", ["a", "b", "c"]) == {"b": rows[0], "a": rows[1]}
    with pytest.raises(ProtocolError) as caught:
        by_reference(rows, "ref", ["a"])
    assert caught.value.reason == "correlation"
    with pytest.raises(ProtocolError) as caught:
        by_reference([*rows, rows[0]], "ref", ["a", "b"])
    assert caught.value.reason == "ambiguous"


def test_a_bank_may_state_nothing_but_the_reference() -> None:
    check_keys(parsed(WHOLE), KEYS, CorrelationTags("ref"))
    assert refused(WHOLE.replace("R1", "R2"), CorrelationTags("ref")) == "correlation"
