"""Five answers of the bank to every operation: nothing there, order unknown, busy, refused, and a code that nobody knows.

Only Result, iRetCode B0043 and B0052, and NetSafe Client's 40418 are public. A code that the bank told the customer is
declared in the settings (DECLARED); without that it ends no payment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from protocols.bank import Bank
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, BundleFateQuestion, FateQuestion, LinesQuestion
from protocols.canon.statement import Page
from protocols.kit.declined import Declined
from tests.protocols.banks.icbc.paper import (
    BUNDLE,
    DEBTOR,
    REFERENCE,
    TODAY,
    bank,
    bundle,
    context,
    http_answer,
    leaves,
    message,
    order,
    sent,
    sent_bundle,
    talk,
)

DECLARED = {"duplicate": ["D1"], "not_found": ["N1"], "refused": ["R1"], "empty": ["E1"]}
KINDS = {"PAYENT": Kind.BATCH_ITEM, "PAYPER": Kind.PAYROLL_ITEM, "PERDIS": Kind.COLLECTION}
NUMBER = "Q000000000007"
BUSY = http_answer(b"errorCode=40418")


@dataclass(frozen=True, slots=True)
class Told:
    """An answer's parts: RetCode, and of each line Result with the codes beside it."""

    package: str = "0"
    result: str | None = None
    line: str = "0"
    question: str = "0"


def lines(told: Told, count: int, *, enquiry: bool) -> str:
    """The lines of an answer; none where the answer has no Result."""
    if told.result is None:
        return ""
    result: Mapping[str, str] = {"Result": told.result, "iRetCode": told.line, "iRetMsg": ""}
    if enquiry:
        result = {
            "Result": told.result,
            "instrRetCode": told.line,
            "instrRetMsg": "",
            "iRetCode": told.question,
            "iRetMsg": "",
        }
    key = "QryiSeqno" if enquiry else "iSeqno"
    return "".join(f"<rd>{leaves({key: str(n), **result})}</rd>" for n in range(1, count + 1))


def handed_in(adapter: Bank, operation: str, told: Told) -> set[Fate]:
    """What becomes of the orders that `operation` handed in."""
    frame = message(operation, BUNDLE, lines(told, 3, enquiry=False), RetCode=told.package, RetMsg="文")
    kind = KINDS[operation]
    fates = talk(adapter.bundles[kind].word(bundle(kind), context(BUNDLE)), frame)
    return {one.fate for one in fates.values()}


def asked(adapter: Bank, operation: str, told: Told) -> set[Fate]:
    """What the enquiry `operation` says of three orders."""
    out = leaves({"QryfSeqno": BUNDLE}) + lines(told, 3, enquiry=True)
    kind = KINDS[operation[1:]]
    question = BundleFateQuestion(sent_bundle(bundle(kind)))
    frame = message(operation, NUMBER, out, RetCode=told.package, RetMsg="文")
    return {one.fate for one in talk(adapter.bundles[kind].fate(question, context(BUNDLE)), frame).values()}


MONEY = (
    ("order known already", Told("D1"), Fate.DUPLICATE, Fate.UNKNOWN),
    ("a line known already", Told(result="6", line="D1"), Fate.DUPLICATE, Fate.FAILED),
    ("in process", Told(result="9"), Fate.PENDING, Fate.PENDING),
    ("waits for an approval", Told(result="2"), Fate.PENDING, Fate.PENDING),
    ("no Result", Told(result=""), Fate.PENDING, Fate.PENDING),
    ("refused by name", Told(result="6", line="B0043"), Fate.FAILED, Fate.FAILED),
    ("refused as its own payee", Told(result="6", line="B0052"), Fate.FAILED, Fate.FAILED),
    ("approval refused", Told(result="8"), Fate.FAILED, Fate.FAILED),
    ("the package refused", Told("R1"), Fate.FAILED, Fate.UNKNOWN),
    ("an unknown RetCode", Told("X9"), Fate.UNKNOWN, Fate.UNKNOWN),
    ("an unknown Result", Told(result="99"), Fate.UNKNOWN, Fate.UNKNOWN),
    ("a code beside success", Told(result="7", line="B0043"), Fate.UNKNOWN, Fate.UNKNOWN),
    ("a booking that was cancelled", Told(result="11"), Fate.UNKNOWN, Fate.UNKNOWN),
)
"""What a first send makes of an answer: with the declared codes, and without."""


@pytest.mark.parametrize("operation", KINDS)
@pytest.mark.parametrize(("told", "declared", "bare"), [one[1:] for one in MONEY], ids=[one[0] for one in MONEY])
def test_an_instruction(operation: str, told: Told, declared: Fate, bare: Fate) -> None:
    assert handed_in(bank(codes=DECLARED), operation, told) == {declared}
    assert handed_in(bank(), operation, told) == {bare}


@pytest.mark.parametrize("operation", KINDS)
def test_a_front_end_that_passes_nothing_on_leaves_an_instruction_in_doubt(operation: str) -> None:
    kind = KINDS[operation]
    told = talk(bank(codes=DECLARED).bundles[kind].word(bundle(kind), context(BUNDLE)), BUSY)
    assert {(one.fate, one.code) for one in told.values()} == {(Fate.UNKNOWN, "40418")}


def test_the_word_stands_beside_the_doubt() -> None:
    told = talk(
        bank().money[Kind.PAYMENT](order(), context()), message("PAYENT", REFERENCE, "", RetCode="X9", RetMsg="忙")
    )
    assert (told.fate, told.code, told.text) == (Fate.UNKNOWN, "X9", "忙")


ENQUIRIES: tuple[tuple[str, Told, set[Fate], set[Fate]], ...] = (
    ("no line", Told(), set(), set()),
    ("order unknown", Told("N1"), {Fate.NOT_FOUND}, {Fate.UNKNOWN}),
    ("a line unknown", Told(result="", question="N1"), {Fate.NOT_FOUND}, {Fate.UNKNOWN}),
    ("in process", Told(result="4"), {Fate.PENDING}, {Fate.PENDING}),
    ("refused", Told(result="6", line="B0043"), {Fate.FAILED}, {Fate.FAILED}),
    ("paid", Told(result="7"), {Fate.SETTLED}, {Fate.SETTLED}),
    ("the question refused", Told("R1"), {Fate.UNKNOWN}, {Fate.UNKNOWN}),
    ("the question unknown", Told("X9"), {Fate.UNKNOWN}, {Fate.UNKNOWN}),
    ("a line's question refused beside a success", Told(result="7", question="X9"), {Fate.UNKNOWN}, {Fate.UNKNOWN}),
)


@pytest.mark.parametrize("operation", [f"Q{name}" for name in KINDS])
@pytest.mark.parametrize(
    ("told", "declared", "bare"), [one[1:] for one in ENQUIRIES], ids=[one[0] for one in ENQUIRIES]
)
def test_an_enquiry(operation: str, told: Told, declared: set[Fate], bare: set[Fate]) -> None:
    assert asked(bank(codes=DECLARED), operation, told) == declared
    assert asked(bank(), operation, told) == bare


def test_a_front_end_that_passes_nothing_on_says_nothing_of_the_payment() -> None:
    ask = bank().questions.fate
    assert ask is not None
    assert talk(ask(FateQuestion(sent()), context()), BUSY).fate is Fate.UNKNOWN


def put(adapter: Bank, operation: str, frame: bytes) -> Any:
    """The answer to a question about an account."""
    if operation == "QACCBAL":
        balance = adapter.questions.balance
        assert balance is not None
        return talk(balance(BalanceQuestion(AccountNumber(DEBTOR)), context()), frame)
    ask = adapter.questions.lines
    assert ask is not None
    day = TODAY if operation == "QPD" else TODAY.replace(day=TODAY.day - 1)
    return talk(ask(LinesQuestion(AccountNumber(DEBTOR), day, day), context()), frame)


@pytest.mark.parametrize("operation", ["QACCBAL", "QPD", "QHISD"])
@pytest.mark.parametrize(("code", "outcome"), [("40418", "retry"), ("X9", "retry"), ("R1", "retry"), ("N1", "retry")])
def test_a_question_that_is_refused_is_asked_again(operation: str, code: str, outcome: str) -> None:
    frame = BUSY if code == "40418" else message(operation, NUMBER, "", RetCode=code, RetMsg="文")
    with pytest.raises(Declined) as caught:
        put(bank(codes=DECLARED), operation, frame)
    assert (caught.value.code, caught.value.outcome) == (code, outcome)


@pytest.mark.parametrize("operation", ["QPD", "QHISD"])
def test_a_day_without_entries(operation: str) -> None:
    none = message(operation, NUMBER, leaves({"AccNo": DEBTOR, "NextTag": "", "TotalNum": "0"}))
    assert put(bank(), operation, none) == Page(())
    code = message(operation, NUMBER, "", RetCode="E1", RetMsg="无记录")
    assert put(bank(codes=DECLARED), operation, code) == Page(())
    with pytest.raises(Declined):
        put(bank(), operation, code)


def test_an_account_that_the_bank_does_not_hold() -> None:
    row = leaves({"iSeqno": "1", "AccNo": DEBTOR, "CurrType": "001", "iRetCode": "X9", "iRetMsg": "文"})
    with pytest.raises(Declined) as caught:
        put(bank(), "QACCBAL", message("QACCBAL", NUMBER, f"<rd>{row}</rd>"))
    assert (caught.value.code, caught.value.bank_text) == ("X9", "文")
