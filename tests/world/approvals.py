"""Stories about approvals: random makers, approvers, delegations, policies and crashes, with a referee of their own.

    python -m tests.world.approvals 20        # seeds 1 .. 20

The referee knows what it did to whom and when, and shares no rule with the gateway: of every payment whose bytes left it
asks who had approved it, whether these counted in that moment, and whether they were enough.
"""

from __future__ import annotations

import random
import re
import sqlite3
import sys
import tempfile
from base64 import b64encode
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.call import Denied
from protocols.bank import Bank, Context, MoneyConversation
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, Hand, enrol, hand
from tests.gateway.people.test_people_acts import decide, let_in, sign_in
from tests.world.batching import alone, batch
from tests.world.history import violations
from tests.world.world import World

STEPS, STEP_S = 60, 45.0
BAND_MINOR = 100_000
UNSURE_MS = 3_000
"""A change this shortly before a send may or may not have counted."""
_HANDS = tuple(hand(name, 3_000 + n) for n, name in enumerate(("ann", "ben", "cai", "dan", "eva")))
_STAND_IN = hand("fay", 3_010)
"""Approves only by delegation, while one holds."""
_ALL = (*_HANDS, _STAND_IN)
_ROLES = "approver@*;maker@*"
_GAP = "CNY 0..1000.00 0; CNY 2000.00.. 2"


@dataclass(slots=True)
class KnownPerson:
    """The referee's knowledge of an approver: whether the person's approvals count, and if not, since when. Without
    `for_good`, another approver may still delegate to the person."""

    hand: Hand
    gone_ms: int | None = None
    for_good: bool = True


@dataclass(slots=True)
class MadeOrder:
    """An order as it was sent, alone or in a batch of `whole` minor units, with the persons who approved it and the
    times."""

    id: str
    minor: int
    maker: str | None
    at_ms: int
    account: str
    whole: int
    approved: dict[str, list[int]] = field(default_factory=dict)
    rejected_ms: int | None = None


@dataclass(slots=True)
class MadeDelegation:
    """A delegation that was made, with its end."""

    giver: str
    taker: str
    from_ms: int
    until_ms: int


@dataclass(slots=True)
class Referee:
    """Records all acts of the story, and judges which sends they permit."""

    persons: dict[str, KnownPerson] = field(default_factory=dict)
    orders: dict[str, MadeOrder] = field(default_factory=dict)
    delegations: list[MadeDelegation] = field(default_factory=list)
    policies: list[tuple[int, int]] = field(default_factory=list)
    refused: int = 0
    sent: int = 0
    approved: int = 0

    def needed(self, order: MadeOrder, at_ms: int) -> int:
        """The smallest number of approvers that the policies at the order's admission and at `at_ms` can require."""
        return max(self._asked(order, order.at_ms), self._asked(order, at_ms))

    def _asked(self, order: MadeOrder, at_ms: int) -> int:
        asks = [count for since_ms, count in self.policies if since_ms <= at_ms - UNSURE_MS][-1:]
        asks += [count for since_ms, count in self.policies if at_ms - UNSURE_MS < since_ms <= at_ms + UNSURE_MS]
        of_band = min(asks, default=0) if order.whole > BAND_MINOR else 0
        return max(of_band, 2 if order.maker is None and asks else 0)

    def counted(self, order: MadeOrder, at_ms: int) -> int:
        """The largest number of seats that can count for the order at `at_ms`."""
        there = [name for name in order.approved if self._counts(name, order, at_ms)]
        found: list[str] = []
        for name in there:
            if not any(self._seat(name, other, at_ms) for other in found):
                found.append(name)
        return len(found)

    def _counts(self, name: str, order: MadeOrder, at_ms: int) -> bool:
        person = self.persons[name]
        gone = person.gone_ms is not None and person.gone_ms < at_ms - UNSURE_MS
        if gone and person.for_good:
            return False
        if (gone or name == _STAND_IN.name) and not self._may_stand_in(name, at_ms):
            return False
        return order.maker is None or not (name == order.maker or self._seat(name, order.maker, at_ms))

    def _may_stand_in(self, name: str, at_ms: int) -> bool:
        """Whether an approver can have delegated to this person at that time, or shortly before or after."""
        given = [
            d for d in self.delegations if d.taker == name and d.from_ms - UNSURE_MS <= at_ms <= d.until_ms + UNSURE_MS
        ]
        gone = {d.giver: self.persons[d.giver].gone_ms for d in given}
        return any(at is None or at >= at_ms - UNSURE_MS for at in gone.values())

    def _seat(self, one: str, other: str, at_ms: int) -> bool:
        """True if the two are certainly one seat: by delegations that held well before and after."""
        links = [
            {d.giver, d.taker}
            for d in self.delegations
            if d.from_ms < at_ms - UNSURE_MS and d.until_ms > at_ms + UNSURE_MS
        ]
        seat = {one}
        while grown := {name for link in links if link & seat for name in link} - seat:
            seat |= grown
        return other in seat

    def complaints(self, world: World) -> list[str]:
        """Every payment that was sent without the approvals that it needed."""
        with sqlite3.connect(world.folder / "journal.db") as db:
            sends = db.execute(
                "select p.order_id, min(a.first_write_ms) from attempts a join payments p "
                "on p.payment = a.payment group by p.order_id"
            ).fetchall()
        self.sent, found = len(sends), []
        for id_, at_ms in sends:
            order = self.orders[id_]
            needed, counted = self.needed(order, at_ms), self.counted(order, at_ms)
            if counted < needed:
                found.append(f"{id_} left with {counted} approvals of {needed}: {order}")
            self.approved += bool(needed)
            if order.rejected_ms is not None and at_ms > order.rejected_ms:
                found.append(f"{id_} left after it was rejected: {order}")
        for one in world.bank.ledger.executions:
            order = next(made for made in self.orders.values() if made.account == one.instruction.creditor_account)
            if one.instruction.amount.minor != order.minor:
                found.append(f"{order.id}: the bank paid {one.instruction.amount}, and {order.minor} was approved")
        return found


class ApprovalStory:
    """The story of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance, self.referee = random.Random(f"approvals {seed}"), Referee()
        # Some banks take the lines of a batch one by one.
        single = self.chance.random() < 0.5
        # The settings' bands hold nothing: they must not weaken the policy.
        self.world = World(
            folder,
            seed,
            sender={"bands": [{"action": "release"}]},
            accounts=2,
            adapters={"sample": lambda bank: _careless(alone(bank) if single else bank)},
        )
        self.world.start()
        self.world.run(1)
        self.operator = Operator(self.world)

    def tell(self) -> list[str]:
        """Run the story, and return what is wrong."""
        enrol(self.operator, WANG, LI)
        self.operator.ask("POST", "ceremony", security_admin="wang", system_admin="li", reason="minutes")
        for one in _HANDS:
            let_in(self.operator, one, _ROLES)
            self.referee.persons[one.name] = KnownPerson(one)
        let_in(self.operator, _STAND_IN, "viewer@*")
        self.referee.persons[_STAND_IN.name] = KnownPerson(_STAND_IN)
        self._policy(2)
        acts = (
            *[self._submit] * 6,
            *[self._batch] * 2,
            *[self._approve] * 12,
            *[self._cheat] * 6,
            self._delegate,
            *[self._late_stand_in] * 3,
            self._gone,
            self._new_policy,
            self._gap,
            self._crash,
            self._wait,
            self._reject,
            *[self._cancel] * 2,
            *[self._not_sent] * 2,
        )
        for _ in range(STEPS):
            self.chance.choice(acts)()
            self.world.run(self.chance.choice((0.5, STEP_S)))
        self.world.run(600)
        stuck = self._stuck()
        if self.world.life is not None:
            self.world.crash()
        return [*stuck, *self.referee.complaints(self.world), *violations(self.world, calm=False)]

    def _stuck(self) -> list[str]:
        """Orders that wait for approvers who are not asked, and requests without a waiting order."""
        found, named = [], set()
        for one in self.operator.ask("GET", "approvals")["approvals"]:
            orders = self._named(one["request"])
            named |= orders
            if not any(self.world.state(id_) in ("held", "ready") for id_ in orders):
                found.append(f"approvers are asked about {sorted(orders)}, which are over")
        held = self.world.query(
            "select order_id from payments where state = ? and hold_reasons like '%approval%'", "held"
        )
        return found + [
            f"nobody is asked about {id_}, which is held for approval" for (id_,) in held if id_ not in named
        ]

    def _named(self, key: str) -> set[str]:
        """The orders that the text of a request names."""
        words = self.operator.ask("GET", "approvals", key)["words"]["en"]
        return set(re.findall(r"^ *order: (.*)$", words, re.MULTILINE))

    @property
    def _now_ms(self) -> int:
        return round(self.world.clock.seconds() * 1000)

    # ---- what happens ----

    def _submit(self) -> None:
        n = len(self.referee.orders)
        maker = self.chance.choice((*(one.name for one in _HANDS), None))
        minor = self.chance.choice((1, BAND_MINOR, BAND_MINOR + 1, 5 * BAND_MINOR)) + n % 2
        body: dict[str, Any] = {} if maker is None else {"maker": maker}
        if self.chance.random() < 0.4:
            body["not_before"] = self.world.moment(self.chance.choice((60.0, 900.0)))
        gone_ms = None if maker is None else self.referee.persons[maker].gone_ms
        account = f"00000000000009{n:05d}"
        order = MadeOrder(f"AP-{n}", minor, None if gone_ms is not None else maker, self._now_ms, account, minor)
        self.referee.orders[order.id] = order
        self.world.submit(order.id, minor, creditor={"account": account, "name": "示例丙"}, **body)

    def _batch(self) -> None:
        """Send a batch of lines that are small by themselves; their sum is over the band, or not."""
        n = len(self.referee.orders)
        maker = self.chance.choice([one.name for one in _HANDS])
        minors = [
            self.chance.choice((1, BAND_MINOR // 2, BAND_MINOR)) + at for at in range(self.chance.randrange(2, 5))
        ]
        body = batch(self.world, f"AB-{n}", minors, maker=maker)
        if self.chance.random() < 0.4:
            body["not_before"] = self.world.moment(self.chance.choice((60.0, 900.0)))
        known = None if self.referee.persons[maker].gone_ms is not None else maker
        for at, item in enumerate(body["items"]):
            item["creditor"]["account"] = f"00000000000009{n + at:05d}"
            self.referee.orders[item["id"]] = MadeOrder(
                item["id"], minors[at], known, self._now_ms, item["creditor"]["account"], sum(minors)
            )
        self.world.command("batch.submit", body)

    def _waiting(self) -> list[Any]:
        return list(self.operator.ask("GET", "approvals")["approvals"])

    def _say(
        self, one: Hand, waiting: Any, decision: ApprovalDecision = ApprovalDecision.APPROVE, **changed: Any
    ) -> bool:
        signature = b64encode(one.key.sign(to_sign(waiting["digest"], decision))).decode()
        body = {"digest": waiting["digest"], "signature": signature, **changed}
        named = [self.referee.orders[id_] for id_ in self._named(waiting["request"])]
        try:
            self.operator.ask("POST", "approvals", waiting["request"], decision.value, peer=one.peer, **body)
        except Denied:
            self.referee.refused += 1
            return False
        for order in named:
            if decision is ApprovalDecision.APPROVE:
                order.approved.setdefault(one.name, []).append(self._now_ms)
            else:
                order.rejected_ms = self._now_ms
        return True

    def _reject(self) -> None:
        waiting = self._waiting()
        if waiting:
            self._say(
                self.chance.choice(_HANDS), self.chance.choice(waiting), ApprovalDecision.REJECT, reason="not ours"
            )

    def _cancel(self) -> None:
        if self.referee.orders:
            self.world.command("payment.cancel", {"id": self.chance.choice(sorted(self.referee.orders))})

    def _not_sent(self) -> None:
        """Refuse permits for a while, so that sends which were written down send no byte and are tried again."""
        gate = self.operator.gateway.lanes["sample.main"].gate
        permits = gate.permits
        gate.permits = lambda epoch, committed_s: False  # type: ignore[method-assign]
        self.world.run(self.chance.choice((3.0, 30.0)))
        gate.permits = permits  # type: ignore[method-assign]

    def _approve(self) -> None:
        waiting = self._waiting()
        if waiting:
            self._say(self.chance.choice(_ALL), self.chance.choice(waiting))

    def _cheat(self) -> None:
        """Try an invalid approval: of an own order, twice, with another person's or an old signature, or by a person
        without the right."""
        waiting = self._waiting()
        if not waiting:
            return
        one, what = self.chance.choice(waiting), self.chance.randrange(4)
        other = self.chance.choice(waiting)
        maker = next((known for known in _HANDS if known.name == one["maker"]), _HANDS[0])
        if what == 0:
            assert not (self._say(maker, one) and one["maker"] == maker.name), "who made it approved it"
        elif what == 1 and len(waiting) > 1:
            # A signature about another request beside this request's digest. One of the persons may approve this
            # request.
            if other["request"] == one["request"]:
                other = next(another for another in waiting if another["request"] != one["request"])
            for known in _HANDS:
                signed = known.key.sign(to_sign(other["digest"], ApprovalDecision.APPROVE))
                taken = self._say(known, one, signature=b64encode(signed).decode())
                assert not taken, "a replayed signature was taken"
        elif what == 2:
            forged = replace(_HANDS[2], key=_HANDS[3].key)
            assert not self._say(forged, one), "somebody else's key was taken"
        elif what == 3:
            for hand_ in self.chance.sample(_ALL, 2):
                self._say(hand_, one)
                self._say(hand_, one)

    def _late_stand_in(self) -> None:
        """Let a person approve while a delegation is in force; it has ended when the second person approves."""
        waiting = self._waiting()
        if waiting:
            one = self.chance.choice(waiting)
            free = [known for known in _HANDS if known.name != one["maker"]]
            giver, second = self.chance.sample(free, 2)
            self._give(giver, _STAND_IN, 0.002)
            self._say(_STAND_IN, one)
            self.world.run(240)
            self._say(second, one)

    def _delegate(self) -> None:
        """Make a delegation. From then on the two are one seat: if both approve, they count once."""
        giver = self.chance.choice(_HANDS)
        taker = self.chance.choice([one for one in (*_HANDS, _STAND_IN) if one is not giver])
        self._give(giver, taker, self.chance.choice((0.003, 0.05)))
        self.world.run(2 * UNSURE_MS / 1000)
        for one in self._waiting():
            if one["maker"] not in (giver.name, taker.name):
                self._say(giver, one)
                self._say(taker, one)
                return

    def _give(self, giver: Hand, taker: Hand, days: float) -> None:
        try:
            sign_in(self.operator, giver)
            self.operator.ask(
                "POST",
                "delegations",
                peer=giver.peer,
                roles="approver",
                scope="*",
                delegate=taker.name,
                days=days,
                reason="leave",
            )
        except Denied:
            return
        self.referee.delegations.append(
            MadeDelegation(giver.name, taker.name, self._now_ms, self._now_ms + int(days * 86_400_000))
        )

    def _gone(self) -> None:
        here = [one for one in self.referee.persons.values() if one.gone_ms is None and one.hand is not _STAND_IN]
        if len(here) > 3:
            one = self.chance.choice(here)
            decide(self.operator, "deactivate", one.hand.name, "deactivated")
            one.gone_ms = self._now_ms

    def _new_policy(self) -> None:
        self._policy(3 - self.referee.policies[-1][1])

    def _gap(self) -> None:
        """Try a policy with a gap. It must be refused, because no band would count for an amount in the gap."""
        try:
            decide(self.operator, "policy", "approvals", _GAP)
        except Denied:
            return
        raise AssertionError("a policy with a gap came into force")

    def _policy(self, count: int) -> None:
        band = str(Money(BAND_MINOR))
        decide(
            self.operator, "policy", "approvals", f"CNY 0..{band} 0; CNY {band}.. {count}; makers {self.world.sender}"
        )
        self.referee.policies.append((self._now_ms, count))

    def _crash(self) -> None:
        self.world.crash()
        self.world.run(self.chance.choice((1.0, 90.0)))
        self.world.start()
        self.world.run(30)
        self.operator = Operator(self.world)

    def _wait(self) -> None:
        self.world.run(600)


def _careless(bank: Bank) -> Bank:
    """An adapter with a defect: every fifth large payment is written with one cent more."""
    pay = bank.money[Kind.PAYMENT]

    def word(order: AnyOrder, context: Context) -> MoneyConversation:
        wrong = order.amount.minor > BAND_MINOR and int(order.id.rpartition("-")[2]) % 5 == 4
        changed: Any = replace(order, amount=Money(order.amount.minor + 1)) if wrong else order
        return pay(changed, context)

    return replace(bank, money={**bank.money, Kind.PAYMENT: word})


def told(seed: int, folder: Path) -> tuple[list[str], Referee]:
    """Run one story; returns its faults and its events."""
    story = ApprovalStory(seed, folder)
    return story.tell(), story.referee


def main(seeds: int) -> int:
    """Run many stories; returns 1 if something is wrong."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    wrong = sent = refused = approved = 0
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            found, referee = told(seed, Path(folder))
        sent, refused, approved = sent + referee.sent, refused + referee.refused, approved + referee.approved
        for one in found:
            wrong += 1
            print(f"seed {seed}: {one}")
    print(
        f"approvals: {seeds} stories, {sent} payments left, {approved} of them approved, {refused} decisions refused, "
        f"{wrong} without approval"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
