"""An unusual fact in an answer is logged, without an account number."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.kernel.meters import Meters
from protocols.canon.statement import Page


def test_findings_are_logged_and_masked() -> None:
    words = ExchangeMetrics("demo", Meters(CollectorRegistry()))
    with capture_logs() as logged:
        words.found_odd("lines", Page((), findings=("opens with 1.00 at 0000000000000000017",)))
        words.found_odd("lines", Page(()))
        words.found_odd("balance", None)
    [line] = logged
    assert (line["event"], line["bank"], line["operation"]) == ("bank.finding", "demo", "lines")
    assert line["finding"] == "opens with 1.00 at ***0017"
