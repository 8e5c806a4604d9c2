"""The source of the rows of each report."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.reports import movement_sources, receipt_source, reconciliation_sources, security_source, sources
from gateway.reports.sources import RowSource

SOURCES: Mapping[str, RowSource] = {
    "balances": sources.balances,
    "positions": sources.positions,
    "daily": sources.daily,
    "payments": sources.payments,
    "entries": sources.entries,
    "bank-service": sources.bank_service,
    "balance-tables": reconciliation_sources.balance_tables,
    "open-items": reconciliation_sources.open_items,
    "history": movement_sources.history,
    "transfers": movement_sources.transfers,
    "returns": movement_sources.returns,
    "payroll": movement_sources.payroll,
    "fees": movement_sources.fees,
    "cash-flow": movement_sources.cash_flow,
    "receipts-missing": receipt_source.receipts_missing,
    "security-review": security_source.security_review,
}

RESTRICTED = frozenset({"security-review"})
"""The report about persons instead of accounts, for administrators of security and audit. It has a verb of its own."""
