"""Rule `company_pause`: while a company is paused, no payment of it leaves, at whichever bank.

It is asked where a first send is written down, and in the turn that writes, because a pause may come between the two.
It looks at memory only.
"""

from __future__ import annotations

from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict, Wait
from gateway.payments.gates.send_facts import SendFacts

COMPANY_PAUSED = "company_paused"
AGAIN_MS = 2_000
"""How soon it is tried again after the unit. The lane keeps it waiting from then on (`bank/company_waits.py`)."""
_ASKS = (
    "Is the company of the own account not paused? Of a cash pool's or a linked move: the companies of both accounts?"
)
_WHEN = "a person paused the company"
_MEND = "`bankgw companies resume`"


class CompanyPauseAtSend:
    """Rule `company_pause` in the unit that records the send: the message waits, and nothing is recorded."""

    name = "company_pause"
    asks = _ASKS
    answers = (
        RuleAnswer(
            COMPANY_PAUSED,
            _WHEN,
            "does not send; the payment waits, others of the lane go on, and so do enquiries",
            "–",
            _MEND,
        ),
    )

    def __init__(self, companies: CompanyPauses) -> None:
        self._companies = companies

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Let the payment wait while its company is paused."""
        company = self._companies.of(facts.row)
        return Wait(facts.tx.now_ms + AGAIN_MS, COMPANY_PAUSED, f"company {company} is paused") if company else PASS


class CompanyPauseRule:
    """Rule `company_pause` before the write: bytes of a company that was paused since they were prepared do not
    leave."""

    name = "company_pause"
    asks = _ASKS
    answers = (
        RuleAnswer(
            COMPANY_PAUSED,
            f"{_WHEN} while the bytes were prepared or committed",
            "does not send; the payment is ready again and waits; a repeat waits in doubt; enquiries go on",
            "–",
            _MEND,
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Keep bytes back if the company of one of their payments is paused."""
        companies = facts.parts.companies
        return Refuse(COMPANY_PAUSED) if any(companies.of(row) for row in facts.rows) else PASS
