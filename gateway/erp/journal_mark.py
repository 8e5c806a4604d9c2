"""The mark that a journal holds a virtual host. One journal takes commands from one virtual host.

The node that holds the virtual host has an exclusive queue in it. A message beside the queue names the journal and the
fencing number that the journal counted up for this life. Other nodes of the journal take in commands as long as the
journal says that this life goes on, and the message names it. Without the mark no command is taken in; accepted
payments are still sent to the banks. See ADR 0039.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol, TypeVar

from gateway.erp.amqp_types import BrokerRefused, HeldByAnother, LinkLost, MarkPlace
from gateway.erp.topology import LOCK_QUEUE, MARK_QUEUE
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster import broker_holds
from gateway.kernel.cluster.broker_holds import BrokerHold, LastHold
from gateway.kernel.commit.store import Store, StoreFailed
from gateway.kernel.tasks import Tasks, attempt, sleep
from protocols.erp.news import instant

T = TypeVar("T")
BEAT_S = 2.0
"""The interval at which a node reads the mark, and at which the holder renews its sign of life in a shared journal."""
FRESH_S = 8.0
"""The time for which another node's life counts as going on after its last sign, by this node's monotonic clock."""
AGAIN_S, SOON_S = 0.1, 0.5
_SOON = 6
_LOOKS = 4
_MISSED = 3
_LOCKED, _NO_RIGHT = 405, 403
_log = log.get("erp.journal_mark")


@dataclass(frozen=True, slots=True)
class MarkMessage:
    """The content of the mark: the journal, the life in which it holds the virtual host, and the end of that node's
    audit chain.

    The end (number and hash) is at most BEAT_S old; it is 0 and "" in a mark of an earlier version.
    """

    journal: str
    hold: BrokerHold
    head: tuple[int, str] = (0, "")

    def body(self) -> bytes:
        """The mark as bytes of the queue's message; `since` is for persons."""
        seq, hashed = self.head
        said = {
            "journal": self.journal,
            **asdict(self.hold),
            "since": instant(self.hold.since_ms),
            "audit_seq": seq,
            "audit_hash": hashed,
        }
        return json.dumps(said, ensure_ascii=False).encode()

    def holder_text(self) -> str:
        """A sentence that names the holder, for persons."""
        hold = self.hold
        return (
            f"node {hold.node} on {hold.host or 'an unnamed machine'}, journal {self.journal[:12]}, fencing number "
            f"{hold.fence}, since {instant(hold.since_ms)}"
        )


UNREADABLE = MarkMessage("?", BrokerHold(0, "?", "?", 0))
"""The value for a message that no gateway wrote. Only a person may replace such a message."""


def read_mark(body: bytes) -> MarkMessage:
    """Parse the mark from the queue's message; UNREADABLE if no gateway wrote it."""
    try:
        said = json.loads(body)
        hold = BrokerHold(int(said["fence"]), str(said["node"]), str(said["host"]), int(said["since_ms"]))
        return MarkMessage(str(said["journal"]), hold, (int(said.get("audit_seq", 0)), str(said.get("audit_hash", ""))))
    except (ValueError, KeyError, TypeError):
        return UNREADABLE


class MarkJudge(Protocol):
    """Judges what the mark in the broker says about the journal; `other_nodes.OtherNodes` does so."""

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the last entry of this node's audit chain, for the mark."""

    async def may_follow(self, hold: BrokerHold | None, head: tuple[int, str], words: str) -> bool:
        """True if this journal may hold the virtual host after that life. None for the life means that there is no
        mark."""


class _LivesOnly:
    """Judges the mark without a permit log, by the lives that the journal has recorded."""

    head = (0, "")

    def __init__(self, store: Store) -> None:
        self._store = store

    async def may_follow(self, hold: BrokerHold | None, _head: tuple[int, str], _words: str) -> bool:
        return hold is None or await self._store.read(partial(broker_holds.is_ours, hold=hold))


class JournalMark:
    """Holds the virtual host for this journal by an exclusive queue and a mark. Give `admit` to the broker client, call
    `lost` when its connection is gone.

    `shared`: other nodes may use this journal. `on_change` is called when `held` changes. `on_refused` is called with
    the reason if this gateway must not run in this virtual host at all. `judge` compares the mark with the journal.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        vhost: str,
        host: str,
        shared: bool,
        on_change: Callable[[], None],
        on_refused: Callable[[str], None],
        judge: MarkJudge | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._vhost = vhost
        self._host = host
        self._shared = shared
        self._on_change = on_change
        self._on_refused = on_refused
        self._judge = judge or _LivesOnly(store)
        self._tasks = Tasks(
            lambda failure: _log.error(
                "mark.ended",
                error=str(failure.value),
                action="this node no longer checks the virtual host's mark until the daemon restarts",
            )
        )
        self._journal = ""
        self._admitted = False
        self._place: MarkPlace | None = None
        self._locked = False
        self._own: BrokerHold | None = None
        self._seen: tuple[BrokerHold, int, float] | None = None
        self._met: MarkMessage | None = None
        self._missed = 0
        self.held = False
        self.why = "the broker was not reached yet"

    async def begin(self) -> None:
        """Read the journal's id. Call it before the broker is connected."""
        self._journal = await self._store.read(broker_holds.journal_id)

    async def admit(self, place: MarkPlace) -> None:
        """Raise HeldByAnother if the virtual host belongs to another journal; else try to hold it from now on."""
        self._met, self._missed = None, 0
        try:
            mark = await self._look(place)
        except BrokerRefused as refused:
            self._say(False, self._refusal(refused))
            raise
        if mark is not None and mark.journal != self._journal:
            self._say(False, self._anothers(mark))
            if not self._admitted:
                self._on_refused(self.why)
            raise HeldByAnother(self.why)
        self._admitted, self._place = True, place
        self._tasks.spawn(self._follow(place))

    def lost(self) -> None:
        """Record that the connection is lost, and with it the exclusive queue."""
        self._place, self._locked, self._own, self._seen = None, False, None, None
        self._say(False, "the connection to the broker is lost" if self.held else self.why)

    async def leave(self) -> None:
        """Give up the virtual host at an orderly stop, so that another node can hold it at once."""
        self._tasks.stop()
        own, self._own = self._own, None
        if own is not None and self._shared:
            await self._store.write(partial(broker_holds.leave, hold=own))

    def status(self) -> dict[str, object]:
        """The mark's state for `bankgw status`."""
        return {"held": self.held, "why": self.why}

    # ---- following ----

    async def _follow(self, place: MarkPlace) -> None:
        soon = _SOON
        while self._place is place:
            await attempt(partial(self._step, place), self._defect, ends=StoreFailed)
            # The broker may need a moment to see that an earlier process of this node is gone.
            await sleep(self._clock, BEAT_S if self.held or not soon else SOON_S)
            soon -= soon > 0

    def _defect(self, error: str) -> None:
        _log.error("mark.failed", error=error, action="the mark of the virtual host is checked again in some seconds")

    async def _step(self, place: MarkPlace) -> None:
        try:
            if self._locked:
                await self._keep(place)
            else:
                await self._seek(place)
        except LinkLost as lost:
            if self._place is place:
                self._say(False, str(lost))
        except BrokerRefused as refused:
            self._say(False, self._refusal(refused))

    async def _on(self, place: MarkPlace, waiting: Awaitable[T]) -> T:
        """The result of a call on this connection. Raises LinkLost if the connection has changed meanwhile."""
        result = await waiting
        if self._place is not place:
            raise LinkLost("the connection to the broker is lost")
        return result

    async def _keep(self, place: MarkPlace) -> None:
        """Check that this node still holds the virtual host, and renew its sign of life for the other nodes."""
        own = self._own
        if own is None:
            # Locked, but not yet held: the journal or the broker did not answer in between.
            await self._begin_life(place)
            return
        mark = await self._on(place, self._look(place))
        if mark is not None and (mark.journal != self._journal or mark.hold.fence > own.fence):
            self._drop(place, f"the mark was replaced: it names {mark.holder_text()}")
            return
        if mark is None or mark.hold != own:
            _log.warning(
                "mark.missing", queue=MARK_QUEUE, action="this node holds the virtual host, and writes its mark again"
            )
            await self._write(place, own)
        elif mark.head != self._judge.head:
            await self._write(place, own)
        if self._shared and not await self._on(place, self._store.write(partial(broker_holds.renew, hold=own))):
            self._drop(place, "another node of this journal has taken the virtual host")
            return
        self._say(True, "this node holds the virtual host")

    async def _seek(self, place: MarkPlace) -> None:
        mark = await self._on(place, self._look(place))
        last = await self._on(place, self._store.read(broker_holds.last))
        if not await self._may_follow(place, mark):
            return
        if self._goes_on(last) and last is not None:
            if mark is not None and mark.hold == last.hold:
                self._say(True, f"node {last.hold.node} of this journal holds the virtual host")
            else:
                self._say(
                    False,
                    f"node {last.hold.node} of this journal holds another virtual host, or its mark is "
                    f"missing in {self._vhost}",
                )
            return
        try:
            await self._on(place, place.lock(partial(self._unlocked, place)))
        except BrokerRefused as refused:
            if refused.code != _LOCKED:
                raise
            holder = "nobody has written its mark yet" if mark is None else f"the mark names {mark.holder_text()}"
            self._say(False, f"another connection holds {LOCK_QUEUE} in virtual host {self._vhost}; {holder}")
            return
        self._locked = True
        await self._begin_life(place)

    async def _begin_life(self, place: MarkPlace) -> None:
        """Begin a life after the exclusive queue was declared: from here on no other node writes the mark."""
        mark = await self._on(place, self._look(place))
        if not await self._may_follow(place, mark):
            self._locked = False
            place.unlock()
            return
        above = 0 if mark is None else mark.hold.fence
        own = await self._on(place, self._store.write(partial(broker_holds.begin_life, host=self._host, above=above)))
        if own is None:
            return
        await self._write(place, own)
        self._own = own
        self._say(True, "this node holds the virtual host")

    async def _may_follow(self, place: MarkPlace, mark: MarkMessage | None) -> bool:
        """True if the mark is missing, if this journal wrote it, or if two persons have released all lanes."""
        if mark is None:
            return await self._on(place, self._judge.may_follow(None, (0, ""), ""))
        if mark.journal != self._journal:
            self._drop(place, self._anothers(mark))
            return False
        if await self._on(place, self._judge.may_follow(mark.hold, mark.head, mark.holder_text())):
            return True
        self._say(
            False,
            f"the mark of virtual host {self._vhost} names a run of this gateway, and this database lacks what that "
            f"run wrote last: {mark.holder_text()}. This database is an older state or a copy of the journal; no "
            f"command is taken in. If that run is over for good, two persons end it: bankgw leave-safe-mode for each "
            f"lane",
        )
        return False

    def _goes_on(self, last: LastHold | None) -> bool:
        """True if this node saw within FRESH_S that the node of the last life renewed its hold."""
        now_s = self._clock.monotonic_s()
        if not self._shared or last is None or not last.renewed_ms:
            return False
        seen = self._seen
        if seen is None or seen[0] != last.hold:
            # A sign in a copied database is old and proves no life, so this node must see the sign change.
            self._seen = (last.hold, last.renewed_ms, float("-inf"))
        elif seen[1] != last.renewed_ms:
            self._seen = (last.hold, last.renewed_ms, now_s)
        return self._seen is not None and now_s - self._seen[2] <= FRESH_S

    async def _write(self, place: MarkPlace, own: BrokerHold) -> None:
        self._met, self._missed = MarkMessage(self._journal, own, self._judge.head), 0
        await self._on(place, place.replace_message(self._met.body()))

    async def _look(self, place: MarkPlace) -> MarkMessage | None:
        """The mark in its queue; of several marks, the one with the highest number.

        The mark counts as missing only after it was missing several times, because it is missing for a moment while
        another node reads it.
        """
        for left in reversed(range(_LOOKS)):
            found = [read_mark(body) for body in await place.read_messages()]
            if found:
                self._met, self._missed = max(found, key=lambda mark: (mark.hold.fence, mark.head[0])), 0
                return self._met
            if left and not self._locked:
                await sleep(self._clock, AGAIN_S)
        self._missed += 1
        return self._met if self._missed < _MISSED else None

    # ---- saying ----

    def _unlocked(self, place: MarkPlace, reason: str) -> None:
        if self._place is not place:
            return
        self._locked, self._own = False, None
        self._drop(place, f"queue {LOCK_QUEUE} is gone: {reason}")

    def _drop(self, place: MarkPlace, why: str) -> None:
        self._say(False, why)
        # Deliveries that are not stored yet go back to their queue.
        place.drop(why)

    def _say(self, held: bool, why: str) -> None:
        changed, self.held = held != self.held, held
        if held and self.why != why:
            _log.info("mark.held", why=why)
        elif not held and (changed or why != self.why):
            _log.error(
                "mark.not_held",
                error=why,
                action="no command is taken in until this node holds the virtual host; accepted payments go on",
            )
        self.why = why
        if changed:
            self._on_change()

    def _anothers(self, mark: MarkMessage) -> str:
        return (
            f"virtual host {self._vhost} belongs to another gateway: {mark.holder_text()}. Nothing was taken in or "
            f"published. Give this gateway a virtual host of its own (broker.vhost). If the other one is given up for "
            f"good, stop it and delete its mark: rabbitmqctl -p {self._vhost} delete_queue {MARK_QUEUE}"
        )

    def _refusal(self, refused: BrokerRefused) -> str:
        if refused.code != _NO_RIGHT:
            return f"the broker refused it: {refused}"
        return (
            f"the broker user may not hold the virtual host {self._vhost}: {refused.text}. It needs the rights to "
            f"configure and read {LOCK_QUEUE}, to read {MARK_QUEUE}, and to write to amq.default; "
            f"conf/rabbitmq/definitions.json gives them"
        )
