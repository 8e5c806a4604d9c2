"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion
from protocols.kit import http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import (
    TAKEN,
    THEIRS,
    bank,
    body,
    bundle,
    context,
    order,
    question,
    reference_of,
    sent_bundle,
    talk,
)

BANK = bank(confirm=False, summary_first=False)
PAIR = bundle(Kind.BATCH_ITEM, (500, 600))
Fates = set[Fate]
Heard = Callable[[bytes], Fates]


def framed(xml: bytes) -> bytes:
    return http.answer(200, (), xml)


def paid(xml: bytes) -> Fates:
    return {talk(BANK.money[Kind.PAYMENT](order(), context()), framed(xml))[0].fate}


def fated(xml: bytes) -> Fates:
    assert BANK.questions.fate is not None
    return {talk(BANK.questions.fate(question(), context()), framed(xml))[0].fate}


def batched(xml: bytes) -> Fates:
    told = talk(BANK.bundles[Kind.BATCH_ITEM].word(PAIR, context()), framed(xml))[0]
    return {one.fate for one in told.values()}


def enquired(xml: bytes) -> Fates:
    asked = BundleFateQuestion(sent_bundle(PAIR))
    told = talk(BANK.bundles[Kind.BATCH_ITEM].fate(asked, context()), framed(xml))[0]
    return {one.fate for one in told.values()}


def row(number: int, amount: str, status: str) -> dict[str, str]:
    return {"ID": f"{number:04d}", "recAccountNo": THEIRS, "tranAmount": amount, "status": status, "statusText": ""}


ACCEPTED = body("AAAAAAE", TAKEN)
SETTLED = body("AAAAAAA", rows=[{"stt": "0", "status": "AAAAAAA", "statusText": "交易成功"}])
FAILED = body("AAAAAAA", rows=[{"stt": "1", "status": "ED02093", "statusText": "处理失败"}])
WAITING = body("AAAAAAA", rows=[{"stt": "2", "status": "ED02087", "statusText": "审核中"}])
NOTHING = body("AAAAAAA", rows=[])
LINES = body("AAAAAAE", rows=[row(1, "5.00", "AAAAAAE"), row(2, "6.00", "AAAAAAE")])
RECORDS = body("AAAAAAA", rows=[row(1, "5.00", "AAAAAAA"), row(2, "6.00", "ED02093")])
U, P, N = Fate.UNKNOWN, Fate.PENDING, Fate.NOT_FOUND

# The outcomes that a golden answer may have with one wrong byte. stt and status must agree, so no single byte makes a
# success of a failure, or the other way round.
MAY_BE: list[tuple[Heard, bytes, Fates]] = [
    (paid, ACCEPTED, {P, U}),
    (fated, SETTLED, {Fate.SETTLED, U, N}),
    (fated, FAILED, {Fate.FAILED, U, N}),
    (fated, WAITING, {P, U, N}),
    (fated, NOTHING, {N}),
    (batched, LINES, {P, U}),
    (enquired, RECORDS, {Fate.SETTLED, Fate.FAILED, P, U, N}),
]


def mutants(answer: bytes) -> Iterator[bytes]:
    """Every place with several other bytes in it: its neighbours, XML's own characters, codes, and random ones."""
    chance = random.Random(4241)
    for place, byte in enumerate(answer):
        for other in {byte ^ 1, 0x80, *b"0134< AE/", chance.randrange(256)} - {byte}:
            yield answer[:place] + bytes((other,)) + answer[place + 1 :]


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_one_wrong_byte_anywhere(heard: Heard, golden: bytes, may_be: Fates) -> None:
    assert heard(golden) <= may_be
    seen: Fates = set()
    for mutant in mutants(golden):
        try:
            seen |= heard(mutant)
        except ProtocolError:
            continue
    assert seen <= may_be


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_cut_off_after_every_byte(heard: Heard, golden: bytes, may_be: Fates) -> None:
    for length in range(len(golden)):
        with pytest.raises(ProtocolError):
            heard(golden[:length])


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    for heard in (paid, fated, batched, enquired):
        with pytest.raises(ProtocolError):
            heard(noise)


CODES = st.from_regex("[0-9A-Z]{7}", fullmatch=True)
WORDS = (
    st.sampled_from(["AAAAAAA", "AAAAAAE", "BBBBBBB", "CCCCCCC", "EEEEEEE", "UNKNOWN", "ED02093", "ET00001"]) | CODES
)
FAILING = {"ED02086", "ED02090", "ED02093", "ED02094", "ED02100"}


@given(WORDS, st.sampled_from(["0", "1", "2", "3", "4", "5", "", "00"]), WORDS)
def test_an_answer_never_seen_before_decides_nothing(outer: str, stt: str, inner: str) -> None:
    assert paid(body(outer, TAKEN)) <= {P, U}, "handing in decides nothing"
    assert batched(body(outer, rows=[row(1, "5.00", inner)])) <= {P, U}
    for heard, rows in (
        (fated, [{"stt": stt, "status": inner}]),
        (enquired, [{**row(1, "5.00", inner), "memo": reference_of(1)}]),
    ):
        answer: Any = body(outer, rows=rows)
        if outer != "AAAAAAA":
            with pytest.raises(ProtocolError):
                heard(answer)
            continue
        [fate] = heard(answer)
        if fate is Fate.SETTLED:
            assert inner == "AAAAAAA" and (heard is enquired or stt == "0")
        if fate is Fate.FAILED:
            assert inner in FAILING if heard is enquired else stt in ("1", "3", "4")
