"""Judges every request of a web page: the session's person, and whether the person may use this verb for these
accounts.

The rules are in `gateway.control.matrix`, as for the command line. A page has no rights of its own: root, the daemon's
own user and the user of the page have no rights here; only the session counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from gateway.act import ActProof, SocketProof
from gateway.call import Call, Denied, PeerCredentials
from gateway.control.access import name_of
from gateway.control.matrix import MATRIX, judge
from gateway.control.server import Verb, VerbAnswer
from gateway.kernel import log
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows import entitlements, sign_outs
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No
from gateway.people.rules import web_tokens
from gateway.people.rules.sessions import SessionLimits
from gateway.people.rules.web_tokens import WebPage, WebSession

_NO_UID = -1
_log = log.get("control.web")


@dataclass(frozen=True, slots=True)
class WebJudge:
    """The inputs for judging a request: access to the journal, the time, the length of sessions.

    The audit trail records refusals with call, person, verb and code.
    """

    read: Callable[[Callable[[Connection], Any]], Awaitable[Any]]
    now_ms: Callable[[], int]
    limits: SessionLimits
    note: Callable[[Call, str, str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid session, and its person's present rights."""

    session: WebSession
    entitled: EntitledPerson


class WebSessions:
    """Reads sessions. The journal lists ended ones until they would have expired."""

    def __init__(self, judge_by: WebJudge) -> None:
        self.judge_by = judge_by

    async def of(self, token: str) -> SignedIn:
        """The session of a token. Raises Denied 403 `sign_in`, or with the refusal of `entitlements`."""
        by = self.judge_by
        now_ms = by.now_ms()

        def session_and_person(conn: Connection) -> tuple[WebSession, EntitledPerson | No] | None:
            found = web_tokens.decode(token, vault_of(conn).mac, now_ms, by.limits)
            if found is None or sign_outs.ended(conn, found.nonce):
                return None
            return found, entitlements.of_name(conn, found.person, now_ms)

        found = await by.read(session_and_person)
        if found is None:
            raise Denied(403, "sign_in", "you are not signed in, or your sign-in has expired")
        session, entitled = found
        if isinstance(entitled, No):
            raise Denied(403, entitled.code, entitled.why)
        return SignedIn(session, entitled)


def actor_of(person: str) -> str:
    """The name in the audit trail of a person who acts from a browser."""
    return f"web:{person}"


def as_person(call: Call, person: str) -> Call:
    """The call with the person as its caller, instead of the page."""
    return replace(call, peer=PeerCredentials(_NO_UID, actor_of(person)), person=person)


def guarded(sessions: WebSessions, verbs: Iterable[Verb]) -> tuple[Verb, ...]:
    """Puts each verb behind the matrix of roles, for persons in a browser."""
    made = []
    for verb in verbs:
        name = name_of(verb)
        assert name in MATRIX, f"{name} has no row in the register of acts"
        made.append(replace(verb, act=_behind(sessions, name, verb.act), group=True))
    return tuple(made)


def _behind(sessions: WebSessions, name: str, act: VerbAnswer) -> VerbAnswer:
    async def judged(call: Call) -> Any:
        rule = MATRIX[name]
        if rule.everybody or rule.shows is SocketProof.SIGNATURE:
            return await act(call)
        found = await sessions.of(call.token)
        person = found.entitled.person.name
        if found.session.page is WebPage.APPROVAL and name not in APPROVAL_PAGE:
            why = "the approval page shows what waits for approval, and nothing else"
            await _refuse(sessions, call, person, name, "not_allowed", why)
        verdict = judge(name, found.entitled.grants, signed_in=True)
        if verdict.why:
            await _refuse(sessions, call, person, name, verdict.code, verdict.why)
        if name in STEP_UP and not found.session.proven(sessions.judge_by.now_ms()):
            raise Denied(
                403, "step_up", "enter your password and code, or use a passkey, again: the file leaves the gateway"
            )
        return await act(replace(as_person(call, person), scope=verdict.scope))

    return judged


APPROVAL_PAGE = frozenset(
    {"GET /approvals", "GET /approvals/{}", "GET /web/session", "POST /web/renew", "POST /web/sign-out"}
)
"""All that a session of the approval page is good for."""


STEP_UP = frozenset(name for name, act in MATRIX.items() if act.proof is ActProof.STEP_UP)
"""The acts whose answer leaves the gateway as a file: the person must have shown a factor not long ago
(`web_tokens.PROVEN_MS`)."""


async def _refuse(sessions: WebSessions, call: Call, person: str, name: str, code: str, why: str) -> None:
    _log.warning("control.refused", code=code, verb=name, actor=actor_of(person))
    await sessions.judge_by.note(call, person, name, code)
    raise Denied(403, code, f"{person}: {why}; nothing was changed")
