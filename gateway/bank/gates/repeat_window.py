"""Rule `repeat_window`: stored bytes are sent again only while the bank recognises them as the same message."""

from __future__ import annotations

from dataclasses import replace

from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core import guards
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class RepeatWindowRule:
    """Rule `repeat_window`: sends stored bytes again only while the bank recognises them as the same message. A first
    send passes."""

    name = "repeat_window"
    asks = "If the bytes left before: do the bank's rules, by the stricter of settings and payment, allow them again?"
    answers = (
        RuleAnswer(
            "window_closed",
            "the bank's window for repeats, or its day, ended while the repeat was committed",
            "does not send; the payment is in doubt again and asked about",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge the number and the time of the repeats. The number already includes this one."""
        repeats = facts.repeats
        if not repeats:
            return PASS
        now_ms, day_ends_ms = facts.now_ms, facts.calendar.day_ends_ms(facts.bank_date)
        for row in repeats:
            life = replace(row.life, rules=facts.parts.rules_of(row))
            if not guards.may_leave_again(life, now_ms, day_ends_ms):
                return Refuse("window_closed")
        return PASS
