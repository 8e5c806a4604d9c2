"""A world in which any bank runs with its own trial data: the fewest options, credentials, the twin, and some
accounts."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from gateway.bank.signers import FileSigner
from gateway.demo import site
from gateway.parts import Parts
from gateway.simbank.faults import FaultPlan
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.server import SimBank
from protocols.bank import Cutter
from protocols.canon.money import Money
from protocols.trial import trial
from protocols.twin import Answer, Books, Twin
from tests.world import stand_ins
from tests.world import world as worlds
from tests.world.clock import HeapClock
from tests.world.world import BankSite, Life, World


@cache
def signer() -> FileSigner:
    """The gateway's real key, for banks whose twin looks at signatures."""
    keys = stand_ins.signing_keys()
    key = load_pem_private_key(keys.client_key, None)
    assert isinstance(key, RSAPrivateKey)
    return FileSigner("order", key, load_pem_x509_certificate(keys.client_certificate))


@dataclass(slots=True)
class RecordingTwin:
    """A twin that records the requests and their times."""

    twin: Any
    clock: HeapClock
    ports: tuple[str, ...]
    requests_seen: list[tuple[float, bytes]] = field(default_factory=list)
    at_port: dict[str, list[float]] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """Return the cutter of the real twin (see Twin)."""
        cutter: Cutter = self.twin.requests(port)
        return cutter

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Record the request, and return the real twin's answer (see Twin)."""
        self.requests_seen.append((self.clock.seconds(), request))
        self.at_port.setdefault(port, []).append(self.clock.seconds())
        answer: Answer = self.twin.answer(port, request, books, session)
        return answer

    def times(self, *texts: bytes) -> list[float]:
        """The times of requests that contain one of these byte strings."""
        return [at for at, request in self.requests_seen if any(text in request for text in texts)]


def trial_world(
    folder: Path,
    patch: pytest.MonkeyPatch,
    banks: tuple[str, ...],
    *,
    accounts: int = 1,
    watch: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    twin: Mapping[str, Any] = {},
    **more: Any,
) -> tuple[World, dict[str, RecordingTwin]]:
    """A world of these banks, each with this many accounts, watched or not, and a twin that has had no connection yet.

    `twin` are options of the twins beside those of their trials.
    """
    numbers = {name: site.account_numbers(name, accounts) for name in banks}
    keys = stand_ins.signing_keys()
    papers = {"bank_sign_cert": keys.bank_certificate, "gateway_sign_cert": keys.client_certificate.decode("ascii")}
    for name in banks:
        certificate = {option: papers[which] for option, which in trial(name).files.items()}
        patch.setitem(worlds._ACCOUNTS, name, numbers[name][0])
        patch.setitem(
            worlds._OPTIONS, name, {**trial(name).options, **({"verify": "hand"} if name == "sample" else certificate)}
        )
        patch.setitem(worlds._TWIN_OPTIONS, name, dict(trial(name).twin))

    def told(_life: Life, parts: Parts) -> Parts:
        pens = {f"{name}.main": {key: signer() for key in trial(name).keys} for name in banks if name != "sample"}
        return replace(
            parts,
            credentials={f"{name}.main": dict(trial(name).credentials) for name in banks},
            signers={**parts.signers, **pens},
        )

    own = [
        {"number": number, "name": site.HOLDERS[0], "company": "jia", "bank": name, "watch": watch}
        for name in banks
        for number in numbers[name]
    ]
    settings = worlds.merged({"accounts": own}, more.pop("settings", {}))
    world = World(folder, banks=banks, settings=settings, options=options, wrap=more.pop("wrap", told), **more)
    twins = {name: RecordingTwin(_twin(name, twin), world.clock, ("business",)) for name in banks}
    for name, heard in twins.items():
        world.banks[name] = _site(world, name, heard, numbers[name])
    return world, twins


def _twin(name: str, options: Mapping[str, Any]) -> Twin:
    keys = stand_ins.signing_keys()
    if name == "sample":
        return stand_ins.twin(name, {"cheap": True, **trial(name).twin, **options})
    made: Twin = import_module(f"protocols.banks.{name}.twin").build(
        {**trial(name).twin, **options}, {"bank": keys.bank_key, "client": keys.client_certificate}
    )
    return made


def _site(world: World, name: str, twin: RecordingTwin, numbers: tuple[str, ...]) -> BankSite:
    twin.ports = twin.twin.ports
    books = Ledger(
        lambda: round(world.clock.seconds() * 1000),
        [LedgerAccount(number, site.HOLDERS[0], Money(10**12)) for number in numbers],
    )
    return BankSite(SimBank(world.clock, twin, books, FaultPlan("calm", {}), seed=name), books, accounts=tuple(numbers))
