"""Answers the ERP's questions: balances and entries, asked of the bank through its lane, one reply each.

A question waits in the journal until its reply is in the outbox; a restart asks again. Balances are kept for as long
as a question's `max_age` allows; entries are gathered over the bank's pages up to the limit that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Asker, Unavailable
from gateway.clock import Clock, Entropy
from gateway.core.hours import local
from gateway.core.policy import Route
from gateway.erp import mail
from gateway.journal import payments, questions
from gateway.journal.rows import QuestionRow
from gateway.journal.store import Store, Tx
from gateway.registry import Registry
from gateway.tasks import Tasks
from protocols.bank import Questions
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Line, Page
from protocols.erp import commands, cursor, replies
from protocols.erp.replies import BalanceAnswer
from protocols.erp.words import BalanceQuery, CommandType, TransactionsQuery
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

MAX_PAGES = 500
STOPPING = "stopping"
"""What a lane says that leaves with the daemon: the question stays in the journal and is asked in the next life."""
_OURS = Refusal(Code.INTERNAL, "a fault of the gateway; an operator is told")
_log = log.get("erp.answers")


@dataclass(frozen=True, slots=True)
class _Known:
    """A balance as it was told. `since_ms` is its age by our clock: the bank's may be ahead of it."""

    balance: Balance
    as_of_ms: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a walk over pages goes on: the bank's cursor of a page, and how many of its lines were given out."""

    bank_cursor: str | None
    skip: int

    def text(self) -> str:
        return json.dumps([self.bank_cursor, self.skip])

    @classmethod
    def read(cls, text: str) -> _Place:
        bank_cursor, skip = json.loads(text)
        return cls(bank_cursor, skip)


class Answers:
    """See the module. `take` starts on a committed question."""

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, entropy: Entropy, cursor_key: bytes, ask: Asker
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._cursor_key = cursor_key
        self._ask = ask
        self._balances: dict[str, _Known] = {}
        self._tasks = Tasks(self._failed)

    def take(self, row: QuestionRow) -> None:
        """Answer this question; it stays in the journal until its reply is written."""
        self._tasks.spawn(self._answer(row))

    def stop(self) -> None:
        """Drop what is under way; the questions stay in the journal and are asked again after the restart."""
        self._tasks.stop()

    def _failed(self, failure: Failure) -> None:
        _log.error("question.defect", error=failure.getTraceback(detail="brief"), action="asked again after a restart")

    async def _answer(self, row: QuestionRow) -> None:
        type_ = CommandType(row.operation)
        command = commands.read(type_, row.reply.content_type, row.body)
        wait_s = (row.expires_ms - self._clock.now_ms()) / 1000
        said: Mapping[str, Any] | Refusal
        if wait_s <= 0:
            said = Refusal(Code.EXPIRED, "max_wait was over before the question could be put to the bank")
        elif isinstance(command, BalanceQuery):
            said = await self._balances_of(command, wait_s)
        elif isinstance(command, TransactionsQuery):
            said = await self._page_of(row.sender, command, wait_s)
        else:
            said = command if isinstance(command, Refusal) else Refusal(Code.INTERNAL, "not a question for a bank")
        name = replies.BALANCE_RESULT if type_ is CommandType.BALANCE_QUERY else replies.TRANSACTIONS_PAGE
        if isinstance(said, Refusal):
            name, said = replies.COMMAND_REJECTED, replies.rejection(type_, None, said)
        await self._write(row, name, said)

    async def _write(self, row: QuestionRow, name: str, said: Mapping[str, Any]) -> None:
        def unit(tx: Tx) -> None:
            reply = mail.answer_row(tx, row.reply, name, said, row.sender, None, self._entropy)
            questions.answer(tx, row.question, reply)

        await self._store.write(unit)

    # ---- balances ----

    async def _balances_of(self, query: BalanceQuery, wait_s: float) -> Mapping[str, Any]:
        asked = [Deferred.fromCoroutine(self._balance(account, query.max_age_s, wait_s)) for account in query.accounts]
        results = await DeferredList(asked, consumeErrors=True)
        answers: list[BalanceAnswer] = []
        errors: list[tuple[AccountNumber, Refusal]] = []
        for account, (worked, result) in zip(query.accounts, results, strict=True):
            if not worked:
                result = _defect(result)
            if isinstance(result, Refusal):
                errors.append((account, result))
            else:
                assert isinstance(result, BalanceAnswer)
                answers.append(result)
        return replies.balance_result(answers, errors)

    async def _balance(self, account: AccountNumber, max_age_s: int, wait_s: float) -> BalanceAnswer | Refusal:
        route = self._registry.route_of(account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "not an own account of the register (any more)")
        known = self._balances.get(account.clear)
        if known is not None and self._clock.now_ms() - known.since_ms < max_age_s * 1000:
            return BalanceAnswer(known.balance, route.currency, known.as_of_ms, "cache")
        words = self._words(route)
        if words.balance is None:
            return Refusal(Code.UNSUPPORTED, f"{route.bank} has no balance question")
        put = words.balance
        question = BalanceQuestion(account, route.currency)
        try:
            balance = await self._ask(route.lane, "balance", partial(put, question), wait_s)
        except (Unavailable, ProtocolError) as error:
            return _no_answer(route, error)
        now_ms = self._clock.now_ms()
        as_of_ms = now_ms if balance.as_of is None else int(balance.as_of.timestamp() * 1000)
        self._balances[account.clear] = _Known(balance, as_of_ms, min(as_of_ms, now_ms))
        return BalanceAnswer(balance, route.currency, as_of_ms, "bank")

    def _words(self, route: Route) -> Questions:
        return self._registry.banks[route.bank].questions

    # ---- entries ----

    async def _page_of(self, sender: str, query: TransactionsQuery, wait_s: float) -> Mapping[str, Any] | Refusal:
        asked = Deferred.fromCoroutine(self._entries_of(sender, query, wait_s))
        [(worked, result)] = await DeferredList([asked], consumeErrors=True)
        return result if worked else _defect(result)

    async def _entries_of(self, sender: str, query: TransactionsQuery, wait_s: float) -> Mapping[str, Any] | Refusal:
        route = self._registry.route_of(query.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "not an own account of the register (any more)")
        words = self._words(route)
        if words.lines is None:
            return Refusal(Code.UNSUPPORTED, f"{route.bank} does not list entries")
        too_far = self._too_far_back(route, query)
        if too_far is not None:
            return too_far
        scope = (sender, query.account.clear, query.first.isoformat(), query.last.isoformat())
        place = _Place(None, 0)
        if query.after is not None:
            opened = cursor.unseal(self._cursor_key, scope, query.after)
            if isinstance(opened, Refusal):
                return opened
            place = _Place.read(opened)
        try:
            page, rest = await self._walk(route, query, place, self._clock.monotonic_s() + wait_s)
        except (Unavailable, ProtocolError) as error:
            return _no_answer(route, error)
        following = None if rest is None else cursor.seal(self._cursor_key, scope, rest.text())
        references = tuple({line.reference for line in page.lines if line.reference})
        ours = await self._store.read(lambda conn: _ours(conn, route.lane, references))
        return replies.transactions_page(query, page, following, ours)

    def _too_far_back(self, route: Route, query: TransactionsQuery) -> Refusal | None:
        profile = self._registry.banks[route.bank].profile
        today = local(profile.limits.hours, self._clock.now_ms()).date()
        oldest = today - timedelta(days=profile.history_days)
        if query.first < oldest:
            detail = f"{route.bank} answers back to {oldest.isoformat()}"
            fault = Fault("/from", FieldCode.DATE_RANGE, detail, profile.history_days)
            return Refusal(Code.VALIDATION, f"{route.bank} does not answer about so long ago", (fault,))
        return None

    async def _walk(
        self, route: Route, query: TransactionsQuery, place: _Place, until_s: float
    ) -> tuple[Page, _Place | None]:
        """Bank pages from `place` on until the limit is reached. A cursor that repeats ends in ProtocolError."""
        put = self._words(route).lines
        assert put is not None
        lines: list[Line] = []
        seen: set[str | None] = set()
        first: Page | None = None
        while True:
            if place.bank_cursor in seen or len(seen) >= MAX_PAGES:
                raise ProtocolError("paging", "the bank's continuation repeats or does not end")
            seen.add(place.bank_cursor)
            question = LinesQuestion(query.account, query.first, query.last, route.currency, place.bank_cursor)
            wait_s = max(until_s - self._clock.monotonic_s(), 0.0)
            page = await self._ask(route.lane, "lines", partial(put, question), wait_s)
            first = first or page
            room = query.limit - len(lines)
            fresh = page.lines[place.skip :]
            lines += fresh[:room]
            if len(fresh) > room:
                rest: _Place | None = _Place(place.bank_cursor, place.skip + room)
            else:
                rest = None if page.cursor is None else _Place(page.cursor, 0)
            if rest is None or len(lines) >= query.limit:
                closing = page.closing if rest is None else None
                return replace(page, lines=tuple(lines), opening=first.opening, closing=closing), rest
            place = rest


def _defect(failure: object) -> Refusal:
    """A defect of ours is an answer too: the asker must not wait for a restart. A stop is none: it asks again."""
    assert isinstance(failure, Failure)
    if failure.check(CancelledError):
        raise CancelledError
    _log.error("question.defect", error=failure.getTraceback(detail="brief"), action="answered internal")
    return _OURS


def _ours(conn: Connection, lane: str, references: tuple[str, ...]) -> dict[str, str]:
    """Our keys of the payments whose references a page names."""
    found = ((reference, payments.find_by_reference(conn, lane, reference)) for reference in references)
    return {reference: row.payment for reference, row in found if row is not None}


def _no_answer(route: Route, error: Unavailable | ProtocolError) -> Refusal:
    if isinstance(error, Unavailable) and STOPPING in (error.reason, str(error)):
        raise CancelledError
    if isinstance(error, Declined):
        code = Code.BANK_REFUSED if error.outcome == "failed" else Code.BANK_UNAVAILABLE
        return Refusal(code, f"{route.bank} answered {error.code} {error.bank_text}")
    if isinstance(error, ProtocolError):
        return Refusal(Code.BANK_UNCLEAR, f"{route.bank}'s answer could not be used ({error.reason}); ask again")
    return Refusal(Code.BANK_UNAVAILABLE, f"{route.bank} did not answer in time ({error.reason}); ask again")


