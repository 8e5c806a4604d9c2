"""A bank whose verdicts are chosen by the test: the exchange is real, and the verdict of its answer is replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from protocols.bank import Bank, Context, Conversation, MoneyConversation
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent


@dataclass(slots=True)
class ChosenVerdicts:
    """The next verdicts of a payment's own answer, of an answer to a repeat, and of enquiries. None keeps the real
    verdict.

    When a list is used up the bank says what it wants to say.
    """

    money: deque[Fate | None] = field(default_factory=deque)
    repeat: deque[Fate | None] = field(default_factory=deque)
    fate: deque[Fate | None] = field(default_factory=deque)

    def over(self, bank: Bank) -> Bank:
        """The same bank, with these verdicts in place of its own."""
        inner_fate, inner_read = bank.questions.fate, bank.read
        assert inner_fate is not None

        def pay(order: AnyOrder, context: Context) -> MoneyConversation:
            outcome = yield from bank.money[order.kind](order, context)
            return _instead(outcome, self.money)

        def fate(question: FateQuestion, context: Context) -> Conversation[Outcome]:
            outcome = yield from inner_fate(question, context)
            return _instead(outcome, self.fate)

        def read_instead(kind: Kind, sent: Sent, data: bytes) -> Outcome:
            return _instead(inner_read(kind, sent, data), self.repeat)

        words: dict[str, Any] = {"money": dict.fromkeys(bank.money, pay), "read": read_instead}
        return replace(bank, questions=replace(bank.questions, fate=fate, returns=None), **words)


def chosen_verdicts(
    *, money: Iterable[Fate | None] = (), repeat: Iterable[Fate | None] = (), fate: Iterable[Fate | None] = ()
) -> ChosenVerdicts:
    """Verdicts for the next answers, in order."""
    return ChosenVerdicts(deque(money), deque(repeat), deque(fate))


def _instead(outcome: Outcome, verdicts: deque[Fate | None]) -> Outcome:
    verdict = verdicts.popleft() if verdicts else None
    return outcome if verdict is None else replace(outcome, fate=verdict, code="", text="")
