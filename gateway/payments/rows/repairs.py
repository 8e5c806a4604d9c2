"""Rebuilds the rows of a payment that SQL altered, from the audit chain, the permit log and the sealed order.

Two persons sign the row before and after. The result is never looser than the chain's record: it is never `ready`, it
has every send of the chain, and it is never sent again without persons. A payment that is `accepted` or `ready` in the
chain becomes `held`; one that may have been sent becomes `in_doubt`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from gateway.kernel.commit import attempts, audit, outbox, payment_rows, sender_names, work
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.chain_check import SENDS
from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.rows import AttemptRow, PaymentRow, Reply, WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import policy
from gateway.kernel.core.states import KNOWN, Life, Rules, Work, stricter
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.language import BilingualText
from gateway.payments.rows import events, repair_facts
from gateway.payments.rows.repair_facts import Wrong
from gateway.people.rules.signed_text import SignedFact
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import STATE_TABLE, State

REPAIRED = "payment.repaired"
UNREADABLE = (SealBroken, VaultError, ValueError, KeyError, AssertionError)
"""The errors of reading an altered row."""
_UNSENT = frozenset({State.ACCEPTED, State.READY, State.HELD})
_ASKED = frozenset({State.IN_DOUBT, State.ESCALATED, State.PENDING})
_NEEDED = {State.READY: Work.SEND, **dict.fromkeys(_ASKED, Work.ENQUIRE)}
"""The work that a payment in this state always has."""
_FINAL = tuple(state.value for state in State if STATE_TABLE[state].final)
_BANK_DAY = timedelta(hours=8)
# Columns that differ at each making (sealed bytes), or that move while the proposal waits. They are not signed.
_NOT_SIGNED = frozenset({"order", "bank_text", "refusal", "seal", "changed_ms", "epoch"})
_P, _A, _W = schema.payments.c, schema.attempts.c, schema.work.c
_MENDED = update(schema.payments).where(_P.payment == bindparam("b_payment"), _P.version == bindparam("b_version"))
_KEPT = ("lane", "reply_to", "batch", "item_no", "accepted_ms", "bank_serial", "bank_code")
"""Columns that neither the chain nor the sealed order has: they stay, and both persons read them."""


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """The audit chain's record of a payment: the entries that changed it, in order of version."""

    steps: tuple[AuditEntry, ...]

    @property
    def last(self) -> AuditEntry:
        """The entry of the payment's last change."""
        return self.steps[-1]

    @property
    def state(self) -> State:
        """The payment's state after its last change."""
        return State(self.last.detail["after"])

    @property
    def sends(self) -> tuple[AuditEntry, ...]:
        """The entries of the payment's sends, in order of their numbers."""
        found = (one for one in self.steps if one.entry in SENDS)
        return tuple(sorted(found, key=lambda one: int(one.detail["attempt"])))


@dataclass(frozen=True, slots=True)
class Repair:
    """A planned repair: the row afterwards, the row's present version, the sends whose rows are rebuilt, and the text
    of each change."""

    row: PaymentRow
    was_version: int
    values: Mapping[str, Any]
    lost: tuple[AttemptRow, ...]
    changes: tuple[SignedFact, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """The planned removal of a row that the gateway never wrote: no entry of the chain names its payment, and its seal
    does not fit."""

    payment: str
    order: str
    changes: tuple[SignedFact, ...]


def find(conn: Connection, name: str) -> str | None:
    """The key of the payment with this key, or of the order SENDER:ID. Only the names in the row are trusted."""
    sender, colon, order_id = name.partition(":")
    by = (_P.sender == sender, _P.order_id == order_id) if colon else (_P.payment == name,)
    return conn.execute(select(_P.payment).where(*by)).scalar()


def broken(conn: Connection, vault: Vault, limit: int = 1_000) -> list[tuple[str, str, str]]:
    """Open payments whose rows are not as the gateway wrote them: key, order, and what is wrong. Reads every open
    payment and its entries in the chain."""
    found: list[tuple[str, str, str]] = []
    for payment, name in conn.execute(
        select(_P.payment, _P.sender + ":" + _P.order_id).where(_P.state.not_in(_FINAL)).order_by(_P.payment)
    ).all():
        why = what_is_wrong(conn, vault, payment)
        if why:
            found.append((payment, name, _english(why)))
            if len(found) >= limit:
                break
    return found


def what_is_wrong(conn: Connection, vault: Vault, payment: str) -> Wrong:
    """How the payment's rows differ from the audit chain, or which seal is broken; "" if nothing is wrong."""
    found = conn.execute(select(schema.payments).where(_P.payment == payment)).one()
    try:
        row = payment_rows.decode_row(found, vault)
        chained = _chained(conn, vault, payment)
    except UNREADABLE as error:
        return repair_facts.unreadable(error)
    if isinstance(chained, BilingualText):
        return chained
    said = chained.last.detail
    if (said["version"], said["after"], said["seq"]) != (row.version, row.life.state.value, row.life.seq):
        return repair_facts.differs((row.version, row.life.state.value), (said["version"], said["after"]))
    kept = [number for number, readable in _attempts(conn, payment).items() if readable]
    if kept != list(range(1, len(chained.sends) + 1)) or row.life.attempt != len(kept):
        return repair_facts.sends_differ(row.life.attempt, len(kept), len(chained.sends))
    try:
        there = {one.work for one in work.of_payment(conn, payment)}
    except UNREADABLE as error:
        return repair_facts.unreadable(error)
    needed = _NEEDED.get(row.life.state)
    lacking = needed is not None and needed not in there
    return repair_facts.lacks_work(row.life.state.value, needed.value) if needed and lacking else ""


def plan(tx: Tx, payment: str) -> Repair | Removal | str:
    """The repair of the payment, or why it cannot be repaired."""
    if any(one.object_id == payment for one in tx.notes):
        return "it changes in this very moment; ask again"
    wrong = what_is_wrong(tx.fresh, tx.vault, payment)
    if not wrong:
        return "its rows are as the gateway left them; there is nothing to rebuild"
    found = tx.raw.execute(select(schema.payments).where(_P.payment == payment)).one()
    if not any(one.entry.startswith("payment.") for one in audit.entries_of(tx.raw, tx.vault, payment)):
        return _removal(tx, found, wrong)
    try:
        order, fingerprint = payment_rows.order_of(found, tx.vault)
        chained = _chained(tx.raw, tx.vault, payment)
    except VaultError as error:
        return f"{error}; only a backup has this payment (docs/do/restore.md)"
    if isinstance(chained, BilingualText):
        return f"{_english(chained)}; only a backup has this payment (docs/do/restore.md)"
    reference = _reference(tx, found, chained)
    why = _why_not(tx, found, order, chained, reference)
    if why or reference is None:
        return why
    row = _rebuilt(tx, found, order, fingerprint, chained, reference)
    values = payment_rows.columns(row, _blind(found, order, tx.vault), tx.vault)
    known = {number for number, readable in _attempts(tx.raw, payment).items() if readable}
    lost = tuple(_lost(one) for one in chained.sends if int(one.detail["attempt"]) not in known)
    return Repair(row, found.version, values, lost, _changes(tx, found, values, lost, wrong))


def carry_out(tx: Tx, repair: Repair, actor: str, detail: Mapping[str, Any]) -> None:
    """Write the repaired rows, set the payment's work, send its sender an event, and record the repair in the chain
    under the payment's next version."""
    row = repair.row
    values = {**repair.values, "changed_ms": row.changed_ms}
    named = {"b_payment": row.payment, "b_version": repair.was_version}
    if tx.fresh.execute(_MENDED.values(values), named).rowcount != 1:
        raise Outdated(f"payment {row.payment} was changed by another node")
    leave = tx.payment_cache.send_leaves.get(row.payment)
    if leave is not None:
        leave.revoked = True
    good = [number for number, fine in _attempts(tx.raw, row.payment).items() if fine and number <= row.life.attempt]
    tx.raw.execute(delete(schema.attempts).where(_A.payment == row.payment, _A.attempt.not_in(good)))
    for one in repair.lost:
        tx.attempted(one)
    tx.raw.execute(delete(schema.work).where(_W.payment == row.payment))
    for kind, due_ms in _work(row, tx.now_ms):
        tx.due(WorkRow(row.payment, kind, row.lane, due_ms, row.epoch))
    name = STATE_TABLE[row.life.state].event
    if name is not None:
        events.publish(tx, row, events.news_of(row, name, row.life.seq, tx.now_ms))
    audit.append(
        tx,
        actor,
        REPAIRED,
        row.payment,
        {
            **detail,
            "event": "Repair",
            "after": row.life.state.value,
            "version": row.version,
            "epoch": row.epoch,
            "seq": row.life.seq,
            "sends": row.life.attempt,
            "changes": _in_trail(repair.changes),
        },
    )


def remove(tx: Tx, removal: Removal, actor: str, detail: Mapping[str, Any]) -> None:
    """Delete the row, and the sends and work under its key. Records the removal in the chain."""
    for table in (schema.work, schema.attempts, schema.payments):
        tx.fresh.execute(delete(table).where(table.c.payment == removal.payment))
    audit.append(tx, actor, "repair.removed", removal.payment, {**detail, "row": _in_trail(removal.changes)})


def _in_trail(changes: Sequence[SignedFact]) -> dict[str, str]:
    return {one.label[0]: one.english for one in changes}


def _english(wrong: Wrong) -> str:
    return wrong.said("en") if isinstance(wrong, BilingualText) else wrong


def _removal(tx: Tx, found: Any, wrong: Wrong) -> Removal | str:
    try:
        payment_rows.decode_row(found, tx.vault)
    except SealBroken:
        if tx.permitted(f"{found.lane}/{found.bank_ref}", 1):
            return f"{_english(wrong)}, and the permit log knows a send of it; restore a backup (docs/do/restore.md)"
        said = tuple(
            repair_facts.column_removed(name, value)
            for name, value in sorted(found._mapping.items())
            if not isinstance(value, bytes)
        )
        name = f"{found.sender}:{found.order_id}"
        return Removal(found.payment, name, (repair_facts.wrong_fact(wrong), *said))
    return (
        f"{_english(wrong)}, but its seal fits: entries of the chain are gone. See bankgw audit verify, and restore a "
        f"backup"
    )


def _chained(conn: Connection, vault: Vault, payment: str) -> ChainRecord | BilingualText:
    """The chain's record of the payment, or why a repair cannot be built on it."""
    steps = [
        one
        for one in audit.entries_of(conn, vault, payment)
        if one.entry.startswith("payment.") and "version" in one.detail
    ]
    steps.sort(key=lambda one: int(one.detail["version"]))
    if [one.detail["version"] for one in steps] != list(range(1, len(steps) + 1)):
        return repair_facts.lacks_entries(payment)
    found = ChainRecord(tuple(steps))
    if not steps:
        return repair_facts.has_no_entry(payment)
    if [one.detail["attempt"] for one in found.sends] != list(range(1, len(found.sends) + 1)):
        return repair_facts.lacks_sends(payment)
    return found


def _reference(tx: Tx, found: Any, chained: ChainRecord) -> str | None:
    """The bank reference, from a sealed event. Without such an event, the row's own reference, if the permit log has
    the row's sends or there are none. None if the reference cannot be determined."""
    told = set()
    with suppress(VaultError):  # an altered event proves nothing
        for one in outbox.of_payment(tx.raw, found.payment):
            with suppress(ValueError):  # a reply in another form than JSON
                told.add(json.loads(one.body).get("bank_reference"))
    told.discard(None)
    if len(told) == 1:
        return str(told.pop())
    sends = len(chained.sends)
    known = not sends or tx.permitted(f"{found.lane}/{found.bank_ref}", sends)
    return str(found.bank_ref) if known and not told else None


def _why_not(tx: Tx, found: Any, order: AnyOrder, chained: ChainRecord, reference: str | None) -> str:
    first = chained.steps[0].detail
    same = first.get("sender") == found.sender or _was_named(tx, found.sender, chained.steps[0])
    if not same or first.get("order_id") != found.order_id or order.id != found.order_id:
        return (
            f"its row names order {found.sender}:{found.order_id}, the audit chain {first.get('sender')}:"
            f"{first.get('order_id')}; restore the database (docs/do/restore.md)"
        )
    if reference is None:
        return (
            "neither an event in the outbox nor the permit log of this node tells its bank reference; propose it "
            "on the node that sent it, or restore a backup (docs/do/restore.md)"
        )
    sends = len(chained.sends)
    if tx.permitted(f"{found.lane}/{reference}", sends + 1):
        return (
            f"the permit log knows more sends of it than the {sends} of the audit chain: the database is older "
            f"than this node's log. Restore the newest database first (docs/do/restore.md)"
        )
    epochs = [int(one.detail.get("epoch", 0)) for one in chained.steps]
    if tx.epoch_of(found.lane) < max(epochs):
        return f"lane {found.lane} has a lower epoch than the audit chain tells of; it does not own this payment"
    return ""


def _was_named(tx: Tx, sender: str, first: AuditEntry) -> bool:
    """True if this first entry of a payment has a former name of the sender, which it had at that time."""
    former = sender_names.former_senders(tx.raw, sender)
    return first.at_ms <= former.get(str(first.detail.get("sender")), -1)


def _attempts(conn: Connection, payment: str) -> dict[int, bool]:
    """The numbers in table `attempts`, in order, and whether each row is as the gateway wrote it."""
    found = {}
    numbers = select(_A.attempt).where(_A.payment == payment).order_by(_A.attempt)
    for number in conn.execute(numbers).scalars().all():
        try:
            found[number] = attempts.of_number(conn, payment, number) is not None
        except UNREADABLE:
            found[number] = False
    return found


def _rebuilt(tx: Tx, found: Any, order: AnyOrder, fingerprint: str, chained: ChainRecord, reference: str) -> PaymentRow:
    """The strictest payment row that agrees with the audit chain."""
    state = _state(chained)
    sends, rules = chained.sends, _rules(found)
    holds: tuple[str, ...] = ()
    first_ms = sends[0].at_ms if sends else None
    last_ms = sends[-1].at_ms if sends else None
    if state is State.HELD:
        told = _held_for(chained) if chained.state is State.HELD else ()
        holds = policy.in_order({*told, policy.HOLD_ALIKE})
    asked = state in (State.IN_DOUBT, State.PENDING) and last_ms is not None
    doubted = any(one.detail["after"] in (State.IN_DOUBT.value, State.ESCALATED.value) for one in chained.steps)
    changed_ms = (
        tx.now_ms
        if state is not chained.state
        else max(one.at_ms for one in chained.steps if one.detail.get("before") != one.detail["after"])
    )
    life = Life(
        state=state,
        rules=rules,
        seq=int(chained.last.detail["seq"]) + (STATE_TABLE[state].event is not None),
        attempt=len(sends),
        asked=0,
        not_found=KNOWN if sends else 0,
        doubted=doubted or state is State.IN_DOUBT,
        repeats=sum(one.entry == "payment.replay" for one in sends),
        first_write_ms=first_ms,
        last_write_ms=last_ms,
        deadline_ms=last_ms + rules.deadline_ms if asked and last_ms is not None else None,
        send_after_ms=None,
        valid_until_ms=None if order.valid_until is None else int(order.valid_until.timestamp() * 1000),
        tell_sent=bool(found.tell_sent),
        since_ms=changed_ms,
    )
    kept = payment_rows.told_by_bank(found, tx.vault)
    return PaymentRow(
        payment=found.payment,
        company=found.company,
        sender=found.sender,
        bank=found.bank,
        lane=found.lane,
        order=order,
        fingerprint=fingerprint,
        life=life,
        version=len(chained.steps) + 1,
        epoch=tx.epoch_of(found.lane),
        bank_ref=reference,
        accepted_ms=found.accepted_ms,
        changed_ms=changed_ms,
        holds=holds,
        batch=found.batch,
        reply=Reply(found.reply_to, found.correlation_id, found.traceparent, found.content_type),
        item_no=found.item_no,
        **kept,
    )


def _state(chained: ChainRecord) -> State:
    told = chained.state
    if told in _UNSENT:
        return State.IN_DOUBT if chained.sends else State.HELD
    return State.IN_DOUBT if told is State.SENDING else told


def _held_for(chained: ChainRecord) -> tuple[str, ...]:
    """The reasons of the payment's last hold in the audit chain."""
    for one in reversed(chained.steps):
        said = one.detail
        if said["after"] == State.HELD.value and "reason" in said:
            return tuple(map(str, said.get("reasons", (said["reason"],))))
    return ()


def _rules(found: Any) -> Rules:
    """The bank's rules stored in the row, if they can be read, with automatic repeats forbidden."""
    try:
        stored = payment_rows.rules_of(found)
    except (ValueError, KeyError, TypeError):
        stored = Rules()
    return stricter(stored, Rules())


def _lost(sent: AuditEntry) -> AttemptRow:
    """A row for a send that is in the chain but whose own row is gone. Its bytes are lost, so it is never repeated."""
    day = (datetime.fromtimestamp(sent.at_ms / 1000, UTC) + _BANK_DAY).date().isoformat()
    return AttemptRow(
        payment=sent.object_id,
        attempt=int(sent.detail["attempt"]),
        epoch=int(sent.detail["epoch"]),
        node=sent.node,
        bank_date=day,
        serials=(),
        port="",
        wire=b"",
        key_id=None,
        first_write_ms=sent.at_ms,
        replay_policy=Rules().replay.value,
    )


def _work(row: PaymentRow, now_ms: int) -> list[tuple[Work, int]]:
    life, found = row.life, list[tuple[Work, int]]()
    if life.state in _ASKED:
        found.append((Work.ENQUIRE, now_ms))
    if life.deadline_ms is not None:
        found.append((Work.ESCALATE, life.deadline_ms))
    if life.state is State.HELD and life.valid_until_ms is not None:
        found.append((Work.EXPIRE, life.valid_until_ms))
    if life.state is State.SETTLED:
        found.append((Work.RETURNS, now_ms + life.rules.returns_every_ms))
    return found


def _blind(found: Any, order: AnyOrder, vault: Vault) -> dict[str, str | None]:
    return {
        "debtor_idx": vault.blind(order.debtor.account.clear),
        "creditor_idx": vault.blind(order.creditor.account.clear),
        "dup_key": found.dup_key,
    }


def _changes(
    tx: Tx, found: Any, values: Mapping[str, Any], lost: Sequence[AttemptRow], wrong: Wrong
) -> tuple[SignedFact, ...]:
    """The facts that both persons sign: what is wrong, each column that changes, each row that is made anew, and what
    stays."""
    said = [repair_facts.wrong_fact(wrong), repair_facts.column_changed("state", found.state, values["state"])]
    for name, value in sorted(values.items()):
        if name not in _NOT_SIGNED and name != "state" and getattr(found, name) != value:
            said.append(repair_facts.column_changed(name, getattr(found, name), value))
    there = _attempts(tx.raw, found.payment)
    for one in lost:
        altered = one.attempt in there
        said.append(repair_facts.send_made_anew(one.attempt, altered=altered, day=one.bank_date, node=one.node))
    said += [repair_facts.send_removed(number) for number in there if number > values["attempt"]]
    kinds = tx.raw.execute(select(_W.kind).where(_W.payment == found.payment).order_by(_W.kind)).scalars().all()
    said.append(repair_facts.work_set(kinds, values["state"]))
    said.append(repair_facts.columns_kept({name: getattr(found, name) for name in _KEPT}))
    return tuple(said)
