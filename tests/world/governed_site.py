"""The setting of the stories of `governed`: a world with people, an approval policy and a cash pool, and the acts of
persons through the control API."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.call import Denied
from gateway.simbank.faults import BankFault, Delays, FaultPlan
from gateway.simbank.ledger import BookingRules
from protocols.bank import Bank
from protocols.canon.money import Money
from tests.gateway.cli.control_operator import NoAnswer, Operator
from tests.gateway.cli.resolving import LI, WANG, Hand, approve, hand, made_of
from tests.gateway.people.test_people_acts import appoint, decide, let_in, sign_in
from tests.world.approvals import KnownPerson
from tests.world.governed_referee import GovernedReferee
from tests.world.story import Story
from tests.world.world import Life, World, merged

BAND_MINOR = 500_000
RICH, POOR = 10**12, 5_000_000
POOL = "group"
SLOTS = "19:08-19:16,19:20-19:28,19:36-19:46"
QUOTAS = (None, 30_000, 10_000_000)
"""The most that a member may owe its header, or lend it."""
SENDERS = {
    "treasury": {"operations": ["transfer.submit"], "suspected_duplicate_hours": 0},
    "branch": {
        "users": ["branch-user"],
        "operations": ["payment.submit", "payment.cancel"],
        "reply_to": r"erp-demo\..*",
        "suspected_duplicate_hours": 0,
    },
}
SUPERVISORS = tuple(hand(name, 6_000 + n) for n, name in enumerate(("zhao", "sun", "zhou")))
APPROVERS = tuple(hand(name, 6_010 + n) for n, name in enumerate(("ann", "ben", "cai", "dov")))
MAKER, VIEWER = hand("dan", 6_020), hand("eva", 6_021)
ROLES = {"supervisor": "supervisor@*", "approver": "approver@*", "maker": "maker@*", "viewer": "viewer@*"}


class GovernedSite:
    """A world, its persons, and the referee who records their acts. `second` is the other one of two nodes, `nodes` are
    the names of new machines, `changed_ms` is when a person's rights last changed, `ids` are the orders that the ERP
    may name. `for_good`: a journal was lost. `refused`: the last refusal of a decision of two persons."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        adapters: dict[str, Callable[[Bank], Bank]],
        *,
        dedup: bool,
        peers: bool,
        url: str | None,
    ) -> None:
        self.chance = random.Random(f"governed world {seed}")
        self.story, self.referee, self.dedup = Story(seed), GovernedReferee(), dedup
        self.world = _world(seed, folder, self.chance, adapters, dedup, peers, url)
        self.second: Life | None = None
        self.ids: list[str] = []
        self.nodes: list[str] = []
        self.deactivated: set[str] = set()
        self.changed_ms: dict[str, int] = {}
        self.for_good = False
        self.refused = ""
        self._peers = peers

    @property
    def operator(self) -> Operator:
        """The control API of the running daemon."""
        return Operator(self.world)

    @property
    def now_ms(self) -> int:
        """The true time, which a daemon's clock may differ from."""
        return round(self.world.clock.seconds() * 1000)

    # ---- lives ----

    def begin(self) -> None:
        """Make nodes, persons, a policy and a pool, before the first order."""
        world, people = self.world, self.referee.people
        if self._peers:
            self.second = world.start("gw2")
            world.run(1)
        world.start()
        world.run(2)
        operator = self.operator
        appoint(operator)
        for hands, role in (
            (SUPERVISORS, "supervisor"),
            (APPROVERS, "approver"),
            ((MAKER,), "maker"),
            ((VIEWER,), "viewer"),
        ):
            for one in hands:
                let_in(operator, one, ROLES[role])
                people.persons[one.name] = KnownPerson(one)
        self.set_policy(self.chance.choice((1, 2)))
        self.put_pool(self.chance)
        self.referee.judge_new_sends(world)

    def end_lives(self) -> None:
        """Kill every daemon that runs."""
        if self.world.life is not None:
            self.world.crash()
        if self.second is not None:
            self.second.crash()
            self.second = None

    # ---- two persons ----

    def two(self, kind: str, subject: str, to: str, first: Hand, second: Hand) -> str:
        """Let two persons sign a decision. Returns "" if it is done, else the slug of the refusal."""
        key = self.propose(first, kind, subject, to)
        no = "refused" if key is None else self.approves(second, key)
        if key is not None and no:
            self.drop(key, first)
        return no

    def propose(self, first: Hand, kind: str, subject: str, to: str) -> str | None:
        """Let one person sign a proposal. Returns the proposal, None if it is refused."""
        wanted: dict[str, Any] = {"kind": kind, "subject": subject, "to": to, "note": "as the board said"}
        operator = self.operator
        try:
            sign_in(operator, first)
            drafted = operator.ask("POST", "proposals", "draft", peer=first.peer, **wanted)
            made = made_of(drafted, first, wanted, b"")
            return str(operator.ask("POST", "proposals", peer=first.peer, **made)["proposal"])
        except Denied as no:
            self.refused = f"{first.name}: {no.code}: {no}"
            return None

    def approves(self, second: Hand, key: str) -> str:
        """Let the second person sign. Returns "" if the decision is done, else the slug of the refusal."""
        operator = self.operator
        try:
            sign_in(operator, second)
            return "" if approve(operator, second, key)["state"] == "done" else "open"
        except NoAnswer:
            # A decision that waits, for example for a bank's balance, takes longer and goes on by itself.
            return "no answer"
        except Denied as no:
            self.refused = f"{second.name}: {no.code}: {no}"
            return no.code

    def drop(self, key: str, first: Hand) -> None:
        """The proposer withdraws the proposal."""
        try:
            self.operator.ask("POST", "proposals", key, "withdraw", peer=first.peer, reason="not any more")
        except Denied as no:
            self.refused = f"{first.name}: {no.code}: {no}"

    def supervisors(self, chance: random.Random) -> list[Hand]:
        """Two supervisors who may sign now."""
        return chance.sample([one for one in SUPERVISORS if self.may(one)], 2)

    def may(self, one: Hand) -> bool:
        """Whether this person still has the role."""
        return self.referee.people.persons[one.name].gone_ms is None

    def change_person(self, kind: str, one: Hand, to: str) -> bool:
        """Two administrators change a person's roles, or deactivate the person."""
        if self.two(kind, one.name, to, WANG, LI):
            return False
        person = self.referee.people.persons[one.name]
        person.gone_ms = self.now_ms if to in ("deactivated", ROLES["viewer"]) else None
        self.changed_ms[one.name] = self.now_ms
        person.for_good = kind == "deactivate"
        if person.for_good:
            self.deactivated.add(one.name)
        return True

    def set_policy(self, needed: int) -> None:
        """Require `needed` approvers over the band from now on, if that is a change."""
        band, policies = str(Money(BAND_MINOR)), self.referee.people.policies
        if not policies or policies[-1][1] != needed:
            decide(
                self.operator,
                "policy",
                "approvals",
                f"CNY 0..{band} 0; CNY {band}.. {needed}; makers {self.world.sender}",
            )
            policies.append((self.now_ms, needed))

    def put_pool(self, chance: random.Random, text: str = "") -> str:
        """Two supervisors put another version of the pool in force; returns the slug of a refusal."""
        quota = chance.choice(QUOTAS)
        no = self.two("pool", POOL, text or pool_text(self.world, chance, quota), *self.supervisors(chance))
        if not no:
            number = self.world.query("select max(version) from pools where pool = ?", POOL)[0][0]
            self.referee.quotas[int(number)] = quota
            self.referee.pools.append((self.now_ms, None if text == "none" else int(number)))
        return no

    @property
    def pool_open(self) -> bool:
        """Whether a version of the pool is in force."""
        return bool(self.referee.pools) and self.referee.pools[-1][1] is not None

    def withdraw(self, id_: str) -> None:
        """The ERP withdraws this order."""
        branch = id_ in self.referee.links and not self.referee.links[id_].may_fund
        self.world.command("payment.cancel", {"id": id_}, **({"user": "branch-user"} if branch else {}))


def named(operator: Operator, request: str) -> set[str]:
    """The orders that the text of a request for approval names."""
    words = operator.ask("GET", "approvals", request)["words"]["en"]
    return set(re.findall(r"^ *order: (.*)$", words, re.MULTILINE))


def pool_text(world: World, chance: random.Random, quota: int | None = None) -> str:
    """A pool over the first three accounts, with random rules for its members."""
    header, first, second = world.bank.accounts[:3]
    up = chance.choice(("up=fixed:70.00", "up=keep:45000.00", "up=part:10"))
    down = chance.choice(("down=target:55000.00", "down=fixed:90.00"))
    most = "" if quota is None else f" quota={Money(quota)}"
    return (
        f"pool CNY header={header} slots={SLOTS} most-run=900000.00 most-day=90000000.00{most}; "
        f"child {first} {up}; child {second} {down}"
    )


def _world(
    seed: int,
    folder: Path,
    chance: random.Random,
    adapters: dict[str, Callable[[Bank], Bank]],
    dedup: bool,
    peers: bool,
    url: str | None,
) -> World:
    wild = chance.random()
    rates = {
        fault: round(chance.random() ** 2 * 0.2 * wild, 4) if chance.random() < 0.5 else 0.0 for fault in BankFault
    }
    rates[BankFault.LATE_RETURN] = 0.0
    rates[BankFault.PROBE_SILENCE] = min(rates[BankFault.PROBE_SILENCE], 0.1)
    conduct = BookingRules(
        seed=str(seed),
        refuse_share=chance.choice((0.0, 0.05)),
        late_share=chance.choice((0.0, 0.2)),
        late_s=chance.choice((5.0, 300.0)),
        dedup=dedup,
    )
    members = World.accounts_of("sample", 3)[1:]
    settings = merged(
        {
            "senders": SENDERS,
            "control": {"approval_valid_s": 900, "approval_escalates_s": 450},
            "journal": {"poll_ms": 2_000} if peers else {},
        },
        {"senders": {"branch": {"accounts": list(members)}}},
    )
    return World(
        folder,
        seed,
        banks=chance.choice((("sample",), ("sample", "pab"))),
        settings=settings,
        conduct=conduct,
        plan=FaultPlan(str(seed), rates, Delays(delay_s=150.0, hide_s=chance.choice((20.0, 900.0)))),
        spans={"enquiry_deadline_s": 1_800.0, "returns_watch_s": 1.0, "returns_every_s": 2_100.0},
        options={"sample": {"heartbeat_s": 100.0}, "pab": {"probe_every_s": 200.0}},
        adapters=adapters,
        accounts=4,
        lanes=chance.choice((("main",), ("main", "second"))),
        linger_ms=chance.choice((3.0, 30.0)),
        holdings=(RICH, POOR, POOR, RICH),
        url=url,
    )
