"""A story about a living gateway whose journal is altered by SQL while it runs: the life before the alterations, what
goes on after them, and the judge.

`begun` runs the life up to a moment with people, two approval policies, pools, linked payments and orders in each state.
`LivingStory.go_on` continues it for a minute and a half: orders, approvals, withdrawals, retries, questions, pauses, an
emergency stop, doubts that end, and perhaps a restart or a hand-over of the lanes to the second of two nodes. Between
its units it alters the journal. The judge knows what the story did itself and reads the bank's books; it never reads the
journal.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.python.failure import Failure

from gateway.approvals.rows import approval_decisions, approval_policies, approval_requests, approvals
from gateway.approvals.rows.approval_decisions import DecidedRequest, GivenDecision
from gateway.approvals.rows.approval_requests import RequestState
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.commit import barred_persons, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Event
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import VaultError
from gateway.payments.rows import held_orders, lookup
from gateway.payments.rows import transition as applying
from gateway.people.rows import delegations, entitlements, persons
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.persons import Person
from gateway.people.rules import scopes
from gateway.people.rules.delegations import Delegation
from gateway.people.rules.grants import parse
from gateway.people.rules.roles import PersonRole
from gateway.pools.rows import pools
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from tests.world import tampered_life
from tests.world.history import NOT_BOOKED
from tests.world.sim import replaying
from tests.world.stage import NEVER
from tests.world.world import START_S, Life, World

LANES = ("a", "b", "c")
BAND_MINOR, BIG_MINOR, HALF_MINOR = 5_000_000, 10_000_000, 3_000_000
"""Orders over the band need two approvers. Two halves to one payee are over it together."""
RICH, POOR = 10**12, 1_000_000
LIMIT_MINOR, PART_MINOR = 10_000_000, 4_000_000
"""What the sender `branch` may pay in a day, and each of its orders: two of them fit."""
GONE, LOWERED, BARRED, STAND_IN, MAKER = "gus", "lea", "bar", "tom", "dan"
APPROVERS = ("ann", "ben")
CHEATS = (GONE, LOWERED, BARRED, STAND_IN, MAKER)
"""Persons whose approval must not count: deactivated, without the role, barred, after the end of a delegation, and the
maker."""
_KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in (*APPROVERS, *CHEATS)}
HEADER, MEMBER, SHUT_HEADER, SHUT_MEMBER = 0, 3, 1, 4
"""Places of the pools' accounts. The second pool is closed before the story goes on."""
SLOT = "slots=19:08-19:20 most-run=90000.00 most-day=900000.00"
"""It opens 80 s after the start, in the part of the story that is altered."""
HEARD_S = 7.0
"""After this time every node has heard of a pause or stop."""
LAST_S, REST_S = 55.0, 17.0
"""When the last orders are given, and how long the story goes on after its last act."""
RESTARTS = 3
"""How often the process that ended is started again, as systemd does it."""
_SENDERS: dict[str, Any] = {
    "treasury": {"operations": ["transfer.submit"], "suspected_duplicate_hours": 0},
    "branch": {
        "users": ["branch-user"],
        "operations": ["payment.submit", "payment.cancel"],
        "reply_to": r"erp-demo\..*",
        "suspected_duplicate_hours": 0,
        "limits": {"per_day": "100000.00"},
    },
}
Acts = list[tuple[float, Callable[[], object]]]
"""Acts with their times from the moment at which a story goes on."""
_EXPECTED = (SealBroken, VaultError)
"""What an act of a person may fail with, because a row that it needs was altered."""


class Site(StrEnum):
    """How many nodes share the journal."""

    ONE = "one node"
    TWO = "two nodes"


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """An order as the ERP gave it. `group` are orders to one payee whose sum decides."""

    id: str
    minor: int
    at_s: float
    group: str = ""
    branch: bool = False


@dataclass(slots=True)
class Verdict:
    """What went wrong, and what shows that the story was one: see `LivingStory.judged`."""

    second: list[str] = field(default_factory=list)
    looser: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    went_on: bool = False
    ended: int = 0
    halted: int = 0
    signs: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.second or self.looser or self.contradicted or self.untold)

    @property
    def wrong(self) -> list[str]:
        """Every sentence about something that went wrong."""
        return [*self.second, *self.looser, *self.contradicted, *self.untold]


class LivingStory:
    """A world whose daemon runs, and all that the story did in it. `older` are copies of its journal."""

    def __init__(self, folder: Path, seed: int, site: Site) -> None:
        two = site is Site.TWO
        self.site = site
        self.world = World(
            folder,
            seed,
            lanes=LANES,
            accounts=2 * len(LANES),
            holdings=tuple(POOR if n == MEMBER else RICH for n in range(2 * len(LANES))),
            conduct=BookingRules(dedup=False),
            plan=FaultScript(),
            adapters={"sample": partial(replaying, rule=NEVER)},
            sender={"suspected_duplicate_hours": 24},
            settings={
                "senders": _SENDERS,
                "control": {"approval_valid_s": 80_000, "approval_escalates_s": 40_000},
                "journal": {"poll_ms": 2_000} if two else {},
            },
            options={"sample": {"heartbeat_s": 100.0, "sessions": 2}},
            spans={"enquiry_deadline_s": 3_000.0},
        )
        self.older: list[Path] = []
        self.orders: dict[str, GivenOrder] = {}
        self.approved: dict[str, dict[str, float]] = defaultdict(dict)
        self.released: set[str] = set()
        self.pauses: list[tuple[str, float]] = []
        self.signs: list[str] = []
        self.defects: list[str] = []
        self.second_node: Life | None = None
        self.ended = 0
        self.altered_s: float | None = None
        self.unbarred = False

    @property
    def now_s(self) -> float:
        """The time since the start of the world."""
        return self.world.clock.seconds() - START_S

    # ---- the life before the alterations ----

    def begin(self) -> Iterator[float]:
        """Run the life, and yield at each moment from which a story may go on."""
        world = self.world
        if self.site is Site.TWO:
            self.second_node = world.start("gw2")
            world.run(1)
        world.start()
        world.run(3)
        self.act(_people)
        world.run(1)
        tampered_life.copy(world, self.older)
        for n in (0, 1, 2, 4, 5):
            self.give(f"early-{n}", 10_000 + n, n)
        self.give("early-big", BIG_MINOR, 1)
        self.give("early-cancelled", 10_100, 2, not_before=world.moment(50))
        world.run(1)
        tampered_life.copy(world, self.older)
        world.run(2)
        self.approve("ann")
        world.command("payment.cancel", {"id": "early-cancelled"})
        world.run(5)
        tampered_life.copy(world, self.older)
        header, member, slot, shut, other = (
            world.bank.accounts[n] for n in (HEADER, MEMBER, 5, SHUT_HEADER, SHUT_MEMBER)
        )
        self.act(
            lambda tx: pools.put_in_force(
                tx,
                "p",
                f"pool CNY header={header} {SLOT}; child {member} up=fixed:69.00; child {slot} up=fixed:70.00",
                "P",
            )
        )
        self.act(
            lambda tx: pools.put_in_force(tx, "q", f"pool CNY header={shut} {SLOT}; child {other} up=fixed:71.00", "P")
        )
        self.act(_stricter)
        world.run(1)
        tampered_life.copy(world, self.older)
        self.act(lambda tx: pools.put_in_force(tx, "q", "none", "P"))
        self._orders("mid", random.Random(f"living {world.seed}"), 20.0)
        world.run(1)
        tampered_life.copy(world, self.older)
        world.run(4)
        self.approve("ben")
        yield self.now_s
        world.run(6)
        world.command("payment.cancel", {"id": "mid-later-0"})
        world.run(2)
        tampered_life.copy(world, self.older)
        yield self.now_s

    def _orders(self, part: str, chance: random.Random, later_s: float) -> None:
        """Give the orders of each kind."""
        for n in (0, 1, 2, 5):
            self.give(f"{part}-{n}", 20_000 + n, n)
        self.give(f"{part}-big", BIG_MINOR + 1, chance.choice((1, 2)))
        self.give(f"{part}-unsigned", BIG_MINOR + 2, 2, valid_until=self.world.moment(chance.uniform(5, 40)))
        self.halves(part, 0)
        self.halves(f"{part}-alike", 1)
        for n in range(3):
            self.give(f"{part}-later-{n}", 30_000 + n, n, not_before=self.world.moment(later_s + 5 * n))
        self.link(f"{part}-link")
        self.give(f"{part}-branch", PART_MINOR, 5, user="branch-user")

    # ---- acts ----

    def give(self, id_: str, minor: int, place: int, *, group: str = "", user: str = "", **more: Any) -> None:
        """Let the ERP give an order from the account at this place. Orders of a group have one payee."""
        branch = bool(user)
        self.orders[id_] = GivenOrder(id_, minor, self.now_s, group, branch)
        own = {"account": self.world.bank.accounts[place], "name": "示例甲公司"}
        body = self.world.order(id_, minor, debtor=own, maker=MAKER, **more)
        if group:
            body["creditor"] = self.world.order(group)["creditor"]
        self.world._orders[id_] = (f"m-{self.world._published + 1}", "payment.submit", body)
        self.world.command("payment.submit", body, **({"user": user} if user else {}))

    def halves(self, part: str, apart: int) -> None:
        """Give two orders to one payee that need two approvers together. With `apart` 0 they are alike as well."""
        for n in (1, 2):
            self.give(f"{part}-half-{n}", HALF_MINOR + n * (1 - apart), 1, group=f"{part}-half")

    def link(self, id_: str) -> None:
        """Give an order that the pool must fund."""
        number = sum("link" in one for one in self.orders)
        self.give(id_, 2 * POOR + 100_003 * (number + 1) ** 2, MEMBER, funded_by="p")

    def act(self, unit: Callable[[Tx], Any], done: Callable[[Any], object] | None = None) -> None:
        """Run a unit as the control API would. An altered row may refuse it; a defect may not."""
        life = self.world.life
        if life is None:
            return

        life.store.write(unit).addCallbacks(done or (lambda _said: None), partial(self._failed, life))

    def _failed(self, life: Life, why: Failure) -> None:
        if why.check(*_EXPECTED) or life.fatal:
            self.signs.append(f"an act was refused: {why.value}"[:200])
        else:
            self.defects.append(f"an act failed: {why.value!r}"[:300])

    def approve(self, person: str, only: str = "") -> None:
        """Let a person approve what waits. Only approvals of entitled persons are counted by the judge."""

        def decide_each(tx: Tx) -> list[str]:
            said = []
            for one in list(approval_requests.listing(tx.fresh, (RequestState.OPEN,))):
                if only in one.subject and self._say(tx, one.request, one.digest, person):
                    said.append(one.subject)
            return said

        def count(subjects: list[str]) -> None:
            for subject in subjects:
                if person in APPROVERS or (person == BARRED and self.unbarred):
                    self.approved[subject].setdefault(person, self.now_s)
                else:
                    self.defects.append(f"the approval of {person} for {subject} was taken")

        self.act(decide_each, count)

    def _say(self, tx: Tx, request: str, digest: str, person: str) -> bool:
        assert self.world.life is not None
        signature = _KEYS[person].sign(approvals.to_sign(digest, ApprovalDecision.APPROVE))
        given = GivenDecision(
            request, ApprovalDecision.APPROVE, digest, signature, "drawn", "control", f"person:{person}"
        )
        entitled = entitlements.of_name(tx.fresh, person, tx.now_ms)
        said = approval_decisions.decide(tx, given, entitled, self.world.life.gateway.registry)
        return isinstance(said, DecidedRequest)

    def release(self, id_: str) -> None:
        """Let persons release an order that was held as a suspected duplicate."""
        if self.world.life is None:
            return
        registry = self.world.life.gateway.registry

        def cleared(tx: Tx) -> bool:
            row = lookup.find(tx.fresh, self.world.sender, id_)
            if row is None:
                return False
            event: Event | str = held_orders.release(tx, row, ("suspected_duplicate",), registry)
            if isinstance(event, str):
                return False
            applying.apply(tx, row.payment, event, epoch=None, actor="persons")
            return True

        self.act(cleared, lambda done: self.released.add(id_) if done else None)

    def pause(self, lane: str) -> None:
        """Pause a lane for the rest of the story, as the control API does."""
        name, life = f"sample.{lane}", self.world.life

        def say(tx: Tx) -> PauseState:
            return lane_pauses.say(tx, name, "user:ann", paused=True, detail={"reason": "an exercise"})

        def said(state: PauseState) -> None:
            assert life is not None
            life.gateway.lanes[name].apply_pause(state)
            self.pauses.append((lane, self.now_s))

        self.act(say, said)

    def stop(self) -> None:
        """Stop everything for the rest of the story."""
        life = self.world.life
        if life is not None:
            stopping = life.gateway.emergency.stop_all("user:ann", "an exercise")
            stopping.addCallbacks(
                lambda _said: self.pauses.extend((lane, self.now_s) for lane in LANES), partial(self._failed, life)
            )

    def hide(self, fault: BankFault, seconds: float) -> None:
        """Let the bank fail at the next payment."""
        self.world.bank.simbank.script.add(ScriptedFault(fault, touch=ExchangeKind.MONEY, seconds=seconds))

    def again(self, chance: random.Random, *, fresh: bool) -> None:
        """Let the ERP give an order again: the same message, or a new one with the same id."""
        ids = [id_ for id_, one in self.orders.items() if not one.branch]
        self.world.again(chance.choice(ids), fresh=fresh)

    def cancel(self, chance: random.Random) -> None:
        """Let the ERP withdraw an order, most often one that has not left."""
        waiting = [id_ for id_ in self.orders if "later" in id_ or "unsigned" in id_ or "big" in id_ or "link" in id_]
        self.world.command("payment.cancel", {"id": chance.choice(waiting)})

    def change_lives(self, chance: random.Random) -> None:
        """Kill the node that has the lanes; the second node takes them, or the same one starts again."""
        if self.second_node is not None and not self.second_node.clock.dead:
            self.second_node.crash()
            return
        if self.world.life is None:
            return
        if chance.random() < 0.3:
            self.world.leave()
        else:
            self.world.crash()
        self._start()

    def _start(self) -> None:
        # A start compares with the permit log and bars whom its findings name: nobody here.
        self.unbarred = True
        self.world.start(self.world.node)

    # ---- what goes on ----

    def script(self, chance: random.Random) -> Acts:
        """The acts of the rest of the story with their times from now on."""
        acts: Acts = []

        def at(latest_s: float, act: Callable[[], object], earliest_s: float = 0.0) -> float:
            moment_s = chance.uniform(earliest_s, latest_s)
            acts.append((moment_s, act))
            return moment_s

        for n in range(5):
            at(LAST_S - 5, partial(self.give, f"small-{n}", 40_000 + n, chance.choice((0, 1, 2, 5))))
        at(8.0, partial(self._orders, "next", chance, 12.0))
        at(30.0, partial(self.give, "next-big-2", BIG_MINOR + 3, 5))
        at(40.0, partial(self.give, "late-branch", PART_MINOR, 5, user="branch-user"))
        at(45.0, partial(self.link, "late-link"), 10.0)
        for part in ("mid", "next"):
            at(40.0, partial(self.release, f"{part}-alike-half-2"), 10.0)
        for _ in range(3):
            at(45.0, partial(self.cancel, chance))
        at(45.0, partial(self.again, chance, fresh=False))
        at(45.0, partial(self.again, chance, fresh=True))
        at(30.0, partial(self.hide, BankFault.HIDE, chance.choice((8.0, 20.0, 10_000.0))))
        at(30.0, partial(self.hide, BankFault.DROP_BEFORE, 0.0))
        at(30.0, partial(self.approve, "ann"), 10.0)
        at(50.0, partial(self.approve, "ann"), 30.0)
        if chance.random() < 0.5:  # noqa: PLR2004
            at(50.0, partial(self.approve, "ben"), 10.0)
        for person in CHEATS:
            at(50.0, partial(self.approve, person), 5.0)
        if chance.random() < 0.4:  # noqa: PLR2004
            at(30.0, partial(self.pause, chance.choice(LANES)))
        if chance.random() < 0.25:  # noqa: PLR2004
            at(LAST_S - HEARD_S - 1, self.stop, LAST_S - HEARD_S - 6)
        if chance.random() < 0.5:  # noqa: PLR2004
            at(40.0, partial(self.change_lives, chance), 15.0)
        acts += [(LAST_S, partial(self.give, f"last-{lane}", 50_000 + n, n)) for n, lane in enumerate(LANES)]
        return sorted(acts, key=lambda one: one[0])

    def go_on(self, acts: Acts) -> None:
        """Carry out the acts at their times, and let the rest of the story pass."""
        began_s = self.now_s
        for moment_s, act in acts:
            self._pass_to(began_s + moment_s)
            act()
        self._pass_to(self.now_s + REST_S)

    def _pass_to(self, moment_s: float) -> None:
        for _ in range(40):
            try:
                self.world.run(max(0.0, moment_s - self.now_s))
            except Exception as error:  # the daemon's own reactor would have logged it, and gone on
                self.signs.append(f"error: {error!r}"[:200])
            self._start_again()
            if self.now_s >= moment_s:
                return

    def _start_again(self) -> None:
        """Start a process that ended again, as systemd does."""
        two, life = self.second_node, self.world.life
        if two is not None and two.fatal and not two.clock.dead:
            self._tell_end(two)
            two.crash()
        if life is not None and life.fatal:
            self._tell_end(life)
            self.world.crash()
            if self.ended <= RESTARTS:
                self._start()

    def _tell_end(self, life: Life) -> None:
        self.ended += 1
        self.signs += [f"fatal: {one.strip().splitlines()[-1]}" for one in life.fatal if one.strip()]

    # ---- the judge ----

    def judged(self) -> Verdict:
        """What went wrong. `untold`: an order that was given after all alterations on a lane did not go, and nothing
        told of a trouble. `went_on`: the bank paid an order that was given after the first alteration."""
        world, found = self.world, Verdict(ended=self.ended)
        found.signs = [*self.signs, *self._present_signs(found)]
        executed = [one for one in world.bank.ledger.executions if not one.refused]
        by_payee = {self._place(one): one for one in self.orders.values()}
        counts: Counter[str] = Counter()
        times: dict[str, float] = {}
        for one in executed:
            said, at_s = one.instruction, one.at_ms / 1000 - START_S
            lane = world.lane_of[said.debtor_account]
            found.looser += [
                f"{said.amount} left lane {lane} {at_s - since_s:.1f} s after it was paused or stopped"
                for paused, since_s in self.pauses
                if paused == lane and at_s > since_s + HEARD_S
            ]
            if said.creditor_account in world.bank.accounts:
                counts[f"transfer {said.debtor_account} {said.creditor_account} {said.amount}"] += 1
                if {said.debtor_account, said.creditor_account} & {
                    world.bank.accounts[SHUT_HEADER],
                    world.bank.accounts[SHUT_MEMBER],
                }:
                    found.looser.append(f"a pool that is closed moved {said.amount}")
                continue
            made = by_payee.get((said.creditor_account, said.amount.minor))
            if made is None:
                found.looser.append(f"an execution of no order: {said.creditor_account} {said.amount}")
                continue
            counts[made.id] += 1
            times.setdefault(made.id, at_s)
        self._judge_counts(found, counts, times)
        found.looser += self._without_money()
        self._judge_words(found, counts)
        if self.altered_s is not None:
            later = [one.id for one in self.orders.values() if one.at_s > self.altered_s]
            found.went_on = any(counts[id_] for id_ in later)
        stopped = {lane for lane, _since_s in self.pauses}
        for lane in LANES if "last-a" in self.orders else ():
            if not counts[f"last-{lane}"] and lane not in stopped and not found.signs:
                found.untold.append(f"last-{lane} did not go, and nothing tells why")
        found.looser += self.defects
        return found

    def _place(self, one: GivenOrder) -> tuple[str, int]:
        return self.world._orders[one.id][2]["creditor"]["account"], one.minor

    def _judge_counts(self, found: Verdict, counts: Counter[str], times: dict[str, float]) -> None:
        """Judge how often each order was executed, and whether it had its approvals and its limit."""
        for id_, count in counts.items():
            made = self.orders.get(id_)
            alike = made is not None and made.group.endswith("alike-half")
            if count > 1 + alike:
                found.second.append(f"{id_}: executed {count} times")
            if made is None:
                continue
            if made.minor > BAND_MINOR and self._approvals(id_, times[id_]) < (1 if id_ == "early-big" else 2):
                found.looser.append(f"{id_} left with {self._approvals(id_, times[id_])} approvals")
        for group in {one.group for one in self.orders.values() if one.group}:
            halves = [one.id for one in self.orders.values() if one.group == group]
            went = sum(counts[id_] for id_ in halves)
            most = max(self._approvals(id_, 10**9) for id_ in halves)
            if went > 1 and most < 2:  # noqa: PLR2004
                found.looser.append(f"both of {group} left with {most} approvals")
            if went > 1 and "alike" in group and halves[1] not in self.released:
                found.looser.append(f"both of {group} left, and nobody released the second")
        branch = sum(
            self.orders[id_].minor * n for id_, n in counts.items() if id_ in self.orders and self.orders[id_].branch
        )
        if branch > LIMIT_MINOR:
            found.looser.append(f"the sender branch paid {branch} in a day")

    def _approvals(self, id_: str, at_s: float) -> int:
        return sum(since_s <= at_s for since_s in self.approved[id_].values())

    def _without_money(self) -> Iterator[str]:
        """Instructions that arrived before their account had the money."""
        minor = dict(zip(self.world.bank.accounts, self.world._holdings, strict=False))
        for one in self.world.bank.ledger.executions:
            said = one.instruction
            if minor[said.debtor_account] < said.amount.minor:
                yield f"{said.amount} arrived when its account had {minor[said.debtor_account]}"
            if not one.refused:
                minor[said.debtor_account] -= said.amount.minor
                if said.creditor_account in minor:
                    minor[said.creditor_account] += said.amount.minor

    def _judge_words(self, found: Verdict, counts: Counter[str]) -> None:
        """Compare what the ERP was told with the bank's books."""
        for event in (*self.world.events, *(said for _properties, said in self.world.replies)):
            made = self.orders.get(event.get("id", ""))
            if made is None or made.group.endswith("alike-half"):
                continue
            state = event.get("state")
            if state == "settled" and not counts[made.id]:
                found.contradicted.append(f"{made.id}: told settled, and the bank has not paid it")
            if state in NOT_BOOKED and counts[made.id]:
                found.contradicted.append(f"{made.id}: told {state}, and the bank has paid it")

    def _present_signs(self, found: Verdict) -> Iterator[str]:
        yield from (f"altered: {one}" for one in registers.altered(self.world.vault))
        for life in (self.world.life, self.second_node):
            if life is None or life.clock.dead:
                continue
            for name, lane in life.gateway.lanes.items():
                if lane.halted:
                    found.halted += 1
                    yield f"lane {name} halted: {lane.halted}"
                if life.gateway.safe_mode.holds(name):
                    yield f"SAFE MODE {name}"
        if self.world.life is not None:
            yield from (f"alarm {name}" for name in tampered_life.alarms(self.world) if name != "stopped")


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
    """Put a policy with two approvers in force; one person leaves, one loses the role, one is barred, a delegation ends."""
    approval_policies.put_in_force(tx, _policy(2), "drawn")
    gone, lowered = persons.of_name(tx.raw, GONE), persons.of_name(tx.raw, LOWERED)
    assert gone is not None
    assert lowered is not None
    persons.change(tx, replace(gone, enrolled=False, deactivated=True), "person.deactivated", "person:ben", {})
    persons.change(tx, replace(lowered, grants=parse("viewer@*")), "person.roles_changed", "person:ben", {})
    [given] = delegations.in_force(tx.raw, tx.now_ms)
    delegations.end(tx, given.delegation, "ann", "back again", "person:ann")
    barred_persons.bar(tx, (BARRED,))


def _policy(count: int) -> str:
    return f"CNY 0..{BAND_MINOR // 100}.00 0; CNY {BAND_MINOR // 100}.00.. {count}; makers branch,kingdee"
