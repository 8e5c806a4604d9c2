"""Incidents: the faults that were played on the daemons and everything around them, and their log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

KILL = "kill -9"


@dataclass(slots=True)
class Incident:
    """One fault that was played. Times are seconds since the start; `heard_s` is when the ERP received the next
    message.

    `lives` counts lives of a daemon that SIGKILL ended. `wrong` says which promise was seen to break, "" for none.
    """

    kind: str
    target: str
    at_s: float
    at_ms: int
    until_s: float
    detail: str = ""
    heard_s: float | None = None
    lives: int = 0
    doubted: int = 0
    wrong: str = ""


@dataclass(slots=True)
class IncidentLog:
    """The incidents of a campaign so far."""

    elapsed: Callable[[], float]
    now_ms: Callable[[], int]
    say: Callable[[str], None]
    incidents: list[Incident] = field(default_factory=list)

    def begin(self, kind: str, target: str, detail: str = "", lives: int = 0) -> Incident:
        """Note the begin of an incident."""
        at_s = self.elapsed()
        incident = Incident(kind, target, at_s, self.now_ms(), at_s, detail, lives=lives)
        self.incidents.append(incident)
        return incident

    def end(self, incident: Incident) -> None:
        """Note the end of an incident."""
        incident.until_s = self.elapsed()
        self.say(
            f"{incident.at_s:6.1f} s  {incident.kind} {incident.target} "
            f"{incident.until_s - incident.at_s:.1f} s {incident.detail} {incident.wrong}".rstrip()
        )

    def heard(self) -> None:
        """Note that the ERP has received a message."""
        at_s = self.elapsed()
        for incident in reversed(self.incidents):
            if incident.heard_s is not None:
                break
            incident.heard_s = at_s

    @property
    def kills(self) -> int:
        """The number of daemon lives that were ended by SIGKILL."""
        return sum(incident.lives for incident in self.incidents)
