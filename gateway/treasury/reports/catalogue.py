"""Where the rows of each report come from."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.treasury.reports import reconciliation_sources, sources
from gateway.treasury.reports.sources import RowSource

SOURCES: Mapping[str, RowSource] = {
    "balances": sources.balances, "positions": sources.positions, "daily": sources.daily,
    "payments": sources.payments, "entries": sources.entries, "bank-service": sources.bank_service,
    "balance-tables": reconciliation_sources.balance_tables, "open-items": reconciliation_sources.open_items,
}  # fmt: skip
