"""A whole gateway whose signing key goes away: orders stay ready, nothing is in doubt, and one payment leaves when it is
back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from twisted.internet.defer import Deferred, fail, succeed

from gateway.bank.key_trouble import SigningFailed
from gateway.bank.outside_signer import OutsideSigner
from gateway.parts import Parts
from gateway.simbank.pki import Authority, new_key
from gateway.watch.health import lane_word
from protocols.canon.outcome import State
from tests.world import files
from tests.world.world import Life, World


class Token:
    """A key source that signs, or fails as the test says."""

    name = "token of the test"

    def __init__(self) -> None:
        self.key = new_key()
        self.fails: SigningFailed | None = None
        self.asked = 0

    def sign(self, octets: bytes, document: bytes = b"") -> Deferred[bytes]:
        self.asked += 1
        if self.fails is not None:
            return fail(self.fails)
        return succeed(self.key.sign(octets, padding.PKCS1v15(), hashes.SHA256()))


def world_with(token: Token, folder: Path) -> World:
    now = datetime.now(UTC)
    certificate = Authority.root("root", now).issue("us", token.key.public_key(), now, purpose=None)

    def wrap(_life: Life, parts: Parts) -> Parts:
        signer = OutsideSigner("order", certificate, "sha256", token, parts.clock, timeout_s=5.0)
        return replace(parts, signers={lane: {"order": signer} for lane in parts.signers})

    return World(folder, wrap=wrap)


def state_of(world: World, order: str) -> State:
    return files.payment(world, order).life.state


def test_a_key_that_goes_and_comes_back(tmp_path: Path) -> None:
    token = Token()
    world = world_with(token, tmp_path)
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    assert len(files.sends(world, "AP-1")) == 1
    token.fails = SigningFailed("token_gone", "pulled out")
    world.run(40)
    (lane,) = life.gateway.lanes.values()
    assert lane_word(lane).endswith(":key_gone") and "order" in lane.parts.keys_in_trouble()
    world.submit("AP-2")
    world.run(60)
    assert state_of(world, "AP-2") is State.READY and not files.sends(world, "AP-2")
    token.fails = None
    world.run(60)
    assert not lane.parts.keys_in_trouble() and lane_word(lane) == "ready"
    assert len(files.sends(world, "AP-2")) == 1
    assert state_of(world, "AP-2") not in (State.READY, State.IN_DOUBT)


def test_a_token_that_refuses_its_pin_is_asked_once_while_orders_wait(tmp_path: Path) -> None:
    token = Token()
    token.fails = SigningFailed("pin_wrong", "PinIncorrect", lasting=True)
    world = world_with(token, tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(300)
    assert token.asked == 1 and state_of(world, "AP-1") is State.READY
