"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.banks import pab
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import (
    CREDITOR,
    DEBTOR,
    ENTERPRISE,
    REFERENCE,
    accepted_body,
    context,
    fate_body,
    framed,
    order,
    question,
)

BANK = pab.build({"enterprise_code": ENTERPRISE})
_FATE = BANK.questions.fate
assert _FATE is not None
ASK_FATE = _FATE
Asked = Callable[[bytes], Outcome]


def finish(conversation: object, answer: bytes) -> Outcome:
    next(conversation)  # type: ignore[call-overload]
    try:
        conversation.send(answer)  # type: ignore[attr-defined]
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise AssertionError("one answer ends it")


def paid(answer: bytes) -> Outcome:
    return finish(BANK.money[Kind.PAYMENT](order(), context()), answer)


def fated(answer: bytes) -> Outcome:
    return finish(ASK_FATE(question(), context()), answer)


SETTLED = framed("4005", fate_body(), serial=REFERENCE)
FAILED = framed("4005", fate_body(Stt="30", Yhcljg="MA0012:余额不足", AccountDate=""), serial=REFERENCE)
NOT_FOUND = framed("4005", None, code="MA0103", text="没有满足条件纪录")
ACCEPTED = framed("4004", accepted_body(), text="交易受理成功")
REJECTED = framed("4004", None, code="YQ9982", text="验证收款方户名失败!", service="01")
DUPLICATE = framed("4004", None, code="MA4045", text="重复的第三方流水号或凭证号")

# the outcomes that a golden answer may have with one wrong byte
MAY_BE = [
    (fated, SETTLED, {Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN, Fate.RETURNED}),
    # Stt decides (banks/pab.md 5), so the byte that makes it 20 makes it a success.
    (fated, FAILED, {Fate.FAILED, Fate.PENDING, Fate.UNKNOWN, Fate.RETURNED, Fate.SETTLED}),
    (fated, NOT_FOUND, {Fate.NOT_FOUND, Fate.UNKNOWN}),
    (paid, ACCEPTED, {Fate.PENDING, Fate.UNKNOWN}),
    (paid, REJECTED, {Fate.FAILED, Fate.UNKNOWN}),
    (paid, DUPLICATE, {Fate.DUPLICATE, Fate.UNKNOWN}),
]


def mutants(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Every place with several other bytes in it: its neighbours, digits, XML's own characters, and random ones."""
    chance = random.Random(4005)
    for place, byte in enumerate(answer):
        others = {byte ^ 1, byte ^ 0x10, ord("0"), ord("1"), ord("2"), ord("3"), ord("<"), ord(" "), 0, 0x80, 0xFF}
        others |= {chance.randrange(256) for _ in range(3)}
        for other in others - {byte}:
            yield place, answer[:place] + bytes((other,)) + answer[place + 1 :]


@pytest.mark.parametrize(("asked", "golden", "may_be"), MAY_BE)
def test_one_wrong_byte_anywhere(asked: Asked, golden: bytes, may_be: set[Fate]) -> None:
    seen: set[Fate] = set()
    for _place, mutant in mutants(golden):
        try:
            seen.add(asked(mutant).fate)
        except ProtocolError:
            continue
    assert seen <= may_be


@pytest.mark.parametrize(("asked", "golden", "may_be"), MAY_BE)
def test_cut_off_after_every_byte(asked: Asked, golden: bytes, may_be: set[Fate]) -> None:
    for length in range(len(golden)):
        with pytest.raises(ProtocolError):
            asked(golden[:length])
        cutter = BANK.ports["business"].answers()
        assert cutter.feed(golden[:length]) == []
        if length:
            with pytest.raises(ProtocolError):
                cutter.end()


@pytest.mark.parametrize(("asked", "golden"), [(fated, SETTLED), (fated, FAILED), (paid, ACCEPTED)])
@pytest.mark.parametrize("key", [REFERENCE, DEBTOR, CREDITOR, "10.00"])
def test_one_wrong_byte_in_what_names_the_payment_makes_it_no_answer(asked: Asked, golden: bytes, key: str) -> None:
    start = golden.index(f">{key}<".encode(), 222) + 1
    span = range(start, start + len(key))
    tried = 0
    for place, mutant in mutants(golden):
        if place not in span:
            continue
        tried += 1
        # A blank in place of the last zero does not change the amount.
        if key == "10.00" and mutant[start : start + 5] in (b"10.0 ",):
            continue
        with pytest.raises(ProtocolError):
            asked(mutant)
    assert tried > len(key)


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    for asked in (paid, fated):
        with pytest.raises(ProtocolError):
            asked(noise)


@given(st.binary(max_size=300), st.sampled_from(["000000", "MA0103", "YQ9990"]))
def test_any_body_behind_a_good_header(noise: bytes, code: str) -> None:
    for operation, asked in (("4004", paid), ("4005", fated)):
        header = bytearray(framed(operation, None, code=code))
        header[30:40] = b"%010d" % len(noise)
        if noise:
            with pytest.raises(ProtocolError):
                asked(bytes(header) + noise)


REJECTS = {"YQ9990", "YQ9982", "2778", "YQ9986", "YQ9983", "YQ9993", "YQ0000", "5223"}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=6).filter("000000".__ne__))
def test_no_code_but_the_listed_ones_fails_a_payment_and_none_settles_it(code: str) -> None:
    outcome = paid(framed("4004", None, code=code, service="01"))
    assert outcome.fate is not Fate.SETTLED
    assert (outcome.fate is Fate.FAILED) == (code in REJECTS)
    assert outcome.listed or outcome.fate is Fate.UNKNOWN
    told = fated(framed("4005", None, code=code, service="01"))
    assert told.fate in (Fate.UNKNOWN, Fate.NOT_FOUND)


@given(st.text(st.characters(categories=["L", "N", "P"], codec="gbk", exclude_characters="<>&"), max_size=4))
def test_no_status_but_20_and_30_decides(stt: str) -> None:
    outcome = fated(framed("4005", fate_body(Stt=stt, Yhcljg="ZZ0000:不明")))
    wanted = {"20": Fate.SETTLED, "30": Fate.FAILED, "": Fate.UNKNOWN}.get(stt, Fate.PENDING)
    assert outcome.fate is wanted
