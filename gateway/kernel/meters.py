"""Every metric of the daemon, declared once. Labels come from closed sets; an id, name or amount is never a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from protocols.canon.errors import Code
from protocols.canon.outcome import State

BANK_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OUTCOMES = ("ok", "in_doubt", "refused", "unlisted_code", "silent", "not_sent", "bad_answer", "rate_limited")
STAGES = ("journal", "send", "answer", "news")
SESSION_STATES = ("down", "paused", "connecting", "signing_on", "ready", "busy", "lost", "backing_off")
ALARMS = (
    "contradiction",
    "answers_disagree",
    "escalated",
    "impossible",
    "stale_epoch",
    "repeats_used_up",
    "clock_set",
    "clock_was_ahead",
    "clock_differs",
    "booked_twice",
    "stopped",
    "unknown_to_settings",
    "unknown_writer",
    "certificate_ends",
    "permitted_before",
    "pool_slot_unmoved",
    "row_altered",
)
NOT_READY = (
    "stopped",
    "stopping",
    "draining",
    "journal",
    "broker",
    "broker_blocked",
    "broker_refuses",
    "mark",
    "disk",
    "no_lane",
)
TROUBLES = (
    "stopped",
    "safe_mode",
    "journal",
    "broker",
    "broker_blocked",
    "broker_refuses",
    "mark",
    "heartbeat",
    "broker_queue",
    "lane",
    "key",
    "bank_hangs",
    "row_altered",
    "clock",
    "disk",
    "disk_filling",
    "permit_log_unwritable",
    "permit_log",
    "certificate",
    "credential",
    "retention",
    "backup_old",
    "backup_failed",
    "drill",
    "pushes",
    "settings",
    "start_failed",
)
PUSH_RESULTS = ("kept", "repeated", "unread", "refused", "bad_frame", "too_many", "too_fast", "handshake", "not_kept")
LANE_STATES = ("ready", "down", "waiting", "standing_by", "paused", "halted")
POOL_RUNS = ("done", "not_run", "unmoved")
POOL_MOVES = ("ordered", "refused")
UNKNOWN = ("lane", "bank", "account", "kind", "sender")


def _without_created_series() -> None:
    """Leave out the `_created` series of each counter. They double the page and say no more than the process's start
    time.
    """
    switch_off: Callable[[], None] = disable_created_metrics
    switch_off()


class Meters:
    """The metrics, as attributes. One object per process; series with known labels exist from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        _without_created_series()
        self.registry = registry
        self._declare_process()
        self._declare_state()
        self._declare_orders()
        self._declare_banks()
        self._declare_findings()
        self._declare_broker()
        for metric in vars(self).values():
            if isinstance(metric, MetricWrapperBase) and metric._labelnames:
                # A series is looked up a dozen times a payment, and prometheus_client's own look-up takes a lock and
                # makes a tuple of texts. No series is ever removed, so a remembered one stays the right one.
                metric.__dict__["labels"] = cache(metric.labels)

    def _declare_process(self) -> None:
        in_ = self.registry
        self.build = Info("bankgw_build", "Version, mode and node of this daemon.", registry=in_)
        self.start_time = Gauge(
            "bankgw_start_timestamp_seconds", "When this daemon started, seconds since 1970.", registry=in_
        )
        self.reactor_delay = Gauge(
            "bankgw_reactor_delay_seconds", "How late the last one-second timer ran.", registry=in_
        )
        self.alarms = Counter("bankgw_alarms_total", "Events that need an operator.", ("alarm",), registry=in_)
        self.journal_seconds = Histogram(
            "bankgw_journal_commit_duration_seconds", "Time of one group commit.", buckets=STAGE_SECONDS, registry=in_
        )
        self.journal_written = Gauge(
            "bankgw_journal_last_write_timestamp_seconds", "When a journal unit was last committed.", registry=in_
        )
        self.journal_units = Counter("bankgw_journal_units_total", "Journal units committed.", registry=in_)
        self.journal_up = Gauge(
            "bankgw_journal_up",
            "0 while the journal's database has not committed anything for 3 s or more.",
            registry=in_,
        )
        self.stopped = Gauge(
            "bankgw_stopped",
            "1 while an emergency stop is in force: no node sends anything that moves money.",
            registry=in_,
        )
        self.unknown = Gauge(
            "bankgw_payments_unknown_to_settings",
            "Open payments whose lane, bank, account, kind or sender the settings do not have.",
            ("what",),
            registry=in_,
        )
        self.journal_failures = Counter(
            "bankgw_journal_failures_total",
            "Journal units that failed (`unit`), and losses of the database (`unreachable`).",
            ("kind",),
            registry=in_,
        )

    def _declare_state(self) -> None:
        in_ = self.registry
        self.ready = Gauge(
            "bankgw_ready", "1 while commands are taken in and at least one bank can be reached.", registry=in_
        )
        self.not_ready = Gauge(
            "bankgw_not_ready", "1 for each reason why the daemon is not ready now.", ("reason",), registry=in_
        )
        self.troubles = Gauge(
            "bankgw_troubles",
            "How many lanes, banks or parts are in each kind of trouble that `bankgw status` names.",
            ("trouble",),
            registry=in_,
        )
        self.lane_since = Gauge(
            "bankgw_lane_state_since_timestamp_seconds",
            "Since when a lane is in the state that it is in.",
            ("bank", "lane"),
            registry=in_,
        )
        self.lane_next_try = Gauge(
            "bankgw_lane_next_try_timestamp_seconds",
            "When a lane that is down connects or signs on again; 0 while it is not down.",
            ("bank", "lane"),
            registry=in_,
        )
        self.lane_sign_on_pause = Gauge(
            "bankgw_lane_sign_on_pause_seconds",
            "For how long nothing signs on because the bank refused the last sign-on; 0 if one may now.",
            ("bank", "lane"),
            registry=in_,
        )
        self.lane_state = Gauge(
            "bankgw_lane_state",
            "1 for the state that a lane is in and each of its reasons; 0 for those it was in.",
            ("bank", "lane", "state", "reason"),
            registry=in_,
        )
        self.key_gone = Gauge(
            "bankgw_key_gone",
            "1 while a signing key outside of the process signs nothing; orders of its lane wait.",
            ("bank", "lane", "key"),
            registry=in_,
        )
        self.lane_exchange = Gauge(
            "bankgw_lane_last_exchange_timestamp_seconds",
            "When the bank last answered on a lane; 0 before the first answer of this process.",
            ("bank", "lane"),
            registry=in_,
        )
        self.queue_depth = Gauge(
            "bankgw_broker_queue_messages",
            "Messages that wait in a queue which the gateway consumes, and are not delivered yet.",
            ("queue",),
            registry=in_,
        )
        self.disk_free = Gauge(
            "bankgw_disk_free_bytes", "Room on the disk of `state_dir` for the daemon's user.", registry=in_
        )
        self.disk_size = Gauge("bankgw_disk_size_bytes", "Size of the disk of `state_dir`.", registry=in_)
        self.disk_full = Gauge(
            "bankgw_disk_full_seconds",
            "Time until the disk of `state_dir` is full, at the faster of the last day's and the last week's rate; "
            "+Inf where it does not fill, or where too little is known.",
            registry=in_,
        )
        self.permit_log = Gauge("bankgw_permit_log_bytes", "Size of this node's permit log.", registry=in_)
        self._declare_backups()
        self._declare_vault()

    def _declare_vault(self) -> None:
        in_ = self.registry
        self.vault_resealing = Gauge(
            "bankgw_vault_resealing", "1 while this node seals older values anew with a new vault key.", registry=in_
        )
        self.vault_resealed = Counter(
            "bankgw_vault_resealed_rows_total", "Rows sealed anew with a new vault key by this node.", registry=in_
        )

    def _declare_backups(self) -> None:
        in_ = self.registry
        self.backup_time = Gauge(
            "bankgw_backup_last_timestamp_seconds",
            "When the newest whole backup in the folder of backups was made; 0 for none.",
            registry=in_,
        )
        self.backup_bytes = Gauge(
            "bankgw_backup_last_bytes", "Size of the newest whole backup; 0 for none.", registry=in_
        )
        self.backup_failed = Gauge("bankgw_backup_failed", "1 if the last try to make a backup failed.", registry=in_)
        self.drill_time = Gauge(
            "bankgw_drill_last_timestamp_seconds", "When a restore drill held last; 0 if none is known.", registry=in_
        )
        self.drill_failed = Gauge("bankgw_drill_failed", "1 if the last restore drill failed.", registry=in_)

    def _declare_orders(self) -> None:
        in_ = self.registry
        self.commands = Counter(
            "bankgw_commands_total",
            "Commands read from the broker, by type and result.",
            ("type", "result"),
            registry=in_,
        )
        self.refusals = Counter("bankgw_refusals_total", "Commands refused, by error code.", ("code",), registry=in_)
        self.payments = Counter(
            "bankgw_payments_total", "Payments that entered a state.", ("bank", "state"), registry=in_
        )
        self.in_doubt = Gauge(
            "bankgw_payments_in_doubt", "Payments in doubt or escalated now.", ("bank",), registry=in_
        )
        self.in_doubt_oldest = Gauge(
            "bankgw_payment_in_doubt_oldest_timestamp_seconds",
            "When the oldest payment now in doubt was first sent; 0 when there is none.",
            ("bank",),
            registry=in_,
        )
        self.money_in_doubt = Gauge(
            "bankgw_money_in_doubt_amount",
            "Sum of the payments in doubt or escalated now, in units of the currency.",
            ("bank", "currency"),
            registry=in_,
        )
        self.money_in_doubt_payments = Gauge(
            "bankgw_money_in_doubt_payments",
            "Payments in doubt or escalated now, by currency.",
            ("bank", "currency"),
            registry=in_,
        )
        self.held = Gauge("bankgw_payments_held", "Payments that wait for a release.", ("bank",), registry=in_)
        self.company_payments = Gauge(
            "bankgw_company_payments",
            "Open payments now by company and bank: held, ready, sent (sending, pending), in_doubt (or escalated).",
            ("company", "bank", "state"),
            registry=in_,
        )
        self.company_paused = Gauge(
            "bankgw_company_paused",
            "1 while no payment of the company is sent: see `bankgw companies list` for who paused it and why.",
            ("company",),
            registry=in_,
        )
        self.approvals_late = Gauge(
            "bankgw_approvals_late", "Requests for approval without an answer past their escalation time.", registry=in_
        )
        self.stage = Histogram(
            "bankgw_payment_stage_duration_seconds",
            "Time a payment spent in one stage.",
            ("stage",),
            buckets=STAGE_SECONDS,
            registry=in_,
        )

    def _declare_banks(self) -> None:
        in_ = self.registry
        self.bank_seconds = Histogram(
            "bankgw_bank_request_duration_seconds",
            "Time from a request's first byte to the whole answer.",
            ("bank", "operation"),
            buckets=BANK_SECONDS,
            registry=in_,
        )
        self.bank_requests = Counter(
            "bankgw_bank_requests_total",
            "Exchanges with a bank by outcome.",
            ("bank", "operation", "outcome"),
            registry=in_,
        )
        self.session_up = Gauge(
            "bankgw_session_up",
            "Sessions that the bank has answered on and that may carry money.",
            ("bank", "lane"),
            registry=in_,
        )
        self.session_state = Gauge(
            "bankgw_session_state", "Sessions of a lane in each state.", ("bank", "lane", "state"), registry=in_
        )
        self.bank_date_ahead = Gauge(
            "bankgw_bank_date_ahead_seconds",
            "How far the date that a bank's answers state is ahead of the calendar, in whole days; none while they "
            "state none.",
            ("bank", "lane"),
            registry=in_,
        )
        self.lane_paused = Gauge(
            "bankgw_lane_paused",
            "1 while nothing is sent on the lane: see `bankgw lanes list` for why.",
            ("bank", "lane"),
            registry=in_,
        )
        self.connect_failures = Counter(
            "bankgw_connect_failures_total",
            "Connections that failed before any application byte, by reason.",
            ("bank", "reason"),
            registry=in_,
        )
        self.signature_failures = Counter(
            "bankgw_signature_failures_total",
            "Bank answers whose signature or structure was refused.",
            ("bank",),
            registry=in_,
        )
        self.unlisted_codes = Counter(
            "bankgw_unlisted_codes_total",
            "Bank result codes that the bank's code table does not list.",
            ("bank", "operation"),
            registry=in_,
        )

    def _declare_findings(self) -> None:
        in_ = self.registry
        self.bank_findings = Counter(
            "bankgw_bank_findings_total",
            "What is odd about a bank's lists and files that were read all the same: sums, counts, schemas.",
            ("bank", "operation"),
            registry=in_,
        )
        self.plaintext_lanes = Gauge("bankgw_plaintext_lanes", "Lanes that speak without TLS.", ("bank",), registry=in_)
        self.lane_work = Gauge(
            "bankgw_lane_work", "Open work of a lane by kind.", ("bank", "lane", "work"), registry=in_
        )
        self.permits_refused = Counter(
            "bankgw_permits_refused_total", "Sends stopped by the permit check at the write.", ("bank",), registry=in_
        )
        self.watched_entries = Counter(
            "bankgw_watched_entries_total",
            "Entries of watched accounts seen for the first time.",
            ("bank",),
            registry=in_,
        )
        self.pushes = Counter(
            "bankgw_pushes_total",
            "Messages of a bank's own accord, and connections for them that were refused.",
            ("bank", "result"),
            registry=in_,
        )
        self.watch_failures = Counter(
            "bankgw_watch_failures_total", "Polls of watched accounts that failed.", ("bank",), registry=in_
        )
        self.statements_missing = Gauge(
            "bankgw_statements_missing",
            "Past days of watched accounts whose statement is not complete.",
            ("bank",),
            registry=in_,
        )
        self.pool_runs = Counter(
            "bankgw_pool_runs_total",
            "Runs of cash pools that were carried out, or fell due and could not be.",
            ("result",),
            registry=in_,
        )
        self.pool_moves = Counter(
            "bankgw_pool_moves_total",
            "Amounts that runs of cash pools planned: ordered, or refused when their turn came.",
            ("result",),
            registry=in_,
        )
        self.certificate = Gauge(
            "bankgw_certificate_not_after_timestamp_seconds",
            "End of validity of the certificates for TLS and signing; bank is `broker` for the broker's own.",
            ("bank", "role"),
            registry=in_,
        )

        self.credential = Gauge(
            "bankgw_credential_not_after_timestamp_seconds",
            "End of a password or UKey of a lane's login, by `expires` of the settings.",
            ("bank", "lane", "credential"),
            registry=in_,
        )

    def _declare_broker(self) -> None:
        in_ = self.registry
        self.broker_up = Gauge("bankgw_broker_up", "1 while commands are consumed.", registry=in_)
        self.mark_held = Gauge(
            "bankgw_journal_mark_held",
            "1 while this journal holds the virtual host; else nothing is taken in.",
            registry=in_,
        )
        self.broker_blocked = Gauge("bankgw_broker_blocked", "1 while the broker refuses publishers.", registry=in_)
        self.canary = Gauge(
            "bankgw_canary_last_success_timestamp_seconds",
            "When a heartbeat message last came back through the broker; 0 before the first.",
            registry=in_,
        )
        self.outbox_depth = Gauge("bankgw_outbox_depth", "Messages not yet confirmed by the broker.", registry=in_)
        self.outbox_oldest = Gauge(
            "bankgw_outbox_oldest_timestamp_seconds",
            "When the oldest unconfirmed message was written; 0 for none.",
            registry=in_,
        )
        self.published = Counter(
            "bankgw_messages_published_total", "Messages by the broker's confirm.", ("verdict",), registry=in_
        )
        self.refusals_kept = Gauge("bankgw_refusals_kept", "Refused commands that the journal keeps.", registry=in_)
        self.refusals_overdue = Gauge(
            "bankgw_refusals_overdue", "Refused commands that are past their retention and still there.", registry=in_
        )
        self.parked_copies_kept = Gauge(
            "bankgw_parked_copies_kept",
            "Copies of refused commands that the journal keeps for operators.",
            registry=in_,
        )
        self.held_messages = Gauge(
            "bankgw_messages_held",
            "Messages to the ERP that wait in order for a right, an exchange or a queue that the broker lacks.",
            registry=in_,
        )
        self.parked = Gauge(
            "bankgw_messages_parked", "Undeliverable messages to the ERP, kept for an operator.", registry=in_
        )

    def known(
        self, banks: Iterable[str], lanes: Iterable[tuple[str, str]], currencies: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Create the series of these banks, lanes and currencies, so that none is missing before its first event."""
        for code in Code:
            self.refusals.labels(code.value)
        for alarm in ALARMS:
            self.alarms.labels(alarm)
        for stage in STAGES:
            self.stage.labels(stage)
        self.journal_failures.labels("unit")
        self.journal_failures.labels("unreachable")
        for reason in NOT_READY:
            self.not_ready.labels(reason).set(0)
        for trouble in TROUBLES:
            self.troubles.labels(trouble).set(0)
        for result in POOL_RUNS:
            self.pool_runs.labels(result)
        for result in POOL_MOVES:
            self.pool_moves.labels(result)
        for what in UNKNOWN:
            self.unknown.labels(what).set(0)
        for bank in banks:
            self.in_doubt.labels(bank).set(0)
            self.in_doubt_oldest.labels(bank).set(0)
            self.held.labels(bank).set(0)
            self.signature_failures.labels(bank)
            self.watched_entries.labels(bank)
            self.watch_failures.labels(bank)
            for result in PUSH_RESULTS:
                self.pushes.labels(bank, result)
            self.statements_missing.labels(bank).set(0)
            self.permits_refused.labels(bank)
            for state in State:
                self.payments.labels(bank, state.value)
        for bank, currency in currencies:
            self.money_in_doubt.labels(bank, currency).set(0)
            self.money_in_doubt_payments.labels(bank, currency).set(0)
        for bank, lane in lanes:
            self.session_up.labels(bank, lane).set(0)
            self.lane_paused.labels(bank, lane).set(0)
            self.lane_exchange.labels(bank, lane).set(0)
            for session_state in SESSION_STATES:
                self.session_state.labels(bank, lane, session_state).set(0)


class NoticeMeters:
    """The metrics of `bankgw notices`, served at its own port. Labels are the names of destinations in its file."""

    def __init__(self, registry: CollectorRegistry) -> None:
        _without_created_series()
        self.sent = Counter("bankgw_notices_sent_total", "Notices taken.", ("destination",), registry=registry)
        self.failed = Counter(
            "bankgw_notices_failed_total", "Tries that brought no notice.", ("destination",), registry=registry
        )
        self.waiting = Gauge(
            "bankgw_notices_waiting_timestamp_seconds",
            "When the oldest notice was made that was tried in vain and still waits; 0 for none.",
            ("destination",),
            registry=registry,
        )
        self.journal_read = Gauge(
            "bankgw_notices_journal_read_timestamp_seconds", "When the journal was last read.", registry=registry
        )
