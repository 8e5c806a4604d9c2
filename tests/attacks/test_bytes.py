"""One byte of a signed message changed: refused, or every signed octet is as it was."""

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
    """Each place (or some) with other bytes in it: one bit, the case bit, a blank, a zero, NUL, chance."""
    chance = random.Random(seed)
    chosen = range(len(data)) if places is None else sorted(chance.sample(range(len(data)), min(places, len(data))))
    for place in chosen:
        was = data[place]
        for byte in sorted({was ^ 1, was ^ 0x20, 0x20, 0x30, 0, chance.randrange(256)} - {was}):
            yield place, data[:place] + bytes((byte,)) + data[place + 1 :]


def survivors(target: SignedDocument, places: int | None) -> tuple[int, int]:
    """How many mutants there were, and how many were accepted; fails if one was with other octets."""
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
    """Framing and headers included: the same word as before, doubt, or none; never another one."""
    for golden in goldens(bank):
        exchanges = list(golden.recording.exchanges())
        for at, answer in exchanges:
            for place, mutant in mutants(answer, f"{golden.name} {at}", PLACES // len(exchanges)):
                said, _ = golden.again(at, mutant)
                word = judged(golden.said, said, cleans=False)
                assert not word.startswith("accepted"), f"{golden.name}, answer {at}, byte {place}: {word}"
