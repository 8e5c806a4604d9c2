"""Serial numbers for conversations: drawn from the journal ahead of need, and given out once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta

from twisted.internet.defer import DeferredLock

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.bank_session import BankSession
from gateway.bank.host_date import HostDate
from gateway.bank.lane_parts import LaneParts
from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.tasks import Tasks
from protocols.bank import Context

SERIALS_DRAWN = 1_000


class Serials:
    """One lane's stock of reserved serial numbers. `context` makes a conversation's context, with numbers that are
    never given out again.

    `on_drawn` is called after each draw.
    """

    def __init__(
        self, parts: LaneParts, calendar: BankCalendar, host_date: HostDate, tasks: Tasks, on_drawn: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._host_date = host_date
        self._calendar = calendar
        self._tasks = tasks
        self._on_drawn = on_drawn
        self._stock: deque[int] = deque()
        self._per_context = parts.bank.profile.serials_per_word
        # Enough for each conversation that was admitted and has not begun, and for one more.
        self._reserve = self._per_context * (parts.window + 1)
        self._stocking = DeferredLock()
        self._drawing = False

    @property
    def enough(self) -> bool:
        """True if there are numbers for every conversation that may begin before the next draw."""
        return len(self._stock) >= self._reserve

    def refill(self) -> None:
        """Draw numbers in the background, unless a draw is under way."""
        if not self._drawing:
            self._drawing = True
            self._tasks.spawn(self.draw())

    async def stock(self) -> None:
        """Return when the stock has `enough` numbers."""
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
        """The values that one conversation needs: time, bank date, serial numbers, credentials, sign-on state.

        Only a question (attempt 0) gets the bank date that the host stated, because the date in a payment's record
        decides about its repeats and cut-off.
        """
        now_ms = self._parts.clock.now_ms()
        if len(self._stock) < max(SERIALS_DRAWN // 4, 2 * self._reserve):
            self.refill()
        count = self._per_context
        assert len(self._stock) >= count, "serial numbers ran out between the pump and the conversation"
        now, bank_date = self._calendar.local_and_bank_date(now_ms)
        host = self._host_date.days
        if host.ahead and not attempt:
            bank_date += timedelta(days=host.ahead)
        return Context(
            reference=reference,
            attempt=attempt,
            bank_date=bank_date,
            now=now,
            serials=tuple([self._stock.popleft() for _ in range(count)]),
            credentials=self._parts.credentials,
            session=session.sign_on if session is not None else {},
            host=host,
        )

    async def stocked_context(self, session: BankSession | None) -> Context:
        """As `context`, after waiting for enough numbers."""
        await self.stock()
        return self.context(session)
