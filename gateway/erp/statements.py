"""A day's statement: the bank's pages walked to their end, checked, and given out in pages of the asker's size."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.asking import Unavailable
from gateway.core.hours import bank_date, local
from gateway.core.policy import Route
from gateway.erp.hearing import no_answer, ours
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Line, Page
from protocols.erp import account_replies, cursor
from protocols.erp.account_replies import Statement, line_id
from protocols.erp.words import StatementRequest
from protocols.kit.errors import ProtocolError

if TYPE_CHECKING:
    from gateway.erp.answers import Answers

MAX_PAGES = 2_000
WALKS = 3
"""How often a day is walked until its own count agrees: today's entries may grow while one walks."""
KEPT_MS = 600_000
MOST_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Kept:
    """A statement whose later pages may be asked for, what makes it this one, and when it was read."""

    statement: Statement
    digest: str
    at_ms: int


class Statements:
    """See the module."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def answer(self, sender: str, query: StatementRequest, wait_s: float) -> Mapping[str, Any] | Refusal:
        """One page of the day's statement; or why there is none."""
        answers, until_s = self._answers, self._answers.clock.monotonic_s() + wait_s
        route = answers.registry.route_of(query.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "not an own account of the register (any more)")
        impossible = self._impossible(route, query.day)
        if impossible is not None:
            return impossible
        scope = ("statement", sender, query.account.clear, query.day.isoformat())
        offset, digest = 0, ""
        if query.after is not None:
            opened = cursor.unseal(answers.cursor_key, scope, query.after)
            if isinstance(opened, Refusal):
                return opened
            offset, digest = json.loads(opened)
        try:
            kept = await self._whole(route, query, until_s)
        except (Unavailable, ProtocolError) as error:
            return no_answer(route, error)
        statement, now = kept.statement, kept.digest
        if not statement.fits:
            return Refusal(Code.BANK_UNCLEAR, f"{route.bank}'s opening balance and entries do not make its closing one")
        if digest and digest != now:
            return Refusal(Code.BAD_CURSOR, "the day has changed since the first page; begin again without `after`")
        lines, end = statement.lines[offset : offset + query.limit], offset + query.limit
        more = end < len(statement.lines)
        following = cursor.seal(answers.cursor_key, scope, json.dumps([end, now])) if more else None
        matched = await answers.store.read(lambda conn: ours(conn, route.lane, lines))
        return account_replies.statement_ready(statement, lines, following, matched)

    def _impossible(self, route: Route, day: date) -> Refusal | None:
        profile = self._answers.registry.banks[route.bank].profile
        hours, now_ms = profile.limits.hours, self._answers.clock.now_ms()
        oldest = local(hours, now_ms).date() - timedelta(days=profile.history_days)
        # After its cut-off, and on a closed day, a bank may book for its next day already.
        newest = bank_date(hours, now_ms)
        if oldest <= day <= newest:
            return None
        detail = f"{route.bank} answers from {oldest.isoformat()} to {newest.isoformat()}"
        fault = Fault("/date", FieldCode.DATE_RANGE, detail, profile.history_days)
        return Refusal(Code.VALIDATION, f"{route.bank} has no statement of that day", (fault,))

    async def _whole(self, route: Route, query: StatementRequest, until_s: float) -> _Kept:
        """The whole day: the one whose first page was given out a moment ago, or a fresh walk."""
        key, now_ms = (query.account.clear, query.day.isoformat()), self._answers.clock.now_ms()
        kept = self._kept.get(key)
        if query.after is not None and kept is not None and now_ms - kept.at_ms < KEPT_MS:
            return kept
        hours = self._answers.registry.banks[route.bank].profile.limits.hours
        # The calendar's day: after a cut-off today's is not over yet.
        closed = query.day < local(hours, now_ms).date()
        pages, lines = await self._counted(route, query, until_s)
        statement = Statement(query.account, route.currency, query.day, lines, pages[0].opening, pages[-1].closing,
                              closed)  # fmt: skip
        fresh = self._kept[key] = _Kept(statement, _digest(statement), now_ms)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return fresh

    async def _counted(
        self, route: Route, query: StatementRequest, until_s: float
    ) -> tuple[list[Page], tuple[Line, ...]]:
        """The day's pages and entries, as many as the bank itself counts. Raises ProtocolError."""
        walks = 0
        while True:
            pages = await self._walk(route, query.account, query.day, until_s)
            lines = tuple(line for page in pages for line in page.lines)
            walks += 1
            if pages[-1].total_lines in (None, len(lines)):
                return pages, lines
            if walks >= WALKS:
                raise ProtocolError("paging", f"the bank counts {pages[-1].total_lines} entries and gave {len(lines)}")

    async def _walk(self, route: Route, account: AccountNumber, day: date, until_s: float) -> list[Page]:
        """Every page of the day. Raises ProtocolError where the bank's continuation does not end."""
        put = self._answers.registry.banks[route.bank].questions.lines
        if put is None:
            raise Unavailable("unsupported", f"{route.bank} does not list entries (any more)")
        pages: list[Page] = []
        at, seen = None, set[str]()
        while True:
            wait_s = max(until_s - self._answers.clock.monotonic_s(), 0.0)
            question = LinesQuestion(account, day, day, route.currency, at)
            page = await self._answers.ask(route.lane, "lines", partial(put, question), wait_s)
            pages.append(page)
            at = page.cursor
            if at is None:
                return pages
            if at in seen or len(pages) >= MAX_PAGES:
                raise ProtocolError("paging", "the bank's continuation repeats or does not end")
            seen.add(at)


def _digest(statement: Statement) -> str:
    """What must be the same for two pages to be pages of one statement."""
    parts = [str(statement.opening), str(statement.closing), *map(_line_part, statement.lines)]
    return sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _line_part(line: Line) -> str:
    return f"{line_id(line)} {line.direction.value} {line.amount.minor}"
