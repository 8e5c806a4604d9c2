"""Every kind of attack against every bank whose answers are XML: each is refused, or nothing of it is believed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.canon.statement import Balance
from protocols.kit.errors import ProtocolError
from tests.attacks import trap
from tests.attacks.catalogue import ALL, NO_AMOUNT, NO_SIGNATURE, why_not
from tests.attacks.kind import COUNT
from tests.attacks.kinds_value import DECEIVING
from tests.attacks.page import PAGE
from tests.attacks.page import table as kinds_table
from tests.attacks.run import AttackCounts, attack_bank
from tests.attacks.summing import NOTE
from tests.attacks.targets import KIT, READY, goldens, signed_documents
from tests.protocols.banks.every.bench import table

GROUPS = ((1, 16), (17, 24), (25, 34), (35, 45), (46, 64), (65, 92), (93, 115), (116, 118))
EXCUSED = frozenset({88})
"""Kinds on which xmlsec and our own check may say different words, and why that is harmless: a namespace without a
canonical form outside what is signed. xmlsec refuses such documents, we take the part that is signed."""
each_bank = pytest.mark.parametrize("bank", READY)
each_group = pytest.mark.parametrize(("first", "last"), GROUPS)


Note = Callable[[str, object], None]


def carried_out(bank: str, first: int, last: int, note: Note | None = None, *, every: bool = False) -> None:
    tally = AttackCounts()
    for kind in ALL:
        if first <= kind.number <= last and why_not(kind, bank) is None:
            cases = tally.cases
            attack_bank(bank, kind, tally, every=every)
            assert tally.cases > cases or bank == KIT, f"{kind.number} {kind.name}: no case against {bank}"
    if note is not None:
        note(NOTE, tally.sum().note())
    assert tally.accepted == []
    assert not tally.slow, f"these took more than the reactor may be kept: {tally.slow}"
    assert [one for one in tally.differently if int(one.split()[0]) not in EXCUSED] == []
    assert trap.knocks() == 0, "an attack reached out to the network"


@pytest.mark.timeout(300)
@each_group
@each_bank
def test_every_kind(bank: str, first: int, last: int, record_property: Note) -> None:
    carried_out(bank, first, last, record_property)


@each_group
def test_every_kind_of_signature_attack_on_the_kits_own_languages(first: int, last: int, record_property: Note) -> None:
    carried_out(KIT, first, last, record_property)


@pytest.mark.slow
@pytest.mark.timeout(900)
@each_group
@each_bank
def test_every_kind_everywhere(bank: str, first: int, last: int) -> None:
    """Every document of every conversation, and every leaf of each shape of document."""
    carried_out(bank, first, last, every=True)


def test_the_list_is_whole() -> None:
    assert [kind.number for kind in ALL] == list(range(1, COUNT + 1))
    assert len({kind.name for kind in ALL}) == COUNT


def test_some_bank_signs_and_the_others_have_a_reason() -> None:
    reasons = {(bank, why_not(kind, bank)) for bank in READY for kind in ALL}
    signing = {bank for bank in READY if signed_documents(bank)}
    assert signing and signing < set(READY)
    assert {bank for bank, why in reasons if why == NO_SIGNATURE} == set(READY) - signing
    assert {why for _, why in reasons} == {None, NO_SIGNATURE, NO_AMOUNT}
    assert all(why_not(kind, bank) != NO_AMOUNT for kind in ALL for bank in signing)


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text("utf-8").endswith(kinds_table()), "python -m tests.attacks.page --write"


@each_bank
def test_attacks_reach_the_reader(bank: str) -> None:
    """The same document, and a longer one, are read as before. Nonsense in its place is not."""
    documents = 0
    for golden in goldens(bank):
        for at, spot in golden.spots():
            good, longer = spot.document.data, spot.document.in_front("\n ")
            assert golden.again(at, spot.put(good))[0] == golden.said, spot.name
            said, _ = golden.again(at, spot.put(longer))
            assert isinstance(said, ProtocolError) if spot.exact else said == golden.said, spot.name
            # A report about another account is only left out. Entries have a finding for that; a balance has none.
            if not (isinstance(golden.said, Balance) and _is_elsewhere(bank, spot.document.data)):
                assert golden.again(at, spot.put(b"<a"))[0] != golden.said, spot.name
            documents += 1
    assert documents >= len(goldens(bank))


def _is_elsewhere(bank: str, document: bytes) -> bool:
    """True if a document names an account that was not asked about."""
    asked, other = (number.encode() for number in table(bank).own)
    return other in document and asked not in document


def test_deceiving_characters_are_what_they_are_called() -> None:
    assert all(len(char) == 1 and not char.isprintable() for char in DECEIVING)
