"""The options of a campaign: how long, how many orders, against which journal and broker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faults.servers import Rabbit
from faults.site import HOOKED_DAEMON, Journal

LONG_MINUTES = 2.0
FLOOD_S = 100


@dataclass(frozen=True, slots=True)
class CampaignOptions:
    """The options of one campaign."""

    seed: int
    minutes: float
    kills: int
    per_second: float
    banks: tuple[str, ...]
    nodes: int
    journal: Journal
    folder: Path
    report: Path
    daemon: str = HOOKED_DAEMON
    dedup: bool = True
    payments: int = 0
    zombies: int = 0
    crash_loop: int = 5
    rabbit: Rabbit | None = None
    networks: bool = False
    small_disk: bool = False
    again: str = ""
    beside: str = ""

    @property
    def chaos_s(self) -> float:
        """The number of seconds for which faults happen."""
        return self.minutes * 60

    @property
    def long(self) -> bool:
        """Whether the campaign is long enough for incidents that take tens of seconds."""
        return self.minutes >= LONG_MINUTES

    @property
    def orders(self) -> int:
        """The number of the ERP's orders, including those of a flood if the campaign is long enough for one."""
        flood = round(FLOOD_S * self.per_second) if self.long else 0
        return self.payments or round(self.chaos_s * self.per_second) + flood

    @property
    def disk_mb(self) -> int:
        """The size of each node's own file system in megabytes, 0 for none."""
        return 96 + self.orders // 20 if self.small_disk else 0
