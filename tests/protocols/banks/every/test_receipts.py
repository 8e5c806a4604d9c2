"""Receipts of every bank that has them: the receipt belongs to the requested entry, and to no other."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.trial import trial
from tests.protocols.banks.every.bench import Table, answering, table

RECEIPTS = answering("receipt")
OF_LINES = tuple(name for name in RECEIPTS if trial(name).demo.get("receipts_of") == "batch_item")


def ask(made: Table, question: ReceiptQuestion) -> Any:
    """The receipt, requested until the bank has it; the bank's other answer if it never has it."""
    put = made.bank.questions.receipt
    assert put is not None
    told: Any = None
    for _ in range(4):
        made.stage.sign_on()
        try:
            told = made.stage.talk(put(question, made.stage.context()))
        except (Declined, ProtocolError) as error:
            return error
        if not isinstance(told, ReceiptLater):
            return told
        question = replace(question, ticket=told.ticket)
        made.stage.time.later(int(told.after_s) + 1)
    return told


def asked_about(name: str) -> tuple[Table, ReceiptQuestion]:
    """A payment of yesterday among others, and the question for its receipt."""
    made = table(name)
    bundle, reference = made.bundle(Kind.BATCH_ITEM, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    for minor in (4_321, 1_234_567):
        single = made.reference()
        made.pay(made.order(Kind.PAYMENT, minor=minor), single)
    day = made.today
    made.stage.time.later(86_400)
    made.stage.sign_on()
    if name in OF_LINES:
        item = bundle.items[1]
        payee = item.order.creditor
        return made, ReceiptQuestion(
            item.order.ours.account,
            day,
            reference=item.reference,
            amount=item.order.amount,
            bundle=reference,
            creditor=payee.account,
            creditor_name=payee.name,
        )
    [line] = [one for one in made.walk(made.own[0], day, day) if one.amount == Money(4_321)]
    return made, ReceiptQuestion(line.account, day, line.bank_line_id, amount=line.amount)


@pytest.mark.parametrize("name", RECEIPTS)
def test_a_receipt_is_that_of_the_entry(name: str) -> None:
    made, question = asked_about(name)
    told = ask(made, question)
    assert isinstance(told, Receipt), told
    assert told.data and told.name and "/" not in told.name
    if name not in OF_LINES:
        assert b"43.21" in told.data and b"12345.67" not in told.data


@pytest.mark.parametrize("name", RECEIPTS)
def test_what_the_bank_has_no_receipt_of_is_none(name: str) -> None:
    """Another number or another sum gives later, declined or unclear, and never another entry's receipt."""
    made, question = asked_about(name)
    number = re.sub("[0-9]", "9", question.bank_line_id)
    wrong = replace(question, amount=Money(99_999), bank_line_id=number, reference=None)
    assert not isinstance(ask(made, wrong), Receipt)
