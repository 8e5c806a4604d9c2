"""The composition root: builds a gateway from settings and replaceable parts.

    parts = system_parts(reactor, settings, on_fatal)      # or a simulation's own
    gateway = build(settings, parts, on_fatal)
    await gateway.start()

`gateway/daemon.py` adds the pages and the control socket; `bankgw run` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from gateway import gate_lists
from gateway import settings as conf
from gateway.approvals.rows import maker_sums
from gateway.bank.account_watch import AccountWatch, WatchedAccount, WatchParts
from gateway.bank.clock_trust import banks_agree
from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.emergency_stop import EmergencyStop
from gateway.bank.lane import Lane, why_not_here
from gateway.bank.lane_parts import LaneParts
from gateway.bank.outside_keys import KeyWatch
from gateway.erp.erp_connection import DRAINING, STOPPING, ErpConnection
from gateway.erp.intake import Intake
from gateway.erp.outbox import Outbox
from gateway.erp.question_service import QuestionService
from gateway.erp.topology import UNROUTED_COMMANDS_QUEUE
from gateway.kernel import log
from gateway.kernel.asking import R, Unavailable
from gateway.kernel.cluster import lane_pauses, renames, restored_database, sealing, stops, unknown_to_settings
from gateway.kernel.cluster.lane_pauses import COMPANY, FROM_THE_PAST, PauseState
from gateway.kernel.cluster.other_nodes import OtherNodes
from gateway.kernel.cluster.peer_nodes import PeerNodes, claim_all
from gateway.kernel.commit import audit
from gateway.kernel.commit.hand_over import HandOver
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.deliveries import LEDGER_QUEUE, MONEY_QUEUE, QUERY_QUEUE
from gateway.kernel.retention_clock import RetentionClock
from gateway.kernel.tasks import Tasks, sleep
from gateway.parts import OnFatal, Parts, logins
from gateway.payments.jobs import Retention, periods_of
from gateway.payments.rows import limits
from gateway.pools.jobs import PoolParts, PoolService
from gateway.receipts.jobs import ReceiptFetching, fetch_terms
from gateway.reconciliation.jobs import MatchNews
from gateway.register import registry
from gateway.reports.erp_treasury import ErpTreasury
from gateway.reports.jobs import ScheduledReports, scheduled_of
from gateway.settings.journal_access import poll_ms
from gateway.statements.erp.question_context import QuestionContext
from gateway.version import VERSION
from gateway.wiring import SEALINGS
from protocols.bank import Context, Conversation

BROKER_BLOCKED = "broker_blocked"
_log = log.get("app")


class UserMoved(Exception):  # noqa: N818 - an answer, not a fault
    """A broker user now belongs to another sender: a message that is delivered again would be paid again."""


class CompanyMoved(Exception):  # noqa: N818 - an answer, not a fault
    """Other settings would take accounts away from a paused company: their payments would leave."""


class Gateway:
    """The running gateway. `start` starts it, `stop` ends it in order; both may be awaited once."""

    def __init__(self, settings: conf.Settings, parts: Parts, on_fatal: OnFatal) -> None:
        self.settings = settings
        self.parts = parts
        self.registry = registry.build(settings, parts.banks)
        self.companies = CompanyPauses(lambda: self.registry.routes, parts.meters)
        self.emergency = EmergencyStop(parts.store, parts.meters)
        meters, self._logins = parts.meters, logins(settings, parts)
        self.lanes = {name: self._lane(name, bank, lane) for name, (bank, lane) in conf.lanes_of(settings).items()}
        self.safe_mode = parts.safe_mode
        self.sealing = sealing.JournalSealing(parts.store, SEALINGS)
        self.emergency.attach(lane.gate for lane in self.lanes.values())
        meters.known(
            settings.banks,
            ((bank, name) for name, (bank, _lane) in conf.lanes_of(settings).items()),
            {(account.bank, account.currency) for account in settings.accounts},
        )
        self._join_erp(on_fatal)
        self._plan_jobs()
        meters.build.info({"version": VERSION, "mode": settings.mode, "node": settings.node})
        for bank_name in settings.banks:
            plain = sum(lane.tls is None for lane in settings.banks[bank_name].lanes.values())
            meters.plaintext_lanes.labels(bank_name).set(plain)

    def _join_erp(self, on_fatal: OnFatal) -> None:
        """Builds the ERP side: outbox, questions, intake and connection, and the nodes that share the virtual host."""
        settings, parts, meters = self.settings, self.parts, self.parts.meters
        self.outbox = Outbox(
            parts.amqp, parts.store, settings.node, settings.broker.user, f"bankgw/{VERSION}", parts.clock, meters
        )
        self.other_nodes: OtherNodes | None = None
        if parts.permit_log is not None:
            self.other_nodes = OtherNodes(
                parts.store,
                parts.entropy,
                settings.node,
                parts.permit_log,
                self.safe_mode,
                self._apply_safe_mode,
                parts.clock.now_ms,
            )
        self.peer_nodes = PeerNodes(
            parts.store,
            parts.clock,
            settings.node,
            tuple(self.lanes),
            self.outbox.up,
            self._past_elsewhere,
            self._pauses_said,
            meters,
            lambda: parts.amqp.up,
            self.emergency.apply,
            self.other_nodes,
        )
        treasury = ErpTreasury(parts.store, parts.clock, lambda: self.registry)
        asking = QuestionContext(parts.store, self.registry, parts.clock, parts.cursor_key, self.ask, self.ahead_days)
        self.questions = QuestionService(asking, treasury, self._is_elsewhere, poll_ms(settings))
        self.intake = Intake(
            parts.amqp,
            parts.store,
            self.registry,
            parts.clock,
            parts.entropy,
            meters,
            settings.zone,
            self._admitted,
            self.questions.start_answer,
            treasury,
            settings.broker.prefetch,
        )
        self.erp = ErpConnection(
            parts.amqp,
            parts.store,
            parts.clock,
            meters,
            self.outbox,
            self.intake,
            vhost=settings.broker.vhost,
            host=parts.host,
            shared=bool(poll_ms(settings)),
            on_blocked=self._broker_blocked,
            on_fatal=on_fatal,
            judge=self.other_nodes,
        )

    def _plan_jobs(self) -> None:
        """The jobs that the daemon does by itself, beside the lanes."""
        settings, parts, meters = self.settings, self.parts, self.parts.meters
        self.account_watch = AccountWatch(
            WatchParts(
                parts.store,
                parts.clock,
                meters,
                dict(parts.banks),
                self.ask,
                self._owns,
                lambda lane: self.lanes[lane].epoch,
                lambda lane: self.lanes[lane].clock_trust.doubt is None,
                lambda lane: self.lanes[lane].host_date,
                self.questions.cache_balance,
            ),
            settings.node,
        )
        self.match_news = MatchNews(parts.store, parts.clock, lambda: self.registry)
        self.receipt_fetching = ReceiptFetching(
            parts.store, parts.clock, lambda: self.registry, self.ask, self._owns, lambda: fetch_terms(self.settings)
        )
        retention_clock = RetentionClock(
            parts.store,
            parts.clock,
            settings.node,
            lambda: banks_agree(lane.clock_trust for lane in self.lanes.values()),
        )
        self.reports = ScheduledReports(
            parts.store,
            parts.clock,
            settings.node,
            settings.reports.folder or settings.state_dir / "reports",
            settings.zone,
            scheduled_of(settings.reports),
            lambda: self.registry,
            parts.certificates,
        )
        self.retention = Retention(
            parts.store, parts.clock, retention_clock, meters, periods_of(settings), parts.audit_purge
        )
        keys = Tasks(self._key_watch_failed)
        self.key_watch = KeyWatch(parts.signers, parts.clock, parts.entropy, keys)
        self.pools = PoolService(
            PoolParts(
                parts.store,
                parts.clock,
                meters,
                lambda: self.registry,
                self.ask,
                ZoneInfo(settings.zone),
                self._no_run_now,
                self._admitted,
                lambda lane: why_not_here(self.lanes.get(lane)),
            )
        )

    def _lane(self, name: str, bank_name: str, table: conf.LaneSettings) -> Lane:
        parts, bank = self.parts, self.parts.banks[bank_name]
        made = LaneParts(
            name=name,
            bank_name=bank_name,
            bank=bank,
            node=self.settings.node,
            store=parts.store,
            clock=parts.clock,
            dialer=parts.dialers[name],
            signers=parts.signers[name],
            credentials=parts.credentials[name],
            entropy=parts.entropy,
            meters=parts.meters,
            window=table.window or bank.sessions.window,
            login=self._logins[name],
            poll_ms=poll_ms(self.settings),
            on_stop=self.emergency.apply,
            rules=lambda kind: self.registry.bank_rules(bank_name, kind),
            ring=parts.rings.get(name),
            on_taken=self._look_at_others,
            repeating=gate_lists.REPEATING,
            sending=gate_lists.sending(lambda: self.registry, ZoneInfo(self.settings.zone), self.companies),
            companies=self.companies,
        )
        return Lane(made, self._halted)

    def _key_watch_failed(self, failure: Failure) -> None:
        _log.error(
            "key_watch.defect",
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: a key that is gone is not tried again before a reload; report this error",
        )

    async def start(self) -> None:
        """Open the journal, compare it with the permit log, start the lanes, and then begin to take in commands."""
        parts = self.parts
        parts.store.listen(self._committed)
        # This comes before any lane may send.
        stop, said = await parts.store.read(lambda conn: (stops.last(conn), lane_pauses.said_with_companies(conn, ())))
        self.emergency.apply(stop)
        self.companies.apply(lane_pauses.company_states(said))
        for company in self.companies.unknown:
            _log.error(
                "company.paused_unknown",
                company=company,
                action="no account of the settings has this paused company; if it was renamed, pause the new name: "
                "bankgw companies pause",
            )
        # This comes before anything is written: the permit log may lack the journal's last group, and no more.
        self.safe_mode.past = past = await parts.past()
        self.safe_mode.unread = past.is_new_node
        await self.retention.begin()
        users = self.known().users
        await parts.store.write(lambda tx: renames.note_users(tx, users))
        await parts.store.write(self._recount)
        held = [name for name in self.lanes if past.holds(name)]
        if held:
            _log.error(
                "journal.from_the_past",
                permits=past.forgotten,
                lanes=held,
                action="these lanes are in SAFE MODE: nothing is sent; enquiries continue; see docs/do/restore.md",
            )
        self._apply_safe_mode()
        # This comes before any lane may send, here or on another node that reads it.
        node = self.settings.node
        if bool(past.episode) or await parts.store.read(lambda conn: restored_database.has_noticed(conn, node)):
            await parts.store.write(lambda tx: restored_database.notice(tx, past))
        if poll_ms(self.settings):
            if self.other_nodes is not None:
                await self.other_nodes.begin()
            self._past_elsewhere(await parts.store.read(lambda conn: restored_database.elsewhere(conn, node)))
        else:
            await claim_all(parts.store, self.settings.node)
        self.key_watch.start()
        for lane in self.lanes.values():
            await lane.start()
        await self.questions.start()
        queues = (MONEY_QUEUE, QUERY_QUEUE, UNROUTED_COMMANDS_QUEUE)
        await self.erp.start(
            {**dict.fromkeys(queues, self.settings.broker.prefetch), LEDGER_QUEUE: self.settings.broker.ledger_prefetch}
        )
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
        if parts.vault_rotation is not None:
            parts.vault_rotation.start()

    def _recount(self, tx: Tx) -> None:
        """Raise the day's sums that SQL lowered."""
        zone = ZoneInfo(self.settings.zone)
        limits.recount(tx, zone)
        maker_sums.recount(tx, zone)

    async def stop(self) -> None:
        """Stop within `drain_s` seconds: stop intake, drain the lanes, empty the outbox, close the journal."""
        if self.stopping:
            return
        self.erp.take_in(STOPPING, on=False)
        drain_s = self.settings.drain_s
        leaving = DeferredList([Deferred.fromCoroutine(lane.stop(drain_s * 0.6)) for lane in self.lanes.values()])
        over = sleep(self.parts.clock, drain_s * 0.8)
        # A lane whose row another session has locked is not waited for: its lease runs out by itself.
        either: list[Deferred[Any]] = [leaving, over]
        await DeferredList(either, fireOnOneCallback=True)
        for part in (
            self.questions,
            self.account_watch,
            self.receipt_fetching,
            self.match_news,
            self.peer_nodes,
            self.retention,
            self.reports,
            self.pools,
            self.sealing,
            self.key_watch,
        ):
            part.stop()
        if self.parts.vault_rotation is not None:
            self.parts.vault_rotation.stop()
        if self.parts.checkpoints is not None:
            await self.parts.checkpoints.stop()
        draining = self.outbox.drain()
        over.addBoth(lambda _: draining.cancel())
        await DeferredList([draining], consumeErrors=True)
        over.cancel()
        await self.erp.mark.leave()
        await self.parts.amqp.close(drain_s * 0.2)
        await self.parts.store.close()
        self.parts.stop_keys()

    @property
    def draining(self) -> bool:
        """True if an operator has stopped intake."""
        return self.erp.draining

    @property
    def stopping(self) -> bool:
        """True if the daemon is stopping."""
        return self.erp.stopping

    def drain(self, on: bool) -> None:
        """Stop intake, or start it again. Accepted orders are still sent."""
        self.erp.take_in(DRAINING, on=not on)

    async def reload(self, settings: conf.Settings) -> None:
        """Use the new senders, accounts and certificates from now on. The caller has checked that nothing else differs.

        Raises OSError for a secret that cannot be read, ValueError for a certificate, CompanyMoved and, in production,
        UserMoved; then nothing is changed.
        """
        fresh = registry.build(settings, self.parts.banks)
        if why := self.companies.why_not_moved(fresh.routes):
            raise CompanyMoved(why)
        use_certificates = self.parts.read_certificates(settings)
        known = unknown_to_settings.known_of(settings, self.parts.banks)
        moved = await self.parts.store.read(lambda conn: unknown_to_settings.moved_users(conn, known))
        if moved and settings.mode == "production":
            raise UserMoved("; ".join(one.sentence for one in moved))
        await self.parts.store.write(lambda tx: renames.note_users(tx, known.users))
        await self.parts.store.write(
            lambda tx: audit.append(
                tx,
                "signal:SIGHUP",
                "settings.reloaded",
                f"node:{settings.node}",
                {"senders": sorted(settings.senders), "accounts": len(settings.accounts)},
            )
        )
        self.settings = settings
        use_certificates()
        self.key_watch.start()
        self.registry = self.intake.registry = self.questions.context.registry = fresh
        self.pools.start()
        self.account_watch.watch(self._watched())

    def known(self) -> unknown_to_settings.KnownToSettings:
        """The names in the present settings, for the comparison with the journal's open payments."""
        return unknown_to_settings.known_of(self.settings, self.parts.banks)

    def let_go(self, lane: str) -> None:
        """Let this lane send in spite of the restored database: the journal has the decision of two persons already."""
        self.safe_mode.let_go(lane)
        self._apply_safe_mode()

    def _past_elsewhere(self, nodes: Mapping[str, frozenset[str]]) -> None:
        """Keep the lanes waiting as long as another node waits: a lane may have moved to this node, and the restored
        database may lack sends of it."""
        self.safe_mode.heard(nodes)
        self._apply_safe_mode()

    def _apply_safe_mode(self) -> None:
        self.sealing.begin_if_due(
            self.safe_mode.past, waits=any(self.safe_mode.past.holds(name) for name in self.lanes)
        )
        for name, lane in self.lanes.items():
            why = self.safe_mode.holds(name)
            if why and FROM_THE_PAST not in lane.paused:
                if not self.safe_mode.past.holds(name):
                    _log.error(
                        "journal.from_the_past",
                        noticed_by=self.safe_mode.noticed_by,
                        lane=name,
                        action="this lane is in SAFE MODE: nothing is sent; enquiries continue; see docs/do/restore.md",
                    )
                lane.pause(FROM_THE_PAST)
            elif not why:
                lane.resume(FROM_THE_PAST)

    async def _look_at_others(self) -> None:
        if self.other_nodes is not None:
            await self.other_nodes.compare()

    def _pauses_said(self, said: Mapping[str, PauseState]) -> None:
        """Apply pauses of lanes and companies, which may have been made at another node."""
        self.companies.apply(lane_pauses.company_states(said))
        for name, word in said.items():
            if not name.startswith(COMPANY):
                self.lanes[name].apply_pause(word)

    def _is_elsewhere(self, lane: str) -> bool:
        return lane not in self.lanes or self.lanes[lane].elsewhere

    def _no_run_now(self) -> str:
        """Why no cash pool and no linked payment may continue now; "" if they may."""
        if self.emergency.word.stopped:
            return "stopped"
        if self.safe_mode.reason:
            return self.safe_mode.reason
        return "draining" if self.draining or self.stopping else ""

    def ahead_days(self, lane: str) -> int:
        """The days by which the date of a lane's bank is ahead of the calendar, as the bank's answers state it."""
        return self.lanes[lane].host_date.days.ahead if lane in self.lanes else 0

    def _owns(self, lane: str) -> bool:
        return lane in self.lanes and self.lanes[lane].ready

    def _watched(self) -> tuple[WatchedAccount, ...]:
        known = self.registry
        routes = (known.routes[account] for account in sorted(known.watched))
        return tuple(
            WatchedAccount(route.account, route.bank, route.lane, route.currency, known.hearers(route.account))
            for route in routes
        )

    def ask(
        self, lane: str, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float
    ) -> Deferred[R]:
        """Put a question through a lane: see asking.AskBank."""
        found = self.lanes.get(lane)
        if found is None:
            failed: Deferred[R] = Deferred()
            failed.errback(Unavailable("no_such_lane", lane))
            return failed
        return found.ask(operation, conversation, max_wait_s)

    # ---- after commits ----

    def _committed(self, commit: HandOver) -> None:
        """Hand over the results of a commit of this node: messages to the outbox, the rest to its lanes."""
        self.outbox.publish_rows(commit.messages)
        for name, share in commit.by_lane().items():
            if name in self.lanes:
                self.lanes[name].on_commit(share)

    def _admitted(self, row: PaymentRow) -> None:
        # Only this log line has both the ERP's ids and the payment's key, by which all later lines name it.
        _log.info(
            "payment.admitted",
            payment=row.payment,
            order=row.order.id,
            sender=row.sender,
            bank=row.bank,
            correlation_id=row.reply.correlation_id,
            state=row.life.state.value,
        )

    def _halted(self, lane: str, reason: str) -> None:
        _log.error(
            "gateway.lane_halted",
            lane=lane,
            reason=reason,
            action="this lane sends and asks nothing; other lanes continue; mend the cause, then restart the daemon",
        )

    def _broker_blocked(self, blocked: bool) -> None:
        for lane in self.lanes.values():
            if blocked:
                lane.pause(BROKER_BLOCKED)
            else:
                lane.resume(BROKER_BLOCKED)


def build(settings: conf.Settings, parts: Parts, on_fatal: OnFatal) -> Gateway:
    """Build a gateway. Nothing runs until `start`."""
    return Gateway(settings, parts, on_fatal)
