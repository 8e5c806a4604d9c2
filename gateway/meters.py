"""Every metric of the daemon, declared once. Labels come from closed sets; an id, name or amount is never a label."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from protocols.canon.errors import Code
from protocols.canon.outcome import State

BANK_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OUTCOMES = ("ok", "in_doubt", "refused", "unlisted_code", "silent", "not_sent", "bad_answer", "rate_limited")
STAGES = ("journal", "send", "answer", "news")
SESSION_STATES = ("down", "connecting", "proving", "ready")
ALARMS = ("contradiction", "answers_disagree", "escalated", "impossible", "stale_epoch")


class Meters:
    """The metrics, as attributes. One object per process; series with known labels exist from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.build = Info("bankgw_build", "Version and mode of this daemon.", registry=registry)
        self.start_time = Gauge(
            "bankgw_start_timestamp_seconds", "When this daemon started, seconds since 1970.", registry=registry)
        self.commands = Counter(
            "bankgw_commands_total", "Commands read from the broker.", ("type", "result"), registry=registry)
        self.refusals = Counter("bankgw_refusals_total", "Commands refused.", ("code",), registry=registry)
        self.payments = Counter(
            "bankgw_payments_total", "Payments that entered a state.", ("bank", "state"), registry=registry)
        self.in_doubt = Gauge(
            "bankgw_payments_in_doubt", "Payments in doubt or escalated now.", ("bank",), registry=registry)
        self.in_doubt_oldest = Gauge(
            "bankgw_payment_in_doubt_oldest_timestamp_seconds",
            "When the oldest payment now in doubt was sent; 0 when there is none.", ("bank",), registry=registry)
        self.held = Gauge("bankgw_payments_held", "Payments waiting for a person or an hour.", registry=registry)
        self.stage = Histogram(
            "bankgw_payment_stage_duration_seconds", "Time a payment spent in one stage.", ("stage",),
            buckets=STAGE_SECONDS, registry=registry)
        self.bank_seconds = Histogram(
            "bankgw_bank_request_duration_seconds", "Time from a request's first byte to the whole answer.",
            ("bank", "operation"), buckets=BANK_SECONDS, registry=registry)
        self.bank_requests = Counter(
            "bankgw_bank_requests_total", "Exchanges with a bank by outcome.", ("bank", "operation", "outcome"),
            registry=registry)
        self.session_up = Gauge(
            "bankgw_session_up", "Sessions that the bank has answered on and that may carry money.",
            ("bank", "lane"), registry=registry)
        self.session_state = Gauge(
            "bankgw_session_state", "Sessions of a lane in each state.", ("bank", "lane", "state"), registry=registry)
        self.connect_failures = Counter(
            "bankgw_connect_failures_total", "Connections refused before any application byte.",
            ("bank", "reason"), registry=registry)
        self.signature_failures = Counter(
            "bankgw_signature_failures_total", "Bank answers whose signature or structure was refused.",
            ("bank",), registry=registry)
        self.unlisted_codes = Counter(
            "bankgw_unlisted_codes_total", "Bank codes that are in no table.", ("bank", "operation"),
            registry=registry)
        self.encoding_repairs = Counter(
            "bankgw_encoding_repairs_total", "Answers that needed a wider character set than declared.",
            ("bank",), registry=registry)
        self.plaintext_lanes = Gauge(
            "bankgw_plaintext_lanes", "Lanes that speak without TLS.", ("bank",), registry=registry)
        self.lane_work = Gauge("bankgw_lane_work", "Open work of a lane by kind.", ("lane", "work"), registry=registry)
        self.permits_refused = Counter(
            "bankgw_permits_refused_total", "Sends stopped at the last gate.", ("bank",), registry=registry)
        self.alarms = Counter("bankgw_alarms_total", "Events that need a person.", ("alarm",), registry=registry)
        self.outbox_depth = Gauge("bankgw_outbox_depth", "Messages not yet confirmed by the broker.", registry=registry)
        self.outbox_oldest = Gauge(
            "bankgw_outbox_oldest_timestamp_seconds", "When the oldest unconfirmed message was written; 0 for none.",
            registry=registry)
        self.published = Counter(
            "bankgw_messages_published_total", "Messages by the broker's verdict.", ("verdict",), registry=registry)
        self.parked = Gauge("bankgw_messages_parked", "Messages parked for a person.", registry=registry)
        self.broker_up = Gauge("bankgw_broker_up", "1 while commands are consumed.", registry=registry)
        self.broker_blocked = Gauge("bankgw_broker_blocked", "1 while the broker refuses publishers.", registry=registry)
        self.canary = Gauge(
            "bankgw_canary_last_success_timestamp_seconds", "Last heartbeat message seen to come back.",
            registry=registry)
        self.certificate = Gauge(
            "bankgw_certificate_not_after_timestamp_seconds", "End of a certificate's validity.", ("bank", "role"),
            registry=registry)
        self.clock_skew = Gauge(
            "bankgw_clock_skew_seconds", "Bank's clock minus ours at its last answer.", ("bank",), registry=registry)
        self.reactor_delay = Gauge(
            "bankgw_reactor_delay_seconds", "How late the last one-second timer ran.", registry=registry)
        self.journal_seconds = Histogram(
            "bankgw_journal_commit_duration_seconds", "Time of one group commit.", buckets=STAGE_SECONDS,
            registry=registry)
        self.journal_units = Counter("bankgw_journal_units_total", "Units of work committed.", registry=registry)
        self.journal_failures = Counter(
            "bankgw_journal_failures_total", "Units of work or groups that failed.", ("kind",), registry=registry)

    def known(self, banks: Iterable[str], lanes: Iterable[tuple[str, str]]) -> None:
        """Create the series whose labels are known, so that none is missing before its first event."""
        for code in Code:
            self.refusals.labels(code.value)
        for alarm in ALARMS:
            self.alarms.labels(alarm)
        for stage in STAGES:
            self.stage.labels(stage)
        for bank in banks:
            self.in_doubt.labels(bank).set(0)
            self.in_doubt_oldest.labels(bank).set(0)
            self.signature_failures.labels(bank)
            self.permits_refused.labels(bank)
            for state in State:
                self.payments.labels(bank, state.value)
        for bank, lane in lanes:
            self.session_up.labels(bank, lane).set(0)
            for session_state in SESSION_STATES:
                self.session_state.labels(bank, lane, session_state).set(0)
