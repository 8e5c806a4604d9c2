"""Days with very many entries: they take little memory, their reading continues after a time-out, the memory is freed,
and the reading ends."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from gateway.kernel.asking import Unavailable
from gateway.statements.erp import statements
from gateway.statements.erp.packed_entries import BLOCK, PackedLines
from gateway.statements.erp.question_context import QuestionContext
from gateway.statements.erp.statements import KEPT_MS, MOST_KEPT, Statements
from protocols.bank import Bank
from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Direction, Line, Page
from protocols.erp.words import StatementRequest
from protocols.kit import paging
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PageNumber, PageSeen
from tests.gateway.statements.test_papers import _lines, asked, today, world
from tests.world.clock import HeapClock

OWN = AccountNumber("0000000000000000017")
DAY = date(2026, 11, 24)
PER_PAGE = 20


def entry(number: int) -> Line:
    """An entry that shares no text with the others, as in a bank's answer."""
    return Line(
        AccountNumber("".join(["00000000", "00000000017"])),
        f"20261124{number:010d}",
        Direction.DEBIT,
        Money(100 + number, "CNY"),
        DAY,
        datetime(2026, 11, 24, 3, 0, number % 60, tzinfo=UTC),
        DAY,
        AccountNumber(f"0000{number:015d}"),
        Name(f"示例公司{number}"),
        f"示例银行某支行{number}",
        f"货款 合同 HT-{number}",
        Money(10**12 - number, "CNY"),
        f"REF{number:012d}",
    )


class Day:
    """A bank with one day of entries. After `silent_after` pages it gives no answer, once."""

    def __init__(self, entries: int, make: Callable[[int], Line] = entry) -> None:
        self.entries = entries
        self.make = make
        self.blank = False
        self.asked = 0
        self.silent_after: int | None = None
        self.clock = HeapClock(1_795_482_000.0)
        hours = SimpleNamespace(zone="Asia/Shanghai")
        profile = SimpleNamespace(limits=SimpleNamespace(hours=hours), history_days=90)
        bank = SimpleNamespace(profile=profile, questions=SimpleNamespace(lines=self.put))
        route = SimpleNamespace(bank="sample", lane="sample.main", currency="CNY")
        self.context = cast(
            QuestionContext,
            SimpleNamespace(
                clock=self,
                registry=SimpleNamespace(route_of=lambda _account: route, banks={"sample": bank}),
                cursor_key=bytes(32),
                ahead_days=lambda _lane: 0,
                ask=self.ask,
                store=SimpleNamespace(read=lambda _fn: succeed({})),
            ),
        )
        self.statements = Statements(self.context)

    def now_ms(self) -> int:
        return round(self.clock.seconds() * 1000)

    def monotonic_s(self) -> float:
        return self.clock.seconds()

    def later(self, delay_s: float, fn: Any, *args: Any) -> Any:
        return self.clock.callLater(delay_s, fn, *args)

    def put(self, question: LinesQuestion) -> Page:
        if self.blank:
            return Page((), f"p{self.asked}")
        numbered = PageNumber(PER_PAGE)
        at = paging.PageCursor.decode(question.cursor, "q") if question.cursor else numbered.first("q")
        start = (at.page - 1) * PER_PAGE
        lines = tuple(map(self.make, range(start, min(start + PER_PAGE, self.entries))))
        following = numbered.following(at, PageSeen(len(lines), total=self.entries))
        return Page(lines, None if following is None else following.encode(), self.entries)

    def ask(self, _lane: str, _operation: str, conversation: Any, _wait_s: float) -> Deferred[Page]:
        if self.silent_after == self.asked:
            self.silent_after = None
            return fail(Unavailable("bank_silent"))
        self.asked += 1
        try:
            return succeed(self.put(*conversation.args))
        except ProtocolError as error:
            return fail(error)

    def page(self, after: str | None = None, limit: int = 1_000) -> Mapping[str, Any] | Refusal:
        query = StatementRequest(OWN, DAY, after, limit, 60)
        said: list[Mapping[str, Any] | Refusal] = []
        Deferred.fromCoroutine(self.statements.answer("kingdee", query, 60.0)).addCallback(said.append)
        return said[0]

    def given(self, after: str | None = None, limit: int = 1_000) -> Mapping[str, Any]:
        said = self.page(after, limit)
        assert not isinstance(said, Refusal), said
        return said


@pytest.fixture(autouse=True)
def _any_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Statements, "_impossible", lambda *_: None)
    monkeypatch.setattr(statements, "local", lambda _hours, now_ms: datetime.fromtimestamp(now_ms / 1000, UTC))


def test_a_day_of_100_000_entries_is_given_out() -> None:
    plain, amount = entry(0), Money(100, "CNY")
    bank = Day(100_000, lambda number: Line(OWN, f"{number:010d}", Direction.DEBIT, amount, plain.bank_date))
    page = bank.given()
    assert (page["count"], page["debit_sum"], bank.asked) == (100_000, "100000.00", 5_000)
    [walk] = bank.statements._kept.values()
    assert walk.lines.size < 10_000_000 and [one.bank_line_id for one in walk.lines.page(99_999, 9)] == ["0000099999"]
    bank.statements.stop()


def test_a_day_takes_little_memory() -> None:
    bank = Day(5_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        bank.given()
        held, peak = (bytes_ - before for bytes_ in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    # As objects they would be 5 MB. Only a cursor is kept of each page, and the page that is being given out.
    assert held < 1_200_000 and peak < 4_000_000, (held, peak)


def test_what_is_kept_is_freed_by_time_and_by_number() -> None:
    bank = Day(3_000)
    page = bank.given(limit=1_000)
    assert bank.statements._kept and bank.asked == 150
    bank.clock.advance(KEPT_MS / 1000 - 1)
    bank.given(page["next"])
    assert bank.asked == 150, "given out of what is kept, and that keeps it"
    bank.clock.advance(2 * KEPT_MS / 1000)
    assert not bank.statements._kept, "nobody asked for it any more"
    assert bank.given(page["next"])["lines"] and bank.asked == 300, "walked anew"
    for n in range(MOST_KEPT + 3):
        bank.statements._keep((str(n), ""), bank.statements._kept[OWN.clear, DAY.isoformat()])
        bank.statements._kept[OWN.clear, DAY.isoformat()] = bank.statements._kept[str(n), ""]
    assert len(bank.statements._kept) <= MOST_KEPT + 1
    bank.statements.stop()
    assert not bank.statements._kept and not bank.clock.getDelayedCalls()


def test_many_large_days_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Day(3_000)
    bank.given()
    [walk] = bank.statements._kept.values()
    monkeypatch.setattr(statements, "MOST_KEPT_BYTES", 3 * walk.lines.size)
    for n in range(8):
        bank.statements._keep((str(n), ""), walk)
    assert len(bank.statements._kept) == 3
    bank.statements.stop()


def test_a_walk_that_ran_out_of_time_goes_on_where_it_was() -> None:
    bank = Day(3_000)
    bank.silent_after = 100
    said = bank.page()
    assert isinstance(said, Refusal) and said.code is Code.BANK_UNAVAILABLE
    page = bank.given()
    assert (bank.asked, page["count"]) == (150, 3_000), "no page was asked for twice"
    bank.statements.stop()


def test_a_day_of_more_pages_than_any_walk_has_is_not_worth_asking_again() -> None:
    bank = Day(PER_PAGE * paging.PAGES_MAX + 1)
    bank.blank = True
    said = bank.page()
    assert isinstance(said, Refusal) and said.code is Code.UNSUPPORTED and "10000 pages" in said.title
    assert bank.asked == paging.PAGES_MAX


def test_the_erp_is_told_so(tmp_path: Path) -> None:
    def too_long(page: Page) -> Page:
        raise ProtocolError(paging.TOO_MANY_PAGES, "more than 10000 pages")

    def adapter(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, lines=_lines(too_long, bank)))

    made = world(tmp_path, adapters={"sample": adapter})
    for key, days in (
        ("statement.request", {"date": today(made)}),
        ("transactions.query", {"from": today(made), "to": today(made)}),
    ):
        said = asked(made, key, {"account": made.bank.account, **days})
        assert said["error"]["code"] == "unsupported" and "10000 pages" in said["error"]["title"]


def test_packed_lines_are_the_lines() -> None:
    packed, lines = PackedLines(), tuple(map(entry, range(2 * BLOCK + 7)))
    for start in range(0, len(lines), 30):
        packed.add(lines[start : start + 30])
    assert len(packed) == len(lines)
    for start, count in ((0, 1), (0, 1_000), (499, 2), (500, 500), (999, 8), (1_000, 7), (1_006, 1_000), (1_007, 5)):
        assert packed.page(start, count) == lines[start : start + count], (start, count)
    assert replace(packed.page(3, 1)[0]) == entry(3)
