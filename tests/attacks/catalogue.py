"""All kinds of attack, by number. Importing this module completes the list."""

from __future__ import annotations

from tests.attacks import kinds_key, kinds_parser, kinds_reference, kinds_value, kinds_wrapping
from tests.attacks.kind import COUNT, KINDS, AttackKind
from tests.attacks.targets import KIT, goldens, signed_documents

MODULES = (kinds_parser, kinds_value, kinds_wrapping, kinds_reference, kinds_key)
ALL: tuple[AttackKind, ...] = tuple(KINDS[number] for number in sorted(KINDS))

NO_SIGNATURE = (
    "no XML signature of the bank reaches the adapter: the front end, TLS or a CMS around the message vouches for it"
)
NOT_OF_SCHEMA, WRONG_AMOUNT = 113, 114
NO_AMOUNT = "the answers do not state the payment's amount"


def why_not(kind: AttackKind, bank: str) -> str | None:
    """The reason why a bank has nothing that this kind can attack; None if it has."""
    if bank == KIT:
        return None
    if needs_signature(kind) and not signed_documents(bank):
        return NO_SIGNATURE
    all_spots = [spot for golden in goldens(bank) for _, spot in golden.spots()]
    if kind.number == NOT_OF_SCHEMA and not any(spot.authentic for spot in all_spots):
        return NO_SIGNATURE
    if kind.number == WRONG_AMOUNT and not any(
        True for golden in goldens(bank) for _ in kinds_key.wrong_amounts(golden)
    ):
        return NO_AMOUNT
    return None


def needs_signature(kind: AttackKind) -> bool:
    """True if the kind is only for documents whose signature the adapter verifies."""
    return kind.on_document is None and kind.on_talk is None


assert len(ALL) <= COUNT
