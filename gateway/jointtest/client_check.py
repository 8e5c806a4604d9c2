"""A foreign client at a simulated bank: each of its requests against the bank's rules, and what its whole visit shows.

The rules are the twin's, which is written from the bank's page: what the twin takes, the page allows. A request that it
cannot read is told with the reason; a real bank would close the connection and say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.simbank.exchange_log import Exchanged, read_exchanges


@dataclass(slots=True)
class ClientCheck:
    """What a client has done so far, read from the bank's log of exchanges as it grows."""

    log: Path
    offset: int = 0
    touches: Counter[str] = field(default_factory=Counter)
    money: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    unread: int = 0

    def news(self) -> Iterator[str]:
        """A line for each exchange since the last look."""
        if not self.log.exists():
            return
        data = self.log.read_bytes()
        end = data.rfind(b"\n") + 1
        if end <= self.offset:
            return
        for one in read_exchanges(self.log, self.offset):
            yield self._line(one)
        self.offset = end

    def _line(self, one: Exchanged) -> str:
        if one.complaint:
            self.unread += 1
            return f"NOT READ  {one.port}: {one.complaint} ({len(one.request)} bytes)"
        self.touches[one.touch] += 1
        note = f", then {one.fault}" if one.fault else ""
        if one.touch == "money":
            self.money[one.reference] += 1
            self.bodies.setdefault(one.reference, set()).add(one.request)
            if self.money[one.reference] > 1:
                note += f"; its reference came {self.money[one.reference]} times"
        elif one.touch == "enquiry":
            self.asked[one.reference] += 1
        return f"{one.touch:9} {one.reference or '-'} answered with {len(one.answer)} bytes{note}"

    def findings(self) -> list[str]:
        """What the visit shows of the client that a bank would not like."""
        found = [f"{self.unread} requests could not be read"] if self.unread else []
        for reference, count in self.money.items():
            if count > 1:
                same = "the same bytes" if len(self.bodies[reference]) == 1 else "other bytes under the same reference"
                found.append(f"order {reference} was sent {count} times: {same}")
        return found

    def last_line(self) -> str:
        """The whole visit in one line."""
        told = ", ".join(f"{count} {touch}" for touch, count in sorted(self.touches.items())) or "nothing"
        return f"joint-test serve: {told}; {self.unread} not read; {len(self.findings())} findings"
