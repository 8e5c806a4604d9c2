"""The ports through which handlers of acts reach the running gateway.

The composition root (gateway.daemon) wires them. A handler takes the ports that it names; none takes all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from gateway.act_ports import Accounts, ActivityTotals, CapacityFacts, Certificates, IntakePort, NodePort
from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.lane import Lane
from gateway.bank.line_check import LineCheck
from gateway.control.key_list import KeyPort
from gateway.erp.amqp_types import Amqp
from gateway.kernel.asking import AskBank
from gateway.kernel.clock import Clock
from gateway.kernel.cluster.gaps import RestoreFindings
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.commit.store import Store
from gateway.people.act_answers.pending_passkeys import PendingPasskeys
from gateway.people.rules.sessions import SessionLimits
from gateway.pools.jobs import PoolService


def _not_known(_lane: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class BrokerPort:
    """Access to the broker. `republish` publishes waiting messages; `mark` is whether this journal holds the virtual
    host.

    `canary_age_s` is the age of the last test message that the gateway sent to itself and got back.
    """

    amqp: Amqp
    republish: Callable[[], None]
    mark: Callable[[], Mapping[str, object]]
    canary_age_s: Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class LanePort:
    """Access to the lanes. `since_ms` is the time since when a lane is in its state, `ask` puts a question through a
    lane.

    `line_checks` check the way to a lane's ports, by lane and port. `companies` are the companies that are paused.
    """

    lanes: Mapping[str, Lane]
    ask: AskBank
    since_ms: Callable[[str], int | None] = _not_known
    line_checks: Mapping[str, Mapping[str, LineCheck]] = field(default_factory=dict)
    companies: CompanyPauses = field(default_factory=CompanyPauses)


@dataclass(frozen=True, slots=True)
class StopPort:
    """Access to the emergency stop. `word` is the last entry about it; `stop_all` (actor, reason) writes one and fires
    when it is written.

    `on_written` is called for an entry after it was written.
    """

    word: Callable[[], Stop]
    stop_all: Callable[[str, str], Deferred[Stop]]
    on_written: Callable[[Stop], None]


@dataclass(frozen=True, slots=True)
class RestoredDatabasePort:
    """Access to the sends that a restored database does not have, and the release of one lane in spite of them."""

    past: Callable[[], RestoreFindings]
    let_go: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SessionPort:
    """The limits of persons' sessions, and the passkeys that are not yet bound to a person."""

    limits: SessionLimits = SessionLimits()
    pending_passkeys: PendingPasskeys = field(default_factory=PendingPasskeys)


@dataclass(frozen=True, slots=True)
class DecisionPorts:
    """The ports of the decisions of two persons: the journal, the accounts, and the parts that a decision changes.

    A proposal is open for `valid_ms`.
    """

    store: Store
    clock: Clock
    accounts: Accounts
    node: NodePort
    intake: IntakePort
    lanes: LanePort
    stop: StopPort
    past: RestoredDatabasePort
    pools: PoolService
    valid_ms: int


@dataclass(frozen=True, slots=True)
class ControlPorts:
    """All ports, collected for `gateway.control.act_answers`, which gives them to the handlers. `certificates`,
    `capacity` and `totals` are values that metrics show too."""

    store: Store
    clock: Clock
    accounts: Accounts
    node: NodePort
    intake: IntakePort
    broker: BrokerPort
    lanes: LanePort
    stop: StopPort
    past: RestoredDatabasePort
    pools: PoolService
    proposal_valid_ms: int
    sessions: SessionPort = SessionPort()
    certificates: Certificates = dict
    capacity: CapacityFacts = dict
    totals: ActivityTotals = dict
    keys: KeyPort = KeyPort(tuple, str)

    @property
    def decisions(self) -> DecisionPorts:
        """The ports of the decisions of two persons."""
        return DecisionPorts(
            self.store,
            self.clock,
            self.accounts,
            self.node,
            self.intake,
            self.lanes,
            self.stop,
            self.past,
            self.pools,
            self.proposal_valid_ms,
        )
