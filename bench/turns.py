"""The daemon with a stopwatch at its event loop: `python -m bench.turns run --config …`.

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
class Turns:
    """How many turns ended within each of EDGES_MS (the last count: above all of them), and the longest ones."""

    cpu: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    wall: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    longest_cpu_ms: list[float] = field(default_factory=list)
    longest_wall_ms: list[float] = field(default_factory=list)

    def add(self, cpu_ms: float, wall_ms: float) -> None:
        """A turn is over."""
        for counts, longest, took_ms in (
            (self.cpu, self.longest_cpu_ms, cpu_ms), (self.wall, self.longest_wall_ms, wall_ms),
        ):  # fmt: skip
            counts[sum(took_ms > edge for edge in EDGES_MS)] += 1
            if len(longest) < KEPT or took_ms > longest[-1]:
                longest.append(took_ms)
                longest.sort(reverse=True)
                del longest[KEPT:]

    def above(self, edge_ms: int) -> int:
        """How many turns took more processor time than `edge_ms`, which is one of EDGES_MS."""
        return sum(self.cpu[EDGES_MS.index(edge_ms) + 1 :])


class TimedPoller:
    """The reactor's poller: between its answer and the next question lies a turn."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._began: tuple[float, float] | None = None
        self.turns = Turns()

    def poll(self, *waits: Any) -> Any:
        """See select.epoll."""
        if self._began is not None:
            cpu_s, wall_s = self._began
            self.turns.add((time.thread_time() - cpu_s) * 1000, (time.monotonic() - wall_s) * 1000)
        found = self._poller.poll(*waits)
        self._began = time.thread_time(), time.monotonic()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def read(file: Path) -> Turns:
    """What the daemon wrote at the last SIGUSR1."""
    return Turns(**json.loads(file.read_text("utf-8")))


def install(reactor: Any, file: Path) -> Callable[..., None]:
    """Put the stopwatch into the reactor; returns what writes its turns and begins anew."""
    timed = reactor._poller = TimedPoller(reactor._poller)

    def write(*_signal: Any) -> None:
        turns, timed.turns = timed.turns, Turns()
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps({name: getattr(turns, name) for name in Turns.__slots__}), "utf-8")
        draft.rename(file)

    return write


def main(words: list[str]) -> None:
    """Install the stopwatch, then run the command."""
    from twisted.internet import reactor

    signal.signal(signal.SIGUSR1, install(reactor, Path(words[words.index("--config") + 1]).parent / FILE))
    sys.argv[1:] = words
    program.main()


if __name__ == "__main__":
    main(sys.argv[1:])
