"""What no bank can read is told: a request that is no message of the bank, and text in another charset.

Each is either a finding of the answer, or an error with which the connection is closed and which the log of exchanges
names (`tests/gateway/simbank/test_troubles.py`).
"""

from __future__ import annotations

from typing import Any

import pytest

from protocols.bank import Sign, Submit
from protocols.canon.order import Bundle, Item, Kind
from protocols.judge import RuleKind
from protocols.kit import http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import EVERY, Table, table

SEALED = ("icbc", "spdb")
"""Banks whose orders are encoded: their mistakes of charset stand in their `client_mistakes.py` and `page_mistakes.py`."""
TEXTS = ("示例".encode("gbk"), "示例".encode(), b"11111111")
"""Text in a payment, one of these at every bank: a name, or the customer's number."""


def submit(at: Table) -> Submit:
    """The bytes of a payment before they are sent."""
    order, context = at.order(Kind.PAYMENT), at.stage.context(at.reference())
    if Kind.PAYMENT in at.bank.bundles:
        bundle = Bundle(Kind.PAYMENT, (Item(order, at.reference()),))
        conversation: Any = at.bank.bundles[Kind.PAYMENT].word(bundle, context)
    else:
        conversation = at.bank.money[Kind.PAYMENT](order, context)
    step = next(conversation)
    while not isinstance(step, Submit):
        is_signed = isinstance(step, Sign)
        step = conversation.send(
            at.stage.signers[step.key](step.octets) if is_signed else at.stage.exchange(step.port, step.data)
        )
    conversation.close()
    return step


def told(at: Table, port: str, data: bytes) -> list[str]:
    """The rules that a request broke, or why it could not be read; empty if it was taken."""
    cutter = at.stage.twin.requests(port)
    try:
        frames = cutter.feed(data) or cutter.end()
        found = [one for frame in frames for one in at.stage.twin.answer(port, frame, at.stage.ledger, {}).findings]
    except ProtocolError as error:
        return [error.reason]
    return [one.rule.value for one in found] if frames else ["half"]


@pytest.mark.parametrize("bank", EVERY)
def test_a_plain_get_is_told(bank: str) -> None:
    at = table(bank)
    port = submit(at).port
    assert told(at, port, http.request("GET", "/", "localhost"))


@pytest.mark.parametrize("bank", [bank for bank in EVERY if bank not in SEALED])
def test_text_in_no_charset_is_told(bank: str) -> None:
    at = table(bank)
    step = submit(at)
    word = next(one for one in TEXTS if one in step.data)
    assert told(at, step.port, step.data.replace(word, b"\xff\xff" + word[2:], 1)) == [RuleKind.CHARSET.value]
    assert told(at, step.port, step.data) == [], "the request itself is right"
