"""The lists of admission and release, as this package asks them. Packages above have rules in these lists, so
`gateway.wiring` passes the lists in. `gateway/gate_lists.py` shows them in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.commit.ports import RoomPort
from gateway.kernel.core.gate import GateRule
from gateway.payments.gates.order_facts import OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.gates.reserving import ReservingRule

FUNDING = "funding"
"""The name of the rule about orders that name a cash pool."""


@dataclass(frozen=True, slots=True)
class GateLists:
    """The rules of admission. `of_order` are asked about each order by itself. `of_command` are asked after all orders
    of the command have a verdict. Together they are the list of admission. `reserving` are the rules that reserve at
    admission and are told when a payment ends."""

    of_order: Sequence[GateRule[OrderFacts]]
    of_command: Sequence[GateRule[OrderFacts]]
    release: Sequence[GateRule[ReleaseFacts]]
    reserving: Sequence[ReservingRule]


LISTS: RoomPort[GateLists] = RoomPort("payments.gate_lists")
