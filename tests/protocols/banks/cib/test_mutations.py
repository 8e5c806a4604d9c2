"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.banks.cib.table import meanings
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import (
    CREDITOR,
    DEBTOR,
    QUERY,
    bank,
    bundle,
    context,
    core,
    finish,
    fox,
    item_reference,
    line,
    paid,
    payment,
    question,
    refused,
    refused_log_on,
    sent_bundle,
    told,
)
from tests.protocols.banks.cib.test_bundles import ALIKE, batch_answer, payroll_answer, row

BANK = bank()
Asked = Callable[[bytes], Fate]


def paying(answer: bytes) -> Fate:
    return finish(BANK.money[Kind.PAYMENT](payment(), context()), answer).fate


def asking(answer: bytes) -> Fate:
    assert BANK.questions.fate is not None
    conversation = BANK.questions.fate(question(), context())
    next(conversation)
    try:
        conversation.send(answer)
        # The adapter also wants to ask the core system, which does not know either.
        conversation.send(fox("INQSTATETRN", f"Q{2:020d}", "", "1740", "查询超时"))
    except StopIteration as end:
        return end.value.fate  # type: ignore[no-any-return]
    raise AssertionError("two answers end it")


def asking_core(answer: bytes) -> Fate:
    assert BANK.questions.fate is not None
    return finish(BANK.questions.fate(question(), context()), told("PENDING"), answer).fate


def batching(answer: bytes) -> Fate:
    """The worst of the two lines' outcomes."""
    given = bundle(*ALIKE[:2])
    said = {outcome.fate for outcome in BANK.bundles[Kind.BATCH_ITEM].read(sent_bundle(given), answer).values()}
    return max(said or {Fate.UNKNOWN}, key=lambda fate: fate in (Fate.SETTLED, Fate.FAILED))


def paying_out(answer: bytes) -> Fate:
    given = bundle(line(1, Kind.PAYROLL_ITEM, account="0000000000000101"))
    words = BANK.bundles[Kind.PAYROLL_ITEM]
    said: Mapping[str, object] = finish(words.fate(BundleFateQuestion(sent_bundle(given)), context()), answer)
    return getattr(said.get(item_reference(1)), "fate", Fate.UNKNOWN)


PAYROLL = payroll_answer("23", operation="RPAYOFFINQTRN", body="RPAYOFFINQRS", trnuid=QUERY)
# The outcomes that a golden answer may have with one wrong byte.
MAY_BE = [
    (paying, paid(), {Fate.SETTLED, Fate.UNKNOWN}),
    (paying, paid("FAIL", "交易失败"), {Fate.FAILED, Fate.UNKNOWN}),
    (paying, paid("PROCESSING", "处理中"), {Fate.PENDING, Fate.UNKNOWN}),
    # 12345 behind another digit is a code nobody knows; 2002 is one byte from 2000, 2005 and 2006.
    (paying, refused("2002", "账号与核心户名不符"), {Fate.FAILED, Fate.UNKNOWN}),
    (paying, refused("12345", "TRNUID值已被使用"), {Fate.DUPLICATE, Fate.UNKNOWN}),
    (asking, told(), {Fate.SETTLED, Fate.UNKNOWN}),
    (asking, told("FAIL"), {Fate.FAILED, Fate.UNKNOWN}),
    (asking, fox("XFERINQTRN", QUERY, "", "2020", "指令不存在"), {Fate.NOT_FOUND}),
    # One digit decides in the core system's answer: 1 is done, 2 is failed.
    (asking_core, core("1", "Y"), {Fate.SETTLED, Fate.FAILED, Fate.PENDING, Fate.UNKNOWN}),
    (batching, batch_answer(row(1, "PAYOUT"), row(2, "PAYOUT"), word="PAYOUT"), {Fate.SETTLED, Fate.UNKNOWN}),
    (batching, batch_answer(row(1, "FAIL"), row(2, "FAIL"), word="FAIL"), {Fate.FAILED, Fate.UNKNOWN}),
    (batching, batch_answer(word="SUBMIT_SUCC"), {Fate.PENDING, Fate.UNKNOWN}),
    (paying_out, PAYROLL, {Fate.SETTLED, Fate.UNKNOWN, Fate.FAILED}),
]
IDS = [f"{asked.__name__}-{number}" for number, (asked, _, _) in enumerate(MAY_BE)]


def mutants(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Every place of the document with several other bytes: neighbours, digits, XML's own characters, and random ones."""
    chance = random.Random(8007)
    for place in range(answer.index(b"\r\n\r\n") + 4, len(answer)):
        others = {answer[place] ^ 1, ord("0"), ord("5"), ord("<"), ord(" "), 0x80, chance.randrange(256)}
        for other in others - {answer[place]}:
            yield place, answer[:place] + bytes((other,)) + answer[place + 1 :]


@pytest.mark.parametrize(("asked", "golden", "may_be"), MAY_BE, ids=IDS)
def test_one_wrong_byte_anywhere(asked: Asked, golden: bytes, may_be: set[Fate]) -> None:
    seen: set[Fate] = set()
    for _place, mutant in mutants(golden):
        try:
            seen.add(asked(mutant))
        except ProtocolError:
            continue
    assert seen <= may_be
    assert asked(golden) in may_be


@pytest.mark.parametrize(("asked", "golden", "may_be"), MAY_BE, ids=IDS)
def test_cut_off_after_every_byte(asked: Asked, golden: bytes, may_be: set[Fate]) -> None:
    for length in range(0, len(golden), 3):
        with pytest.raises(ProtocolError):
            asked(golden[:length])
        cutter = BANK.ports["business"].answers()
        assert cutter.feed(golden[:length]) == []
        if length:
            with pytest.raises(ProtocolError):
                cutter.end()


@pytest.mark.parametrize(
    ("asked", "golden"), [(paying, paid()), (paying, paid("FAIL")), (asking, told()), (asking, told("FAIL"))]
)
@pytest.mark.parametrize("key", [DEBTOR, CREDITOR, "1024.50"])
def test_one_wrong_byte_in_what_names_the_payment_makes_it_no_answer(asked: Asked, golden: bytes, key: str) -> None:
    start = golden.index(f">{key}<".encode()) + 1
    tried = 0
    for place, mutant in mutants(golden):
        # A blank at either end of a number is padding.
        if start <= place < start + len(key) and mutant[place : place + 1] != b" ":
            tried += 1
            with pytest.raises(ProtocolError):
                asked(mutant)
    assert tried > len(key)


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(noise)
    for asked in (paying, asking, batching, paying_out):
        for answer in (noise, head + noise):
            with pytest.raises(ProtocolError):
                asked(answer)


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>&|"), min_size=1, max_size=12)
TEXTS = st.text(st.characters(codec="gbk", categories=["L", "N", "P"], exclude_characters="<>&|"), max_size=12)
FAILS, SETTLES = {"FAIL", "CANCEL", "EXPIRED"}, {"PAYOUT"}
REFUSES = {"2002", "2006", "2005", "50006"}


@given(WORDS, TEXTS)
def test_no_word_but_the_listed_ones_decides(word: str, text: str) -> None:
    for fate in (paying(paid(word, text)), asking(told(word, text))):
        assert (fate is Fate.SETTLED) == (word in SETTLES)
        assert (fate is Fate.FAILED) == (word in FAILS)
    for fate in (batching(batch_answer(row(1, word), row(2, word), word="")),):
        assert (fate is Fate.SETTLED) == (word in SETTLES)
        assert (fate is Fate.FAILED) == (word in FAILS)
    fate = paying_out(payroll_answer(word, operation="RPAYOFFINQTRN", body="RPAYOFFINQRS", trnuid=QUERY))
    assert (fate is Fate.SETTLED) == (word == "23")
    assert (fate is Fate.FAILED) == (word in {str(code) for code in (*range(40, 55), 59)})


@given(WORDS.filter(lambda code: code != "0"), TEXTS)
def test_no_status_settles_and_only_the_listed_ones_fail(code: str, text: str) -> None:
    outcome = finish(BANK.money[Kind.PAYMENT](payment(), context()), refused(code, text))
    assert (outcome.fate is Fate.FAILED) == (code in REFUSES)
    assert outcome.fate is not Fate.SETTLED
    assert outcome.listed or outcome.fate is Fate.UNKNOWN
    try:
        assert asking(fox("XFERINQTRN", QUERY, "", code, text)) is Fate.NOT_FOUND
    except ProtocolError:
        pass
    with pytest.raises(ProtocolError):
        paying(refused_log_on(code, text))


@given(WORDS, st.sampled_from(["", "Y", "F", "G", "7"]), st.sampled_from(["Y", "N", "", "X"]))
def test_no_result_of_the_core_system_but_the_listed_ones_decides(result: str, status: str, inside: str) -> None:
    fate = asking_core(core(result, status, inside=inside))
    if result not in ("1", "2"):
        assert fate is Fate.UNKNOWN


def test_the_table_lets_no_question_s_code_decide_about_money() -> None:
    for one in meanings().table.rows:
        assert one.source
        if one.layer in ("asked", "sonrs"):
            assert one.outcome in ("not_found", "empty", "retry", "failed", "signed_out")
            assert one.outcome != "not_found" or one.operation == "enquiry"
        if one.layer.startswith("trnrs"):
            assert one.outcome in ("failed", "in_doubt", "duplicate")
        if one.outcome == "settled":
            assert one.layer in ("word", "line", "intra", "inter")
