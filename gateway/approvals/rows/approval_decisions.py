"""A person approves or rejects a request: the checks, the record, and the change of the payments, in one unit.

A refused attempt is recorded too, with its reason; nothing else changes then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.approvals.rows import approval_checks, approval_holds, approval_requests, approvals
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, ApprovalRow
from gateway.approvals.rules import approval_digest
from gateway.kernel.commit import audit
from gateway.kernel.commit.lane_releases import IN_SAFE_MODE, MAY_LACK_SENDS
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import HOLD_BAND
from gateway.kernel.core.states import UNSENT, Cancel, Event
from gateway.payments.rows import batch_rows, held_orders, judged_orders, lookup
from gateway.payments.rows import transition as applying
from gateway.people.rows import entitlements, person_signatures, persons
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No
from gateway.register.registry import Registry
from protocols.canon.outcome import State
from protocols.erp.news import instant


@dataclass(frozen=True, slots=True)
class GivenDecision:
    """A person's decision about a request: the digest that was signed, and the signature. `by_way_of` as in
    ApprovalRow."""

    request: str
    decision: ApprovalDecision
    digest: str
    signature: bytes
    reason: str
    by_way_of: str
    actor: str


@dataclass(frozen=True, slots=True)
class DecidedRequest:
    """A request after a decision: the approvals still missing ("": none), and the payments that the decision released
    or ended."""

    request: ApprovalRequest
    missing: str
    changed: tuple[PaymentRow, ...] = ()


def decide(tx: Tx, given: GivenDecision, entitled: EntitledPerson | No, registry: Registry) -> DecidedRequest | No:
    """Record the decision if every check passes, and release or end the payments if it completes the request."""
    # Two nodes that record an approval each must see each other's.
    request = approval_requests.fetch(tx.fresh, given.request, lock=True)
    said = _decide(tx, given, entitled, registry, request)
    if isinstance(said, No):
        about = f"approval:{given.request}" if request is None else f"{request.sender}/{request.subject}"
        person = None if isinstance(entitled, No) else entitled.person.name
        audit.append(
            tx,
            given.actor,
            "approval.refused",
            about,
            {
                "request": given.request,
                "code": said.code,
                "why": said.why,
                "decision": given.decision.value,
                "person": person,
                "by_way_of": given.by_way_of,
            },
        )
    return said


def rows_of(tx: Tx, request: ApprovalRequest) -> tuple[PaymentRow, ...]:
    """The payments that the request names, in its order, in their present state."""
    row = lookup.find(tx.read, request.sender, request.subject)
    if row is not None:
        return (row,)
    there = {one.order.id: one for one in batch_rows.items(tx.read, request.sender, request.subject)}
    named = (line.order for line in approval_digest.parse(request.form).lines)
    return tuple(there[order] for order in named if order in there)


def _decide(
    tx: Tx, given: GivenDecision, entitled: EntitledPerson | No, registry: Registry, request: ApprovalRequest | None
) -> DecidedRequest | No:
    if request is None:
        return No("no_such_request", f"there is no request {given.request}; `bankgw approvals list` shows what waits")
    if isinstance(entitled, No):
        return entitled
    rows = rows_of(tx, request)
    no = _why_not(tx, given, entitled, registry, request, rows)
    if no is not None:
        return no
    person = entitled.person
    octets = approvals.to_sign(given.digest, given.decision)
    key = person_signatures.signing_key(person, given.signature, octets)
    new = approvals.record(
        tx,
        ApprovalRow(
            request.request,
            person.name,
            request.maker or rows[0].order.maker,
            given.decision,
            given.digest,
            tx.now_ms,
            key,
            given.signature,
            given.by_way_of,
            given.reason,
        ),
    )
    if not new:
        return No(
            "decided_already",
            f"{person.name} has decided request {request.request} already; a request needs "
            f"different persons; nothing was changed",
        )
    used = person_signatures.answered_now(person, given.signature, octets)
    if used is not None:
        persons.passkey_used(tx, person, used)
    detail = {
        "request": request.request,
        "digest": request.digest,
        "person": person.name,
        "key": key,
        "by_way_of": given.by_way_of,
        "reason": given.reason,
    }
    about, verb = f"{request.sender}/{request.subject}", given.decision.value
    audit.append(tx, given.actor, f"approval.{'given' if verb == 'approve' else 'denied'}", about, detail)
    if given.decision is ApprovalDecision.REJECT:
        return _reject(tx, given, request, rows, person.name)
    return _complete(tx, given, request, rows, registry)


def _why_not(
    tx: Tx,
    given: GivenDecision,
    entitled: EntitledPerson,
    registry: Registry,
    request: ApprovalRequest,
    rows: Sequence[PaymentRow],
) -> No | None:
    person, key = entitled.person, request.request
    said = _why_closed(tx, request, rows)
    if said is not None:
        return said
    maker = approval_checks.makers_as(tx, request, rows, person.name)
    if maker:
        return No(
            "own_payment",
            f"{maker} made it, and {person.name} is {maker} or stands in for {maker} or the other "
            f"way round; somebody else approves it",
        )
    gone = sorted({row.bank for row in rows} - set(registry.banks))
    if gone and given.decision is ApprovalDecision.APPROVE:
        return No("not_now", f"request {key}: the settings have no bank {gone[0]} any more; nothing was changed")
    why = approval_checks.why_not_entitled(tx, person, rows)
    if why:
        return No("not_allowed", f"{why}; nothing was changed")
    why = approval_checks.why_changed(tx, request, rows, registry.approval_terms)
    if not why and len(rows) != len(approval_digest.parse(request.form).lines):
        why = "a line of it is not there any more"
    if why:
        return No("changed", f"request {key}: {why}; nothing was changed")
    if given.digest != request.digest:
        return No("changed", f"request {key}: you signed other words than those of the request; show it again")
    octets = approvals.to_sign(given.digest, given.decision)
    by_key = person.signed(given.signature, octets)
    if not by_key and person_signatures.answered_now(person, given.signature, octets) is None:
        return No(
            "wrong_signature",
            f"that is not the signature of {person.name} under this decision: the key file is "
            f"not the one enrolled (fingerprint {person.fingerprint[:16]}…); nothing was changed",
        )
    for one in approvals.of_request(tx.read, key):
        if one.person != person.name and entitlements.one_seat(tx.raw, one.person, person.name, tx.now_ms):
            return No(
                "one_seat",
                f"{one.person} has decided it, and one of the two stands in for the other: they "
                f"count once; nothing was changed",
            )
    if given.decision is ApprovalDecision.REJECT and _may_be_sent(tx, rows):
        return No("too_late", f"{IN_SAFE_MODE}reject request {key} again once SAFE MODE has ended")
    return None


def _may_be_sent(tx: Tx, rows: Sequence[PaymentRow]) -> bool:
    """True if the journal may lack the send of one of the payments. If the ERP were told that such a payment is
    cancelled, it would order it again.
    """
    return any(row.life.state in UNSENT and tx.ports.of(MAY_LACK_SENDS)(row.lane) for row in rows)


def _why_closed(tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow]) -> No | None:
    """Why a request accepts no decision any more; None if it accepts one."""
    key = request.request
    # A payment whose send was recorded, but whose bytes never left, has no time of a send.
    if any(row.life.first_write_ms is not None for row in rows):
        return No("already_sent", f"request {key}: it was sent already; nothing was changed")
    if request.state is not RequestState.OPEN:
        return No("closed", f"request {key} is {request.state.value} already; nothing was changed")
    if tx.now_ms >= request.expires_ms:
        return No(
            "expired",
            f"request {key} expired at {instant(request.expires_ms)}: bankgw approvals renew {key} "
            f"asks anew; nothing was changed",
        )
    if not rows or all(row.life.state not in UNSENT for row in rows):
        states = ", ".join(sorted({row.life.state.value for row in rows})) or "gone"
        return No("closed", f"request {key}: what it is about is {states}; nothing was changed")
    return None


def _complete(
    tx: Tx, given: GivenDecision, request: ApprovalRequest, rows: Sequence[PaymentRow], registry: Registry
) -> DecidedRequest:
    need = approval_holds.needed_by(tx, rows, judged_orders.context_of(tx, rows[0], registry))
    found = approval_checks.standing(tx, request, rows, need)
    if found.missing:
        return DecidedRequest(request, found.missing)
    detail = {"by": list(found.approvers), "digest": request.digest}
    settled = approval_requests.settle(tx, request, RequestState.APPROVED, given.actor, detail)
    assert settled, "it was open in this very unit"
    changed = []
    for row in rows:
        event = held_orders.approved(tx, row, registry)
        if event is not None:
            changed.append(_befall(tx, row, event, given.actor, "order.approved", {"by": list(found.approvers)}))
    now = approval_requests.fetch(tx.fresh, request.request)
    assert now is not None
    return DecidedRequest(now, "", tuple(changed))


def _reject(
    tx: Tx, given: GivenDecision, request: ApprovalRequest, rows: Sequence[PaymentRow], person: str
) -> DecidedRequest:
    """End every unsent payment that the request names, because one approver rejected it, whatever else it waits for."""
    approval_requests.settle(tx, request, RequestState.REJECTED, given.actor, {"by": person, "reason": given.reason})
    detail = {"by": person, "reason": given.reason}
    changed = [
        _befall(tx, row, Cancel(tx.now_ms), given.actor, "order.not_approved", detail)
        for row in rows
        if row.life.state in UNSENT
    ]
    now = approval_requests.fetch(tx.fresh, request.request)
    assert now is not None
    return DecidedRequest(now, "", tuple(changed))


def _befall(tx: Tx, row: PaymentRow, event: Event, actor: str, entry: str, detail: Mapping[str, Any]) -> PaymentRow:
    applied = applying.apply(tx, row.payment, event, epoch=None, actor=actor)
    assert applied.row_after is not None, "one unit reads and changes: nobody can come between"
    audit.append(tx, actor, entry, row.payment, detail)
    return applied.row_after


def renew(tx: Tx, key: str, actor: str, registry: Registry) -> ApprovalRequest | No:
    """Make a new request for the payments of a request that expired or is void. The new request needs at least what the
    old one needed."""
    # Two nodes must not both make a new request.
    request = approval_requests.fetch(tx.fresh, key, lock=True)
    if request is None:
        return No("no_such_request", f"there is no request {key}; `bankgw approvals list` shows what waits")
    rows = [row for row in rows_of(tx, request) if row.life.state is State.HELD and HOLD_BAND in row.holds]
    last = [row for row in rows if approval_checks.is_last(tx, row, request)]
    if request.is_open(tx.now_ms) or not last:
        return No(
            "not_now",
            f"request {key} is not the last about {request.sender}:{request.subject}, is open still, "
            f"or nothing waits for it; nothing was changed",
        )
    context = judged_orders.context_of(tx, last[0], registry)
    return approval_checks.ask_anew(tx, last[0], request, context, f"renewed by {actor}")
