"""Visits every reachable state of a model breadth first, until a promise is broken or no state is left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.kernel.core import flow
from tests.world.model import IDLE, Model, PromiseBroken
from tests.world.pieces import World, with_node
from tests.world.policy import IMPOSSIBLE, Policy


@dataclass(slots=True)
class Explored:
    """The result of an exploration: `broken` names the broken promise, `path` is the shortest sequence of moves to it.

    `halts` counts the events that befell a payment in a state for which the table has no row: the lane stops then,
    loudly, and nothing wrong is done; but it stops.
    """

    policy: Policy
    states: int = 0
    broken: str | None = None
    path: tuple[str, ...] = ()
    rows: Counter[str] = field(default_factory=Counter)
    halts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        verdict = "safe" if self.broken is None else f"{self.broken}: " + ", ".join(self.path)
        return f"{self.policy.name} ({self.policy.what}): {self.states} states, {verdict}"


def explore(policy: Policy, limit: int = 2_000_000) -> Explored:
    """Visit every reachable state, breadth first. Raises RuntimeError if there are more than `limit`."""
    model = Model(policy)
    start = model.start()
    came: dict[World, tuple[World | None, str]] = {start: (None, "")}
    waiting = deque([start])
    found = Explored(policy, rows=model.rows)
    while waiting:
        world = waiting.popleft()
        for label, act in model.actions(world):
            try:
                after = _or_halt(act, label, world, found)
                model.inspect(after)
            except PromiseBroken as error:
                found.broken = str(error)
                found.path = (*_path(came, world), label)
                found.states = len(came)
                return found
            if after not in came:
                came[after] = (world, label)
                waiting.append(after)
        if len(came) > limit:
            raise RuntimeError(f"{policy.name}: more than {limit} states")
    found.states = len(came)
    return found


def _or_halt(act: Callable[[], World], label: str, world: World, found: Explored) -> World:
    """The state after a move. If the table has no row for a node's commit, the node stops; for any other actor that is
    an error."""
    try:
        return act()
    except flow.ImpossibleEvent as error:
        words = label.split()
        if words[0] != "node":
            raise PromiseBroken(f"{IMPOSSIBLE}: {error}") from error
        found.halts[str(error)] += 1
        return with_node(world, int(words[1]), (False, 0, 0, False, IDLE))


def _path(came: Mapping[World, tuple[World | None, str]], world: World) -> Iterator[str]:
    labels = []
    at: World | None = world
    while at is not None:
        at, label = came[at]
        if label:
            labels.append(label)
    return reversed(labels)
