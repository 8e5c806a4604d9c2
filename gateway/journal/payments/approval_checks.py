"""Whether a payment may go that needs approvals: they are judged anew at release and again when it is written down to
be sent, by the persons, delegations, policy and order of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.policy import HOLD_BAND
from gateway.journal.commit.payment_cache import Outdated
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_holds, linked_orders, pool_moves
from gateway.journal.payments.approval_holds import ApprovalContext
from gateway.journal.people import (
    approval_policies,
    approval_requests,
    approvals,
    entitlements,
    person_signatures,
    persons,
)
from gateway.journal.people.approval_requests import ApprovalRequest, RequestState
from gateway.journal.people.approvals import ApprovalDecision, ApprovalRow
from gateway.people import approval_digest, approval_seats
from gateway.people.approval_bands import ANY, ApprovalNeed, stricter
from gateway.people.approval_digest import ApprovalLine, ApprovalSubject
from gateway.people.approval_terms import ApprovalTerms
from gateway.people.roles import PersonRole
from gateway.settings.agreement import TREASURY

_APPROVER = frozenset({PersonRole.APPROVER})
_STANDING = "approval_standing"
INDEPENDENT_FROM = 2
"""Where so many approvers are needed, one of them signs outside of a browser: whoever shows all of them false words in
their browsers still does not get the money."""
OUTSIDE_BROWSERS = "1 who signs with their own key: bankgw approvals approve"


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
    by_own_key: set[str] = set()
    whole = stricter(request.need, need)
    for one in approvals.of_request(tx.read, request.request):
        if one.decision is ApprovalDecision.APPROVE:
            why = why_void(tx, one, request, rows) or _why_too_weak(tx, one, whole)
            if why:
                void[one.person] = why
                continue
            counted.append(one.person)
            if not person_signatures.by_passkey(one.key):
                by_own_key.add(one.person)
    seats = approval_seats.seats(counted, lambda a, b: entitlements.one_seat(tx.raw, a, b, tx.now_ms))
    lacking = approval_seats.missing(whole, seats, lambda group: _members(tx, group))
    if not lacking and whole.approvers >= INDEPENDENT_FROM and not by_own_key & set(seats):
        lacking = OUTSIDE_BROWSERS
    return ApprovalStanding(seats, void, lacking)


def _why_too_weak(tx: Tx, one: ApprovalRow, need: ApprovalNeed) -> str:
    """Why a passkey does not do where so many approvers are needed."""
    person = persons.of_name(tx.raw, one.person)
    if need.approvers < INDEPENDENT_FROM or person is None or not person_signatures.may_exist_twice(person, one.key):
        return ""
    return f"the passkey of {one.person} may be on several devices, and {need.approvers} approvers are needed"


def why_void(tx: Tx, one: ApprovalRow, request: ApprovalRequest, rows: Sequence[PaymentRow]) -> str:
    """Why an approval does not count now; "" if it does."""
    person = persons.of_name(tx.raw, one.person)
    if person is None or not person.enrolled:
        return f"{one.person} is not enrolled any more"
    if one.key not in person_signatures.keys_of(person) or tx.now_ms < person.usable_from_ms:
        return f"the key of {one.person} was reset"
    octets = approvals.to_sign(one.digest, one.decision)
    if one.digest != request.digest or person_signatures.signing_key(person, one.signature, octets) != one.key:
        return f"the signature of {one.person} is about something else"
    if makers_as(tx, request, rows, person.name):
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


def makers_as(tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow], person: str) -> str:
    """The maker of these payments with whom the person is one seat; "" if there is none. Whom the orders name counts
    too: somebody may have enrolled under that name since."""
    makers = {request.maker, *(row.order.maker for row in rows)} - {None}
    return next((one for one in sorted(filter(None, makers))
                 if entitlements.one_seat(tx.raw, person, one, tx.now_ms)), "")  # fmt: skip


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
    if about.linked != linked_orders.leg_words(tx, order):
        return "the pool that funds it is not as it was approved"
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


@dataclass(frozen=True, slots=True)
class _Look:
    """The last request that names a payment, what the payment needs now, and why it may not go; "" if it may."""

    request: ApprovalRequest | None
    need: ApprovalNeed
    why: str

    @property
    def waits(self) -> bool:
        """True if approvers were asked, and can answer still."""
        return self.request is not None and self.request.state is RequestState.OPEN


def was_asked(tx: Tx, row: PaymentRow) -> bool:
    """True if approvers were ever asked about this payment."""
    return _naming(tx, row) is not None


def is_last(tx: Tx, row: PaymentRow, request: ApprovalRequest) -> bool:
    """True if no later request names this payment."""
    last = _naming(tx, row)
    return last is not None and last.request == request.request


def at_release(tx: Tx, row: PaymentRow, context: ApprovalContext) -> tuple[str, ...]:
    """`approval` if the order still waits for approvers; whoever was not asked yet, or must be asked anew, is."""
    look = _look(tx, row, context)
    if not look.why:
        return ()
    if not look.waits:
        ask_anew(tx, row, look.request, context, look.why)
    return (HOLD_BAND,)


def why_not_now(tx: Tx, row: PaymentRow, context: ApprovalContext) -> str:
    """Why a payment may not be sent now for want of approvals; "" if it may. Nobody is asked."""
    return _look(tx, row, context).why


def at_send(
    tx: Tx, rows: Sequence[PaymentRow], context_of: Callable[[Tx, PaymentRow], ApprovalContext]
) -> list[str | ApprovalLine | None]:
    """What payments that are about to be written down as sent have, each: a line that was approved, None if it needs
    none, or in words why it may not go. Then approvers are asked anew, unless it may be at the bank already."""
    # Without a policy nobody signs anything but the mandates of pools.
    if not approval_policies.in_force(tx).version and all(row.sender != TREASURY for row in rows):
        return [None] * len(rows)
    found: list[str | ApprovalLine | None] = []
    for row in rows:
        context = context_of(tx, row)
        look = _look(tx, row, context)
        if look.why and not look.waits and row.life.first_write_ms is None:
            ask_anew(tx, row, look.request, context, look.why)
        # What two persons signed as a pool's mandate is compared with the bytes, as what approvers signed is.
        signed = look.request is not None or pool_moves.mandated(tx, row.sender, row.order)
        line = approval_holds.line_of(row.order) if signed else None
        found.append(look.why or line)
    return found


def at_repeat(tx: Tx, row: PaymentRow) -> tuple[ApprovalLine, ...]:
    """What approvers signed of a payment whose stored bytes may leave again: they are what was signed, whoever has left
    since."""
    if not approval_policies.in_force(tx).version:
        return ()
    request = _naming(tx, row)
    return () if request is None else (_read(request.form)[1][row.order.id],)


def _naming(tx: Tx, row: PaymentRow) -> ApprovalRequest | None:
    return approval_requests.naming(tx.read, row.sender, approval_holds.subject_name(row), row.order.id)


def _look(tx: Tx, row: PaymentRow, context: ApprovalContext) -> _Look:
    need, request = approval_holds.needed_now(tx, row, context), _naming(tx, row)
    if request is None:
        return _Look(None, need, "nobody was asked" if need.approvers else "")
    why = _why_not_approved(tx, row, request, need) or why_changed(tx, request, (row,), context.terms)
    return _Look(request, need, why)


def _why_not_approved(tx: Tx, row: PaymentRow, request: ApprovalRequest, need: ApprovalNeed) -> str:
    if request.state is not RequestState.APPROVED:
        return f"its request for approval is {request.state.value}"
    # The lines of a batch are alike in all that this looks at.
    name = (_STANDING, request.request, need, row.company, row.order.ours.account.clear, row.order.maker)
    if name not in tx.memo:
        found = standing(tx, request, (row,), need)
        tx.memo[name] = "; ".join((f"missing now: {found.missing}", *found.void.values())) if found.missing else ""
    return str(tx.memo[name])


def ask_anew(
    tx: Tx, row: PaymentRow, request: ApprovalRequest | None, context: ApprovalContext, why: str
) -> ApprovalRequest:
    """Void the request and make another one about the same payments, which keeps what the first one needed. Raises
    Outdated if another node has settled the request in this moment: the unit is run again."""
    rows = approval_holds.asked_with(tx, row, request)
    need = approval_holds.needed_by(tx, rows, context)
    if request is not None:
        if request.state is not RequestState.VOID:
            settled = approval_requests.settle(tx, request, RequestState.VOID, f"node:{tx.node}", {"why": why})
            if not settled:
                raise Outdated(f"approval request {request.request} was settled by another node in this moment")
        need = stricter(request.need, need)
    return approval_holds.request(tx, rows, need, context.terms)


def _members(tx: Tx, group: str) -> frozenset[str]:
    return frozenset() if group == ANY else approval_policies.members(tx, group)
