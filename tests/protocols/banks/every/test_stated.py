"""Each fact about a payment in the answer to an enquiry is compared with the order before the answer is believed.

An answer that the bank gave about one payment is read as one about a payment of another amount, to another payee, of
another day. Where the answer states that fact it is refused; where it does not, the bank's profile says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from protocols.bank import FACTS, QuestionStep, Sign
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import EVERY, Table, bundled, kinds, table
from tests.protocols.banks.every.test_answers import Said, outcomes

Talk = Callable[[], Generator[QuestionStep, bytes, Any]]
BUSINESS = "business"
STRANGER = AccountNumber("0000000000000000099")
SINGLES = [(name, kind) for name in EVERY for kind in kinds(name)]
BUNDLES = [(name, kind) for name in EVERY for kind in bundled(name)]


def other(sent: Sent, kind: Kind, fact: str, days: int = 40) -> Sent:
    """The same payment with one fact changed."""
    if fact == "amount":
        return replace(sent, amount=Money(sent.amount.minor + 1, sent.amount.currency))
    if fact == "day":
        return replace(sent, bank_date=sent.bank_date + timedelta(days=days))
    return replace(sent, debtor=STRANGER) if kind is Kind.COLLECTION else replace(sent, creditor=STRANGER)


def heard(made: Table, begin: Talk) -> tuple[list[bytes], Said]:
    """Run the conversation with the bank's twin; returns its answers at the business port, and the result."""
    talk, answers = begin(), list[bytes]()
    try:
        step = next(talk)
        while True:
            answer = _answer(made, step)
            if not isinstance(step, Sign) and step.port == BUSINESS:
                answers.append(answer)
            step = talk.send(answer)
    except StopIteration as end:
        return answers, end.value


def held(made: Table, begin: Talk, answers: list[bytes]) -> Said | ProtocolError:
    """The result of the conversation with these answers at the business port."""
    talk, told = begin(), iter(answers)
    try:
        step = next(talk)
        while True:
            elsewhere = isinstance(step, Sign) or step.port != BUSINESS
            step = talk.send(_answer(made, step) if elsewhere else next(told))
    except StopIteration as end:
        said: Said = end.value
        return said
    except ProtocolError as error:
        return error
    finally:
        talk.close()


def _answer(made: Table, step: QuestionStep) -> bytes:
    return (
        made.stage.signers[step.key](step.octets)
        if isinstance(step, Sign)
        else made.stage.exchange(step.port, step.data)
    )


def compared(said: Said | ProtocolError, golden: Said, what: str) -> bool:
    """True if the answer was refused because of the fact. Fails if it had any other result."""
    if isinstance(said, ProtocolError):
        assert said.reason == "correlation", f"{what}: {said}"
        return True
    assert outcomes(said) == outcomes(golden), f"{what}: not refused, but another word"
    return False


@pytest.mark.parametrize(("name", "kind"), SINGLES, ids=[f"{name}-{kind.value}" for name, kind in SINGLES])
def test_an_answer_that_states_another_amount_payee_or_day_is_refused(name: str, kind: Kind) -> None:
    made = table(name)
    reference = made.reference()
    made.pay(made.order(kind), reference)
    ask, context, sent = made.bank.questions.fate, made.stage.context(), made.sent[reference]
    assert ask is not None
    answers, golden = heard(made, lambda: ask(FateQuestion(sent), context))
    assert outcomes(golden)[""].fate is Fate.SETTLED
    refused = {
        fact
        for fact in FACTS
        if compared(
            held(made, partial(ask, FateQuestion(other(sent, kind, fact)), context), answers),
            golden,
            f"{name} {kind.value} {fact}",
        )
    }
    assert refused == set(FACTS) - made.bank.profile.unstated.get(kind, frozenset())


@pytest.mark.parametrize(("name", "kind"), BUNDLES, ids=[f"{name}-{kind.value}" for name, kind in BUNDLES])
def test_a_line_of_an_answer_that_states_another_amount_payee_or_day_is_refused(name: str, kind: Kind) -> None:
    made = table(name)
    bundle, reference = made.bundle(kind, ("货款", "货款", "货款"))
    made.pay_bundle(bundle, reference)
    rule, context, sent = made.bank.bundles[kind], made.stage.context(), made.bundles[reference]
    answers, golden = heard(made, lambda: rule.fate(BundleFateQuestion(sent), context))
    assert {one.fate for one in outcomes(golden).values()} == {Fate.SETTLED}

    def asked(fact: str) -> Said | ProtocolError:
        first = other(sent.items[0], kind, fact)
        changed = replace(sent, items=(first, *sent.items[1:]), bank_date=first.bank_date)
        return held(made, lambda: rule.fate(BundleFateQuestion(changed), context), answers)

    def told(said: Said | ProtocolError, what: str) -> bool:
        """The whole answer is refused, or the one line is in doubt and every other line has the bank's outcome."""
        if isinstance(said, ProtocolError) or outcomes(said) == outcomes(golden):
            return compared(said, golden, what)
        first = sent.items[0].reference
        assert outcomes(said)[first].fate is Fate.UNKNOWN and outcomes(said)[first].text, what
        assert {**outcomes(said), first: None} == {**outcomes(golden), first: None}, what
        return True

    refused = {fact for fact in FACTS if told(asked(fact), f"{name} {kind.value} {fact}")}
    assert refused == set(FACTS) - made.bank.profile.unstated.get(kind, frozenset())


@pytest.mark.parametrize(("name", "kind"), SINGLES, ids=[f"{name}-{kind.value}" for name, kind in SINGLES])
def test_an_answer_of_a_day_near_by_is_believed(name: str, kind: Kind) -> None:
    """Because of a weekend, a holiday or an accounting day, a bank may state another day."""
    made = table(name)
    reference = made.reference()
    made.pay(made.order(kind), reference)
    ask, context, sent = made.bank.questions.fate, made.stage.context(), made.sent[reference]
    assert ask is not None
    answers, golden = heard(made, lambda: ask(FateQuestion(sent), context))
    for days in (-3, 3):
        near = other(sent, kind, "day", days)
        said = held(made, partial(ask, FateQuestion(near), context), answers)
        assert not isinstance(said, ProtocolError) and outcomes(said) == outcomes(golden)
