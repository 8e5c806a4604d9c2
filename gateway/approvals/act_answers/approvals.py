"""Handlers of the acts about approvals of payments: list requests, show their text, approve, reject, renew.

The text and the bytes that are signed come from the journal's own record. The signer is the person of the UNIX user
that the kernel names; the unit that records the signature verifies it against the enrolled key.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gateway.act_ports import Accounts
from gateway.approvals.acts import ListRequests, NamedRequest, RejectRequest
from gateway.approvals.rows import approval_checks, approval_decisions, approval_holds, approval_requests, approvals
from gateway.approvals.rows.approval_checks import ApprovalProgress
from gateway.approvals.rows.approval_decisions import DecidedRequest, GivenDecision
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, ApprovalRow
from gateway.approvals.rules import approval_digest, approval_text
from gateway.approvals.rules.approval_digest import ApprovalSubject
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store, Tx
from gateway.payments.rows import judged_orders
from gateway.people.refusals import refused
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from gateway.people.rules.scopes import Scope
from protocols.canon.money import Money
from protocols.erp.news import instant

_BY_WAY_OF = "control"
_LISTED_MOST = 200


@dataclass(frozen=True, slots=True)
class ApprovalAnswers:
    """Answers the control API's acts about approvals."""

    store: Store
    clock: Clock
    accounts: Accounts

    @answers("approvals.list")
    async def listing(self, call: Call, params: ListRequests) -> Any:
        """The requests for approval in the caller's scope, or (`all`) also the decided ones; the newest first. `sender`
        and `subject` name one order or batch, `request` one request; `after` is the last one of the page before."""
        states = () if params.every else (RequestState.OPEN,)
        sender, subject = params.sender, params.subject
        key, after = params.request, params.after

        def about(conn: Any) -> Sequence[ApprovalRequest]:
            found = approval_requests.about(conn, sender, subject)
            return [one for one in found if not states or one.state in states]

        def named(conn: Any) -> Sequence[ApprovalRequest]:
            found = approval_requests.fetch(conn, key)
            return () if found is None else (found,)

        def requests_in_scope(conn: Any) -> tuple[list[tuple[ApprovalRequest, list[ApprovalRow]]], bool]:
            asked = named(conn) if key else about(conn) if subject else approval_requests.listing(conn, states, after)
            inside = (one for one in asked if self._inside(call.scope, one))
            listed = [(one, approvals.of_request(conn, one.request)) for one in islice(inside, _LISTED_MOST)]
            return listed, next(inside, None) is not None

        found, more = await self.store.read(requests_in_scope)
        return {"approvals": [self._shown(*one) for one in found], "next": found[-1][0].request if more else None}

    @answers("approvals.show")
    async def show(self, call: Call, params: NamedRequest) -> Any:
        """One request: the bytes that are signed, and their text. The text shows full account numbers, so the audit
        trail notes who saw it.
        """
        key = params.request

        def read_and_audit(tx: Tx) -> tuple[ApprovalRequest, list[ApprovalRow], ApprovalProgress | None] | No:
            found = approval_requests.fetch(tx.fresh, key)
            if found is None or not self._inside(call.scope, found):
                return No(
                    "no_such_request",
                    f"there is no request {key} in your scope; `bankgw approvals list` shows what waits",
                )
            audit.append(tx, call.peer.actor, "approval.shown", f"{found.sender}/{found.subject}", {"request": key})
            return found, approvals.of_request(tx.read, key), self._standing(tx, found)

        said = await self.store.write(read_and_audit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, request=key)
        request, given, standing = said
        return {
            **self._shown(request, given),
            "form": request.form.decode("ascii"),
            "words": {language: approval_text.signed_text(request.form, language) for language in ("en", "zh")},
            "missing": None if standing is None else standing.missing or None,
            "void": {} if standing is None else dict(standing.void),
        }

    @answers("approvals.approve")
    async def approve(self, call: Call, params: NamedRequest) -> Any:
        """Record an approval. After the last approval that is needed, the payments may be sent."""
        return await self._decide(call, params.request, ApprovalDecision.APPROVE, "")

    @answers("approvals.reject")
    async def reject(self, call: Call, params: RejectRequest) -> Any:
        """Record a rejection: the payments are cancelled."""
        return await self._decide(call, params.request, ApprovalDecision.REJECT, params.reason)

    @answers("approvals.renew")
    async def renew(self, call: Call, params: NamedRequest) -> Any:
        """Make a new request for payments whose request expired."""
        key, registry = params.request, self.accounts()

        def renew_request(tx: Tx) -> ApprovalRequest | No:
            found = approval_requests.fetch(tx.fresh, key)
            if found is not None and not self._inside(call.scope, found):
                return No("no_such_request", f"there is no request {key} in your scope")
            return approval_decisions.renew(tx, key, call.peer.actor, registry)

        said = await self.store.write(renew_request)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor, request=key)
        return self._shown(said, [])

    async def _decide(self, call: Call, request: str, decision: ApprovalDecision, reason: str) -> Any:
        registry, peer = self.accounts(), call.peer
        given = GivenDecision(request, decision, call.text("digest"), _octets(call), reason, _BY_WAY_OF, peer.actor)

        def decide_request(tx: Tx) -> DecidedRequest | No:
            entitled = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
            return approval_decisions.decide(tx, given, entitled, registry)

        said = await self.store.write(decide_request)
        if isinstance(said, No):
            raise refused(said, actor=peer.actor, request=given.request)
        rows = [{"payment": row.payment, "id": row.order.id, "state": row.life.state.value} for row in said.changed]
        return {
            **self._shown(said.request, []),
            "missing": said.missing or None,
            "changed": len(rows),
            "payments": rows[:50],
        }

    def _standing(self, tx: Tx, request: ApprovalRequest) -> ApprovalProgress | None:
        rows = approval_decisions.rows_of(tx, request)
        if not rows or request.state is not RequestState.OPEN:
            return None
        context = judged_orders.context_of(tx, rows[0], self.accounts())
        need = approval_holds.needed_by(tx, rows, context)
        return approval_checks.standing(tx, request, rows, need)

    def _shown(self, one: ApprovalRequest, given: Sequence[ApprovalRow]) -> dict[str, Any]:
        about, now_ms = approval_digest.parse(one.form), self.clock.now_ms()
        state: str = one.state.value
        if one.state is RequestState.OPEN and now_ms >= one.expires_ms:
            state = "expired"
        elif one.state is RequestState.OPEN and one.escalates_ms is not None and now_ms >= one.escalates_ms:
            state = "late"
        sums = ", ".join(f"{Money(minor, currency)} {currency}" for currency, minor in sorted(about.sums.items()))
        return {
            "request": one.request,
            "state": state,
            "sender": one.sender,
            "subject": one.subject,
            "kind": about.kind,
            "count": len(about.lines),
            "sum": sums,
            "maker": one.maker,
            "digest": one.digest,
            "need": [{"group": group, "approvers": count} for group, count in one.need.of_group],
            "decided": [
                {
                    "person": row.person,
                    "decision": row.decision.value,
                    "at": instant(row.at_ms),
                    "by_way_of": row.by_way_of,
                    "reason": row.reason or None,
                }
                for row in given
            ],
            "made_at": instant(one.made_ms),
            "expires_at": instant(one.expires_ms),
            "late_from": None if one.escalates_ms is None else instant(one.escalates_ms),
        }

    def _inside(self, scope: Scope, one: ApprovalRequest) -> bool:
        return scope.whole or all(scope.covers(*own) for own in self._owners(approval_digest.parse(one.form)))

    def _owners(self, about: ApprovalSubject) -> set[tuple[str, str]]:
        """The company and number of each own account in the request. An account that is no longer an own account has no
        company."""
        registry, found = self.accounts(), set()
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
