"""The emergency stop in one daemon: every lane pauses at once, and goes on when two persons have said so.

A lane that is paused lets nothing through its last gate; enquiries go on. The word itself is in the journal
(`journal.stops`), where every node finds it: with each lease and each renewal, and once a second besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from gateway import log
from gateway.bank.lane import Lane
from gateway.journal.cluster import stops
from gateway.journal.cluster.stops import Stop
from gateway.journal.commit.store import Store
from gateway.meters import Meters

_log = log.get("bank.emergency_stop")


class Stopping:
    """See the module. `word` is the last word that was heard. `lanes` is filled before the first one is."""

    def __init__(self, store: Store, meters: Meters) -> None:
        self.word = Stop()
        self._store = store
        self._meters = meters
        self._lanes: tuple[Lane, ...] = ()
        self._unwritten = False

    def steer(self, lanes: Iterable[Lane]) -> None:
        """These are the lanes."""
        self._lanes = tuple(lanes)

    def stop_all(self, actor: str, reason: str) -> Deferred[Stop]:
        """Let nothing that moves money leave any more, at once. Fires when that is written down, for every node and for
        the lives to come; while the journal is away, that is when it is back."""
        self._unwritten = True
        self._pause()
        writing = self._store.write(lambda tx: stops.say(tx, actor, reason, stopped=True))
        return writing.addCallback(self._written)

    def hear(self, word: Stop) -> None:
        """The last word as the journal has it. One older than what was heard changes nothing, nor does an end while a
        new stop is being written down."""
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
            for lane in self._lanes:
                lane.resume(stops.STOPPED)
            _log.warning("gateway.restarted", by=word.by, reason=word.reason)

    def _written(self, word: Stop) -> Stop:
        self._unwritten = False
        self.hear(word)
        return word

    def _pause(self) -> None:
        for lane in self._lanes:
            if stops.STOPPED not in lane.paused:
                lane.pause(stops.STOPPED)
