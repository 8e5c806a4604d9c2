"""The outbox: publishes the journal's messages until the broker has confirmed each of them.

Rows are handed over in memory right after their commit. The journal is scanned at start, after a reconnect, and when
more messages wait than fit in memory. A message whose reply queue does not exist is parked; its payment is not
affected. A message that the broker bars for now (a right, an exchange or a queue is missing) waits with all later ones
of its exchange and sender, in their order, and the first of them is tried again: see `held_messages`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.erp.amqp_types import CONFIRMED, Amqp, OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.held_messages import HeldGroup, HeldMessages, sender_of
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import DeliveryTries, OutboxRow, OutboxState
from gateway.kernel.commit.store import Store
from gateway.kernel.deliveries import Properties
from gateway.kernel.meters import Meters

UNROUTED_NEWS = "bankgw.unrouted.news"
WINDOW = 500
IN_MEMORY = 20_000
PAGE = 1_000
WINDOW_BYTES, IN_MEMORY_BYTES, PAGE_BYTES = 16_777_216, 33_554_432, 8_388_608
"""Limits in bytes for messages in flight, in memory and per read. Most messages are small, except some replies and
parked copies. The number of messages is limited as well; whichever limit is reached first applies."""
MARK_AT_ONCE = 200
MARK_LINGER_S = 0.02
NOTE_TRIES_S = 10.0
"""The time for which unconfirmed tries are counted in memory only, unless their message is marked before."""
RETRY_S, LAST_RETRY_S = 1.0, 300.0
"""The retry pause grows, because a message that one of several queues refuses is stored in the others each time."""
_log = log.get("erp.outbox")


class Outbox:
    """Publishes the journal's messages until the broker has confirmed each of them. `publish_rows` gets committed rows;
    call `up` when the broker becomes usable."""

    def __init__(
        self, amqp: Amqp, store: Store, node: str, user: str, app_id: str, clock: Clock, meters: Meters
    ) -> None:
        self._amqp = amqp
        self._store = store
        self._node = node
        self._user = user
        self._app_id = app_id
        self._clock = clock
        self._meters = meters
        self._waiting: deque[OutboxRow] = deque()
        self._known: set[str] = set()
        self._refused: dict[str, float] = {}
        self._held = HeldMessages()
        self._lost = False
        self._in_flight = self._in_flight_bytes = self._waiting_bytes = 0
        self._overflowed = False
        self._scanning = False
        self._scan_again = False
        self._marks: dict[OutboxState, list[str]] = {OutboxState.SENT: [], OutboxState.PARKED: []}
        self._mark_timer: IDelayedCall | None = None
        self._marking = 0
        self._tries: dict[str, DeliveryTries] = {}
        self._tries_timer: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []
        self._stopping = False

    @property
    def depth(self) -> int:
        """The number of messages in memory that the broker has not confirmed."""
        return len(self._waiting) + self._in_flight + self._held.count

    def publish_rows(self, rows: Iterable[OutboxRow]) -> None:
        """Publish rows that were just committed, in order."""
        self._take(row for row in rows if not (self._held and self._held.left_to_journal(row)))

    def _take(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            if len(self._waiting) >= IN_MEMORY or self._waiting_bytes >= IN_MEMORY_BYTES:
                self._overflowed = True
                break
            self._put(row)
        self._pump()

    def up(self) -> None:
        """Scan the journal for waiting messages, because the broker is usable."""
        if self._lost and not self._scanning:
            # The scan reads the lost ones again, and all others in memory come after them.
            self._lost = False
            self._known.difference_update(row.message_id for row in self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        self._scan()

    def unblocked(self) -> None:
        """Continue to publish, because the broker accepts messages again."""
        self._pump()

    def drain(self) -> Deferred[None]:
        """A Deferred that fires when nothing is in flight and all confirmed messages are marked."""
        self._stopping = True
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        if self._tries_timer is not None:
            self._tries_timer.cancel()
            self._tries_timer = None
        self._note_tries()
        self._tell_idle()
        return done

    # ---- publishing ----

    def _put(self, row: OutboxRow) -> None:
        if row.message_id not in self._known:
            self._known.add(row.message_id)
            self._wait(row)

    def _wait(self, row: OutboxRow) -> None:
        self._waiting.append(row)
        self._waiting_bytes += len(row.body)

    def _room(self) -> bool:
        return self._in_flight < WINDOW and self._in_flight_bytes < WINDOW_BYTES

    def _pump(self) -> None:
        while self._waiting and self._room() and self._amqp.up and not self._amqp.blocked:
            row = self._waiting.popleft()
            self._waiting_bytes -= len(row.body)
            if self._held and (group := self._held.of(row)) is not None and not group.catching_up:
                self._hold(group, row)
                continue
            self._leave(row)
            self._amqp.publish(self._message(row)).addCallback(self._heard, row)
        half = len(self._waiting) < IN_MEMORY // 2 and self._waiting_bytes < IN_MEMORY_BYTES // 2
        if self._overflowed and half:
            self._overflowed = False
            self._scan()

    def _leave(self, row: OutboxRow) -> None:
        self._in_flight += 1
        self._in_flight_bytes += len(row.body)

    def _landed(self, row: OutboxRow) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= len(row.body)

    def _message(self, row: OutboxRow) -> OutgoingMessage:
        properties = Properties(
            message_id=row.message_id,
            correlation_id=row.correlation_id,
            user_id=self._user,
            app_id=self._app_id,
            content_type=row.content_type,
            timestamp=row.created_ms // 1000,
            type=row.headers.get("type"),
            headers=dict(row.headers),
        )
        return OutgoingMessage(row.exchange, row.routing_key, row.body, properties, sender=sender_of(row))

    def _heard(self, verdict: PublishResult, row: OutboxRow) -> None:
        self._landed(row)
        self._meters.published.labels(verdict.fate.value).inc()
        if verdict.fate is not PublishStatus.NACKED and self._refused:
            self._refused.pop(row.message_id, None)
        if self._held:
            self._judge_held(row, verdict)
        if verdict.fate is PublishStatus.CONFIRMED:
            self._meters.stage.labels("news").observe(max(self._clock.now_ms() - row.created_ms, 0) / 1000)
            if row.message_id in self._tries:
                self._count(row.message_id, verdict)
            self._mark(row, OutboxState.SENT)
        else:
            self._tried_in_vain(row, verdict)
        self._pump()
        self._tell_idle()

    def _tried_in_vain(self, row: OutboxRow, verdict: PublishResult) -> None:
        if verdict.fate is PublishStatus.LOST:
            self._count_in_vain(row, verdict)
            # It is unknown whether it was stored: the scan after the reconnect publishes it again under the same id.
            self._lost = True
            self._known.discard(row.message_id)
        elif verdict.fate is PublishStatus.BARRED:
            self._count_in_vain(row, verdict)
            self._bar(row, verdict)
        elif verdict.fate is PublishStatus.NACKED:
            self._count_in_vain(row, verdict)
            pause_s = self._refused.get(row.message_id, RETRY_S)
            self._refused[row.message_id] = min(2 * pause_s, LAST_RETRY_S)
            self._clock.later(pause_s, self._again, row)
        else:
            self._park(row, verdict)

    def _again(self, row: OutboxRow) -> None:
        self._wait(row)
        self._pump()

    # ---- what the broker bars for now ----

    def _bar(self, row: OutboxRow, verdict: PublishResult) -> None:
        group, begins = self._held.barred(row, verdict.exchange_wide)
        if begins:
            _log.error(
                "news.barred",
                exchange=row.exchange,
                key=row.routing_key,
                sender=group.sender,
                broker=f"{verdict.code} {verdict.text}",
                action="kept in order and tried again; nothing is parked, other senders go on",
            )
        self._hold(group, row)

    def _hold(self, group: HeldGroup, row: OutboxRow) -> None:
        if not self._held.hold(group, row):
            self._known.discard(row.message_id)
        self._meters.held_messages.set(self._held.count)
        self._try_later(group)

    def _try_later(self, group: HeldGroup) -> None:
        if group.trying or self._stopping:
            return
        group.trying = True
        self._clock.later(group.next_pause_s(), self._try_again, group)

    def _try_again(self, group: HeldGroup) -> None:
        group.trying = False
        row = group.first
        if row is None or self._stopping:
            return
        if not self._amqp.up or self._amqp.blocked:
            self._try_later(group)
            return
        group.trying = True
        self._held.take_first(group)
        self._leave(row)
        self._amqp.publish(self._message(row)).addCallback(self._heard, row)

    def _judge_held(self, row: OutboxRow, verdict: PublishResult) -> None:
        """Release a group of held messages when its first one was tried and is not barred any more."""
        group = self._held.of(row)
        if group is None or not group.is_tried(row):
            return
        group.end_try()
        if verdict.fate is PublishStatus.LOST:
            # The scan after the reconnect brings it back into the group.
            self._try_later(group)
            return
        if verdict.fate is PublishStatus.BARRED and (verdict.exchange_wide or group.sender is not None):
            return
        _log.info("news.not_barred", exchange=row.exchange, sender=group.sender, messages=len(group.rows))
        self._release(group)

    def _release(self, group: HeldGroup) -> None:
        rows = self._held.release(group)
        self._waiting.extendleft(reversed(rows))
        self._waiting_bytes += sum(len(row.body) for row in rows)
        self._meters.held_messages.set(self._held.count)
        if group.spilled:
            self._scan()

    def _park(self, row: OutboxRow, verdict: PublishResult) -> None:
        """Park a message that cannot be delivered: publish a copy to the queue for persons."""
        _log.warning(
            "news.unroutable",
            message_id=row.message_id,
            exchange=row.exchange,
            key=row.routing_key,
            broker=f"{verdict.code} {verdict.text}",
            payment=row.payment,
            action=f"no queue took it; a copy is kept in queue {UNROUTED_NEWS}; see bankgw parked list",
        )
        message = self._message(row)
        headers = dict(message.properties.headers)
        headers.update({"unrouted_exchange": row.exchange, "unrouted_key": row.routing_key})
        properties = Properties(
            message_id=row.message_id,
            correlation_id=row.correlation_id,
            user_id=self._user,
            app_id=self._app_id,
            content_type=row.content_type,
            timestamp=row.created_ms // 1000,
            type=message.properties.type,
            headers=headers,
        )
        self._leave(row)
        copy = OutgoingMessage("", UNROUTED_NEWS, row.body, properties)
        self._amqp.publish(copy).addCallback(self._parked, row, verdict)

    def _parked(self, verdict: PublishResult, row: OutboxRow, of_the_message: PublishResult) -> None:
        self._landed(row)
        # The try is counted only now, so that it is written with the mark.
        self._count_in_vain(row, of_the_message)
        if verdict.fate is PublishStatus.CONFIRMED:
            self._mark(row, OutboxState.PARKED)
        elif verdict.fate is PublishStatus.LOST:
            self._known.discard(row.message_id)
        elif verdict.fate is PublishStatus.REFUSED:
            # The broker closes the channel for this message each time: leave it in the journal and log an error.
            _log.error(
                "news.refused",
                message_id=row.message_id,
                exchange=row.exchange,
                key=row.routing_key,
                broker=f"{verdict.code} {verdict.text}",
                payment=row.payment,
                action="kept in the journal as parked; not published again by itself; see bankgw parked list",
            )
            self._mark(row, OutboxState.PARKED)
        else:
            self._clock.later(RETRY_S, self._again, row)
        self._pump()
        self._tell_idle()

    # ---- marks ----

    def _mark(self, row: OutboxRow, state: OutboxState) -> None:
        marks = self._marks[state]
        marks.append(row.message_id)
        if len(marks) >= MARK_AT_ONCE or self._stopping:
            self._flush_marks()
        elif self._mark_timer is None:
            self._mark_timer = self._clock.later(MARK_LINGER_S, self._linger_over)

    def _linger_over(self) -> None:
        self._mark_timer = None
        self._flush_marks()

    def _flush_marks(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        for state, marks in self._marks.items():
            if marks:
                self._marks[state] = []
                self._marking += 1
                ids = tuple(marks)
                # Usually there are none: each message was published once.
                tries = {one: self._tries.pop(one) for one in ids if one in self._tries} if self._tries else {}
                writing = self._store.write(partial(outbox.mark, message_ids=ids, state=state, tries=tries))
                writing.addBoth(self._marked, ids, tries)

    def _marked(self, result: object, message_ids: tuple[str, ...], tries: dict[str, DeliveryTries]) -> None:
        # If marking failed, the row stays waiting, and the next scan publishes it again, which is harmless.
        self._marking -= 1
        self._known.difference_update(message_ids)
        if isinstance(result, Failure):
            self._keep_tries({one: tries.get(one) or self._one_try(CONFIRMED) for one in message_ids})
        self._tell_idle()

    # ---- tries ----

    def _one_try(self, verdict: PublishResult) -> DeliveryTries:
        said = f"{verdict.code} {verdict.text}".strip() if verdict.code else None
        return DeliveryTries(1, self._clock.now_ms(), verdict.fate.value, said)

    def _count(self, message_id: str, verdict: PublishResult) -> None:
        before, now = self._tries.get(message_id), self._one_try(verdict)
        self._tries[message_id] = now if before is None else replace(now, count=before.count + 1)

    def _count_in_vain(self, row: OutboxRow, verdict: PublishResult) -> None:
        self._count(row.message_id, verdict)
        self._note_tries_later()

    def _note_tries_later(self) -> None:
        if self._tries_timer is None and not self._stopping:
            self._tries_timer = self._clock.later(NOTE_TRIES_S, self._tries_due)

    def _tries_due(self) -> None:
        self._tries_timer = None
        self._note_tries()

    def _note_tries(self) -> None:
        """Write the delivery tries of messages that still wait. Called after the marks, which include their messages'
        tries."""
        self._flush_marks()
        if self._tries:
            tries, self._tries = self._tries, {}
            self._marking += 1
            self._store.write(partial(outbox.note_tries, tries=tries)).addBoth(self._noted, tries)

    def _noted(self, result: object, tries: dict[str, DeliveryTries]) -> None:
        self._marking -= 1
        if isinstance(result, Failure):
            self._keep_tries(tries)
        self._tell_idle()

    def _keep_tries(self, tries: Mapping[str, DeliveryTries]) -> None:
        """Keep delivery tries that could not be written, to write them with the next ones."""
        for message_id, earlier in tries.items():
            later = self._tries.get(message_id)
            kept = earlier if later is None else replace(later, count=later.count + earlier.count)
            self._tries[message_id] = kept
        self._note_tries_later()

    def _tell_idle(self) -> None:
        # Nothing waits to be marked: `drain` flushed the marks, and since then each message is marked at once.
        if self._idle and not self._in_flight and not self._marking:
            waiting, self._idle = self._idle, []
            for done in waiting:
                done.callback(None)

    # ---- scan ----

    def _scan(self) -> None:
        if self._scanning:
            self._scan_again = True
            return
        self._scanning = True
        self._page("")

    def _page(self, after: str) -> None:
        reading = self._store.read(lambda conn: outbox.page(conn, self._node, after, PAGE, PAGE_BYTES))
        reading.addCallbacks(self._paged, self._scan_failed)

    def _paged(self, page: tuple[list[OutboxRow], bool]) -> None:
        rows, more = page
        self._take(rows)
        if more and not self._overflowed:
            self._page(rows[-1].message_id)
            return
        self._scanning = False
        behind = self._held and not self._overflowed and self._held.caught_up()
        if self._scan_again or behind:
            self._scan_again = False
            self._scan()

    def _scan_failed(self, failure: object) -> None:
        self._scanning = False
        _log.error("outbox.scan_failed", error=str(failure), action="waiting messages are read again in a second")
        self._clock.later(RETRY_S, self._scan)
