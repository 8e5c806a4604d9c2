"""Five answers to each operation: nothing there, order unknown, busy, refused, and a code that nobody listed.

A refusal that the bank's document names ends the payment of a first send. Any other code leaves it in doubt, unless the
settings say what the bank attested about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from protocols.bank import BadOptions
from protocols.canon.order import Bundle, Channel, Item, Kind, Order, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    DirectoryQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
    SentBundle,
)
from protocols.canon.statement import ReceiptLater
from protocols.kit.declined import Declined
from tests.protocols.banks.every.bench import Table, sent_of, table
from tests.protocols.banks.pab.paper import framed

OPTIONS = {"sweeps": "4052", "fast_pay_item": "00001"}
NEVER_SEEN = ("QQ0001", "999999", "yq9993", "MA4046")
BUSY = ("YQ9971", "AFE003", "AFE004", "GW3002", "E00006", "YQ9999", "INT000", "EBLN00")
REFUSALS = ("YQ9990", "2778", "YQ9986", "YQ9983", "YQ9993", "YQ0000", "5223")
NOTHING = ("ES0200", "YQ9996", "MA0103")
MONEY: Mapping[str, Kind] = {
    "4004": Kind.PAYMENT,
    "KHKF03": Kind.PAYMENT,
    "4052": Kind.TRANSFER,
    "4018": Kind.BATCH_ITEM,
    "4047": Kind.PAYROLL_ITEM,
}
FATES: Mapping[str, str] = {"4005": "4004", "KHKF04": "KHKF03", "4015": "4018", "4048": "4047"}
"""The enquiry about each money operation."""


def made(operation: str, code: str, **options: Any) -> Table:
    """A bank that answers `operation` with a code and no body, and everything else as usual."""
    at = table("pab", bank_options={**OPTIONS, **options})
    at.stage.tamper = lambda frame: (
        framed(operation, None, code=code, text="说明") if frame[40:46].decode().strip() == operation else frame
    )
    return at


def order(at: Table, operation: str) -> Order[Any]:
    plain = cast(Order[Any], at.order(MONEY[operation]))
    if operation == "KHKF03":
        return replace(plain, channel=Channel.INSTANT)
    return replace(plain, detail=TransferDetail("sweep")) if operation == "4052" else plain


def sent_with(at: Table, operation: str) -> Outcome:
    """The outcome of a first send."""
    wanted, reference = order(at, operation), at.reference()
    if MONEY[operation] not in at.bank.bundles:
        return at.pay(wanted, reference)
    bundle = Bundle(wanted.kind, (Item(wanted, at.reference()),))
    (told,) = at.pay_bundle(bundle, reference).values()
    return told


def asked_with(at: Table, enquiry: str) -> Outcome:
    """The outcome of an enquiry about an order that was sent."""
    operation = FATES[enquiry]
    wanted, reference = order(at, operation), at.reference()
    sent = replace(sent_of(wanted, reference, at.today), serials=("S", operation))
    if MONEY[operation] not in at.bank.bundles:
        fate = at.bank.questions.fate
        assert fate is not None
        return at.stage.talk(fate(FateQuestion(sent), at.stage.context()))
    question = BundleFateQuestion(SentBundle(at.reference(), at.today, 1, (), (sent,)))
    (told,) = at.stage.talk(at.bank.bundles[wanted.kind].fate(question, at.stage.context())).values()
    return told


MONEY_ROWS = [
    *((code, Fate.FAILED, True) for code in REFUSALS),
    ("MA4045", Fate.DUPLICATE, True),
    *((code, Fate.UNKNOWN, True) for code in BUSY),
    # "Not there" is no answer to an order: it proves nothing.
    *((code, Fate.UNKNOWN, False) for code in (*NOTHING, *NEVER_SEEN)),
]


@pytest.mark.parametrize(("code", "fate", "listed"), MONEY_ROWS)
@pytest.mark.parametrize("operation", MONEY)
def test_an_order(operation: str, code: str, fate: Fate, listed: bool) -> None:
    told = sent_with(made(operation, code), operation)
    assert (told.fate, told.listed, told.code, told.text) == (fate, listed, code, "说明")


@pytest.mark.parametrize("operation", MONEY)
def test_a_payee_s_name_refuses_one_payment_and_no_batch(operation: str) -> None:
    fate = Fate.UNKNOWN if operation in ("4018", "4047") else Fate.FAILED
    assert sent_with(made(operation, "YQ9982"), operation).fate is fate


@pytest.mark.parametrize("operation", MONEY)
def test_fast_pay_has_a_refusal_of_its_own(operation: str) -> None:
    fate = Fate.FAILED if operation == "KHKF03" else Fate.UNKNOWN
    assert sent_with(made(operation, "BIB006"), operation).fate is fate


FATE_ROWS = [
    *((code, Fate.NOT_FOUND) for code in ("MA0103", "YQ9996")),
    *((code, Fate.UNKNOWN) for code in ("ES0200", *BUSY, *REFUSALS, *NEVER_SEEN)),
]


@pytest.mark.parametrize(("code", "fate"), FATE_ROWS)
@pytest.mark.parametrize("enquiry", FATES)
def test_an_enquiry(enquiry: str, code: str, fate: Fate) -> None:
    told = asked_with(made(enquiry, code), enquiry)
    assert (told.fate, told.code) == (fate, code)


# ---- questions ----


def _balance(at: Table, days: int) -> Any:
    ask = at.bank.questions.balance
    assert ask is not None
    on = at.today - timedelta(days=days) if days else None
    return at.stage.talk(ask(BalanceQuestion(AccountNumber(at.own[0]), on=on), at.stage.context()))


def _lines(at: Table) -> Any:
    ask = at.bank.questions.lines
    assert ask is not None
    question = LinesQuestion(AccountNumber(at.own[0]), at.today, at.today)
    return at.stage.talk(ask(question, at.stage.context())).lines


def _returns(at: Table) -> Any:
    ask = at.bank.questions.returns
    assert ask is not None
    question = ReturnsQuestion(AccountNumber(at.own[0]), at.today, at.today)
    return at.stage.talk(ask(question, at.stage.context())).returns


def _branches(at: Table) -> Any:
    ask = at.bank.questions.directory
    assert ask is not None
    return at.stage.talk(ask(DirectoryQuestion("工商银行"), at.stage.context())).branches


def _receipt(at: Table) -> Any:
    ask, wanted = at.bank.questions.receipt, at.order(Kind.BATCH_ITEM)
    assert ask is not None
    question = ReceiptQuestion(
        wanted.ours.account,
        at.today,
        reference=at.reference(),
        amount=wanted.amount,
        bundle=at.reference(),
        creditor=wanted.creditor.account,
        creditor_name=wanted.creditor.name,
    )
    told = at.stage.talk(ask(question, at.stage.context()))
    return () if isinstance(told, ReceiptLater) else told


def _probe(at: Table) -> Any:
    return at.stage.talk(at.bank.sessions.probe(at.stage.context()))


QUESTIONS: Mapping[str, Callable[[Table], Any]] = {
    "4001": partial(_balance, days=0),
    "4012": partial(_balance, days=1),
    "4008": _lines,
    "4013": _lines,
    "4019": _returns,
    "4017": _branches,
    "401802": _receipt,
    "S001": _probe,
}
WITHOUT_ROWS = ("4001", "4012", "S001")
"""Questions whose answer is no list, so that no code means that a list is empty."""


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        *((code, "empty") for code in NOTHING),
        ("YQ9971", "rate_limited"),
        *((code, "retry") for code in BUSY[1:]),
        *((code, "failed") for code in (*REFUSALS, "YQ9982")),
        *((code, "unlisted") for code in NEVER_SEEN),
    ],
)
@pytest.mark.parametrize("operation", QUESTIONS)
def test_a_question(operation: str, code: str, meaning: str) -> None:
    at = made(operation, code, today_lines="4008" if operation == "4008" else "4013")
    if meaning == "empty" and operation not in WITHOUT_ROWS:
        assert QUESTIONS[operation](at) == ()
        return
    with pytest.raises(Declined) as said:
        QUESTIONS[operation](at)
    listed = meaning not in ("empty", "unlisted")
    assert (said.value.code, said.value.outcome, said.value.listed) == (code, meaning if listed else "retry", listed)
    assert operation in str(said.value)


# ---- what the settings attest ----


@pytest.mark.parametrize("operation", MONEY)
@pytest.mark.parametrize(("word", "fate"), [("refused", Fate.FAILED), ("duplicate", Fate.DUPLICATE)])
def test_a_code_that_the_bank_attested(operation: str, word: str, fate: Fate) -> None:
    at = made(operation, "QQ0001", codes={word: ["QQ0001"]})
    assert sent_with(at, operation).fate is fate
    assert sent_with(made(operation, "QQ0002", codes={word: ["QQ0001"]}), operation).fate is Fate.UNKNOWN


@pytest.mark.parametrize("enquiry", FATES)
def test_what_is_attested_about_orders_says_nothing_in_an_enquiry(enquiry: str) -> None:
    assert asked_with(made(enquiry, "QQ0001", codes={"refused": ["QQ0001"]}), enquiry).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    "codes",
    [
        {"refused": ["AFE004"]},
        {"refused": ["000000"]},
        {"refused": ["QQ0001"], "duplicate": ["QQ0001"]},
        {"settled": ["QQ0001"]},
    ],
)
def test_what_cannot_be_attested(codes: dict[str, list[str]]) -> None:
    with pytest.raises(BadOptions, match="codes"):
        table("pab", bank_options={"codes": codes})


# ---- the twin ----


@pytest.mark.parametrize(
    ("enquiry", "code"), [("4005", "MA0103"), ("KHKF04", "YQ9996"), ("4015", "MA0103"), ("4048", "MA0103")]
)
def test_the_twin_says_not_found_in_the_word_of_each_operation(enquiry: str, code: str) -> None:
    at = table("pab", bank_options=OPTIONS)
    told = asked_with(at, enquiry)
    assert (told.fate, told.code) == (Fate.NOT_FOUND, code)
