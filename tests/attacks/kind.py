"""A kind of attack: its number, its name, and the function that makes a hostile message from a good one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tests.attacks.document import Document
from tests.attacks.layers import Spot
from tests.attacks.targets import Golden, SignedDocument

Attempt = Callable[[], object]
"""An attack that is more than a document: other keys, another day. It must raise ProtocolError."""


@dataclass(frozen=True, slots=True)
class ReadAlike:
    """A hostile document that may only be read with the same result as another document, for example "-0" as "0".

    Where `plain` is empty any reading will do, as long as there is one: what is attacked is the reader itself.
    """

    hostile: bytes
    plain: bytes


OnDocument = Callable[[Spot], Iterable[bytes | ReadAlike]]
OnPlain = Callable[[Document], Iterable[bytes | ReadAlike]]
OnSignature = Callable[[SignedDocument], Iterable[bytes | Attempt]]
OnTalk = Callable[[Golden], Iterable[tuple[int, bytes]]]

PARSED: Final = "every document that is parsed"
SIGNED: Final = "every document that is signed"
TALK: Final = "every conversation"


@dataclass(frozen=True, slots=True)
class AttackKind:
    """One row of the list of attacks. `on_document` is for banks whose answers are XML, `on_signature` for banks that
    sign them, `on_talk` for whole answers that are put into a conversation where they do not belong. Each kind has at
    least one of the three.

    `reaches`: a reason why a kind has nothing to attack in a bank that has no such thing. `cleans`: the attack is on
    what people read; the value may be taken over, but never with what would deceive them.
    """

    number: int
    name: str
    on_document: OnDocument | None = None
    on_signature: OnSignature | None = None
    on_talk: OnTalk | None = None
    cleans: bool = False

    @property
    def applies_to(self) -> str:
        """The messages that the kind applies to, as text."""
        made = ((PARSED, self.on_document), (SIGNED, self.on_signature), (TALK, self.on_talk))
        return ", ".join(words for words, maker in made if maker)


KINDS: Final[dict[int, AttackKind]] = {}
COUNT: Final = 118


def _add(kind: AttackKind) -> None:
    known = KINDS.get(kind.number)
    if known is not None:
        assert known.name == kind.name, f"{kind.number} is {known.name}, not {kind.name}"
        kind = AttackKind(
            kind.number,
            kind.name,
            kind.on_document or known.on_document,
            kind.on_signature or known.on_signature,
            kind.on_talk or known.on_talk,
            kind.cleans or known.cleans,
        )
    KINDS[kind.number] = kind


def on_document(number: int, name: str, *, cleans: bool = False) -> Callable[[OnPlain], OnPlain]:
    """The decorated function makes hostile documents of a good one."""

    def named(make: OnPlain) -> OnPlain:
        _add(AttackKind(number, name, on_document=lambda spot: make(spot.document), cleans=cleans))
        return make

    return named


def on_spot(number: int, name: str) -> Callable[[OnDocument], OnDocument]:
    """As `on_document`, for functions that need to know how the document is transported."""

    def named(make: OnDocument) -> OnDocument:
        _add(AttackKind(number, name, on_document=make))
        return make

    return named


def on_signature(number: int, name: str) -> Callable[[OnSignature], OnSignature]:
    """The decorated function makes hostile signed documents, or attempts, of a good one."""

    def named(make: OnSignature) -> OnSignature:
        _add(AttackKind(number, name, on_signature=make))
        return make

    return named


def on_talk(number: int, name: str) -> Callable[[OnTalk], OnTalk]:
    """The decorated function gives whole answers, and the place in the conversation at which each is given."""

    def named(make: OnTalk) -> OnTalk:
        _add(AttackKind(number, name, on_talk=make))
        return make

    return named
