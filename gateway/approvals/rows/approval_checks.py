"""Whether a payment's approvals count now: judged at its release and again at its send, by the persons, delegations,
policy and order of that moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.approvals.rows import approval_holds, approval_policies, approval_requests, approvals
from gateway.approvals.rows.approval_holds import NOTHING
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, ApprovalRow
from gateway.approvals.rules import approval_digest, approval_seats
from gateway.approvals.rules.approval_bands import ANY, ApprovalNeed, stricter
from gateway.approvals.rules.approval_digest import ApprovalLine, ApprovalSubject
from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import HOLD_BAND
from gateway.payments.rows import judged_orders
from gateway.payments.rows.judged_orders import ApprovalContext
from gateway.payments.rows.rules_above import LEG_WORDS, MANDATE
from gateway.people.rows import entitlements, person_signatures, persons
from gateway.people.rules.roles import PersonRole
from gateway.register.approval_terms import ApprovalTerms
from gateway.settings.agreement import TREASURY

_APPROVER = frozenset({PersonRole.APPROVER})
_STANDING = "approval_standing"
INDEPENDENT_FROM = 2
"""From this many approvers on, one of them signs outside a browser, so that an attacker who shows false texts in all
their browsers still does not get the money."""
OUTSIDE_BROWSERS = "1 approver who signs with their own key: bankgw approvals approve"


@dataclass(frozen=True, slots=True)
class ApprovalProgress:
    """The progress of an approval request: the approvers whose approvals count now, the reasons why others do not
    count, and what is missing ("": nothing)."""

    approvers: tuple[str, ...]
    void: Mapping[str, str]
    missing: str


def standing(tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow], need: ApprovalNeed) -> ApprovalProgress:
    """The present progress of a request. The need is the stricter of `need`, by the policy of this moment, and the
    request's own."""
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
    lacking = approval_policies.in_force(tx).altered or approval_seats.missing(
        whole, seats, lambda group: _members(tx, group)
    )
    if not lacking and whole.approvers >= INDEPENDENT_FROM and not by_own_key & set(seats):
        lacking = OUTSIDE_BROWSERS
    return ApprovalProgress(seats, void, lacking)


def _why_too_weak(tx: Tx, one: ApprovalRow, need: ApprovalNeed) -> str:
    """Why a passkey does not suffice where so many approvers are needed; "" if it does."""
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
        return f"the signature of {one.person} does not fit this request"
    if makers_as(tx, request, rows, person.name):
        return f"{one.person} made the order, or one of {one.person} and its maker is the other's delegate"
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
    """The maker of these payments who counts as one seat with this person; "" if there is none. A maker whom the orders
    only name counts too, because somebody may have enrolled under that name since."""
    makers = {request.maker, *(row.order.maker for row in rows)} - {None}
    return next(
        (one for one in sorted(filter(None, makers)) if entitlements.one_seat(tx.raw, person, one, tx.now_ms)), ""
    )


def why_changed(tx: Tx, request: ApprovalRequest, rows: Sequence[PaymentRow], terms: ApprovalTerms) -> str:
    """How these payments differ from the request; "" if they do not. `rows` may be some of a batch's lines."""
    about, lines, bearer = _read(request.form)
    if about.environment != terms.environment:
        return f"approval was asked for in environment {about.environment}, and this gateway is {terms.environment}"
    if about.instance != approval_requests.instance(tx):
        return "approval was asked for in another journal"
    order = rows[0].order
    head = (
        rows[0].sender,
        order.kind.value,
        order.channel.value,
        judged_orders.at_ms(order.not_before),
        judged_orders.at_ms(order.valid_until),
    )
    if head != (about.sender, about.kind, about.channel, about.not_before_ms, about.valid_until_ms):
        return "kind, channel or times of the payment are not those that were approved"
    if about.linked != tx.ports.of(LEG_WORDS)(tx, order):
        return "the cash pool that funds the payment is not as it was approved"
    for row in rows:
        if lines.get(row.order.id) != approval_holds.line_of(row.order):
            return f"order {row.order.id} is not as it was approved"
        if bearer[row.order.id].replace("-", "") != (row.order.terms.charge_bearer or ""):
            return f"who pays the fees of order {row.order.id} is not as it was approved"
    return ""


@lru_cache(maxsize=16)
def _read(form: bytes) -> tuple[ApprovalSubject, Mapping[str, ApprovalLine], Mapping[str, str]]:
    """A request's canonical form with its lines and fee bearers by order. Parsed once for all lines of a batch."""
    about = approval_digest.parse(form)
    bearers = about.fee_bearer.split(",")
    each = bearers if len(bearers) > 1 else bearers * len(about.lines)
    by_order = {line.order: bearer for line, bearer in zip(about.lines, each, strict=True)}
    return about, {line.order: line for line in about.lines}, by_order


# ---- the two moments ----


@dataclass(frozen=True, slots=True)
class _ApprovalState:
    """The approval state of a payment: the last request that names it, what it needs now, and why it may not be sent;
    "" if it may."""

    request: ApprovalRequest | None
    need: ApprovalNeed
    why: str

    @property
    def waits(self) -> bool:
        """True if approvers were asked and can still answer."""
        return self.request is not None and self.request.state is RequestState.OPEN


def was_asked(tx: Tx, row: PaymentRow) -> bool:
    """True if approvers were ever asked about this payment."""
    return _naming(tx, row) is not None


def is_last(tx: Tx, row: PaymentRow, request: ApprovalRequest) -> bool:
    """True if no later request names this payment."""
    last = _naming(tx, row)
    return last is not None and last.request == request.request


def at_release(tx: Tx, row: PaymentRow, context: ApprovalContext) -> tuple[str, ...]:
    """`approval` if the order still waits for approvers, else nothing. Asks the approvers who were not asked yet, or
    who must be asked anew."""
    look = _look(tx, row, context, approval_holds.lost_need(tx, (row,)))
    if not look.why:
        return ()
    if not look.waits:
        ask_anew(tx, row, look.request, context, look.why)
    return (HOLD_BAND,)


def why_not_now(tx: Tx, row: PaymentRow, context: ApprovalContext) -> str:
    """Why a payment's approvals do not suffice to send it now; "" if they do. No approver is asked."""
    return _look(tx, row, context, approval_holds.lost_need(tx, (row,))).why


def at_send(
    tx: Tx, rows: Sequence[PaymentRow], context_of: Callable[[Tx, PaymentRow], ApprovalContext]
) -> list[str | ApprovalLine | None]:
    """The approval state of each payment whose send is about to be recorded: the line that was approved, None if it
    needs no approval, or a text that says why it may not be sent. In the last case approvers are asked anew, unless the
    payment may be at the bank already."""
    altered = approval_policies.in_force(tx).altered
    if altered:
        return [altered] * len(rows)
    # Without a policy only the mandates of pools are signed.
    if not approval_policies.in_force(tx).version and all(row.sender != TREASURY for row in rows):
        return [None] * len(rows)
    found: list[str | ApprovalLine | None] = []
    for row in rows:
        context = context_of(tx, row)
        look = _look(tx, row, context)
        if look.why and not look.waits and row.life.first_write_ms is None:
            ask_anew(tx, row, look.request, context, look.why)
        # The two persons' mandate of a pool is compared with the bytes too, as approvals are.
        signed = look.request is not None or tx.ports.of(MANDATE)(tx, row.sender, row.order)
        line = approval_holds.line_of(row.order) if signed else None
        found.append(look.why or line)
    return found


def at_repeat(tx: Tx, row: PaymentRow) -> tuple[ApprovalLine, ...]:
    """The lines that approvers signed of a payment whose stored bytes may be sent again. The bytes are still those that
    were signed, even if an approver has left since."""
    if not approval_policies.in_force(tx).version:
        return ()
    request = _naming(tx, row)
    return () if request is None else (_read(request.form)[1][row.order.id],)


def _naming(tx: Tx, row: PaymentRow) -> ApprovalRequest | None:
    return approval_requests.naming(tx.read, row.sender, approval_holds.subject_name(row), row.order.id)


def _look(tx: Tx, row: PaymentRow, context: ApprovalContext, lost: ApprovalNeed = NOTHING) -> _ApprovalState:
    """`lost`: the approvers that deleted requests needed; empty if the audit trail was not asked about them."""
    need, request = stricter(approval_holds.needed_now(tx, row, context), lost), _naming(tx, row)
    if request is None:
        return _ApprovalState(None, need, "nobody was asked" if need.approvers else "")
    why = _why_not_approved(tx, row, request, need) or why_changed(tx, request, (row,), context.terms)
    return _ApprovalState(request, need, why)


def _why_not_approved(tx: Tx, row: PaymentRow, request: ApprovalRequest, need: ApprovalNeed) -> str:
    if request.state is not RequestState.APPROVED:
        return f"its request for approval is {request.state.value}"
    # All lines of a batch have the same values of this key, so that the standing is found once for the batch.
    name = (_STANDING, request.request, need, row.company, row.order.ours.account.clear, row.order.maker)
    if name not in tx.memo:
        found = standing(tx, request, (row,), need)
        tx.memo[name] = "; ".join((f"missing now: {found.missing}", *found.void.values())) if found.missing else ""
    return str(tx.memo[name])


def ask_anew(
    tx: Tx, row: PaymentRow, request: ApprovalRequest | None, context: ApprovalContext, why: str
) -> ApprovalRequest:
    """Void the request and make another one about the same payments, which needs at least what the first one needed.
    Raises Outdated if another node has settled the request at the same time; the unit is then run again."""
    rows = approval_holds.asked_with(tx, row, request)
    need = approval_holds.needed_by(tx, rows, context)
    if request is not None:
        if request.state is not RequestState.VOID:
            settled = approval_requests.settle(tx, request, RequestState.VOID, f"node:{tx.node}", {"why": why})
            if not settled:
                raise Outdated(f"approval request {request.request} was settled by another node at the same time")
        need = stricter(request.need, need)
    return approval_holds.request(tx, rows, need, context.terms)


def _members(tx: Tx, group: str) -> frozenset[str]:
    return frozenset() if group == ANY else approval_policies.members(tx, group)
