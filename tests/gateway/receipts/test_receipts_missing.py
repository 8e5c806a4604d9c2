"""The report of missing receipts: open searches by age, the oldest first, page by page."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.people.rules.scopes import WHOLE
from gateway.receipts.rows import receipt_files
from gateway.reports import sources
from gateway.reports.receipt_source import receipts_missing
from gateway.reports.sources import ReportQuestion
from protocols.canon.limits import Limits
from tests.gateway.kernel.bench import DEBTOR, NOW_MS, Journal, order

DAY_MS = 86_400_000
ROUTE = Route(DEBTOR, "jia", "sample", "sample.main", "CNY", Limits("utf-8"), frozenset(), holder="示例甲公司")


def search(
    journal: Journal, id: str, days: int, *, state: str = receipt_files.WAITING, day: str = "2026-11-01"
) -> None:
    row = journal.admit(order(id, minor=1_000 + days)).row
    journal.do(
        lambda tx: tx.fresh.execute(
            schema.receipt_searches.insert().values(
                payment=row.payment,
                lane="sample.main",
                account_idx=tx.vault.blind(DEBTOR),
                bank_date=day,
                state=state,
                since_ms=NOW_MS - days * DAY_MS,
                due_ms=NOW_MS + 1,
                tries=2,
                code="NOT_YET" if days else None,
                ticket=None,
            )
        )
    )


def pages(journal: Journal, last: date = date(2026, 11, 30)) -> list[dict[str, Any]]:
    asked = ReportQuestion(
        [ROUTE],
        WHOLE,
        date(2026, 11, 1),
        last,
        ZoneInfo("Asia/Shanghai"),
        NOW_MS,
        lambda one: one,
        lambda one: one,
        lambda text, *names: text,
    )
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = journal.read(partial(receipts_missing, asked=asked, after=after))
        rows += [dict(row) for row in page.rows]
        after = page.after
        if after is None:
            return rows


def test_missing_receipts_by_age(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for id, days in (("AP-0", 0), ("AP-3", 3), ("AP-4", 4), ("AP-8", 8), ("AP-31", 31), ("AP-30", 30)):
        search(journal, id, days)
    search(journal, "AP-none", 50, state=receipt_files.NONE)
    search(journal, "AP-later", 1, day="2026-12-01")
    monkeypatch.setattr(sources, "PAGE_ROWS", 2)
    found = pages(journal)
    assert [(row["order"], row["age"], row["band"]) for row in found] == [
        ("AP-31", 31, "more than 30 days"),
        ("AP-30", 30, "8 to 30 days"),
        ("AP-8", 8, "8 to 30 days"),
        ("AP-4", 4, "4 to 7 days"),
        ("AP-3", 3, "up to 3 days"),
        ("AP-0", 0, "up to 3 days"),
    ]
    first, last = found[0], found[-1]
    assert (first["amount"], first["currency"], first["payee"], first["reason"], first["tries"]) == (
        1_031,
        "CNY",
        "示例乙公司",
        "NOT_YET",
        2,
    )
    assert last["reason"] == "not asked yet" and pages(journal, date(2026, 10, 31)) == []
