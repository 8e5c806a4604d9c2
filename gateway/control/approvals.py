"""The control API's verbs for approvals of payments: what waits, its words, approve, reject, ask anew.

The words and the bytes that are signed come from the journal's own record. Who signs is the person of the UNIX user
that the kernel names; the signature is verified against the enrolled key in the unit that records it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from itertools import islice
from typing import Any

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_checks, approval_decisions, approval_holds, held_orders
from gateway.journal.payments.approval_checks import ApprovalStanding
from gateway.journal.payments.approval_decisions import DecidedRequest, GivenDecision
from gateway.journal.people import approval_requests, approvals, entitlements
from gateway.journal.people.approval_requests import ApprovalRequest, RequestState
from gateway.journal.people.approvals import ApprovalDecision, ApprovalRow
from gateway.journal.people.persons import No
from gateway.people import approval_digest, approval_text
from gateway.people.approval_digest import ApprovalSubject
from gateway.people.scopes import Scope
from protocols.canon.money import Money
from protocols.erp.news import instant

_BY_WAY_OF = "control"
_LISTED_MOST = 200


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about approvals."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("GET", "/approvals", acts.listing),
        Verb("GET", f"/approvals/{one}", acts.show),
        Verb("POST", f"/approvals/{one}/approve", acts.approve),
        Verb("POST", f"/approvals/{one}/reject", acts.reject),
        Verb("POST", f"/approvals/{one}/renew", acts.renew),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """What waits for approval in the caller's scope, or (`all`) also what was decided; the newest first. `sender`
        and `subject` name one order or batch, `request` one request; `after` is the last one of the page before."""
        states = () if call.query.get("all") else (RequestState.OPEN,)
        sender, subject = call.query.get("sender", ""), call.query.get("subject", "")
        key, after = call.query.get("request", ""), call.query.get("after", "")

        def about(conn: Any) -> Sequence[ApprovalRequest]:
            found = approval_requests.about(conn, sender, subject)
            return [one for one in found if not states or one.state in states]

        def named(conn: Any) -> Sequence[ApprovalRequest]:
            found = approval_requests.fetch(conn, key)
            return () if found is None else (found,)

        def look(conn: Any) -> tuple[list[tuple[ApprovalRequest, list[ApprovalRow]]], bool]:
            asked = named(conn) if key else about(conn) if subject else approval_requests.listing(conn, states, after)
            inside = (one for one in asked if self._inside(call.scope, one))
            listed = [(one, approvals.of_request(conn, one.request)) for one in islice(inside, _LISTED_MOST)]
            return listed, next(inside, None) is not None

        found, more = await self._daemon_handle.store.read(look)
        return {"approvals": [self._shown(*one) for one in found], "next": found[-1][0].request if more else None}

    async def show(self, call: Call) -> Any:
        """One request: the bytes that are signed, and their words. They name accounts in clear, so looking is noted."""
        key = call.parts[0]

        def unit(tx: Tx) -> tuple[ApprovalRequest, list[ApprovalRow], ApprovalStanding | None] | No:
            found = approval_requests.fetch(tx.fresh, key)
            if found is None or not self._inside(call.scope, found):
                return No("no_such_request", f"there is no request {key} in your scope; `bankgw approvals list` shows "
                          f"what waits")  # fmt: skip
            audit.append(tx, call.peer.actor, "approval.shown", f"{found.sender}/{found.subject}", {"request": key})
            return found, approvals.of_request(tx.read, key), self._standing(tx, found)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, request=key)
        request, given, standing = said
        return {
            **self._shown(request, given), "form": request.form.decode("ascii"),
            "words": {language: approval_text.words(request.form, language) for language in ("en", "zh")},
            "missing": None if standing is None else standing.missing or None,
            "void": {} if standing is None else dict(standing.void),
        }  # fmt: skip

    async def approve(self, call: Call) -> Any:
        """Record an approval; with the last one that is needed, the payments go."""
        return await self._decide(call, ApprovalDecision.APPROVE, "")

    async def reject(self, call: Call) -> Any:
        """Record a no: the payments are cancelled."""
        return await self._decide(call, ApprovalDecision.REJECT, call.text("reason"))

    async def renew(self, call: Call) -> Any:
        """Ask anew about what expired."""
        key, registry = call.parts[0], self._daemon_handle.register()

        def unit(tx: Tx) -> ApprovalRequest | No:
            found = approval_requests.fetch(tx.fresh, key)
            if found is not None and not self._inside(call.scope, found):
                return No("no_such_request", f"there is no request {key} in your scope")
            return approval_decisions.renew(tx, key, call.peer.actor, registry)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, request=key)
        return self._shown(said, [])

    async def _decide(self, call: Call, decision: ApprovalDecision, reason: str) -> Any:
        registry, peer = self._daemon_handle.register(), call.peer
        given = GivenDecision(call.parts[0], decision, call.text("digest"), _octets(call), reason, _BY_WAY_OF,
                              peer.actor)  # fmt: skip

        def unit(tx: Tx) -> DecidedRequest | No:
            entitled = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
            return approval_decisions.decide(tx, given, entitled, registry)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=peer.actor, request=given.request)
        rows = [{"payment": row.payment, "id": row.order.id, "state": row.life.state.value} for row in said.changed]
        return {
            **self._shown(said.request, []), "missing": said.missing or None, "changed": len(rows),
            "payments": rows[:50],
        }  # fmt: skip

    def _standing(self, tx: Tx, request: ApprovalRequest) -> ApprovalStanding | None:
        rows = approval_decisions.rows_of(tx, request)
        if not rows or request.state is not RequestState.OPEN:
            return None
        context = held_orders.context_of(tx, rows[0], self._daemon_handle.register())
        need = approval_holds.needed_by(tx, rows, context)
        return approval_checks.standing(tx, request, rows, need)

    def _shown(self, one: ApprovalRequest, given: Sequence[ApprovalRow]) -> dict[str, Any]:
        about, now_ms = approval_digest.read(one.form), self._daemon_handle.clock.now_ms()
        state: str = one.state.value
        if one.state is RequestState.OPEN and now_ms >= one.expires_ms:
            state = "expired"
        elif one.state is RequestState.OPEN and one.escalates_ms is not None and now_ms >= one.escalates_ms:
            state = "late"
        sums = ", ".join(f"{Money(minor, currency)} {currency}" for currency, minor in sorted(about.sums.items()))
        return {
            "request": one.request, "state": state, "sender": one.sender, "subject": one.subject, "kind": about.kind,
            "count": len(about.lines), "sum": sums, "maker": one.maker, "digest": one.digest,
            "need": [{"group": group, "approvers": count} for group, count in one.need.of_group],
            "decided": [{"person": row.person, "decision": row.decision.value, "at": instant(row.at_ms),
                         "by_way_of": row.by_way_of, "reason": row.reason or None} for row in given],
            "made_at": instant(one.made_ms), "expires_at": instant(one.expires_ms),
            "late_from": None if one.escalates_ms is None else instant(one.escalates_ms),
        }  # fmt: skip

    def _inside(self, scope: Scope, one: ApprovalRequest) -> bool:
        return scope.whole or all(scope.covers(*own) for own in self._owners(approval_digest.read(one.form)))

    def _owners(self, about: ApprovalSubject) -> set[tuple[str, str]]:
        """Company and number of the own accounts that it is about; what is no own account any more has no company."""
        registry, found = self._daemon_handle.register(), set()
        for line in about.lines:
            accounts = (line.debtor_account, line.payee_account)
            routes = [route for one in accounts if (route := registry.route_of(one)) is not None]
            found.add((routes[0].company, routes[0].account) if routes else ("", line.debtor_account))
        return found


def _octets(call: Call) -> bytes:
    given = call.body.get("signature")
    try:
        return b64decode(given if isinstance(given, str) else "", validate=True)
    except ValueError:
        raise Denied(400, "not_base64", "`signature` must be base64") from None
