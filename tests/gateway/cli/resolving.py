"""Two persons who decide about a payment in doubt: their keys, their signatures, and a payment to decide about."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.call import PeerCredentials
from gateway.cli import person_key
from gateway.people.rows.proposals import Role, to_sign
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.bank import Bank, Replay, ReplayRule
from tests.gateway.cli.control_operator import Operator
from tests.world.world import World

SLOW = {"first_enquiry_s": 600.0}


NEVER = ReplayRule(Replay.NEVER, timedelta(seconds=60), 2)


LETTER = "银行答复函:该笔付款未入账。".encode()


@dataclass
class Hand:
    """A person with a user and a key."""

    name: str
    uid: int
    key: Ed25519PrivateKey

    @property
    def peer(self) -> PeerCredentials:
        return PeerCredentials(self.uid)

    def sign(self, digest: str, role: Role) -> str:
        return b64encode(self.key.sign(to_sign(digest, role))).decode()


def hand(name: str, uid: int) -> Hand:
    return Hand(name, uid, Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


WANG, LI, ZHAO = hand("wang", 2001), hand("li", 2002), hand("zhao", 2003)


def enrol(operator: Operator, *hands: Hand) -> None:
    for one in hands:
        said = operator.ask("POST", "persons", peer=one.peer, name=one.name, public_key=person_key.public(one.key))
        assert said["state"] == "waiting"
        confirm(operator, one.name, said["fingerprint"])


def confirm(operator: Operator, name: str, fingerprint: str) -> None:
    said = operator.ask("POST", "persons", name, "confirm", fingerprint=fingerprint[:20])
    assert said["state"] == "enrolled"


def wish(subject: str, to: str, **changed: Any) -> dict[str, Any]:
    return {"kind": "resolve", "subject": subject, "to": to, "note": "letter of 24 Nov", **changed}


def draft(operator: Operator, one: Hand, wanted: dict[str, Any], evidence: bytes = LETTER) -> Any:
    return operator.ask(
        "POST", "proposals", "draft", peer=one.peer, **wanted, evidence_sha256=hashlib.sha256(evidence).hexdigest()
    )


def made_of(
    drafted: Any, one: Hand, wanted: dict[str, Any], evidence: bytes = LETTER, **changed: Any
) -> dict[str, Any]:
    return {
        **wanted,
        "proposal": drafted["proposal"],
        "expires_ms": drafted["expires_ms"],
        "digest": drafted["digest"],
        "signature": one.sign(drafted["digest"], Role.PROPOSE),
        "evidence": b64encode(evidence).decode(),
        **changed,
    }


def propose(operator: Operator, one: Hand, subject: str, to: str) -> str:
    wanted = wish(subject, to)
    said = operator.ask("POST", "proposals", peer=one.peer, **made_of(draft(operator, one, wanted), one, wanted))
    assert said["state"] == "open"
    return str(said["proposal"])


def approval(operator: Operator, one: Hand, proposal: str, **changed: Any) -> dict[str, Any]:
    digest = operator.ask("GET", "proposals", proposal)["digest"]
    return {"digest": digest, "signature": one.sign(digest, Role.APPROVE), **changed}


def approve(operator: Operator, one: Hand, proposal: str) -> Any:
    return operator.ask("POST", "proposals", proposal, "approve", peer=one.peer, **approval(operator, one, proposal))


def unrepeated(bank: Bank) -> Bank:
    """A bank whose rules allow no repeat, so that a doubt remains until persons decide it."""
    rules = dict.fromkeys(bank.profile.replay, NEVER)
    return replace(bank, profile=replace(bank.profile, replay=rules))


ADAPTERS = {"sample": unrepeated}


def doubtful(tmp_path: Path, fault: BankFault, **options: Any) -> tuple[World, Operator, str]:
    """A payment in doubt, and two enrolled persons."""
    world = World(tmp_path, plan=FaultScript([ScriptedFault(fault)]), bank_options=options or SLOW, adapters=ADAPTERS)
    world.start()
    world.run(1)
    operator = Operator(world)
    enrol(operator, WANG, LI)
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "in_doubt"
    return world, operator, str(world.last("AP-1")["payment"])
