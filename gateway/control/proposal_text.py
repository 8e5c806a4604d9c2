"""The text of a proposal, which both persons sign: a payment in doubt, a lane in safe mode or paused, an emergency
stop, a payee, what is held.

The words hold everything whose change must make a proposal stale. An enquiry that brought nothing new changes a
payment's version, but not these facts: otherwise no proposal could outlive the next enquiry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.control import linked_orders, liquidity, order_decisions, people_changes, policy_changes
from gateway.control.daemon_handle import DaemonHandle
from gateway.core.states import KNOWN
from gateway.journal.cluster import lane_pauses, restored_database, stops
from gateway.journal.cluster.lane_pauses import FROM_THE_PAST
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_checks, bundles, held_orders, lookup, payees
from gateway.journal.people.persons import No, Person
from gateway.journal.people.proposals import Action, ProposalKind
from gateway.registry import Registry
from protocols.canon.outcome import Fate, State
from protocols.erp.news import instant

FATES: Mapping[str, Fate | None] = {"settled": Fate.SETTLED, "failed": Fate.FAILED, "ready": None}
CHOICES: Mapping[ProposalKind, tuple[str, ...]] = {
    ProposalKind.RESOLVE: tuple(FATES), ProposalKind.LEAVE_SAFE_MODE: ("send",), ProposalKind.RESTART: ("send",),
    ProposalKind.REGISTER: ("known",), ProposalKind.RESUME_LANE: ("send",), ProposalKind.LINK: linked_orders.CHOICES,
}  # fmt: skip
_DOUBT = (State.IN_DOUBT, State.ESCALATED)


@dataclass(frozen=True, slots=True)
class ProposedAction:
    """What somebody wants done: `subject` is a payment (key or SENDER:ID), a lane, or `gateway`."""

    kind: ProposalKind
    subject: str
    to: str
    note: str
    evidence_sha256: str | None


@dataclass(frozen=True, slots=True)
class Planned:
    """The words, the subject's own key, and how to call it in a sentence."""

    action: Action
    subject: str
    title: str


def sha256(octets: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(octets).hexdigest()


def action(
    tx: Tx, wanted: ProposedAction, key: str, person: Person, expires_ms: int, daemon_handle: DaemonHandle
) -> Planned | No:
    """The words for this wish as things are now, or why it cannot be."""
    if wanted.kind in (ProposalKind.RESOLVE, ProposalKind.REGISTER):
        sender, colon, order_id = wanted.subject.partition(":")
        row = lookup.find(tx.fresh, sender, order_id) if colon else lookup.fetch(tx.fresh, wanted.subject)
        if row is None:
            return No("no_such_order", f"there is no order {wanted.subject}; name it by its key, or as SENDER:ID")
        if wanted.kind is ProposalKind.RESOLVE:
            why = _why_not(tx, row, wanted.to, daemon_handle.register())
        else:
            why = _why_not_register(tx, row)
        if why is not None:
            return No("not_now", f"order {row.sender}:{row.order.id} ({row.payment}): {why}; nothing was changed")
        facts = _payment_facts(row) if wanted.kind is ProposalKind.RESOLVE else _payee_facts(tx, row)
        subject, title = row.payment, f"order {row.sender}:{row.order.id}"
    elif wanted.kind in people_changes.KINDS:
        said = people_changes.facts(tx, wanted.kind, wanted.subject, wanted.to, person.name, daemon_handle.register())
        if isinstance(said, No):
            return said
        facts, subject, title = said, wanted.subject, f"person {wanted.subject}"
    elif wanted.kind is ProposalKind.POLICY:
        said = policy_changes.facts(tx, wanted.subject, wanted.to)
        if isinstance(said, No):
            return said
        facts, subject, title = said, wanted.subject, "the approval policy"
    elif wanted.kind in (ProposalKind.POOL, ProposalKind.POOL_RUN, ProposalKind.LINK):
        found = _about_liquidity(tx, wanted, daemon_handle)
        if isinstance(found, No):
            return found
        facts, subject, title = found
    elif wanted.kind is ProposalKind.RESTART:
        stop = stops.last(tx.fresh)
        if wanted.subject != stops.SUBJECT or not stop.stopped:
            return No("not_now", "there is no emergency stop in force; nothing was changed")
        facts, subject, title = _stop_facts(stop), stops.SUBJECT, "the emergency stop"
    elif wanted.kind is ProposalKind.RELEASE:
        held = order_decisions.facts(tx, wanted.subject, wanted.to, daemon_handle)
        if isinstance(held, No):
            return held
        facts, subject, title = held.facts, held.subject, held.title
    elif wanted.kind is ProposalKind.RESUME_LANE:
        pause = lane_pauses.said(tx.fresh, [wanted.subject])[wanted.subject]
        if wanted.subject not in daemon_handle.lanes or not pause.paused:
            return No("not_now", f"no operator has paused lane {wanted.subject}; nothing was changed")
        facts = (("lane", wanted.subject), ("from", lane_pauses.OPERATOR), ("pause", str(pause.number)))
        subject, title = wanted.subject, f"lane {wanted.subject}"
    else:
        lane = daemon_handle.lanes.get(wanted.subject)
        if lane is None:
            there = ", ".join(sorted(daemon_handle.lanes))
            return No("no_such_lane", f"there is no lane {wanted.subject}; there are {there}")
        if FROM_THE_PAST not in lane.paused:
            return No("not_now", f"lane {wanted.subject} does not wait because of the past; what an operator paused, "
                      f"`bankgw lanes resume {wanted.subject}` resumes")  # fmt: skip
        if not daemon_handle.past().holds(wanted.subject):
            # What was forgotten is known there only: here they would sign that nothing was.
            others = restored_database.elsewhere(tx.fresh, tx.node).items()
            there = ", ".join(node for node, cleared in others if wanted.subject not in cleared)
            return No("not_now", f"lane {wanted.subject} waits for what another node noticed; propose it there, where "
                      f"the forgotten sends are known: {there or 'that node'}")  # fmt: skip
        facts, subject, title = _lane_facts(wanted.subject, daemon_handle), wanted.subject, f"lane {wanted.subject}"
    common = (
        ("proposal", key), ("kind", wanted.kind.value), ("to", wanted.to), *facts,
        ("reason", wanted.note), ("evidence-sha256", wanted.evidence_sha256 or "none"),
        ("proposed-by", person.name), ("proposed-by-uid", str(person.uid)), ("proposed-by-key", person.fingerprint),
        ("expires", instant(expires_ms)),
    )  # fmt: skip
    return Planned(Action(common), subject, title)


def _about_liquidity(
    tx: Tx, wanted: ProposedAction, daemon_handle: DaemonHandle
) -> tuple[tuple[tuple[str, str], ...], str, str] | No:
    """The facts, the subject and its name in a sentence, of a decision about a pool or a linked payment."""
    name = wanted.subject
    if wanted.kind is ProposalKind.LINK:
        found = linked_orders.facts(tx, name, wanted.to)
        return found if isinstance(found, No) else (found[0], found[1].payment, f"order {name}")
    if wanted.kind is ProposalKind.POOL:
        said, title = liquidity.facts(tx, name, wanted.to, daemon_handle), f"pool {name}"
    else:
        said, title = liquidity.run_facts(tx, name, wanted.to, daemon_handle), f"a run of pool {name}"
    return said if isinstance(said, No) else (said, name, title)


def _why_not(tx: Tx, row: PaymentRow, to: str, registry: Registry) -> str | None:
    life, rules = row.life, row.life.rules
    if life.state not in _DOUBT:
        return f"it is {life.state.value}, and only doubt can be decided"
    if to != "ready":
        return None
    if bundles.has_left(tx.fresh, row.payment):
        return ("it travelled with others in one message, and neither that message nor an order out of it is sent "
                "once more; wait for the bank's word, or decide `failed` on its written word and have the ERP pay anew "
                "under a new id")  # fmt: skip
    # Sent once more under the same reference: only when the bank itself, asked late enough, does not know it.
    if life.not_found == KNOWN:
        return ("the bank has acknowledged it, so its `not found` proves nothing any more; decide `settled` or "
                "`failed` on the bank's written word")  # fmt: skip
    if life.not_found < rules.not_found_needed:
        return (f"the bank said `not found` {life.not_found} times to questions asked after its quarantine of "
                f"{rules.quarantine_ms // 1000} s, and {rules.not_found_needed} are needed before it may be sent once "
                f"more; wait, ask (`bankgw orders enquire`), or decide `failed` and have the ERP pay anew")  # fmt: skip
    if life.valid_until_ms is not None and life.valid_until_ms <= tx.now_ms:
        return f"its valid_until ({instant(life.valid_until_ms)}) has passed; decide `failed` instead"
    missing = approval_checks.why_not_now(tx, row, held_orders.context_of(tx, row, registry))
    if missing:
        return (f"its approvals do not count now ({missing}), and what may be at the bank is not approved anew; decide "
                f"`failed` on the bank's written word and have the ERP pay anew under a new id")  # fmt: skip
    return None


def _why_not_register(tx: Tx, row: PaymentRow) -> str | None:
    if row.order.ours is not row.order.debtor:
        return "it collects money; only whom we pay is a payee"
    if payees.is_registered(tx.fresh, row.sender, row.order):
        return f"its payee is registered already for sender {row.sender}"
    return None


def _payee_facts(tx: Tx, row: PaymentRow) -> tuple[tuple[str, str], ...]:
    """The payee as the order names him. The fingerprint binds account, name and bank in full to what is signed."""
    payee = row.order.creditor
    return (
        ("sender", row.sender), ("order", f"{row.sender}:{row.order.id}"), ("payee-account", str(payee.account)),
        ("payee-name", str(payee.name)), ("payee-bank", payee.cnaps or payee.bank_name or payee.bic or "not named"),
        ("payee-fingerprint", payees.blind_key(tx.vault, row.order)),
    )  # fmt: skip


def _payment_facts(row: PaymentRow) -> tuple[tuple[str, str], ...]:
    life, order = row.life, row.order
    return (
        ("payment", row.payment), ("order", f"{row.sender}:{order.id}"),
        ("amount", f"{order.amount} {order.amount.currency}"), ("creditor", str(order.creditor.account)),
        ("lane", row.lane), ("bank-reference", row.bank_ref), ("from", life.state.value),
        ("told-seq", str(life.seq)), ("sends", str(life.attempt)),
    )  # fmt: skip


def _stop_facts(stop: stops.Stop) -> tuple[tuple[str, str], ...]:
    return (
        ("from", stops.STOPPED), ("stop", str(stop.number)), ("stopped-by", stop.by),
        ("stopped-at", instant(stop.at_ms)), ("stopped-because", stop.reason),
    )  # fmt: skip


def _lane_facts(lane: str, daemon_handle: DaemonHandle) -> tuple[tuple[str, str], ...]:
    past = daemon_handle.past()
    return (
        ("lane", lane), ("from", FROM_THE_PAST), ("episode", past.episode),
        ("forgotten-sends-of-this-lane", str(len(past.of_lane(lane)))), ("forgotten-sends", str(past.forgotten)),
        *((f"missing-{n}", gap.words()) for n, gap in enumerate(past.gaps, start=1)),
    )  # fmt: skip
