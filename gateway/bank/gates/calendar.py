"""Rule `calendar`: bytes leave in the bank's hours, and on the business day that they name."""

from __future__ import annotations

from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class CalendarRule:
    """Rule `calendar`: keeps bytes back outside the bank's hours or the business day that they name. At admission the
    calendar sets the time of the send, and holds nothing."""

    name = "calendar"
    asks = "Does the bank take money orders now, and is the day that the bytes name not over?"
    answers = (
        RuleAnswer(
            "bank_closed",
            "the bank's hours ended while the order was prepared or committed",
            "does not send; the payment is ready again and sent when the bank opens",
        ),
        RuleAnswer(
            "day_over",
            "the bank's day that the bytes name is over",
            "does not send; the payment is ready again, and new bytes name the next day",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge by the bank's present hours. A repeat names the date of the first send, which the rule `repeat_window`
        limits."""
        shut = facts.calendar.shut(None if facts.repeats else facts.bank_date)
        return Refuse(shut) if shut is not None else PASS
