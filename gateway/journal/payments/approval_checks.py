"""Whether a payment may go that needs approvals: they are judged anew at release and again when it is written down to
be sent, by the persons, delegations, policy and order of that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.policy import HOLD_BAND
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_holds
from gateway.journal.payments.approval_holds import ApprovalContext
from gateway.journal.people import approval_policies, approval_requests, approvals, entitlements, persons
from gateway.journal.people.approval_requests import ApprovalRequest, RequestState
from gateway.journal.people.approvals import ApprovalDecision, ApprovalRow
from gateway.people import approval_digest, approval_seats
from gateway.people.approval_bands import ANY, ApprovalNeed, stricter
from gateway.people.approval_digest import ApprovalLine, ApprovalSubject
from gateway.people.approval_terms import ApprovalTerms
from gateway.people.roles import PersonRole

_APPROVER = frozenset({PersonRole.APPROVER})


@dataclass(frozen=True, slots=True)
class ApprovalStanding:
    """Whose approvals count now, why others do not, and what is missing; "" if nothing is."""

    approvers: tuple[str, ...]
    void: Mapping[str, str]
    missing: str


def standing(
    tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow], need: ApprovalNeed
) -> ApprovalStanding:
    """How the request stands now. `need` is the policy's of this moment; the request's own counts too."""
    counted: list[str] = []
    void: dict[str, str] = {}
    for one in approvals.of_request(tx.read, request.request):
        if one.decision is ApprovalDecision.APPROVE:
            why = why_void(tx, one, request, rows)
            if why:
                void[one.person] = why
            else:
                counted.append(one.person)
    seats = approval_seats.seats(counted, lambda a, b: entitlements.one_seat(tx.raw, a, b, tx.now_ms))
    lacking = approval_seats.missing(stricter(request.need, need), seats, lambda group: _members(tx, request, group))
    return ApprovalStanding(seats, void, lacking)


def why_void(tx: Tx, one: ApprovalRow, request: ApprovalRequest, rows: Sequence[PaymentRow]) -> str:
    """Why an approval does not count now; "" if it does."""
    person = persons.of_name(tx.raw, one.person)
    if person is None or not person.enrolled:
        return f"{one.person} is not enrolled any more"
    if person.fingerprint != one.key or tx.now_ms < person.usable_from_ms:
        return f"the key of {one.person} was reset"
    if one.digest != request.digest or not person.signed(one.signature, approvals.to_sign(one.digest, one.decision)):
        return f"the signature of {one.person} is about something else"
    if is_maker(tx, request, person.name):
        return f"{one.person} made it, or stands in for who did"
    return why_not_entitled(tx, person, rows)


def why_not_entitled(tx: Tx, person: persons.Person, rows: Sequence[PaymentRow]) -> str:
    """Why this person may not approve these payments now; "" if the person may."""
    grants = entitlements.grants_of(tx.raw, person, tx.now_ms)
    scope = grants.where(_APPROVER)
    if scope.empty:
        return f"{person.name} is no approver"
    if not all(scope.covers(row.company, row.order.ours.account.clear) for row in rows):
        return f"{person.name} is approver only at {scope.text()}"
    return ""


def is_maker(tx: Tx, request: ApprovalRequest, person: str) -> bool:
    """True if the person made what is asked about, or is one seat with who did."""
    return request.maker is not None and entitlements.one_seat(tx.raw, person, request.maker, tx.now_ms)


def why_changed(tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow], terms: ApprovalTerms) -> str:
    """What of these payments is not as the request says; "" if all is. Of a batch, `rows` may be some of its lines."""
    about, lines, bearer = _read(request.form)
    if about.environment != terms.environment:
        return f"it was asked for in the environment {about.environment}, and this is {terms.environment}"
    if about.instance != approval_requests.instance(tx):
        return "it was asked for in another journal"
    order = rows[0].order
    head = (rows[0].sender, order.kind.value, order.channel.value, approval_holds.at_ms(order.not_before),
            approval_holds.at_ms(order.valid_until))  # fmt: skip
    if head != (about.sender, about.kind, about.channel, about.not_before_ms, about.valid_until_ms):
        return "its kind, channel or times are not those that were approved"
    for row in rows:
        if lines.get(row.order.id) != approval_holds.line_of(row.order):
            return f"order {row.order.id} is not as it was approved"
        if bearer[row.order.id].replace("-", "") != (row.order.terms.charge_bearer or ""):
            return f"who pays the fees of order {row.order.id} is not as it was approved"
    return ""


@lru_cache(maxsize=16)
def _read(form: bytes) -> tuple[ApprovalSubject, Mapping[str, ApprovalLine], Mapping[str, str]]:
    """A form with its lines and its fee bearers by order. Parsed once for all lines of a batch."""
    about = approval_digest.read(form)
    bearers = about.fee_bearer.split(",")
    each = bearers if len(bearers) > 1 else bearers * len(about.lines)
    by_order = {line.order: bearer for line, bearer in zip(about.lines, each, strict=True)}
    return about, {line.order: line for line in about.lines}, by_order


# ---- the two moments ----


def at_release(tx: Tx, row: PaymentRow, context: ApprovalContext) -> tuple[str, ...]:
    """`approval` if the order still waits for approvers; whoever was not asked yet, or must be asked anew, is."""
    need = approval_holds.needed_now(tx, row, context)
    request = approval_requests.latest(tx.read, row.sender, approval_holds.subject_name(row))
    if request is None and not need.approvers:
        return ()
    if request is not None and request.state is RequestState.OPEN:
        return (HOLD_BAND,)
    why = ""
    if request is not None:
        why = _why_not_approved(tx, row, request, need) or why_changed(tx, request, (row,), context.terms)
        if not why:
            return ()
    ask_anew(tx, row, request, need, context.terms, why)
    return (HOLD_BAND,)


def at_send(
    tx: Tx, rows: Sequence[PaymentRow], terms: ApprovalTerms
) -> list[str | ApprovalLine | None]:
    """What payments that are about to be written down as sent have, each: a line that was approved, None if it needs
    none, or in words why it may not go. Then approvers are asked anew."""
    if not approval_policies.in_force(tx).version:
        return [None] * len(rows)
    context = ApprovalContext(terms, lambda: 0, lambda _minor, _facts: True)
    # One look for all lines of a batch on one account: its request has them all.
    looks: dict[tuple[str, ...], tuple[ApprovalRequest | None, ApprovalNeed, str]] = {}
    found: list[str | ApprovalLine | None] = []
    for row in rows:
        name = row.sender, approval_holds.subject_name(row), row.company, row.order.ours.account.clear
        if name not in looks:
            need = approval_holds.needed_now(tx, row, context)
            request = approval_requests.latest(tx.read, row.sender, approval_holds.subject_name(row))
            looks[name] = request, need, "" if request is None else _why_not_approved(tx, row, request, need)
        request, need, why = looks[name]
        if request is None and not need.approvers:
            found.append(None)
            continue
        why = "nobody was asked" if request is None else why or why_changed(tx, request, (row,), terms)
        if why and (request is None or request.state is not RequestState.OPEN):
            made = ask_anew(tx, row, request, need, terms, why)
            looks[name] = made, need, f"its request for approval is {made.state.value}"
        found.append(why or approval_holds.line_of(row.order))
    return found


def at_repeat(tx: Tx, row: PaymentRow) -> tuple[ApprovalLine, ...]:
    """What approvers signed of a payment whose stored bytes may leave again: they are what was signed, whoever has left
    since."""
    if not approval_policies.in_force(tx).version:
        return ()
    request = approval_requests.latest(tx.read, row.sender, approval_holds.subject_name(row))
    line = None if request is None else _read(request.form)[1].get(row.order.id)
    return () if line is None else (line,)


def _why_not_approved(tx: Tx, row: PaymentRow, request: ApprovalRequest, need: ApprovalNeed) -> str:
    if request.state is not RequestState.APPROVED:
        return f"its request for approval is {request.state.value}"
    found = standing(tx, request, (row,), need)
    return "; ".join((f"missing now: {found.missing}", *found.void.values())) if found.missing else ""


def ask_anew(
    tx: Tx, row: PaymentRow, request: ApprovalRequest | None, need: ApprovalNeed, terms: ApprovalTerms, why: str
) -> ApprovalRequest:
    """Void the request and make another one about the same payments, which keeps what the first one needed."""
    if request is not None:
        if request.state is not RequestState.VOID:
            approval_requests.settle(tx, request, RequestState.VOID, f"node:{tx.node}", {"why": why})
        need = stricter(request.need, need)
    return approval_holds.request(tx, approval_holds.unsent(tx, row), need, terms)


def _members(tx: Tx, request: ApprovalRequest, group: str) -> frozenset[str]:
    """Who is of a group: by the policy in force, or if it has no such group, by the one that asked."""
    if group == ANY:
        return frozenset()
    policy = approval_policies.in_force(tx)
    if group not in policy.groups:
        asked = approval_policies.of_version(tx.raw, approval_digest.read(request.form).policy)
        policy = policy if asked is None else asked
    return policy.members(group) or frozenset()
