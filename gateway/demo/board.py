"""The demo's progress display: redrawn on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_LINE_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The demo's progress at one moment. `states` counts the orders by the last state that the ERP received; `sessions`
    counts the sessions that are connected."""

    at_s: float
    published: int
    commands: int
    answered: int
    states: Mapping[str, int]
    kills: int
    kills_wanted: int
    sessions: Mapping[str, int] = field(default_factory=dict)
    daemon_up: bool = True

    def line(self) -> str:
        """The progress in one line."""
        sessions = " ".join(f"{bank} {count}" for bank, count in self.sessions.items()) if self.daemon_up else "down"
        states = "  ".join(f"{name} {count}" for name, count in _ordered(self.states))
        return (
            f"{self.at_s:6.1f} s  sent {self.published}/{self.commands}  answered {self.answered}  {states}  "
            f"kills {self.kills}/{self.kills_wanted}  sessions {sessions or '-'}"
        )


_ORDER = ("accepted", "pending", "in_doubt", "settled", "returned", "failed", "rejected", "cancelled", "expired")


def _ordered(states: Mapping[str, int]) -> list[tuple[str, int]]:
    counts = Counter(states)
    known = [(name, counts.pop(name)) for name in _ORDER if name in counts]
    return known + sorted(counts.items())


class Board:
    """Shows progress and single lines on a terminal. `close` leaves the terminal as it was."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._shown_s = float("-inf")
        if self._live is not None:
            self._live.start()

    def say(self, text: str, hang: int = 9) -> None:
        """Print a line that is not overwritten.

        A terminal that is too narrow breaks the line between words and indents the next lines by `hang` columns.
        Elsewhere it stays one line.
        """
        if self._console.is_terminal and self._console.width > 2 * hang:
            width = self._console.width
            first, *rest = Text(text).wrap(self._console, width)
            left = Text(text[len(first.plain) :].lstrip())
            body = list(left.wrap(self._console, width - hang)) if rest else []
            text = "\n".join([first.plain.rstrip(), *(" " * hang + line.plain.rstrip() for line in body)])
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, now: Snapshot) -> None:
        """Redraw the progress, or print it as a line if the last one is some seconds old."""
        if self._live is not None:
            self._live.update(_table(now))
        elif now.at_s - self._shown_s >= _LINE_EVERY_S:
            self._shown_s = now.at_s
            self.say(now.line())

    def close(self) -> None:
        """Remove the progress from the terminal."""
        if self._live is not None:
            self._live.stop()


def _table(now: Snapshot) -> Table:
    table = Table(title=f"bankgw demo · {now.at_s:.0f} s", show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right")
    sessions = ", ".join(f"{bank} {count}" for bank, count in now.sessions.items()) or "-"
    table.add_row("daemon", "up" if now.daemon_up else "killed, starting again")
    table.add_row("sessions up", sessions if now.daemon_up else "-")
    table.add_row("kills", f"{now.kills} of {now.kills_wanted}")
    table.add_row("commands sent", f"{now.published} of {now.commands}")
    table.add_row("answered", str(now.answered))
    for name, count in _ordered(now.states):
        style = "yellow" if name in ("in_doubt", "escalated") else "green" if name == "settled" else ""
        table.add_row(f"orders {name}", str(count), style=style)
    return table
