"""Approvals in the simulation's stories: a maker, three approvers and a policy; their random decisions, and a check of
the result. `approvals` tells stories of its own, with more people and fewer outages."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.approvals.rows import approval_decisions, approval_policies, approval_requests, approvals
from gateway.approvals.rows.approval_decisions import GivenDecision
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.approvals.rules import approval_digest
from gateway.kernel.commit.store import Tx
from gateway.people.rows import entitlements, persons
from gateway.people.rows.persons import No, Person
from gateway.people.rules.grants import parse
from protocols.canon.money import Money
from tests.world.world import World

APPROVALS, REJECTED, RENEWED, POLICY = "approvals", "approval rejected", "approval renewed", "approval policy changed"
SHARE = 0.08
BAND_MINOR = 5_000_000
SETTINGS = {"control": {"approval_valid_s": 600, "approval_escalates_s": 300}}
_MAKER, _APPROVERS = "dan", ("ann", "ben", "cai")
_KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in (_MAKER, *_APPROVERS)}
_SEEN = 20
_BEGUN_S = 1.0


def drawn(seed: int) -> bool:
    """Whether a seed's story has approvals. Drawn separately, so that all other stories stay as they were."""
    return random.Random(f"approvals 0 in {seed}").random() < SHARE


class Approving:
    """The approvers of one world, and a referee who knows their signatures."""

    def __init__(self, world: World) -> None:
        self.done: Counter[str] = Counter()
        self._world = world
        self._chance = random.Random(f"approvers of {world.seed}")
        self._orders: dict[str, tuple[int, str | None]] = {}
        self._said: dict[str, set[str]] = defaultdict(set)
        self._counts = [self._chance.choice((1, 2))]

    # ---- what is sent ----

    def made(self, *orders: str, minor: int) -> dict[str, Any]:
        """The person whom the command of these orders names as their maker. `minor` is the sum of the orders."""
        maker = None if self._chance.random() < 0.05 else _MAKER
        self._orders.update(dict.fromkeys(orders, (minor, maker)))
        return {} if maker is None else {"maker": maker}

    # ---- who says what ----

    def begin(self) -> None:
        """Enrol the persons and set the policy, before the first order."""

        def enrol_persons(tx: Tx) -> None:
            for n, (name, key) in enumerate(_KEYS.items()):
                made = persons.enrol(
                    tx, name, 5_000 + n, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), "uid:0"
                )
                assert isinstance(made, Person)
                grants = parse("maker@*" if name == _MAKER else "approver@*")
                persons.change(tx, replace(made, enrolled=True, grants=grants), "person.confirmed", "uid:0", {})
            self._write_policy(tx)

        self._do(enrol_persons)
        # A first step that kills the daemon must not undo this: the orders after it would meet no policy.
        self._world.run(_BEGUN_S)

    def act(self) -> None:
        """Perhaps let one person approve, reject or ask anew, about one of the newest requests."""
        roll = self._chance.random()
        if roll < 0.5 or self._world.life is None:
            return
        person, pick = self._chance.choice(_APPROVERS), self._chance.random()
        decision = ApprovalDecision.REJECT if roll > 0.97 else ApprovalDecision.APPROVE

        def decide_one(tx: Tx) -> None:
            found = list(islice(approval_requests.listing(tx.fresh, (RequestState.OPEN,)), _SEEN))
            if found:
                self._say(tx, found[int(pick * len(found))], person, decision)

        self._do(decide_one)

    def all_approve(self) -> None:
        """Let everybody approve every waiting request. For expired requests the approvers are asked anew."""

        def approve_all_open(tx: Tx) -> None:
            for one in list(approval_requests.listing(tx.fresh, (RequestState.OPEN,))):
                for person in _APPROVERS:
                    self._say(tx, one, person, ApprovalDecision.APPROVE)

        self._do(approve_all_open)

    def change_policy(self) -> None:
        """Change the number of approvers."""
        self._counts.append(3 - self._counts[-1])
        self._do(self._write_policy)
        self.done[POLICY] += 1

    def _write_policy(self, tx: Tx) -> None:
        band = str(Money(BAND_MINOR))
        approval_policies.put_in_force(
            tx, f"CNY 0..{band} 0; CNY {band}.. {self._counts[-1]}; makers {self._world.sender}", "drawn"
        )

    def _say(self, tx: Tx, request: ApprovalRequest, person: str, decision: ApprovalDecision) -> None:
        life = self._world.life
        assert life is not None
        registry = life.gateway.registry
        if not request.is_open(tx.now_ms):
            self.done[RENEWED] += not isinstance(approval_decisions.renew(tx, request.request, "uid:0", registry), No)
            return
        signature = _KEYS[person].sign(approvals.to_sign(request.digest, decision))
        given = GivenDecision(request.request, decision, request.digest, signature, "drawn", "control", "uid:0")
        said = approval_decisions.decide(tx, given, entitlements.of_name(tx.fresh, person, tx.now_ms), registry)
        if isinstance(said, No):
            return
        if decision is ApprovalDecision.REJECT:
            self.done[REJECTED] += 1
            return
        self.done[APPROVALS] += 1
        for line in approval_digest.parse(request.form).lines:
            self._said[line.order].add(person)

    def _do(self, unit: Callable[[Tx], None]) -> None:
        life = self._world.life
        if life is not None:
            life.store.write(unit).addErrback(lambda failure: life.fatal.append(failure.getTraceback()))

    # ---- what must follow ----

    def complaints(self) -> list[str]:
        """Every order whose send was recorded with fewer approvers than each policy of the story requires."""
        found = self._world.query(
            "select distinct p.order_id from attempts a join payments p on p.payment = a.payment where p.order_id <> ?",
            "",
        )
        return [
            f"{id_} left with {len(self._said[id_])} approvals of {self._needed(id_)}"
            for (id_,) in found
            if len(self._said[id_]) < self._needed(id_)
        ]

    def _needed(self, id_: str) -> int:
        minor, maker = self._orders.get(id_, (0, _MAKER))
        return max(min(self._counts) if minor > BAND_MINOR else 0, 2 if maker is None else 0)
