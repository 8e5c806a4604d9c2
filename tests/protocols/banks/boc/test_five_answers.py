"""Five answers of the bank to every operation: nothing there, order unknown, busy, refused, and a code that nobody knows.

Public are B001, the three codes of b2e0007 that mean "in process", and 1033 and B107 of a lost session; no document of the
bank names a code that refuses an order. A code that the bank told the customer is declared in the settings (DECLARED):
then it ends a first send's payment, and otherwise the payment is in doubt with the code beside it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from protocols.bank import Bank
from protocols.canon.order import Kind, PayrollItemDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, PartyKind
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReceiptQuestion
from protocols.canon.statement import Page, ReceiptLater
from protocols.kit.declined import Declined
from tests.protocols.banks.boc.paper import (
    OURS,
    REFERENCE,
    TODAY,
    TOKEN,
    answer,
    bank,
    bundle,
    context,
    named,
    order,
    question,
    reference_of,
    row,
    talk,
)

DECLARED = {"duplicate": ["D001"], "not_found": ["N001"], "refused": ["R001"], "empty": ["E001"]}
EXTRA = {"payroll": True, "payroll_usage": "G8", "payroll_province": "32"}
SUBMITS = ("b2e0009", "b2e0061", "b2e0078", "batch")
LOST = ("1033", "B107")


def handed_in(adapter: Bank, operation: str, message: str, line: str | None) -> Outcome:
    """What becomes of one order that `operation` handed in; `line` is the code of its row, None for an answer without."""
    rows = () if line is None else (named(reference_of(1) if operation == "batch" else REFERENCE, line),)
    frame = answer("b2e0009" if operation == "batch" else operation, message, *rows)
    if operation == "batch":
        [told] = talk(adapter.bundles[Kind.BATCH_ITEM].word(bundle([100]), context()), frame)[0].values()
        return told
    given: Any = order()
    if operation == "b2e0061":
        given = replace(given, creditor=replace(given.creditor, kind=PartyKind.PERSON))
    if operation == "b2e0078":
        given = order(PayrollItemDetail("B1", 1))
    alone: Outcome = talk(adapter.money[given.kind](given, context()), frame)[0]
    return alone


MONEY = (
    ("taken", "B001", "B001", Fate.PENDING, Fate.PENDING),
    ("order known already", "B001", "D001", Fate.DUPLICATE, Fate.UNKNOWN),
    ("the message known already", "D001", None, Fate.DUPLICATE, Fate.UNKNOWN),
    ("refused", "B001", "R001", Fate.FAILED, Fate.UNKNOWN),
    ("the message refused", "R001", None, Fate.FAILED, Fate.UNKNOWN),
    ("the message refused beside a row that was taken", "R001", "B001", Fate.UNKNOWN, Fate.UNKNOWN),
    ("in process, a word of b2e0007 only", "B001", "B054", Fate.UNKNOWN, Fate.UNKNOWN),
    ("an unknown code", "B001", "X999", Fate.UNKNOWN, Fate.UNKNOWN),
    ("an unknown code of the message", "X999", None, Fate.UNKNOWN, Fate.UNKNOWN),
)
"""What a first send makes of the codes of message and row: with the declared codes, and without."""


@pytest.mark.parametrize("operation", SUBMITS)
@pytest.mark.parametrize(("name", "message", "line", "declared", "bare"), MONEY, ids=[one[0] for one in MONEY])
def test_an_order(operation: str, name: str, message: str, line: str | None, declared: Fate, bare: Fate) -> None:
    assert handed_in(bank(codes=DECLARED, **EXTRA), operation, message, line).fate is declared
    told = handed_in(bank(**EXTRA), operation, message, line)
    assert told.fate is bare
    if bare is Fate.UNKNOWN:
        assert told.code == (message if message != "B001" else line), name


@pytest.mark.parametrize("operation", SUBMITS)
@pytest.mark.parametrize("code", LOST)
@pytest.mark.parametrize("inside", [False, True], ids=["message", "row"])
def test_an_order_that_meets_a_lost_session_is_doubt_and_the_lane_signs_on(
    operation: str, code: str, inside: bool
) -> None:
    """The bank may have taken the order before it forgot the token, so the word ends nothing."""
    with pytest.raises(Declined) as caught:
        handed_in(bank(codes=DECLARED, **EXTRA), operation, *(("B001", code) if inside else (code, None)))
    assert (caught.value.code, caught.value.outcome) == (code, "signed_out")


def asked(adapter: Bank, message: str, line: str | None) -> Outcome:
    """What b2e0007 says of one order."""
    ask = adapter.questions.fate
    assert ask is not None
    rows = () if line is None else (named(code=line),)
    told: Outcome = talk(ask(question(), context()), answer("b2e0007", message, *rows))[0]
    return told


@pytest.mark.parametrize(
    ("message", "line", "declared", "bare"),
    [
        ("B001", None, Fate.NOT_FOUND, Fate.NOT_FOUND),
        ("B001", "N001", Fate.NOT_FOUND, Fate.UNKNOWN),
        ("N001", None, Fate.NOT_FOUND, None),
        ("B001", "B054", Fate.PENDING, Fate.PENDING),
        ("B001", "B059", Fate.PENDING, Fate.PENDING),
        ("B001", "B266", Fate.PENDING, Fate.PENDING),
        ("B001", "R001", Fate.FAILED, Fate.UNKNOWN),
        ("R001", None, None, None),
        ("B001", "X999", Fate.UNKNOWN, Fate.UNKNOWN),
        ("X999", None, None, None),
        ("B001", "B001", Fate.SETTLED, Fate.SETTLED),
    ],
)
def test_an_enquiry(message: str, line: str | None, declared: Fate | None, bare: Fate | None) -> None:
    """None: the question itself was refused, and is asked again."""
    for adapter, wanted in ((bank(codes=DECLARED), declared), (bank(), bare)):
        if wanted is None:
            with pytest.raises(Declined) as caught:
                asked(adapter, message, line)
            assert (caught.value.code, caught.value.outcome) == (message, "retry")
        else:
            assert asked(adapter, message, line).fate is wanted


def put(adapter: Bank, operation: str, frame: bytes) -> Any:
    """The answer to a question about an account, or to a sign-on."""
    questions, account = adapter.questions, AccountNumber(OURS)
    if operation == "b2e0001":
        assert adapter.sessions.sign_on is not None
        return talk(adapter.sessions.sign_on(context(token="")), frame)[0]
    if operation in ("b2e0005", "b2e0012"):
        assert questions.balance is not None
        day = None if operation == "b2e0005" else TODAY - timedelta(days=1)
        return talk(questions.balance(BalanceQuestion(account, on=day), context()), frame)[0]
    if operation == "b2e0035":
        assert questions.lines is not None
        return talk(questions.lines(LinesQuestion(account, TODAY, TODAY), context()), frame)[0]
    assert questions.receipt is not None
    return talk(questions.receipt(ReceiptQuestion(account, TODAY, amount=order().amount), context()), frame)[0]


QUESTIONS = ("b2e0005", "b2e0012", "b2e0035", "b2e0500")
PATH = {"receipt_path": "/receipts/{filename}"}


@pytest.mark.parametrize("operation", QUESTIONS)
@pytest.mark.parametrize(
    ("code", "outcome"),
    [("1033", "signed_out"), ("B107", "signed_out"), ("X999", "retry"), ("R001", "retry"), ("N001", "retry")],
)
def test_a_question_that_is_refused(operation: str, code: str, outcome: str) -> None:
    with pytest.raises(Declined) as caught:
        put(bank(codes=DECLARED, **PATH), operation, answer(operation, code))
    assert (caught.value.code, caught.value.outcome) == (code, outcome)


@pytest.mark.parametrize("operation", QUESTIONS)
@pytest.mark.parametrize("code", ["X999", "R001", "B054"])
def test_a_question_whose_only_row_is_refused(operation: str, code: str) -> None:
    with pytest.raises(Declined) as caught:
        put(bank(codes=DECLARED, **PATH), operation, answer(operation, "B001", row(code)))
    assert (caught.value.code, caught.value.listed) == (code, False)


def test_a_day_without_entries() -> None:
    none = answer("b2e0035", "B001", before="<totalnum>0</totalnum><notenum>0</notenum>")
    assert put(bank(), "b2e0035", none) == Page(())
    for frame in (answer("b2e0035", "E001"), answer("b2e0035", "B001", row("E001"))):
        assert put(bank(codes=DECLARED), "b2e0035", frame) == Page(())
        with pytest.raises(Declined):
            put(bank(), "b2e0035", frame)


def test_no_receipt_yet() -> None:
    for frame in (answer("b2e0500", "B001"), answer("b2e0500", "E001")):
        assert isinstance(put(bank(codes=DECLARED, **PATH), "b2e0500", frame), ReceiptLater)


@pytest.mark.parametrize("code", [*LOST, "X999", "R001", "E001"])
def test_a_sign_on_that_is_refused_is_final_whatever_the_code(code: str) -> None:
    with pytest.raises(Declined) as caught:
        put(bank(codes=DECLARED), "b2e0001", answer("b2e0001", code))
    assert (caught.value.code, caught.value.outcome) == (code, "failed")
    assert put(bank(), "b2e0001", answer("b2e0001", "B001", before=f"<token>{TOKEN}</token>")) == {"token": TOKEN}
