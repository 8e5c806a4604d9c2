"""The question service: answers the ERP's questions about balances, entries, statements and receipts, one reply each.

It also forwards the treasury's questions: reconciliation, reports, a whole book.

A question stays in the journal until its reply is in the outbox; after a restart it is asked again. If several nodes
share the journal, the node that owns the bank's lane answers, whichever node took the question in; a question that is
overdue is answered by any node. Balances are cached for as long as a question's `max_age` allows. Entries are collected
over the bank's pages up to the requested limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from gateway.kernel import log
from gateway.kernel.asking import Unavailable
from gateway.kernel.commit.rows import QuestionRow
from gateway.kernel.commit.store import StoreFailed, Tx
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.kernel.tasks import Tasks, sleep
from gateway.payments.erp.envelope import answer_row
from gateway.receipts.erp import Receipts, lane_of
from gateway.receipts.rows import receipts
from gateway.reconciliation.erp.ledger_closing import LedgerClosing
from gateway.reconciliation.erp.treasury_port import TreasuryPort
from gateway.statements.erp.bank_refusals import defect, no_answer, ours
from gateway.statements.erp.question_context import QuestionContext
from gateway.statements.erp.statements import Statements
from gateway.statements.rows import questions
from protocols.bank import Questions
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Line, Page
from protocols.erp import account_replies, commands, cursor, replies
from protocols.erp.account_replies import BalanceAnswer
from protocols.erp.treasury_words import ReconciliationQuery, ReportRequest, SubmitLedger
from protocols.erp.words import BalanceQuery, Command, CommandType, ReceiptRequest, StatementRequest, TransactionsQuery
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PAGES_MAX, TOO_MANY_PAGES

OVERDUE_MS = 5_000
"""How long after its expiry any node answers a question, because the node responsible for it is gone."""
_log = log.get("erp.questions")


@dataclass(frozen=True, slots=True)
class _Known:
    """A cached balance. `since_ms` is its time by this node's clock, because the bank's clock may be ahead."""

    balance: Balance
    as_of_ms: int
    since_ms: int

    def is_fresh(self, now_ms: int, max_age_s: float) -> bool:
        """True if the balance is not older than `max_age_s` seconds. False for a time in the future, which means that
        the clock was set back."""
        return 0 <= now_ms - self.since_ms < max_age_s * 1000


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in the bank's pages: the cursor of a page, and how many of its entries were given out."""

    bank_cursor: str | None
    skip: int

    def text(self) -> str:
        return json.dumps([self.bank_cursor, self.skip])

    @classmethod
    def from_text(cls, text: str) -> _Place:
        bank_cursor, skip = json.loads(text)
        return cls(bank_cursor, skip)


_NAMES = {
    CommandType.BALANCE_QUERY: replies.BALANCE_RESULT,
    CommandType.TRANSACTIONS_QUERY: replies.TRANSACTIONS_PAGE,
    CommandType.STATEMENT_REQUEST: replies.STATEMENT_READY,
    CommandType.RECEIPT_REQUEST: replies.RECEIPT_READY,
    CommandType.RECONCILIATION_QUERY: replies.RECONCILIATION_RESULT,
    CommandType.REPORT_REQUEST: replies.REPORT_READY,
}


def _rejected(row: QuestionRow, refusal: Refusal) -> tuple[str, Mapping[str, Any]]:
    return replies.COMMAND_REJECTED, replies.rejection(CommandType(row.operation), None, refusal)


class QuestionService:
    """Answers the ERPs' questions, one reply each. `start_answer` starts to answer a committed question.

    `elsewhere` says whether another node owns a lane. `poll_ms` is the interval for reading questions that other nodes
    took in; 0 on a single node.
    """

    def __init__(
        self, context: QuestionContext, treasury: TreasuryPort, elsewhere: Callable[[str], bool], poll_ms: float
    ) -> None:
        self.context = context
        self._treasury = treasury
        self._elsewhere = elsewhere
        self._poll_ms = poll_ms
        self._in_hand: set[str] = set()
        self._sealed: set[str] = set()
        self._balances: dict[str, _Known] = {}
        self._statements = Statements(context)
        self._receipts = Receipts(context)
        self._closing = LedgerClosing(context, treasury)
        self._tasks = Tasks(self._failed)

    def start_answer(self, row: QuestionRow) -> None:
        """Begin to answer this question, unless another node must. It stays in the journal until it is answered."""
        if row.question not in self._in_hand:
            self._in_hand.add(row.question)
            self._tasks.spawn(self._process(row))

    async def start(self) -> None:
        """Answer the questions in the journal, and start to scan for those that other nodes receive."""
        await self._scan()
        if self._poll_ms:
            self._tasks.spawn(self._keep_scanning())

    def cache_balance(self, balance: Balance, account: str) -> None:
        """Cache a balance that another part of the gateway received."""
        now_ms = self.context.clock.now_ms()
        as_of_ms = now_ms if balance.as_of is None else int(balance.as_of.timestamp() * 1000)
        self._balances[account] = _Known(balance, as_of_ms, min(as_of_ms, now_ms))

    def stop(self) -> None:
        """Stop answering. The questions stay in the journal and are asked again after the restart."""
        self._tasks.stop()
        self._statements.stop()

    def _failed(self, failure: Failure) -> None:
        _log.error(
            "question.defect",
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: the question is asked again after a restart; report this error",
        )

    async def _keep_scanning(self) -> None:
        while True:
            await sleep(self.context.clock, self._poll_ms / 1000)
            try:
                await self._scan()
            except (CancelledError, StoreFailed):
                raise
            except Exception as error:
                _log.error(
                    "question.scan_failed", error=str(error), action="open questions are read again at the next scan"
                )

    async def _scan(self) -> None:
        found, sealed = await self.context.store.read(questions.waiting)
        for question in sealed.keys() - self._sealed:
            _log.error(
                "question.unreadable",
                question=question,
                error=sealed[question],
                action="the question is not answered; check that the vault has all its keys",
            )
        self._sealed = set(sealed)
        for row in found:
            self.start_answer(row)

    async def _process(self, row: QuestionRow) -> None:
        try:
            command = commands.parse_command(CommandType(row.operation), row.reply.content_type, row.body)
            if not await self._is_ours(row, command):
                return
            if isinstance(command, SubmitLedger):
                await self._closing.answer(row, command)
            else:
                await self._answer(row, command)
        except (CancelledError, StoreFailed):
            raise
        except Exception:
            await self._write(row, *_rejected(row, defect(Failure())))
        finally:
            self._in_hand.discard(row.question)

    async def _is_ours(self, row: QuestionRow, command: Command | Refusal) -> bool:
        """True if this node answers the question: no other node owns the lane of its first account, or it is
        overdue."""
        if not self._poll_ms or self.context.clock.now_ms() >= row.expires_ms + OVERDUE_MS:
            return True
        lane = await self._lane_of(row.sender, command)
        return lane is None or not self._elsewhere(lane)

    async def _lane_of(self, sender: str, command: Command | Refusal) -> str | None:
        if isinstance(command, ReceiptRequest) and command.account is None:
            asked = command
            return await self.context.store.read(lambda conn: lane_of(conn, sender, asked))
        if isinstance(command, BalanceQuery):
            account: AccountNumber | None = command.accounts[0]
        elif isinstance(command, TransactionsQuery | StatementRequest | ReceiptRequest | ReconciliationQuery):
            account = command.account
        elif isinstance(command, SubmitLedger):
            account = command.head.account
        elif isinstance(command, ReportRequest):
            # One of the question's accounts must decide which node answers.
            account = command.account or AccountNumber(min(self.context.registry.routes, default=""))
        else:
            return None
        route = None if account is None else self.context.registry.route_of(account.clear)
        return None if route is None else route.lane

    async def _answer(self, row: QuestionRow, command: Command | Refusal) -> None:
        wait_s = (row.expires_ms - self.context.clock.now_ms()) / 1000
        said: Mapping[str, Any] | Refusal
        if wait_s <= 0:
            said = Refusal(Code.EXPIRED, "max_wait was over before the question could be answered")
        elif isinstance(command, BalanceQuery):
            said = await self._balances_of(command, wait_s)
        elif isinstance(command, TransactionsQuery):
            said = await self._guarded(self._entries_of(row.sender, command, wait_s))
        elif isinstance(command, StatementRequest):
            said = await self._guarded(self._statements.answer(row.sender, command, wait_s))
        elif isinstance(command, ReceiptRequest):
            said = await self._guarded(self._receipts.answer(row, command))
        elif isinstance(command, ReconciliationQuery | ReportRequest):
            said = await self._guarded(self._treasury.answer(row.sender, command))
        else:
            said = command if isinstance(command, Refusal) else Refusal(Code.INTERNAL, "not a question for a bank")
        answer = _rejected(row, said) if isinstance(said, Refusal) else (_NAMES[CommandType(row.operation)], said)
        # Another node may have taken the lane meanwhile; it then answers.
        if await self._is_ours(row, command):
            await self._write(row, *answer)

    async def _write(self, row: QuestionRow, name: str, said: Mapping[str, Any]) -> None:
        def write_reply(tx: Tx) -> None:
            reply = answer_row(tx, row.reply, name, said, row.sender, None)
            questions.answer(tx, row.question, reply)
            if row.operation == CommandType.RECEIPT_REQUEST.value:
                receipts.forget(tx, row.question)

        await self.context.store.write(write_reply)

    # ---- balances ----

    async def _balances_of(self, query: BalanceQuery, wait_s: float) -> Mapping[str, Any]:
        asked = [Deferred.fromCoroutine(self._balance(account, query, wait_s)) for account in query.accounts]
        results = await DeferredList(asked, consumeErrors=True)
        answers: list[BalanceAnswer] = []
        errors: list[tuple[AccountNumber, Refusal]] = []
        for account, (worked, result) in zip(query.accounts, results, strict=True):
            if not worked:
                result = defect(result)
            if isinstance(result, Refusal):
                errors.append((account, result))
            else:
                assert isinstance(result, BalanceAnswer)
                answers.append(result)
        return account_replies.balance_result(answers, errors)

    async def _balance(self, account: AccountNumber, query: BalanceQuery, wait_s: float) -> BalanceAnswer | Refusal:
        route = self.context.registry.route_of(account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "the account is not, or no longer, in the gateway's account register")
        known = self._balances.get(account.clear)
        if query.on is None and known is not None and known.is_fresh(self.context.clock.now_ms(), query.max_age_s):
            return BalanceAnswer(known.balance, route.currency, known.as_of_ms, "cache")
        words = self._questions_of(route)
        if words.balance is None:
            return Refusal(Code.UNSUPPORTED, f"{route.bank} has no balance question")
        put = words.balance
        question = BalanceQuestion(account, route.currency, query.on)
        try:
            balance = await self.context.ask(route.lane, "balance", partial(put, question), wait_s)
        except (Unavailable, ProtocolError) as error:
            return no_answer(route, error)
        now_ms = self.context.clock.now_ms()
        if query.on is not None:
            return BalanceAnswer(balance, route.currency, now_ms, "bank", query.on)
        as_of_ms = now_ms if balance.as_of is None else int(balance.as_of.timestamp() * 1000)
        self._balances[account.clear] = _Known(balance, as_of_ms, min(as_of_ms, now_ms))
        return BalanceAnswer(balance, route.currency, as_of_ms, "bank")

    def _questions_of(self, route: Route) -> Questions:
        return self.context.registry.banks[route.bank].questions

    # ---- entries ----

    async def _guarded(
        self, answering: Coroutine[Any, Any, Mapping[str, Any] | Refusal]
    ) -> Mapping[str, Any] | Refusal:
        [(worked, result)] = await DeferredList([Deferred.fromCoroutine(answering)], consumeErrors=True)
        return result if worked else defect(result)

    async def _entries_of(self, sender: str, query: TransactionsQuery, wait_s: float) -> Mapping[str, Any] | Refusal:
        route = self.context.registry.route_of(query.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "the account is not, or no longer, in the gateway's account register")
        words = self._questions_of(route)
        if words.lines is None:
            return Refusal(Code.UNSUPPORTED, f"{route.bank} does not list entries")
        too_far = self._too_far_back(route, query)
        if too_far is not None:
            return too_far
        scope = ("entries", sender, query.account.clear, query.first.isoformat(), query.last.isoformat())
        place = _Place(None, 0)
        if query.after is not None:
            opened = cursor.unseal(self.context.cursor_key, scope, query.after)
            if isinstance(opened, Refusal):
                return opened
            place = _Place.from_text(opened)
        try:
            page, rest = await self._walk(route, query, place, self.context.clock.monotonic_s() + wait_s)
        except (Unavailable, ProtocolError) as error:
            return no_answer(route, error)
        following = None if rest is None else cursor.seal(self.context.cursor_key, scope, rest.text())
        matched = await self.context.store.read(lambda conn: ours(conn, route.lane, page.lines))
        return account_replies.transactions_page(query, page, following, matched)

    def _last_day(self, route: Route, query: TransactionsQuery) -> date:
        """The last day of the question. One that reaches the calendar's day reaches the day that the bank states, too,
        because the entries booked now have that date."""
        hours = self.context.registry.banks[route.bank].profile.limits.hours
        today = local(hours, self.context.clock.now_ms()).date()
        ahead = timedelta(days=self.context.ahead_days(route.lane))
        return max(query.last, today + ahead) if query.last >= today else query.last

    def _too_far_back(self, route: Route, query: TransactionsQuery) -> Refusal | None:
        profile = self.context.registry.banks[route.bank].profile
        today = local(profile.limits.hours, self.context.clock.now_ms()).date()
        oldest = today - timedelta(days=profile.history_days - min(self.context.ahead_days(route.lane), 0))
        if query.first < oldest:
            detail = f"{route.bank} answers about days from {oldest.isoformat()} on"
            fault = Fault("/from", FieldCode.DATE_RANGE, detail, profile.history_days)
            return Refusal(Code.VALIDATION, f"{route.bank} does not answer questions about days so long ago", (fault,))
        return None

    async def _walk(
        self, route: Route, query: TransactionsQuery, place: _Place, until_s: float
    ) -> tuple[Page, _Place | None]:
        """Read pages of entries from `place` on up to the limit. Raises ProtocolError if a cursor repeats."""
        put = self._questions_of(route).lines
        assert put is not None
        lines: list[Line] = []
        seen: set[str | None] = set()
        first: Page | None = None
        last = self._last_day(route, query)
        while True:
            if place.bank_cursor in seen:
                raise ProtocolError("paging", "the bank's continuation repeats")
            if len(seen) >= PAGES_MAX:
                raise ProtocolError(TOO_MANY_PAGES, f"more than {PAGES_MAX} pages")
            seen.add(place.bank_cursor)
            question = LinesQuestion(query.account, query.first, last, route.currency, place.bank_cursor)
            wait_s = max(until_s - self.context.clock.monotonic_s(), 0.0)
            page = await self.context.ask(route.lane, "lines", partial(put, question), wait_s)
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
