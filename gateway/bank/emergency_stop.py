"""The emergency stop in one daemon: every lane pauses at once, and resumes when two persons have approved it.

A paused lane lets nothing through its last gate; enquiries go on. The stop is kept in the journal
(`journal/cluster/stops.py`), where every node reads it: with each lease and renewal, and once a second besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from gateway import log
from gateway.bank.send_gate import SendGate
from gateway.journal.cluster import stops
from gateway.journal.cluster.stops import Stop
from gateway.journal.commit.store import Store
from gateway.meters import Meters

_log = log.get("bank.emergency_stop")


class EmergencyStop:
    """See the module. `word` is the newest state that was read. Call `attach` first."""

    def __init__(self, store: Store, meters: Meters) -> None:
        self.word = Stop()
        self._store = store
        self._meters = meters
        self._gates: tuple[SendGate, ...] = ()
        self._unwritten = False

    def attach(self, gates: Iterable[SendGate]) -> None:
        """Set the gates of all lanes, which are paused and resumed."""
        self._gates = tuple(gates)

    def stop_all(self, actor: str, reason: str) -> Deferred[Stop]:
        """Send nothing that moves money from now on. Fires when that is committed, for every node and for later lives;
        if the journal is away, once it is back."""
        self._unwritten = True
        self._pause()
        writing = self._store.write(lambda tx: stops.say(tx, actor, reason, stopped=True))
        return writing.addCallback(self._written)

    def apply(self, word: Stop) -> None:
        """Follow the stop as the journal has it. An older state than the last changes nothing, nor does an end while a
        new stop is being committed."""
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
            _log.error("gateway.stopped", by=word.by, reason=word.reason, at_ms=word.at_ms,
                       action="nothing is sent, enquiries go on; two persons start it: bankgw restart-all")  # fmt: skip
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
