"""The questions that payments and approvals ask of packages above them, besides the lists of the gate
(`gates/lists.py`).

Each question has a protocol and a port; `gateway/wiring.py` names the room that answers.
"""

from __future__ import annotations

from typing import Protocol

from gateway.kernel.commit.ports import RoomPort
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.register.registry import Registry
from protocols.canon.order import AnyOrder


class ApproversAsked(Protocol):
    """The port that says whether approvers were asked about a payment."""

    def __call__(self, tx: Tx, row: PaymentRow, /) -> bool:
        """True if approvers were ever asked; then no person clears the hold by a release."""


class FundingRight(Protocol):
    """The port that says whether a payment's sender may draw on the money that funds it, by the present settings."""

    def __call__(self, tx: Tx, row: PaymentRow, registry: Registry, /) -> str:
        """Why the sender may not draw on that money, as text; "" if it may, or if nothing funds the payment."""


class MandateRule(Protocol):
    """The port that says whether two persons' signatures elsewhere, such as under a pool, stand for an order."""

    def __call__(self, tx: Tx, sender: str, order: AnyOrder, /) -> bool:
        """True if those signatures stand for the order; then the order needs no approvers of its own."""


class FundingText(Protocol):
    """The port that gives the text about the source of an order's money, which its approvers sign."""

    def __call__(self, tx: Tx, order: AnyOrder, /) -> tuple[str, ...]:
        """The text about the source of the money; empty if the account has the money by itself."""


WAS_ASKED: RoomPort[ApproversAsked] = RoomPort("payments.was_asked")
FUNDING_RIGHT: RoomPort[FundingRight] = RoomPort("payments.funding_right")
MANDATE: RoomPort[MandateRule] = RoomPort("payments.mandate")
LEG_WORDS: RoomPort[FundingText] = RoomPort("payments.leg_words")
