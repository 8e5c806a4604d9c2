"""The header, byte for byte as in the bank's table, and answers as in real logs."""

from __future__ import annotations

import pytest

from protocols.banks.pab.header import FRAMING, HEADER, read_answer
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import (
    DEBTOR,
    ENTERPRISE,
    NOON,
    accepted_body,
    bank,
    context,
    first_step,
    framed,
    order,
)

# offset, length, and content in our requests: the table of the bank's page
TABLE = (
    (0, 4, b"A001"),
    (4, 2, b"01"),
    (6, 2, b"01"),
    (8, 2, b"01"),
    (10, 20, ENTERPRISE.encode()),
    (40, 6, b"4004  "),
    (46, 5, b"00000"),
    (51, 2, b"01"),
    (53, 14, b"20250102120000"),
    (67, 20, b"GW000000000000000007"),
    (87, 6, b"      "),
    (93, 100, b" " * 100),
    (193, 1, b"0"),
    (194, 3, b"000"),
    (197, 1, b"0"),
    (198, 1, b"1"),
    (199, 12, b" " * 12),
    (211, 10, b"         0"),
    (221, 1, b"0"),
)


def wire() -> bytes:
    adapter = bank()
    return first_step(adapter.money[order().kind](order(), context(serial=7)))


def test_every_field_of_a_request_stands_where_the_table_says() -> None:
    sent = wire()
    for start, length, wanted in TABLE:
        assert sent[start : start + length] == wanted, f"offset {start}"
    assert sent[30:40] == b"%010d" % (len(sent) - 222)
    covered = sum(length for _, length, _ in TABLE) + 10
    assert covered == 222 == HEADER.width


def test_the_body_length_counts_gbk_bytes_not_characters() -> None:
    sent = wire()
    body = sent[222:]
    assert int(sent[30:40]) == len(body) > len(body.decode("gbk"))


def test_the_time_is_beijing_time_whatever_zone_the_clock_has() -> None:
    from datetime import UTC

    sent = first_step(bank().money[order().kind](order(), context(now=NOON.astimezone(UTC))))
    assert sent[53:67] == b"20250102120000"


def test_the_page_s_own_balance_message() -> None:
    """4001 with the values of the page, except for the operator's and the serial's places, which are ours."""
    adapter = bank(operator="00000")
    question = BalanceQuestion(AccountNumber(DEBTOR))
    ask = adapter.questions.balance
    assert ask is not None
    sent = first_step(ask(question, context(now=NOON.replace(hour=17, minute=31, second=31))))
    blanks = " " * 100
    assert sent.decode("gbk") == (
        "A00101010100000000000000000017"
        + "0000000128"
        + "4001  "
        + "00000"
        + "01"
        + "20250102173131"
        + "GW000000000000000001"
        + " " * 6
        + blanks
        + "000001"
        + " " * 12
        + "         0"
        + "0"
        + '<?xml version="1.0" encoding="GBK"?><Result><Account>00000000000017</Account><CcyType>C</CcyType>'
        "<CcyCode>RMB</CcyCode></Result>"
    )


@pytest.mark.parametrize("padded", ["right", "left"])
def test_lengths_are_read_from_either_side(padded: str) -> None:
    frame = framed("4004", accepted_body(), padded=padded)
    (cut,) = FRAMING.cutter(100_000).feed(frame)
    assert read_answer(cut, "4004").accepted


def test_an_answer_comes_whole_from_single_bytes_and_carries_its_signature_block_along() -> None:
    plain = framed("4004", accepted_body())
    signed = plain[:211] + b"4         " + plain[221:] + b"sign"
    cutter = FRAMING.cutter(100_000)
    frames = [frame for place in range(len(signed)) for frame in cutter.feed(signed[place : place + 1])]
    assert frames == [signed]
    assert cutter.end() == []
    assert read_answer(signed, "4004").accepted


@pytest.mark.parametrize("service", ["01", "02"])
def test_a_refusal_needs_no_body_and_may_keep_our_service_type(service: str) -> None:
    answer = read_answer(framed("4004", None, code="AFE003", text="通讯异常", service=service), "4004")
    assert (answer.code, answer.text, answer.body) == ("AFE003", "通讯异常", None)


def test_a_text_cut_in_the_middle_of_a_character_loses_only_that_character() -> None:
    answer = read_answer(framed("4004", None, code="YQ9990", text="甲" * 60), "4004")
    assert answer.text == "甲" * 49  # 100 bytes: the colon, 49 characters and half of one


def test_a_text_cut_early_and_padded_is_still_readable() -> None:
    frame = bytearray(framed("4004", None, code="YQ9990", text="没有"))
    frame[96:98] = b"\xc3 "  # half a character, then the padding
    assert read_answer(bytes(frame), "4004").text.startswith("没")


def changed(at: int, by: bytes, body: str | None = None) -> bytes:
    frame = bytearray(framed("4004", accepted_body() if body is None else body))
    frame[at : at + len(by)] = by
    return bytes(frame)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (changed(0, b"A002"), "value"),
        (changed(6, b"02"), "value"),
        (changed(40, b"4005  "), "correlation"),
        (changed(51, b"01"), "value"),  # our own request returned as an answer
        (changed(51, b"03"), "value"),
        (changed(87, b"      "), "missing"),
        (changed(193, b"1"), "value"),
        (changed(221, b"1"), "value"),
        (framed("4004", None), "missing"),  # accepted without a body
        (framed("4004", "<Results/>"), "missing"),
        (framed("4004", accepted_body())[:-1], "frame_length"),
        (framed("4004", accepted_body()) + b" ", "frame_length"),
        (b"", "frame_length"),
    ],
)
def test_what_cannot_be_an_answer_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_answer(frame, "4004")
    assert caught.value.reason == reason


def test_our_own_request_is_not_an_acceptance() -> None:
    with pytest.raises(ProtocolError):
        read_answer(wire(), "4004")
