"""Counts a lane's exchanges with its bank, and logs their irregularities."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.fault_reasons import SIGNATURE_REASONS
from gateway.kernel import log
from gateway.kernel.meters import Meters
from protocols.canon.outcome import Outcome
from protocols.canon.statement import Page, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError, harmless

_log = log.get("bank.exchange_metrics")


class ExchangeMetrics:
    """Counts the exchanges with one bank, and logs their faults."""

    def __init__(self, bank: str, meters: Meters) -> None:
        self._bank = bank
        self._meters = meters

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one exchange and its duration in seconds."""
        self._meters.bank_seconds.labels(self._bank, operation).observe(seconds)
        self._meters.bank_requests.labels(self._bank, operation, outcome).inc()

    def unlisted(self, operation: str, outcome: Outcome) -> None:
        """Count and log a bank code that is in no table. Such a code never decides a payment."""
        self._meters.unlisted_codes.labels(self._bank, operation).inc()
        _log.warning(
            "bank.unlisted_code",
            bank=self._bank,
            operation=operation,
            code=outcome.code,
            text=outcome.text,
            action="the code changes no payment; ask the bank for its meaning",
        )

    def found_odd(self, operation: str, answer: object) -> None:
        """Count and log each inconsistency of an answer that was read all the same, in its pages or in its outcomes for
        payments."""
        told = answer.values() if isinstance(answer, Mapping) else (answer,)
        odd = [one.findings for one in told if isinstance(one, (Page, ReturnsPage, Outcome))]
        for finding in dict.fromkeys(finding for each in odd for finding in each):
            self._meters.bank_findings.labels(self._bank, operation).inc()
            _log.warning("bank.finding", bank=self._bank, operation=operation, finding=harmless(finding))

    def mismatch(self, error: NotConnected | NoAnswer | ProtocolError, payment: str) -> None:
        """Raise an alarm if an enquiry's answer states another amount, account, day or reference than the payment."""
        if isinstance(error, ProtocolError) and error.reason == "correlation":
            self._meters.alarms.labels("answers_disagree").inc()
            _log.error(
                "payment.answer_does_not_fit",
                bank=self._bank,
                payment=payment,
                error=str(error),
                action=(
                    "the answer is not used, because it does not match this payment, which stays as it was; the bank "
                    "is asked again"
                ),
            )

    def fault(self, error: NotConnected | NoAnswer | ProtocolError, operation: str) -> str:
        """Log a fault and count it where it has a counter of its own. Returns the metric's outcome label."""
        if isinstance(error, Declined):
            if not error.listed:
                self._meters.unlisted_codes.labels(self._bank, operation).inc()
            _log.warning(
                "bank.declined",
                bank=self._bank,
                operation=operation,
                code=error.code,
                text=error.bank_text,
                outcome=error.outcome,
            )
            return "rate_limited" if error.outcome == "rate_limited" else "refused"
        if isinstance(error, CannotAsk):
            _log.info("bank.not_asked", bank=self._bank, operation=operation, error=error.text)
            return "not_sent"
        if isinstance(error, ProtocolError):
            if error.reason in SIGNATURE_REASONS:
                self._meters.signature_failures.labels(self._bank).inc()
            _log.warning("bank.bad_answer", bank=self._bank, operation=operation, reason=error.reason, error=str(error))
            return "bad_answer"
        if isinstance(error, NotConnected):
            self._meters.connect_failures.labels(self._bank, error.reason.value).inc()
            return "not_sent"
        return "silent" if error.written else "not_sent"
