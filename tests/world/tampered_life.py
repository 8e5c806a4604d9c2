"""A finished life of the daemon whose journal is altered afterwards: its people, orders and stops, and the copies of
it.

The life has payments in every state, two versions of an approval policy, an approver who was deactivated, one whose role
was taken back, and a delegation that ended. `lived` tells it in one of three ways: as it is, with an emergency stop
in force at its end, or with one lane paused by an operator. `next_life` then runs the daemon on the journal as it is
by now: nobody decides anything, and persons who may not act try to. `judged` says what became worse.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.approvals.rows import approval_decisions, approval_policies, approval_requests, approvals
from gateway.approvals.rows.approval_decisions import GivenDecision
from gateway.approvals.rows.approval_requests import RequestState
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.kernel.cluster import lane_pauses, stops
from gateway.kernel.commit import registers
from gateway.kernel.commit.store import Tx
from gateway.people.rows import delegations, entitlements, persons
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.persons import Person
from gateway.people.rules import scopes
from gateway.people.rules.delegations import Delegation
from gateway.people.rules.grants import parse
from gateway.people.rules.roles import PersonRole
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from protocols.canon.money import Money
from tests.world.batching import batch
from tests.world.sim import replaying
from tests.world.stage import NEVER
from tests.world.world import Life, World

LANES = ("a", "b", "c", "d")
BANKS = ("sample", "pab")
BAND_MINOR = 5_000_000
GONE, LOWERED, STAND_IN, MAKER = "gus", "lea", "tom", "dan"
_APPROVERS = ("ann", "ben", GONE, LOWERED)
_KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in (*_APPROVERS, STAND_IN, MAKER)}
_NEXT_MINOR, _ABOVE_MINOR, _LEFT_MINOR = 2 * BAND_MINOR + 7, BAND_MINOR - 11, 100_000
SENT = ("settled", "returned", "failed", "pending", "in_doubt", "escalated", "sending", "reversed")
OVER = ("cancelled", "expired", "rejected", "held")
CLOSED = (*SENT, *OVER)
"""States of orders that no later life may send, unless persons decide it."""
SECONDS = 12.0
"""How long the next life is."""


class EndSituation(StrEnum):
    """The facts at the end of the life, besides its rows."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    POOLS = "pools"


@dataclass(frozen=True, slots=True)
class ForbiddenExecutions:
    """Executions that must not have been: payments executed twice, and orders that were over, held or forbidden."""

    second: tuple[str, ...] = ()
    looser: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.second or self.looser)


@dataclass(slots=True)
class FinishedLife:
    """A daemon's life that has ended: its journal, older copies of it, and the banks' executions so far.

    `executed` counts executions by the payee's account, which belongs to one order; `closed` are the orders that no
    later life may send: they were sent, or ended, or wait for persons.
    """

    world: World
    situation: EndSituation
    journal: bytes
    older: list[Path]
    executed: Counter[str]
    closed: dict[str, str]
    order_of: dict[str, str] = field(default_factory=dict)
    permits: dict[str, bytes] = field(default_factory=dict)

    def go_on(self) -> list[str]:
        """Run the daemon once more. See `next_life`."""
        return next_life(self, SECONDS)

    def worse(self) -> ForbiddenExecutions:
        """The executions since the life ended that were forbidden."""
        return judged(self)


# ---- the life ----------------------------------------------------------------------------------------------------


def lived(folder: Path, seed: int, situation: EndSituation) -> FinishedLife:
    """Run the life to its end."""
    world = World(
        folder,
        seed,
        banks=BANKS,
        lanes=LANES,
        accounts=len(LANES),
        conduct=BookingRules(dedup=False),
        plan=_faults(),
        adapters={bank: partial(replaying, rule=NEVER) for bank in BANKS},
        sender={"suspected_duplicate_hours": 24},
        settings={"control": {"approval_valid_s": 80_000, "approval_escalates_s": 40_000}},
    )
    older: list[Path] = []
    world.start()
    world.run(3)
    _do(world, _people)
    world.run(1)
    copy(world, older)
    _orders(world, "early")
    world.run(0.3)
    copy(world, older)
    world.run(2)
    _approve(world, "early-big", "ann")
    copy(world, older)
    world.run(30)
    copy(world, older)
    _do(world, _stricter)
    if situation is EndSituation.STOPPED:
        _do(world, lambda tx: stops.say(tx, "user:ann", "an exercise", stopped=True))
        world.run(1)
        _do(world, lambda tx: stops.say(tx, "user:ann", "it is over", stopped=False))
    world.run(2)
    copy(world, older)
    _orders(world, "late")
    world.run(3)
    _approve(world, "late-big", "ben")
    copy(world, older)
    world.run(40)
    for lane in LANES if situation is EndSituation.PAUSED else ():
        _do(world, partial(_pause, lane=f"sample.{lane}"))
    if situation is EndSituation.STOPPED:
        _do(world, lambda tx: stops.say(tx, "user:ann", "money is missing", stopped=True))
    world.run(3)
    if situation is not EndSituation.RUNNING:
        world.crash()
        world.start()
        world.run(3)
    _waiting_orders(world, situation)
    world.run(5)
    assert world.life is not None
    assert world.life.fatal == [], world.life.fatal
    world.crash()
    return _ended(world, situation, older)


def _faults() -> FaultScript:
    """Two payments of each bank arrive, get no answer, and are not found for a long time; one never arrives."""
    silent = [ScriptedFault(BankFault.HIDE, touch=ExchangeKind.MONEY, seconds=100_000.0) for _ in range(3)]
    return FaultScript([*silent, ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)])


def _orders(world: World, part: str) -> None:
    for bank in BANKS:
        for n, account in enumerate(world.banks[bank].accounts):
            own = _from(account)
            for m in range(2):
                world.submit(f"{part}-{bank}-{n}-{m}", 10_000 + 100 * n + m, bank, **own)
        first = _from(world.banks[bank].account)
        world.submit(f"{part}-{bank}-refused", 10_001, bank, purpose="#refuse", **first)
        world.submit(f"{part}-{bank}-returned", 10_002, bank, purpose="#return", **first)
        body = world.order(f"{part}-{bank}-0-0", 10_000, bank, **first)
        world.command("payment.submit", {**body, "id": f"{part}-{bank}-alike"})
        soon = {"not_before": world.moment(50_000)}
        world.submit(f"{part}-{bank}-cancelled", 10_003, bank, **soon, **first)
        world.submit(f"{part}-{bank}-expired", 2 * BAND_MINOR + 2, bank, valid_until=world.moment(20), **first)
        world.submit(f"{part}-{bank}-big", 2 * BAND_MINOR, bank, **first)
        world.submit(f"{part}-{bank}-unsigned", 2 * BAND_MINOR + 1, bank, **first)
    world.submit_batch("batch.submit", batch(world, f"{part}-batch", (1_101, 1_102, 1_103), bank="pab", maker=MAKER))
    world.run(0.2)
    for bank in BANKS:
        world.command("payment.cancel", {"id": f"{part}-{bank}-cancelled"})


def _from(account: str) -> dict[str, Any]:
    """The fields of orders from this account besides the payee and the amount."""
    return {"debtor": {"account": account, "name": "示例甲公司"}, "maker": MAKER}


def _waiting_orders(world: World, situation: EndSituation) -> None:
    """Submit orders that a stop or a pause holds back, or that wait for their time."""
    for bank in BANKS:
        for n, account in enumerate(world.banks[bank].accounts):
            own = _from(account)
            later = {} if situation is not EndSituation.RUNNING else {"not_before": world.moment(9)}
            world.submit(f"waits-{bank}-{n}", 10_200 + n, bank, **later, **own)


def _people(tx: Tx) -> None:
    for n, (name, key) in enumerate(_KEYS.items()):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        made = persons.enrol(tx, name, 5_000 + n, raw, "uid:0")
        assert isinstance(made, Person)
        grants = {MAKER: "maker@*", STAND_IN: "viewer@*"}.get(name, "approver@*")
        persons.change(tx, replace(made, enrolled=True, grants=parse(grants)), "person.confirmed", "uid:0", {})
    given = Delegation(
        "ann", STAND_IN, frozenset({PersonRole.APPROVER}), scopes.parse("*"), tx.now_ms, tx.now_ms + 3_600_000
    )
    assert isinstance(delegations.delegate(tx, given, "a leave", "person:ann"), DelegationRow)
    approval_policies.put_in_force(tx, _policy(1), "drawn")


def _stricter(tx: Tx) -> None:
    """Put a policy with two approvers in force. One person has left, one has lost the role, and a delegation ends."""
    approval_policies.put_in_force(tx, _policy(2), "drawn")
    gone, lowered = persons.of_name(tx.raw, GONE), persons.of_name(tx.raw, LOWERED)
    assert gone is not None
    assert lowered is not None
    persons.change(tx, replace(gone, enrolled=False, deactivated=True), "person.deactivated", "person:ben", {})
    persons.change(tx, replace(lowered, grants=parse("viewer@*")), "person.roles_changed", "person:ben", {})
    [given] = delegations.in_force(tx.raw, tx.now_ms)
    delegations.end(tx, given.delegation, "ann", "back again", "person:ann")


def _pause(tx: Tx, lane: str) -> None:
    lane_pauses.say(tx, lane, "user:ann", paused=True, detail={"reason": "an exercise"})


def _policy(count: int) -> str:
    return f"CNY 0..{BAND_MINOR // 100}.00 0; CNY {BAND_MINOR // 100}.00.. {count}; makers kingdee"


def _approve(world: World, part: str, person: str) -> None:
    """Let one person approve the waiting requests of both banks whose ids contain `part`."""
    prefix, _dash, suffix = part.partition("-")

    def decide_matching(tx: Tx) -> None:
        for one in list(approval_requests.listing(tx.fresh, (RequestState.OPEN,))):
            if one.subject.startswith(prefix) and one.subject.endswith(suffix):
                _say(world, tx, one.request, one.digest, person)

    _do(world, decide_matching)


def _say(world: World, tx: Tx, request: str, digest: str, person: str) -> None:
    assert world.life is not None
    signature = _KEYS[person].sign(approvals.to_sign(digest, ApprovalDecision.APPROVE))
    given = GivenDecision(request, ApprovalDecision.APPROVE, digest, signature, "drawn", "control", f"person:{person}")
    entitled = entitlements.of_name(tx.fresh, person, tx.now_ms)
    approval_decisions.decide(tx, given, entitled, world.life.gateway.registry)


def _do(world: World, unit: Any) -> None:
    """Run a unit on the journal as the control API would. A unit that fails changes nothing."""
    assert world.life is not None
    world.life.store.write(unit).addErrback(lambda _failure: None)


def copy(world: World, older: list[Path]) -> None:
    """Keep a copy of the journal as it is now."""
    file = world.folder / f"older{len(older)}.db"
    with closing(sqlite3.connect(world.folder / "journal.db")) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)
    older.append(file)


def _ended(world: World, situation: EndSituation, older: list[Path]) -> FinishedLife:
    file = world.folder / "journal.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        states = dict(db.execute("select order_id, state from payments").fetchall())
        asked = "select max(sum_minor) from usage_counts where scope = 'sender' and sender = ?"
        [used] = db.execute(asked, (world.sender,)).fetchone()
    lacking = {"settled", "failed", "in_doubt", "held", "cancelled", "expired"} - set(states.values())
    assert not lacking, f"the life has no payment that is {', '.join(sorted(lacking))}; what is altered proves nothing"
    # The limit of the day leaves room for the next life's orders with approvals only.
    most = used + len(BANKS) * len(LANES) * _NEXT_MINOR + _LEFT_MINOR
    world._sender = {**world._sender, "limits": {"per_day": str(Money(most))}}
    world.set_up_again()
    if world._outside is not None:
        world._outside.close()
        world._outside = None
    closed = {id_: state for id_, state in states.items() if state in CLOSED}
    if situation is not EndSituation.RUNNING:
        held = BANKS if situation is EndSituation.STOPPED else ("sample",)
        closed |= {id_: f"{situation.value} lane" for id_ in states for bank in held if id_.startswith(f"waits-{bank}")}
    permits = {str(one): one.read_bytes() for one in world.permit_folder(world.node).rglob("*") if one.is_file()}
    return FinishedLife(world, situation, file.read_bytes(), older, executions(world), closed, payees(world), permits)


def payees(world: World) -> dict[str, str]:
    """The order for each payee's account. Items of a batch and orders can share one and differ by amount."""
    found: dict[str, str] = {}
    for id_, (_message, key, body) in world._orders.items():
        if key == "payment.submit":
            found.setdefault(place(body["creditor"]["account"], body["amount"]), id_)
        else:
            item = next(one for one in body["items"] if one["id"] == id_)
            found[place(item["creditor"]["account"], item["amount"])] = id_
    return found


def place(account: str, amount: str) -> str:
    """The payee's account and the amount, by which the banks' books name an order."""
    return f"{account} {amount}"


def executions(world: World) -> Counter[str]:
    """The number of payments that the banks executed to each payee's account and amount."""
    return Counter(
        place(one.instruction.creditor_account, str(one.instruction.amount))
        for site in world.banks.values()
        for one in site.ledger.executions
        if not one.refused
    )


# ---- the next life -----------------------------------------------------------------------------------------------


def next_life(life: FinishedLife, seconds: float) -> list[str]:
    """Run the daemon once more. Returns the signs that it refused or stopped; empty if it ran as if nothing had
    happened."""
    world = life.world
    later = world.start(world.node)
    world.run(2)
    if not later.fatal:
        for bank in BANKS:
            for n, account in enumerate(world.banks[bank].accounts):
                world.submit(f"next-{bank}-{n}", _NEXT_MINOR, bank, **_from(account))
        for bank in BANKS:
            world.submit(f"next-{bank}-limit", _ABOVE_MINOR, bank, **_from(world.banks[bank].account))
    world.run(1)
    # None of these persons may approve; with the one valid approval of `late-*-big` their approval would be enough.
    for person in (GONE, LOWERED, STAND_IN, "ben"):
        _approve(world, "late-big", person)
    _approve(world, "next-", "ben")
    _approve(world, "late-unsigned", GONE)
    _approve(world, "late-unsigned", LOWERED)
    world.run(seconds)
    return signs_of(world, later)


def signs_of(world: World, later: Life) -> list[str]:
    """The signs that this process refused or stopped; empty if it ran as if nothing had happened."""
    found = [f"fatal: {one}" for one in later.fatal]
    held = [name for name in later.gateway.lanes if later.gateway.safe_mode.holds(name)]
    found += ["SAFE MODE"] * bool(held)
    found += [f"altered: {one}" for one in registers.altered(world.vault)]
    found += [f"lane {name} halted: {lane.halted}" for name, lane in later.gateway.lanes.items() if lane.halted]
    return found


def alarms(world: World) -> dict[str, float]:
    """The names of the running life's alarms."""
    assert world.life is not None
    return {
        sample.labels["alarm"] if "alarm" in sample.labels else str(sample.labels): sample.value
        for family in world.life.meters.registry.collect()
        if family.name == "bankgw_alarms"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


def judged(life: FinishedLife) -> ForbiddenExecutions:
    """The executions since the life ended that were forbidden."""
    second: list[str] = []
    looser: list[str] = []
    for place, count in executions(life.world).items():
        before = life.executed[place]
        if count == before:
            continue
        id_ = life.order_of.get(place) or payees(life.world).get(place, "")
        state = life.closed.get(id_, "")
        if not id_:
            looser.append(f"an execution of no order: {place}")
        elif count > 1 or state in SENT:
            second.append(f"{id_} ({state}): executed {before} times before, {count} now")
        elif state:
            looser.append(f"{id_} was {state} and was executed")
        elif id_.startswith("next-"):
            looser.append(f"{id_} was executed with too few approvals, above a limit, or on a lane that was stopped")
    return ForbiddenExecutions(tuple(second), tuple(looser))
