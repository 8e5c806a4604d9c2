"""The parts of a running gateway that the control API may use. The composition root (gateway.app) fills them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from gateway.asking import Asker
from gateway.bank.lane import Lane
from gateway.bank.line_check import LineCheck
from gateway.clock import Clock
from gateway.control.pending_passkeys import PendingPasskeys
from gateway.erp.amqp_types import Amqp
from gateway.journal.cluster.restored_database import Past
from gateway.journal.cluster.stops import Stop
from gateway.journal.commit.store import Store
from gateway.people.sessions import SessionLimits
from gateway.registry import Registry
from gateway.treasury.pool_service import PoolService


def _not_known(_lane: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class DaemonHandle:
    """`identity` is version, mode, node, shard and environment. `ready` answers as `/readyz` does. `safe_mode` is
    whether the database came back from the past. `draining` and `drain` are about taking nothing in; `republish` looks
    for mail that waits. `canary_age_s` and `certificates` are what the metrics show of the same names. `past` is what
    the database forgot, and `let_go` lets one lane send in spite of it. A proposal is open for `proposal_valid_ms`.
    `register` is the account register in force; `ask` puts a question through a lane. `store` fails soon when the
    journal is lost, and `lost_ms` tells since when it is. `stop` is the last word about an emergency stop, `stop_all`
    (actor, reason) says one and fires when it is written down, `stop_said` hears one that was written down.
    `session_limits`: how long a person's session lasts. `since_ms` tells since when a lane is in its state, `capacity`
    what the disk, the permit log and retention have. `pools` runs cash pools. `line_checks` check the way to a lane's
    ports, by lane and port. `pending_passkeys` are those that browsers made and no person has bound yet.
    """

    identity: Mapping[str, str]
    started_ms: int
    store: Store
    amqp: Amqp
    lanes: Mapping[str, Lane]
    clock: Clock
    ready: Callable[[], Mapping[str, Any]]
    safe_mode: Callable[[], bool]
    draining: Callable[[], bool]
    drain: Callable[[bool], None]
    republish: Callable[[], None]
    canary_age_s: Callable[[], float | None]
    certificates: Callable[[], Mapping[tuple[str, str], float]]
    past: Callable[[], Past]
    let_go: Callable[[str], None]
    proposal_valid_ms: int
    register: Callable[[], Registry]
    ask: Asker
    lost_ms: Callable[[], int | None]
    stop: Callable[[], Stop]
    stop_all: Callable[[str, str], Deferred[Stop]]
    stop_said: Callable[[Stop], None]
    pools: PoolService
    since_ms: Callable[[str], int | None] = _not_known
    capacity: Callable[[], Mapping[str, int | None]] = dict
    session_limits: SessionLimits = SessionLimits()
    line_checks: Mapping[str, Mapping[str, LineCheck]] = field(default_factory=dict)
    pending_passkeys: PendingPasskeys = field(default_factory=PendingPasskeys)
