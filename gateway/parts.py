"""The parts of a gateway: the clock, the journal, the broker, the connection to each bank. A simulation has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from gateway import settings as conf
from gateway.bank.bank_session import Dialer
from gateway.bank.exchange_ring import ExchangeRing
from gateway.bank.login import Login
from gateway.bank.signers import Signer
from gateway.erp.amqp_types import Amqp
from gateway.kernel.checkpoints.audit_purge import AuditPurge
from gateway.kernel.checkpoints.checkpoints import Checkpoints
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.cluster import gaps
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.cluster.vault_rotation import VaultRotation
from gateway.kernel.commit import permit_log as commit_permit_log
from gateway.kernel.commit.store import Store
from gateway.kernel.meters import Meters
from gateway.kernel.sql.progress import WriterState
from protocols.bank import Bank

OnFatal = Callable[[str], None]
"""Told why the gateway cannot go on."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All impure parts of a gateway; a simulation replaces them by its own. `dialers`, `signers` and `rings` go by lane
    name. The transactions of `store` ask `safe_mode` too (`lane_releases.MAY_LACK_SENDS`)."""

    clock: Clock
    entropy: Entropy
    store: Store
    amqp: Amqp
    dialers: Mapping[str, Dialer]
    signers: Mapping[str, Mapping[str, Signer]]
    credentials: Mapping[str, Mapping[str, str]]
    banks: Mapping[str, Bank]
    cursor_key: bytes
    meters: Meters
    past: Callable[[], Deferred[gaps.RestoreFindings]]
    safe_mode: SafeMode
    canary_age_s: Callable[[], float | None] = lambda: None
    queue_depths: Callable[[], Mapping[str, int]] = dict
    lock_holder: Callable[[], str] = str
    certificates: Callable[[], Mapping[tuple[str, str], float]] = dict
    read_certificates: Callable[[conf.Settings], Callable[[], None]] = lambda _settings: lambda: None
    checkpoints: Checkpoints | None = None
    audit_purge: AuditPurge | None = None
    vault_rotation: VaultRotation | None = None
    writer: Callable[[], WriterState] = WriterState
    rings: Mapping[str, ExchangeRing] = field(default_factory=dict)
    permit_log: commit_permit_log.PermitLog | None = None
    stop_keys: Callable[[], None] = lambda: None
    host: str = ""


def logins(settings: conf.Settings, parts: Parts) -> dict[str, Login]:
    """Each lane's login by the lane's name. Lanes of a bank with the same credentials, or with none, are one user."""
    users: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    tables = conf.lanes_of(settings)
    for name, (bank, _table) in tables.items():
        users.setdefault((bank, tuple(sorted(parts.credentials[name].items()))), []).append(name)
    found: dict[str, Login] = {}
    for (bank, _credentials), lanes in users.items():
        pace = parts.banks[bank].profile.limits.pace
        per_second = min(tables[name][1].per_second or pace.per_second for name in lanes)
        found |= dict.fromkeys(lanes, Login(parts.clock, pace, per_second))
    return found
