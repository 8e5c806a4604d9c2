"""What one signature over a message would say: its operation, and the facts of each payment that a signer judges.

The octets to be signed are compared with the message first, because a signature counts for nothing but its octets.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from protocols.canon.order import Kind


@dataclass(frozen=True, slots=True)
class SignedLine:
    """One payment of a message. None: the message does not state this fact.

    `payee` is the own account in a collection. `payee_bank` is the number (CNAPS) of the payee's bank. The
    reader has compared the number and the sum of the lines with what the message says of them.
    """

    reference: str
    debtor: str
    payee: str
    amount: Decimal
    currency: str
    debtor_name: str | None = None
    payee_name: str | None = None
    payee_bank: str | None = None
    payee_bank_name: str | None = None
    payee_bic: str | None = None
    payee_is_person: bool | None = None
    purpose: str | None = None
    urgent: bool | None = None
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message as its signature binds it. `kinds` are the kinds of order that its operation carries; none where it
    moves no money. `reference` is that of the whole message, "" for a question."""

    operation: str
    kinds: frozenset[Kind] = frozenset()
    reference: str = ""
    lines: tuple[SignedLine, ...] = ()

    @property
    def moves_money(self) -> bool:
        """True if the message is no question."""
        return bool(self.kinds)
