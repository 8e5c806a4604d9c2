"""Lines of a payroll that came back (代发退票): NTAGDRFD, by account and days.

The bank's page names no message for them; the form is a public client's model of document version 5.37 (4.12), with one
sample: reconstructed. A row names the batch, the line's number and the text that we wrote for it. The batch's number is
not enough for a list by account, so a line is identified by our reference: in CPRACT, or in the text of an
AgentRequest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from lxml import etree

from protocols.bank import Ask, Conversation
from protocols.banks.cmb.payment import Payments
from protocols.banks.cmb.requests import REFUNDS, AccountAsked, checked_reference, written
from protocols.banks.cmb.table import decline
from protocols.banks.cmb.wire import Answer
from protocols.canon.money import Money
from protocols.canon.statement import Return
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, plain
from protocols.kit.readable import readable
from protocols.kit.xmldoc import several, value, value_or

FUNCTION: Final = "NTAGDRFD"
CAME_BACK: Final = "E"
"""STSCOD of the one sample, beside a reason. Its other values are not public: such a row is left out and said."""


@dataclass(frozen=True, slots=True)
class Refunds:
    """Asks for the payroll lines of one enterprise that came back."""

    payments: Payments

    @property
    def asked(self) -> bool:
        """True if payroll is offered and each line contains our reference, according to the settings."""
        return self.payments.options.refund_reference and bool(self.payments.options.payroll_mode)

    def page(
        self, account: str, first: date, last: date, key: str
    ) -> Conversation[tuple[list[Return], tuple[str, ...], str]]:
        """The returns of these days, the findings about unreadable rows, and the key of the next page if there is one.

        TRSDAT is not reported as the day of the return, because it may be that of the payment.
        """
        payments = self.payments
        ask = written(REFUNDS, AccountAsked(payments.options, account, (first, last), key))
        answer = payments.wire.read((yield Ask("business", payments.wire.message(FUNCTION, ask))), FUNCTION)
        if not answer.done:
            return [], (self._declined(answer),), ""
        found, findings = readable(several(answer.root, "NTAGDRFDZ1"), self._returned, FUNCTION)
        further = several(answer.root, "NTAGDRFDY1")
        return found, findings, value_or(further[-1], "CTNKRY") if further else ""

    def _declined(self, answer: Answer) -> str:
        """A sentence about the refusal of this list. The refusal must not hide returns in other lists.

        Raises Declined if the lane must react: we ask too often, or the user is not logged in.
        """
        try:
            decline(self.payments.meanings, FUNCTION, answer, "agency")
        except Declined as declined:
            if declined.outcome in ("rate_limited", "signed_out"):
                raise
            return f"{FUNCTION}: declined with {declined.code}, lines of payrolls that came back are not known"

    def _returned(self, row: etree._Element) -> Return:
        status = value(row, "STSCOD")
        if status != CAME_BACK:
            raise ProtocolError("value", f"STSCOD {status!r} of a returned line is not known")
        numbered = self.payments.options.agency != "AgentRequest"
        reference = checked_reference(value(row, "CPRACT" if numbered else "TXTCLT"))
        return Return(reference, Money(amount_minor(value(row, "TRSAMT"))), None, plain(value_or(row, "RTNTXT")))
