"""The composition root: builds a gateway from settings and replaceable parts. The only file that imports every room.

    parts = system_parts(reactor, settings)      # or a simulation's own
    gateway = build(settings, parts)
    await gateway.start()

`daemon` is the same with its pages and its control socket: what `bankgw run` runs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry, ProcessCollector
from twisted.internet.defer import Deferred, DeferredList

from gateway import log, registry
from gateway import settings as conf
from gateway.adapters import load_banks
from gateway.asking import R, Unavailable
from gateway.bank.account_watch import AccountWatch, Watched, WatchParts
from gateway.bank.certificate_expiry import CertificateExpiry
from gateway.bank.certificate_reload import CertificateReload, CurrentTls, peer_ends
from gateway.bank.clock_trust import banks_agree
from gateway.bank.emergency_stop import EmergencyStop
from gateway.bank.exchange_ring import ExchangeRing, open_rings
from gateway.bank.lane import Lane
from gateway.bank.lane_dialer import LaneDialer, lane_signers, tls_settings
from gateway.bank.lane_parts import LaneParts
from gateway.bank.login import Login
from gateway.bank.push_listener import push_listeners
from gateway.bank.session_pool import Dialer
from gateway.bank.signers import Signer
from gateway.bank.tls import client_context
from gateway.clock import Clock, Entropy, SystemClock, SystemEntropy
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.guarded_journal import GuardedStore
from gateway.control.peer_credentials import peer_of
from gateway.control.server import ControlServer, Peer
from gateway.control.verbs import verbs
from gateway.control.web import WebServer
from gateway.erp import broker_address
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import Amqp, Down, UnsafeTopology
from gateway.erp.client import AmqpClient, Patience
from gateway.erp.intake import Intake
from gateway.erp.outbox import Outbox
from gateway.erp.policies import management_reports
from gateway.erp.question_context import QuestionContext
from gateway.erp.question_service import QuestionService
from gateway.erp.receipt_fetching import ReceiptFetching, fetch_terms
from gateway.erp.topology import LEDGER_QUEUE, MONEY_QUEUE, QUERY_QUEUE, UNROUTED_COMMANDS_QUEUE, preparation, standard
from gateway.journal.checkpoints import checkpoints
from gateway.journal.checkpoints.audit_purge import AuditPurge
from gateway.journal.checkpoints.checkpoints import Checkpoints
from gateway.journal.cluster import renames, restored_database, stops, unknown_to_settings
from gateway.journal.cluster.lane_pauses import FROM_THE_PAST, PauseState
from gateway.journal.cluster.peer_nodes import PeerNodes, claim_all
from gateway.journal.commit import audit
from gateway.journal.commit import permit_log as commit_permit_log
from gateway.journal.commit.group_commit import GroupFacts, SqlStore
from gateway.journal.commit.hand_over import HandOver
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Store
from gateway.journal.payments import held_orders
from gateway.journal.payments.retention import Retention, periods_of
from gateway.journal.payments.retention_clock import RetentionClock
from gateway.journal.sql import migrations, vault
from gateway.journal.sql.executor import ThreadExecutor
from gateway.meters import Meters
from gateway.people.sessions import SessionLimits
from gateway.settings.journal_access import database_url, poll_ms
from gateway.tasks import sleep
from gateway.treasury.erp_treasury import ErpTreasury
from gateway.treasury.match_news import MatchNews
from gateway.treasury.pool_service import PoolParts, PoolService
from gateway.treasury.reports.scheduled import ScheduledReports, scheduled_of
from gateway.version import VERSION
from gateway.watch.notify import Notify
from gateway.watch.watch import Sights, Watch
from protocols.bank import Bank, Context, Conversation
from protocols.erp.words import MAX_BODY_BYTES

BROKER_BLOCKED = "broker_blocked"
_log = log.get("app")

OnFatal = Callable[[str], None]


class UserMoved(Exception):  # noqa: N818 - an answer, not a fault
    """A broker user speaks for another sender than before: what is delivered again would be paid again."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything impure a gateway is made of; a simulation brings its own. `dialers`, `signers` and `rings` go by lane
    name."""

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
    past: Callable[[], Deferred[restored_database.Past]]
    canary_age_s: Callable[[], float | None] = lambda: None
    certificates: Callable[[], Mapping[tuple[str, str], float]] = dict
    read_certificates: Callable[[conf.Settings], Callable[[], None]] = lambda _settings: lambda: None
    checkpoints: Checkpoints | None = None
    audit_purge: AuditPurge | None = None
    tried_s: Callable[[], float] = lambda: float("-inf")
    trouble: Callable[[], str] = lambda: ""
    rings: Mapping[str, ExchangeRing] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Machine:
    """What the real parts take from the machine: its clock, and how the permit log's bytes are put on the disk. The
    fault campaign passes in a clock that is set wrong and a disk that fails."""

    clock: Clock
    sync: Callable[[int], None] = os.fdatasync


def system_parts(reactor: Any, settings: conf.Settings, on_fatal: OnFatal, machine: Machine | None = None) -> Parts:
    """The real parts. Opens files and reads keys; connects to nothing yet. Raises what those raise."""
    machine = machine or Machine(SystemClock(reactor))
    clock, entropy = machine.clock, SystemEntropy()
    meters = Meters(CollectorRegistry())
    banks = load_banks(settings)
    lanes = conf.lanes_of(settings)
    production = settings.mode == "production"
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = vault.load(settings.journal.vault_key.path())
    url = database_url(settings)
    migrations.upgrade(url)
    tls = settings.broker.tls
    broker_tls = None if tls is None else CurrentTls(client_context(tls_settings(tls, settings.broker.host), clock))
    amqp = _amqp(reactor, settings, broker_tls)
    dialers = {name: LaneDialer(reactor, lane, banks[bank]) for name, (bank, lane) in lanes.items()}
    permit_log = commit_permit_log.PermitLog(settings.permit_log(), keys, settings.node,
                                   days=settings.journal.permit_log_days, sync=machine.sync)  # fmt: skip
    store = SqlStore(
        url, reactor, clock, settings.node, keys, permit_log, settings.journal.linger_ms, entropy=entropy,
        on_fatal=lambda why: on_fatal(f"the journal cannot go on: {why}"), observe=lambda one: _observe(meters, one),
    )  # fmt: skip
    chain = _chain_parts(settings, store, clock)
    keys_of = {
        name: lane_signers(lane, production=production, nonce=entropy.bytes(32))
        for name, (_bank, lane) in lanes.items()
    }
    expiry = CertificateExpiry(settings, lambda: peer_ends(dialers, lanes))
    return Parts(
        clock=clock,
        entropy=entropy,
        store=store,
        amqp=amqp,
        dialers=dialers,
        signers=keys_of,
        credentials={
            name: {key: secret.read().decode() for key, secret in lane.credentials.items()}
            for name, (_bank, lane) in lanes.items()
        },
        banks=banks,
        cursor_key=keys.blind("transactions cursor").encode(),
        meters=meters,
        past=lambda: Deferred.fromCoroutine(_past(store, permit_log, clock)),
        canary_age_s=lambda: amqp.status().canary_age_s,
        certificates=expiry,
        read_certificates=CertificateReload(dialers, keys_of, expiry, broker_tls, clock, entropy).read,
        checkpoints=None if chain is None else chain[0],
        audit_purge=None if chain is None else chain[1],
        tried_s=lambda: store.tried_s,
        trouble=lambda: store.trouble,
        rings=open_rings(settings, keys),
    )


def _chain_parts(settings: conf.Settings, store: SqlStore, clock: Clock) -> tuple[Checkpoints, AuditPurge] | None:
    """What makes checkpoints of this node's audit chain, and what lets one stand for entries of long ago."""
    if not settings.journal.checkpoint_s:
        return None
    key = checkpoints.load_key(settings.state_dir / checkpoints.KEY_FILE)
    folder = settings.state_dir / checkpoints.FOLDER
    return (Checkpoints(store, clock, settings.node, key, folder, lambda: store.head, settings.journal.checkpoint_s),
            AuditPurge(store, settings.node, key, folder, settings.retention.audit_days))  # fmt: skip


async def _past(store: Store, log: commit_permit_log.PermitLog, clock: Clock) -> restored_database.Past:
    """Compare the permit log with the journal, and write down what is missing. Nothing may be written before."""
    found = await store.read(lambda conn: restored_database.compare(conn, log.known, clock.now_ms()))
    restored_database.keep(log, found)
    for gap in found.past.gaps:
        _log.error("journal.gap", what=gap.words(), entries=gap.entries, words_of_others=gap.others, sends=gap.count)
    if found.harmless is not None:
        _log.warning("journal.gap", what=found.harmless.words(), action="none: the node does, or asks about, it again")
    if found.explained is not None:
        _log.warning("journal.written_by_another", what=found.explained.words(), action="give every instance its own "
                     "`node`, and run each once; sending goes on, as this node ended for that reason")  # fmt: skip
    return found.past


def _observe(meters: Meters, facts: GroupFacts) -> None:
    meters.journal_seconds.observe(facts.duration_s)
    meters.journal_units.inc(facts.units - facts.failed)
    if facts.failed:
        meters.journal_failures.labels("unit").inc(facts.failed)


def _amqp(reactor: Any, settings: conf.Settings, tls: CurrentTls | None) -> AmqpClient:
    broker = settings.broker
    reports = None if not broker.management_url else management_reports(reactor, broker.management_url, broker.vhost)
    prepare = preparation(standard(), "apply" if broker.topology == "declare" else "verify", reports)
    patience = Patience(canary_every_s=broker.canary_s)
    wanted = AmqpSettings(broker_address.own(broker), f"bankgw {settings.node}", patience=patience,
                          most_bytes=broker.prefetch_bytes, most_body=MAX_BODY_BYTES)  # fmt: skip
    return pika_amqp(reactor, wanted, random.SystemRandom(), tls=tls, prepare=prepare)


class Gateway:
    """The running whole. `start` brings it up, `stop` lets it down in order; both may be awaited once."""

    def __init__(self, settings: conf.Settings, parts: Parts, on_fatal: OnFatal) -> None:
        self.settings = settings
        self.parts = parts
        self.registry = registry.build(settings, parts.banks)
        self.past = restored_database.Past()
        self.stopping = False
        self.draining = False
        self.broker_trouble = ""
        self.emergency = EmergencyStop(parts.store, parts.meters)
        self._on_fatal = on_fatal
        meters, self._logins = parts.meters, logins(settings, parts)
        self.lanes = {name: self._lane(name, bank, lane) for name, (bank, lane) in conf.lanes_of(settings).items()}
        self.emergency.attach(lane.gate for lane in self.lanes.values())
        meters.known(settings.banks, ((bank, name) for name, (bank, _lane) in conf.lanes_of(settings).items()),
                     {(account.bank, account.currency) for account in settings.accounts})  # fmt: skip
        self.outbox = Outbox(parts.amqp, parts.store, settings.node, settings.broker.user, f"bankgw/{VERSION}",
                             parts.clock, meters)  # fmt: skip
        self.peer_nodes = PeerNodes(
            parts.store, parts.clock, settings.node, tuple(self.lanes), self.outbox.up, self._past_elsewhere,
            self._pauses_said, meters, lambda: parts.amqp.up, self.emergency.apply,
        )  # fmt: skip
        treasury = ErpTreasury(parts.store, parts.clock, lambda: self.registry)
        asking = QuestionContext(parts.store, self.registry, parts.clock, parts.cursor_key, self.ask, treasury)
        self.questions = QuestionService(asking, self._is_elsewhere, poll_ms(settings))
        self.intake = Intake(parts.amqp, parts.store, self.registry, parts.clock, parts.entropy, meters,
                             settings.zone, self._admitted, self.questions.take, treasury,
                             settings.broker.prefetch)  # fmt: skip
        self.account_watch = AccountWatch(
            WatchParts(parts.store, parts.clock, meters, dict(parts.banks), self.ask, self._owns,
                       lambda lane: self.lanes[lane].epoch, lambda lane: self.lanes[lane].clock_trust.doubt is None,
                       self.questions.cache_balance),
            settings.node,
        )  # fmt: skip
        self.match_news = MatchNews(parts.store, parts.clock, lambda: self.registry)
        self.receipt_fetching = ReceiptFetching(parts.store, parts.clock, lambda: self.registry, self.ask, self._owns,
                                                lambda: fetch_terms(self.settings))  # fmt: skip
        retention_clock = RetentionClock(parts.store, parts.clock, settings.node, lambda: banks_agree(
            lane.clock_trust for lane in self.lanes.values()))  # fmt: skip
        self.reports = ScheduledReports(
            parts.store, parts.clock, settings.node, settings.reports.folder or settings.state_dir / "reports",
            settings.zone, scheduled_of(settings.reports), lambda: self.registry, parts.certificates,
        )  # fmt: skip
        self.retention = Retention(parts.store, parts.clock, retention_clock, meters, periods_of(settings),
                                   parts.audit_purge)  # fmt: skip
        self.pools = PoolService(PoolParts(
            parts.store, parts.clock, meters, lambda: self.registry, self.ask, ZoneInfo(settings.zone),
            self._no_run_now, self._admitted,
        ))  # fmt: skip
        meters.build.info({"version": VERSION, "mode": settings.mode, "node": settings.node})
        for bank_name in settings.banks:
            plain = sum(lane.tls is None for lane in settings.banks[bank_name].lanes.values())
            meters.plaintext_lanes.labels(bank_name).set(plain)

    def _lane(self, name: str, bank_name: str, table: conf.LaneSettings) -> Lane:
        parts, bank = self.parts, self.parts.banks[bank_name]
        return Lane(
            LaneParts(
                name=name, bank_name=bank_name, bank=bank, node=self.settings.node, store=parts.store,
                dialer=parts.dialers[name], signers=parts.signers[name], credentials=parts.credentials[name],
                clock=parts.clock, entropy=parts.entropy, meters=parts.meters,
                window=table.window or bank.sessions.window,
                login=self._logins[name], poll_ms=poll_ms(self.settings), on_stop=self.emergency.apply,
                rules=lambda kind: self.registry.bank_rules(bank_name, kind), ring=parts.rings.get(name),
                approval_context=lambda tx, row: held_orders.context_of(tx, row, self.registry),
            ),
            self._halted,
        )  # fmt: skip

    async def start(self) -> None:
        """Open the journal, look for amnesia, start the lanes, then open the door to the ERP."""
        parts = self.parts
        parts.store.listen(self._committed)
        # Before any lane may send.
        self.emergency.apply(await parts.store.read(stops.last))
        # Before anything is written: the permit log may lack the journal's last group, and no more.
        self.past = await parts.past()
        await self.retention.begin()
        users = self.known().users
        await parts.store.write(lambda tx: renames.note_users(tx, users))
        held = [name for name in self.lanes if self.past.holds(name)]
        if held:
            _log.error("journal.from_the_past", permits=self.past.forgotten, lanes=held,
                       action="nothing is sent; enquiries go on; see docs/do/restore.md")  # fmt: skip
        for name in held:
            self.lanes[name].pause(FROM_THE_PAST)
        if poll_ms(self.settings):
            # Before any lane may speak, here or on another node that hears of it.
            node = self.settings.node
            noticed = await parts.store.read(lambda conn: restored_database.has_noticed(conn, node))
            if held or noticed:
                await parts.store.write(lambda tx: restored_database.notice(tx, self.past))
            self._past_elsewhere(await parts.store.read(lambda conn: restored_database.elsewhere(conn, node)))
        else:
            await claim_all(parts.store, self.settings.node)
        for lane in self.lanes.values():
            await lane.start()
        await self.questions.start()
        for queue in (MONEY_QUEUE, QUERY_QUEUE, UNROUTED_COMMANDS_QUEUE):
            parts.amqp.consume(queue, self.settings.broker.prefetch, self.intake.deliver)
        parts.amqp.consume(LEDGER_QUEUE, self.settings.broker.ledger_prefetch, self.intake.deliver)
        parts.amqp.start(self._broker_up, self._broker_down, self._broker_blocked)

        if poll_ms(self.settings):
            self.peer_nodes.start()
        self.account_watch.watch(self._watched())
        self.retention.start()
        self.receipt_fetching.start(self.lanes)
        self.match_news.start()
        self.reports.start()
        self.pools.start()
        if parts.checkpoints is not None:
            parts.checkpoints.start()

    async def stop(self) -> None:
        """No intake, lanes drained, outbox emptied, journal closed; bounded by `drain_s`."""
        if self.stopping:
            return
        self.stopping = True
        drain_s = self.settings.drain_s
        self.parts.amqp.pause()
        leaving = DeferredList([Deferred.fromCoroutine(lane.stop(drain_s * 0.6)) for lane in self.lanes.values()])
        over = sleep(self.parts.clock, drain_s * 0.8)
        # A lane whose row a stranger has locked is not waited for: its lease runs out by itself.
        either: list[Deferred[Any]] = [leaving, over]
        await DeferredList(either, fireOnOneCallback=True)
        for part in (self.questions, self.account_watch, self.receipt_fetching, self.match_news, self.peer_nodes,
                     self.retention, self.reports, self.pools):
            part.stop()
        if self.parts.checkpoints is not None:
            await self.parts.checkpoints.stop()
        draining = self.outbox.drain()
        over.addBoth(lambda _: draining.cancel())
        await DeferredList([draining], consumeErrors=True)
        over.cancel()
        await self.parts.amqp.close(drain_s * 0.2)
        await self.parts.store.close()

    def drain(self, on: bool) -> None:
        """Take nothing in any more, or again; what was accepted goes on its way."""
        self.draining = on
        if on:
            self.parts.amqp.pause()
        elif not self.parts.amqp.blocked:
            self.parts.amqp.resume()

    async def reload(self, settings: conf.Settings) -> None:
        """Use the new senders, accounts and certificates from now on; the caller has checked that nothing else differs.
        Raises OSError for a secret that cannot be read, ValueError for a certificate and, in production, UserMoved;
        then nothing is changed."""
        fresh = registry.build(settings, self.parts.banks)
        use_certificates = self.parts.read_certificates(settings)
        known = unknown_to_settings.known_of(settings, self.parts.banks)
        moved = await self.parts.store.read(lambda conn: unknown_to_settings.moved_users(conn, known))
        if moved and settings.mode == "production":
            raise UserMoved("; ".join(one.sentence for one in moved))
        await self.parts.store.write(lambda tx: renames.note_users(tx, known.users))
        await self.parts.store.write(
            lambda tx: audit.append(tx, "signal:SIGHUP", "settings.reloaded", f"node:{settings.node}",
                                    {"senders": sorted(settings.senders), "accounts": len(settings.accounts)})
        )  # fmt: skip
        self.settings = settings
        use_certificates()
        self.registry = self.intake.registry = self.questions.context.registry = fresh
        self.pools.start()
        self.account_watch.watch(self._watched())

    @property
    def safe_mode(self) -> bool:
        """Whether a lane waits because the database came back from the past."""
        return any(FROM_THE_PAST in lane.paused for lane in self.lanes.values())

    def known(self) -> unknown_to_settings.KnownToSettings:
        """What the settings in force know, for the comparison with what the journal has open."""
        return unknown_to_settings.known_of(self.settings, self.parts.banks)

    def let_go(self, lane: str) -> None:
        """Two persons let this lane send, whatever the database forgot: that stands in the journal already."""
        self.past = replace(self.past, cleared=self.past.cleared | {lane})
        if not poll_ms(self.settings):
            self.lanes[lane].resume(FROM_THE_PAST)
        # Where there are other nodes, one of them may have noticed something else: the next look at them says so.

    def _past_elsewhere(self, nodes: Mapping[str, frozenset[str]]) -> None:
        """Wait as long as another node waits: what it sent and the database forgot may be this lane's by now."""
        for name, lane in self.lanes.items():
            waits = self.past.holds(name) or any(name not in cleared for cleared in nodes.values())
            if waits and FROM_THE_PAST not in lane.paused:
                _log.error("journal.from_the_past", noticed_by=sorted(nodes), lane=name,
                           action="nothing is sent; enquiries go on; see docs/do/restore.md")  # fmt: skip
                lane.pause(FROM_THE_PAST)
            elif not waits:
                lane.resume(FROM_THE_PAST)

    def _pauses_said(self, said: Mapping[str, PauseState]) -> None:
        """An operator's word may have been given at another node."""
        for name, word in said.items():
            self.lanes[name].apply_pause(word)

    def _is_elsewhere(self, lane: str) -> bool:
        return lane not in self.lanes or self.lanes[lane].elsewhere

    def _no_run_now(self) -> str:
        """Why no cash pool may run now; "" if one may."""
        if self.emergency.word.stopped:
            return "stopped"
        return "draining" if self.draining or self.stopping else ""

    def _owns(self, lane: str) -> bool:
        return lane in self.lanes and self.lanes[lane].ready

    def _watched(self) -> tuple[Watched, ...]:
        known = self.registry
        routes = (known.routes[account] for account in sorted(known.watched))
        return tuple(
            Watched(route.account, route.bank, route.lane, route.currency, known.hearers(route.account))
            for route in routes
        )

    def ask(
        self, lane: str, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float
    ) -> Deferred[R]:
        """Put a question through a lane: see asking.Asker."""
        found = self.lanes.get(lane)
        if found is None:
            failed: Deferred[R] = Deferred()
            failed.errback(Unavailable("no_such_lane", lane))
            return failed
        return found.ask(operation, conversation, max_wait_s)

    # ---- what happens ----

    def _committed(self, commit: HandOver) -> None:
        """Hand over what a commit of this node left: messages to the outbox, the rest to the lanes it belongs to."""
        self.outbox.take(commit.messages)
        for name, share in commit.by_lane().items():
            if name in self.lanes:
                self.lanes[name].on_commit(share)

    def _admitted(self, row: PaymentRow) -> None:
        # The one line that ties the ERP's ids to the payment's key, by which every later line names it.
        _log.info("payment.admitted", payment=row.payment, order=row.order.id, sender=row.sender, bank=row.bank,
                  correlation_id=row.reply.correlation_id, state=row.life.state.value)  # fmt: skip

    def _halted(self, lane: str, reason: str) -> None:
        _log.error("gateway.lane_halted", lane=lane, reason=reason,
                   action="other lanes go on; restart after the cause is mended")  # fmt: skip

    def _broker_up(self) -> None:
        self.parts.meters.broker_up.set(1)
        self.broker_trouble = ""
        _log.info("broker.up")
        self.outbox.up()

    def _broker_down(self, down: Down) -> None:
        self.parts.meters.broker_up.set(0)
        self.broker_trouble = down.reason
        self.intake.broker_lost()
        if isinstance(down.error, UnsafeTopology):
            self._on_fatal(f"the broker's topology is unsafe: {down.error}")
            return
        if not self.stopping:
            _log.warning("broker.down", reason=down.reason, action="reconnecting with back-off")

    def _broker_blocked(self, blocked: bool) -> None:
        """Results could not be reported: take nothing in and send nothing; what is in doubt is still asked about."""
        self.parts.meters.broker_blocked.set(int(blocked))
        _log.warning("broker.blocked" if blocked else "broker.unblocked")
        if blocked:
            self.parts.amqp.pause()
            for lane in self.lanes.values():
                lane.pause(BROKER_BLOCKED)
        else:
            for lane in self.lanes.values():
                lane.resume(BROKER_BLOCKED)
            if not (self.draining or self.stopping):
                self.parts.amqp.resume()
            self.outbox.unblocked()


class Daemon:
    """A gateway with its pages and its control socket: these come up first and go down last."""

    def __init__(self, reactor: Any, settings: conf.Settings, parts: Parts, on_fatal: OnFatal,
                 peer: Peer = peer_of) -> None:  # fmt: skip
        self.gateway = gateway = Gateway(settings, parts, on_fatal)
        sights = Sights(parts.store, parts.amqp, gateway.lanes, parts.meters, lambda: gateway.draining,
                        parts.canary_age_s, parts.certificates, parts.tried_s, parts.trouble,
                        lambda: gateway.emergency.word, gateway.known, settings.state_dir,
                        lambda: gateway.broker_trouble, lambda: gateway.retention.overdue,
                        lambda: self.push_listeners.not_listening())  # fmt: skip
        self.watch = Watch(reactor, sights, parts.clock, Notify(os.environ), ThreadExecutor(reactor, "metrics", 2))
        ProcessCollector(registry=parts.meters.registry)
        handle = _daemon_handle(gateway, self.watch)
        self.control = ControlServer(reactor, verbs(handle), settings.environment_name(), peer=peer)
        self.web = WebServer(reactor, settings, handle)
        self.push_listeners = push_listeners(reactor, settings, parts.banks, parts.store, parts.clock,
                                             parts.meters, gateway.account_watch.look_soon)  # fmt: skip

    async def start(self) -> None:
        """Pages, control socket, the gateway, then the doors for banks that call us."""
        gateway, settings = self.gateway, self.gateway.settings
        self.watch.start(settings.watch.host, settings.watch.port, settings.state_dir / "watch.port")
        self.control.open(settings.control_socket(), group=settings.control.group_may_open)
        self.web.open()
        await gateway.start()
        self.push_listeners.open()

    async def reload(self, settings: conf.Settings) -> None:
        """Use other senders, accounts and certificates, also where banks call us: see Gateway.reload."""
        use_pushes = self.push_listeners.read(settings)
        await self.gateway.reload(settings)
        use_pushes()

    async def stop(self) -> None:
        """No intake, lanes drained, outbox emptied, journal closed; then control socket and pages."""
        self.watch.leaving()
        await self.push_listeners.close()
        await self.gateway.stop()
        await self.control.close()
        await self.web.close()
        await self.watch.stop()


def _daemon_handle(gateway: Gateway, watch: Watch) -> DaemonHandle:
    settings, parts = gateway.settings, gateway.parts
    return DaemonHandle(
        identity={"version": VERSION, "mode": settings.mode, "node": settings.node,
                  "shard": settings.shard, "environment": settings.environment_name()},
        started_ms=parts.clock.now_ms(), store=GuardedStore(parts.store, parts.clock, lambda: watch.lost_ms),
        amqp=parts.amqp, lanes=gateway.lanes, clock=parts.clock,
        ready=lambda: watch.ready().words(), safe_mode=lambda: gateway.safe_mode,
        draining=lambda: gateway.draining, drain=gateway.drain, republish=gateway.outbox.up,
        canary_age_s=parts.canary_age_s, certificates=parts.certificates, past=lambda: gateway.past,
        let_go=gateway.let_go, proposal_valid_ms=int(settings.control.proposal_valid_s * 1000),
        register=lambda: gateway.registry, ask=gateway.ask, lost_ms=lambda: watch.lost_ms,
        since_ms=watch.conditions.since_ms, capacity=watch.capacity_words,
        stop=lambda: gateway.emergency.word, stop_all=gateway.emergency.stop_all, stop_said=gateway.emergency.apply,
        pools=gateway.pools,
        line_checks={name: dialer.checks(parts.clock) for name, dialer in parts.dialers.items()
                     if isinstance(dialer, LaneDialer)},
        session_limits=SessionLimits(int(settings.control.session_idle_s * 1000),
                                     int(settings.control.session_most_s * 1000)),
    )  # fmt: skip


def daemon(reactor: Any, settings: conf.Settings, on_fatal: OnFatal) -> Daemon:
    """The whole of `bankgw run` over the real parts. Nothing runs until `start`. Raises what `system_parts` raises."""
    return Daemon(reactor, settings, system_parts(reactor, settings, on_fatal), on_fatal)


def build(settings: conf.Settings, parts: Parts, on_fatal: OnFatal) -> Gateway:
    """Put a gateway together. Nothing runs until `start`."""
    return Gateway(settings, parts, on_fatal)
