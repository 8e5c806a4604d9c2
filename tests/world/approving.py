"""Approvals in the stories of the simulation: a maker, three approvers and a policy; what they say by chance, and what
must follow from it. `approvals` tells stories of its own, with more people and less weather.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_decisions
from gateway.journal.payments.approval_decisions import GivenDecision
from gateway.journal.people import approval_policies, approval_requests, approvals, entitlements, persons
from gateway.journal.people.approval_requests import ApprovalRequest, RequestState
from gateway.journal.people.approvals import ApprovalDecision
from gateway.journal.people.persons import No, Person
from gateway.people import approval_digest
from gateway.people.grants import parse
from protocols.canon.money import Money
from tests.world.world import World

APPROVALS, REJECTED, RENEWED, POLICY = "approvals", "approval rejected", "approval renewed", "approval policy changed"
SHARE = 0.08
BAND_MINOR = 5_000_000
SETTINGS = {"control": {"approval_valid_s": 600, "approval_escalates_s": 300}}
_MAKER, _APPROVERS = "dan", ("ann", "ben", "cai")
_KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in (_MAKER, *_APPROVERS)}
_SEEN = 20


def drawn(seed: int) -> bool:
    """Whether a seed's story has approvals. It is drawn apart, so that all other stories stay what they were."""
    return random.Random(f"approvals 0 in {seed}").random() < SHARE


class Approving:
    """The approvers of one world, and a referee who knows what they signed."""

    def __init__(self, world: World) -> None:
        self.done: Counter[str] = Counter()
        self._world = world
        self._chance = random.Random(f"approvers of {world.seed}")
        self._orders: dict[str, tuple[int, str | None]] = {}
        self._said: dict[str, set[str]] = defaultdict(set)
        self._counts = [self._chance.choice((1, 2))]

    # ---- what is sent ----

    def made(self, *orders: str, minor: int) -> dict[str, Any]:
        """The maker that the command of these orders names, whose money is `minor` together."""
        maker = None if self._chance.random() < 0.05 else _MAKER
        self._orders.update(dict.fromkeys(orders, (minor, maker)))
        return {} if maker is None else {"maker": maker}

    # ---- who says what ----

    def begin(self) -> None:
        """People and policy, before the first order."""

        def unit(tx: Tx) -> None:
            for n, (name, key) in enumerate(_KEYS.items()):
                made = persons.enrol(tx, name, 5_000 + n, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), "uid:0")
                assert isinstance(made, Person)
                grants = parse("maker@*" if name == _MAKER else "approver@*")
                persons.change(tx, replace(made, enrolled=True, grants=grants), "person.confirmed", "uid:0", {})
            self._write_policy(tx)

        self._do(unit)

    def act(self) -> None:
        """Perhaps somebody approves, rejects or asks anew, about one of the newest requests."""
        roll = self._chance.random()
        if roll < 0.5 or self._world.life is None:
            return
        person, pick = self._chance.choice(_APPROVERS), self._chance.random()
        decision = ApprovalDecision.REJECT if roll > 0.97 else ApprovalDecision.APPROVE

        def unit(tx: Tx) -> None:
            found = list(islice(approval_requests.listing(tx.fresh, (RequestState.OPEN,)), _SEEN))
            if found:
                self._say(tx, found[int(pick * len(found))], person, decision)

        self._do(unit)

    def all_approve(self) -> None:
        """Everybody approves whatever waits; what expired is asked about anew."""

        def unit(tx: Tx) -> None:
            for one in list(approval_requests.listing(tx.fresh, (RequestState.OPEN,))):
                for person in _APPROVERS:
                    self._say(tx, one, person, ApprovalDecision.APPROVE)

        self._do(unit)

    def change_policy(self) -> None:
        """Another count of approvers from now on."""
        self._counts.append(3 - self._counts[-1])
        self._do(self._write_policy)
        self.done[POLICY] += 1

    def _write_policy(self, tx: Tx) -> None:
        band = str(Money(BAND_MINOR))
        approval_policies.write(tx, f"CNY 0..{band} 0; CNY {band}.. {self._counts[-1]}", "drawn")

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
        for line in approval_digest.read(request.form).lines:
            self._said[line.order].add(person)

    def _do(self, unit: Callable[[Tx], None]) -> None:
        life = self._world.life
        if life is not None:
            life.store.write(unit).addErrback(lambda failure: life.fatal.append(failure.getTraceback()))

    # ---- what must follow ----

    def complaints(self) -> list[str]:
        """Every order that was written down to be sent with fewer approvers than any policy of the story asks for."""
        found = self._world.look("select distinct p.order_id from attempts a join payments p on p.payment = a.payment "
                                 "where p.order_id <> ?", "")  # fmt: skip
        return [f"{id_} left with {len(self._said[id_])} approvals of {self._needed(id_)}" for (id_,) in found
                if len(self._said[id_]) < self._needed(id_)]  # fmt: skip

    def _needed(self, id_: str) -> int:
        minor, maker = self._orders.get(id_, (0, _MAKER))
        return max(min(self._counts) if minor > BAND_MINOR else 0, 2 if maker is None else 0)
