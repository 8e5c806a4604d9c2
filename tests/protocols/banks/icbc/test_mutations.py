"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.icbc.paper import (
    CREDITOR,
    DEBTOR,
    REFERENCE,
    bank,
    context,
    http_answer,
    order,
    payent,
    payent_row,
    qpayent,
    qpayent_row,
    sent,
    talk,
    wrapped,
)

BANK = bank(codes={"duplicate": ["D1"], "not_found": ["N1"]})
_FATE = BANK.questions.fate
assert _FATE is not None
ASK_FATE = _FATE
Asked = Callable[[bytes], Outcome]


def paid(answer: bytes) -> Outcome:
    return talk(BANK.money[Kind.PAYMENT](order(), context()), answer)


def stored(answer: bytes) -> Outcome:
    return BANK.read(Kind.PAYMENT, sent(), answer)


def fated(answer: bytes) -> Outcome:
    return talk(ASK_FATE(FateQuestion(sent()), context("")), answer)


REFUSED = payent_row(Result="6", iRetCode="B0043", iRetMsg="账号中文户名不符")
# the outcomes that a golden answer may have with one wrong byte in its message; Result decides (banks/icbc.md 5)
MAY_BE = [
    (stored, payent(), {Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN, Fate.FAILED}),
    (stored, payent(payent_row(Result="9")), {Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN, Fate.FAILED}),
    (stored, payent(REFUSED), {Fate.FAILED, Fate.UNKNOWN}),
    (stored, payent("", RetCode="D1"), {Fate.DUPLICATE, Fate.UNKNOWN}),
    (fated, qpayent(), {Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN, Fate.FAILED}),
    (fated, qpayent("", RetCode="N1"), {Fate.NOT_FOUND, Fate.UNKNOWN}),
]


def clear(answer: bytes) -> bytes:
    """The message inside an answer."""
    return base64.b64decode(answer.partition(b"reqData=")[2])


def around(document: bytes) -> bytes:
    """An answer of the bank around a message."""
    return http_answer(b"reqData=" + wrapped(document))


def mutants(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every place with several other bytes in it: its neighbours, digits, XML's own characters, and random ones."""
    chance = random.Random(448)
    for place, byte in enumerate(data):
        others = {byte ^ 1, byte ^ 0x10, *b"01267< ", 0, 0x80, 0xFF, chance.randrange(256)}
        for other in others - {byte}:
            yield place, data[:place] + bytes((other,)) + data[place + 1 :]


@pytest.mark.parametrize(("asked", "golden", "may_be"), MAY_BE)
def test_one_wrong_byte_anywhere_in_the_message(asked: Asked, golden: bytes, may_be: set[Fate]) -> None:
    document = clear(golden)
    result = range(*(document.find(mark) for mark in (b"<Result>", b"</Result>")))
    honest = asked(golden).fate
    for place, mutant in mutants(document):
        if asked is fated and place % 3 and place not in result:
            continue  # an enquiry is written anew for each, so every third place must do
        try:
            fate = asked(around(mutant)).fate
        except ProtocolError:
            continue
        assert fate in may_be
        # Only a change in Result itself may turn one clear outcome into another.
        if place not in result and fate in (Fate.SETTLED, Fate.FAILED):
            assert fate is honest


@pytest.mark.parametrize(("asked", "golden"), [(one, two) for one, two, _ in MAY_BE])
def test_one_wrong_byte_anywhere_on_the_wire_never_fails_a_payment_that_was_made(asked: Asked, golden: bytes) -> None:
    honest = asked(golden).fate
    for place, mutant in mutants(golden):
        if place % (9 if asked is fated else 3):
            continue
        try:
            fate = asked(mutant).fate
        except ProtocolError:
            continue
        assert fate is not Fate.FAILED or honest is Fate.FAILED
        assert fate is not Fate.SETTLED or honest is Fate.SETTLED


@pytest.mark.parametrize(("asked", "golden"), [(one, two) for one, two, _ in MAY_BE])
def test_cut_off_after_every_byte(asked: Asked, golden: bytes) -> None:
    for length in range(len(golden) - 2):  # the last line end has no meaning
        cutter = BANK.ports["business"].answers()
        assert cutter.feed(golden[:length]) == []
        if length:
            with pytest.raises(ProtocolError):
                cutter.end()
        with pytest.raises(ProtocolError):
            asked(golden[:length])


@pytest.mark.parametrize(("asked", "golden"), [(stored, payent()), (stored, payent(REFUSED)), (fated, qpayent())])
@pytest.mark.parametrize("key", [REFERENCE, DEBTOR, CREDITOR, "12345"])
def test_one_wrong_byte_in_what_names_the_payment_makes_it_no_answer(asked: Asked, golden: bytes, key: str) -> None:
    document = clear(golden)
    start = document.rindex(f">{key}<".encode()) + 1
    tried = 0
    for place, mutant in mutants(document):
        if start <= place < start + len(key):
            tried += 1
            with pytest.raises(ProtocolError):
                asked(around(mutant))
    assert tried > len(key)


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    for asked in (stored, fated):
        for answer in (noise, http_answer(noise), http_answer(b"reqData=" + noise), around(noise)):
            with pytest.raises(ProtocolError):
                asked(answer)


CODE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>&"), min_size=1, max_size=8)


@given(CODE)
def test_no_code_of_a_package_decides_about_a_payment(code: str) -> None:
    for row in (payent_row(), payent_row(Result="6", iRetCode="B0043")):
        outcome = stored(payent(row, RetCode=code))
        if code != "0":
            assert outcome.fate is (Fate.DUPLICATE if code == "D1" else Fate.UNKNOWN)
            assert outcome.listed == (code == "D1")
            assert fated(qpayent(RetCode=code)).fate is (Fate.NOT_FOUND if code == "N1" else Fate.UNKNOWN)


@given(CODE, st.text(st.characters(categories=["L", "N"], codec="gbk"), max_size=3))
def test_an_answer_never_seen_before_neither_fails_nor_settles(code: str, result: str) -> None:
    known = {"7": Fate.SETTLED, "6": Fate.FAILED, "8": Fate.FAILED}
    for asked, whole in ((stored, payent(payent_row(Result=result))), (fated, qpayent(qpayent_row(Result=result)))):
        outcome = asked(whole)
        assert (outcome.fate in known.values()) == (result in known)
        assert outcome.listed or outcome.fate is Fate.UNKNOWN
    if code != "0":
        settled = stored(payent(payent_row(iRetCode=code)))
        assert settled.fate is (Fate.DUPLICATE if code == "D1" else Fate.UNKNOWN)
        assert fated(qpayent(qpayent_row(instrRetCode=code))).fate is Fate.UNKNOWN
        asked_in_vain = fated(qpayent(qpayent_row(iRetCode=code)))
        assert asked_in_vain.fate is (Fate.NOT_FOUND if code == "N1" else Fate.UNKNOWN)
