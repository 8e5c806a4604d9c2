"""How replies are counted: one for each publish of a command, and one more only where the contract says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.world import history

UNKNOWN = {"command": "status.query", "error": {"code": "unknown_payment", "title": "no such payment"}}
REFUSED = {"command": "payment.submit", "error": {"code": "validation", "title": "no such account"}}
AGAIN = {
    "command": "payment.submit",
    "error": {
        "code": "validation",
        "title": "this command was refused before and came again; to have it judged anew, ...",
    },
}
SAFE_MODE = {"command": "payment.cancel", "error": {"code": "too_late", "title": "the gateway is in SAFE MODE: ..."}}
TOO_LATE = {"command": "payment.cancel", "error": {"code": "too_late", "title": "it was sent"}}
STATUS = {"event": "status.result"}


@pytest.mark.parametrize(
    ("said", "redelivered", "right"),
    [
        ([STATUS], False, True),
        ([UNKNOWN], False, True),
        ([REFUSED], False, True),
        ([REFUSED, AGAIN], True, True),
        ([UNKNOWN, STATUS], True, True),
        ([UNKNOWN, STATUS], False, False),
        ([], False, False),
        ([STATUS, STATUS], True, False),
        ([UNKNOWN, UNKNOWN], True, False),
        ([REFUSED, STATUS], True, False),
        ([UNKNOWN, STATUS, STATUS], True, False),
        ([SAFE_MODE, STATUS], True, True),
        ([SAFE_MODE, STATUS], False, False),
        ([TOO_LATE, STATUS], True, False),
    ],
)
def test_a_command_published_once_has_one_reply(said: list[Any], redelivered: bool, right: bool) -> None:
    replies = [(SimpleNamespace(correlation_id="m-1", message_id=f"r-{n}"), one) for n, one in enumerate(said)]
    broker = SimpleNamespace(redelivered={"m-1"} if redelivered else set())
    world: Any = SimpleNamespace(replies=replies, commands={"m-1": 1}, broker=broker)
    assert (list(history._replies(world)) == []) is right
