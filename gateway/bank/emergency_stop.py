"""The emergency stop in one daemon: every lane pauses at once, and resumes after two persons have approved it.

The last gate of a paused lane sends nothing; enquiries go on. The stop is kept in the journal
(`kernel/cluster/stops.py`). Every node reads it there with each lease and renewal, and also once a second.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from gateway.bank.send_gate import SendGate
from gateway.kernel import log
from gateway.kernel.cluster import stops
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.commit.store import Store
from gateway.kernel.meters import Meters
from gateway.kernel.sql.sealed import ROW_ALTERED

_log = log.get("bank.emergency_stop")


class EmergencyStop:
    """Pauses every lane of this daemon at an emergency stop, and resumes them after its end. `word` is the newest state
    that was read. Call `attach` first."""

    def __init__(self, store: Store, meters: Meters) -> None:
        self.word = Stop()
        self._store = store
        self._meters = meters
        self._gates: tuple[SendGate, ...] = ()
        self._unwritten = False
        self._told: set[str] = set()

    def attach(self, gates: Iterable[SendGate]) -> None:
        """Set the send gates of all lanes. An emergency stop pauses and resumes them."""
        self._gates = tuple(gates)

    def stop_all(self, actor: str, reason: str) -> Deferred[Stop]:
        """Send nothing that moves money from now on. Fires when the stop is committed, for every node and for later
        processes. While the database is away it waits for it."""
        self._unwritten = True
        self._pause()
        writing = self._store.write(lambda tx: stops.say(tx, actor, reason, stopped=True))
        return writing.addCallback(self._written)

    def apply(self, word: Stop) -> None:
        """Apply the stop's state in the journal. A state older than the last one changes nothing, nor does an end of
        the stop while a new stop is being committed."""
        for _name in set(word.altered) - self._told:
            self._meters.alarms.labels(ROW_ALTERED).inc()
        self._told |= set(word.altered)
        before = self.word
        if word.number < before.number or (self._unwritten and not word.stopped):
            return
        self.word = word
        self._meters.stopped.set(int(word.stopped))
        if word == before:
            return
        if word.stopped:
            self._pause()
            self._meters.alarms.labels("stopped").inc()
            _log.error(
                "gateway.stopped",
                by=word.by,
                reason=word.reason,
                at_ms=word.at_ms,
                action="nothing is sent; enquiries continue; two persons start it: bankgw restart-all",
            )
        else:
            for gate in self._gates:
                gate.resume(stops.STOPPED)
            _log.warning("gateway.restarted", by=word.by, reason=word.reason)

    def _written(self, word: Stop) -> Stop:
        self._unwritten = False
        self.apply(word)
        return word

    def _pause(self) -> None:
        for gate in self._gates:
            if stops.STOPPED not in gate.paused:
                gate.pause(stops.STOPPED)
