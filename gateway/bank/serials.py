"""Serial numbers for conversations: drawn from the journal ahead of need, and given out once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import DeferredLock

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.lane_parts import LaneParts
from gateway.bank.session_pool import BankSession
from gateway.journal.commit.serials import draw_serials
from gateway.tasks import Tasks
from protocols.bank import Context

SERIALS_DRAWN = 1_000


class Serials:
    """The stock of one lane. `context` makes a conversation's context, with numbers that are never given out again.

    `on_drawn` is called after each draw.
    """

    def __init__(self, parts: LaneParts, calendar: BankCalendar, tasks: Tasks, on_drawn: Callable[[], None]) -> None:
        self._parts = parts
        self._calendar = calendar
        self._tasks = tasks
        self._on_drawn = on_drawn
        self._stock: deque[int] = deque()
        self._per_context = parts.bank.profile.serials_per_word
        # Each conversation that was let in, and has not begun, finds its numbers, and so does the next.
        self._reserve = self._per_context * (parts.window + 1)
        self._stocking = DeferredLock()
        self._drawing = False

    @property
    def enough(self) -> bool:
        """Whether there are numbers for every conversation that may begin before the next draw."""
        return len(self._stock) >= self._reserve

    def refill(self) -> None:
        """Draw numbers in the background, unless that is under way."""
        if not self._drawing:
            self._drawing = True
            self._tasks.spawn(self.draw())

    async def stock(self) -> None:
        """Return when there are `enough` numbers."""
        if self.enough:
            return
        await self._stocking.acquire()
        try:
            while not self.enough:
                await self.draw()
        finally:
            self._stocking.release()

    async def draw(self) -> None:
        """Draw numbers from the journal and add them to the stock."""
        count = max(SERIALS_DRAWN, 2 * self._reserve)
        try:
            drawn = await self._parts.store.write(lambda tx: draw_serials(tx, self._parts.bank_name, count))
        finally:
            self._drawing = False
        self._stock.extend(drawn)
        self._on_drawn()

    def context(self, session: BankSession | None, reference: str = "", attempt: int = 0) -> Context:
        """What one conversation needs from outside: time, bank date, serial numbers, credentials, sign-on state."""
        now_ms = self._parts.clock.now_ms()
        if len(self._stock) < max(SERIALS_DRAWN // 4, 2 * self._reserve):
            self.refill()
        count = self._per_context
        assert len(self._stock) >= count, "serial numbers ran out between the pump and the conversation"
        now, bank_date = self._calendar.local_and_bank_date(now_ms)
        return Context(
            reference=reference, attempt=attempt, bank_date=bank_date, now=now,
            serials=tuple([self._stock.popleft() for _ in range(count)]),
            credentials=self._parts.credentials, session=session.sign_on if session is not None else {},
        )  # fmt: skip

    async def stocked_context(self, session: BankSession | None) -> Context:
        """As `context`, after waiting for enough numbers."""
        await self.stock()
        return self.context(session)
