"""Every request passes here: may this user ask for this verb, and about which accounts?

The rules are `gateway.people.matrix`. Root and the daemon's own user run the machine and pass; everybody else must be
an enrolled person whose roles, held or delegated now, admit the verb. A person's refused request is in the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway import log
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.person_sessions import PersonSessions
from gateway.control.server import Act, Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.journal.people import entitlements
from gateway.journal.people.persons import No
from gateway.people.grants import Grants
from gateway.people.matrix import MATRIX, AccessVerdict, Proof, judge

_ROOT = 0
_log = log.get("control.access")


def name_of(verb: Verb) -> str:
    """The verb's row of the matrix."""
    return f"{verb.method} {verb.path.replace('([^/]+)', '{}')}"


def guarded(daemon_handle: DaemonHandle, sessions: PersonSessions, verbs: Iterable[Verb]) -> tuple[Verb, ...]:
    """The same verbs, each behind the matrix. A verb without a row is an error of the program: AssertionError."""
    made = []
    for verb in verbs:
        name = name_of(verb)
        assert name in MATRIX, f"{name} has no row in gateway/people/matrix.py"
        rule = MATRIX[name]
        opened = rule.everybody or bool(rule.roles)
        made.append(replace(verb, act=_behind(daemon_handle, sessions, name, verb.act), group=opened))
    return tuple(made)


def _behind(daemon_handle: DaemonHandle, sessions: PersonSessions, name: str, act: Act) -> Act:
    async def judged(call: Call) -> Any:
        rule = MATRIX[name]
        # Who signs is judged by DECISIONS in the unit that acts, and a no is noted at the decision's subject.
        if call.peer.uid in (_ROOT, call.owner) or rule.everybody or rule.proof is Proof.SIGNATURE:
            return await act(call)
        uid, actor = call.peer.uid, call.peer.actor
        now_ms = daemon_handle.clock.now_ms()
        found = await daemon_handle.store.read(lambda conn: entitlements.of_uid(conn, uid, now_ms, actor))
        if isinstance(found, No):
            verdict = judge(name, Grants(), signed_in=False)
            code, why = (found.code, found.why) if rule.roles else (verdict.code, f"{actor}: {verdict.why}")
            _log.warning("control.refused", code=code, verb=name, actor=actor)
            raise Denied(403, code, why)
        verdict = judge(name, found.grants, sessions.use(uid, found.person.name))
        if verdict.why:
            await _note(daemon_handle, actor, found.person.name, name, verdict)
            raise Denied(403, verdict.code, f"{found.person.name}: {verdict.why}; nothing was changed")
        return await act(replace(call, scope=verdict.scope, person=found.person.name))

    return judged


async def _note(daemon_handle: DaemonHandle, actor: str, person: str, name: str, verdict: AccessVerdict) -> None:
    _log.warning("control.refused", code=verdict.code, verb=name, actor=actor)
    detail = {"verb": name, "code": verdict.code}
    await daemon_handle.store.write(
        lambda tx: audit.append(tx, actor, "access.refused", f"person:{person}", detail)
    )  # fmt: skip
