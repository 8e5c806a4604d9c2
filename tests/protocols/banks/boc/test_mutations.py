"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.boc.paper import (
    CODES,
    REFERENCE,
    bank,
    bundle,
    context,
    document,
    framed,
    named,
    order,
    question,
    reference_of,
    sent_bundle,
    talk,
)

BANK, TOLD = bank(), bank(codes=CODES)
PAIR = bundle((500, 600))
Fates = set[Fate]
Heard = Callable[[str], Fates]
U, P, N = Fate.UNKNOWN, Fate.PENDING, Fate.NOT_FOUND


def paid(xml: str) -> Fates:
    return {talk(BANK.money[Kind.PAYMENT](order(), context()), framed(xml))[0].fate}


def fated(xml: str) -> Fates:
    assert BANK.questions.fate is not None
    return {talk(BANK.questions.fate(question(), context()), framed(xml))[0].fate}


def told(xml: str) -> Fates:
    assert TOLD.questions.fate is not None
    return {talk(TOLD.questions.fate(question(), context()), framed(xml))[0].fate}


def enquired(xml: str) -> Fates:
    asked = BundleFateQuestion(sent_bundle(PAIR))
    return {one.fate for one in talk(BANK.bundles[Kind.BATCH_ITEM].fate(asked, context()), framed(xml))[0].values()}


ACCEPTED = document("b2e0009", "B001", named())
SETTLED = document("b2e0007", "B001", named())
WAITING = document("b2e0007", "B001", named(code="B054"))
FAILED = document("b2e0007", "B001", named(code="TW02"))
BOTH = document("b2e0007", "B001", named(reference_of(1)), named(reference_of(2), "B266"))

# The outcomes that a golden answer may have with one wrong character. Every code of the bank differs from B001 in two
# characters or more, so no pending or failed payment becomes a success.
MAY_BE: list[tuple[Heard, str, Fates]] = [
    (paid, ACCEPTED, {P, U}),
    (fated, SETTLED, {Fate.SETTLED, U, N}),
    (fated, WAITING, {P, U, N}),
    (told, FAILED, {Fate.FAILED, Fate.NOT_FOUND, U}),
    (enquired, BOTH, {Fate.SETTLED, P, U, N}),
]


def mutants(xml: str) -> Iterator[tuple[int, str]]:
    chance = random.Random(4241)
    for place, char in enumerate(xml):
        for other in {*"014579< B/", chr(ord(char) ^ 1), chr(chance.randrange(32, 127))} - {char}:
            yield place, xml[:place] + other + xml[place + 1 :]


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_one_wrong_character_anywhere(heard: Heard, golden: str, may_be: Fates) -> None:
    assert heard(golden) <= may_be
    seen: Fates = set()
    for _place, mutant in mutants(golden):
        try:
            seen |= heard(mutant)
        except ProtocolError:
            continue
    assert seen <= may_be


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE[:4])
def test_one_wrong_character_in_what_names_the_payment_makes_it_no_answer(
    heard: Heard, golden: str, may_be: Fates
) -> None:
    start = golden.index(REFERENCE)
    for place, mutant in mutants(golden):
        if start <= place < start + len(REFERENCE):
            with pytest.raises(ProtocolError):
                heard(mutant)


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_cut_off_after_every_character(heard: Heard, golden: str, may_be: Fates) -> None:
    for length in range(len(golden)):
        with pytest.raises(ProtocolError):
            heard(golden[:length])


@given(st.text(max_size=400))
def test_any_text_at_all(noise: str) -> None:
    for heard in (paid, fated, enquired):
        with pytest.raises((ProtocolError, UnicodeEncodeError)):
            heard(noise)


WORDS = st.sampled_from(["B001", "B054", "1033", "B107", "TW02"]) | st.from_regex("[0-9A-Z]{4}", fullmatch=True)


@given(WORDS, WORDS)
def test_an_answer_never_seen_before_decides_nothing(outer: str, inner: str) -> None:
    if not {outer, inner}.isdisjoint(("1033", "B107")):
        with pytest.raises(Declined):
            paid(document("b2e0009", outer, named(code=inner)))
    else:
        assert paid(document("b2e0009", outer, named(code=inner))) <= {P, U}, "handing in decides nothing"
    if outer != "B001" or inner in ("1033", "B107"):
        with pytest.raises(ProtocolError):
            fated(document("b2e0007", outer, named(code=inner)))
        return
    [fate] = fated(document("b2e0007", outer, named(code=inner)))
    assert fate is not Fate.FAILED
    assert (fate is Fate.SETTLED) == (inner == "B001")
