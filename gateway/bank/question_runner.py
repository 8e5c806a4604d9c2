"""Puts one question to the bank on a session: keeps the pace, measures the exchange, and gives the session back after a
fault."""

from __future__ import annotations

from typing import TypeVar

from gateway.bank import conversation as bank_conversation
from gateway.bank.bank_session import BankSession
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.fault_reasons import signed_out
from gateway.bank.host_date import HostDate
from gateway.bank.lane_parts import LaneParts
from gateway.bank.serials import Serials
from gateway.kernel.tasks import sleep
from protocols.bank import Conversation
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError

R = TypeVar("R")
RATE_LIMITED_REST_S = 1.0


class QuestionRunner:
    """Puts questions to the bank: keeps the pace and measures the exchange. Questions move no money and may be
    repeated."""

    def __init__(self, parts: LaneParts, metrics: ExchangeMetrics, serials: Serials, host_date: HostDate) -> None:
        self._parts = parts
        self._host_date = host_date
        self._metrics = metrics
        self._serials = serials

    async def run(
        self, session: BankSession, operation: str, conversation: Conversation[R], *, opening: bool = False
    ) -> R:
        """Put one question to the bank and count it. Raises NotConnected, NoAnswer or ProtocolError."""
        started_s = self._parts.clock.monotonic_s()
        outcome = "ok"
        try:
            result = await bank_conversation.ask(session, conversation, self._parts.signers, opening=opening)
            self._host_date.hear(result)
            return result
        except (NotConnected, NoAnswer, ProtocolError) as error:
            outcome = self._metrics.fault(error, operation)
            if isinstance(error, ProtocolError):
                session.trace.refused(str(error))
            raise
        finally:
            self._metrics.observe(operation, outcome, self._parts.clock.monotonic_s() - started_s)

    def release_after(self, session: BankSession, error: NotConnected | NoAnswer | ProtocolError) -> None:
        """Give the session back after a fault. A decline, or a question that was not put, leaves its connections
        usable; any other fault ends them.

        If the bank answers that requests come too fast, this login sends it no request for a moment.
        """
        if isinstance(error, Declined) and error.outcome == "rate_limited":
            self._parts.login.rest(RATE_LIMITED_REST_S)
        session.release(distrust=not isinstance(error, Declined | CannotAsk), signed_out=signed_out(error))

    async def wait_for_pace(self, sort: str) -> None:
        """Return when the bank's pace allows one more request of a conversation that is already under way."""
        login = self._parts.login
        while (wait_s := login.wait_s(sort)) > 0:
            await sleep(self._parts.clock, wait_s)
        login.begin(sort)
        await self._serials.stock()
