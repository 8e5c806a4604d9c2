"""Checks a finished world against its promises: the banks' ledgers are the truth, and journal and ERP must agree with
them."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.simbank.faults import ExchangeKind
from protocols.canon.money import Money
from protocols.canon.outcome import STATE_TABLE, State
from tests.world.world import World

BOOKED = {"settled"}
_WAITS = ["accepted", "held", "ready", "sending", "pending"]
NOT_BOOKED = {"failed", "rejected", "cancelled", "expired"}


def violations(world: World, *, calm: bool = True) -> list[str]:
    """Every broken promise as a sentence. `calm`: the banks were honest long enough for all doubt to be resolved."""
    return list(_violations(world, calm))


def _violations(world: World, calm: bool) -> Iterator[str]:
    world.mirror()
    news: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in world.events:
        if event.get("payment"):
            news[event["payment"]].append(event)
    payments = _payments(world)
    truths = {bank: site.ledger.truth() for bank, site in world.banks.items()}
    for bank, site in world.banks.items():
        for double in site.ledger.doubles():
            yield f"{bank}: {double} was executed twice"
    by_identity = Counter((row["sender"], row["order_id"]) for row in payments.values())
    for identity, count in by_identity.items():
        if count > 1:
            yield f"{identity} became {count} payments"
    for key, row in payments.items():
        yield from _one(world, row, news.get(key, []), truths[row["bank"]].get(row["bank_ref"], []), calm)
    yield from _batches(world)
    yield from _replies(world)
    yield from _never(world)
    yield from _journal(world)
    yield from _wires(world)


def truths(world: World, but: Collection[str] = ()) -> list[str]:
    """Every payment whose state contradicts its bank's ledger, except of these orders."""
    return list(_truths(world, but))


def _truths(world: World, but: Collection[str]) -> Iterator[str]:
    books = {bank: site.ledger.truth() for bank, site in world.banks.items()}
    for row in _payments(world).values():
        if row["order_id"] in but:
            continue
        booked = _standing(books[row["bank"]].get(row["bank_ref"], []), round(world.clock.seconds() * 1000))
        yield from _truth(f"{row['order_id']} ({row['payment']})", row["state"], booked, calm=True)


def unsettled(world: World, *, in_doubt_too: bool) -> str | None:
    """The events that are still to come: an open payment, an unpublished message, a bank without decision or answer.
    None if nothing is open."""
    now_ms = round(world.clock.seconds() * 1000)
    waits = [*_WAITS, "in_doubt", "escalated"] if in_doubt_too else _WAITS
    for site in world.banks.values():
        for one in site.ledger.executions:
            if max(one.decided_ms, one.returned_ms or 0, one.visible_ms) > now_ms:
                return f"{one.instruction.reference} is not decided"
    with sqlite3.connect(world.folder / "journal.db") as db:
        asked = f"select order_id, state from payments where state in ({','.join('?' * len(waits))}) limit 1"
        found = db.execute(asked, waits).fetchone()
    return f"{found[0]} is {found[1]}" if found else next(_violations(world, True), None)


def standing(world: World) -> list[str]:
    """Payments that may be sent and have been due for a while, but are not sent."""
    world.mirror()
    with sqlite3.connect(world.folder / "journal.db") as db:
        found = db.execute(
            "select order_id, work.due_ms from payments join work using (payment) where state = 'ready' and work.kind = 'send'"
            " and work.due_ms < ? order by 1",
            (round(world.clock.seconds() * 1000) - 10_000,),
        ).fetchall()
    return [f"{id_} may be sent, is due since {due_ms}, and stands still" for id_, due_ms in found]


def untold(world: World) -> int:
    """The number of messages that the broker has not confirmed."""
    with sqlite3.connect(world.folder / "journal.db") as db:
        return int(db.execute("select count(*) from outbox where state = 'waiting'").fetchone()[0])


def _one(
    world: World, row: dict[str, Any], told: list[dict[str, Any]], executions: list[Any], calm: bool
) -> Iterator[str]:
    name = f"{row['order_id']} ({row['payment']})"
    booked = _standing(executions, round(world.clock.seconds() * 1000))
    latest = max(told, key=lambda e: e["seq"]) if told else None
    if latest is None:
        yield f"{name}: nothing was told about it"
        return
    numbers = sorted({e["seq"] for e in told})
    if numbers != list(range(1, numbers[-1] + 1)) and numbers != list(range(1, row["seq"] + 1)):
        yield f"{name}: events are numbered {numbers}"
    if latest["seq"] != row["seq"]:
        yield f"{name}: told up to {latest['seq']}, the journal is at {row['seq']}"
    for seq in numbers:
        states = {(e["event"], e["state"]) for e in told if e["seq"] == seq}
        if len(states) > 1:
            yield f"{name}: number {seq} was told as {sorted(states)}"
    state = row["state"]
    if latest["event"] == "payment.correction":
        yield f"{name}: the banks contradict themselves: {latest}"
    yield from _truth(name, state, booked, calm)


def _truth(name: str, state: str, booked: str | None, calm: bool) -> Iterator[str]:
    if state in BOOKED and booked not in ("settled", "returned"):
        yield f"{name}: told settled, the bank says {booked}"
    if state in BOOKED and booked == "returned" and calm:
        yield f"{name}: told settled, the money came back"
    if state in NOT_BOOKED and booked not in (None, "refused"):
        yield f"{name}: told {state}, the bank says {booked}"
    if state == "returned" and booked != "returned":
        yield f"{name}: told returned, the bank says {booked}"
    if calm and state in ("accepted", "ready", "sending", "pending"):
        yield f"{name}: left {state} for ever (the bank says {booked})"
    if calm and state in ("in_doubt", "escalated") and booked is not None:
        yield f"{name}: left {state}, though the bank says {booked}"


def _standing(executions: list[Any], now_ms: int) -> str | None:
    return executions[-1].booked(now_ms).value if executions else None


def _batches(world: World) -> Iterator[str]:
    """Faults of the batches: each must be admitted as a whole or not at all, and its last `batch.completed` must give
    the end of each payment."""
    told: dict[tuple[str, str], dict[int, dict[str, tuple[int, str]]]] = defaultdict(dict)
    for event in world.events:
        if event["event"] == "batch.completed":
            shares = {share["state"]: (share["count"], share["sum"]) for share in event["states"]}
            if told[_now(world.old_senders, event["sender"]), event["id"]].setdefault(event["seq"], shares) != shares:
                yield f"batch {event['id']}: number {event['seq']} was told in two ways"
    with sqlite3.connect(world.folder / "journal.db") as db:
        rows = db.execute("select sender, batch, count, seq from batches").fetchall()
        items = db.execute("select sender, batch, state, amount_minor from payments where batch is not null").fetchall()
    for sender, id_, count, seq in rows:
        ended = [(State(state), minor) for one, batch, state, minor in items if (one, batch) == (sender, id_)]
        if len(ended) != count:
            yield f"batch {id_}: {len(ended)} of its {count} items became payments"
        said = told.pop((sender, id_), {})
        # The reply to the command is number 1.
        if sorted(said) != list(range(2, seq + 1)):
            yield f"batch {id_}: completed is told by the numbers {sorted(said)}, the journal is at {seq}"
        if not all(STATE_TABLE[state].final for state, _minor in ended):
            if said:
                yield f"batch {id_}: told completed, and not all its items have ended"
        elif said.get(seq) != _shares(ended):
            yield f"batch {id_}: told {said.get(seq)}, its items ended as {_shares(ended)}"
    for _sender, id_ in told:
        yield f"batch {id_}: told completed, and there is no such batch"


def _shares(ended: list[tuple[State, int]]) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for state in {state for state, _minor in ended}:
        minors = [minor for one, minor in ended if one is state]
        found[state.value] = (len(minors), str(Money(sum(minors))))
    return found


def _replies(world: World) -> Iterator[str]:
    """Faults of the replies: every publish of a command must have one reply, and a repeated reply the id of the first.

    A refused command that is delivered again may be a second publish of it: it is refused once more, and told so (ADR
    0006). A status query that came before its order was refused, and is answered when it is delivered again and the
    order is there. A cancellation that was refused in SAFE MODE changed nothing, and is judged again when it is
    delivered again after SAFE MODE.
    """
    replies: dict[str, set[str]] = defaultdict(set)
    again: dict[str, set[str]] = defaultdict(set)
    unknown: dict[str, set[str]] = defaultdict(set)
    for said, body in world.replies:
        error = body.get("error", {})
        refused_again = "came again; to have it judged anew" in error.get("title", "")
        refused = (body.get("command"), error.get("code"))
        in_safe_mode = refused == ("payment.cancel", "too_late") and "SAFE MODE" in error["title"]
        too_early = in_safe_mode or refused == ("status.query", "unknown_payment")
        kept = again if refused_again else unknown if too_early else replies
        kept[said.correlation_id or ""].add(said.message_id or "")
    for command, early in unknown.items():
        answered_later = replies[command] and command in world.broker.redelivered
        (again if answered_later else replies)[command] |= early
    for said, body in world.replies:
        if body.get("error", {}).get("code") == "internal":
            yield f"command {said.correlation_id} met a defect of the gateway"
    for command, published in world.commands.items():
        if not len(replies[command] | again[command]) >= 1 or len(replies[command]) > published:
            got = len(replies[command] | again[command])
            yield f"command {command} was published {published} times and got {got} replies"


def _never(world: World) -> Iterator[str]:
    """Faults of repeats: once the settings forbid repeats at a bank, no payment may be repeated, whatever its own rules
    said at admission."""
    for bank, count in world.never_since.items():
        again = len(world.repeats(bank))
        if again > count:
            yield f"{bank}: {again - count} payments were sent again by themselves after its rules forbade it"


def _now(renamed: Mapping[str, str], name: str) -> str:
    """The present name of a lane or a sender."""
    while name in renamed:
        name = renamed[name]
    return name


def _journal(world: World) -> Iterator[str]:
    with sqlite3.connect(world.folder / "journal.db") as db:
        sent = {
            tuple(row)
            for row in db.execute(
                "select p.lane || '/' || p.bank_ref, a.attempt from attempts a join payments p using (payment)"
            )
        }
    if waiting := untold(world):
        yield f"{waiting} messages were never confirmed"
    permitted = {(_as_now(world, permit.ref), permit.attempt) for permit in world.permits.written}
    for ref, attempt in permitted - sent:
        yield f"send {ref} attempt {attempt} is in the permit log and not in the journal"
    # A life that ended between commit and permit log has not written; the same bytes may leave later under a permit of
    # their own.
    left = Counter(data for pipe in world.pipes for data in pipe.written)
    for ref in {ref for ref, _attempt in sent - permitted}:
        wires = {_wire(world, ref, attempt) for one, attempt in sent if one == ref}
        allowed = sum(one == ref for one, _attempt in permitted)
        if sum(left[wire] for wire in wires) > allowed:
            yield f"send {ref} left {sum(left[wire] for wire in wires)} times, with {allowed} permits in the log"


def _as_now(world: World, ref: str) -> str:
    lane, _, bank_ref = ref.rpartition("/")
    return f"{_now(world.old_lanes, lane)}/{bank_ref}"


def _wire(world: World, ref: str, attempt: int) -> bytes:
    lane, _, bank_ref = ref.rpartition("/")
    with sqlite3.connect(world.folder / "journal.db") as db:
        payment, sealed = db.execute(
            "select a.payment, a.wire from attempts a join payments p using (payment)"
            " where p.lane = ? and p.bank_ref = ? and a.attempt = ?",
            (lane, bank_ref, attempt),
        ).fetchone()
    return world.vault.open(sealed, f"attempts/wire/{payment}/{attempt}".encode())


def _wires(world: World) -> Iterator[str]:
    """Faults of the sends: every payment message must be written down before it leaves, and leave at most once per
    attempt."""
    left = Counter(data for pipe in world.pipes for data in pipe.written)
    allowed: Counter[bytes] = Counter()
    whose: dict[bytes, str] = {}
    with sqlite3.connect(world.folder / "journal.db") as db:
        for payment, attempt, sealed in db.execute("select payment, attempt, wire from attempts"):
            wire = world.vault.open(sealed, f"attempts/wire/{payment}/{attempt}".encode())
            if wire:
                allowed[wire] += 1
                whose[wire] = payment
        # A message with many orders is never sent again: it may leave once, whatever attempt wrote it.
        for bundle, sealed in db.execute("select bundle, wire from bundles where wire is not null"):
            wire = world.vault.open(sealed, f"bundles/wire/{bundle}".encode())
            allowed[wire], whose[wire] = 1, bundle
    for wire, count in allowed.items():
        if left[wire] > count:
            yield f"the bytes of {whose[wire]} left {left[wire]} times, for {count} attempts"
    sanctioned = sum(min(left[wire], count) for wire, count in allowed.items())
    heard = sum(site.simbank.tally.exchanges[ExchangeKind.MONEY] for site in world.banks.values())
    if heard > sanctioned:
        yield f"the banks heard {heard} payment messages, the journal knows of {sanctioned} that left"


def _payments(world: World) -> dict[str, dict[str, Any]]:
    with sqlite3.connect(world.folder / "journal.db") as db:
        db.row_factory = sqlite3.Row
        read = (
            "select payment, sender, order_id, state, seq, bank, bank_ref, first_write_ms, last_write_ms from payments"
        )
        return {row["payment"]: dict(row) for row in db.execute(read)}
