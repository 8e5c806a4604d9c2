"""The states of one bank session, and the table of its moves. docs/understand/session-states.md is drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SessionState(StrEnum):
    """The state of a session. `live`: the bank has answered on it. `held`: a conversation or a heartbeat has it."""

    DOWN = "down"
    PAUSED = "paused"
    CONNECTING = "connecting"
    SIGNING_ON = "signing_on"
    READY = "ready"
    BUSY = "busy"
    LOST = "lost"
    BACKING_OFF = "backing_off"

    @property
    def live(self) -> bool:
        """True if the bank has answered an application message on the session, so that it may carry money."""
        return self in _LIVE

    @property
    def held(self) -> bool:
        """True if the session was taken and not released yet."""
        return self in _HELD


class SessionEvent(StrEnum):
    """The events that change a session's state."""

    PAUSE = "pause"
    CONNECT = "connect"
    CONNECTED = "connected"
    PROVEN = "proven"
    TAKEN = "taken"
    RELEASED = "released"
    ENDED = "ended"
    BACK_OFF = "back_off"


S, E = SessionState, SessionEvent
_LIVE = frozenset({S.READY, S.BUSY})
_HELD = frozenset({S.BUSY, S.LOST})

MEANINGS = {
    S.DOWN: "has no connection, and tries to connect next",
    S.PAUSED: "does not connect: the lane's lease has lapsed, or a refused sign-on must be waited out",
    S.CONNECTING: "opens its connections: TCP, TLS, our certificate",
    S.SIGNING_ON: "is connected; signs on, or sends a probe where the bank has no sign-on",
    S.READY: "the bank has answered; it waits for work",
    S.BUSY: "carries one conversation, or its heartbeat",
    S.LOST: "its connection ended while a conversation had it; it goes down when that is over",
    S.BACKING_OFF: "waits before it connects again",
}


@dataclass(frozen=True, slots=True)
class SessionStep:
    """One row of the session table: in each state of `before`, `event` leads to `after`."""

    before: frozenset[SessionState]
    event: SessionEvent
    after: SessionState
    why: str


def _in(*states: SessionState) -> frozenset[SessionState]:
    return frozenset(states)


_UNCONNECTED = _in(S.DOWN, S.PAUSED, S.BACKING_OFF)
TABLE = (
    SessionStep(
        _UNCONNECTED, E.PAUSE, S.PAUSED, "this node sends nothing to the bank while another node may own the lane"
    ),
    SessionStep(_UNCONNECTED, E.CONNECT, S.CONNECTING, "a kept session opens its connections"),
    SessionStep(_in(S.CONNECTING), E.CONNECTED, S.SIGNING_ON, "every kept connection has passed its handshake"),
    SessionStep(_in(S.SIGNING_ON), E.PROVEN, S.READY, "the bank has answered an application message"),
    SessionStep(
        _UNCONNECTED, E.PROVEN, S.READY, "short connections: an answer to the lane's probe makes all sessions ready"
    ),
    SessionStep(
        _in(S.LOST),
        E.PROVEN,
        S.BUSY,
        "short connections: the probe is answered while a conversation still has the session",
    ),
    SessionStep(_in(S.READY), E.TAKEN, S.BUSY, "one conversation at a time"),
    SessionStep(_in(S.BUSY), E.RELEASED, S.READY, "the conversation is over; the connections are in order"),
    SessionStep(_in(S.LOST), E.RELEASED, S.DOWN, "the conversation is over; the connection had ended before"),
    SessionStep(
        _in(S.READY, S.CONNECTING, S.SIGNING_ON), E.ENDED, S.DOWN, "refused, cut, silent, signed out, or the pool stops"
    ),
    SessionStep(
        _in(S.BUSY),
        E.ENDED,
        S.LOST,
        "its conversation must not go on over a new connection that has no answer of the bank yet",
    ),
    SessionStep(_in(S.LOST), E.ENDED, S.LOST, "its connection had ended already"),
    SessionStep(_UNCONNECTED, E.ENDED, S.DOWN, "the bank is still away, or the pool stops"),
    SessionStep(
        _UNCONNECTED, E.BACK_OFF, S.BACKING_OFF, "a bank that does not answer must not get one connection after another"
    ),
    SessionStep(
        _in(S.LOST), E.BACK_OFF, S.LOST, "a conversation still has it; it connects anew when the conversation is over"
    ),
)
_AFTER = {(state, move.event): move.after for move in TABLE for state in move.before}


class IllegalMove(AssertionError):
    """An event that the session table does not have for the session's state: a defect of the pool."""


def after(state: SessionState, event: SessionEvent) -> SessionState:
    """The state that `event` leads to. Raises IllegalMove if the table has no row."""
    try:
        return _AFTER[state, event]
    except KeyError:
        raise IllegalMove(f"a session that is {state.value} cannot be told {event.value!r}") from None
