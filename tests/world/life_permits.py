"""The permit logs of a world: one for each life, which writes nothing after its death, and the permits of all nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.kernel.commit.permit_lines import Group, PeerHead, RightsDecision
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Permit
from tests.world.life_clock import LifeClock

if TYPE_CHECKING:
    from tests.world.world import World


class Permits:
    """The permits of all nodes, kept besides their logs, so that a test can check that each write had one."""

    def __init__(self, world: World) -> None:
        self.written: list[Permit] = []
        self.log: PermitLog  # the log of the life that writes now
        self._world = world

    def append_permits(self, some: Any) -> None:
        """Write the permits to the log, and keep them here."""
        self._world.hit("permits.append.group.before")
        self.log.append_permits(some)
        self.written += some
        self._world.hit("permits.append.group.after")


class LifePermits:
    """The permit log of one life, on its machine's disk. A dead life writes nothing."""

    def __init__(self, world: World, clock: LifeClock, log: PermitLog) -> None:
        self.log = log
        self._world, self._clock = world, clock

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        """The other nodes that the log knows, as PermitLog.peers."""
        return self.log.peers

    def permitted(self, ref: str, attempt: int) -> bool:
        """Whether the log has this attempt, as PermitLog.permitted."""
        return self.log.permitted(ref, attempt)

    def note(self, group: Group, words: Sequence[RightsDecision] = ()) -> None:
        """Note a group's entries as PermitLog.note does. At the point before it the group is committed and the log
        lacks it."""
        if not self._clock.dead:
            self._world.hit("permits.note.group.before")
            self.log.note(group, words)

    def append_permits(self, some: Sequence[Permit]) -> None:
        """Append permits as PermitLog.append_permits does, with the points before and after it."""
        if not self._clock.dead:
            self._world.permits.log = self.log
            self._world.permits.append_permits(some)

    def another(self, at_ms: int) -> None:
        """Record that another process writes under this node's name, as PermitLog.another does."""
        if not self._clock.dead:
            self.log.another(at_ms)

    def close(self) -> None:
        """Close the log."""
        self.log.close()
