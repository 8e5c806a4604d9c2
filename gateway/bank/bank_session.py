"""One session at a bank: it carries one conversation at a time over its own connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from gateway.bank.answer_times import AnswerTimes
from gateway.bank.connection import BankConnection
from gateway.bank.dialer import NotConnected
from gateway.bank.exchange_trace import LaneTrace
from gateway.bank.session_states import SessionState
from gateway.kernel.clock import Clock
from protocols.bank import Bank, Port


class Dialer(Protocol):
    """Opens connections of one lane to its bank."""

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect to this port of the bank. Fires after a verified handshake, or fails with NotConnected."""


class SessionOwner(Protocol):
    """The part of a session pool that a session uses."""

    bank: Bank
    clock: Clock
    dialer: Dialer
    trace: LaneTrace
    answer_times: AnswerTimes

    def allow(self, port_name: str) -> None:
        """Raise NotConnected unless this node certainly owns the lane at this very moment."""

    def may_write(self) -> bool:
        """True if bytes may be written at this very moment."""

    def release(self, session: BankSession, *, distrust: bool = False, signed_out: bool = False) -> None:
        """Take the session back after a conversation."""

    def lost(self, session: BankSession) -> None:
        """Note that a kept connection of the session ended."""


class BankSession:
    """One session: its state, its connections, and the bank's answer to the sign-on."""

    def __init__(self, session_pool: SessionOwner, number: int) -> None:
        self.number = number
        self.state = SessionState.DOWN
        self.worked = False
        self.trouble = ""
        self.trouble_text = ""
        self.failed_s = float("-inf")
        self.payment = ""
        self.sign_on: Mapping[str, str] = {}
        self.taken_s = float("-inf")
        self.trace = session_pool.trace.session(number)
        self._session_pool = session_pool
        self._lines: dict[str, BankConnection] = {}
        self._dialling_s: float | None = None

    @property
    def asked_s(self) -> float | None:
        """The time since which this session waits for an answer or a handshake of the bank; None if it waits for
        neither.
        """
        asked = [line.asked_s for line in self._lines.values() if line.asked_s is not None]
        return min(asked, default=self._dialling_s)

    async def line(self, port_name: str, *, same: bool = False) -> BankConnection:
        """This session's connection to a port: the kept one, or a fresh one. Raises NotConnected.

        Every exchange except a permitted payment passes here in the reactor turn of its write. The process may have
        stood still while the exchange waited for a connection or for its turn to sign on, so nothing is written unless
        the lease still holds. A short connection carries one exchange, because the bank is about to close it. The next
        exchange gets its own connection, unless the conversation wants the `same`.
        """
        self._session_pool.allow(port_name)
        held = self._lines.get(port_name)
        port = self._session_pool.bank.ports[port_name]
        if held is not None and held.live:
            if port.kept or same or not held.exchanges:
                return held
            held.finish()
        pool = self._session_pool
        trace, times = self.trace.connection(port_name), pool.answer_times
        self._dialling_s = pool.clock.monotonic_s()
        try:
            line = await pool.dialer.dial(
                port, lambda: BankConnection(port, pool.clock, self._gone, pool.may_write, trace, times)
            )
        except NotConnected as error:
            self.trace.not_connected(port_name, f"{error.reason.value}: {error.detail}")
            raise
        finally:
            self._dialling_s = None
        self._lines[port_name] = line
        pool.allow(port_name)
        return line

    def release(self, *, distrust: bool = False, signed_out: bool = False) -> None:
        """Return the session to its pool after a conversation: see SessionPool.release."""
        self.payment = ""
        self._session_pool.release(self, distrust=distrust, signed_out=signed_out)

    def close_short(self, *, hang_up: bool = False) -> None:
        """Close the connections that are not kept after a conversation; with `hang_up` all of them, at once."""
        ending = {name: line for name, line in self._lines.items() if hang_up or not line.port.kept}
        if not ending:
            return
        for name, line in ending.items():
            del self._lines[name]
            self.worked = self.worked or line.exchanges > 1
            if hang_up:
                line.hang_up()
            else:
                line.finish()
        if any(line.port.kept for line in ending.values()):
            self._session_pool.lost(self)

    def _gone(self, line: BankConnection) -> None:
        if self._lines.get(line.port.name) is line:
            del self._lines[line.port.name]
            self.worked = self.worked or line.exchanges > 1
            if line.port.kept:
                self._session_pool.lost(self)
