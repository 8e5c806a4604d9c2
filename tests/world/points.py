"""Named points at which a life can end, `seam.verb.subject.before|after`, at every seam of a gateway.

The harness counts the points that a scenario passes and kills the daemon at the N-th, for N = 1, 2, 3 … until the
scenario ends by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.erp.amqp_types import (
    Admit,
    BrokerDown,
    OnDelivery,
    OutgoingMessage,
    PublishResult,
    admit_all,
    ignore_blocked,
)
from gateway.kernel.deliveries import Delivery

if TYPE_CHECKING:
    from tests.world.broker import ModelClient
    from tests.world.life_clock import LifeClock
    from tests.world.world import World

T = TypeVar("T")


class LifeEnded(BaseException):
    """The process ended here. The exception unwinds all running code; nothing of that life runs afterwards."""


class Points:
    """Counts points; `kill_at` is the number of the point that kills, None for none."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at
        self.passed = 0
        self.names: Counter[str] = Counter()
        self.killed: str | None = None

    def hit(self, point: str) -> bool:
        """Whether the life ends at this point."""
        self.passed += 1
        self.names[point] += 1
        if self.kill_at is not None and self.passed == self.kill_at:
            self.killed = point
            return True
        return False


class KillAt(Points):
    """Kills at the `nth` passing of the point named `where`, once."""

    def __init__(self, where: str, nth: int = 1) -> None:
        super().__init__()
        self.where = where
        self.nth = nth

    def hit(self, point: str) -> bool:
        """Whether the life ends at this passing."""
        super().hit(point)
        if self.killed is None and point == self.where and self.names[point] == self.nth:
            self.killed = point
            return True
        return False


class PointedExecutor:
    """Runs the journal's work in the next turn of the clock, with a point before the work and one after its commit."""

    def __init__(self, clock: LifeClock, world: World) -> None:
        self._clock = clock
        self._world = world

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Run the work in a turn of its own. A dead life gets no result."""
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
        except LifeEnded:
            return

    def stop(self) -> Deferred[None]:
        """Stop: no work runs in another thread."""
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done


class PointedAmqp:
    """The broker's client with a point around each call, delivery and verdict."""

    def __init__(self, amqp: ModelClient, world: World) -> None:
        self._amqp = amqp
        self._world = world

    @property
    def up(self) -> bool:
        """Whether the real client is connected."""
        return self._amqp.up

    @property
    def refusals(self) -> Mapping[str, str]:
        """The refusals of the real client."""
        return self._amqp.refusals

    @property
    def blocked(self) -> bool:
        """Whether the real client is blocked."""
        return self._amqp.blocked

    def start(
        self,
        on_up: Callable[[], None],
        on_down: Callable[[BrokerDown], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
        admit: Admit = admit_all,
    ) -> None:
        """Connect."""
        self._amqp.start(on_up, on_down, on_blocked, admit)

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
        """Give the delivery back to the broker."""
        self._amqp.release(delivery)

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish a message; its verdict passes a point, too."""
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
        except LifeEnded:
            return

    def widen(self, queue: str) -> None:
        """Widen the consumer of a queue on the real client."""
        self._amqp.widen(queue)

    def narrow(self, queue: str) -> None:
        """Narrow the consumer of a queue on the real client."""
        self._amqp.narrow(queue)

    def pause(self) -> None:
        """Pause the real client."""
        self._amqp.pause()

    def resume(self) -> None:
        """Resume the real client."""
        self._amqp.resume()

    def close(self, deadline_s: float) -> Deferred[None]:
        """Close the real client."""
        return self._amqp.close(deadline_s)
