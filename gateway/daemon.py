"""The program behind `bankgw run`: a gateway with its pages, its control socket and the listeners for banks that call
us.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from prometheus_client import ProcessCollector

from gateway import settings as conf
from gateway.act_ports import IntakePort, NodePort
from gateway.app import Gateway
from gateway.bank.credential_expiry import credential_ends
from gateway.bank.lane_dialer import LaneDialer
from gateway.bank.push_listener import push_listeners
from gateway.control import ports
from gateway.control.key_list import KeyPort, keys_of_settings
from gateway.control.peer_credentials import peer_of
from gateway.control.server import ControlServer, Peer
from gateway.control.verbs import verbs
from gateway.control.web import WebServer
from gateway.erp.erp_connection import NOT_MEASURED
from gateway.guarded_journal import GuardedStore
from gateway.kernel.cluster import sealing
from gateway.kernel.sql.executor import ThreadExecutor
from gateway.parts import OnFatal, Parts
from gateway.people.act_answers.person_sessions import limits_of
from gateway.system_parts import system_parts
from gateway.version import VERSION
from gateway.watch.activity_totals import activity_totals
from gateway.watch.backups import BackupLimits
from gateway.watch.notify import Notify
from gateway.watch.watch import Watch, WatchedParts


class Daemon:
    """A gateway with its pages and its control socket, which start first and stop last."""

    def __init__(
        self, reactor: Any, settings: conf.Settings, parts: Parts, on_fatal: OnFatal, peer: Peer = peer_of
    ) -> None:
        self._credentials = credential_ends(settings)
        self.gateway = gateway = Gateway(settings, parts, on_fatal)
        sights = WatchedParts(
            parts.store,
            parts.amqp,
            gateway.lanes,
            parts.meters,
            lambda: gateway.draining,
            parts.canary_age_s,
            parts.certificates,
            parts.writer,
            lambda: gateway.emergency.word,
            gateway.known,
            settings.state_dir,
            lambda: gateway.erp.trouble,
            lambda: gateway.retention.overdue,
            lambda: self.push_listeners.not_listening(),
            gateway.erp.not_held,
            lambda: sealing.waits_for_seals(gateway.safe_mode.past),
            lambda: gateway.safe_mode.past.newcomer_text,
            gateway.erp.refusals,
            BackupLimits.of(settings),
            lambda: self._credentials,
            parts.queue_depths,
            parts.lock_holder,
            lambda: gateway.erp.no_room,
            gateway.erp.note_room,
        )
        self.watch = Watch(reactor, sights, parts.clock, Notify(os.environ), ThreadExecutor(reactor, "metrics", 2))
        ProcessCollector(registry=parts.meters.registry)
        handed = _control_ports(gateway, self.watch)
        self.control = ControlServer(reactor, verbs(handed), settings.environment_name(), peer=peer)
        self.web = WebServer(reactor, settings, handed)
        self.push_listeners = push_listeners(
            reactor, settings, parts.banks, parts.store, parts.clock, parts.meters, gateway.account_watch.look_soon
        )

    async def start(self) -> None:
        """Start pages, control socket and gateway, then the listeners for banks that call us."""
        gateway, settings = self.gateway, self.gateway.settings
        # A life that reads commands before it knows that it can store them may use up their deliveries.
        gateway.erp.note_room(NOT_MEASURED)
        self.watch.start(settings.watch.host, settings.watch.port, settings.state_dir / "watch.port")
        self.control.open(settings.control_socket(), group=settings.control.group_may_open)
        self.web.open()
        await gateway.start()
        self.push_listeners.open()

    async def reload(self, settings: conf.Settings) -> None:
        """Use other senders, accounts and certificates, also where banks call us: see Gateway.reload."""
        use_pushes = self.push_listeners.prepare_reload(settings)
        await self.gateway.reload(settings)
        self._credentials = credential_ends(settings)
        use_pushes()

    async def stop(self) -> None:
        """Stop intake, drain the lanes, empty the outbox, close the journal; then stop control socket and pages."""
        self.watch.leaving()
        await self.push_listeners.close()
        await self.gateway.stop()
        await self.control.close()
        await self.web.close()
        await self.watch.stop()


def _control_ports(gateway: Gateway, watch: Watch) -> ports.ControlPorts:
    settings, parts, emergency = gateway.settings, gateway.parts, gateway.emergency
    control, now_ms = settings.control, parts.clock.now_ms()
    identity = {"version": VERSION, "mode": settings.mode, "node": settings.node, "shard": settings.shard}
    identity |= {"environment": settings.environment_name(), "no_witness": settings.journal.no_witness}
    checks = {name: one.checks(parts.clock) for name, one in parts.dialers.items() if isinstance(one, LaneDialer)}
    ready, lost_ms = (lambda: watch.ready().as_json()), (lambda: watch.lost_ms)
    return ports.ControlPorts(
        GuardedStore(parts.store, parts.clock, lost_ms),
        parts.clock,
        accounts=lambda: gateway.registry,
        node=NodePort(identity, now_ms, ready, lost_ms, lambda: bool(gateway.safe_mode.reason)),
        intake=IntakePort(lambda: gateway.draining, gateway.drain),
        broker=ports.BrokerPort(parts.amqp, gateway.outbox.up, gateway.erp.mark.status, parts.canary_age_s),
        lanes=ports.LanePort(gateway.lanes, gateway.ask, watch.conditions.since_ms, checks, gateway.companies),
        stop=ports.StopPort(lambda: emergency.word, emergency.stop_all, emergency.apply),
        past=ports.RestoredDatabasePort(lambda: gateway.safe_mode.past, gateway.let_go),
        pools=gateway.pools,
        proposal_valid_ms=int(control.proposal_valid_s * 1000),
        sessions=ports.SessionPort(limits_of(settings)),
        certificates=parts.certificates,
        capacity=watch.capacity_words,
        totals=lambda: activity_totals(parts.meters),
        keys=KeyPort(
            lambda: keys_of_settings(gateway.settings, datetime.fromtimestamp(parts.clock.now_ms() / 1000, UTC)),
            lambda: gateway.settings.journal.vault_key.source(),
        ),
    )


def daemon(reactor: Any, settings: conf.Settings, on_fatal: OnFatal) -> Daemon:
    """The whole of `bankgw run` over the real parts. Nothing runs until `start`. Raises what `system_parts` raises."""
    return Daemon(reactor, settings, system_parts(reactor, settings, on_fatal), on_fatal)
