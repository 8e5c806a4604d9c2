"""Judges every request of the control API: may this user use this verb, and for which accounts?

The rules are in `gateway.control.matrix`. Root and the daemon's own user run the machine and pass. Every other user
must be an enrolled person whose roles, own or delegated now, admit the verb. A person's refused request is recorded in
the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.act import SocketProof
from gateway.call import Call, Denied
from gateway.control.matrix import MATRIX, AccessVerdict, judge
from gateway.control.server import Verb, VerbAnswer
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.people.act_answers.person_sessions import PersonSessions
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from gateway.people.rules.grants import Grants

_ROOT = 0
_log = log.get("control.access")


def name_of(verb: Verb) -> str:
    """The verb's key in the matrix of roles: its method and path."""
    return f"{verb.method} {verb.path.replace('([^/]+)', '{}')}"


def guarded(store: Store, clock: Clock, sessions: PersonSessions, verbs: Iterable[Verb]) -> tuple[Verb, ...]:
    """Wraps each verb so that the matrix of roles is checked before it.

    Raises AssertionError for a verb that the matrix does not name, because that is an error of the program.
    """
    made = []
    for verb in verbs:
        name = name_of(verb)
        assert name in MATRIX, f"{name} has no row in the register of acts"
        rule = MATRIX[name]
        opened = rule.everybody or bool(rule.roles)
        made.append(replace(verb, act=_behind(store, clock, sessions, name, verb.act), group=opened))
    return tuple(made)


def _behind(store: Store, clock: Clock, sessions: PersonSessions, name: str, act: VerbAnswer) -> VerbAnswer:
    async def judged(call: Call) -> Any:
        rule = MATRIX[name]
        # The matrix lets the request pass; the unit that acts judges the signer by DECISIONS and notes a refusal.
        if call.peer.uid in (_ROOT, call.owner) or rule.everybody or rule.shows is SocketProof.SIGNATURE:
            return await act(call)
        uid, actor = call.peer.uid, call.peer.actor
        now_ms = clock.now_ms()
        found = await store.read(lambda conn: entitlements.of_uid(conn, uid, now_ms, actor))
        if isinstance(found, No):
            verdict = judge(name, Grants(), signed_in=False)
            code, why = (found.code, found.why) if rule.roles else (verdict.code, f"{actor}: {verdict.why}")
            _log.warning("control.refused", code=code, verb=name, actor=actor)
            raise Denied(403, code, why)
        verdict = judge(name, found.grants, sessions.use(uid, found.person.name))
        if verdict.why:
            await _note(store, actor, found.person.name, name, verdict)
            raise Denied(403, verdict.code, f"{found.person.name}: {verdict.why}; nothing was changed")
        return await act(replace(call, scope=verdict.scope, person=found.person.name))

    return judged


async def _note(store: Store, actor: str, person: str, name: str, verdict: AccessVerdict) -> None:
    _log.warning("control.refused", code=verdict.code, verb=name, actor=actor)
    detail = {"verb": name, "code": verdict.code}
    await store.write(lambda tx: audit.append(tx, actor, "access.refused", f"person:{person}", detail))
