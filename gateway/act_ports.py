"""The small ports of the running gateway that handlers of several subjects need. A room has its own ports besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.kernel.commit.rows import PaymentRow
from gateway.register.registry import Registry

Accounts = Callable[[], Registry]
"""The account register in force."""
Certificates = Callable[[], Mapping[tuple[str, str], float]]
"""When the certificates of each bank and role end, in seconds since 1970."""
ActivityTotals = Callable[[], Mapping[str, int]]
"""How many commands, payments and messages this process has handled since its start."""
CapacityFacts = Callable[[], Mapping[str, int | None]]
"""What the disk, the permit log and retention have."""


@dataclass(frozen=True, slots=True)
class NodePort:
    """The node on which the gateway runs.

    `identity` is version, mode, node, shard and environment. `ready` gives the answer of `/readyz`. `lost_ms` is the
    time since when the journal is lost. `safe_mode` says whether the database is an older one.
    """

    identity: Mapping[str, str]
    started_ms: int
    ready: Callable[[], Mapping[str, Any]]
    lost_ms: Callable[[], int | None]
    safe_mode: Callable[[], bool]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.identity["node"]


@dataclass(frozen=True, slots=True)
class IntakePort:
    """The switch that stops intake, and its state."""

    draining: Callable[[], bool]
    drain: Callable[[bool], None]


class LaneSecrets(Protocol):
    """The secrets of a lane's settings, which a view of its messages must hide."""

    @property
    def credentials(self) -> Mapping[str, str]:
        """The login's secrets, by name."""


class ReadyRows(Protocol):
    """The payments that a lane has in memory to be sent."""

    @property
    def rows(self) -> Sequence[PaymentRow]:
        """The payments, oldest first."""


class LaneInView(Protocol):
    """The parts of a lane that the handlers of payments use."""

    @property
    def ready(self) -> bool:
        """True if the lane can ask the bank now."""

    @property
    def parts(self) -> LaneSecrets:
        """The lane's configuration, with its secrets."""

    @property
    def ready_payments(self) -> ReadyRows:
        """The lane's payments that are ready to be sent."""


LanesInView = Mapping[str, LaneInView]
"""The lanes of this node, by name."""
