"""Stories with people, approvals, a cash pool, linked payments and restored databases, together with payments, crashes
and faulty banks. `sim` tells them among its own.

What persons do goes through the control API, as at the command line; the referee is `governed_referee`.
"""

from __future__ import annotations

import random
import time
from base64 import b64encode
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.call import Denied
from protocols.bank import Bank
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import Hand
from tests.gateway.people.test_people_acts import sign_in
from tests.world import between, governed_restores, outages
from tests.world.approvals import MadeDelegation, MadeOrder
from tests.world.governed_referee import LinkedOrder
from tests.world.governed_restores import JournalCopy
from tests.world.governed_site import (
    APPROVERS,
    BAND_MINOR,
    MAKER,
    POOL,
    POOR,
    ROLES,
    SUPERVISORS,
    VIEWER,
    GovernedSite,
    named,
    pool_text,
)
from tests.world.history import standing, truths, violations
from tests.world.story import Story
from tests.world.world import World

SHARE, PEERS = 0.0, 0.15
STEPS, STORY_S = 110, 1_800.0
CALM_S, LONGEST_CALMS = 240.0, 24
LINKED, MOVED, EDITED, CLOSED = "linked order", "pool move", "pool edited", "pool closed"
ROLE_LOST, GONE, DELEGATED, HALF_SIGNED = "role lost", "deactivated", "delegated", "half-signed decision"
DECIDED_LINK, LEG_1 = "linked payment decided", "leg 1"
KINDS = (
    LINKED,
    MOVED,
    LEG_1,
    EDITED,
    CLOSED,
    ROLE_LOST,
    GONE,
    DELEGATED,
    HALF_SIGNED,
    DECIDED_LINK,
    *governed_restores.KINDS,
)
_OPEN = "('accepted', 'held', 'ready', 'sending', 'pending')"


def drawn(seed: int) -> bool:
    """Whether a seed's story is a governed one. It is drawn separately, so that all other stories stay as they were."""
    return random.Random(f"governed {seed}").random() < SHARE


def tell(
    seed: int,
    folder: Path,
    adapters: dict[str, Callable[[Bank], Bank]],
    *,
    dedup: bool = True,
    peer_nodes: bool = False,
    keep: frozenset[int] | None = None,
    url: str | None = None,
) -> tuple[Story, World]:
    """Run one seed to its end; with `keep` only these steps."""
    cpu_s = time.process_time()
    peers = peer_nodes or random.Random(f"nodes of {seed}").random() < PEERS
    site = GovernedSite(seed, folder, adapters, dedup=dedup, peers=peers, url=url)
    governed = Governed(site, restores=url is None)
    began_s = site.world.clock.seconds()
    site.begin()
    governed.act(keep)
    governed.calm()
    site.story.simulated_s = site.world.clock.seconds() - began_s
    site.story.cpu_s = time.process_time() - cpu_s
    return site.story, site.world


class Governed:
    """One story with persons, approvals and a pool. `saved` is the newest copy of the journal."""

    def __init__(self, site: GovernedSite, *, restores: bool) -> None:
        self.site, self.world, self.story, self.referee = site, site.world, site.story, site.referee
        self.saved: JournalCopy | None = None
        self._restores = restores

    # ---- what happens ----

    def act(self, keep: frozenset[int] | None) -> None:
        """Carry out the steps of the story, each with a random source of its own."""
        world, acts = self.world, _acts(self)
        names, shares = list(acts), [share for share, _act in acts.values()]
        until_s = world.clock.seconds() + STORY_S
        for step in count(1):
            if step > STEPS or world.clock.seconds() >= until_s or (keep is not None and step > max(keep, default=0)):
                return
            name = self.site.chance.choices(names, shares)[0]
            here = random.Random(world.seed * 1_000_003 + step)
            if keep is None or step in keep:
                self.story.steps.append((step, name))
                self.story.actions[name] += 1
                acts[name][1](here, f"GO-{world.seed}-{step}")
                world.run(here.choice((0.05, 1.0, 25.0)))
                self.referee.judge_new_sends(world)

    def order(self, here: random.Random, id_: str) -> None:
        """Submit an order from any account, or one that its pool must fund."""
        world, bank = self.world, here.choice(list(self.world.banks))
        accounts = world.banks[bank].accounts
        account = accounts[here.choices((0, 1, 2, 3), (1, 2, 2, 5))[0]]
        self._submit(here, id_, account, here.choice((1, 20_000, BAND_MINOR + 1)) + len(self.site.ids), bank=bank)

    def linked(self, here: random.Random, id_: str) -> None:
        """Submit an order that names the pool: a member pays what it has, or more."""
        accounts = self.world.bank.accounts
        minor = here.choice((1_000, POOR // 2, POOR + 70_000, 2 * POOR)) + len(self.site.ids)
        branch = here.random() < 0.15
        account = here.choice(accounts[1:3])
        self.referee.links[id_] = LinkedOrder(account, minor, not branch)
        more: dict[str, Any] = {"purpose": "货款 #refuse"} if here.random() < 0.2 else {}
        if here.random() < 0.2:
            more["not_before"] = self.world.moment(here.choice((30.0, 300.0)))
        self._submit(here, id_, account, minor, funded_by=POOL, user="branch-user" if branch else None, **more)
        self.story.actions[LINKED] += 1

    def _submit(
        self, here: random.Random, id_: str, account: str, minor: int, *, user: str | None = None, **more: Any
    ) -> None:
        people = self.referee.people
        maker = here.choices((MAKER.name, VIEWER.name, APPROVERS[0].name, None), (7, 1, 1, 1))[0]
        payee = f"00000000000009{len(people.orders):05d}"
        people.orders[id_] = MadeOrder(
            id_, minor, maker if maker == MAKER.name else None, self.site.now_ms, payee, minor
        )
        self.site.ids.append(id_)
        body = self.world.order(
            id_,
            minor,
            account=account,
            creditor={"account": payee, "name": "示例丙"},
            **{name: value for name, value in more.items() if name != "bank"},
            **({"maker": maker} if maker else {}),
        )
        self.world.command("payment.submit", body, **({"user": user} if user else {}))

    def cancel(self, here: random.Random, _id: str) -> None:
        """Let the ERP withdraw an order, often while its bank is unreachable, so that a leg of it waits unsent."""
        if here.random() < 0.4:
            outages.shut(self.world, self.world.bank, 40.0)
            self.linked(here, f"{_id}-l")
            self.world.run(here.choice((2.0, 24.0)))
            self.site.withdraw(f"{_id}-l")
        elif self.site.ids:
            self.site.withdraw(here.choice(self.site.ids[-20:]))

    def approve(self, here: random.Random, _id: str) -> None:
        """Let a person approve, or rarely reject, a waiting request."""
        operator = self.site.operator
        waiting = operator.ask("GET", "approvals")["approvals"][-8:]
        for one in here.sample(waiting, min(len(waiting), 3)):
            decision = ApprovalDecision.REJECT if here.random() < 0.04 else ApprovalDecision.APPROVE
            self._say(operator, here.choice(APPROVERS), one, decision)

    def _say(self, operator: Operator, who: Hand, one: Any, decision: ApprovalDecision) -> None:
        signature = b64encode(who.key.sign(to_sign(one["digest"], decision))).decode()
        body = {"digest": one["digest"], "signature": signature, "reason": "as the board said"}
        try:
            operator.ask("POST", "approvals", one["request"], decision.value, peer=who.peer, **body)
        except Denied:
            return
        for id_ in named(operator, one["request"]):
            made = self.referee.people.orders[id_]
            if decision is ApprovalDecision.APPROVE:
                made.approved.setdefault(who.name, []).append(self.site.now_ms)
            else:
                made.rejected_ms = self.site.now_ms

    def policy(self, here: random.Random, _id: str) -> None:
        """Change the number of approvers."""
        self.site.set_policy(here.choice((1, 2)))

    def pool(self, here: random.Random, _id: str) -> None:
        """Let two supervisors change the pool, close it, or open it again."""
        closes = self.site.pool_open and here.random() < 0.3
        if not self.site.put_pool(here, "none" if closes else ""):
            self.story.actions[CLOSED if closes else EDITED] += 1

    def run_pool(self, here: random.Random, id_: str) -> None:
        """Let two supervisors have the pool run now."""
        self.site.two("pool_run", POOL, f"p{id_.rpartition('-')[2]}", *self.site.supervisors(here))

    def roles(self, here: random.Random, _id: str) -> None:
        """Take the role from an approver, or give it back; now and then deactivate one for good."""
        site = self.site
        there = [one for one in APPROVERS if site.may(one)]
        away = [one for one in APPROVERS if one not in there and one.name not in site.deactivated]
        if away and here.random() < 0.5:
            site.change_person("roles", away[0], ROLES["approver"])
        elif len(there) > 2:
            for_good = here.random() < 0.4
            change = (
                ("deactivate", here.choice(there), "deactivated")
                if for_good
                else ("roles", here.choice(there), ROLES["viewer"])
            )
            self.story.actions[GONE if for_good else ROLE_LOST] += site.change_person(*change)

    def supervisor_gone(self, here: random.Random, _id: str) -> None:
        """Deactivate a supervisor for good; two are left."""
        there = [one for one in SUPERVISORS if self.site.may(one)]
        if len(there) > 2:
            self.story.actions[GONE] += self.site.change_person("deactivate", here.choice(there), "deactivated")

    def delegate(self, here: random.Random, _id: str) -> None:
        """Let an approver delegate to another one. The two are one seat then."""
        giver, taker = here.sample(APPROVERS, 2)
        days, operator = here.choice((0.003, 0.05)), self.site.operator
        try:
            sign_in(operator, giver)
            operator.ask(
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
        until_ms = self.site.now_ms + int(days * 86_400_000)
        self.referee.people.delegations.append(MadeDelegation(giver.name, taker.name, self.site.now_ms, until_ms))
        self.story.actions[DELEGATED] += 1

    def half_signed(self, here: random.Random, _id: str) -> None:
        """Let a supervisor sign first and lose the role before the second signs. The first signature must not count
        then."""
        first, second = self.site.supervisors(here)
        key = self.site.propose(first, "pool", POOL, pool_text(self.world, here))
        if key is None or not self.site.change_person("roles", first, ROLES["viewer"]):
            return
        if not self.site.approves(second, key):
            self.referee.found.append(
                f"{first.name} signed a pool, lost the role of a supervisor, and the decision counts"
            )
        self.site.change_person("roles", first, ROLES["supervisor"])
        self.site.drop(key, first)
        self.story.actions[HALF_SIGNED] += 1

    def decide_link(self, here: random.Random, to: str) -> None:
        """Let two supervisors decide about the money of a failed linked order, as `to` says if there is a choice."""
        waiting = [
            one["order"] for one in self.site.operator.ask("GET", "linked")["linked"] if one["state"] == "undecided"
        ]
        if waiting:
            to = to if to == "stay" else here.choice(("return", "return", "stay"))
            done = not self.site.two("link", here.choice(waiting), to, *self.site.supervisors(here))
            self.story.actions[DECIDED_LINK] += done

    def resolve(self, here: random.Random, _id: str) -> None:
        """Let two persons decide a payment in doubt by the bank's books."""
        if done := between.resolve(self.world, here):
            self.story.actions[done] += 1

    def kill(self, here: random.Random, _id: str) -> None:
        """Kill the daemon, or stop it in order."""
        self.story.crashes += 1
        if here.random() < 0.7:
            outages.kill(self.world, here)
        else:
            outages.restart(self.world)
        self.world.run(3)

    def clock(self, here: random.Random, _id: str) -> None:
        """Set the machine's clock wrong for a while."""
        assert self.world.life is not None
        self.referee.wrong_clock = True
        self.world.life.clock.off_ms = here.choice((-3_600_000, 1_800_000, 86_400_000))
        self.world.run(here.choice((1.0, 60.0)))
        if self.world.life is not None:
            self.world.life.clock.off_ms = 0

    def save(self, _here: random.Random, _id: str) -> None:
        """Copy the journal."""
        if self._restores:
            self.saved = governed_restores.save(self.site)

    def restore(self, here: random.Random, _id: str) -> None:
        """Put the copy back; see `governed_restores`."""
        if self.saved is not None:
            self.story.crashes += 1
            governed_restores.restore(self.site, self.saved, here)
            self.saved = None

    # ---- the end ----

    def calm(self) -> None:
        """Make banks honest, let persons decide everything that waits, and run until nothing is open."""
        world = self.world
        for site in world.banks.values():
            site.simbank.script.calm()
            site.reachable = True
        world.broker.confirms_to_lose = 0
        if world.life is None:
            world.start(world.node)
        for client in world.broker.clients:
            client.block(False)
        chance = random.Random(f"calm of {world.seed}")
        for n in range(LONGEST_CALMS):
            world.run(CALM_S)
            if n == 1:
                self.story.violations += standing(world)
            self._decide_all(chance, withdraw=n >= 2, stays=n >= 8)
            self.referee.judge_new_sends(world)
            if n >= 3 and not self._waiting():
                break
        world.run(CALM_S)
        self._end()

    def _decide_all(self, chance: random.Random, *, withdraw: bool, stays: bool) -> None:
        operator = self.site.operator
        for one in operator.ask("GET", "approvals")["approvals"]:
            for who in APPROVERS:
                self._say(operator, who, one, ApprovalDecision.APPROVE)
        if withdraw:
            for id_ in self.world.in_state("held"):
                self.site.withdraw(id_)
            between.resolve_other_amounts(self.world)
        self.decide_link(chance, "stay" if stays else "")

    def _waiting(self) -> list[str]:
        """Payments that have not ended, without those in doubt that the bank did not book."""
        orders = self.world.query(f"select order_id from payments where state in {_OPEN} and order_id <> ?", "")
        links = self.world.query(
            "select payment from linked_orders where state not in ('done', 'back', 'stays') and payment"
            " not in (select payment from payments where state in ('in_doubt', 'escalated'))"
            " and run is not ?",
            "",
        )
        runs = self.world.query("select run from pool_runs where state not in ('done', 'unmoved') and run <> ?", "")
        return [str(name) for (name,) in (*orders, *links, *runs)]

    def _end(self) -> None:
        story, world = self.story, self.world
        story.violations += [f"{name} did not end" for name in self._waiting()]
        story.violations += self.referee.complaints(world)
        # After a journal that was lost for good, event numbers continue from an older number.
        told = truths(world, but=self.referee.withdrawn) if self.site.for_good else violations(world)
        story.violations += told
        assert world.life is not None
        story.violations += world.life.fatal
        story.actions[MOVED] += self.referee.moved
        story.actions[LEG_1] += self.referee.legs


def _acts(story: Governed) -> dict[str, tuple[int, Callable[[random.Random, str], None]]]:
    """The possible steps, and how often each is drawn."""
    chance, at = story.site.chance, story.world
    rare = chance.choice((0, 1, 2))

    def outage_of(kind: str) -> Callable[[random.Random, str], None]:
        return lambda here, _id: outages.happen(at, here, kind, list(at.banks))

    return {
        "order": (14, story.order),
        "linked": (12, story.linked),
        "cancel": (5, story.cancel),
        "approve": (16, story.approve),
        "policy": (1, story.policy),
        "pool": (3, story.pool),
        "run pool": (3, story.run_pool),
        "roles": (3, story.roles),
        "supervisor gone": (1, story.supervisor_gone),
        "delegate": (2, story.delegate),
        "half-signed": (2, story.half_signed),
        "link": (4, story.decide_link),
        "persons": (2, story.resolve),
        "crash": (chance.choice((1, 3)), story.kill),
        "clock": (rare == 2, story.clock),
        "save": (4, story.save),
        "restore": (4, story.restore),
        **{kind: (1, outage_of(kind)) for kind in outages.KINDS},
    }
