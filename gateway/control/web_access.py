"""Every request of a web page passes here: whose session is it, may this person ask for this verb, about what?

The rules are `gateway.people.matrix`, as for the command line. A page has no rights of its own: root, the daemon's own
user and the user of the page are nobody here, only the session counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from gateway import log
from gateway.control.access import name_of
from gateway.control.peer_credentials import PeerCredentials
from gateway.control.server import Act, Call, Denied, Verb
from gateway.journal.people import entitlements, sign_outs
from gateway.journal.people.entitlements import EntitledPerson
from gateway.journal.people.persons import No
from gateway.journal.sql.vaults import vault_of
from gateway.people import web_tokens
from gateway.people.matrix import MATRIX, Proof, judge
from gateway.people.sessions import SessionLimits
from gateway.people.web_tokens import WebPage, WebSession

_NO_UID = -1
_log = log.get("control.web")


@dataclass(frozen=True, slots=True)
class WebJudge:
    """What judging needs: reading the journal, the time, how long sessions last, and where a no is noted
    (call, person, verb, code)."""

    read: Callable[[Callable[[Connection], Any]], Awaitable[Any]]
    now_ms: Callable[[], int]
    limits: SessionLimits
    note: Callable[[Call, str, str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that holds now, and what its person may do now."""

    session: WebSession
    entitled: EntitledPerson


class WebSessions:
    """Reads sessions. Those that were ended are in the journal until they would have ended by themselves."""

    def __init__(self, judge_by: WebJudge) -> None:
        self.judge_by = judge_by

    async def of(self, token: str) -> SignedIn:
        """The session of a token. Raises Denied 403 `sign_in`, and what `entitlements` says of a person."""
        by = self.judge_by
        now_ms = by.now_ms()

        def look(conn: Connection) -> tuple[WebSession, EntitledPerson | No] | None:
            found = web_tokens.read(token, vault_of(conn).mac, now_ms, by.limits)
            if found is None or sign_outs.ended(conn, found.nonce):
                return None
            return found, entitlements.of_name(conn, found.person, now_ms)

        found = await by.read(look)
        if found is None:
            raise Denied(403, "sign_in", "you are not signed in, or it is too long ago")
        session, entitled = found
        if isinstance(entitled, No):
            raise Denied(403, entitled.code, entitled.why)
        return SignedIn(session, entitled)


def actor_of(person: str) -> str:
    """The name under which the audit trail keeps what a person does from a browser."""
    return f"web:{person}"


def as_person(call: Call, person: str) -> Call:
    """The call as the person's, not the page's."""
    return replace(call, peer=PeerCredentials(_NO_UID, actor_of(person)), person=person)


def guarded(sessions: WebSessions, verbs: Iterable[Verb]) -> tuple[Verb, ...]:
    """The same verbs, each behind the matrix, for persons in a browser."""
    made = []
    for verb in verbs:
        name = name_of(verb)
        assert name in MATRIX, f"{name} has no row in gateway/people/matrix.py"
        made.append(replace(verb, act=_behind(sessions, name, verb.act), group=True))
    return tuple(made)


def _behind(sessions: WebSessions, name: str, act: Act) -> Act:
    async def judged(call: Call) -> Any:
        rule = MATRIX[name]
        if rule.everybody or rule.proof is Proof.SIGNATURE:
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
            raise Denied(403, "step_up", "show your password and code, or a passkey, again: this leaves the gateway")
        return await act(replace(as_person(call, person), scope=verdict.scope))

    return judged


APPROVAL_PAGE = frozenset({
    "GET /approvals", "GET /approvals/{}", "GET /web/session", "POST /web/renew", "POST /web/sign-out",
})  # fmt: skip
"""All that a session of the approval page is good for."""


STEP_UP = frozenset({"GET /receipts/{}/file", "POST /web/exports/reports/{}"})
"""What leaves the gateway as a file: its person has shown a factor not long ago (`web_tokens.PROVEN_MS`)."""


async def _refuse(sessions: WebSessions, call: Call, person: str, name: str, code: str, why: str) -> None:
    _log.warning("control.refused", code=code, verb=name, actor=actor_of(person))
    await sessions.judge_by.note(call, person, name, code)
    raise Denied(403, code, f"{person}: {why}; nothing was changed")
