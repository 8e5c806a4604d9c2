"""The daemon with a stopwatch in its event loop: `python -m bench.turns run --config …`.

A turn is all that the loop does between two waits; while it lasts, nobody else is served. At SIGUSR1 the turns since
the last one are written as JSON into `turns.json` beside the settings. Processor time of a turn says what the code
does; the wall's time beside it holds what other programs and the writer's thread took meanwhile.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway import __main__ as program

FILE: Final = "turns.json"
EDGES_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200)
KEPT: Final = 5


@dataclass(slots=True)
class ReactorTurns:
    """Counts the turns of the event loop. For each of EDGES_MS it has the number of turns that ended within it; the
    last count is of longer ones. It also keeps the longest turns."""

    cpu: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    wall: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    longest_cpu_ms: list[float] = field(default_factory=list)
    longest_wall_ms: list[float] = field(default_factory=list)

    def add(self, cpu_ms: float, wall_ms: float) -> None:
        """Count a turn."""
        for counts, longest, took_ms in (
            (self.cpu, self.longest_cpu_ms, cpu_ms),
            (self.wall, self.longest_wall_ms, wall_ms),
        ):
            counts[sum(took_ms > edge for edge in EDGES_MS)] += 1
            if len(longest) < KEPT or took_ms > longest[-1]:
                longest.append(took_ms)
                longest.sort(reverse=True)
                del longest[KEPT:]

    def above(self, edge_ms: int) -> int:
        """The number of turns that took more processor time than `edge_ms`, which is one of EDGES_MS."""
        return sum(self.cpu[EDGES_MS.index(edge_ms) + 1 :])


class TimedPoller:
    """The reactor's poller, which measures turns. A turn is the time between its answer and the next call."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._began: tuple[float, float] | None = None
        self.turns = ReactorTurns()

    def poll(self, *waits: Any) -> Any:
        """Call the real poller, and count the turn that ended with this call."""
        if self._began is not None:
            cpu_s, wall_s = self._began
            self.turns.add((time.thread_time() - cpu_s) * 1000, (time.monotonic() - wall_s) * 1000)
        found = self._poller.poll(*waits)
        self._began = time.thread_time(), time.monotonic()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def read_turns(file: Path) -> ReactorTurns:
    """The turns that the daemon wrote when it last got SIGUSR1."""
    return ReactorTurns(**json.loads(file.read_text("utf-8")))


def install(reactor: Any, file: Path) -> Callable[..., None]:
    """Install the measurement in the reactor; returns a function that writes the turns so far and begins again."""
    timed = reactor._poller = TimedPoller(reactor._poller)

    def write_turns(*_signal: Any) -> None:
        turns, timed.turns = timed.turns, ReactorTurns()
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps({name: getattr(turns, name) for name in ReactorTurns.__slots__}), "utf-8")
        draft.rename(file)

    return write_turns


def main(words: list[str]) -> None:
    """Install the measurement, then run the command."""
    from twisted.internet import reactor

    signal.signal(signal.SIGUSR1, install(reactor, Path(words[words.index("--config") + 1]).parent / FILE))
    sys.argv[1:] = words
    program.main()


if __name__ == "__main__":
    main(sys.argv[1:])
