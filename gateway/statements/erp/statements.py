"""Daily statements: all pages are read from the bank, checked, and given out in pages of the requested size."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from gateway.kernel.asking import Unavailable
from gateway.kernel.core.hours import bank_date, local
from gateway.kernel.core.policy import Route
from gateway.statements.erp.bank_refusals import no_answer, ours
from gateway.statements.erp.packed_entries import PackedLines
from gateway.statements.erp.question_context import QuestionContext
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Page
from protocols.erp import account_replies, cursor
from protocols.erp.account_replies import Statement, Totals, line_id
from protocols.erp.words import StatementRequest
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PAGES_MAX, TOO_MANY_PAGES

WALKS = 3
"""How many times a day is read until the bank's count agrees: today's entries may grow meanwhile."""
KEPT_MS = 600_000
"""How long a statement, complete or partial, is kept in memory after its last use."""
MOST_KEPT, MOST_KEPT_BYTES = 16, 33_554_432


class _PartialStatement:
    """The pages of a day's statement read so far; `at` is the bank's cursor of the next page."""

    def __init__(self, account: AccountNumber, currency: str, day: date, *, closed: bool) -> None:
        self.account = account
        self.currency = currency
        self.day = day
        self.closed = closed
        self.lines = PackedLines()
        self.at: str | None = None
        self.whole = False
        self.used_ms = 0
        self.total_lines: int | None = None
        self._pages = 0
        self._seen: set[str] = set()
        self._totals = Totals()
        self._opening: Money | None = None
        self._closing: Money | None = None
        self._hash = sha256()

    def add(self, page: Page) -> None:
        """Add the next page. Raises ProtocolError if the bank's pages do not end."""
        if not self._pages:
            self._opening = page.opening
        self._pages += 1
        self._closing, self.total_lines, self.at = page.closing, page.total_lines, page.cursor
        # A day with an unreadable entry is not closed, because the entry is missing here.
        self.closed = self.closed and not page.unread
        self.lines.add(page.lines)
        self._totals += Totals.of(page.lines)
        for line in page.lines:
            self._hash.update(f"{line_id(line)} {line.direction.value} {line.amount.minor}\x1f".encode())
        self.whole = self.at is None
        if self.at is not None:
            if self.at in self._seen:
                raise ProtocolError("paging", "the bank's continuation repeats")
            if self._pages >= PAGES_MAX:
                raise ProtocolError(TOO_MANY_PAGES, f"more than {PAGES_MAX} pages")
            self._seen.add(self.at)

    def statement(self) -> Statement:
        """The statement, once all pages were read."""
        return Statement(self.account, self.currency, self.day, self._totals, self._opening, self._closing, self.closed)

    def digest(self) -> str:
        """A digest of all pages, by which two readings of the same statement can be compared."""
        whole = self._hash.copy()
        whole.update(f"{self._opening}\x1f{self._closing}".encode())
        return whole.hexdigest()[:32]


class Statements:
    """Answers questions for daily statements."""

    def __init__(self, context: QuestionContext) -> None:
        self._context = context
        self._kept: OrderedDict[tuple[str, str], _PartialStatement] = OrderedDict()
        self._sweeping: IDelayedCall | None = None

    def stop(self) -> None:
        """Drop all kept statements."""
        self._kept.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def answer(self, sender: str, query: StatementRequest, wait_s: float) -> Mapping[str, Any] | Refusal:
        """One page of the day's statement, or the refusal."""
        context, until_s = self._context, self._context.clock.monotonic_s() + wait_s
        route = context.registry.route_of(query.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "the account is not, or no longer, in the gateway's account register")
        impossible = self._impossible(route, query.day)
        if impossible is not None:
            return impossible
        scope = ("statement", sender, query.account.clear, query.day.isoformat())
        offset, digest = 0, ""
        if query.after is not None:
            opened = cursor.unseal(context.cursor_key, scope, query.after)
            if isinstance(opened, Refusal):
                return opened
            offset, digest = json.loads(opened)
        try:
            walk = await self._whole(route, query, until_s)
        except (Unavailable, ProtocolError) as error:
            return no_answer(route, error)
        statement, now = walk.statement(), walk.digest()
        if not statement.fits:
            return Refusal(Code.BANK_UNCLEAR, f"{route.bank}'s opening balance and entries do not make its closing one")
        if digest and digest != now:
            return Refusal(Code.BAD_CURSOR, "the day has changed since the first page; begin again without `after`")
        lines, end = walk.lines.page(offset, query.limit), offset + query.limit
        more = end < len(walk.lines)
        following = cursor.seal(context.cursor_key, scope, json.dumps([end, now])) if more else None
        matched = await context.store.read(lambda conn: ours(conn, route.lane, lines))
        return account_replies.statement_ready(statement, lines, following, matched)

    def _impossible(self, route: Route, day: date) -> Refusal | None:
        profile = self._context.registry.banks[route.bank].profile
        hours, now_ms = profile.limits.hours, self._context.clock.now_ms()
        ahead = timedelta(days=self._context.ahead_days(route.lane))
        # Both the calendar's days and the bank's own may be asked for.
        oldest = local(hours, now_ms).date() - timedelta(days=profile.history_days) + min(ahead, timedelta())
        # After its cut-off, and on a closed day, a bank may already book for its next day.
        newest = bank_date(hours, now_ms) + max(ahead, timedelta())
        if oldest <= day <= newest:
            return None
        detail = f"{route.bank} answers from {oldest.isoformat()} to {newest.isoformat()}"
        fault = Fault("/date", FieldCode.DATE_RANGE, detail, profile.history_days)
        return Refusal(Code.VALIDATION, f"{route.bank} has no statement of that day", (fault,))

    async def _whole(self, route: Route, query: StatementRequest, until_s: float) -> _PartialStatement:
        """The complete statement: the kept one for a following page, a partial one continued to its end, or a new
        one."""
        key = (query.account.clear, query.day.isoformat())
        self._sweep()
        walk = self._kept.get(key)
        if walk is not None and walk.whole and query.after is not None:
            self._keep(key, walk)
            return walk
        if walk is not None and not walk.whole:
            # Removed from the kept ones, so that no other question continues it.
            del self._kept[key]
        walks = 0
        while True:
            if walk is None or walk.whole:
                walk = self._fresh(route, query)
            try:
                await self._go_on(route, walk, until_s)
            except Unavailable:
                self._keep(key, walk)
                raise
            walks += 1
            if walk.total_lines in (None, len(walk.lines)):
                self._keep(key, walk)
                return walk
            if walks >= WALKS:
                what = f"the bank counts {walk.total_lines} entries and gave {len(walk.lines)}"
                raise ProtocolError("paging", what)

    def _fresh(self, route: Route, query: StatementRequest) -> _PartialStatement:
        hours = self._context.registry.banks[route.bank].profile.limits.hours
        # The bank's calendar day: after the cut-off today is not over yet.
        today = local(hours, self._context.clock.now_ms()).date()
        closed = query.day < today + timedelta(days=self._context.ahead_days(route.lane))
        return _PartialStatement(query.account, route.currency, query.day, closed=closed)

    async def _go_on(self, route: Route, walk: _PartialStatement, until_s: float) -> None:
        """Read the remaining pages. Raises Unavailable if the time is over; a later question may continue."""
        put = self._context.registry.banks[route.bank].questions.lines
        if put is None:
            raise Unavailable("unsupported", f"{route.bank} does not, or does no longer, list entries")
        while not walk.whole:
            wait_s = max(until_s - self._context.clock.monotonic_s(), 0.0)
            question = LinesQuestion(walk.account, walk.day, walk.day, walk.currency, walk.at)
            walk.add(await self._context.ask(route.lane, "lines", partial(put, question), wait_s))

    # ---- what is kept ----

    def _keep(self, key: tuple[str, str], walk: _PartialStatement) -> None:
        walk.used_ms = self._context.clock.now_ms()
        self._kept[key] = walk
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT or self._too_much():
            self._kept.popitem(last=False)
        if self._sweeping is None:
            self._sweeping = self._context.clock.later(KEPT_MS / 1000, self._sweep_later)

    def _too_much(self) -> bool:
        # The statement being given out stays, however large it is.
        return len(self._kept) > 1 and sum(walk.lines.size for walk in self._kept.values()) > MOST_KEPT_BYTES

    def _sweep(self) -> None:
        """Free statements not used for KEPT_MS; a clock that was set back frees all."""
        now_ms = self._context.clock.now_ms()
        for key, walk in tuple(self._kept.items()):
            if not 0 <= now_ms - walk.used_ms < KEPT_MS:
                del self._kept[key]

    def _sweep_later(self) -> None:
        self._sweeping = None
        self._sweep()
        if self._kept:
            self._sweeping = self._context.clock.later(KEPT_MS / 1000, self._sweep_later)
