"""Tests that change one byte of a signed message: the message is refused, or every signed octet is unchanged."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from tests.attacks.run import judged
from tests.attacks.targets import KIT, READY, SignedDocument, goldens, signed_documents

SAMPLE = 150
PLACES = 500
"""In the answers of one conversation, together: each mutant is a whole conversation."""
SIGNERS = (KIT, *(bank for bank in READY if bank in ("sample", "finws")))


def mutants(data: bytes, seed: str, places: int | None) -> Iterator[tuple[int, bytes]]:
    """Each place (or some) with another byte: one bit, the case bit, a blank, a zero, NUL, or a random one."""
    chance = random.Random(seed)
    chosen = range(len(data)) if places is None else sorted(chance.sample(range(len(data)), min(places, len(data))))
    for place in chosen:
        was = data[place]
        for byte in sorted({was ^ 1, was ^ 0x20, 0x20, 0x30, 0, chance.randrange(256)} - {was}):
            yield place, data[:place] + bytes((byte,)) + data[place + 1 :]


def survivors(target: SignedDocument, places: int | None) -> tuple[int, int]:
    """The number of mutants, and of those accepted. Fails if an accepted one has other signed octets."""
    good = dsig.verify(target.data, target.profile, target.pins, today=target.today)
    tried = kept = 0
    for place, mutant in mutants(target.data, target.profile.name, places):
        tried += 1
        words = []
        for engine in ("xmlsec", "hand") if places is not None else ("hand",):
            try:
                read = dsig.verify(mutant, target.profile, target.pins, today=target.today, engine=engine)
                words.append("accepted")
                assert read.parts == good.parts, f"{target.profile.name}: byte {place} changed what was signed"
            except ProtocolError as error:
                words.append(error.reason)
        assert len(set(words)) == 1, f"{target.profile.name}: byte {place}: {words}"
        kept += words[0] == "accepted"
    return tried, kept


@pytest.mark.parametrize("bank", SIGNERS)
def test_one_byte(bank: str) -> None:
    for target in signed_documents(bank):
        tried, kept = survivors(target, SAMPLE)
        assert tried > SAMPLE and kept < tried * 0.2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bank", SIGNERS)
def test_every_byte(bank: str) -> None:
    for target in signed_documents(bank):
        tried, kept = survivors(target, None)
        assert tried > len(target.data) and kept < tried * 0.2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bank", [bank for bank in SIGNERS if bank != KIT])
def test_bytes_of_whole_answers(bank: str) -> None:
    """A changed byte in framing or headers too gives the same outcome as before, doubt, or none; never another
    outcome."""
    for golden in goldens(bank):
        exchanges = list(golden.recording.exchanges())
        for at, answer in exchanges:
            for place, mutant in mutants(answer, f"{golden.name} {at}", PLACES // len(exchanges)):
                said, _ = golden.again(at, mutant)
                word = judged(golden.said, said, cleans=False)
                assert not word.startswith("accepted"), f"{golden.name}, answer {at}, byte {place}: {word}"
