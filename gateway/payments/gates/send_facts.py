"""The facts that the rules of a send judge in the unit that writes its bytes down: a payment, and its message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx


class SendMessage:
    """One message to a bank: its payments, and the bytes that are about to be recorded. `protocol` and `lane` say which
    bank reads them and which lane carries them. `repeats`: the bytes left before. `memo` keeps what a rule reads once
    for the message."""

    __slots__ = ("lane", "memo", "protocol", "repeats", "rows", "tx", "wire")

    def __init__(
        self, tx: Tx, rows: Sequence[PaymentRow], wire: bytes, protocol: str, lane: str, *, repeats: bool = False
    ) -> None:
        self.tx = tx
        self.rows = rows
        self.wire = wire
        self.protocol = protocol
        self.lane = lane
        self.repeats = repeats
        self.memo: dict[str, Any] = {}

    def facts(self) -> list[SendFacts]:
        """The facts of each payment of the message, in order."""
        return [SendFacts(self, place) for place in range(len(self.rows))]


class SendFacts:
    """The facts of one payment of a message, with its place in it."""

    __slots__ = ("message", "place", "row", "tx")

    def __init__(self, message: SendMessage, place: int) -> None:
        self.message = message
        self.place = place
        self.row = message.rows[place]
        self.tx = message.tx
