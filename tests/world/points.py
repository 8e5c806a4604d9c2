"""Named points at which a life can end: `seam.verb.subject.before|after`, at every seam a gateway is built from.

The harness counts the points that a scenario passes and kills the daemon at the N-th, for N = 1, 2, 3 … until the
scenario ends by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.erp.amqp_types import Delivery, Down, OnDelivery, OutgoingMessage, PublishResult, ignore_blocked

if TYPE_CHECKING:
    from tests.world.broker import ModelClient
    from tests.world.world import LifeClock, World

T = TypeVar("T")


class Died(BaseException):
    """The process ended here. It unwinds whatever was running; nothing of that life runs afterwards."""


class Points:
    """Counts points; `kill_at` is the number of the one that kills, None for none."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at
        self.passed = 0
        self.names: Counter[str] = Counter()
        self.killed: str | None = None

    def hit(self, point: str) -> bool:
        """Whether this one kills."""
        self.passed += 1
        self.names[point] += 1
        if self.kill_at is not None and self.passed == self.kill_at:
            self.killed = point
            return True
        return False


class At(Points):
    """Kills at the `nth` passing of the point named `where`, once."""

    def __init__(self, where: str, nth: int = 1) -> None:
        super().__init__()
        self.where = where
        self.nth = nth

    def hit(self, point: str) -> bool:
        """Whether this is it."""
        super().hit(point)
        if self.killed is None and point == self.where and self.names[point] == self.nth:
            self.killed = point
            return True
        return False


class PointedExecutor:
    """The journal's work in the next turn of the clock, with a point before it and one after its commit."""

    def __init__(self, clock: LifeClock, world: World) -> None:
        self._clock = clock
        self._world = world

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Run in a turn of its own; a dead life hears nothing of it."""
        self._clock.later(0, self._turn, work, then)

    def _turn(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        try:
            self._world.hit("journal.commit.group.before")
            try:
                result: T | Failure = work()
            except Exception:
                result = Failure()
            self._world.hit("journal.commit.group.after")
            if not self._clock.dead:
                then(result)
        except Died:
            return

    def stop(self) -> Deferred[None]:
        """Nothing runs elsewhere."""
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done


class PointedAmqp:
    """The broker's client with a point around each thing that crosses it."""

    def __init__(self, amqp: ModelClient, world: World) -> None:
        self._amqp = amqp
        self._world = world

    @property
    def up(self) -> bool:
        """As the client says."""
        return self._amqp.up

    @property
    def blocked(self) -> bool:
        """As the client says."""
        return self._amqp.blocked

    def start(
        self, on_up: Callable[[], None], on_down: Callable[[Down], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
    ) -> None:  # fmt: skip
        """Connect."""
        self._amqp.start(on_up, on_down, on_blocked)

    def consume(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        """Consume, with a point before and after each delivery."""

        def pointed(delivery: Delivery) -> None:
            self._point("erp.deliver.command", lambda: on_delivery(delivery))

        self._amqp.consume(queue, prefetch, pointed)

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """Acknowledge."""
        acked: list[bool] = []
        self._point("erp.ack.delivery", lambda: acked.append(self._amqp.ack(delivery, multiple)))
        return bool(acked and acked[0])

    def reject(self, delivery: Delivery) -> None:
        """Reject."""
        self._point("erp.reject.delivery", lambda: self._amqp.reject(delivery))

    def release(self, delivery: Delivery) -> None:
        """Give back."""
        self._amqp.release(delivery)

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish; the verdict passes a point too."""
        verdict: Deferred[PublishResult] = Deferred()
        self._point("erp.publish.message", lambda: self._amqp.publish(message).addCallback(self._heard, verdict))
        return verdict

    def _heard(self, said: PublishResult, verdict: Deferred[PublishResult]) -> None:
        self._point("erp.confirm.message", lambda: verdict.callback(said))

    def _point(self, name: str, act: Callable[[], Any]) -> None:
        if self._amqp.dead:
            return
        try:
            self._world.hit(f"{name}.before")
            act()
            if not self._amqp.dead:
                self._world.hit(f"{name}.after")
        except Died:
            return

    def widen(self, queue: str) -> None:
        """As the client does."""
        self._amqp.widen(queue)

    def narrow(self, queue: str) -> None:
        """As the client does."""
        self._amqp.narrow(queue)

    def pause(self) -> None:
        """As the client does."""
        self._amqp.pause()

    def resume(self) -> None:
        """As the client does."""
        self._amqp.resume()

    def close(self, deadline_s: float) -> Deferred[None]:
        """As the client does."""
        return self._amqp.close(deadline_s)
