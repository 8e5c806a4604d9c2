"""SAFE MODE: no payment is made or sent while the database may be older than the payments that were sent.

One object is asked by everything that makes or sends a payment: lanes, cash pools, linked payments, decisions of
persons. Orders that senders submit meanwhile are accepted and wait.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from gateway.kernel.cluster.gaps import RestoreFindings
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST


class SafeMode:
    """Holds lanes back while the journal may lack sends: this node's findings (`past`), and the findings of other
    nodes. `unread`: this node has no permit log, and has not yet read what the broker's mark says of the journal's last
    life.
    """

    def __init__(self, lanes: Collection[str]) -> None:
        self.past = RestoreFindings()
        self.unread = False
        self._lanes = lanes
        self._elsewhere: Mapping[str, frozenset[str]] = {}

    def holds(self, lane: str) -> str:
        """Why no payment may be made or sent on this lane; "" if it may."""
        return FROM_THE_PAST if self.unread or self.past.holds(lane) or self._waits_elsewhere(lane) else ""

    def may_lack_sends(self, lane: str) -> bool:
        """True if an order that the journal records as unsent may be at the bank, and no permit log here can tell."""
        return self.unread or self.past.may_lack_sends(lane) or self._waits_elsewhere(lane)

    def _waits_elsewhere(self, lane: str) -> bool:
        return any(lane not in cleared for cleared in self._elsewhere.values())

    @property
    def reason(self) -> str:
        """Why no payment may be made that concerns several lanes; "" if none of the lanes waits."""
        return next((why for lane in self._lanes if (why := self.holds(lane))), "")

    @property
    def noticed_by(self) -> Collection[str]:
        """The other nodes that found missing entries."""
        return sorted(self._elsewhere)

    @property
    def is_over_for_all(self) -> bool:
        """True if two persons have released every lane of this node for all its findings."""
        return bool(self._lanes) and all(lane in self.past.cleared for lane in self._lanes)

    def let_go(self, lane: str) -> None:
        """Record that two persons released this lane for this node's findings."""
        self.past = replace(self.past, cleared=self.past.cleared | {lane})

    def heard(self, nodes: Mapping[str, frozenset[str]]) -> None:
        """Set the other nodes' findings, each with the lanes released for it since: the result of
        `restored_database.elsewhere`.
        """
        self._elsewhere = nodes
