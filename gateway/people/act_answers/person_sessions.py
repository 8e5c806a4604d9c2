"""Sessions of persons who signed in, each bound to the UNIX user that the kernel names at the socket.

Sessions are kept in memory: a restart of the daemon ends all of them. There is no token that could be stolen or
replayed.
"""

from __future__ import annotations

from dataclasses import replace

from gateway import settings as conf
from gateway.kernel.clock import Clock
from gateway.people.rules.sessions import PersonSession, SessionLimits

CHALLENGE_MS = 120_000
_MOST_CHALLENGES = 1_000


def limits_of(settings: conf.Settings) -> SessionLimits:
    """The limits of sessions in the settings."""
    control = settings.control
    return SessionLimits(int(control.session_idle_s * 1000), int(control.session_most_s * 1000))


class PersonSessions:
    """The sessions on the control socket: at most one session and one open challenge for each UNIX user."""

    def __init__(self, clock: Clock, limits: SessionLimits) -> None:
        self._clock = clock
        self.limits = limits
        self._sessions: dict[int, PersonSession] = {}
        self._challenges: dict[int, tuple[str, int]] = {}

    def now_ms(self) -> int:
        """The milliseconds of the monotonic clock."""
        return int(self._clock.monotonic_s() * 1000)

    def offer(self, uid: int, challenge: str) -> None:
        """Remember a challenge; it replaces an earlier one of the same user."""
        now_ms = self.now_ms()
        self._challenges = {one: said for one, said in self._challenges.items() if said[1] > now_ms}
        if len(self._challenges) < _MOST_CHALLENGES:
            self._challenges[uid] = (challenge, now_ms + CHALLENGE_MS)

    def take_challenge(self, uid: int) -> str | None:
        """The user's open challenge, which is used up by the call."""
        challenge, until_ms = self._challenges.pop(uid, ("", 0))
        return challenge if self.now_ms() < until_ms else None

    def begin(self, person: str, uid: int, factor: str) -> PersonSession:
        """Open a session; it replaces an earlier one of the same user."""
        now_ms = self.now_ms()
        self._sessions = {one: said for one, said in self._sessions.items() if said.alive(now_ms, self.limits)}
        self._sessions[uid] = PersonSession(person, uid, factor, now_ms, now_ms)
        return self._sessions[uid]

    def of(self, uid: int, person: str) -> PersonSession | None:
        """The user's session if it is alive and this person's."""
        found = self._sessions.get(uid)
        if found is None or found.person != person or not found.alive(self.now_ms(), self.limits):
            self._sessions.pop(uid, None)
            return None
        return found

    def use(self, uid: int, person: str) -> bool:
        """True if the user has a session of this person. Its idle time begins again."""
        found = self.of(uid, person)
        if found is None:
            return False
        self._sessions[uid] = replace(found, seen_ms=self.now_ms())
        return True

    def end(self, uid: int) -> None:
        """End the user's session and challenge."""
        self._sessions.pop(uid, None)
        self._challenges.pop(uid, None)

    def end_of(self, person: str) -> None:
        """End the person's sessions, because the person's rights or factors changed."""
        self._sessions = {uid: one for uid, one in self._sessions.items() if one.person != person}
