from __future__ import annotations

import hashlib

import pytest

from gateway.kernel.checkpoints import merkle

LEAVES = [merkle.leaf(b"%d" % n) for n in range(70)]


def by_the_book(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash as RFC 6962, section 2.1, defines it."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_the_book(leaves[:k]) + by_the_book(leaves[k:])).digest()


@pytest.mark.parametrize("count", range(70))
def test_the_root_is_that_of_the_standard(count: int) -> None:
    grown = merkle.grown((), LEAVES[:count])
    assert merkle.root(grown) == by_the_book(LEAVES[:count])
    assert merkle.size(grown) == count and len(grown) == count.bit_count()


def test_known_answers() -> None:
    """The roots that the test vectors of RFC 6962's implementations give for no leaf and for one empty leaf."""
    assert merkle.root(()).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(merkle.grown((), [merkle.leaf(b"")])).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


@pytest.mark.parametrize("old", [0, 1, 2, 3, 5, 8, 13, 31, 32, 33, 64])
def test_what_was_added_joins_what_was_there(old: int) -> None:
    for new in range(old, 70):
        added = merkle.between(old, LEAVES[old:new])
        joined = merkle.joined(merkle.grown((), LEAVES[:old]), added)
        assert joined == merkle.grown((), LEAVES[:new])
        assert len(added) <= 2 * max(new.bit_length(), 1)


def test_a_subtree_in_the_wrong_place_is_no_proof() -> None:
    with pytest.raises(ValueError, match="has a place where the tree cannot have it"):
        merkle.joined(merkle.grown((), LEAVES[:1]), [(1, LEAVES[2])])
