"""The gateway's connection to its ERPs: consumes commands unless there is a reason not to, and publishes the outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.erp.amqp_types import Amqp, BrokerDown, BrokerRefused, UnsafeTopology
from gateway.erp.intake import Intake
from gateway.erp.journal_mark import JournalMark, MarkJudge
from gateway.erp.outbox import Outbox
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store
from gateway.kernel.meters import Meters

DRAINING, STOPPING, BLOCKED, MARK, ROOM = "draining", "stopping", "blocked", "mark", "room"
NOT_MEASURED = "the disk of state_dir is not measured yet"
"""Why no command is taken in before the first look at the disk."""
_log = log.get("app")


class ErpConnection:
    """Consumes the ERPs' commands unless there is a reason not to, and publishes the outbox. `on_blocked` is called
    when the broker stops taking messages, and when it takes them again.

    `on_fatal` is called with a text when another gateway has this virtual host. A right, queue or exchange that is
    missing or differs is waited for. `host` names this machine in the mark.
    """

    def __init__(
        self,
        amqp: Amqp,
        store: Store,
        clock: Clock,
        meters: Meters,
        outbox: Outbox,
        intake: Intake,
        *,
        vhost: str,
        host: str,
        shared: bool,
        on_blocked: Callable[[bool], None],
        on_fatal: Callable[[str], None],
        judge: MarkJudge | None = None,
    ) -> None:
        self._amqp = amqp
        self._meters = meters
        self._outbox = outbox
        self._intake = intake
        self._on_blocked = on_blocked
        self._against: set[str] = set()
        self.mark = JournalMark(store, clock, vhost, host, shared, self._mark_changed, on_fatal, judge)
        self.trouble, self.no_room = "", ""
        self._not_usable: dict[str, str] = {}

    @property
    def draining(self) -> bool:
        """True if an operator stopped intake."""
        return DRAINING in self._against

    @property
    def stopping(self) -> bool:
        """True if the daemon is stopping."""
        return STOPPING in self._against

    def not_held(self) -> str:
        """Why the virtual host is not held; "" while it is held, and while the broker is not connected."""
        return "" if self.mark.held or not self._amqp.up else self.mark.why

    def refusals(self) -> Mapping[str, str]:
        """The operations that the broker refuses, with its text: because of a missing right, or a queue or exchange
        that is missing or differs. Empty while the broker cannot be reached at all.
        """
        return self._amqp.refusals if self._amqp.up else self._not_usable

    async def start(self, prefetches: Mapping[str, int]) -> None:
        """Connect, and consume each queue with its prefetch as soon as the virtual host is held."""
        await self.mark.begin()
        self.take_in(MARK, on=False)
        for queue, prefetch in prefetches.items():
            self._amqp.consume(queue, prefetch, self._intake.deliver)
        self._amqp.start(self._up, self._down, self._blocked, self.mark.admit)

    def take_in(self, reason: str, *, on: bool) -> None:
        """Set a reason against intake (`on` False), or withdraw it (True)."""
        if not on:
            self._against.add(reason)
            self._amqp.pause()
        elif reason in self._against:
            self._against.remove(reason)
            if not self._against:
                self._amqp.resume()

    def note_room(self, waits: str) -> None:
        """Take in no command while the disk has no room, as `waits` says, and commands again when it is "".

        A command that is read and not stored uses up one of its deliveries, so it stays in the broker.
        """
        before, self.no_room = self.no_room, waits
        if waits and before in ("", NOT_MEASURED) and waits != NOT_MEASURED:
            _log.error(
                "intake.waits", error=waits, action="commands wait in the broker; make room; it goes on by itself"
            )
        elif not waits and before not in ("", NOT_MEASURED):
            _log.info("intake.goes_on", waited_for=before)
        self.take_in(ROOM, on=not waits)

    def _mark_changed(self) -> None:
        self._meters.mark_held.set(int(self.mark.held))
        self.take_in(MARK, on=self.mark.held)

    def _up(self) -> None:
        self._meters.broker_up.set(1)
        self.trouble, self._not_usable = "", {}
        _log.info("broker.up")
        self._outbox.up()

    def _down(self, down: BrokerDown) -> None:
        self._meters.broker_up.set(0)
        self.trouble = down.reason
        self.mark.lost()
        self._intake.broker_lost()
        unusable = isinstance(down.error, UnsafeTopology | BrokerRefused)
        self._not_usable = {"topology": str(down.error)} if unusable else {}
        if not self.stopping:
            _log.warning(
                "broker.down",
                reason=down.reason,
                action="the gateway connects again by itself, with growing pauses; orders wait in the broker",
            )

    def _blocked(self, blocked: bool) -> None:
        """Stop intake and sending, because results could not be reported. Enquiries about payments in doubt go on."""
        self._meters.broker_blocked.set(int(blocked))
        _log.warning("broker.blocked" if blocked else "broker.unblocked")
        self.take_in(BLOCKED, on=not blocked)
        self._on_blocked(blocked)
        if not blocked:
            self._outbox.unblocked()
