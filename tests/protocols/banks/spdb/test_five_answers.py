"""Five answers to every operation, with the bank's own codes: empty, order unknown, busy, refused, and an unknown code.

No code for "busy" is public. The front end says so with an HTTP status, which is no answer: a payment is in doubt, and a
question is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import Bank
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, LinesQuestion, ReturnsQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    ASKED,
    AUTHORISED,
    BUNDLE,
    DEBTOR,
    ITEMS,
    REFERENCE,
    TODAY,
    bank,
    bundle,
    context,
    done,
    http_answer,
    loop,
    nothing,
    order,
    refused,
    sent,
    sent_bundle,
    sign_page,
    stage,
    talk,
)

ACCOUNT, BUSY = AccountNumber(DEBTOR), http_answer(b"", "503 Service Unavailable")
BATCH = Kind.BATCH_ITEM
NOT_TOLD = "asked again"
"""The result of a question that got no answer: the lane asks again."""


@dataclass(frozen=True)
class Heard:
    """One operation: how it is asked, its packetID, and the answers to other operations before and after it."""

    operation: str
    ask: Callable[[Any], Any]
    packet_id: str = ASKED
    before: Sequence[bytes] = ()
    after: Sequence[bytes] = ()
    web: bool = False

    def told(self, answer: bytes, **options: Any) -> Any:
        """The result of the conversation with this answer: a fate, a number of rows, or the word of a refusal."""
        adapter = bank(**(AUTHORISED if self.web else {}), **options)
        try:
            said = talk(self.ask(adapter), *self.before, answer, *self.after)
        except Declined as declined:
            return (declined.outcome, declined.listed)
        except ProtocolError:
            return NOT_TOLD
        if isinstance(said, Outcome):
            return said.fate
        if isinstance(said, dict):
            [fate] = {one.fate for one in said.values()}
            return fate
        return len(said.lines if hasattr(said, "lines") else said.returns)

    def refused(self, code: str, text: str = "说明", **options: Any) -> Any:
        """The result if the bank answers with this code."""
        return self.told(refused(self.operation, self.packet_id, code, text), **options)


SINGLE = Heard("8801", lambda one: one.money[Kind.PAYMENT](order(), context(REFERENCE)), REFERENCE)
TOGETHER = Heard("8800", lambda one: one.bundles[BATCH].word(bundle(), context(BUNDLE)), BUNDLE)
MONEY = (SINGLE, TOGETHER)
LATER = "369600000000701"
FATE = Heard("8804", lambda one: one.questions.fate(FateQuestion(sent()), context()))
QUESTIONS = (
    FATE,
    Heard("8804", lambda one: one.questions.returns(ReturnsQuestion(ACCOUNT, TODAY, TODAY), context())),
    Heard("8924", lambda one: one.questions.lines(LinesQuestion(ACCOUNT, TODAY, TODAY), context())),
    Heard("4402", lambda one: one.questions.balance(BalanceQuestion(ACCOUNT), context())),
    Heard("DO48", lambda one: one.bundles[BATCH].fate(BundleFateQuestion(sent_bundle()), context()), web=True),
    Heard("EY03", lambda one: one.questions.fate(FateQuestion(sent()), context()), LATER, (nothing(),), web=True),
)
each_money = pytest.mark.parametrize("heard", MONEY, ids=lambda one: one.operation)
each_question = pytest.mark.parametrize("heard", QUESTIONS, ids=lambda one: one.operation)

# The page's codes for a payment: what 8801 and what 8800 makes of them.
CODES = [
    ("EYY8998", Fate.FAILED, Fate.FAILED),  # refused: over the limit
    ("EGG0346", Fate.FAILED, Fate.UNKNOWN),  # refused: the payee's name; of which line is not said
    ("EYY9994", Fate.UNKNOWN, Fate.UNKNOWN),  # refused, by samples alone: the signature
    ("B2E0005", Fate.UNKNOWN, Fate.UNKNOWN),  # refused, by samples alone: the settings of the web bank
    ("EYY8995", Fate.UNKNOWN, Fate.UNKNOWN),  # unknown: the upload of a file of many
    ("EGG0050", Fate.UNKNOWN, Fate.UNKNOWN),  # unknown: a file at the bank
    ("EGG0042", Fate.UNKNOWN, Fate.UNKNOWN),  # unknown: generic
    ("EGG0521", Fate.UNKNOWN, Fate.UNKNOWN),  # empty: an answer to questions
    ("EYY8990", Fate.DUPLICATE, Fate.DUPLICATE),
    ("EYY0001", Fate.UNKNOWN, Fate.UNKNOWN),  # in no table
]


@pytest.mark.parametrize(("code", "single", "together"), CODES)
def test_the_page_s_codes_for_money(code: str, single: Fate, together: Fate) -> None:
    assert (SINGLE.refused(code), TOGETHER.refused(code)) == (single, together)


@pytest.mark.parametrize(("code", "single", "together"), CODES)
def test_a_refusal_is_one_of_the_first_send_and_where_head_and_body_agree(
    code: str, single: Fate, together: Fate
) -> None:
    adapter, answer = bank(), refused("8801", REFERENCE, code)
    again = replace(context(REFERENCE), attempt=2)
    assert talk(adapter.money[Kind.PAYMENT](order(), again), answer).fate is _in_doubt(single)
    many = talk(
        adapter.bundles[BATCH].word(bundle(), replace(context(BUNDLE), attempt=2)), refused("8800", BUNDLE, code)
    )
    assert {one.fate for one in many.values()} == {_in_doubt(together)}
    assert SINGLE.told(refused("8801", REFERENCE, code, again="")) is _in_doubt(single)
    assert TOGETHER.told(refused("8800", BUNDLE, code, again="")) is _in_doubt(together)


def _in_doubt(fate: Fate) -> Fate:
    return Fate.UNKNOWN if fate is Fate.FAILED else fate


@each_money
@pytest.mark.parametrize("code", [code for code, single, _ in CODES if single is Fate.UNKNOWN])
def test_a_doubt_carries_the_bank_s_word_and_ends_once_the_bank_attests_the_code(heard: Heard, code: str) -> None:
    answer = refused(heard.operation, heard.packet_id, code, "拒绝的原因")
    said = talk(heard.ask(bank()), answer)
    words = [said] if isinstance(said, Outcome) else list(said.values())
    assert {(one.fate, one.code, one.text) for one in words} == {(Fate.UNKNOWN, code, "拒绝的原因")}
    assert heard.refused(code, codes={"refused": [code]}) is Fate.FAILED


@each_money
def test_a_busy_front_end_leaves_a_payment_in_doubt(heard: Heard) -> None:
    """The lane takes a missing answer as doubt once the bytes have been sent."""
    assert heard.told(BUSY) == NOT_TOLD


# ---- questions ----


def at(operation: str, number: int) -> bytes:
    """The error EGG0521 as the answer to the message of this number in a conversation."""
    return nothing(operation, f"{ASKED[:-2]}{number:02d}")


RETURNS, LINES, BALANCE, PACKAGE, WEB = QUESTIONS[1:]
BLANK = loop()
EMPTY: list[tuple[Heard, bytes, Sequence[bytes], Any]] = [
    (FATE, nothing(), (), Fate.NOT_FOUND),
    (FATE, done("8804", ASKED, BLANK), (), Fate.NOT_FOUND),
    (RETURNS, nothing(), (), 0),
    (RETURNS, done("8804", ASKED, BLANK), (), 0),
    (LINES, nothing("8924"), (), 0),
    (LINES, done("8924", ASKED, BLANK), (), 0),
    (BALANCE, nothing("4402"), (), ("retry", False)),
    (BALANCE, done("4402", ASKED, '<lists name="acctBalanceList"/>'), (), ("retry", True)),
    # Of a package that the web bank does not know the host is asked: the account's page, then line by line.
    (PACKAGE, nothing("DO48"), [at("8804", number) for number in range(1, 5)], Fate.NOT_FOUND),
    (PACKAGE, done("DO48", ASKED, BLANK), [at("8804", number) for number in range(1, 5)], Fate.NOT_FOUND),
    (WEB, nothing("EY03", LATER), (), Fate.NOT_FOUND),
    (WEB, done("EY03", LATER, BLANK), (), Fate.NOT_FOUND),
]


@pytest.mark.parametrize(("heard", "answer", "after", "wanted"), EMPTY)
def test_no_rows_and_an_order_unknown(heard: Heard, answer: bytes, after: Sequence[bytes], wanted: Any) -> None:
    """The bank has one code for both cases, and also an empty list. None of these answers is a refusal."""
    assert replace(heard, after=after).told(answer) == wanted


@each_question
def test_busy_refused_and_unknown(heard: Heard) -> None:
    assert heard.told(BUSY) == NOT_TOLD
    assert heard.refused("B2E0005") == ("failed", True)
    for code in ("EGG0042", "EGG0050", "EYY9994", "EYY8990"):
        assert heard.refused(code) == ("retry", True)
    for code in ("EYY0001", "EYY8998", "EGG0346", "EYY8995"):
        assert heard.refused(code) == ("retry", False)


def test_the_sign_port_refuses_is_busy_or_says_nothing() -> None:
    """Nothing was submitted, so a payment may be tried again."""
    for heard in (SINGLE, TOGETHER, *QUESTIONS[:4]):
        for page in (sign_page(b"<body/>", result="-1"), BUSY, http_answer(b"<html/>")):
            conversation = heard.ask(bank())
            next(conversation)
            with pytest.raises(Declined) as caught:
                conversation.send(page)
            assert caught.value.outcome == "retry"


# ---- the simulated bank says so in the same codes ----


def test_the_simulated_bank_has_the_page_s_codes() -> None:
    for faults, code, fate in (((), "EGG0521", Fate.NOT_FOUND), (("empty_list",), "AAAAAAA", Fate.NOT_FOUND)):
        scene = stage(faults)
        assert scene.talk(FATE.ask(scene.bank)).fate is fate
        assert f"<returnCode>{code}</returnCode>".encode() in scene.said[-1].answer
    for kind, reference, code in ((Kind.PAYMENT, REFERENCE, "EGG0346"), (BATCH, BUNDLE, "EYY8998")):
        scene = stage(["refuses_at_once"], conduct=BookingRules(refuse_share=1))
        if kind is BATCH:
            said = scene.talk(scene.bank.bundles[BATCH].word(bundle(), scene.context(reference)))
            assert {one.fate for one in said.values()} == {Fate.FAILED}
            later = scene.talk(asked_later(scene.bank, scene.context()))
            assert {one.fate for one in later.values()} == {Fate.NOT_FOUND} and set(later) == set(ITEMS[:3])
        else:
            assert scene.talk(scene.bank.money[kind](order(), scene.context(reference))).fate is Fate.FAILED
        assert any(f"<returnCode>{code}</returnCode>".encode() in one.answer for one in scene.said)


def asked_later(adapter: Bank, given: Any) -> Any:
    return adapter.bundles[BATCH].fate(BundleFateQuestion(sent_bundle()), given)
