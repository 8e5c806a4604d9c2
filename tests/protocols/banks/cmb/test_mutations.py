"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.bank import Ask
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    NUMBER,
    OURS,
    REFERENCE,
    REPEATED,
    THEIRS,
    bank,
    bundle,
    context,
    document,
    handed_in,
    order,
    question,
    record,
    reference_of,
    sent_bundle,
)

BANK = bank(transport="socket")
HTTP = bank()
Fates = set[Fate]
Heard = Callable[[bytes], Fates]
PAIR = bundle(Kind.BATCH_ITEM, (500, 600))
WAGES = bundle(Kind.PAYROLL_ITEM, (500, 600))


def finish(conversation: Any, answer: bytes) -> Any:
    """The result. A second question means that there is none yet; it gets no answer."""
    next(conversation)
    try:
        conversation.send(answer)
    except StopIteration as end:
        return end.value
    conversation.close()
    return None


def paid(answer: bytes) -> Fates:
    return {finish(BANK.money[Kind.PAYMENT](order(), context()), answer).fate}


def fated(answer: bytes) -> Fates:
    assert BANK.questions.fate is not None
    conversation = BANK.questions.fate(question(), context())
    next(conversation)
    try:
        # Only "not found" leads to a second question.
        step = conversation.send(answer)
    except StopIteration as end:
        return {end.value.fate}
    assert isinstance(step, Ask)
    assert b"NTQRYSTN" in step.data
    return {Fate.NOT_FOUND}


def batched(answer: bytes) -> Fates:
    told = finish(BANK.bundles[Kind.BATCH_ITEM].word(PAIR, context()), answer)
    return {one.fate for one in told.values()}


def enquired(answer: bytes) -> Fates:
    asked = BundleFateQuestion(sent_bundle(PAIR))
    told = finish(BANK.bundles[Kind.BATCH_ITEM].fate(asked, context()), answer)
    return set() if told is None else {one.fate for one in told.values()}


def waged(answer: bytes) -> Fates:
    asked = BundleFateQuestion(sent_bundle(WAGES, bank_serial="0000000077"))
    told = finish(BANK.bundles[Kind.PAYROLL_ITEM].fate(asked, context()), answer)
    return set() if told is None else {one.fate for one in told.values()}


def record_of(number: int, amount: str, **changes: str) -> Any:
    return record(**{"YURREF": reference_of(number), "TRSAMT": amount, **changes})


def wage(number: int, amount: str, status: str) -> Any:
    return "NTAGCDTLY1", {"TRXSEQ": f"{number:08d}", "ACCNBR": THEIRS, "TRSAMT": amount, "STSCOD": status}


TAKEN = document("DCPAYMNT", "0", handed_in())
REFUSED = document("DCPAYMNT", "0", handed_in(REQSTS="FIN", RTNFLG="F", ERRCOD="ZZZ0001"))
DUPLICATE = document("DCPAYMNT", "0", handed_in(**REPEATED))
SETTLED = document("NTQRYSTY", "0", record())
FAILED = document("NTQRYSTY", "0", record(RTNFLG="F"))
WAITING = document("NTQRYSTY", "0", record(REQSTS="BNK", RTNFLG=""))
NOTHING = document("NTQRYSTY", "0")
LINES = document("DCPAYMNT", "0", *(handed_in(YURREF=reference_of(n)) for n in (1, 2)))
RECORDS = document("NTQRYSTN", "0", record_of(1, "5.00"), record_of(2, "6.00", RTNFLG="B"))
WAGED = document("NTAGDINF", "0", wage(1, "5.00", "S"), wage(2, "6.00", "A"))

U, P = Fate.UNKNOWN, Fate.PENDING
# The outcomes that a golden answer may have with one wrong byte. Nothing here is signed, so the byte that turns RTNFLG
# F into S makes it a success. No byte may make a pending payment or a duplicate final.
MAY_BE: list[tuple[Heard, bytes, Fates]] = [
    (paid, TAKEN, {P, U}),
    (paid, REFUSED, {Fate.FAILED, U, P}),
    (paid, DUPLICATE, {Fate.DUPLICATE}),
    (fated, SETTLED, {Fate.SETTLED, Fate.FAILED, Fate.RETURNED, U}),
    (fated, FAILED, {Fate.FAILED, Fate.SETTLED, Fate.RETURNED, U}),
    (fated, WAITING, {P, U}),
    (fated, NOTHING, {Fate.NOT_FOUND, U}),
    (batched, LINES, {P, U}),
    (enquired, RECORDS, {Fate.SETTLED, Fate.RETURNED, Fate.FAILED, U}),
    (waged, WAGED, {Fate.SETTLED, P, U, Fate.FAILED}),
]


def mutants(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Every place with several other bytes in it: its neighbours, XML's own characters, codes, and random ones."""
    chance = random.Random(4241)
    for place, byte in enumerate(answer):
        others = {byte ^ 1, 0x80, *b"0< FSB", chance.randrange(256)}
        for other in others - {byte}:
            yield place, answer[:place] + bytes((other,)) + answer[place + 1 :]


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_one_wrong_byte_anywhere(heard: Heard, golden: bytes, may_be: Fates) -> None:
    seen: Fates = set()
    for _place, mutant in mutants(golden):
        try:
            seen |= heard(mutant)
        except ProtocolError:
            continue
    assert seen <= may_be


@pytest.mark.parametrize(("heard", "golden", "may_be"), MAY_BE)
def test_cut_off_after_every_byte(heard: Heard, golden: bytes, may_be: Fates) -> None:
    framed = b"%-8d" % len(golden) + golden
    for length in range(len(golden)):
        with pytest.raises(ProtocolError):
            heard(golden[:length])
    for length in range(1, len(framed)):
        cutter = BANK.ports["business"].answers()
        assert cutter.feed(framed[:length]) == []
        with pytest.raises(ProtocolError):
            cutter.end()


@pytest.mark.parametrize(("heard", "golden"), [(paid, TAKEN), (paid, DUPLICATE), (fated, SETTLED), (fated, FAILED)])
@pytest.mark.parametrize("key", [REFERENCE, OURS, THEIRS, "123.45"])
def test_one_wrong_byte_in_what_names_the_payment_makes_it_no_answer(heard: Heard, golden: bytes, key: str) -> None:
    if f">{key}<".encode() not in golden:
        return
    start = golden.index(f">{key}<".encode()) + 1
    tried = 0
    for place, mutant in mutants(golden):
        if not start <= place < start + len(key):
            continue
        tried += 1
        with pytest.raises(ProtocolError):
            heard(mutant)
    assert tried > len(key)


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    for heard in (paid, fated, batched, enquired, waged):
        with pytest.raises(ProtocolError):
            heard(noise)
        with pytest.raises(ProtocolError):
            finish(HTTP.money[Kind.PAYMENT](order(), context()), http.answer(200, (), noise))


CODES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>&"), max_size=7)
WORDS = st.sampled_from(["", "FIN", "BNK", "WRF", "AUT", "S", "F", "B", "C", "U", "0", "NCB4241", "SUC0000"]) | CODES


@given(WORDS, WORDS, WORDS, CODES, st.sampled_from([NUMBER, "", "0000000000"]))
def test_an_answer_never_seen_before_decides_nothing(
    reqsts: str, rtnflg: str, errcod: str, errtxt: str, number: str
) -> None:
    line = handed_in(REQSTS=reqsts, RTNFLG=rtnflg, ERRCOD=errcod, ERRTXT=errtxt, REQNBR=number)
    [fate] = paid(document("DCPAYMNT", "0", line))
    assert fate in (P, U, Fate.DUPLICATE, Fate.FAILED), "handing in settles nothing"
    if fate is Fate.FAILED:
        assert (reqsts, rtnflg, number) == ("FIN", "F", NUMBER)
        assert errcod != "NCB4241"
    [fate] = fated(document("NTQRYSTY", "0", record(REQSTS=reqsts, RTNFLG=rtnflg, REQNBR=number)))
    if fate is Fate.FAILED:
        assert (reqsts, number) == ("FIN", NUMBER)
        assert rtnflg in ("F", "R", "D", "C", "M", "V")
    if fate is Fate.SETTLED:
        assert (reqsts, rtnflg, number) == ("FIN", "S", NUMBER)


@given(st.from_regex("-?[0-9]{1,4}", fullmatch=True), CODES)
def test_no_retcod_at_all_decides(code: str, text: str) -> None:
    if code != "0":
        for heard, function in ((paid, "DCPAYMNT"), (fated, "NTQRYSTY"), (batched, "DCPAYMNT")):
            if code == "-5" and heard is fated:
                with pytest.raises(Declined):
                    heard(document(function, code, message=text))
                continue
            assert heard(document(function, code, message=text)) <= {U}
    if code != "0":
        with pytest.raises(ProtocolError):
            enquired(document("NTQRYSTN", code, message=text))
        if code == "-5":
            with pytest.raises(Declined):
                waged(document("NTAGDINF", code, message=text))
        else:
            assert waged(document("NTAGDINF", code, message=text)) == set(), "the message's state is asked for next"
